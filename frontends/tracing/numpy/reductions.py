"""Sums, products, extremes, means and logic over axes.

Sums of integers narrower than 64 bits are 64 bits wide, unless a dtype is given.
"""

from typing import Any

from graphwright.frontends.tracing.numpy.support import (
    flat,
    inexact,
    optional_dtype,
    real_of,
    to_dtype,
    total_dtype,
    truth,
)
from graphwright.frontends.tracing.wrap import (
    Operand,
    array_function,
    axes_of,
    axis_of,
    folded_axes,
    lane_axis,
    promote,
)
from graphwright.ir.dim import product
from graphwright.ir.dtype import DType, bool_, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ShapeError
from graphwright.ir.ops.reduce import identity

__all__ = [
    "all",
    "any",
    "argmax",
    "argmin",
    "average",
    "count_nonzero",
    "max",
    "mean",
    "min",
    "prod",
    "ptp",
    "std",
    "sum",
    "var",
]

_COMBINE = {"sum": "add", "prod": "mul", "max": "max", "min": "min"}


def reduced(
    b: Emitter,
    kind: str,
    x: Value,
    axis: Any,
    keepdims: bool = False,
    initial: Operand | None = None,
    where: Value | None = None,
) -> Value:
    """A reduction of what a mask leaves, combined with an initial value."""
    if where is not None:
        x = b.where(truth(b, where), x, b.full((), identity(kind, x.dtype), x.dtype))
    y = b.reduce(kind, x, folded_axes(axis, x.rank), keepdims=bool(keepdims))
    if initial is None:
        return y
    (start,) = promote(b, initial, to=x.dtype)
    return b.emit(_COMBINE[kind], *b.align(y, start))


def summed(
    b: Emitter,
    kind: str,
    x: Value,
    axis: Any,
    dtype: Any,
    keepdims: bool,
    initial: Operand | None,
    where: Value | None,
) -> Value:
    """A sum or product in a dtype that is wide enough."""
    y = to_dtype(b, x, optional_dtype(dtype) or total_dtype(x.dtype))
    if y.dtype is bool_:
        y = b.cast(y, int64)
    found = reduced(b, kind, y, axis, keepdims, initial, where)
    return to_dtype(b, found, optional_dtype(dtype) or found.dtype)


@array_function
def sum(
    b: Emitter,
    x: Value,
    /,
    axis: Any = None,
    dtype: Any = None,
    *,
    keepdims: bool = False,
    initial: Operand | None = None,
    where: Value | None = None,
) -> Value:
    """Sum over axes, by default all."""
    return summed(b, "sum", x, axis, dtype, keepdims, initial, where)


@array_function
def prod(
    b: Emitter,
    x: Value,
    /,
    axis: Any = None,
    dtype: Any = None,
    *,
    keepdims: bool = False,
    initial: Operand | None = None,
    where: Value | None = None,
) -> Value:
    """Product over axes, by default all."""
    return summed(b, "prod", x, axis, dtype, keepdims, initial, where)


def _extreme(
    b: Emitter,
    kind: str,
    x: Value,
    axis: Any,
    keepdims: bool,
    initial: Operand | None,
    where: Value | None,
) -> Value:
    axes = folded_axes(axis, x.rank)
    if initial is None:
        if where is not None:
            raise ValueError(f"{kind} with where= needs initial=")
        if 0 in [x.shape[i] for i in axes]:
            raise ShapeError(f"{kind} of {x.type} over no elements has no identity")
    return reduced(b, kind, x, axis, keepdims, initial, where)


@array_function
def max(
    b: Emitter,
    x: Value,
    /,
    axis: Any = None,
    *,
    keepdims: bool = False,
    initial: Operand | None = None,
    where: Value | None = None,
) -> Value:
    """Greatest element over axes; NaN if there is one."""
    return _extreme(b, "max", x, axis, keepdims, initial, where)


