"""Choosing, sorting and finding elements; reading at computed positions."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from graphwright.frontends.tracing.numpy.support import (
    complex_of,
    flat,
    lanes_of,
    truth,
    wrapped,
)
from graphwright.frontends.tracing.wrap import (
    Operand,
    array_function,
    as_dtype,
    axis_of,
    promote,
    result_dtype,
    strong,
)
from graphwright.ir.dim import Dim
from graphwright.ir.dtype import DTYPES, DType, int64
from graphwright.ir.emitter import Emitter, Value, broadcast_shape
from graphwright.ir.errors import ShapeError

__all__ = [
    "argpartition",
    "argsort",
    "argwhere",
    "choose",
    "compress",
    "digitize",
    "extract",
    "flatnonzero",
    "lexsort",
    "nonzero",
    "partition",
    "searchsorted",
    "select",
    "sort",
    "sort_complex",
    "take",
    "take_along_axis",
    "where",
]


# Choice -------------------------------------------------------------------------------


def positions(b: Emitter, x: Value) -> Value:
    """Positions of the elements that are not zero: ``[rank, count]``."""
    if x.rank == 0:
        raise ShapeError("nonzero of a 0-d array: use reshape(x, (1,))")
    return b.emit("nonzero", truth(b, x), count=b.fresh_symbol())


def _rows(b: Emitter, found: Value) -> tuple[Value, ...]:
    count: int = found.shape[0]  # type: ignore[assignment]
    rows = (b.slice_axis(found, 0, i, i + 1) for i in range(count))
    return tuple(b.squeeze(row, [0]) for row in rows)


@array_function(array=True)
def where(
    b: Emitter,
    condition: Value,
    x1: Operand | None = None,
    x2: Operand | None = None,
    /,
) -> Any:
    """Elements of ``x1`` where a condition holds, else of ``x2``, or ``nonzero``."""
    if x1 is None and x2 is None:
        return _rows(b, positions(b, condition))
    if x1 is None or x2 is None:
        raise ValueError("either both or neither of x and y should be given")
    common = result_dtype(x1, x2)
    x, y = (_wrapping(b, v, common) for v in (x1, x2))
    return b.where(truth(b, condition), x, y)


def _wrapping(b: Emitter, x: Operand, d: DType) -> Value:
    """An operand in a dtype; a Python integer that does not fit wraps around."""
    if d.is_int and isinstance(x, int):
        return b.constant(np.asarray(x).astype(d.numpy), d)
    return as_dtype(b, x, d)


@array_function
def nonzero(b: Emitter, x: Value, /) -> tuple[Value, ...]:
    """Positions of the elements that are not zero, one vector for each axis."""
    return _rows(b, positions(b, x))


@array_function
def argwhere(b: Emitter, x: Value, /) -> Value:
    """Positions of the elements that are not zero, one row for each."""
    if x.rank:
        return b.transpose(positions(b, x), [1, 0])
    found = positions(b, flat(b, x))
    return b.full((found.shape[1], 0), 0, int64)


@array_function
def flatnonzero(b: Emitter, x: Value, /) -> Value:
    """Positions of the elements that are not zero, counted in C order."""
    return b.squeeze(positions(b, flat(b, x)), [0])


def kept(b: Emitter, x: Value, mask: Value, axis: int) -> Value:
    """The slices along an axis where a vector of booleans holds."""
    return b.gather(x, b.squeeze(positions(b, mask), [0]), axis)


@array_function
def compress(b: Emitter, condition: Value, a: Value, axis: int | None = None) -> Value:
    """The slices along an axis where a condition holds; missing ones do not."""
    x, place = lanes_of(b, a, axis)
    return kept(b, x, condition, place)


@array_function
def extract(b: Emitter, condition: Value, arr: Value) -> Value:
    """The elements where a condition holds, flattened."""
    return kept(b, flat(b, arr), flat(b, condition), 0)


@array_function(array=True)
def select(
    b: Emitter,
    condlist: Sequence[Value],
    choicelist: Sequence[Operand],
    default: Operand = 0,
) -> Value:
    """For each element the choice of the first condition that holds."""
    if len(condlist) != len(choicelist):
        raise ValueError("list of cases must be same length as list of conditions")
    common = result_dtype(*choicelist, default)
    *choices, found = (_wrapping(b, x, common) for x in (*choicelist, default))
    pairs = zip(condlist, choices, strict=True)
    for condition, choice in reversed(list(pairs)):
        found = b.where(condition, choice, found)
    return found


_MODES: Any = {"raise", "wrap", "clip"}


def _index(b: Emitter, indices: Value, size: Dim, mode: str) -> Value:
    """Indices made nonnegative and, by mode, brought into range."""
    if mode not in _MODES:
        raise ValueError(f"there is no mode {mode!r}")
    if mode == "raise":
        return wrapped(b, indices, size)
    wide, n = b.cast(indices, int64), b.dim_scalar(size, int64)
    if mode == "clip":
        return b.max(b.min(wide, b.sub(n, 1)), 0)
    rest = b.rem(wide, n)
    return b.where(b.lt(rest, 0), b.add(rest, n), rest)


@array_function
def choose(
    b: Emitter, a: Value, choices: Sequence[Operand], mode: str = "raise"
) -> Value:
    """For each element the one of the choice that an index names."""
    index = _index(b, a, len(choices), mode)
    xs = promote(b, *choices)
    shape = broadcast_shape(index.shape, *(x.shape for x in xs))
    every = b.stack([b.broadcast_to(x, shape) for x in xs], 0)
    row = b.expand_dims(b.broadcast_to(index, shape), [0])
    return b.squeeze(b.take_along_axis(every, row, 0), [0])


# Reading ------------------------------------------------------------------------------


@array_function
def take(
    b: Emitter,
    x: Value,
    indices: Value,
    /,
    axis: int | None = None,
    mode: str = "raise",
) -> Value:
    """Slices at indices along an axis, or elements of all flattened."""
    source, place = lanes_of(b, x, axis)
    index = _index(b, indices, source.shape[place], mode)
    return b.gather(source, index, place)


def lined_up(b: Emitter, x: Value, indices: Value, axis: int) -> tuple[Value, Value]:
    """Both broadcast to each other in all axes but one."""
    if x.rank != indices.rank:
        raise ShapeError(f"indices {indices.type} of {x.type} need its rank")
    lead = [1 if i == axis else d for i, d in enumerate(x.shape)]
    row = [1 if i == axis else d for i, d in enumerate(indices.shape)]
    common = broadcast_shape(lead, row)
    shapes = ([*common], [*common])
    for shape, v in zip(shapes, (x, indices), strict=True):
        shape[axis] = v.shape[axis]
    return b.broadcast_to(x, shapes[0]), b.broadcast_to(indices, shapes[1])


@array_function
def take_along_axis(
    b: Emitter, x: Value, indices: Value, /, axis: int | None = -1
) -> Value:
    """For each lane along an axis the elements at that lane's indices."""
    source, place = (flat(b, x), 0) if axis is None else (x, axis_of(axis, x.rank))
    index = wrapped(b, indices, source.shape[place])
    return b.take_along_axis(*lined_up(b, source, index, place), place)


