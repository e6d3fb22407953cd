"""Convolution, interpolation, gradients."""

from typing import Any

import numpy as np

from graphwright.frontends.tracing.numpy.running import step
from graphwright.frontends.tracing.numpy.searching import places
from graphwright.frontends.tracing.numpy.support import (
    along,
    conjugate,
    inexact,
)
from graphwright.frontends.tracing.wrap import (
    Operand,
    array_function,
    axes_of,
    promote,
    result_dtype,
    unsupported,
)
from graphwright.ir.dtype import DTYPES, float64, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ShapeError

__all__ = [
    "convolve",
    "correlate",
    "gradient",
    "interp",
    "unwrap",
]


# Convolution --------------------------------------------------------------------------


def _convolved(b: Emitter, x: Value, kernel: Value) -> Value:
    """The full convolution of two real vectors."""
    if x.dtype.kind == "c":
        return _complex_convolved(b, x, kernel)
    n = kernel.shape[0]
    image = b.reshape(x, (1, 1, x.shape[0]))
    taps = b.reshape(b.flip(kernel, [0]), (1, 1, n))
    fields: dict[str, Any] = {"strides": (1,), "padding": ((n - 1, n - 1),)}
    fields |= {"lhs_dilation": (1,), "rhs_dilation": (1,)}
    found = b.emit("conv", image, taps, **fields)
    return b.reshape(found, (x.shape[0] + n - 1,))


def _complex_convolved(b: Emitter, x: Value, kernel: Value) -> Value:
    parts = [
        [b.emit("complex_part", v, part=p) for p in ("real", "imag")]
        for v in (x, kernel)
    ]
    (xr, xi), (kr, ki) = parts
    real = b.sub(_convolved(b, xr, kr), _convolved(b, xi, ki))
    return b.emit("complex", real, b.add(_convolved(b, xr, ki), _convolved(b, xi, kr)))


_WIDE = {"b": "int64", "i": "int64", "u": "uint64"}


def _modal(b: Emitter, x: Value, kernel: Value, mode: str) -> Value:
    """The part of a convolution that a mode asks for."""
    m, n = x.shape[0], kernel.shape[0]
    if 0 in (m, n):
        raise ValueError("convolve of an empty vector")
    own = x.dtype
    wide = DTYPES[_WIDE.get(own.kind, own.name)]
    full = _convolved(b, b.cast(x, wide), b.cast(kernel, wide))
    full = b.cast(full, own)
    if mode == "full":
        return full
    if not isinstance(m, int) or not isinstance(n, int):
        raise ShapeError(f"convolve with mode {mode!r} needs known sizes")
    least, most = min(m, n), max(m, n)
    if mode == "same":
        start = (least - 1) // 2
        return b.slice_axis(full, 0, start, start + most)
    if mode != "valid":
        raise ValueError(f"convolve has no mode {mode!r}")
    return b.slice_axis(full, 0, least - 1, most)


@array_function
def convolve(b: Emitter, a: Operand, v: Operand, /, mode: str = "full") -> Value:
    """Sums of products of one vector and the other reversed, at all displacements."""
    x, y = (b.expand_dims(u, [0]) if u.rank == 0 else u for u in promote(b, a, v))
    if isinstance(x.shape[0], int) and isinstance(y.shape[0], int):
        x, y = (y, x) if y.shape[0] > x.shape[0] else (x, y)
    return _modal(b, x, y, mode)


@array_function
def correlate(b: Emitter, a: Operand, v: Operand, /, mode: str = "valid") -> Value:
    """Sums of products with the other vector, conjugated, at all displacements."""
    x, y = promote(b, a, v)
    m, n = x.shape[0], y.shape[0]
    shorter = isinstance(m, int) and isinstance(n, int) and m < n
    other = b.flip(conjugate(b, y), [0])
    if not shorter or mode != "same":
        return _modal(b, x, other, mode)
    turned = _modal(b, conjugate(b, y), b.flip(x, [0]), mode)
    return b.flip(turned, [0])


# Interpolation ------------------------------------------------------------------------


@array_function
def interp(
    b: Emitter,
    x: Value,
    xp: Value,
    fp: Value,
    left: Operand | None = None,
    right: Operand | None = None,
    period: float | None = None,
) -> Value:
    """Values at ``x`` on the line through the points ``(xp, fp)``, ``xp`` ascending."""
    spots, line = (b.cast(v, float64) for v in (x, xp))
    heights = b.cast(fp, result_dtype(fp, float64))
    if period is not None:
        spots, line, heights = _periodic(b, spots, line, heights, period)
        left = right = None
    n = line.shape[0]
    if isinstance(n, int) and n == 0:
        raise ValueError("array of sample points is empty")
    last = b.dim_scalar(n - 1, int64)
    above = b.max(b.min(places(b, line, spots, True), last), b.min(last, 1))
    below = b.max(b.sub(above, 1), 0)
    x0, x1 = (b.gather(line, i, 0) for i in (below, above))
    y0, y1 = (b.gather(heights, i, 0) for i in (below, above))
    slope = b.div(b.sub(y1, y0), b.cast(b.sub(x1, x0), heights.dtype))
    found = b.add(b.mul(slope, b.cast(b.sub(spots, x0), heights.dtype)), y0)
    found = b.where(b.eq(spots, x0), y0, b.where(b.eq(spots, x1), y1, found))
    first, final = (b.slice_axis(line, 0, i, i + 1) for i in (0, n - 1))
    y_first, y_final = (b.slice_axis(heights, 0, i, i + 1) for i in (0, n - 1))
    (low,) = promote(
        b, b.reshape(y_first, ()) if left is None else left, to=found.dtype
    )
    (high,) = promote(
        b, b.reshape(y_final, ()) if right is None else right, to=found.dtype
    )
    before, after = b.reshape(first, ()), b.reshape(final, ())
    return b.where(b.lt(spots, before), low, b.where(b.gt(spots, after), high, found))


