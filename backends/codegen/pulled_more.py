"""Ops that are made of others: positions of extremes, windows written, random bits."""

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
from graphwright.backends.codegen.elementwise import combined, greater, lesser
from graphwright.backends.codegen.expr import Expr, choose, const
from graphwright.backends.codegen.index import Axis, Index, Item, linear, of, unravelled
from graphwright.backends.codegen.pulled_basic import spread_place, summed_over
from graphwright.ir.dtype import DType, int32, int64, uint32, uint64
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.ir.ops.reduce import identity
from graphwright.ir.philox import MULTIPLIERS, WEYL


@pulled("sum_to")
def _sum_to(
    e: Elements, node: Node, at: Coordinates, guards: tuple[Within, ...]
) -> Expr:
    (x,), shape = node.operands, sizes_of(node.operands[0].type)
    kept = (1,) * (len(shape) - len(at)) + sizes_of(node.results[0].type)
    rest = (Index(),) * (len(shape) - len(at)) + at
    axes = {
        i: Axis(n) for i, (n, m) in enumerate(zip(shape, kept, strict=True)) if n != m
    }
    places = tuple(of(axes[i]) if i in axes else p for i, p in enumerate(rest))
    return summed_over(e.at(x, places, guards), x.dtype, tuple(axes.values()))


def _counting(extent: int) -> DType:
    return int32 if extent < 1 << 31 else int64


def _matches(x: Expr, best: Expr) -> Expr:
    """Whether an element is the extreme: NaN, if there is one."""
    same = x.same(best)
    return same | x.differs(x) if x.dtype.is_float else same


@pulled("arg_reduce")
def _arg_reduce(
    e: Elements, node: Node, at: Coordinates, guards: tuple[Within, ...]
) -> Expr:
    """The least position, or the greatest, of an element that is the extreme."""
    op: Any = node.op
    (x,) = node.operands
    n = sizes_of(x.type)[op.axis]
    axes = Axis(n), Axis(n)

    def element(axis: Axis) -> Expr:
        found = e.at(x, (*at[: op.axis], of(axis), *at[op.axis :]), guards)
        return found.to(int32) if found.dtype.kind == "b" else found

    first = element(axes[0])
    best = Expr("reduce", first.dtype, (first,), Reduction(op.kind, axes[:1]))
    held = _counting(n)
    index = Expr("index", held, (), of(axes[1]))
    none, kind = (-1, "max") if op.last else (n, "min")
    place = choose(_matches(element(axes[1]), best), index, none)
    found = Expr("reduce", held, (place,), Reduction(kind, axes[1:]))
    return found.to(int64)


@pulled("window_argmax")
def _window_argmax(
    e: Elements, node: Node, at: Coordinates, guards: tuple[Within, ...]
) -> Expr:
    op: Any = node.op
    (x,) = node.operands
    shape = sizes_of(x.type)
    lead = len(shape) - len(op.window)
    size = 1
    for n in shape[lead:]:
        size *= n

    def window() -> tuple[Expr, tuple[Axis, ...], Index, list[Within]]:
        axes, inside = tuple(map(Axis, op.window)), list[Within]()
        places: list[Index] = []
        for i, axis in enumerate(axes):
            place = at[lead + i] * op.strides[i] + of(axis) * op.dilations[i]
            place = place + -op.padding[i][0]
            places.append(spread_place(place, shape[lead + i], 1, inside))
        body = e.at(x, (*at[:lead], *places), (*guards, *inside))
        return body, axes, linear(places, shape[lead:]), inside

    body, axes, _, inside = window()
    neutral = const(identity("max", body.dtype), body.dtype)
    for guard in inside:
        body = choose(within(guard), body, neutral)
    best = Expr("reduce", body.dtype, (body,), Reduction("max", axes))
    body, axes, position, inside = window()
    held = _counting(size)
    chosen = _matches(body, best)
    for guard in inside:
        chosen = chosen & within(guard)
    place = choose(chosen, Expr("index", held, (), position), size)
    found = Expr("reduce", held, (place,), Reduction("min", axes))
    return choose(found.same(size), const(-1, held), found).to(int64)


def _start(e: Elements, v: Value, most: int, guards: tuple[Within, ...]) -> Index:
    """Where a window begins, from 0 to ``most``."""
    constant = e.graph.constants.get(v)
    if constant is not None:
        return Index(start=min(max(int(constant.array()), 0), most))
    value = e.at(v, (), guards)
    begin = value.to(int64) if value.dtype.kind == "i" else value
    begin = lesser(begin, const(most, begin.dtype))
    begin = greater(begin, const(0, begin.dtype)).to(int64)
    return of(Item(begin, most + 1))