# Order --------------------------------------------------------------------------------


def _ordered(
    b: Emitter, x: Value, axis: int | None, descending: bool
) -> tuple[Value, Value]:
    x, place = lanes_of(b, x, axis)
    return b.sort(x, place, descending=descending)


@array_function
def sort(
    b: Emitter,
    x: Value,
    /,
    axis: int | None = -1,
    kind: str | None = None,
    order: None = None,
    *,
    descending: bool = False,
    stable: bool | None = True,
) -> Value:
    """Sorted along an axis, NaN as the largest."""
    return _ordered(b, x, axis, descending)[0]


@array_function
def sort_complex(b: Emitter, a: Value, /) -> Value:
    """Sorted along the last axis, as complex numbers."""
    small = a.dtype.kind in "iu" and a.dtype.bits <= 16
    wide = DTYPES["complex64"] if small else complex_of(a.dtype)
    return b.cast(_ordered(b, a, -1, False)[0], wide)


@array_function
def argsort(
    b: Emitter,
    x: Value,
    /,
    axis: int | None = -1,
    kind: str | None = None,
    order: None = None,
    *,
    descending: bool = False,
    stable: bool | None = True,
) -> Value:
    """The indices that sort along an axis, equal elements in their order."""
    return _ordered(b, x, axis, descending)[1]


@array_function
def partition(
    b: Emitter, a: Value, kth: Any, axis: int | None = -1, kind: str = "introselect"
) -> Value:
    """The ``kth`` element in its sorted place, here by a full sort."""
    return _ordered(b, a, axis, False)[0]


@array_function
def argpartition(
    b: Emitter, a: Value, kth: Any, axis: int | None = -1, kind: str = "introselect"
) -> Value:
    """The indices that ``partition``."""
    return _ordered(b, a, axis, False)[1]


@array_function
def lexsort(b: Emitter, keys: Sequence[Value], axis: int = -1) -> Value:
    """The indices that sort by the last key, ties by the one before it, and so on."""
    place = axis_of(axis, keys[0].rank)
    order: Value | None = None
    for key in keys:
        here = key if order is None else b.take_along_axis(key, order, place)
        _, found = b.sort(here, place)
        order = found if order is None else b.take_along_axis(order, found, place)
    if order is None:
        raise TypeError("need sequence of keys with len > 0 in lexsort")
    return order


def places(b: Emitter, line: Value, values: Value, right: bool) -> Value:
    """Where values belong in a sorted vector."""
    return b.emit("search_sorted", line, values, right=right)


@array_function
def searchsorted(
    b: Emitter,
    x1: Operand,
    x2: Operand,
    /,
    side: Literal["left", "right"] = "left",
    sorter: Value | None = None,
) -> Value:
    """Where values belong in a sorted vector, before or after equal elements."""
    if side not in ("left", "right"):
        raise ValueError(f"side must be 'left' or 'right' (got {side!r})")
    line, values = promote(b, strong(b, x1), x2)
    if line.rank != 1:
        raise ShapeError(f"searchsorted takes a sorted vector, got {line.type}")
    if sorter is not None:
        line = b.gather(line, wrapped(b, sorter, line.shape[0]), 0)
    return places(b, line, values, side == "right")


@array_function
def digitize(b: Emitter, x: Value, bins: Value, right: bool = False) -> Value:
    """The number of the bin, among ascending edges, in which each element lies."""
    values, edges = promote(b, x, bins)
    if edges.rank != 1:
        raise ShapeError(f"digitize takes a vector of edges, got {edges.type}")
    ends = b.known(edges)
    if ends is not None and len(ends.array()) > 1 and _falling(ends.array()):
        found = places(b, b.flip(edges, [0]), values, not right)
        return b.sub(b.dim_scalar(edges.shape[0], int64), found)
    return places(b, edges, values, not right)


def _falling(edges: "np.ndarray[Any, Any]") -> bool:
    return bool(edges[0] > edges[-1])
