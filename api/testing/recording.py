"""Backends to copy from and to test with: they note what they are asked for.

Their arrays are objects that nothing but ``to_host`` can look into, as those of a
device are; what runs on them uses the contract alone. Computing is NumPy's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphwright.backends.contract import (
    Backend,
    GraphBackend,
    Kernel,
    Request,
    on_device,
)
from graphwright.ir.evaluate import Evaluator
from graphwright.ir.graph import Graph
from graphwright.ir.op import Op, Tier
from graphwright.ir.types import Type


class Held:
    """An array of a device: it has a shape, and is nowhere to be seen."""

    __slots__ = ("_array",)

    def __init__(self, array: "np.ndarray[Any, Any]") -> None:
        self._array = array

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""
        return tuple(self._array.shape)


def _opened(held: Held) -> "np.ndarray[Any, Any]":
    return held._array  # pyright: ignore[reportPrivateUsage]


@dataclass(frozen=True, slots=True)
class Call:
    """A kernel that was asked for.

    Attributes:
        op: Name of the op.
        types: Types of its operands, as text.
    """

    op: str
    types: tuple[str, ...]


class _Device(Backend):
    """Arrays of the class ``Held``.

    Attributes:
        calls: What was asked for, in order.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def to_device(self, array: "np.ndarray[Any, Any]") -> Held:
        """A copy."""
        return Held(np.array(array))

    def to_host(self, array: Held) -> "np.ndarray[Any, Any]":
        """A copy."""
        return np.array(_opened(array))

    def copy(self, array: Held) -> Held:
        """Itself: no one writes to it."""
        return array

    def _note(self, request: Request) -> None:
        self.calls.append(Call(request.op.name, tuple(map(str, request.types))))


def _runs(op: Op, types: Sequence[Type]) -> bool:
    return op.tier is Tier.PRIMITIVE and all(map(on_device, types))


class RecordingBackend(_Device):
    """Level one: runs primitives, one by one."""

    name = "recording"

    def supports(self, op: Op, types: Sequence[Type]) -> bool:
        """Primitives on numeric tensors."""
        named = getattr(op, "dtype", None)
        return _runs(op, types) and getattr(named, "kind", "") != "S"

    def kernel(self, request: Request) -> Kernel:
        """The op's meaning, in NumPy."""
        self._note(request)
        compute = request.op.compute

        def run(*arrays: Held) -> Any:
            with np.errstate(all="ignore"):
                found: Any = compute(np, *map(_opened, arrays))
            results = found if isinstance(found, tuple) else (found,)
            return tuple(Held(np.asarray(x)) for x in results)

        return run


class RecordingGraphBackend(_Device, GraphBackend):
    """Level two: runs graphs of primitives."""

    name = "recording-graphs"

    def claims(self, op: Op, types: Sequence[Type]) -> bool:
        """Primitives on numeric tensors."""
        named = getattr(op, "dtype", None)
        return _runs(op, types) and getattr(named, "kind", "") != "S"

    def compile(self, graph: Graph) -> Kernel:
        """The graph's meaning, in NumPy."""
        self.calls += [
            Call(n.op.name, tuple(str(v.type) for v in n.operands)) for n in graph.nodes
        ]
        evaluator = Evaluator(np)

        def run(*arrays: Held) -> tuple[Held, ...]:
            found = evaluator.run(graph, [_opened(x) for x in arrays])
            return tuple(Held(np.asarray(x)) for x in found)

        return run