@array_function
def min(
    b: Emitter,
    x: Value,
    /,
    axis: Any = None,
    *,
    keepdims: bool = False,
    initial: Operand | None = None,
    where: Value | None = None,
) -> Value:
    """Least element over axes; NaN if there is one."""
    return _extreme(b, "min", x, axis, keepdims, initial, where)


@array_function
def ptp(b: Emitter, x: Value, /, axis: Any = None, *, keepdims: bool = False) -> Value:
    """Greatest less least element over axes."""
    ends = (_extreme(b, k, x, axis, keepdims, None, None) for k in ("max", "min"))
    return b.sub(*ends)


@array_function
def all(
    b: Emitter,
    x: Value,
    /,
    axis: Any = None,
    *,
    keepdims: bool = False,
    where: Value | None = None,
) -> Value:
    """Whether no element over axes is zero."""
    return reduced(b, "min", truth(b, x), axis, keepdims, None, where)


@array_function
def any(
    b: Emitter,
    x: Value,
    /,
    axis: Any = None,
    *,
    keepdims: bool = False,
    where: Value | None = None,
) -> Value:
    """Whether some element over axes is not zero."""
    return reduced(b, "max", truth(b, x), axis, keepdims, None, where)


@array_function
def count_nonzero(
    b: Emitter, x: Value, /, axis: Any = None, *, keepdims: bool = False
) -> Value:
    """How many elements over axes are not zero."""
    return reduced(b, "sum", b.cast(truth(b, x), int64), axis, keepdims)


def _argument(b: Emitter, kind: str, x: Value, axis: Any, keepdims: bool) -> Value:
    if axis is None:
        found = b.arg_reduce(kind, flat(b, x), 0)
        return b.reshape(found, (1,) * x.rank) if keepdims else found
    if not x.rank:
        lane_axis(axis, x.rank)
        return b.full((), 0, int64)
    place = axis_of(axis, x.rank)
    found = b.arg_reduce(kind, x, place)
    return b.expand_dims(found, [place]) if keepdims else found


@array_function
def argmax(
    b: Emitter, x: Value, /, axis: int | None = None, *, keepdims: bool = False
) -> Value:
    """Index of the first greatest element along an axis, or of all flattened."""
    return _argument(b, "max", x, axis, keepdims)


@array_function
def argmin(
    b: Emitter, x: Value, /, axis: int | None = None, *, keepdims: bool = False
) -> Value:
    """Index of the first least element along an axis, or of all flattened."""
    return _argument(b, "min", x, axis, keepdims)


# Means --------------------------------------------------------------------------------


def count(
    b: Emitter, x: Value, axis: Any, keepdims: bool, where: Value | None
) -> Value:
    """How many elements a reduction takes, in the dtype of their magnitude."""
    d = real_of(x.dtype).accumulate
    if where is None:
        size = product([x.shape[a] for a in folded_axes(axis, x.rank)])
        return b.dim_scalar(size, d)
    mask = b.broadcast_to(b.cast(truth(b, where), int64), x.shape)
    return b.cast(reduced(b, "sum", mask, axis, keepdims), d)


def averaged(
    b: Emitter,
    x: Value,
    axis: Any,
    keepdims: bool = False,
    where: Value | None = None,
) -> Value:
    """Arithmetic mean of floats over axes."""
    wide = b.cast(x, x.dtype.accumulate)
    total = reduced(b, "sum", wide, axis, keepdims, None, where)
    n = to_dtype(b, count(b, wide, axis, keepdims, where), total.dtype)
    return b.cast(b.div(total, n), x.dtype)


def in_dtype(b: Emitter, x: Value, dtype: Any) -> Value:
    """What a mean is taken of: floats, in the dtype asked for if there is one."""
    d = optional_dtype(dtype)
    return inexact(b, x) if d is None else inexact(b, to_dtype(b, x, d))