@pulled("dynamic_update_slice")
def _dynamic_update_slice(
    e: Elements, node: Node, at: Coordinates, guards: tuple[Within, ...]
) -> Expr:
    x, y, *starts = node.operands
    places, inside = list[Index](), list[Within]()
    rows = zip(at, sizes_of(x.type), sizes_of(y.type), starts, strict=True)
    for place, n, m, start in rows:
        places.append(place + _start(e, start, n - m, guards) * -1)
        low, high = places[-1].bounds
        if high < 0 or low >= m:
            return e.at(x, at, guards)
        if low < 0 or high >= m:
            inside.append(Within(places[-1], 0, m))
    written = e.at(y, tuple(places), (*guards, *inside))
    if not inside:
        return written
    kept = e.at(x, at, guards)
    holds = within(inside[0])
    for guard in inside[1:]:
        holds = holds & within(guard)
    return choose(holds, written, kept)


@pulled("size_of")
def _size_of(e: Elements, node: Node, at: Coordinates, _: tuple[Within, ...]) -> Expr:
    op: Any = node.op
    sizes = [int(n) for n in op.dims]
    index = Expr("index", int64, (), at[0])
    found = const(sizes[-1] if sizes else 0, int64)
    for i, n in enumerate(sizes[:-1]):
        found = choose(index.same(i), const(n, int64), found)
    return found


_ROUNDS = 10


@pulled("random_bits")
def _random_bits(
    e: Elements, node: Node, at: Coordinates, guards: tuple[Within, ...]
) -> Expr:
    """Philox4x32-10: a word of the block that its position falls into."""
    position = linear(at, sizes_of(node.results[0].type))
    block = Expr("index", int64, (), position // 4).bits(uint64)
    word = Expr("index", int32, (), position % 4)
    (key,) = node.operands
    keys = [e.at(key, (Index(start=i),), guards) for i in (0, 1)]
    zero = const(0, uint32)
    words = [block.to(uint32), (block >> 32).to(uint32), zero, zero]
    for number in range(_ROUNDS):
        wide = [
            words[i].to(uint64) * f for i, f in zip((0, 2), MULTIPLIERS, strict=True)
        ]
        low, high = zip(
            *((x.to(uint32), (x >> 32).to(uint32)) for x in wide), strict=True
        )
        words = [
            high[1] ^ words[1] ^ (keys[0] + number * WEYL[0] % 2**32),
            low[1],
            high[0] ^ words[3] ^ (keys[1] + number * WEYL[1] % 2**32),
            low[0],
        ]
    found = words[3]
    for i in (2, 1, 0):
        found = choose(word.same(i), words[i], found)
    return found


MOST_SEEN = 128
"""Elements of which each result looks at all: beyond, another algorithm is better."""


@pulled("cumulative")
def _cumulative(
    e: Elements, node: Node, at: Coordinates, guards: tuple[Within, ...]
) -> Expr:
    """Each result combines all elements up to its own place, for short axes."""
    op: Any = node.op
    (x,) = node.operands
    axis = Axis(sizes_of(x.type)[op.axis])
    inside = (*at[: op.axis], of(axis), *at[op.axis + 1 :])
    body = e.at(x, inside, guards)
    held = _counting(axis.extent)
    place = Expr("index", held, (), of(axis))
    own = Expr("index", held, (), at[op.axis])
    first, last = (own, place) if op.reverse else (place, own)
    counts = first < last if op.exclusive else first <= last
    neutral = const(identity(op.kind, body.dtype), body.dtype)
    body = choose(counts, body, neutral)
    found = Expr("reduce", body.dtype, (body,), Reduction(op.kind, (axis,)))
    return narrow.rounded(found, x.dtype)


@pulled("scatter")
def _scatter(
    e: Elements, node: Node, at: Coordinates, guards: tuple[Within, ...]
) -> Expr:
    """Each result combines all updates that are meant for it, for few updates."""
    op: Any = node.op
    x, indices, updates = node.operands
    n, lead = sizes_of(x.type)[op.axis], at[: op.batch_dims]
    inner = sizes_of(indices.type)[op.batch_dims :]
    own = e.at(x, at, guards)

    def found_at(places: tuple[Index, ...]) -> tuple[Expr, Expr]:
        """Whether an update is meant for it, and the update."""
        index = e.at(indices, (*lead, *places), guards)
        checked = Expr("checked", index.dtype, (index,), n)
        target = Expr("index", index.dtype, (), at[op.axis])
        where = (*at[: op.axis], *places, *at[op.axis + 1 :])
        return checked.same(target), e.at(updates, where, guards)

    axes = tuple(map(Axis, inner))
    places = tuple(map(of, axes))
    meant, update = found_at(places)
    if op.mode != "set":
        kind = {"add": "sum", "mul": "prod"}.get(op.mode, op.mode)
        neutral = const(identity(kind, update.dtype), update.dtype)
        body = choose(meant, update, neutral)
        total = Expr("reduce", body.dtype, (body,), Reduction(kind, axes))
        return narrow.rounded(combined(kind, own, total), x.dtype)
    count = 1
    for size in inner:
        count *= size
    held = _counting(count)
    place = choose(meant, Expr("index", held, (), linear(places, inner)), -1)
    latest = Expr("reduce", held, (place,), Reduction("max", axes))
    safe = greater(latest, const(0, held))
    item = Index(((Item(safe, count), 1),))
    _, update = found_at(unravelled(item, inner))
    return choose(latest >= 0, update, own)
