"""An operation of another format that cannot be typed before its operands are known.

Axes or permutations that are computed at run time, and operands of unknown rank, leave
nothing for a type rule to say. Such an operation is kept as it was written, and
expanded by its frontend once shapes, and the values it needs, are at hand.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

from graphwright.ir.errors import UnsupportedOpError
from graphwright.ir.op import Call, Op, Tier
from graphwright.ir.types import Type

Expander: TypeAlias = Callable[["Foreign", Sequence[Any]], Any]
"""Makes a graph that computes the op for operands like these actual ones."""

EXPANDERS: dict[str, Expander] = {}
"""How each format expands its operations; frontends register here."""


class Foreign(Op):
    """An operation of a frontend's format, expanded when its operands are known.

    ``payload`` is the format's own serialisation (base64), ``types`` what is known of
    the results.
    """

    name = "foreign"
    tier: ClassVar[Tier] = Tier.CONTROL
    format: str
    kind: str
    payload: str
    types: tuple[Type, ...]

    def result_type(self, *operands: Type) -> tuple[Type, ...]:
        return self.types

    def expanded(self, operands: Sequence[Any]) -> Any:
        """The graph that computes it for operands like these.

        Raises:
            UnsupportedOpError: If nobody knows its format.
        """
        expand = EXPANDERS.get(self.format)
        if expand is None:
            raise UnsupportedOpError(
                f"{self.kind} needs the {self.format} frontend: load the model with it"
            )
        return expand(self, operands)

    def run(self, call: Call, operands: Sequence[Any]) -> Sequence[Any]:
        return call(self.expanded(operands), operands)
