"""Elements of a graph's values as expressions of where they are.

``Elements.at(v, coordinates)`` says what the element of a value is there: ops that work
element by element, move elements or reduce them are written out, down to arrays that
lie in memory. Fusion is nothing else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphwright.backends.codegen import narrow
from graphwright.backends.codegen.elementwise import RULES
from graphwright.backends.codegen.expr import Expr, choose, const, wrapping
from graphwright.backends.codegen.index import (
    Axis,
    Index,
    Item,
    linear,
    of,
    unravelled,
)
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DType, int32, int64
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op
from graphwright.ir.ops.reduce import identity
from graphwright.ir.types import TensorType, Type

Coordinates: TypeAlias = tuple[Index, ...]


@dataclass(eq=False, slots=True)
class Array:
    """Elements in memory, in C order.

    Attributes:
        dtype: Of the tensor; see `narrow.storage` for what lies in memory.
        shape: Its sizes.
    """

    dtype: DType
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many elements it has."""
        found = 1
        for n in self.shape:
            found *= n
        return found


@dataclass(frozen=True, slots=True)
class Within:
    """The condition ``low <= index < high``."""

    index: Index
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Read:
    """An element of an array; 0 where not all guards hold."""

    array: Array
    index: Index
    guards: tuple[Within, ...] = ()


@dataclass(frozen=True, slots=True)
class Reduction:
    """Elements over axes combined to one: ``sum``, ``prod``, ``max`` or ``min``."""

    kind: str
    axes: tuple[Axis, ...]


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


HEAVY = frozenset({"dot", "conv", "reduce_window", "fused"})
"""Ops that read each element of their operands many times: these lie in memory."""


def is_pulled(op: Op) -> bool:
    """Whether an op can be written out where its result is read."""
    return op.name in RULES or op.name in MOVES or op.name in _PULLED


class Elements:
    """The values of a graph as expressions.

    Args:
        graph: The graph; all of its sizes are known.
        arrays: Values that lie in memory.
        given: Values that whoever asks has computed already, as ``given`` leaves.
    """

    def __init__(
        self,
        graph: Graph,
        arrays: Mapping[Value, Array],
        given: frozenset[Value] = frozenset(),
    ) -> None:
        self.graph, self.arrays, self.given = graph, arrays, given
        self._producers = graph.producers()
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
        if array is not None:
            return read(array, linear(at, array.shape), guards)
        constant = self.graph.constants.get(v)
        if constant is not None:
            return scalar(constant)
        if v in self.given:
            return narrow.rounded(self.leaf(v), v.dtype)
        return self._computed(self._producers[v], at, guards)

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


# Ops that are neither elementwise nor mere movement ---------------------------------

_Pulled: TypeAlias = Callable[[Elements, Node, Coordinates, tuple[Within, ...]], Expr]


def _iota(e: Elements, node: Node, at: Coordinates, _: tuple[Within, ...]) -> Expr:
    op: Any = node.op
    dtype = node.results[0].dtype
    index = Expr("index", int64 if dtype.bits == 64 else int32, (), at[op.axis])
    return narrow.rounded(index.to(narrow.carrier(dtype)), dtype)


def _reduce(
    e: Elements, node: Node, at: Coordinates, guards: tuple[Within, ...]
) -> Expr:
    op: Any = node.op
    (x,) = node.operands
    rest = iter(at)
    axes = {i: Axis(n) for i, n in enumerate(sizes_of(x.type)) if i in op.axes}
    inner = tuple(
        of(axes[i]) if i in axes else next(rest) for i in range(len(axes) + len(at))
    )
    body = e.at(x, inner, guards)
    reduction = Reduction(op.kind, tuple(axes.values()))
    found = Expr("reduce", body.dtype, (body,), reduction)
    return narrow.rounded(found, x.dtype)


def _gather(
    e: Elements, node: Node, at: Coordinates, guards: tuple[Within, ...]
) -> Expr:
    op: Any = node.op
    x, indices = node.operands
    inner = indices.rank - op.batch_dims
    lead, rest = at[: op.axis], at[op.axis + inner :]
    where = (*at[: op.batch_dims], *at[op.axis : op.axis + inner])
    n = sizes_of(x.type)[op.axis]
    found = e.at(indices, where, guards)
    checked = Expr("checked", found.dtype, (found,), n)
    item = Index(((Item(checked, n), 1),))
    return e.at(x, (*lead, item, *rest), guards)


def _concat(
    e: Elements, node: Node, at: Coordinates, guards: tuple[Within, ...]
) -> Expr:
    op: Any = node.op
    found: Expr | None = None
    start = 0
    for x in node.operands:
        n = sizes_of(x.type)[op.axis]
        if n == 0:
            continue
        place = Within(at[op.axis], start, start + n)
        inner = (*at[: op.axis], at[op.axis] + -start, *at[op.axis + 1 :])
        part = e.at(x, inner, (*guards, place))
        found = part if found is None else choose(within(place), part, found)
        start += n
    assert found is not None
    return found


