"""Motifs of rotary embeddings, of halves and of neighbours."""

from collections.abc import Sequence

from graphwright.ir.dim import Dim
from graphwright.ir.dtype import DTYPES
from graphwright.ir.emitter import Value
from graphwright.testing.maker import Maker
from graphwright.testing.motifs import (
    either_order,
    motif,
    often,
    rarely,
    read_again,
    spread,
)
from graphwright.testing.motifs_movement import view

_UNIT = (-1.0, 1.0)


def _lead(m: Maker) -> tuple[Dim, ...]:
    return tuple(m.dim() for _ in range(m.c.integer(0, 2)))


def _embedded(m: Maker) -> Value:
    """What is turned; at times a part of something longer."""
    dtype = DTYPES[m.c.pick(["float32", "float32", "float64", "float16"])]
    size = 2 * m.c.integer(1, 3)
    lead = _lead(m)
    if often(m):
        return m.shaped(dtype, (*lead, size), within=_UNIT)
    return _last(m, m.shaped(dtype, (*lead, size + 2), within=_UNIT), 0, size)


def _last(m: Maker, x: Value, start: int, size: Dim, step: int = 1) -> Value:
    """A slice of the last axis."""
    rest, lead = (0,) * (x.rank - 1), x.shape[:-1]
    steps = (1,) * (x.rank - 1)
    fields = {"start": (*rest, start), "size": (*lead, size), "step": (*steps, step)}
    return view(m, "slice", x, **fields)


def _halves(m: Maker, x: Value, pairs: bool) -> list[Value]:
    """Firsts and seconds of the pairs; rarely the other way round."""
    size = x.shape[-1]
    assert isinstance(size, int)
    half = size // 2
    order = (1, 0) if rarely(m) else (0, 1)
    if not pairs:
        return [_last(m, x, i * half, half) for i in order]
    if m.flag():
        return [_last(m, x, i, half, 2) for i in order]
    lead = x.shape[:-1]
    split = view(m, "reshape", x, shape=(*lead, half, 2))
    columns = [_last(m, split, i, 1) for i in order]
    return [view(m, "reshape", c, shape=(*lead, half)) for c in columns]


def _joined(m: Maker, first: Value, second: Value, pairs: bool) -> Value:
    axis = first.rank - 1
    if not pairs:
        return m.emit("concat", first, second, axis=axis)[0]
    shape = (*first.shape, 1)
    columns = [view(m, "reshape", v, shape=shape) for v in (first, second)]
    y = m.emit("concat", *columns, axis=axis + 1)[0]
    size = first.shape[-1]
    return view(m, "reshape", y, shape=(*first.shape[:-1], size * 2))


def _angle(m: Maker, like: Value) -> Value:
    """The same for all rows, or for each its own."""
    shape = like.shape if m.flag() else like.shape[-1:]
    return spread(m, m.shaped(like.dtype, shape, within=_UNIT), like.shape)


@motif("rotary")
def rotary(m: Maker) -> Sequence[Value]:
    x, pairs = _embedded(m), m.flag()
    first, second = _halves(m, x, pairs)
    if not rarely(m):
        second = m.elementwise("neg", second)[0]
    turned = _joined(m, second, first, pairs if not rarely(m) else not pairs)
    cos, sin = _angle(m, x), _angle(m, x)
    plain, bent = either_order(m, "mul", x, cos), either_order(m, "mul", turned, sin)
    read_again(m, turned, plain)
    return [either_order(m, "add", plain, bent)]


@motif("rotary_of_halves")
def rotary_of_halves(m: Maker) -> Sequence[Value]:
    x, pairs = _embedded(m), m.flag()
    first, second = _halves(m, x, pairs)
    cos, sin = _angle(m, first), _angle(m, first)
    other = _angle(m, first) if rarely(m) else cos
    uc, vs = either_order(m, "mul", first, cos), either_order(m, "mul", second, sin)
    vc, us = either_order(m, "mul", second, other), either_order(m, "mul", first, sin)
    lower = m.elementwise("sub", uc, vs)[0]
    return [_joined(m, lower, either_order(m, "add", vc, us), pairs)]
