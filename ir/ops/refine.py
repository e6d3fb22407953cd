"""What a graph's author says of a shape, checked when it runs."""

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

from graphwright.ir.dim import Dim, equal
from graphwright.ir.emitter import Emitter
from graphwright.ir.op import Call, Cotangents, Op, Tier, Trait
from graphwright.ir.rules import need
from graphwright.ir.types import TensorType

_log = logging.getLogger("graphwright")


class RefineShape(Op):
    """The operand, of which its author says that it has this shape.

    A run that finds another shape says so in the log and goes on with what it found.

    ``fresh`` names symbols in it that the operand's actual shape defines.
    """

    name = "refine_shape"
    tier: ClassVar[Tier] = Tier.CONTROL
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.VIEW})
    shape: tuple[Dim, ...]
    fresh: tuple[str, ...] = ()

    def result_type(self, x: TensorType) -> TensorType:
        if x.shape is not None:
            fits = len(x.shape) == len(self.shape) and not any(
                equal(a, b) is False for a, b in zip(x.shape, self.shape, strict=True)
            )
            need(fits, f"{x} is said to have the shape {list(map(str, self.shape))}")
        return TensorType(x.dtype, self.shape, x.contents)

    def defined_symbols(self) -> tuple[str, ...]:
        return self.fresh

    def run(self, call: Call, operands: Sequence[Any]) -> Sequence[Any]:
        (x,) = operands
        wrong = len(x.shape) != len(self.shape) or any(
            isinstance(d, int) and d != n
            for d, n in zip(self.shape, x.shape, strict=True)
        )
        if wrong:  # exporters declare sizes that a clamped slice does not keep
            said = f"[{', '.join(map(str, self.shape))}]"
            _log.warning("a value has shape %s, the model says %s", list(x.shape), said)
        return (x,)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (x,), (ct,) = operands, cotangents
        return (ct if x.tensor.shape is None else b.reshape(ct, x.shape),)
