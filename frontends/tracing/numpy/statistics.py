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
    known_array,
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

_EXACT = ("closest_observation", "higher", "inverted_cdf", "lower", "nearest")
"""Methods that give one of the elements."""

_BENDS = {
    "inverted_cdf": (0.0, 1.0),
    "averaged_inverted_cdf": (0.0, 1.0),
    "closest_observation": (-0.5, 1.5),
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
    numbers = _numbers_in(b, x)
    if skip:
        return line, numbers
    spoilt = b.expand_dims(b.lt(numbers, count), [x.rank - 1])
    return b.where(spoilt, b.full((), float("nan"), x.dtype), line), count


def _numbers_in(b: Emitter, x: Value) -> Value:
    """How many elements of each lane are not NaN."""
    return b.sum(b.cast(b.eq(x, x), int64), [x.rank - 1])


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
    if method == "closest_observation":
        spot = _odd_or_next(b, spot)
    early = b.lt(spot, 0)  # before the first
    spot = b.max(b.min(spot, b.sub(n, 1)), 0.0)
    if method == "nearest":
        spot = b.unary("round", spot)
    low = b.floor(spot)
    share = b.sub(spot, low)
    below = b.cast(low, int64)
    if method in ("higher", "inverted_cdf"):
        below = b.cast(b.unary("ceil", spot), int64)
    if method in _EXACT:
        return picked(b, line, below)
    if method in _HALVES:
        none, whole, between = (b.full((), v, q.dtype) for v in (0, *_HALVES[method]))
        share = b.where(early, none, b.where(b.eq(share, 0), whole, between))
    after = b.add(below, 1)
    return _between(b, picked(b, line, below), picked(b, line, after), share)


_HALVES = {"midpoint": (0.0, 0.5), "averaged_inverted_cdf": (0.5, 1.0)}
"""The upper neighbour's share, at an element and between two."""


def _odd_or_next(b: Emitter, spot: Value) -> Value:
    """An index itself if it is whole and odd, else the one after its floor.

    Counted from 1 these are the even ones: Hyndman and Fan (1996), page 362.
    """
    low = b.floor(spot)
    half = b.mul(low, 0.5)
    odd = b.and_(b.eq(spot, low), b.ne(b.floor(half), half))
    return b.where(odd, low, b.add(low, 1.0))


def _between(b: Emitter, x: Value, y: Value, share: Value) -> Value:
    """``x + share (y - x)``, from the nearer end."""
    x, y, share = b.align(*promote(b, x, y, share))
    gap = b.sub(y, x)
    near = b.add(x, b.mul(gap, share))
    far = b.sub(y, b.mul(gap, b.sub(1, share)))
    found = b.where(b.ge(share, 0.5), far, near)
    return b.where(b.eq(share, 0), x, found)


def _weights_of(b: Emitter, x: Value, weights: Value, axis: Any) -> Value:
    """Weights as lanes like those of ``x``."""
    axes = axes_of(axis, x.rank)
    if weights.rank != x.rank or weights.shape != x.shape:
        if axis is None:
            raise TypeError("axis must be given when weights have another shape")
        if weights.shape != tuple(x.shape[a] for a in axes):
            raise ShapeError(f"weights {weights.type} along axes {axes} of {x.type}")
        weights = b.transpose(weights, sorted(range(len(axes)), key=axes.__getitem__))
        weights = b.expand_dims(weights, [a for a in range(x.rank) if a not in axes])
    known = known_array(b, weights)
    if known is not None and (known < 0).any():
        raise ValueError("weights must not be negative")
    return lanes(b, b.broadcast_to(weights, x.shape), axis)[0]


def _by_weight(
    b: Emitter, line: Value, weights: Value, shares: list[Value]
) -> list[Value]:
    """For each share the first element up to which so much of the weight lies."""
    last = line.rank - 1
    ordered, order = b.sort(line, last)
    spoilt = b.is_nan(line)
    weights = b.where(spoilt, b.full((), 0, weights.dtype), weights)
    weights = b.take_along_axis(weights, b.cast(order, int64), last)
    running = b.cumulative("sum", b.cast(weights, float64), last)
    whole = b.reduce("max", running, [last], keepdims=True)
    cdf = b.div(running, whole)
    cdf = b.where(b.eq(cdf, 0), -1.0, cdf)  # what weighs nothing is never chosen
    found = []
    for share in shares:
        before = b.lt(b.cast(cdf, share.dtype), share)
        index = b.sum(b.cast(before, int64), [last])
        found.append(picked(b, ordered, index))
    return found


def quantiles(
    b: Emitter,
    x: Value,
    q: Operand,
    axis: Any,
    keepdims: bool,
    method: str,
    skip: bool,
    weights: Value | None = None,
) -> Value:
    """Quantiles over axes; the axes of ``q`` come first."""
    if method not in _BENDS:
        raise ValueError(f"quantile has no method {method!r}; there are {list(_BENDS)}")
    if weights is not None and method != "inverted_cdf":
        raise ValueError(f"only method 'inverted_cdf' takes weights, got {method!r}")
    line, axes = lanes(b, inexact(b, x), axis)
    whole = result_dtype(q).kind in "biu" and method == "linear"  # 0 and 1: the ends
    (share,) = promote(b, q, to=result_dtype(line, q))
    _check_range(b, share)
    shares = _each(b, share)
    ordered, count = sorted_lanes(b, line, skip)
    if weights is None:
        found = [_at(b, ordered, count, p, method) for p in shares]
    else:
        found = _by_weight(b, line, _weights_of(b, x, weights, axis), shares)
        if not skip:
            nan = b.full((), float("nan"), line.dtype)
            clean = b.eq(count, _numbers_in(b, line))
            found = [b.where(clean, y, nan) for y in found]
    none = b.eq(count, 0)
    if skip:
        found = [b.where(none, b.full((), float("nan"), y.dtype), y) for y in found]
    if (method in _EXACT or whole) and not x.dtype.is_float:
        found = [b.cast(y, x.dtype) for y in found]
    if keepdims:
        found = [b.expand_dims(y, axes) for y in found]
    if share.rank == 0:
        return found[0]
    every = b.stack(found, 0)
    return b.reshape(every, (*share.shape, *every.shape[1:]))


def _check_range(b: Emitter, q: Value) -> None:
    known = known_array(b, q)
    if known is not None and not ((known >= 0) & (known <= 1)).all():
        raise ValueError("quantiles must be in the range [0, 1]")


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
    weights: Value | None = None,
    keepdims: bool = False,
) -> Value:
    """The elements below which shares ``q`` of all lie, interpolated."""
    return quantiles(b, x, q, axis, keepdims, method, False, weights)


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
    weights: Value | None = None,
    keepdims: bool = False,
) -> Value:
    """Quantiles for shares in hundredths."""
    return quantiles(b, x, _hundredth(b, x, q), axis, keepdims, method, False, weights)


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
