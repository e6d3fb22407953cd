"""Elements of a graph's values as expressions of where they are.

``Elements.at(v, coordinates)`` says what the element of a value is there: ops that work
element by element, move elements or reduce them are written out, down to arrays that
lie in memory. Fusion is nothing else.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphwright.backends.codegen import narrow
from graphwright.backends.codegen.elementwise import RULES
from graphwright.backends.codegen.expr import Expr, const
from graphwright.backends.codegen.index import (
    Axis,
    Index,
    linear,
    unravelled,
)
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DType, bool_
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op
from graphwright.ir.record import record
from graphwright.ir.types import TensorType, Type

Coordinates: TypeAlias = tuple[Index, ...]


@dataclass(eq=False, slots=True)
class Array:
    """Elements in memory, in C order, or a part of those of another array.

    Attributes:
        dtype: Of the tensor; see `narrow.storage` for what lies in memory.
        shape: Its sizes.
        whole: The array that it is a part of, if it is one.
        start: Elements of that before its first one.
        steps: Elements of that from one to the next in each direction.
    """

    dtype: DType
    shape: tuple[int, ...]
    whole: "Array | None" = None
    start: int = 0
    steps: tuple[int, ...] | None = None

    def part(self, shape: tuple[int, ...], axis: int, start: int) -> "Array":
        """Some elements along an axis, from ``start`` on, as an array."""
        first = self.start + start * self.strides[axis]
        return Array(self.dtype, shape, self.root, first, self.strides)

    @property
    def root(self) -> "Array":
        """The array that has memory of its own."""
        return self if self.whole is None else self.whole

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements from one to the next in each direction."""
        return c_strides(self.shape) if self.steps is None else self.steps

    @property
    def size(self) -> int:
        """How many elements it has."""
        return product(self.shape)

    @property
    def span(self) -> int:
        """Elements of the root from the first to the last of its own."""
        if not self.size:
            return 0
        pairs = zip(self.shape, self.strides, strict=True)
        return 1 + sum((n - 1) * step for n, step in pairs)

    @property
    def is_dense(self) -> bool:
        """Whether its elements lie one after another."""
        return self.strides == c_strides(self.shape)

    @property
    def pitch(self) -> int | None:
        """Elements from row to row along the last axis; None if they are not even."""
        if not self.shape:
            return 1
        *outer, columns = self.shape
        rows = [(n, s) for n, s in zip(outer, self.strides, strict=False) if n > 1]
        if self.strides[-1] != 1:
            return None
        if not rows:
            return columns
        found = expected = rows[-1][1]
        for n, step in reversed(rows):
            if step != expected:
                return None
            expected *= n
        return found

    def index(self, at: "Coordinates") -> Index:
        """Where the element at coordinates lies, counted from the first one."""
        found = Index()
        for x, step in zip(at, self.strides, strict=True):
            found = found + x * step
        return found


def product(sizes: Sequence[int]) -> int:
    """All sizes multiplied."""
    found = 1
    for n in sizes:
        found *= n
    return found


def c_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Elements from one to the next in each direction, in C order."""
    return tuple(product(shape[i + 1 :]) for i in range(len(shape)))


@record(frozen=True, slots=True)
class Within:
    """The condition ``low <= index < high``."""

    index: Index
    low: int
    high: int


@record(frozen=True, slots=True)
class Read:
    """An element of an array; 0 where not all guards hold."""

    array: Array
    index: Index
    guards: tuple[Within, ...] = ()


@record(frozen=True, slots=True)
class Reduction:
    """Elements over axes combined to one: ``sum``, ``prod``, ``max`` or ``min``.

    Attributes:
        kind: How they are combined.
        axes: Over which axes.
        part: Which part of them, if it is not all.
        parts: Into how many their longest axis is divided.
    """

    kind: str
    axes: tuple[Axis, ...]
    part: Index | None = None
    parts: int = 1


def sizes_of(type_: Type) -> tuple[int, ...]:
    """The sizes of a tensor type in which all are known."""
    assert isinstance(type_, TensorType)
    return tuple(d for d in type_.dims if isinstance(d, int))


def read(array: Array, index: Index, guards: tuple[Within, ...] = ()) -> Expr:
    """An element of an array, in the dtype in which it is computed."""
    stored = Expr("read", narrow.storage(array.dtype), (), Read(array, index, guards))
    return narrow.decoded(stored, array.dtype)


Move: TypeAlias = Callable[[Any, tuple[int, ...], Coordinates], Coordinates]
"""``(op, shape of the operand, coordinates in the result)``: where it comes from."""


def _reshape(op: Any, shape: tuple[int, ...], at: Coordinates) -> Coordinates:
    return unravelled(linear(at, op.shape), shape)


def _transpose(op: Any, shape: tuple[int, ...], at: Coordinates) -> Coordinates:
    return tuple(at[op.perm.index(i)] for i in range(len(shape)))


def _broadcast(op: Any, shape: tuple[int, ...], at: Coordinates) -> Coordinates:
    kept = at[len(at) - len(shape) :]
    return tuple(Index() if n == 1 else x for n, x in zip(shape, kept, strict=True))


def _slice(op: Any, shape: tuple[int, ...], at: Coordinates) -> Coordinates:
    rows = zip(at, op.start, op.step, strict=True)
    return tuple(x * step + start for x, start, step in rows)


MOVES: dict[str, Move] = {
    "reshape": _reshape,
    "transpose": _transpose,
    "broadcast_to": _broadcast,
    "slice": _slice,
}
"""Ops whose result's elements are those of the operand elsewhere, by name."""

