"""Running sums and products, differences and integrals along an axis."""

from typing import Any

from graphwright.frontends.tracing.numpy.reductions import reduced
from graphwright.frontends.tracing.numpy.support import (
    flat,
    inexact,
    optional_dtype,
    to_dtype,
    total_dtype,
)
from graphwright.frontends.tracing.wrap import (
    Operand,
    array_function,
    axis_of,
    lane_axis,
    promote,
)
from graphwright.ir.dim import minimum
from graphwright.ir.dtype import bool_
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ShapeError

__all__ = [
    "cumprod",
    "cumsum",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "ediff1d",
    "trapezoid",
]


def running(b: Emitter, kind: str, x: Value, axis: Any, dtype: Any) -> Value:
    """A running sum or product in a dtype that is wide enough."""
    y = to_dtype(b, x, optional_dtype(dtype) or total_dtype(x.dtype))
    if axis is None or not y.rank:
        lane_axis(0 if axis is None else axis, y.rank)
        return b.cumulative(kind, flat(b, y), 0)
    return b.cumulative(kind, y, axis_of(axis, y.rank))


@array_function
def cumsum(b: Emitter, x: Value, /, axis: Any = None, dtype: Any = None) -> Value:
    """Running sum along an axis, or of all elements flattened."""
    return running(b, "sum", x, axis, dtype)


@array_function
def cumprod(b: Emitter, x: Value, /, axis: Any = None, dtype: Any = None) -> Value:
    """Running product along an axis, or of all elements flattened."""
    return running(b, "prod", x, axis, dtype)


def _standard(
    b: Emitter, kind: str, x: Value, axis: Any, dtype: Any, include_initial: bool
) -> Value:
    if axis is None and x.rank != 1:
        raise ShapeError(f"a running {kind} of {x.type} needs an axis")
    place = axis_of(0 if axis is None else axis, x.rank)
    found = running(b, kind, x, place, dtype)
    if not include_initial:
        return found
    shape = [*found.shape[:place], 1, *found.shape[place + 1 :]]
    first = b.full(shape, int(kind == "prod"), found.dtype)
    return b.concat([first, found], place)


@array_function
def cumulative_sum(
    b: Emitter,
    x: Value,
    /,
    *,
    axis: int | None = None,
    dtype: Any = None,
    include_initial: bool = False,
) -> Value:
    """Running sum along an axis, from 0 if that is included."""
    return _standard(b, "sum", x, axis, dtype, include_initial)


@array_function
def cumulative_prod(
    b: Emitter,
    x: Value,
    /,
    *,
    axis: int | None = None,
    dtype: Any = None,
    include_initial: bool = False,
) -> Value:
    """Running product along an axis, from 1 if that is included."""
    return _standard(b, "prod", x, axis, dtype, include_initial)


def step(b: Emitter, x: Value, axis: int) -> tuple[Value, Value]:
    """The elements after the first, and those before the last, along an axis."""
    n = x.shape[axis]
    first = minimum(n, 1)
    return b.slice_axis(x, axis, first, n), b.slice_axis(x, axis, 0, n - first)


def _gaps(b: Emitter, x: Value, axis: int) -> Value:
    """Differences of neighbours; of booleans, whether they differ."""
    after, before = step(b, x, axis)
    return b.ne(after, before) if x.dtype is bool_ else b.sub(after, before)


def _edge(b: Emitter, x: Value, edge: Value, axis: int) -> Value:
    if edge.rank:
        return edge
    return b.broadcast_to(edge, [*x.shape[:axis], 1, *x.shape[axis + 1 :]])


@array_function
def diff(
    b: Emitter,
    x: Value,
    /,
    n: int = 1,
    axis: int = -1,
    prepend: Value | None = None,
    append: Value | None = None,
) -> Value:
    """``n`` times the differences of neighbours along an axis."""
    if n < 0:
        raise ValueError(f"order must be non-negative but got {n}")
    if x.rank == 0:
        raise ValueError("diff requires input that is at least one dimensional")
    place = axis_of(axis, x.rank)
    parts = [None if v is None else _edge(b, x, v, place) for v in (prepend, append)]
    if n == 0:
        return x
    every = promote(b, *(v for v in (parts[0], x, parts[1]) if v is not None))
    y = b.concat(every, place)
    for _ in range(n):
        y = _gaps(b, y, place)
    return y


@array_function
def ediff1d(
    b: Emitter, x: Value, /, to_end: Value | None = None, to_begin: Value | None = None
) -> Value:
    """Differences of neighbours of all elements, between two parts given."""
    middle = b.sub(*step(b, flat(b, x), 0))
    ends = [
        None if v is None else flat(b, b.cast(v, x.dtype)) for v in (to_begin, to_end)
    ]
    return b.concat([v for v in (ends[0], middle, ends[1]) if v is not None], 0)


@array_function
def trapezoid(
    b: Emitter, y: Value, x: Value | None = None, dx: Operand = 1.0, axis: int = -1
) -> Value:
    """Integral along an axis by the trapezoidal rule."""
    place = axis_of(axis, y.rank)
    after, before = step(b, y, place)
    pairs = b.or_(after, before) if y.dtype is bool_ else b.add(after, before)
    width = dx
    if x is not None:
        gaps = _gaps(b, x, 0 if x.rank == 1 else place)
        others = [i for i in range(y.rank) if i != place]
        width = b.expand_dims(gaps, others) if gaps.rank == 1 else gaps
    areas = b.mul(*b.align(*promote(b, width, pairs)))
    return reduced(b, "sum", b.mul(inexact(b, areas), 0.5), place)