def out_dtype(b: Emitter, x: Value, dtype: Any) -> Value:
    """A mean or spread in the dtype asked for; a complex one asks for nothing."""
    d: DType | None = optional_dtype(dtype)
    return x if d is None or d.kind == "c" else b.cast(x, d)


@array_function
def mean(
    b: Emitter,
    x: Value,
    /,
    axis: Any = None,
    dtype: Any = None,
    *,
    keepdims: bool = False,
    where: Value | None = None,
) -> Value:
    """Arithmetic mean over axes; of integers in float64."""
    found = averaged(b, in_dtype(b, x, dtype), axis, keepdims, where)
    return out_dtype(b, found, dtype)


def variance(
    b: Emitter,
    x: Value,
    axis: Any,
    correction: float,
    keepdims: bool = False,
    where: Value | None = None,
    mean: Operand | None = None,
) -> Value:
    """Mean square distance of floats from their mean, over ``n - correction``."""
    wide = b.cast(x, x.dtype.accumulate)
    if mean is None:
        mean = averaged(b, wide, axis, True, where)
    off = b.sub(*b.align(wide, *promote(b, mean, to=wide.dtype)))
    size = b.abs(off) if off.dtype.kind == "c" else off
    total = reduced(b, "sum", b.mul(size, size), axis, keepdims, None, where)
    n = b.max(b.sub(count(b, wide, axis, keepdims, where), float(correction)), 0.0)
    return b.cast(b.div(total, n), real_of(x.dtype))


@array_function
def var(
    b: Emitter,
    x: Value,
    /,
    axis: Any = None,
    dtype: Any = None,
    *,
    ddof: float = 0,
    correction: float = 0.0,
    keepdims: bool = False,
    where: Value | None = None,
    mean: Operand | None = None,
) -> Value:
    """Mean square distance from the mean, over ``n - correction``."""
    y = in_dtype(b, x, dtype)
    found = variance(b, y, axis, ddof or correction, keepdims, where, mean)
    return out_dtype(b, found, dtype)


@array_function
def std(
    b: Emitter,
    x: Value,
    /,
    axis: Any = None,
    dtype: Any = None,
    *,
    ddof: float = 0,
    correction: float = 0.0,
    keepdims: bool = False,
    where: Value | None = None,
    mean: Operand | None = None,
) -> Value:
    """Square root of the variance."""
    y = in_dtype(b, x, dtype)
    found = variance(b, y, axis, ddof or correction, keepdims, where, mean)
    return out_dtype(b, b.sqrt(found), dtype)


def _weights(b: Emitter, x: Value, weights: Value, axis: Any) -> Value:
    """Weights in the shape of ``x``: a vector lies along the one axis."""
    if weights.rank == x.rank:
        return weights
    axes = axes_of(axis, x.rank)
    if axis is None or weights.rank != len(axes):
        raise TypeError("weights of another shape need axes of their own")
    order = sorted(range(len(axes)), key=axes.__getitem__)
    turned = b.transpose(weights, order)
    return b.expand_dims(turned, [i for i in range(x.rank) if i not in axes])


@array_function
def average(
    b: Emitter,
    x: Value,
    /,
    axis: Any = None,
    weights: Value | None = None,
    returned: bool = False,
    *,
    keepdims: bool = False,
) -> Any:
    """Mean over axes, weighted or not; with ``returned`` also the sum of weights."""
    if weights is None:
        y = inexact(b, x)
        found = averaged(b, y, axis, keepdims)
        total = b.broadcast_to(count(b, y, axis, keepdims, None), found.shape)
        return (found, to_dtype(b, total, found.dtype)) if returned else found
    y, w = promote(b, inexact(b, x), _weights(b, x, weights, axis))
    y, w = b.align(y, w)
    total = reduced(b, "sum", w, axis, keepdims)
    found = b.div(reduced(b, "sum", b.mul(y, w), axis, keepdims), total)
    return (found, total) if returned else found