FREE = frozenset({*MOVES, "iota", "bitcast"})
"""Ops that cost nothing where their results are read."""


REDUCING = frozenset({"reduce", "sum_to", "arg_reduce"})
"""Ops that combine all elements of some axes."""

HEAVY = frozenset(
    {
        *("dot", "conv", "reduce_window", "window_argmax"),
        *("cumulative", "scatter", "fused", "attention"),
    }
)
"""Ops that read each element of their operands many times: these lie in memory."""

VIEWED = frozenset({"attention"})
"""Those among them that read and write any views of what lies there."""


def is_pulled(op: Op) -> bool:
    """Whether an op can be written out where its result is read."""
    return op.name in RULES or op.name in MOVES or op.name in _PULLED


class Elements:
    """The values of a graph as expressions.

    Args:
        graph: The graph; all of its sizes are known.
        arrays: Values that lie in memory.
        written: Those among them that are computed here, not read.
        given: Values that whoever asks has computed already, as ``given`` leaves.
    """

    def __init__(
        self,
        graph: Graph,
        arrays: Mapping[Value, Array],
        written: Container[Value],
        given: Container[Value] = (),
    ) -> None:
        self.graph, self.arrays = graph, arrays
        self.written, self.given = written, given
        self._made: dict[Any, Expr] = {}
        self._leaves: dict[Value, Expr] = {}

    def at(self, v: Value, at: Coordinates, guards: tuple[Within, ...] = ()) -> Expr:
        """The element of a value at coordinates, in the dtype it is computed in."""
        key = v, at, guards
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = self._element(v, at, guards)
        return found

    def leaf(self, v: Value) -> Expr:
        """What stands for a given value before it is rounded."""
        found = self._leaves.get(v)
        if found is None:
            found = Expr("given", narrow.carrier(v.dtype), (), v)
            self._leaves[v] = found
        return found

    def _element(self, v: Value, at: Coordinates, guards: tuple[Within, ...]) -> Expr:
        array = self.arrays.get(v)
        if array is not None and v not in self.written:
            own = Read(array, array.index(at), guards)
            stored = Expr("read", narrow.storage(array.dtype), (), own)
            return narrow.taken(stored, array.dtype)
        constant = self.graph.constants.get(v)
        if constant is not None:
            return scalar(constant)
        if v in self.given:
            return narrow.rounded(self.leaf(v), v.dtype)
        return self._computed(self.graph.makers[v], at, guards)

    def _computed(
        self, node: Node, at: Coordinates, guards: tuple[Within, ...]
    ) -> Expr:
        op: Any = node.op
        if op.name in MOVES:
            (x,) = node.operands
            return self.at(x, MOVES[op.name](op, sizes_of(x.type), at), guards)
        if op.name in _PULLED:
            return _PULLED[op.name](self, node, at, guards)
        xs = [self.at(x, at, guards) for x in node.operands]
        dtypes = [v.dtype for v in (*node.operands, *node.results)]
        found = RULES[op.name](op, xs, dtypes)
        moved = op.name != "cast" and op.error_bound() == 0
        return found if moved else narrow.rounded(found, dtypes[-1])


def scalar(constant: Constant) -> Expr:
    """The one number that all elements of a constant are."""
    array = constant.array().reshape(-1)[:1]
    dtype = constant.type.dtype
    held = narrow.carrier(dtype)
    return const(array.astype(held.numpy)[0].item(), held)


Pulled: TypeAlias = Callable[[Elements, Node, Coordinates, tuple[Within, ...]], Expr]
"""An element of an op's result by those of its operands, under guards."""

_PULLED: dict[str, Pulled] = {}


def pulled(*names: str) -> Callable[[Pulled], Pulled]:
    """Registers how elements of an op's results are computed where they are read."""

    def register(function: Pulled) -> Pulled:
        _PULLED.update(dict.fromkeys(names, function))
        return function

    return register


def within(place: Within) -> Expr:
    """Whether an index is within bounds."""
    return Expr("within", bool_, (), place)


class _Body(Elements):
    """The values of a region's body, whose inputs are values of the graph around."""

    def __init__(self, outer: Elements, node: Node) -> None:
        op: Any = node.op
        super().__init__(op.body, {}, ())
        self._outer = outer
        self._inputs = dict(zip(op.body.inputs, node.operands, strict=True))

    def _element(self, v: Value, at: Coordinates, guards: tuple[Within, ...]) -> Expr:
        if v in self._inputs:
            return self._outer.at(self._inputs[v], at, guards)
        return super()._element(v, at, guards)


@pulled("attention")
def _attention(
    e: Elements, node: Node, at: Coordinates, guards: tuple[Within, ...]
) -> Expr:
    """What its kernel computes: it has one in any case, or is decomposed."""
    return e.leaf(node.results[0])


@pulled("fused")
def _fused(
    e: Elements, node: Node, at: Coordinates, guards: tuple[Within, ...]
) -> Expr:
    op: Any = node.op
    return _Body(e, node).at(op.body.outputs[0], at, guards)
