"""Reads the body of a fused region: root op, layout, bias, residual, clamp."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from graphwright.ir.constant import Constant
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.types import TensorType


@dataclass(slots=True)
class Region:
    """``clip(root + bias + residual)``, its channels perhaps interleaved.

    Attributes:
        root: The convolution or product.
        operands: Inputs of the body which the root multiplies.
        last: Whether a convolution has its channels last, in and out.
        biases: What is added per channel: indices of inputs, or constants.
        residual: Index of the input that is added element by element.
        low: Lower bound of the clamp, or None.
        high: Upper bound of the clamp, or None.
        shuffle: In how many groups the channels are cut that take turns in the result.
    """

    root: Node
    operands: tuple[int, int]
    last: bool = False
    biases: "list[int | Constant]" = field(default_factory=list)
    residual: int | None = None
    low: float | None = None
    high: float | None = None
    shuffle: int = 1


class _Declined(Exception):
    pass


def read_region(body: Graph) -> Region | None:
    """The region of a body, or None if it has another form."""
    try:
        return _Reader(body).read()
    except _Declined:
        return None


class _Reader:
    def __init__(self, body: Graph) -> None:
        self.body = body
        self.producers = body.producers()
        self.position = {v: i for i, v in enumerate(body.inputs)}

    def read(self) -> Region:
        """Walks from the root to the output."""
        region, value, rest = self._root()
        end = self.body.outputs
        if rest and rest[-1].op.name == "reshape":
            *rest, cut, _, last = rest
            region.shuffle = int(cut.results[0].tensor.dims[-2])  # type: ignore[arg-type]
            end = cut.operands if end == last.results else ()
        for node in rest:
            if node.op.name == "broadcast_to":
                continue
            if value not in node.operands or len(node.operands) != 2:
                raise _Declined
            x, y = node.operands
            self._take(region, node, y if x is value else x, value)
            value = node.results[0]
        if (value,) != end:
            raise _Declined
        return region

    def _root(self) -> tuple[Region, Value, Sequence[Node]]:
        """The region so far, its value, and the nodes to come."""
        nodes = self.body.nodes
        first = nodes[0]
        if first.op.name != "transpose":
            x, w = first.operands
            region = Region(first, (self._input(x), self._input(w)))
            return region, first.results[0], nodes[1:]
        root, back = nodes[1:3]
        if root.operands[0] is not first.results[0]:
            raise _Declined
        if back.op.name != "transpose" or back.operands != root.results:
            raise _Declined
        data, w = first.operands[0], root.operands[1]
        region = Region(root, (self._input(data), self._input(w)), last=True)
        return region, back.results[0], nodes[3:]

    def _input(self, value: Value) -> int:
        if value not in self.position:
            raise _Declined
        return self.position[value]

    def _take(self, region: Region, node: Node, other: Value, value: Value) -> None:
        clamped = region.low is not None or region.high is not None
        if node.op.name == "add" and not clamped:
            self._added(region, other, value)
        elif node.op.name == "max" and region.high is None and region.low is None:
            region.low = self._number(other)
        elif node.op.name == "min" and region.high is None:
            region.high = self._number(other)
        else:
            raise _Declined

    def _added(self, region: Region, other: Value, value: Value) -> None:
        source = self._spread(other)
        if source is None:
            if region.residual is not None:
                raise _Declined
            region.residual = self._input(other)
            return
        planar = region.root.op.name == "conv" and not region.last
        if not _per_axis(source, value, 1 if planar else value.rank - 1):
            raise _Declined
        region.biases.append(self._reference(source))

    def _spread(self, value: Value) -> Value | None:
        node = self.producers.get(value)
        if node is None:
            return None
        if node.op.name != "broadcast_to":
            raise _Declined
        return node.operands[0]

    def _reference(self, value: Value) -> "int | Constant":
        if value in self.position:
            return self.position[value]
        return self.body.constants[value]

    def _number(self, value: Value) -> float:
        source = self._spread(value) or value
        constant = self.body.constants.get(source)
        if constant is None or constant.size != 1:
            raise _Declined
        return float(constant.array().reshape(()))


def _per_axis(source: Value, value: Value, axis: int) -> bool:
    """Whether a value varies along one axis of another at most."""
    assert isinstance(source.type, TensorType)
    shape: tuple[Any, ...] = (1,) * (value.rank - source.rank) + source.shape
    return all(d == 1 for i, d in enumerate(shape) if i != axis)
