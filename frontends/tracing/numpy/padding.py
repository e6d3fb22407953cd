"""Borders around arrays: ``numpy.pad``."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphwright.frontends.tracing.numpy.creation import asarray, linspace
from graphwright.frontends.tracing.numpy.joining import concat
from graphwright.frontends.tracing.numpy.manipulation import flip, moveaxis
from graphwright.frontends.tracing.numpy.statistics import median
from graphwright.frontends.tracing.numpy.support import inexact
from graphwright.frontends.tracing.wrap import array_function
from graphwright.ir.dim import minimum
from graphwright.ir.dtype import bool_, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ShapeError

__all__ = ["pad"]


def _pairs(width: Any, rank: int) -> list[tuple[Any, Any]]:
    """One (before, after) for each axis from NumPy's shorthands."""
    if isinstance(width, dict):
        rows: list[tuple[Any, Any]] = [(0, 0)] * rank
        for axis, ends in width.items():
            rows[axis] = tuple(ends) if isinstance(ends, (tuple, list)) else (ends,) * 2
        return rows
    grid = np.asarray(width, object)
    if grid.ndim == 1 and grid.size == 1:
        grid = grid.reshape(())
    if grid.ndim == 2 and grid.shape[-1] == 1:
        grid = np.repeat(grid, 2, axis=1)
    return [(row[0], row[1]) for row in np.broadcast_to(grid, (rank, 2)).tolist()]


# By bodies over an emitter ------------------------------------------------------------


@array_function
def _edges(b: Emitter, x: Value, axis: int, low: int, high: int, mode: str) -> Value:
    """One axis lengthened by elements at indices that a mode gives."""
    n = x.shape[axis]
    if not isinstance(n, int):
        raise ShapeError(f"pad with mode {mode!r} needs known sizes")
    if n == 0 and (low or high):
        raise ValueError(
            f"can't extend empty axis {axis} using modes other than 'constant'"
        )
    order = np.pad(np.arange(n), (low, high), mode)  # type: ignore[call-overload]
    return b.gather(x, b.constant(order, int64), axis)


_STATISTICS = {"maximum": "max", "minimum": "min"}


@array_function
def _summary(b: Emitter, x: Value, axis: int, mode: str) -> Value:
    """The greatest or least element, or the mean, along an axis, which is kept."""
    if mode != "mean":
        return b.reduce(_STATISTICS[mode], x, [axis], keepdims=True)
    wide = b.mean(inexact(b, x), [axis], keepdims=True)
    return b.cast(b.unary("round", wide), x.dtype) if x.dtype.is_int else wide


@array_function(array=True)
def _constants(
    b: Emitter, x: Value, pairs: Sequence[tuple[Any, Any]], values: Any
) -> Value:
    fills = _pairs(values, x.rank)
    low = [p for p, _ in pairs]
    high = [p for _, p in pairs]
    if len({repr(v) for pair in fills for v in pair}) <= 1:
        first = fills[0][0] if fills else 0
        return b.pad(x, low, high, _fill(b, x, first))
    for axis, ((before, after), ends) in enumerate(zip(pairs, fills, strict=True)):
        for k, (n, value) in enumerate(zip((before, after), ends, strict=True)):
            sizes = ([0] * x.rank, [0] * x.rank)
            sizes[k][axis] = n
            x = b.pad(x, *sizes, _fill(b, x, value))
    return x


def _fill(b: Emitter, x: Value, value: Any) -> Value:
    if x.dtype is bool_:
        return b.full((), bool(value), bool_)
    return b.constant(np.asarray(value).astype(x.dtype.numpy), x.dtype)


# By tensors ---------------------------------------------------------------------------


def _repeated(row: Any, axis: int, n: int) -> Any:
    """A slice of size 1 along an axis, ``n`` times."""
    return concat([row] * n, axis=axis) if n else row[_at(axis, slice(0, 0))]


def _at(axis: int, part: slice) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, part)


def _statistic(x: Any, axis: int, mode: str) -> Any:
    if mode != "median":
        return _summary(x, axis, mode)
    row = median(x, axis=axis, keepdims=True)
    return row if x.dtype.kind in "fc" else row.round().astype(x.dtype)


