"""Functions that write to their first argument."""

from typing import Any

import numpy as np

from graphwright.frontends.tracing.numpy.creation import asarray, zeros_like
from graphwright.frontends.tracing.numpy.searching import lined_up
from graphwright.frontends.tracing.numpy.support import flat, wrapped
from graphwright.frontends.tracing.wrap import array_function, axis_of
from graphwright.ir.dtype import bool_, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import DTypeError

__all__ = [
    "copyto",
    "fill_diagonal",
    "place",
    "put",
    "put_along_axis",
    "putmask",
]


@array_function
def _chosen(b: Emitter, mask: Value, new: Value, x: Value) -> Value:
    return b.where(b.broadcast_to(b.cast(mask, bool_), x.shape), new, x)


def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    """Writes an array, where a mask holds, to another."""
    source = getattr(src, "dtype", None)
    if source is not None and not np.can_cast(source, dst.dtype, casting):  # type: ignore[arg-type]
        raise DTypeError(f"copyto: {source} is not cast to {dst.dtype} by {casting!r}")
    if where is True:
        dst[...] = src
        return
    new = zeros_like(dst)
    new[...] = src
    dst[...] = _chosen(where, new, dst)


@array_function
def _repeated(b: Emitter, x: Value, mask: Value, values: Value) -> Value:
    """Values by place, repeated as often as it takes."""
    line = flat(b, b.cast(values, x.dtype))
    count = b.dim_scalar(line.shape[0], int64)
    if not isinstance(line.shape[0], int):  # perhaps there is none: nothing is written
        mask = b.and_(b.cast(mask, bool_), b.gt(count, 0))
        line = b.concat([line, b.full((1,), 0, x.dtype)], 0)
        count = b.max(count, 1)
    index = b.rem(b.iota((x.tensor.size,), 0, int64), count)
    return b.where(b.cast(mask, bool_), b.reshape(b.gather(line, index, 0), x.shape), x)


def putmask(a: Any, /, mask: Any, values: Any) -> None:
    """Writes values, by place and repeated, where a mask holds."""
    if 0 in asarray(values).shape:
        return
    a[...] = _repeated(a, mask, values)


@array_function
def _in_order(b: Emitter, x: Value, mask: Value, values: Value) -> Value:
    """The first value where the mask first holds, and so on, repeated."""
    line = flat(b, b.cast(values, x.dtype))
    mask = b.cast(mask, bool_)
    held = flat(b, b.cast(mask, int64))
    index = b.cumulative("sum", held, 0, exclusive=True)
    spread = b.gather(line, b.rem(index, b.dim_scalar(line.shape[0], int64)), 0)
    return b.where(mask, b.reshape(spread, x.shape), x)


def place(arr: Any, mask: Any, vals: Any) -> None:
    """Writes values one after the other where a mask holds."""
    arr[...] = _in_order(arr, mask, vals)


@array_function
def _put(b: Emitter, x: Value, index: Value, values: Value, mode: str) -> Value:
    line, spots = flat(b, x), flat(b, index)
    n = b.dim_scalar(line.shape[0], int64)
    spots = b.cast(spots, int64)
    if mode == "clip":
        spots = b.max(b.min(spots, b.sub(n, 1)), 0)
    else:
        spots = b.rem(spots, n) if mode == "wrap" else spots
        spots = wrapped(b, spots, line.shape[0])
    new = flat(b, b.cast(values, x.dtype))
    count = b.dim_scalar(new.shape[0], int64)
    new = b.gather(new, b.rem(b.iota(spots.shape, 0, int64), count), 0)
    return b.reshape(b.scatter(line, spots, new, 0), x.shape)


def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """Writes values at positions counted in C order."""
    a[...] = _put(a, ind, v, mode)


@array_function
def _put_along(b: Emitter, x: Value, indices: Value, values: Value, axis: Any) -> Value:
    source, spot = (flat(b, x), 0) if axis is None else (x, axis_of(axis, x.rank))
    index = wrapped(b, indices, source.shape[spot])
    source, index = lined_up(b, source, index, spot)
    new = b.broadcast_to(b.cast(values, x.dtype), index.shape)
    found = b.emit("scatter_along_axis", source, index, new, axis=spot, mode="set")
    return b.reshape(found, x.shape)


def put_along_axis(arr: Any, indices: Any, values: Any, axis: Any = -1) -> None:
    """Writes values to each lane along an axis at that lane's indices."""
    arr[...] = _put_along(arr, indices, values, axis)


@array_function
def _on_diagonal(b: Emitter, x: Value, values: Value, wrap: bool) -> Value:
    rank = x.rank
    if rank < 2:
        raise ValueError("array must be at least 2-d")
    row = b.iota(x.shape, 0, int64)
    if wrap and rank == 2:
        columns = b.dim_scalar(x.shape[1] + 1, int64)
        row = b.rem(row, columns)
    same = b.eq(row, b.iota(x.shape, 1, int64))
    for axis in range(2, rank):
        same = b.and_(same, b.eq(row, b.iota(x.shape, axis, int64)))
    line = flat(b, b.cast(values, x.dtype))
    index = b.rem(b.iota(x.shape, 0, int64), b.dim_scalar(line.shape[0], int64))
    return b.where(same, b.gather(line, index, 0), x)


def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    """Writes values to the main diagonal."""
    a[...] = _on_diagonal(a, val, wrap)
