"""Counts: of integers, in bins, in cells of a grid."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphwright.frontends.tracing.numpy.searching import places
from graphwright.frontends.tracing.numpy.support import along, flat
from graphwright.frontends.tracing.storage import operand_of
from graphwright.frontends.tracing.wrap import (
    array_function,
    promote,
    strong,
    unsupported,
)
from graphwright.ir.dim import Dim, maximum, product
from graphwright.ir.dtype import float64, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ShapeError

__all__ = [
    "bincount",
    "histogram",
    "histogram2d",
    "histogram_bin_edges",
    "histogramdd",
]


@array_function
def bincount(
    b: Emitter, x: Value, /, weights: Value | None = None, minlength: int = 0
) -> Value:
    """How often (or with what total weight) each nonnegative integer occurs."""
    index = b.cast(x, int64)
    n = x.shape[0]
    if isinstance(n, int) and n == 0:
        return b.full((minlength,), 0, float64 if weights is not None else int64)
    size = _size(b, index, minlength)
    if weights is None:
        return b.scatter(
            b.full((size,), 0, int64), index, b.full((n,), 1, int64), 0, "add"
        )
    return b.scatter(
        b.full((size,), 0, float64), index, b.cast(weights, float64), 0, "add"
    )


def _size(b: Emitter, index: Value, minlength: int) -> Dim:
    """One more than the greatest index, and no less than ``minlength``."""
    if _most(b, index) < minlength:
        return minlength
    largest = b.max(b.reduce("max", index, [0]), -1)  # of none the least there is
    (found,) = b.bind_dims(b.reshape(b.add(largest, 1), (1,)))
    return maximum(found, minlength)


def _most(b: Emitter, x: Value) -> float:
    """What no element exceeds, where the last operation tells: ``minimum(y, 7)``."""
    node = b.producer(x)
    if node is None or node.op.name != "min":
        return math.inf
    found = math.inf
    for v in node.operands:
        spread = b.producer(v)
        if spread is not None and spread.op.name == "broadcast_to":
            (v,) = spread.operands  # noqa: PLW2901
        if v.shape == () and b.producer(v) is None:
            constant = b.known(v)
            if constant is not None:
                found = min(found, constant.array().item())
    return found


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
        raise unsupported(f"histogram with bins={bins!r}", "give their number or edges")
    if not _is_number(bins):
        return strong(b, operand_of(b, bins))
    count = int(bins)
    if count < 1:
        raise ValueError("`bins` must be positive, when an integer")
    low, high = _ends(b, x, bounds)
    if bounds is None and x.dtype.is_float:  # as numpy.linspace of such ends
        low, high = b.cast(low, x.dtype), b.cast(high, x.dtype)
    line = b.iota((count + 1,), 0, low.dtype)
    inner = b.add(b.mul(line, b.div(b.sub(high, low), count)), low)
    edges = b.where(b.eq(line, count), high, inner)
    narrow = x.dtype.is_float and (bounds is None or all(map(_is_weak, bounds)))
    return b.cast(edges, x.dtype) if narrow else edges


def bin_index(
    b: Emitter, x: Value, edges: Value, *, even: bool = False
) -> tuple[Value, Value]:
    """The bin of each element, and whether it is in one; the last bin is closed.

    Those of ``even`` bins are computed: an element is in that one or in the next.
    """
    values, line = promote(b, x, edges)
    count: Dim = line.shape[0] - 1
    if even:
        return _even_bin(b, values, line, count)
    last = b.slice_axis(line, 0, count, count + 1)
    found = b.sub(places(b, line, values, True), 1)
    n = b.dim_scalar(count, int64)
    found = b.where(b.eq(values, last), b.sub(n, 1), found)
    inside = b.and_(b.ge(found, 0), b.lt(found, n))
    return b.where(inside, found, 0), inside


def _even_bin(b: Emitter, x: Value, edges: Value, count: Dim) -> tuple[Value, Value]:
    low, high = (b.reshape(b.slice_axis(edges, 0, i, i + 1), ()) for i in (0, count))
    inside = b.and_(b.ge(x, low), b.le(x, high))
    n = b.dim_scalar(count, int64)
    place = b.mul(b.div(b.sub(x, low), b.sub(high, low)), b.cast(n, x.dtype))
    guess = b.cast(b.where(inside, place, b.zeros_like(x)), int64)
    guess = b.min(guess, b.sub(n, 1))
    early = b.lt(x, b.gather(edges, guess, 0))
    found = b.where(b.and_(inside, early), b.sub(guess, 1), guess)
    late = b.ge(x, b.gather(edges, b.add(found, 1), 0))
    late = b.and_(b.and_(inside, late), b.lt(found, b.sub(n, 1)))
    return b.where(late, b.add(found, 1), found), inside


def _is_weak(x: Any) -> bool:
    """Whether it is a Python number, which takes the dtype of arrays beside it."""
    return type(x) in (bool, int, float)


def _is_number(bins: Any) -> bool:
    return isinstance(bins, (int, np.integer))


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
    index, inside = bin_index(b, x, edges, even=_is_number(bins))
    mass = _weights(b, x, inside, weights)
    count = edges.shape[0] - 1
    found = b.scatter(b.full((count,), 0, mass.dtype), index, mass, 0, "add")
    if not density:
        return found, edges
    wide = b.cast(found, float64)
    return b.div(wide, b.mul(b.sum(wide, [0]), _widths(b, edges))), edges


@array_function
def histogram_bin_edges(
    b: Emitter, a: Value, /, bins: Any = 10, range: Any = None, weights: Any = None
) -> Value:
    """The edges of a histogram's bins."""
    return bin_edges(b, flat(b, a), bins, range)


