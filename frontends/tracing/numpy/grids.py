"""Grids of coordinates, indices of triangles and diagonals, ``r_`` and ``c_``."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphwright.frontends.tracing.numpy.creation import arange as line_of
from graphwright.frontends.tracing.numpy.creation import below_diagonal, linspace
from graphwright.frontends.tracing.numpy.searching import positions
from graphwright.frontends.tracing.numpy.support import along, optional_dtype, wrapped
from graphwright.frontends.tracing.wrap import (
    Operand,
    array_function,
    promote,
    shape_of,
)
from graphwright.ir.dim import Dim
from graphwright.ir.dtype import bool_, int64
from graphwright.ir.emitter import Emitter, Value

__all__ = [
    "c_",
    "diag_indices",
    "diag_indices_from",
    "index_exp",
    "indices",
    "ix_",
    "meshgrid",
    "mgrid",
    "ogrid",
    "r_",
    "ravel_multi_index",
    "s_",
    "tril_indices",
    "tril_indices_from",
    "triu_indices",
    "triu_indices_from",
    "unravel_index",
]


@array_function
def meshgrid(
    b: Emitter,
    *arrays: Value,
    indexing: str = "xy",
    sparse: bool = False,
    copy: bool = True,
) -> tuple[Value, ...]:
    """The coordinates of a grid; by ``xy`` the first array lies along axis 1."""
    if indexing not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")
    rank = len(arrays)
    lines = [x if x.rank == 1 else b.reshape(x, (x.tensor.size,)) for x in arrays]
    places = list(range(rank))
    if indexing == "xy" and rank > 1:
        places[0], places[1] = 1, 0
    spread = [
        b.reshape(x, along(axis, rank, x.shape[0]))
        for x, axis in zip(lines, places, strict=True)
    ]
    if sparse or not spread:
        return tuple(spread)
    shape = [x.shape[0] for x in lines]
    order = [shape[p] for p in places]
    return tuple(b.broadcast_to(x, order) for x in spread)


@array_function
def ix_(b: Emitter, *args: Value) -> tuple[Value, ...]:
    """Vectors that index an open grid; booleans as the positions where they hold."""
    rank = len(args)
    found: list[Value] = []
    for axis, x in enumerate(args):
        if x.rank != 1:
            raise ValueError("Cross index must be 1 dimensional")
        line = b.squeeze(positions(b, x), [0]) if x.dtype is bool_ else x
        found.append(b.reshape(line, along(axis, rank, line.shape[0])))
    return tuple(found)


@array_function
def indices(b: Emitter, dimensions: Any, dtype: Any = int, sparse: bool = False) -> Any:
    """The coordinates of all places of a shape, stacked; a tuple of lines if sparse."""
    shape = shape_of(dimensions)
    d = optional_dtype(dtype) or int64
    if sparse:
        sizes = [along(i, len(shape), n) for i, n in enumerate(shape)]
        return tuple(b.iota(size, i, d) for i, size in enumerate(sizes))
    return b.stack([b.iota(shape, i, d) for i in range(len(shape))], 0)


def _triangle(b: Emitter, n: Any, k: int, m: Any, lower: bool) -> tuple[Value, ...]:
    shape = (*shape_of(n), *shape_of(n if m is None else m))
    mask = below_diagonal(b, shape, k if lower else k - 1)
    sizes = [d for d in shape if isinstance(d, int)]
    if len(sizes) == 2:
        rows, columns = sizes
        grid = np.tri(rows, columns, k if lower else k - 1, dtype=bool)
        found = np.nonzero(grid if lower else ~grid)
        return tuple(b.constant(line.astype(np.int64)) for line in found)
    places = positions(b, mask if lower else b.not_(mask))
    return tuple(b.squeeze(b.slice_axis(places, 0, i, i + 1), [0]) for i in (0, 1))


@array_function
def tril_indices(b: Emitter, n: Any, k: int = 0, m: Any = None) -> tuple[Value, ...]:
    """The positions of a lower triangle."""
    return _triangle(b, n, k, m, True)


@array_function
def triu_indices(b: Emitter, n: Any, k: int = 0, m: Any = None) -> tuple[Value, ...]:
    """The positions of an upper triangle."""
    return _triangle(b, n, k, m, False)


@array_function
def diag_indices(b: Emitter, n: Any, ndim: int = 2) -> tuple[Value, ...]:
    """The positions of a main diagonal."""
    return (b.iota(shape_of(n), 0, int64),) * ndim


@array_function
def tril_indices_from(b: Emitter, arr: Value, k: int = 0) -> tuple[Value, ...]:
    """The positions of a matrix's lower triangle."""
    return _triangle(b, arr.shape[0], k, arr.shape[1], True)


@array_function
def triu_indices_from(b: Emitter, arr: Value, k: int = 0) -> tuple[Value, ...]:
    """The positions of a matrix's upper triangle."""
    return _triangle(b, arr.shape[0], k, arr.shape[1], False)


