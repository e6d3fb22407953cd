"""Motifs of quantised tensors: 8-bit integers, what they stand for, and back."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphwright.ir.dim import Dim
from graphwright.ir.dtype import DTYPES, DType, int16, int32
from graphwright.ir.emitter import Value
from graphwright.testing.maker import Maker, Reject
from graphwright.testing.motifs import (
    motif,
    number,
    numbers,
    rarely,
    read_again,
    spread,
)
from graphwright.testing.motifs_linear import image
from graphwright.testing.motifs_movement import turned, view
from graphwright.testing.recipes_movement import window

_FLOAT = DTYPES["float32"]
_SCALES = (0.25, 0.5, 0.0625)


def _eight(m: Maker) -> DType:
    return DTYPES[m.c.pick(["int8", "uint8"])]


def _numbers(m: Maker, x: Value, per: Sequence[Dim] = ()) -> list[Value]:
    """A scale, of the whole or of a part, and perhaps a zero point."""
    count = [d for d in per if isinstance(d, int)]
    scale = np.resize(np.array([m.c.pick(_SCALES), 0.5]), tuple(count))
    if not count:
        scale = np.array(m.c.pick(_SCALES))
    zero = [m.constant(m.c.integer(0, 3), x.dtype)] if m.flag() else []
    return [m.constant(scale.astype(np.float32)), *zero]


def real(m: Maker, x: Value, given: Sequence[Value]) -> Value:
    """What 8-bit integers stand for."""
    y = m.bounded(8.0, "dequantize", x, *given, dtype=_FLOAT)[0]
    read_again(m, y)
    return y


def _tensor(m: Maker, rank: tuple[int, int] = (1, 3)) -> Value:
    dtype = _eight(m)
    return m.shaped(dtype, m.shape(*rank), within=(0.0, 7.0))


def _weights(m: Maker, *shape: int, out: int) -> Value:
    """Constant weights, with one scale or one for each output."""
    dtype = DTYPES["int8"]
    row = [m.c.integer(-3, 3) for _ in range(5)]
    held = m.constant(np.resize(np.array(row, np.int8), shape), dtype)
    if rarely(m):
        return numbers(m, _FLOAT, shape)
    per = [1] * len(shape)
    per[out] = shape[out]
    return real(m, held, _numbers(m, held, per if m.flag() else ())[:1])


@motif("integer_conv")
def integer_conv(m: Maker) -> Sequence[Value]:
    like = image(m)
    x = m.shaped(_eight(m), like.shape, within=(0.0, 7.0))
    channels = x.shape[1]
    assert isinstance(channels, int)
    n = x.rank - 2
    k = _weights(m, m.c.integer(1, 2), channels, *(1,) * n, out=0)
    ones = (1,) * n
    fields: dict[str, Any] = {"strides": ones, "lhs_dilation": ones}
    fields |= {"rhs_dilation": ones, "padding": ((0, 1),) * n}
    return m.bounded(64.0, "conv", real(m, x, _numbers(m, x)), k, **fields)


@motif("integer_dot", "integer_kernels")
def integer_dot(m: Maker) -> Sequence[Value]:
    x = m.shaped(_eight(m), (m.dim(), m.c.integer(1, 3)), within=(0.0, 7.0))
    depth = x.shape[1]
    assert isinstance(depth, int)
    k = _weights(m, depth, m.c.integer(1, 3), out=1)
    return m.bounded(64.0, "dot", real(m, x, _numbers(m, x)), k)


@motif("zero_after_dot", "zero_after_dot_of_rows")
def zero_after_dot(m: Maker) -> Sequence[Value]:
    """A product of bytes less a zero point that is no constant, as a rule."""
    rows, depth, lead = m.dim(), m.c.integer(1, 3), (1,) if m.flag() else ()
    x = m.shaped(_eight(m), (*lead, rows, depth), within=(0.0, 7.0))
    zero = m.shaped(x.dtype, (), within=(0.0, 7.0))
    zero = m.constant(m.c.integer(0, 3), x.dtype) if rarely(m) else zero
    wide, late = (m.bounded(7.0, "cast", v, dtype=int16)[0] for v in (x, zero))
    y = m.bounded(7.0, "sub", wide, spread(m, late, x.shape))[0]
    if lead:
        y = view(m, "reshape", y, shape=(rows, depth))
    row = [m.c.integer(-3, 3) for _ in range(5)]
    k = m.constant(np.resize(np.array(row, np.int16), (depth, m.c.integer(1, 3))))
    return m.bounded(64.0, "dot", y, k, dtype=int32)


def _added(m: Maker) -> Sequence[Value]:
    x = _tensor(m)
    both = (x, m.like(x, within=(0.0, 7.0)))
    return m.elementwise("add", *(real(m, v, _numbers(m, v)) for v in both))


@motif("fuse_quantized")
def fuse_quantized(m: Maker) -> Sequence[Value]:
    """A product or a sum of integers that becomes integers again."""
    (y,) = m.c.pick([integer_conv, integer_dot, _added])(m)
    if m.flag():
        (y,) = m.elementwise("max", y, number(m, y.dtype, y.shape, 0.0))
    read_again(m, y)
    scale = m.constant(np.float32(m.c.pick(_SCALES)))
    return m.emit("quantize", y, scale, dtype=_eight(m))


@motif("quantized_again", "quantized_again_about")
def quantized_again(m: Maker) -> Sequence[Value]:
    x = _tensor(m)
    given = _numbers(m, x)
    y = real(m, x, given)
    other = _numbers(m, x) if rarely(m) else given
    free = len(other) == 1 and rarely(m)
    return m.emit("quantize", y, *other, dtype=_eight(m) if free else x.dtype)


@motif("dequantize_after_moving")
def dequantize_after_moving(m: Maker) -> Sequence[Value]:
    x = _tensor(m, (2, 3))
    per = x.shape[-1:] if m.flag() and isinstance(x.shape[-1], int) else ()
    y = real(m, x, _numbers(m, x, per))
    if m.flag():
        return [turned(m, y)]
    if m.flag():
        return [view(m, "reshape", y, shape=(1, *y.shape))]
    start, size, step = zip(*(window(m, d) for d in y.shape), strict=True)
    return [view(m, "slice", y, start=start, size=size, step=step)]


@motif("dequantize_after_maximum")
def dequantize_after_maximum(m: Maker) -> Sequence[Value]:
    x = _tensor(m, (2, 3))
    m.positive(*x.shape)
    y = real(m, x, _numbers(m, x))
    size = m.c.integer(1, 2)
    fields: dict[str, Any] = {"window": (size,), "strides": (1,), "dilations": (1,)}
    pads = ((0, size - 1),)
    return m.bounded(8.0, "reduce_window", y, kind="max", padding=pads, **fields)


@motif("dequantize_after_concat")
def dequantize_after_concat(m: Maker) -> Sequence[Value]:
    x = _tensor(m)
    if not x.rank:
        raise Reject
    given = _numbers(m, x)
    other = m.shaped(x.dtype, x.shape, within=(0.0, 7.0))
    parts = [real(m, x, given), real(m, other, _numbers(m, x) if rarely(m) else given)]
    return m.emit("concat", *parts, axis=m.axis(x))