def _periodic(
    b: Emitter, x: Value, line: Value, heights: Value, period: float
) -> tuple[Value, Value, Value]:
    """Points in one period, with a neighbour beyond each end."""

    def inside(v: Value) -> Value:
        rest = b.rem(v, abs(period))
        return b.where(b.lt(rest, 0), b.add(rest, abs(period)), rest)

    line, order = b.sort(inside(line), 0)
    heights = b.gather(heights, order, 0)
    n = line.shape[0]

    def ends(v: Value) -> tuple[Value, Value]:
        return b.slice_axis(v, 0, n - 1, n), b.slice_axis(v, 0, 0, 1)

    before, after = ends(line)
    grown = [b.sub(before, abs(period)), line, b.add(after, abs(period))]
    high, low = ends(heights)
    return inside(x), b.concat(grown, 0), b.concat([high, heights, low], 0)


@array_function
def unwrap(
    b: Emitter,
    p: Value,
    discont: float | None = None,
    axis: int = -1,
    *,
    period: float = 2 * np.pi,
) -> Value:
    """Jumps of more than half a period between neighbours taken out."""
    x = inexact(b, p)
    (place,) = axes_of(axis, x.rank)
    period = float(period)
    jump = b.sub(*step(b, x, place))
    half = period / 2
    rest = b.rem(b.add(jump, half), period)
    rest = b.sub(b.where(b.lt(rest, 0), b.add(rest, period), rest), half)
    rest = b.where(b.and_(b.eq(rest, -half), b.gt(jump, 0)), half, rest)
    change = b.sub(rest, jump)
    limit = max(half, half if discont is None else discont)
    change = b.where(b.lt(b.abs(jump), limit), b.zeros_like(change), change)
    low = [int(i == place) for i in range(x.rank)]
    total = b.cumulative("sum", change, place)
    return b.add(x, b.pad(total, low, [0] * x.rank))


# Derivatives --------------------------------------------------------------------------


def _even(b: Emitter, x: Value, width: Value, axis: int, edge_order: int) -> Value:
    """Central differences of evenly spaced values, one-sided at the ends."""
    n = x.shape[axis]
    after, before = b.slice_axis(x, axis, 2, n), b.slice_axis(x, axis, 0, n - 2)
    inner = b.div(b.sub(after, before), b.mul(width, 2))
    near = [b.slice_axis(x, axis, i, i + 1) for i in (0, 1, n - 2, n - 1)]
    first, last = b.sub(near[1], near[0]), b.sub(near[3], near[2])
    if edge_order == 2:
        far = [b.slice_axis(x, axis, i, i + 1) for i in (2, n - 3)]
        first = b.sub(b.mul(first, 2.0), b.mul(b.sub(far[0], near[0]), 0.5))
        last = b.sub(b.mul(last, 2.0), b.mul(b.sub(near[3], far[1]), 0.5))
    return b.concat([b.div(first, width), inner, b.div(last, width)], axis)


def _uneven(b: Emitter, x: Value, line: Value, axis: int) -> Value:
    """Second-order differences of values at given places, one-sided at the ends."""
    widths = b.sub(*step(b, line, 0))
    m = widths.shape[0]
    shape = along(axis, x.rank, m - 1)
    before = b.reshape(b.slice_axis(widths, 0, 0, m - 1), shape)
    after = b.reshape(b.slice_axis(widths, 0, 1, m), shape)
    n = x.shape[axis]
    low, mid, high = (b.slice_axis(x, axis, i, n - 2 + i) for i in (0, 1, 2))
    both = b.add(before, after)
    left = b.neg(b.div(after, b.mul(before, both)))
    centre = b.div(b.sub(after, before), b.mul(before, after))
    right = b.div(before, b.mul(after, both))
    inner = b.add(b.add(b.mul(left, low), b.mul(centre, mid)), b.mul(right, high))
    unit = along(axis, x.rank, 1)
    rise = b.sub(*step(b, x, axis))
    ends = []
    for i in (0, m - 1):
        width = b.reshape(b.slice_axis(widths, 0, i, i + 1), unit)
        ends.append(b.div(b.slice_axis(rise, axis, i, i + 1), width))
    return b.concat([ends[0], inner, ends[1]], axis)


@array_function
def gradient(
    b: Emitter, f: Value, *varargs: Value, axis: Any = None, edge_order: int = 1
) -> Any:
    """Derivatives along axes by second-order central differences."""
    x = inexact(b, f)
    axes = axes_of(axis, x.rank)
    spacings = list(varargs) or [b.full((), 1, float64)]
    spacings = spacings * len(axes) if len(spacings) == 1 else spacings
    if len(spacings) != len(axes):
        raise TypeError("invalid number of arguments")
    for place in axes:
        n = x.shape[place]
        if isinstance(n, int) and n < edge_order + 1:
            raise ValueError(
                "Shape of array too small to calculate a numerical gradient"
            )
    found = tuple(
        _derivative(b, x, b.cast(s, x.dtype), place, edge_order)
        for s, place in zip(spacings, axes, strict=True)
    )
    return found[0] if len(found) == 1 else found


def _derivative(b: Emitter, x: Value, width: Value, axis: int, order: int) -> Value:
    if width.rank == 0:
        return _even(b, x, width, axis, order)
    if order != 1:
        raise unsupported("gradient", "use edge_order=1 with uneven spacing")
    return _uneven(b, x, width, axis)
