"""Arrays put together, taken apart, repeated, padded; elements put in or left out."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from graphwright.frontends.tracing.numpy.support import (
    flat,
    lanes_of,
    optional_dtype,
    to_dtype,
)
from graphwright.frontends.tracing.wrap import (
    Operand,
    array_function,
    axis_of,
    concrete,
    promote,
    shape_of,
)
from graphwright.ir.dim import Dim, floordiv
from graphwright.ir.dtype import int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ShapeError

__all__ = [
    "append",
    "array_split",
    "block",
    "column_stack",
    "concat",
    "delete",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "insert",
    "repeat",
    "split",
    "stack",
    "tile",
    "unstack",
    "vsplit",
    "vstack",
]


def together(b: Emitter, arrays: Sequence[Operand], dtype: Any = None) -> list[Value]:
    """Arrays in their common dtype, or in one given."""
    if not arrays:
        raise ShapeError("at least one array is needed")
    d = optional_dtype(dtype)
    if d is None:
        return promote(b, *arrays)
    return [to_dtype(b, x, d) for x in promote(b, *arrays)]


def joined(b: Emitter, xs: Sequence[Value], axis: int | None) -> Value:
    """Tensors one after the other along an axis; flattened first if it is None."""
    if axis is None:
        return b.concat([flat(b, x) for x in xs], 0)
    if xs[0].rank == 0:
        raise ShapeError("zero-dimensional arrays cannot be concatenated")
    return b.concat(xs, axis_of(axis, xs[0].rank))


@array_function
def concat(
    b: Emitter,
    arrays: Sequence[Operand],
    /,
    axis: int | None = 0,
    *,
    dtype: Any = None,
    casting: str = "same_kind",
) -> Value:
    """Arrays one after the other along an axis; flattened first if it is None."""
    return joined(b, together(b, arrays, dtype), axis)


@array_function
def stack(
    b: Emitter,
    arrays: Sequence[Operand],
    /,
    axis: int = 0,
    *,
    dtype: Any = None,
    casting: str = "same_kind",
) -> Value:
    """Arrays of one shape along a new axis."""
    xs = together(b, arrays, dtype)
    return b.stack(xs, axis_of(axis, xs[0].rank + 1))


def _raised(b: Emitter, x: Value, rank: int) -> Value:
    return b.expand_dims(x, range(max(rank - x.rank, 0)))


@array_function
def vstack(
    b: Emitter, tup: Sequence[Operand], *, dtype: Any = None, casting: str = "same_kind"
) -> Value:
    """Rows, or arrays one below the other."""
    return b.concat([_raised(b, x, 2) for x in together(b, tup, dtype)], 0)


@array_function
def hstack(
    b: Emitter, tup: Sequence[Operand], *, dtype: Any = None, casting: str = "same_kind"
) -> Value:
    """Arrays side by side: along axis 1, of vectors along axis 0."""
    xs = [_raised(b, x, 1) for x in together(b, tup, dtype)]
    return b.concat(xs, 0 if xs[0].rank == 1 else 1)


def _deep(b: Emitter, x: Value) -> Value:
    x = _raised(b, x, 2)
    return b.expand_dims(x, [2]) if x.rank == 2 else x


@array_function
def dstack(b: Emitter, tup: Sequence[Operand]) -> Value:
    """Arrays one behind the other, along axis 2."""
    return b.concat([_deep(b, x) for x in together(b, tup)], 2)


@array_function
def column_stack(b: Emitter, tup: Sequence[Operand]) -> Value:
    """Vectors as the columns of a matrix; matrices side by side."""
    xs = [_raised(b, x, 1) for x in together(b, tup)]
    return b.concat([b.expand_dims(x, [1]) if x.rank == 1 else x for x in xs], 1)


def _blocks(b: Emitter, xs: Any, depth: int, rank: int) -> Value:
    """Nested lists of values: the innermost lists lie along the last axis."""
    if isinstance(xs, Value):
        return _raised(b, xs, rank)
    parts = [_blocks(b, x, depth - 1, rank) for x in xs]
    return b.concat(parts, parts[0].rank - depth)


def _depth(xs: Any) -> int:
    return 1 + _depth(xs[0]) if isinstance(xs, (list, tuple)) else 0


def _flattened(xs: Any) -> list[Any]:
    if isinstance(xs, (list, tuple)):
        return [v for x in xs for v in _flattened(x)]
    return [xs]


def block(arrays: Any) -> Any:
    """An array put together from nested lists of blocks."""
    return _block(_flattened(arrays), arrays)


@array_function
def _block(b: Emitter, items: Sequence[Operand], form: Any) -> Value:
    values = iter(promote(b, *items))

    def filled(x: Any) -> Any:
        return list(map(filled, x)) if isinstance(x, (list, tuple)) else next(values)

    nested = filled(form)
    depth = _depth(form)
    rank = max(depth, *(v.rank for v in _flattened(nested)))
    return _blocks(b, nested, depth, rank)


@array_function
def append(b: Emitter, arr: Operand, values: Operand, axis: int | None = None) -> Value:
    """``values`` after ``arr``; both flattened if there is no axis."""
    return joined(b, promote(b, arr, values), axis)


# Apart --------------------------------------------------------------------------------


@array_function(view=True)
def unstack(b: Emitter, x: Value, /, *, axis: int = 0) -> tuple[Value, ...]:
    """The slices along an axis."""
    if x.rank == 0:
        raise ShapeError("a 0-d array cannot be unstacked")
    place = axis_of(axis, x.rank)
    n = x.shape[place]
    if not isinstance(n, int):
        raise ShapeError(f"unstack of {x.type} along an axis of unknown size")
    parts = (b.slice_axis(x, place, i, i + 1) for i in range(n))
    return tuple(b.squeeze(part, [place]) for part in parts)


def _ends(n: Dim, places: Sequence[int]) -> list[Dim]:
    """Where parts end: indices counted from the end where negative, cut to the axis."""
    if not isinstance(n, int):
        return list(places)
    return [min(max(p + n if p < 0 else p, 0), n) for p in places]


def _at(b: Emitter, x: Value, places: Sequence[int], axis: int) -> list[Value]:
    n = x.shape[axis]
    ends = [0, *_ends(n, places), n]
    pairs = pairwise(ends)
    return [b.slice_axis(x, axis, lo, _later(lo, hi)) for lo, hi in pairs]


def _later(low: Dim, high: Dim) -> Dim:
    both_known = isinstance(low, int) and isinstance(high, int)
    return low if both_known and high < low else high  # type: ignore[operator]


def _split(b: Emitter, x: Value, sections: Any, axis: int, equal: bool) -> list[Value]:
    place = axis_of(axis, x.rank)
    n = x.shape[place]
    if not isinstance(sections, (int, np.integer)):
        return _at(b, x, [int(s) for s in np.asarray(sections).tolist()], place)
    count = int(sections)
    if count <= 0:
        raise ValueError("number sections must be larger than 0.")
    if not isinstance(n, int):
        return b.split(x, [floordiv(n, count)] * count, place)
    if equal and n % count:
        raise ValueError("array split does not result in an equal division")
    sizes = [n // count + (i < n % count) for i in range(count)]
    return b.split(x, sizes, place)


@array_function(view=True)
def split(
    b: Emitter, ary: Value, indices_or_sections: Any, axis: int = 0
) -> list[Value]:
    """Equal parts, or parts between indices, along an axis."""
    return _split(b, ary, indices_or_sections, axis, True)


@array_function(view=True)
def array_split(
    b: Emitter, ary: Value, indices_or_sections: Any, axis: int = 0
) -> list[Value]:
    """Parts as equal as can be, or between indices, along an axis."""
    return _split(b, ary, indices_or_sections, axis, False)


@array_function(view=True)
def vsplit(b: Emitter, ary: Value, indices_or_sections: Any) -> list[Value]:
    """Parts along axis 0."""
    return _split(b, ary, indices_or_sections, 0, True)


@array_function(view=True)
def hsplit(b: Emitter, ary: Value, indices_or_sections: Any) -> list[Value]:
    """Parts along axis 1, of a vector along axis 0."""
    return _split(b, ary, indices_or_sections, min(ary.rank - 1, 1), True)


@array_function(view=True)
def dsplit(b: Emitter, ary: Value, indices_or_sections: Any) -> list[Value]:
    """Parts along axis 2."""
    return _split(b, ary, indices_or_sections, 2, True)


# Repeated -----------------------------------------------------------------------------


def _each(b: Emitter, x: Value, count: Dim, axis: int) -> Value:
    """Each slice ``count`` times, next to each other."""
    shape = list(x.shape)
    shape.insert(axis + 1, count)
    wide = b.broadcast_to(b.expand_dims(x, [axis + 1]), shape)
    return b.reshape(
        wide, [*x.shape[:axis], x.shape[axis] * count, *x.shape[axis + 1 :]]
    )


@array_function
def repeat(
    b: Emitter,
    x: Value,
    repeats: Value,
    /,
    axis: int | None = None,
    *,
    total_repeat_length: int | None = None,
) -> Value:
    """Each element, or slice along an axis, so many times."""
    x, place = lanes_of(b, x, axis)
    n = x.shape[place]
    if repeats.rank == 0 or repeats.shape == (1,):
        (count,) = b.bind_dims(b.reshape(b.cast(repeats, int64), (1,)))
        return _each(b, x, count, place)
    counts = b.broadcast_to(b.cast(repeats, int64), (n,))
    ends = b.cumulative("sum", counts, 0)
    (total,) = b.bind_dims(b.reshape(b.sum(counts, [0]), (1,)))
    zeros = b.full((total + 1,), 0, int64)
    steps = b.scatter(zeros, ends, b.full((n,), 1, int64), 0, "add")
    source = b.cumulative("sum", b.slice_axis(steps, 0, 0, total), 0)
    return b.gather(x, source, place)


@array_function
def tile(b: Emitter, x: Value, repetitions: Any, /) -> Value:
    """The array so many times along each axis."""
    counts: list[Dim] = list(shape_of(repetitions))
    counts[:0] = [1] * (x.rank - len(counts))
    x = _raised(b, x, len(counts))
    spread: list[Dim] = []
    for n, count in zip(x.shape, counts, strict=True):
        spread += [count, n]
    wide = b.broadcast_to(b.expand_dims(x, range(0, 2 * x.rank, 2)), spread)
    return b.reshape(wide, [n * c for n, c in zip(x.shape, counts, strict=True)])


# Put in, left out ---------------------------------------------------------------------


def _known_size(x: Value, axis: int, what: str) -> int:
    n = x.shape[axis]
    if not isinstance(n, int):
        raise ShapeError(f"{what} along an axis of unknown size")
    return n


def _positions(b: Emitter, obj: Any, n: int, what: str) -> "np.ndarray[Any, Any]":
    if isinstance(obj, slice):
        return np.arange(n)[obj]
    if isinstance(obj, Value):
        return concrete(b, obj, what)
    return np.asarray(obj)


@array_function
def delete(b: Emitter, arr: Value, obj: Any, axis: int | None = None) -> Value:
    """Without the slices at some indices."""
    x, place = (flat(b, arr), 0) if axis is None else (arr, axis_of(axis, arr.rank))
    n = _known_size(x, place, "delete")
    kept = np.delete(np.arange(n), _positions(b, obj, n, "delete's indices"))
    return b.gather(x, b.constant(kept, int64), place)


@array_function
def insert(
    b: Emitter, arr: Value, obj: Any, values: Operand, axis: int | None = None
) -> Value:
    """With values put in before some indices."""
    x, place = (flat(b, arr), 0) if axis is None else (arr, axis_of(axis, arr.rank))
    (new,) = promote(b, values, to=x.dtype)
    n = _known_size(x, place, "insert")
    at = _positions(b, obj, n, "insert's indices")
    rank = max(x.rank, 1)
    if at.ndim == 0:
        new = _raised(b, new, rank)
        new = b.transpose(new, [*range(1, place + 1), 0, *range(place + 1, rank)])
        count = new.shape[place]
    else:
        new, count = _raised(b, new, rank), len(at)
    shape = [*x.shape[:place], count, *x.shape[place + 1 :]]
    new = b.broadcast_to(new, shape)
    if at.ndim == 0:
        at = np.repeat(at, int(count))  # type: ignore[arg-type]
    elif len(at) == 1 and new.shape[place] != 1:
        at = np.repeat(at, int(new.shape[place]))  # type: ignore[arg-type]
    order = np.insert(np.arange(n), at, np.arange(n, n + len(at)))
    return b.gather(b.concat([x, new], place), b.constant(order, int64), place)
