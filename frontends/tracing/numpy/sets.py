"""Distinct elements and operations on sets."""

from typing import Any, NamedTuple

from graphwright.frontends.tracing.numpy.searching import kept, places
from graphwright.frontends.tracing.numpy.support import flat
from graphwright.frontends.tracing.wrap import Operand, array_function, axis_of, promote
from graphwright.ir.dtype import bool_, int64
from graphwright.ir.emitter import Emitter, Value

__all__ = [
    "in1d",
    "intersect1d",
    "isin",
    "setdiff1d",
    "setxor1d",
    "union1d",
    "unique",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
]


class UniqueAll(NamedTuple):
    """Distinct elements, where each occurs first, whose copy each is, how often."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCounts(NamedTuple):
    """Distinct elements and how often each occurs."""

    values: Any
    counts: Any


class UniqueInverse(NamedTuple):
    """Distinct elements and whose copy each element is."""

    values: Any
    inverse_indices: Any


def distinct(
    b: Emitter, x: Value, axis: int | None = None, *, ordered: bool = True
) -> tuple[Value, ...]:
    """Distinct elements, first positions, inverse and counts; each NaN is distinct."""
    count = b.fresh_symbol()
    return b.emit_all("unique", x, axis=axis, sorted=ordered, count=count)


@array_function
def unique_all(b: Emitter, x: Value, /) -> UniqueAll:
    """Distinct elements, first positions, inverse and counts."""
    values, first, inverse, counts = distinct(b, x)
    return UniqueAll(values, first, b.reshape(inverse, x.shape), counts)


@array_function
def unique_counts(b: Emitter, x: Value, /) -> UniqueCounts:
    """Distinct elements and how often each occurs."""
    values, _, _, counts = distinct(b, x)
    return UniqueCounts(values, counts)


@array_function
def unique_inverse(b: Emitter, x: Value, /) -> UniqueInverse:
    """Distinct elements and, for each element, which of them it is."""
    values, _, inverse, _ = distinct(b, x)
    return UniqueInverse(values, b.reshape(inverse, x.shape))


@array_function
def unique_values(b: Emitter, x: Value, /) -> Value:
    """Distinct elements."""
    return distinct(b, x)[0]


def _one_nan(b: Emitter, parts: tuple[Value, ...]) -> tuple[Value, ...]:
    """All NaN, which are last, as one."""
    values, first, inverse, counts = parts
    nans = b.sum(b.cast(b.is_nan(values), int64), [0])
    size = b.dim_scalar(values.shape[0], int64)
    left = b.sub(size, b.max(b.sub(nans, 1), 0))
    (n,) = b.bind_dims(b.reshape(left, (1,)))
    which = b.min(inverse, b.sub(left, 1))
    spots = b.min(b.iota(counts.shape, 0, int64), b.max(b.sub(left, 1), 0))
    total = b.scatter(b.full((n,), 0, int64), spots, counts, 0, "add")
    return (
        b.slice_axis(values, 0, 0, n),
        b.slice_axis(first, 0, 0, n),
        which,
        total,
    )


@array_function
def unique(
    b: Emitter,
    ar: Value,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
) -> Any:
    """Distinct elements or slices, sorted; on request positions, inverse, counts."""
    place = None if axis is None else axis_of(axis, ar.rank)
    parts = distinct(b, ar, place)
    if equal_nan and ar.dtype.kind in "fc" and axis is None:
        parts = _one_nan(b, parts)
    values, first, inverse, counts = parts
    if axis is None:
        inverse = b.reshape(inverse, ar.shape)
    wanted = (return_index, first), (return_inverse, inverse), (return_counts, counts)
    found = (values, *(v for asked, v in wanted if asked))
    return found if len(found) > 1 else values


def member(b: Emitter, x: Value, others: Value) -> Value:
    """Whether each element is among others: by its place among them, sorted."""
    line = flat(b, others)
    n = line.shape[0]
    if isinstance(n, int) and n == 0:
        return b.full(x.shape, False, bool_)
    line, _ = b.sort(line, 0)
    first = places(b, line, x, False)
    if not isinstance(n, int):  # there may be none to look at
        return b.and_(b.lt(first, places(b, line, x, True)), b.eq(x, x))
    return b.eq(b.gather(line, b.min(first, n - 1), 0), x)


@array_function
def isin(
    b: Emitter,
    x1: Operand,
    x2: Operand,
    /,
    assume_unique: bool = False,
    *,
    invert: bool = False,
    kind: str | None = None,
) -> Value:
    """Whether each element of ``x1`` is in ``x2`` (is not, with ``invert``)."""
    found = member(b, *promote(b, x1, x2))
    return b.not_(found) if invert else found


@array_function
def in1d(
    b: Emitter,
    x1: Operand,
    x2: Operand,
    assume_unique: bool = False,
    invert: bool = False,
) -> Value:
    """``isin`` of flattened arrays."""
    x, y = promote(b, x1, x2)
    found = member(b, flat(b, x), y)
    return b.not_(found) if invert else found


@array_function
def union1d(b: Emitter, ar1: Operand, ar2: Operand) -> Value:
    """Sorted elements of either."""
    xs = [flat(b, x) for x in promote(b, ar1, ar2)]
    return _set(b, b.concat(xs, 0))


def _set(b: Emitter, x: Value) -> Value:
    """Distinct elements, NaN one of them."""
    parts = distinct(b, x)
    return (_one_nan(b, parts) if x.dtype.kind in "fc" else parts)[0]


@array_function
def setdiff1d(
    b: Emitter, ar1: Operand, ar2: Operand, assume_unique: bool = False
) -> Value:
    """Sorted elements of the first that are not in the second."""
    (x,) = promote(b, ar1)
    x = flat(b, x) if assume_unique else _set(b, flat(b, x))
    return kept(b, x, b.not_(member(b, *promote(b, x, ar2))), 0)


@array_function
def setxor1d(
    b: Emitter, ar1: Operand, ar2: Operand, assume_unique: bool = False
) -> Value:
    """Sorted elements of exactly one of both."""
    x, y = (flat(b, x) for x in promote(b, ar1, ar2))
    if not assume_unique:
        x, y = _set(b, x), _set(b, y)
    parts = [kept(b, p, b.not_(member(b, p, q)), 0) for p, q in ((x, y), (y, x))]
    return b.sort(b.concat(parts, 0), 0)[0]


@array_function
def intersect1d(
    b: Emitter,
    ar1: Operand,
    ar2: Operand,
    assume_unique: bool = False,
    return_indices: bool = False,
) -> Any:
    """Sorted elements of both; on request where each occurs first."""
    xs = [flat(b, x) for x in promote(b, ar1, ar2)]
    x, first, _, _ = distinct(b, xs[0])
    y, second, _, _ = distinct(b, xs[1])
    found = kept(b, x, member(b, x, y), 0)
    if not return_indices:
        return found
    left = kept(b, first, member(b, x, y), 0)
    return found, left, kept(b, second, member(b, y, x), 0)
