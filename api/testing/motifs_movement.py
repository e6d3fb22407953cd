"""Motifs of movement: views of views, parts of wholes, movement past other ops."""

from collections.abc import Sequence
from typing import Any

from graphwright.ir.dim import Dim, product
from graphwright.ir.dtype import int64
from graphwright.ir.emitter import Value
from graphwright.ir.op import OPS
from graphwright.testing.maker import Maker, Reject
from graphwright.testing.motifs import (
    along,
    motif,
    number,
    numbers,
    often,
    rarely,
    read_again,
    spread,
)
from graphwright.testing.recipes_elementwise import domain
from graphwright.testing.recipes_movement import window
from graphwright.testing.registry import RECIPES, arity, is_plain, kinds_of

_ANY = "fiub"


def view(m: Maker, name: str, x: Value, **fields: Any) -> Value:
    """An op that moves elements."""
    return m.emit(name, x, **fields)[0]


def reshaped(m: Maker, x: Value, keep: int = 0) -> Value:
    """A value in another shape whose last ``keep`` dims stay."""
    dims = list(x.shape)
    free = len(dims) - keep
    kind = m.c.integer(0, 2)
    if kind == 0:
        dims.insert(m.c.integer(0, max(free, 0)), 1)
    elif kind == 1 and free > 1:
        at = m.c.integer(0, free - 2)
        dims[at : at + 2] = [dims[at] * dims[at + 1]]
    else:
        whole = product(dims[: max(free, 0)])
        split = isinstance(whole, int) and whole % 2 == 0 and whole > 0
        lead: list[Dim] = [whole // 2, 2] if split else [whole, 1]
        dims[: max(free, 0)] = lead
    return view(m, "reshape", x, shape=tuple(dims))


def turned(m: Maker, x: Value) -> Value:
    """A value with its axes in another order."""
    return view(m, "transpose", x, perm=m.order(x.rank))


# Nothing moves ------------------------------------------------------------------------


@motif("cast_to_itself")
def cast_to_itself(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY)
    return [view(m, "cast", x, dtype=x.dtype)]


@motif("cast_twice")
def cast_twice(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, exact=True)
    if x.dtype.is_float:
        x = m.inside(x, (0.0, 6.0))
    inner, outer = m.dtype(_ANY), m.dtype(_ANY)
    if x.dtype.is_int and inner.is_float:
        x = m.inside(x, (max(-32.0, x.dtype.limits[0]), min(32.0, x.dtype.limits[1])))
    y = view(m, "cast", x, dtype=inner)
    read_again(m, y)
    (z,) = m.emit("cast", y, dtype=outer, saturate=m.flag())
    return [m.state(z, -32.0, 32.0) if z.dtype.is_float else z]


@motif("to_own_shape")
def to_own_shape(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY)
    return [view(m, m.c.pick(["reshape", "broadcast_to"]), x, shape=x.shape)]


@motif("slice_all")
def slice_all(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (1, 3))
    start: list[Dim] = [0] * x.rank
    step, size = [1] * x.rank, list(x.shape)
    if rarely(m):
        at = m.axis(x)
        start[at], step[at] = x.shape[at] - 1, -1
    elif rarely(m):
        at = m.axis(x)
        m.positive(x.shape[at])
        size[at] = x.shape[at] - 1
        start[at] = m.c.integer(0, 1)
    return [view(m, "slice", x, start=tuple(start), size=tuple(size), step=tuple(step))]


@motif("pad_nothing")
def pad_nothing(m: Maker) -> Sequence[Value]:
    x = m.tensor("fiu", (1, 3))
    sides = [[0] * x.rank for _ in range(3)]
    if rarely(m):
        sides[m.c.integer(0, 2)][m.axis(x)] = 1
    low, high, interior = map(tuple, sides)
    v = number(m, x.dtype, (), 1.0)
    return m.emit("pad", x, v, low=low, high=high, interior=interior)


@motif("transpose_ones")
def transpose_ones(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (1, 3))
    at = m.c.integer(0, x.rank)
    y = view(m, "reshape", x, shape=(*x.shape[:at], 1, *x.shape[at:]))
    perm = [i for i in range(y.rank) if i != at]
    perm.insert(m.c.integer(0, x.rank), at)
    if rarely(m):
        perm = list(m.order(y.rank))
    return [view(m, "transpose", y, perm=tuple(perm))]


@motif("reduce_no_axes")
def reduce_no_axes(m: Maker) -> Sequence[Value]:
    x = m.tensor("fiu", (0, 3))
    kind = m.c.pick(["max", "min", "sum", "prod"])
    return m.emit("reduce", x, kind=kind, axes=())


# Twice the same -----------------------------------------------------------------------


@motif("reshape_twice")
def reshape_twice(m: Maker) -> Sequence[Value]:
    y = reshaped(m, m.tensor(_ANY, (1, 3)))
    read_again(m, y)
    return [reshaped(m, y)]


@motif("transpose_twice")
def transpose_twice(m: Maker) -> Sequence[Value]:
    y = turned(m, m.tensor(_ANY, (2, 4)))
    read_again(m, y)
    return [turned(m, y)]


@motif("swap_between_reshapes")
def swap_between_reshapes(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (2, 4))
    *lead, rows, columns = x.shape
    flat = view(m, "reshape", x, shape=(product(lead), rows, columns))
    y = view(m, "transpose", flat, perm=(0, 2, 1) if often(m) else m.order(3))
    n, *rest = y.shape
    shape = (*lead, *rest) if n == product(lead) else tuple(reversed(y.shape))
    if rarely(m):
        shape = (product(y.shape),)
    return [view(m, "reshape", y, shape=shape)]


@motif("swap_around_reshape")
def swap_around_reshape(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (2, 4))
    order = (*range(x.rank - 2), x.rank - 1, x.rank - 2)
    y = view(m, "transpose", x, perm=order if often(m) else m.order(x.rank))
    *lead, rows, columns = y.shape
    shape = (
        (rows, product(lead), columns) if rarely(m) else (product(lead), rows, columns)
    )
    y = view(m, "reshape", y, shape=shape)
    return [view(m, "transpose", y, perm=(0, 2, 1) if often(m) else m.order(3))]


@motif("broadcast_twice")
def broadcast_twice(m: Maker) -> Sequence[Value]:
    y = m.tensor(_ANY, (0, 2))
    if m.flag():
        y = view(m, "reshape", y, shape=(1, *y.shape))
    for _ in range(2):
        dims = tuple(m.dim() if d == 1 and m.flag() else d for d in y.shape)
        y = view(m, "broadcast_to", y, shape=(*m.shape(0, 1), *dims))
    return [y]


@motif("broadcast_reshaped")
def broadcast_reshaped(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (0, 2))
    ones = (1,) * m.c.integer(1, 2)
    at = m.c.integer(0, x.rank) if rarely(m) else 0
    y = view(m, "reshape", x, shape=(*x.shape[:at], *ones, *x.shape[at:]))
    dims = tuple(m.dim() if d == 1 else d for d in y.shape)
    return [view(m, "broadcast_to", y, shape=dims)]


@motif("slice_twice")
def slice_twice(m: Maker) -> Sequence[Value]:
    y = m.tensor(_ANY, (1, 3))
    for _ in range(2):
        start, size, step = zip(*(window(m, d) for d in y.shape), strict=True)
        y = view(m, "slice", y, start=start, size=size, step=step)
        read_again(m, y)
    return [y]


def border(m: Maker, rank: int, least: int = 0) -> tuple[int, ...]:
    """What ``pad`` adds on one side."""
    return tuple(m.c.integer(least, 2) for _ in range(rank))


def padded(m: Maker, x: Value, v: Value, least: int = 0) -> Value:
    """A value with a border, rarely with gaps."""
    fields = {"low": border(m, x.rank, least), "high": border(m, x.rank, least)}
    gaps = tuple(int(rarely(m)) for _ in range(x.rank))
    return m.emit("pad", x, v, interior=gaps, **fields)[0]


@motif("pad_twice")
def pad_twice(m: Maker) -> Sequence[Value]:
    x = m.tensor("fiu", (1, 3))
    m.positive(*x.shape)
    v = number(m, x.dtype, (), 2.0)
    w = number(m, x.dtype, (), 1.0) if rarely(m) else v
    y = padded(m, x, v, -1 if rarely(m) and all(d != 1 for d in x.shape) else 0)
    return [padded(m, y, w)]


# Parts and wholes ---------------------------------------------------------------------


@motif("concat_of_concat")
def concat_of_concat(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (1, 3))
    axis = m.axis(x)
    other = m.axis(x) if rarely(m) else axis
    y = m.emit("concat", x, m.like(x), axis=other)[0]
    read_again(m, y)
    parts = [y, m.shaped(x.dtype, y.shape)]
    if m.flag():
        parts.reverse()
    return m.emit("concat", *parts, axis=axis)


@motif("concat_one")
def concat_one(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (1, 3))
    return m.emit("concat", x, axis=m.axis(x))


@motif("concat_of_slices")
def concat_of_slices(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (1, 3))
    axis = m.axis(x)
    size = x.shape[axis]
    if not isinstance(size, int) or size < 2:
        raise Reject
    cut = m.c.integer(1, size - 1)
    ends = [(0, cut), (cut, size)]
    if rarely(m):
        ends = [ends[1], ends[0]] if m.flag() else [(0, cut), (cut - 1, size)]
    parts = [_part(m, x, axis, *end) for end in ends]
    if rarely(m):
        parts.append(parts[0])
    return m.emit("concat", *parts, axis=axis)


def _part(m: Maker, x: Value, axis: int, start: int, stop: int) -> Value:
    begin, size, step = [0] * x.rank, list(x.shape), [1] * x.rank
    begin[axis], size[axis] = start, stop - start
    if rarely(m) and stop > start:
        begin[axis], step[axis] = stop - 1, -1
    fields = {"start": tuple(begin), "size": tuple(size), "step": tuple(step)}
    return view(m, "slice", x, **fields)


@motif("slice_of_concat")
def slice_of_concat(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (1, 3))
    axis = m.axis(x)
    sizes = [m.c.pick([x.shape[axis], x.shape[axis], 2]) for _ in range(3)]
    parts = [
        m.shaped(x.dtype, (*x.shape[:axis], size, *x.shape[axis + 1 :]))
        for size in sizes
    ]
    whole = m.emit("concat", *parts, axis=axis)[0]
    rows = [(0, d, 1) if often(m) else window(m, d) for d in whole.shape]
    rows[axis] = _piece(m, sizes)
    start, size, step = zip(*rows, strict=True)
    return [view(m, "slice", whole, start=start, size=size, step=step)]


def _piece(m: Maker, sizes: Sequence[Dim]) -> tuple[Dim, Dim, Dim]:
    """Start, size and step of what lies in one of some parts, or rarely does not."""
    at = m.c.integer(0, len(sizes) - 1)
    begin, size = sum(sizes[:at]), sizes[at]
    if rarely(m):
        return window(m, sum(sizes))
    if not isinstance(begin, int) or not isinstance(size, int):
        if rarely(m):
            return begin, sum(sizes[at:]), 1
        return begin + int(rarely(m) and at + 1 < len(sizes)), size, 1
    start = m.c.integer(0, size)
    return begin + start, m.c.integer(0, size - start), 1


@motif("slice_of_pad")
def slice_of_pad(m: Maker) -> Sequence[Value]:
    x = m.tensor("fiu", (1, 3))
    if not all(isinstance(d, int) and d for d in x.shape):
        raise Reject
    low, high = border(m, x.rank), border(m, x.rank)
    gaps = tuple(int(rarely(m)) for _ in range(x.rank))
    v = number(m, x.dtype, (), 2.0)
    y = m.emit("pad", x, v, low=low, high=high, interior=gaps)[0]
    rows: list[tuple[Dim, Dim, Dim]] = [
        _within(m, d, lo) for d, lo in zip(x.shape, low, strict=True)
    ]
    if rarely(m):
        rows = [window(m, d) for d in y.shape]
    start, size, step = zip(*rows, strict=True)
    return [view(m, "slice", y, start=start, size=size, step=step)]


def _within(m: Maker, dim: Any, low: int) -> tuple[int, int, int]:
    """Start, size and step of a part that takes nothing, or little, of a border."""
    start = m.c.integer(0, dim - 1)
    step = m.c.pick([1, -1, 2])
    room = start // -step if step < 0 else (dim - 1 - start) // step
    return start + low, m.c.integer(1, room + 1), step


@motif("gather_iota")
def gather_iota(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (1, 3))
    axis = m.axis(x)
    size = x.shape[axis]
    rows = m.c.integer(1, 2) if rarely(m) and isinstance(size, int) and size else size
    if isinstance(size, int) and isinstance(rows, int) and rows > size:
        rows = size
    at = m.emit("iota", shape=(rows,), axis=0, dtype=int64)[0]
    return m.emit("gather", x, at, axis=axis, batch_dims=0)


@motif("gather_row")
def gather_row(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (1, 3))
    axis = m.axis(x)
    size = x.shape[axis]
    if not isinstance(size, int) or not size:
        raise Reject
    start, count, step = _within(m, size, 0)
    rows = [start + i * step for i in range(count)]
    if rarely(m):
        rows = [m.c.integer(0, size - 1) for _ in range(3)]
    at = m.b.constant(rows[0] if len(rows) == 1 and m.flag() else rows, int64)
    return m.emit("gather", x, at, axis=axis, batch_dims=0)


# Past other ops -----------------------------------------------------------------------


def _elementwise(m: Maker, kinds: str) -> str:
    names = [n for n in RECIPES if n in OPS and is_plain(OPS[n])]
    return m.c.pick([n for n in names if set(kinds_of(OPS[n])) & set(kinds)])


def _applied(m: Maker, name: str, x: Value, partner: Any) -> Sequence[Value]:
    """An op on a moved value; where it takes two, with a partner that may follow."""
    cls = OPS[name]
    if x.dtype.kind not in kinds_of(cls) or (cls.steps and not m.fact(x).exact):
        raise Reject
    operands = [x, *(partner() for _ in range(arity(cls) - 1))]
    if m.flag():
        operands.reverse()
    rows = enumerate(operands)
    if len({v.shape for v in operands}) > 1:
        raise Reject
    ready = [m.inside(v, domain(cls, i)) if domain(cls, i) else v for i, v in rows]
    return m.elementwise(name, *ready)


def _partner(m: Maker, x: Value, moved: Value, move: Any) -> Value:
    """Another operand: moved alike, repeated, constant, or just there."""
    kind = m.c.integer(0, 5)
    if kind == 0:
        return move(m.like(x))  # type: ignore[no-any-return]
    if kind == 1:
        return number(m, moved.dtype, moved.shape, 1.0)
    if kind == 2 and all(isinstance(d, int) for d in moved.shape):
        return numbers(m, moved.dtype, [d for d in moved.shape if isinstance(d, int)])
    if kind == 3 and moved.rank:
        return along(m, moved.dtype, moved.shape, m.axis(moved))
    if kind == 4 and moved.rank:
        small = m.shaped(moved.dtype, moved.shape[-1:])
        return spread(m, small, moved.shape)
    return m.like(moved)


def _past(m: Maker, move: Any, low: int) -> Sequence[Value]:
    kinds = "f" if often(m) else "fiub"
    name = m.c.pick(["add", "mul", "sub", "max", "exp"])
    if m.flag():
        name = _elementwise(m, kinds)
    x = m.tensor(kinds, (low, 4))
    moved = move(x)
    read_again(m, moved)
    return _applied(m, name, moved, lambda: _partner(m, x, moved, move))


@motif("reshape_past_elementwise")
def reshape_past_elementwise(m: Maker) -> Sequence[Value]:
    shape: list[tuple[Dim, ...]] = []

    def move(x: Value) -> Value:
        if shape and not rarely(m):
            return view(m, "reshape", x, shape=shape[0])
        y = reshaped(m, x, keep=m.c.integer(0, max(x.rank - 1, 0)))
        shape.append(y.shape)
        return y

    return _past(m, move, 1)


@motif("transpose_past_elementwise")
def transpose_past_elementwise(m: Maker) -> Sequence[Value]:
    perms: list[tuple[int, ...]] = []

    def move(x: Value) -> Value:
        if not perms or rarely(m):
            perms.append(m.order(x.rank))
        return view(m, "transpose", x, perm=perms[0])

    return _past(m, move, 2)


@motif("transpose_past_extremum", "transpose_past_sum")
def transpose_past_reduction(m: Maker) -> Sequence[Value]:
    x = m.tensor("fiu", (2, 4), within=(-1.0, 1.0))
    y = turned(m, x)
    read_again(m, y)
    kind = m.c.pick(["max", "min", "sum", "prod"])
    axes = m.axes(y)
    if kind in ("max", "min"):
        m.positive(*(y.shape[a] for a in axes))
    size = m.size(y) * m.most(y.tensor.size) + 1
    return m.bounded(size, "reduce", y, kind=kind, axes=axes)


@motif("reshape_past_norm")
def reshape_past_norm(m: Maker) -> Sequence[Value]:
    x = m.tensor("f", (2, 3))
    y = reshaped(m, x, keep=x.rank - 1 if often(m) else 0)
    axis = m.c.integer(max(y.rank - 2, 0), y.rank - 1)
    m.positive(*y.shape[axis:])
    name = m.c.pick(["layer_norm", "rms_norm"])
    affine = [m.shaped(x.dtype, y.shape[axis:]) for _ in range(m.c.integer(0, 1))]
    size = (m.most(product(y.shape[axis:])) + 1) * (m.size(*affine) + 1)
    return m.bounded(size, name, y, *affine, axis=axis, epsilon=0.125)


@motif("reshape_past_softmax")
def reshape_past_softmax(m: Maker) -> Sequence[Value]:
    x = m.tensor("f", (1, 3), within=(-8.0, 8.0))
    y = reshaped(m, x, keep=min(x.rank, 1) if often(m) else 0)
    axis = y.rank - 1 if often(m) else m.axis(y)
    name = m.c.pick(["softmax", "log_softmax"])
    return m.bounded(24.0, name, y, axis=axis)