@array_function
def diag_indices_from(b: Emitter, arr: Value) -> tuple[Value, ...]:
    """The positions of an array's main diagonal."""
    return (b.iota((arr.shape[0],), 0, int64),) * arr.rank


@array_function
def unravel_index(b: Emitter, indices: Value, shape: Any, order: str = "C") -> Any:
    """The coordinates of positions counted in C order (or Fortran's)."""
    rest = b.cast(indices, int64)
    dims = shape_of(shape)
    found: list[Value] = []
    for n in dims if order == "F" else reversed(dims):
        size = b.dim_scalar(n, int64)
        found.append(b.rem(rest, size))
        rest = b.div(rest, size)
    return tuple(found if order == "F" else reversed(found))


def _mode(b: Emitter, index: Value, n: Dim, mode: str) -> Value:
    if mode == "raise":
        return index
    size = b.dim_scalar(n, int64)
    if mode == "clip":
        return b.max(b.min(index, b.sub(size, 1)), 0)
    return wrapped(b, b.rem(index, size), n)


@array_function
def ravel_multi_index(
    b: Emitter,
    multi_index: Sequence[Value],
    dims: Any,
    mode: str = "raise",
    order: str = "C",
) -> Value:
    """Positions counted in C order (or Fortran's) of coordinates."""
    shape = shape_of(dims)
    pairs = list(zip(multi_index, shape, strict=True))
    found: Value | None = None
    for index, n in pairs if order == "C" else reversed(pairs):
        here = _mode(b, b.cast(index, int64), n, mode)
        size = b.dim_scalar(n, int64)
        found = here if found is None else b.add(b.mul(found, size), here)
    if found is None:
        raise ValueError("ravel_multi_index takes at least one axis")
    return found


# By indexing --------------------------------------------------------------------------


def _range(item: slice) -> Any:
    """A slice as a range, or with an imaginary step as so many points."""
    start = 0 if item.start is None else item.start
    if isinstance(item.step, complex):
        return linspace(start, item.stop, int(abs(item.step)))
    return line_of(start, item.stop, 1 if item.step is None else item.step)


class _Grid:
    """``mgrid[0:3, 0:1:5j]``: grids by indexing with slices, dense or open."""

    def __init__(self, sparse: bool) -> None:
        self._sparse = sparse

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return _range(key)
        grids = meshgrid(*map(_range, key), indexing="ij", sparse=self._sparse)
        return grids if self._sparse else _stacked(grids)


@array_function
def _stacked(b: Emitter, xs: Sequence[Operand]) -> Value:
    return b.stack(promote(b, *xs), 0)


mgrid, ogrid = _Grid(False), _Grid(True)


class _Exact:
    """``s_[1:3]`` is the index itself; ``index_exp`` always a tuple."""

    def __init__(self, as_tuple: bool) -> None:
        self._tuple = as_tuple

    def __getitem__(self, key: Any) -> Any:
        return (key,) if self._tuple and not isinstance(key, tuple) else key


s_, index_exp = _Exact(False), _Exact(True)


@array_function
def _joined(
    b: Emitter, xs: Sequence[Operand], axis: int, ndmin: int, first: int
) -> Value:
    """Parts of at least ``ndmin`` axes, one after the other; theirs from ``first``."""
    parts: list[Value] = []
    for x in promote(b, *xs):
        y = b.expand_dims(x, [0]) if x.rank == 0 else x
        missing = max(ndmin - y.rank, 0)
        before = missing if first < 0 else min(first, missing)
        after = missing - before
        shape = (*(1,) * before, *y.shape, *(1,) * after)
        parts.append(b.reshape(y, shape))
    return b.concat(parts, axis % parts[0].rank)


class _Concatenator:
    """``r_[a, 0, 1:5]``: parts and slices, as ranges, one after the other."""

    def __init__(self, axis: int, ndmin: int, first: int) -> None:
        self._form = axis, ndmin, first

    def __getitem__(self, key: Any) -> Any:
        items = key if isinstance(key, tuple) else (key,)
        axis, ndmin, first = self._form
        if items and isinstance(items[0], str):
            axis, ndmin, first = _directive(items[0])
            items = items[1:]
        parts = [_range(x) if isinstance(x, slice) else x for x in items]
        return _joined(parts, axis, ndmin, first)


def _directive(text: str) -> tuple[int, int, int]:
    """Axis, least rank and place of the parts' own axes from ``"0,2,1"``."""
    if text in ("r", "c"):
        raise ValueError(f"r_ does not take the directive {text!r}")
    numbers = [int(n) for n in text.split(",")]
    axis, ndmin, first = [*numbers, *(0, 1, -1)[len(numbers) :]]
    return axis, ndmin, first


r_, c_ = _Concatenator(0, 1, -1), _Concatenator(-1, 2, 0)
