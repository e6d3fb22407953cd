"""Motifs of what makes a graph suit a backend: nodes that become one region."""

from collections.abc import Sequence
from typing import Any

from graphwright.ir.dtype import DType, float32, float64, int32, int64
from graphwright.ir.emitter import Value
from graphwright.testing.maker import Maker, Reject
from graphwright.testing.motifs import (
    along,
    either_order,
    motif,
    number,
    numbers,
    often,
    rarely,
    read_again,
    spread,
)
from graphwright.testing.motifs_linear import op
from graphwright.testing.motifs_movement import reshaped, turned, view

_NEAR = (-2.0, 2.0)


def _image(m: Maker) -> Value:
    shape = (m.c.integer(1, 2), m.c.pick([2, 4]), m.c.integer(2, 4), m.c.integer(2, 4))
    return m.shaped(m.dtype("f"), shape, within=_NEAR)


def _conv(m: Maker, x: Value, filters: int, kernel: int, groups: int) -> Value:
    """A convolution with constant weights that keeps sizes, and rarely does not."""
    depth = int(str(x.shape[1])) // groups
    k = numbers(m, x.dtype, (filters, depth, kernel, kernel))
    pad = (kernel // 2, kernel // 2)
    fields: dict[str, Any] = {
        "strides": (2, 2) if rarely(m) else (1, 1),
        "padding": ((1, 1) if rarely(m) else pad, pad),
        "lhs_dilation": (1, 2 if rarely(m) else 1),
        "rhs_dilation": (1, 1),
    }
    size = m.size(x) * m.size(k) * kernel * kernel * depth
    return m.bounded(size, "conv", x, k, groups=groups, **fields)[0]


def _ended(m: Maker, x: Value) -> Value:
    """With a bias and a clamp, or with neither."""
    if often(m):
        x = either_order(m, "add", x, along(m, x.dtype, x.shape, 1))
    if m.flag():
        x = op(m, "max", x, number(m, x.dtype, x.shape, 0.0))
    read_again(m, x)
    return m.inside(x, _NEAR)


@motif("fuse_separable")
def fuse_separable(m: Maker) -> Sequence[Value]:
    x = _image(m)
    if often(m):
        x = _ended(m, _conv(m, x, m.c.pick([2, 4]), 3 if rarely(m) else 1, 1))
    channels = int(str(x.shape[1]))
    x = _ended(m, _conv(m, x, channels, 3, 1 if rarely(m) else channels))
    return [_ended(m, _conv(m, x, 2, 1, 2 if rarely(m) else 1))]


@motif("fuse_shuffles")
def fuse_shuffles(m: Maker) -> Sequence[Value]:
    x = _ended(m, _conv(m, _image(m), m.c.pick([4, 6]), 3 if rarely(m) else 1, 1))
    n, channels, *spatial = x.shape
    groups = m.c.pick([2, int(str(channels)) // 2])
    cut = (n, groups, int(str(channels)) // groups, *spatial)
    y = view(m, "reshape", x, shape=cut)
    read_again(m, y)
    y = turned(m, y) if rarely(m) else view(m, "transpose", y, perm=(0, 2, 1, 3, 4))
    return [view(m, "reshape", y, shape=x.shape)]


@motif("sink_shuffles")
def sink_shuffles(m: Maker) -> Sequence[Value]:
    x = _image(m)
    n, channels, *spatial = x.shape
    own = int(str(channels))
    cut = view(m, "reshape", x, shape=(n, 2, own // 2, *spatial))
    y = turned(m, cut) if rarely(m) else view(m, "transpose", cut, perm=(0, 2, 1, 3, 4))
    y = view(m, "reshape", y, shape=x.shape)
    read_again(m, y)
    y = _ended(m, _conv(m, y, own, 3, 2 if rarely(m) else own))
    return [_ended(m, _conv(m, y, 2, 1, m.c.pick([1, 2])))]


@motif("fuse_means")
def fuse_means(m: Maker) -> Sequence[Value]:
    x = m.tensor("f", (1, 3), within=_NEAR)
    if not all(isinstance(d, int) and d for d in x.shape):
        raise Reject
    n = m.c.integer(1, x.rank)
    window = tuple(m.c.pick([1, 2]) for _ in range(n))
    fields: dict[str, Any] = {
        "dilations": (1,) * n,
        "strides": (1,) * n,
        "padding": tuple((0, w - 1) for w in window),
        "kind": "max" if rarely(m) else "sum",
    }
    size = m.size(x) * 4
    total = m.bounded(size, "reduce_window", x, window=window, **fields)[0]
    read_again(m, total)
    spread_out = [d if m.flag() or rarely(m) else 1 for d in total.shape]
    counts = numbers(m, x.dtype, [int(str(d)) for d in spread_out])
    divisor = number(m, x.dtype, total.shape, 4.0)
    if often(m):
        divisor = spread(m, counts, total.shape)
    return [op(m, "div", total, divisor)]


@motif("fuse_indices")
def fuse_indices(m: Maker) -> Sequence[Value]:
    x = m.tensor("fiub", (1, 3))
    axis = m.axis(x)
    size = x.shape[axis]
    if not isinstance(size, int) or not size:
        raise Reject
    dtype = m.c.pick([int32, int64])
    shape = [m.dim() for _ in range(m.c.integer(0, 2))]
    count = size - 1 if rarely(m) else size
    i = m.shaped(dtype, shape, within=(-float(count), size - 1.0), exact=True)
    below = op(m, "lt", i, number(m, dtype, i.shape, 0.0))
    behind = either_order(m, "add", i, number(m, dtype, i.shape, float(count)))
    chosen = m.emit("where", below, behind, i)[0]
    read_again(m, chosen)
    return m.emit("gather", x, chosen, axis=axis)


@motif("raise_squeezes")
def raise_squeezes(m: Maker) -> Sequence[Value]:
    n = m.dim()
    column = m.c.pick([(n, 1), (1, n), (n, 2) if rarely(m) else (n, 1)])
    x = m.shaped(m.dtype("f"), column, within=_NEAR)
    for _ in range(m.c.integer(1, 3)):
        kind = m.c.integer(0, 3)
        if kind == 0:
            x = either_order(m, "add", x, number(m, x.dtype, x.shape, 0.5))
        elif kind == 1:
            x = either_order(m, "mul", x, m.like(x, within=_NEAR))
        else:
            x = op(m, m.c.pick(["tanh", "neg", "abs"]), x)
        read_again(m, x)
        x = m.inside(x, _NEAR)
    return [view(m, "reshape", x, shape=(x.tensor.size,))]


@motif("fuse_views", "fuse_strided")
def fuse_views(m: Maker) -> Sequence[Value]:
    dtype = m.c.pick([float32, float32, float64])
    n, heads, rows, columns, size, out = (m.c.integer(1, 3) for _ in range(6))
    shapes = ((rows, size), (columns, size), (columns, out))
    q, k, v = (_seen(m, dtype, (n, heads, *shape)) for shape in shapes)
    y = m.bounded(m.size(v) + 1, "attention", q, k, v, scale=0.5)[0]
    read_again(m, y)
    return [turned(m, y) if m.flag() else reshaped(m, y)]


def _seen(m: Maker, dtype: DType, shape: Sequence[int]) -> Value:
    """A tensor of a shape, as a view of another."""
    perm = m.order(len(shape))
    held = [shape[perm.index(axis)] for axis in range(len(shape))]
    x = m.shaped(dtype, held, within=_NEAR)
    return view(m, "transpose", x, perm=perm)
