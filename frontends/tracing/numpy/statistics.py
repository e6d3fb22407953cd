"""Order statistics, histograms and correlations."""

from typing import Any

from graphwright.frontends.tracing.numpy.products import contract
from graphwright.frontends.tracing.numpy.reductions import averaged, reduced
from graphwright.frontends.tracing.numpy.searching import places
from graphwright.frontends.tracing.numpy.support import (
    conjugate,
    flat,
    inexact,
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
from graphwright.ir.dim import Dim, maximum, product
from graphwright.ir.dtype import float64, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ShapeError

__all__ = [
    "bincount",
    "corrcoef",
    "cov",
    "histogram",
    "histogram2d",
    "histogram_bin_edges",
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


# Counts -------------------------------------------------------------------------------


@array_function
def bincount(
    b: Emitter, x: Value, /, weights: Value | None = None, minlength: int = 0
) -> Value:
    """How often (or with what total weight) each nonnegative integer occurs."""
    index = b.cast(x, int64)
    n = x.shape[0]
    if isinstance(n, int) and n == 0:
        return b.full((minlength,), 0, float64 if weights is not None else int64)
    largest = b.add(b.reduce("max", index, [0]), 1)
    (found,) = b.bind_dims(b.reshape(largest, (1,)))
    size = maximum(found, minlength)
    if weights is None:
        return b.scatter(
            b.full((size,), 0, int64), index, b.full((n,), 1, int64), 0, "add"
        )
    return b.scatter(
        b.full((size,), 0, float64), index, b.cast(weights, float64), 0, "add"
    )


def _ends(b: Emitter, x: Value, bounds: Any) -> tuple[Value, Value]:
    """The range of a histogram: given, or of the data; not empty."""
    if bounds is not None:
        low, high = promote(b, *bounds, to=float64)
    elif x.shape[0] == 0:
        low, high = b.full((), 0, float64), b.full((), 1, float64)
    else:
        low, high = (b.cast(b.reduce(k, x, [0]), float64) for k in ("min", "max"))
    same = b.eq(low, high)
    return b.where(same, b.sub(low, 0.5), low), b.where(same, b.add(high, 0.5), high)


def bin_edges(b: Emitter, x: Value, bins: Any, bounds: Any) -> Value:
    """The edges of bins: given, or evenly spaced over the range."""
    if isinstance(bins, str):
        raise ValueError(f"histogram finds no number of bins by {bins!r}")
    if not isinstance(bins, int):
        return bins if isinstance(bins, Value) else b.constant(bins)
    if bins < 1:
        raise ValueError("`bins` must be positive, when an integer")
    low, high = _ends(b, x, bounds)
    line = b.iota((bins + 1,), 0, float64)
    inner = b.add(b.mul(line, b.div(b.sub(high, low), bins)), low)
    return b.where(b.eq(line, bins), high, inner)


def bin_index(b: Emitter, x: Value, edges: Value) -> tuple[Value, Value]:
    """The bin of each element, and whether it is in one; the last bin is closed."""
    values, line = promote(b, x, edges)
    count: Dim = line.shape[0] - 1
    last = b.slice_axis(line, 0, count, count + 1)
    found = b.sub(places(b, line, values, True), 1)
    n = b.dim_scalar(count, int64)
    found = b.where(b.eq(values, last), b.sub(n, 1), found)
    inside = b.and_(b.ge(found, 0), b.lt(found, n))
    return b.where(inside, found, 0), inside


def _weights(b: Emitter, x: Value, inside: Value, weights: Value | None) -> Value:
    if weights is None:
        return b.cast(inside, int64)
    w = flat(b, weights)
    w = b.cast(w, int64) if w.dtype.kind in "b" else w
    return b.where(inside, w, b.zeros_like(w))


@array_function
def histogram(
    b: Emitter,
    a: Value,
    /,
    bins: Any = 10,
    range: Any = None,
    density: bool | None = None,
    weights: Value | None = None,
) -> tuple[Value, Value]:
    """How many elements lie in each bin, and the edges of the bins."""
    x = flat(b, a)
    edges = bin_edges(b, x, bins, range)
    index, inside = bin_index(b, x, edges)
    mass = _weights(b, x, inside, weights)
    count = edges.shape[0] - 1
    found = b.scatter(b.full((count,), 0, mass.dtype), index, mass, 0, "add")
    if not density:
        return found, edges
    width = b.sub(
        b.slice_axis(edges, 0, 1, count + 1), b.slice_axis(edges, 0, 0, count)
    )
    wide = b.cast(found, float64)
    total = b.mul(b.sum(wide, [0]), b.cast(width, float64))
    return b.div(wide, total), edges


@array_function
def histogram_bin_edges(
    b: Emitter, a: Value, /, bins: Any = 10, range: Any = None, weights: Any = None
) -> Value:
    """The edges of a histogram's bins."""
    return bin_edges(b, flat(b, a), bins, range)


@array_function
def histogram2d(
    b: Emitter,
    x: Value,
    y: Value,
    /,
    bins: Any = 10,
    range: Any = None,
    density: bool | None = None,
    weights: Value | None = None,
) -> tuple[Value, Value, Value]:
    """How many points lie in each cell of a grid, and the edges along both axes."""
    pair = bins if isinstance(bins, (tuple, list)) and len(bins) == 2 else (bins, bins)
    bounds = range or (None, None)
    edges = [
        bin_edges(b, v, n, r) for v, n, r in zip((x, y), pair, bounds, strict=True)
    ]
    (i, held), (j, also) = (
        bin_index(b, v, e) for v, e in zip((x, y), edges, strict=True)
    )
    rows, columns = (e.shape[0] - 1 for e in edges)
    inside = b.and_(held, also)
    mass = b.cast(_weights(b, x, inside, weights), float64)
    spot = b.where(inside, b.add(b.mul(i, b.dim_scalar(columns, int64)), j), 0)
    cells = b.scatter(b.full((rows * columns,), 0, float64), spot, mass, 0, "add")
    found = b.reshape(cells, (rows, columns))
    if density:
        found = b.div(found, b.mul(_areas(b, edges), b.sum(found, [0, 1])))
    return found, edges[0], edges[1]


def _areas(b: Emitter, edges: list[Value]) -> Value:
    widths = [
        b.cast(
            b.sub(
                b.slice_axis(e, 0, 1, e.shape[0]), b.slice_axis(e, 0, 0, e.shape[0] - 1)
            ),
            float64,
        )
        for e in edges
    ]
    return b.mul(b.expand_dims(widths[0], [1]), b.expand_dims(widths[1], [0]))


# Correlation --------------------------------------------------------------------------


def covariance(
    b: Emitter, m: Value, y: Value | None, rowvar: bool, ddof: float
) -> Value:
    """Covariance matrix of variables, the rows."""
    parts = [inexact(b, v) for v in (m, y) if v is not None]
    rows = [b.expand_dims(v, range(2 - v.rank)) for v in promote(b, *parts)]
    rows = [
        b.transpose(v, [1, 0]) if not rowvar and v.shape[0] != 1 else v for v in rows
    ]
    x = b.concat(rows, 0)
    x = b.cast(x, result_dtype(x, float64))
    off = b.sub(x, averaged(b, x, 1, True))
    size = b.max(b.sub(b.dim_scalar(x.shape[1], float64), ddof), 0.0)
    product_ = contract(b, off, conjugate(b, b.transpose(off, [1, 0])))
    return b.div(product_, to_dtype(b, size, product_.dtype))


@array_function
def cov(
    b: Emitter,
    m: Value,
    y: Value | None = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
) -> Value:
    """Covariance matrix of variables, the rows (columns if not ``rowvar``)."""
    delta = (0 if bias else 1) if ddof is None else ddof
    found = covariance(b, m, y, rowvar, float(delta))
    return b.reshape(found, ()) if found.shape == (1, 1) else found


@array_function
def corrcoef(
    b: Emitter, x: Value, y: Value | None = None, rowvar: bool = True
) -> Value:
    """Correlation coefficients of variables, the rows, clipped to [-1, 1]."""
    c = covariance(b, x, y, rowvar, 1.0)
    n = c.shape[0]
    diagonal = b.eq(b.iota((n, n), 0, int64), b.iota((n, n), 1, int64))
    size = b.abs(c)
    spread = b.sqrt(reduced(b, "sum", b.where(diagonal, size, 0), 1))
    scale = b.mul(b.expand_dims(spread, [1]), b.expand_dims(spread, [0]))
    found = b.div(c, to_dtype(b, scale, c.dtype))
    if c.dtype.kind != "c":
        found = b.max(b.min(found, 1.0), -1.0)
    return b.reshape(found, ()) if c.shape == (1, 1) else found