def _pad(e: Elements, node: Node, at: Coordinates, guards: tuple[Within, ...]) -> Expr:
    op: Any = node.op
    x, value = node.operands
    places = list[Within]()
    inner = list[Index]()
    for i, n in enumerate(sizes_of(x.type)):
        moved = at[i] + -op.low[i]
        low, high = moved.bounds
        if low < 0 or high >= n:
            places.append(Within(moved, 0, n))
        inner.append(moved)
    part = e.at(x, tuple(inner), (*guards, *places))
    fill = e.at(value, (), guards)
    for place in places:
        part = choose(within(place), part, fill)
    return part


def _summed(node: Node, x: Expr, y: Expr, axes: tuple[Axis, ...]) -> Expr:
    """A sum of products, in the dtype that a contraction accumulates in."""
    dtype = node.results[0].dtype
    held = narrow.carrier(dtype)
    x, y = x.to(held), y.to(held)
    product = wrapping("mul", x, y) if held.is_int else x * y
    found = Expr("reduce", held, (product,), Reduction("sum", axes))
    return narrow.rounded(found, dtype)


def _dot(e: Elements, node: Node, at: Coordinates, guards: tuple[Within, ...]) -> Expr:
    x, y = node.operands
    *lead, m, n = at
    k = Axis(sizes_of(x.type)[-1])
    left, right = e.at(x, (*lead, m, of(k)), guards), e.at(y, (*lead, of(k), n), guards)
    return _summed(node, left, right, (k,))


def _conv(e: Elements, node: Node, at: Coordinates, guards: tuple[Within, ...]) -> Expr:
    op: Any = node.op
    x, w = node.operands
    sizes, filters = sizes_of(x.type), sizes_of(w.type)
    axes = tuple(map(Axis, filters[1:]))
    channel, *taps = map(of, axes)
    image, m = at[0], at[1]
    if op.groups > 1:
        channel = (m // (filters[0] // op.groups)) * filters[1] + channel
    if op.batch_groups > 1:
        many = sizes[0] // op.batch_groups
        image = (m // (filters[0] // op.batch_groups)) * many + image
    inside: list[Within] = list(guards)
    places: list[Index] = []
    for i, tap in enumerate(taps):
        spread = at[i + 2] * op.strides[i] + tap * op.rhs_dilation[i]
        spread = spread + -op.padding[i][0]
        places.append(_spread_place(spread, sizes[i + 2], op.lhs_dilation[i], inside))
    left = e.at(x, (image, channel, *places), tuple(inside))
    right = e.at(w, (m, *map(of, axes)), guards)
    return _summed(node, left, right, axes)


def _spread_place(at: Index, size: int, gap: int, inside: list[Within]) -> Index:
    """Where an element of an axis with gaps lies; ``inside`` grows by what it needs."""
    reach = (size - 1) * gap + 1
    low, high = at.bounds
    if low < 0 or high >= reach:
        inside.append(Within(at, 0, reach))
    if gap > 1:
        inside.append(Within(at % gap, 0, 1))
        return at // gap
    return at


def _window(
    e: Elements, node: Node, at: Coordinates, guards: tuple[Within, ...]
) -> Expr:
    op: Any = node.op
    (x,) = node.operands
    shape, axes = sizes_of(x.type), tuple(map(Axis, op.window))
    lead = len(shape) - len(axes)
    inside: list[Within] = []
    places: list[Index] = []
    for i, axis in enumerate(axes):
        place = at[lead + i] * op.strides[i] + of(axis) * op.dilations[i]
        place = place + -op.padding[i][0]
        places.append(_spread_place(place, shape[lead + i], 1, inside))
    body = e.at(x, (*at[:lead], *places), (*guards, *inside))
    neutral = const(identity(op.kind, body.dtype), body.dtype)
    for place in inside:
        body = choose(within(place), body, neutral)
    found = Expr("reduce", body.dtype, (body,), Reduction(op.kind, axes))
    return narrow.rounded(found, x.dtype)


def within(place: Within) -> Expr:
    """Whether an index is within bounds."""
    index = Expr("index", int64, (), place.index)
    return (index >= place.low) & (index < place.high)


class _Body(Elements):
    """The values of a region's body, whose inputs are values of the graph around."""

    def __init__(self, outer: Elements, node: Node) -> None:
        op: Any = node.op
        super().__init__(op.body, {})
        self._outer = outer
        self._inputs = dict(zip(op.body.inputs, node.operands, strict=True))

    def _element(self, v: Value, at: Coordinates, guards: tuple[Within, ...]) -> Expr:
        if v in self._inputs:
            return self._outer.at(self._inputs[v], at, guards)
        return super()._element(v, at, guards)


def _fused(
    e: Elements, node: Node, at: Coordinates, guards: tuple[Within, ...]
) -> Expr:
    op: Any = node.op
    return _Body(e, node).at(op.body.outputs[0], at, guards)


_PULLED: dict[str, _Pulled] = {
    "iota": _iota,
    "reduce": _reduce,
    "gather": _gather,
    "concat": _concat,
    "pad": _pad,
    "dot": _dot,
    "conv": _conv,
    "reduce_window": _window,
    "fused": _fused,
}
