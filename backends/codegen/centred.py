"""Integers of 8 bits less their zero point: what lies in memory are the bytes."""

from graphwright.backends.codegen.elements import MOVES, Coordinates, sizes_of
from graphwright.ir.dtype import DType, int16
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.record import record

_MOVES = MOVES.keys() - {"broadcast_to"}
_REACH = 255
"""The most that two integers of 8 bits are apart."""


@record(frozen=True, eq=False, slots=True)
class Centred:
    """``move(int16(source) - zero)``.

    Attributes:
        source: A tensor of 8-bit integers.
        zero: Its one zero point; None if there are several, or who knows which.
        moves: What moves its elements, the first first.
    """

    source: Value
    zero: int | None
    moves: tuple[Node, ...]

    @property
    def reach(self) -> int:
        """No magnitude is larger."""
        if self.zero is None:
            return _REACH
        low, high = self.source.dtype.limits
        return max(int(high) - self.zero, self.zero - int(low))

    def place(self, at: Coordinates) -> Coordinates:
        """Where in the source an element comes from."""
        for node in reversed(self.moves):
            shape = sizes_of(node.operands[0].type)
            at = MOVES[node.op.name](node.op, shape, at)
        return at


def centred(graph: Graph, v: Value) -> Centred | None:
    """What 16-bit integers are made of, if of bytes."""
    moves, zeros = list[Node](), list[Value]()
    while v.dtype is int16:
        node = graph.makers.get(v)
        if node is None or len(zeros) > 1:
            return None
        name, (v, *others) = node.op.name, node.operands
        if name == "sub":
            zeros += others
        elif name in _MOVES:
            moves.insert(0, node)
        elif name != "cast":
            return None
    if len(zeros) > 1 or not (v.dtype.is_int and v.dtype.bits == 8):
        return None
    found = [_zero(graph, zero, v.dtype) for zero in zeros]
    if None in found:
        return None
    number = found[0] if found else 0
    return Centred(v, number if isinstance(number, int) else None, tuple(moves))


def _zero(graph: Graph, v: Value, dtype: DType) -> int | Value | None:
    """A zero point: its number, if it is one that is known; None if it is no byte."""
    while v not in graph.constants:
        node = graph.makers.get(v)
        if node is None:
            return None
        (inner, *_) = node.operands
        if node.op.name == "cast":
            return inner if inner.dtype is dtype else None
        if node.op.name not in MOVES:
            return None
        v = inner
    array = graph.constants[v].array()
    low, high = dtype.limits
    if not array.size or array.min() < low or array.max() > high:
        return None
    return int(array.flat[0]) if array.min() == array.max() else v