# In several dimensions ----------------------------------------------------------------


def _widths(b: Emitter, edges: Value) -> Value:
    n = edges.shape[0]
    wide = b.sub(b.slice_axis(edges, 0, 1, n), b.slice_axis(edges, 0, 0, n - 1))
    return b.cast(wide, float64)


def cells(
    b: Emitter,
    columns: Sequence[Value],
    edges: Sequence[Value],
    density: Any,
    weights: Value | None,
) -> Value:
    """How many points lie in each cell, or how dense they lie there."""
    spot: Value | None = None
    inside: Value | None = None
    for x, line in zip(columns, edges, strict=True):
        index, held = bin_index(b, x, line)
        inside = held if inside is None else b.and_(inside, held)
        size = b.dim_scalar(line.shape[0] - 1, int64)
        spot = index if spot is None else b.add(b.mul(spot, size), index)
    if spot is None or inside is None:
        raise ShapeError("a histogram takes at least one coordinate")
    mass = b.cast(_weights(b, columns[0], inside, weights), float64)
    shape = [e.shape[0] - 1 for e in edges]
    empty = b.full((product(shape),), 0, float64)
    found = b.scatter(empty, b.where(inside, spot, 0), mass, 0, "add")
    found = b.reshape(found, shape)
    if not density:
        return found
    total = b.sum(found, range(len(shape)))
    for axis, line in enumerate(edges):
        width = b.reshape(_widths(b, line), along(axis, len(shape), shape[axis]))
        found = b.div(found, width)
    return b.div(found, total)


def _each(bins: Any, count: int) -> list[Any]:
    """Bins for each coordinate."""
    if not isinstance(bins, (tuple, list)):
        return [bins] * count
    if len(bins) != count:
        raise ValueError(
            "The dimension of bins must be equal to the dimension of the sample x."
        )
    return list(bins)


@array_function
def histogramdd(
    b: Emitter,
    sample: Value,
    /,
    bins: Any = 10,
    range: Any = None,
    density: bool | None = None,
    weights: Value | None = None,
) -> tuple[Value, tuple[Value, ...]]:
    """How many points, the rows, lie in each cell of a grid, and the cells' edges."""
    if sample.rank == 1:
        sample = b.expand_dims(sample, [1])
    n = sample.shape[1]
    if not isinstance(n, int):
        raise ShapeError("histogramdd takes a known number of coordinates")
    columns = [b.squeeze(part, [1]) for part in b.split(sample, [1] * n, 1)]
    bounds = range or (None,) * n
    rows = zip(columns, _each(bins, n), bounds, strict=True)
    edges = tuple(bin_edges(b, x, k, r) for x, k, r in rows)
    return cells(b, columns, edges, density, weights), edges


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
    rows = zip((x, y), pair, range or (None, None), strict=True)
    edges = [bin_edges(b, v, k, r) for v, k, r in rows]
    return cells(b, (x, y), edges, density, weights), edges[0], edges[1]
