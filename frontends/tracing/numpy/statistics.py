"""Order statistics and correlations."""

from typing import Any

from graphwright.frontends.tracing.numpy.products import contract
from graphwright.frontends.tracing.numpy.reductions import averaged, reduced
from graphwright.frontends.tracing.numpy.support import (
    conjugate,
    flat,
    inexact,
    optional_dtype,
    to_dtype,
    to_end,
)
from graphwright.frontends.tracing.wrap import (
    Operand,
    array_function,
    axes_of,
    promote,
    result_dtype,
)
from graphwright.ir.dim import product
from graphwright.ir.dtype import float64, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ShapeError

__all__ = [
    "corrcoef",
    "cov",
    "median",
    "percentile",
    "quantile",
]

_BENDS = {
    "linear": (1.0, 1.0),
    "lower": (1.0, 1.0),
    "higher": (1.0, 1.0),
    "midpoint": (1.0, 1.0),
    "nearest": (1.0, 1.0),
    "weibull": (0.0, 0.0),
    "hazen": (0.5, 0.5),
    "interpolated_inverted_cdf": (0.0, 1.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}
"""The parameters alpha and beta of Hyndman and Fan, "Sample quantiles" (1996)."""


def lanes(b: Emitter, x: Value, axis: Any) -> tuple[Value, tuple[int, ...]]:
    """Axes gathered into one last axis, and which they were."""
    axes = axes_of(axis, x.rank)
    moved = b.transpose(x, to_end(x, axes))
    lead = moved.shape[: x.rank - len(axes)]
    return b.reshape(moved, (*lead, product([x.shape[a] for a in axes]))), axes


def sorted_lanes(b: Emitter, x: Value, skip: bool) -> tuple[Value, Value]:
    """Lanes sorted along the last axis, and how many elements count in each.

    Unless NaN are skipped, a lane that has one consists of NaN.
    """
    line, _ = b.sort(x, x.rank - 1)
    size = b.dim_scalar(x.shape[-1], int64)
    count = b.broadcast_to(size, x.shape[:-1])
    if not x.dtype.is_float:
        return line, count
    numbers = b.sum(b.cast(b.eq(x, x), int64), [x.rank - 1])
    if skip:
        return line, numbers
    spoilt = b.expand_dims(b.lt(numbers, count), [x.rank - 1])
    return b.where(spoilt, b.full((), float("nan"), x.dtype), line), count


def picked(b: Emitter, line: Value, index: Value) -> Value:
    """The element of each lane at an index, which is clamped to the lane."""
    if line.shape[-1] == 0:
        return b.full(line.shape[:-1], float("nan"), line.dtype)
    if not isinstance(line.shape[-1], int):  # it may be 0 in a run
        line = b.pad(line, [0] * line.rank, [0] * (line.rank - 1) + [1], float("nan"))
    last = b.dim_scalar(line.shape[-1] - 1, int64)
    inside = b.max(b.min(index, last), 0)
    found = b.take_along_axis(line, b.expand_dims(inside, [inside.rank]), line.rank - 1)
    return b.squeeze(found, [found.rank - 1])


def _at(b: Emitter, line: Value, count: Value, q: Value, method: str) -> Value:
    """One quantile of sorted lanes."""
    alpha, beta = _BENDS[method]
    n = b.cast(count, q.dtype)
    spot = b.add(b.mul(n, q), b.add(b.mul(q, 1 - alpha - beta), alpha - 1))
    spot = b.max(b.min(spot, b.sub(n, 1)), 0.0)
    if method == "nearest":
        spot = b.unary("round", spot)
    low = b.floor(spot)
    share = b.sub(spot, low)
    below = b.cast(low, int64)
    if method == "higher":
        below = b.cast(b.unary("ceil", spot), int64)
    if method in ("lower", "higher", "nearest"):
        return picked(b, line, below)
    if method == "midpoint":
        share = b.where(b.eq(share, 0), b.full((), 0, q.dtype), 0.5)
    after = b.add(below, 1)
    return _between(b, picked(b, line, below), picked(b, line, after), share)


def _between(b: Emitter, x: Value, y: Value, share: Value) -> Value:
    """``x + share (y - x)``, from the nearer end."""
    x, y, share = b.align(*promote(b, x, y, share))
    gap = b.sub(y, x)
    near = b.add(x, b.mul(gap, share))
    far = b.sub(y, b.mul(gap, b.sub(1, share)))
    found = b.where(b.ge(share, 0.5), far, near)
    return b.where(b.eq(share, 0), x, found)


def quantiles(
    b: Emitter, x: Value, q: Operand, axis: Any, keepdims: bool, method: str, skip: bool
) -> Value:
    """Quantiles over axes; the axes of ``q`` come first."""
    if method not in _BENDS:
        raise ValueError(f"quantile has no method {method!r}; there are {list(_BENDS)}")
    line, axes = lanes(b, inexact(b, x), axis)
    common = result_dtype(line, q)
    exact = method in ("lower", "higher", "nearest")
    (share,) = promote(b, q, to=common)
    ordered, count = sorted_lanes(b, line, skip)
    found = [_at(b, ordered, count, p, method) for p in _each(b, share)]
    none = b.eq(count, 0)
    if skip:
        found = [b.where(none, b.full((), float("nan"), y.dtype), y) for y in found]
    if exact and not x.dtype.is_float:
        found = [b.cast(y, x.dtype) for y in found]
    if keepdims:
        found = [b.expand_dims(y, axes) for y in found]
    if share.rank == 0:
        return found[0]
    every = b.stack(found, 0)
    return b.reshape(every, (*share.shape, *every.shape[1:]))


def _each(b: Emitter, q: Value) -> list[Value]:
    line = flat(b, q)
    n = line.shape[0]
    if not isinstance(n, int):
        raise ShapeError("quantile takes a known number of probabilities")
    return [b.reshape(b.slice_axis(line, 0, i, i + 1), ()) for i in range(n)]


@array_function
def quantile(
    b: Emitter,
    x: Value,
    q: Operand,
    /,
    axis: Any = None,
    *,
    method: str = "linear",
    keepdims: bool = False,
) -> Value:
    """The elements below which shares ``q`` of all lie, interpolated."""
    return quantiles(b, x, q, axis, keepdims, method, False)


def _hundredth(b: Emitter, x: Value, q: Operand) -> Value:
    (share,) = promote(b, q, to=result_dtype(inexact(b, x), q))
    return b.div(share, 100)


@array_function
def percentile(
    b: Emitter,
    x: Value,
    q: Operand,
    /,
    axis: Any = None,
    *,
    method: str = "linear",
    keepdims: bool = False,
) -> Value:
    """Quantiles for shares in hundredths."""
    return quantiles(b, x, _hundredth(b, x, q), axis, keepdims, method, False)


def middle(b: Emitter, x: Value, axis: Any, keepdims: bool, skip: bool) -> Value:
    """The middle element over axes, or the mean of the two in the middle."""
    line, axes = lanes(b, inexact(b, x), axis)
    ordered, count = sorted_lanes(b, line, skip)
    upper = b.div(count, 2)
    lower = b.div(b.sub(count, 1), 2)
    first, second = (picked(b, ordered, i) for i in (lower, upper))
    found = b.where(b.eq(lower, upper), first, b.mul(b.add(first, second), 0.5))
    found = b.where(b.eq(count, 0), b.full((), float("nan"), found.dtype), found)
    return b.expand_dims(found, sorted(axes)) if keepdims else found


@array_function
def median(
    b: Emitter, x: Value, /, axis: Any = None, *, keepdims: bool = False
) -> Value:
    """The middle element over axes, or the mean of the two in the middle."""
    return middle(b, x, axis, keepdims, False)


# Correlation --------------------------------------------------------------------------


def covariance(
    b: Emitter,
    m: Value,
    y: Value | None,
    rowvar: bool,
    ddof: float,
    counts: Value | None = None,
    weights: Value | None = None,
    dtype: Any = None,
) -> Value:
    """Covariance matrix of variables, the rows; observations may be weighted."""
    parts = [inexact(b, v) for v in (m, y) if v is not None]
    rows = [b.expand_dims(v, range(2 - v.rank)) for v in promote(b, *parts)]
    rows = [
        b.transpose(v, [1, 0]) if not rowvar and v.shape[0] != 1 else v for v in rows
    ]
    x = b.concat(rows, 0)
    x = to_dtype(b, x, optional_dtype(dtype) or result_dtype(x, float64))
    if counts is None and weights is None:
        off = b.sub(x, averaged(b, x, 1, True))
        size = b.sub(b.dim_scalar(x.shape[1], float64), ddof)
        row: Value = off
    else:
        w, size = _observed(b, x, counts, weights, ddof)
        wide = to_dtype(b, b.expand_dims(w, [0]), x.dtype)
        total = to_dtype(b, b.sum(w, [0]), x.dtype)
        mean = b.div(b.sum(b.mul(*b.align(x, wide)), [1], keepdims=True), total)
        off = b.sub(x, mean)
        row = b.mul(*b.align(off, wide))
    product_ = contract(b, off, conjugate(b, b.transpose(row, [1, 0])))
    return b.div(product_, to_dtype(b, b.max(size, 0.0), product_.dtype))


def _observed(
    b: Emitter, x: Value, counts: Value | None, weights: Value | None, ddof: float
) -> tuple[Value, Value]:
    """The weight of each observation, and what products are divided by."""
    n = x.shape[1]
    f, a = (
        b.full((n,), 1, float64) if v is None else b.cast(v, float64)
        for v in (counts, weights)
    )
    w = b.mul(f, a)
    total = b.sum(w, [0])
    lost = total if weights is None else b.sum(b.mul(w, a), [0])
    share = b.div(b.mul(lost, ddof), total)
    return w, b.sub(total, b.full((), ddof, float64) if weights is None else share)


@array_function
def cov(
    b: Emitter,
    m: Value,
    y: Value | None = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Value | None = None,
    aweights: Value | None = None,
    *,
    dtype: Any = None,
) -> Value:
    """Covariance matrix of variables, the rows (columns if not ``rowvar``)."""
    delta = (0 if bias else 1) if ddof is None else ddof
    found = covariance(b, m, y, rowvar, float(delta), fweights, aweights, dtype)
    return b.reshape(found, ()) if found.shape == (1, 1) else found


@array_function
def corrcoef(
    b: Emitter,
    x: Value,
    y: Value | None = None,
    rowvar: bool = True,
    *,
    dtype: Any = None,
) -> Value:
    """Correlation coefficients of variables, the rows, clipped to [-1, 1]."""
    c = covariance(b, x, y, rowvar, 1.0, dtype=dtype)
    n = c.shape[0]
    diagonal = b.eq(b.iota((n, n), 0, int64), b.iota((n, n), 1, int64))
    size = b.abs(c)
    spread = b.sqrt(reduced(b, "sum", b.where(diagonal, size, 0), 1))
    scale = b.mul(b.expand_dims(spread, [1]), b.expand_dims(spread, [0]))
    found = b.div(c, to_dtype(b, scale, c.dtype))
    if c.dtype.kind != "c":
        found = b.max(b.min(found, 1.0), -1.0)
    return b.reshape(found, ()) if c.shape == (1, 1) else found
