"""Reads the body of a fused region: root op, bias, residual, clamp."""

from dataclasses import dataclass, field
from typing import Any

from graphwright.ir.constant import Constant
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.types import TensorType


@dataclass(slots=True)
class Region:
    """``clip(root + bias + residual)``.

    Attributes:
        root: The convolution or product.
        bias: Index of the input that is added per channel, or a constant.
        residual: Index of the input that is added element by element.
        low, high: Bounds of the clamp, or None.
    """

    root: Node
    bias: "int | Constant | None" = None
    residual: int | None = None
    low: float | None = None
    high: float | None = None
    _done: bool = field(default=False, repr=False)


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
        root = self.body.nodes[0]
        region = Region(root)
        value = root.results[0]
        for node in self.body.nodes[1:]:
            if node.op.name == "broadcast_to":
                continue
            if value not in node.operands or len(node.operands) != 2:
                raise _Declined
            x, y = node.operands
            self._take(region, node, y if x is value else x, value)
            value = node.results[0]
        if (value,) != self.body.outputs:
            raise _Declined
        return region

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
            if region.residual is not None or other not in self.position:
                raise _Declined
            region.residual = self.position[other]
            return
        if region.bias is not None or region.residual is not None:
            raise _Declined
        axis = 1 if region.root.op.name == "conv" else value.rank - 1
        if not _per_axis(source, value, axis):
            raise _Declined
        region.bias = self._reference(source)

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