def _summarised(
    x: Any, axis: int, low: int, high: int, mode: str, lengths: tuple[Any, Any]
) -> Any:
    """Lengthened by a statistic of all, or of so many elements at each end."""
    n = x.shape[axis]
    first, last = (n if size is None else minimum(size, n) for size in lengths)
    if 0 in (first, last) and mode in _STATISTICS:
        raise ValueError("stat_length of 0 yields no value for padding")
    front = _statistic(x[_at(axis, slice(0, first))], axis, mode)
    back = front
    if lengths != (None, None):
        back = _statistic(x[_at(axis, slice(n - last, n))], axis, mode)
    parts = [_repeated(front, axis, low), x, _repeated(back, axis, high)]
    return concat(parts, axis=axis)


def _by_function(
    x: Any, pairs: Sequence[tuple[Any, Any]], function: Any, options: Any
) -> Any:
    """A border of zeros that a function writes, in each lane along each axis."""
    found = _constants(x, pairs, 0)
    for axis, pair in enumerate(pairs):
        lanes = moveaxis(found, axis, -1)
        for index in np.ndindex(*lanes.shape[:-1]):
            function(lanes[index], pair, axis, options)
    return found


def _ramped(x: Any, axis: int, low: int, high: int, ends: tuple[Any, Any]) -> Any:
    """Lengthened by lines from an end value to each edge."""
    line = moveaxis(x, axis, 0)
    first, last = (
        linspace(end, edge, n, endpoint=False, dtype=x.dtype)
        for end, edge, n in zip(ends, (line[0], line[-1]), (low, high), strict=True)
    )
    return moveaxis(concat([first, line, flip(last, axis=0)]), 0, axis)


def _odd(x: Any, axis: int, low: int, high: int, mode: str) -> Any:
    """Reflected through the point at each edge, as often as it takes."""
    line = moveaxis(x, axis, 0)
    skip = int(mode == "reflect")
    while low or high:
        size = max(line.shape[0] - skip, 1)
        before, after = min(low, size), min(high, size)
        parts = [line]
        if before:
            near = flip(line[skip : skip + before], axis=0)
            parts.insert(0, 2 * line[:1] - near)
        if after:
            stop = line.shape[0] - skip
            parts.append(2 * line[-1:] - flip(line[stop - after : stop], axis=0))
        line, low, high = concat(parts), low - before, high - after
    return moveaxis(line, 0, axis)


_BY_INDEX = ("edge", "reflect", "symmetric", "wrap")
_OPTIONS = {
    "constant_values": ("constant",),
    "end_values": ("linear_ramp",),
    "reflect_type": ("reflect", "symmetric"),
    "stat_length": ("maximum", "mean", "median", "minimum"),
}


def _rule(mode: str, options: Any) -> Callable[..., Any]:
    """What lengthens one axis by elements of its own."""
    if mode not in _BY_INDEX:
        raise ValueError(f"mode {mode!r} is not supported")
    odd = options.get("reflect_type", "even") == "odd"
    found: Callable[..., Any] = _odd if odd else _edges
    return found


def pad(array: Any, pad_width: Any, mode: str = "constant", **options: Any) -> Any:
    """A border by NumPy's modes: constants, edges, reflections, statistics, ramps."""
    x = whole = asarray(array)
    pairs = _pairs(pad_width, x.ndim)
    if any(isinstance(n, int) and n < 0 for pair in pairs for n in pair):
        raise ValueError("index can't contain negative values")
    if callable(mode):
        return _by_function(x, pairs, mode, options)
    for name in options:
        if mode not in _OPTIONS.get(name, ()):
            raise ValueError(f"unsupported keyword arguments for mode {mode!r}: {name}")
    if mode in ("constant", "empty"):
        return _constants(x, pairs, options.get("constant_values", 0))
    ends = _pairs(options.get("end_values", 0), x.ndim)
    lengths = _pairs(options.get("stat_length"), x.ndim)
    for axis, (low, high) in enumerate(pairs):
        place = (x, axis, int(low), int(high))
        if mode == "linear_ramp":
            x = _ramped(*place, ends[axis])
        elif mode in _OPTIONS["stat_length"]:
            x = _summarised(*place, mode, lengths[axis])
        else:
            x = _rule(mode, options)(*place, mode)
    return x.copy() if x is whole else x
