"""Ops that gather, join and reduce: elements by those of their operands."""

from typing import Any

from graphwright.backends.codegen import narrow
from graphwright.backends.codegen.elements import (
    Coordinates,
    Elements,
    Reduction,
    Within,
    pulled,
    sizes_of,
    within,
)
from graphwright.backends.codegen.expr import Expr, choose, const, wrapping
from graphwright.backends.codegen.index import Axis, Index, Item, of
from graphwright.backends.codegen.walk import ordered
from graphwright.ir.dtype import DType, int32, int64
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.ir.ops.reduce import identity


@pulled("iota")
def _iota(e: Elements, node: Node, at: Coordinates, _: tuple[Within, ...]) -> Expr:
    op: Any = node.op
    dtype = node.results[0].dtype
    index = Expr("index", int64 if dtype.bits == 64 else int32, (), at[op.axis])
    return narrow.rounded(index.to(narrow.carrier(dtype)), dtype)


@pulled("reduce")
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


def reduced(kind: str, body: Expr, axes: tuple[Axis, ...]) -> Expr:
    """Elements over axes combined to one."""
    return Expr("reduce", body.dtype, (body,), Reduction(kind, axes))


def summed_over(body: Expr, dtype: DType, axes: tuple[Axis, ...]) -> Expr:
    """A sum over axes, rounded to a dtype."""
    return narrow.rounded(reduced("sum", body, axes), dtype)


@pulled("gather")
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
    if not _are_within(e, indices, n):
        found = Expr("checked", found.dtype, (found,), n)
    item = Index(((Item(found, n), 1),))
    return e.at(x, (*lead, item, *rest), guards)


def _are_within(e: Elements, indices: Value, n: int) -> bool:
    """Whether indices are known, and none is out of range."""
    constant = e.graph.constants.get(indices)
    if constant is None or constant.size == 0:
        return False
    array = constant.array()
    return bool(array.min() >= 0 and array.max() < n)


@pulled("concat")
def _concat(
    e: Elements, node: Node, at: Coordinates, guards: tuple[Within, ...]
) -> Expr:
    op: Any = node.op
    found: Expr | None = None
    start = 0
    low, high = at[op.axis].bounds
    for x in node.operands:
        n = sizes_of(x.type)[op.axis]
        if n == 0:
            continue
        place = Within(at[op.axis], start, start + n)
        inner = (*at[: op.axis], at[op.axis] + -start, *at[op.axis + 1 :])
        if start <= low and high < start + n:
            return e.at(x, inner, guards)
        part = e.at(x, inner, (*guards, place))
        found = part if found is None else choose(within(place), part, found)
        start += n
    if found is None:  # all are empty, and nothing is read
        return const(0, narrow.carrier(node.results[0].dtype))
    return found


@pulled("pad")
def _pad(e: Elements, node: Node, at: Coordinates, guards: tuple[Within, ...]) -> Expr:
    op: Any = node.op
    x, value = node.operands
    places = list[Within]()
    inner = list[Index]()
    for i, n in enumerate(sizes_of(x.type)):
        moved = at[i] + -op.low[i]
        inner.append(spread_place(moved, n, op.interior[i] + 1, places))
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


@pulled("dot")
def _dot(e: Elements, node: Node, at: Coordinates, guards: tuple[Within, ...]) -> Expr:
    x, y = node.operands
    *lead, m, n = at
    k = Axis(sizes_of(x.type)[-1])
    left, right = e.at(x, (*lead, m, of(k)), guards), e.at(y, (*lead, of(k), n), guards)
    return _summed(node, left, right, (k,))


@pulled("conv")
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
        places.append(spread_place(spread, sizes[i + 2], op.lhs_dilation[i], inside))
    left = e.at(x, (image, channel, *places), tuple(inside))
    if all(expr.op != "read" for expr in ordered([left])):  # numbers know no border
        for place in inside[len(guards) :]:
            left = choose(within(place), left, const(0, left.dtype))
    right = e.at(w, (m, *map(of, axes)), guards)
    return _summed(node, left, right, axes)


def spread_place(at: Index, size: int, gap: int, inside: list[Within]) -> Index:
    """Where an element of an axis with gaps lies; ``inside`` grows by what it needs."""
    reach = (size - 1) * gap + 1
    low, high = at.bounds
    if low < 0 or high >= reach:
        inside.append(Within(at, 0, reach))
    if gap > 1:
        inside.append(Within(at % gap, 0, 1))
        return at // gap
    return at


@pulled("reduce_window")
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
        places.append(spread_place(place, shape[lead + i], 1, inside))
    body = e.at(x, (*at[:lead], *places), (*guards, *inside))
    neutral = const(identity(op.kind, body.dtype), body.dtype)
    for place in inside:
        body = choose(within(place), body, neutral)
    found = Expr("reduce", body.dtype, (body,), Reduction(op.kind, axes))
    return narrow.rounded(found, x.dtype)
