"""Pooling over windows of any number of spatial axes.

Windows reduce axis by axis: shifted views of the padded input are combined whole, so
each step is one pass of a vector loop over long runs, in blocks of channels which stay
in cache.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from . import precision, scratch, threads
from .geometry import Axis, fill_padded, make_axes, padded_shape, tap_runs

Array = NDArray[Any]
Kind = Literal["max", "min", "sum", "prod", "mean"]
Layout = Literal["NCHW", "NHWC"]
_Combine = Callable[..., Any]

_COMBINE: dict[str, _Combine] = {
    "max": np.maximum,
    "min": np.minimum,
    "sum": np.add,
    "prod": np.multiply,
    "mean": np.add,
}
_CHUNK_ELEMENTS = 1 << 17


def neutral(kind: Kind, dtype: precision.DType) -> float:
    """Return the value that padding has, which changes no window."""
    if kind in ("sum", "mean"):
        return 0
    if kind == "prod":
        return 1
    if dtype.kind == "b":
        return kind == "min"
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return int(info.min if kind == "max" else info.max)
    return -math.inf if kind == "max" else math.inf


def window_counts(axes: Sequence[Axis], pads: Sequence[tuple[int, int]]) -> Array:
    """Count each window's elements in the input widened by `pads`: [*out], float64."""
    counts = np.ones((), np.float64)
    for axis, (before, after) in zip(axes, pads, strict=True):
        first = np.arange(axis.out)[:, None] * axis.stride - axis.before
        at = first + np.arange(axis.kernel) * axis.dilation
        inside = (at >= -before) & (at < axis.size + after)
        counts = np.multiply.outer(counts, np.maximum(1, inside.sum(1)))
    return counts


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """A pooling ready to run: `plan(x) -> out`."""

    kind: Kind
    axes: tuple[Axis, ...]
    batch: int
    channels: int
    last: bool
    dtype: precision.DType
    acc: precision.DType
    inverse: Array | None
    chunks: list[tuple[int, int]]
    slots: int

    @property
    def out_shape(self) -> tuple[int, ...]:
        """Shape of the result in the caller's layout."""
        out = tuple(axis.out for axis in self.axes)
        if self.last:
            return (self.batch, *out, self.channels)
        return (self.batch, self.channels, *out)

    @property
    def scratch_bytes(self) -> int:
        """Bytes of scratch: of each slot, the padded chunk and its reduced forms."""
        return self.slots * self._slot_bytes

    @property
    def _slot_bytes(self) -> int:
        return sum(scratch.nbytes(shape, self.acc) for shape in self._stages())

    def _stages(self) -> list[tuple[int, ...]]:
        """Shapes of the padded chunk, then after each axis is reduced."""
        width = max((high - low for low, high in self.chunks), default=0)
        shape = list(padded_shape(self.axes))
        stages = [(width, *shape)]
        for number, axis in enumerate(self.axes[:-1]):
            shape[number] = axis.out
            stages.append((width, *shape))
        return [*stages, (width, *shape[:-2], self.axes[-1].out)]

    def __call__(
        self,
        x: Array,
        out: Array | None = None,
        scratch: NDArray[np.uint8] | None = None,
    ) -> Array:
        """Pool `x`, which has the planned shape and dtype."""
        if out is None:
            out = np.empty(self.out_shape, self.dtype)
        if out.size:
            source, target = (a if self.last else np.moveaxis(a, 1, -1) for a in (x, out))
            self._run(source, target, scratch)
        return out

    def _run(self, x: Array, out: Array, given: NDArray[np.uint8] | None) -> None:
        buffer = scratch.take(self.scratch_bytes) if given is None else given
        size, count = self._slot_bytes, len(self.chunks)

        def task(index: int, slot: int) -> None:
            n, number = divmod(index, count)
            part = slice(*self.chunks[number])
            arena = scratch.Arena(buffer[slot * size : (slot + 1) * size])
            self._chunk(x[n, ..., part], out[n, ..., part], arena)

        threads.parallel(task, count * self.batch, self.slots)
        if given is None:
            scratch.give(buffer)

    def _array(self, shape: Sequence[int], arena: scratch.Arena) -> Array:
        """Return canonical [*shape, C] scratch from (C, *shape), in x's order."""
        channels, *spatial = shape
        if self.last:
            return arena.array((*spatial, channels), self.acc)
        return np.moveaxis(arena.array((channels, *spatial), self.acc), 0, -1)

    def _chunk(self, x: Array, out: Array, arena: scratch.Arena) -> None:
        """Pool some channels of one image, canonical [*spatial, C]."""
        combine, stages = _COMBINE[self.kind], self._stages()
        shapes = [(x.shape[-1], *shape[1:]) for shape in stages]
        current = self._array(shapes[0], arena)
        fill_padded(current, x, self.axes, neutral(self.kind, self.acc))
        for number, axis in enumerate(self.axes[:-1]):
            target = self._array(shapes[number + 1], arena)
            views = [_lead(current, number, axis, tap) for tap in range(axis.kernel)]
            _fold(combine, views, target)
            current = target
        views = _last_views(current, self.axes[-1])
        if out.dtype == self.acc and self.inverse is None:
            _fold(combine, views, out)
            return
        target = self._array(shapes[-1], arena)
        _fold(combine, views, target)
        if self.inverse is not None:
            np.multiply(target, self.inverse, out=target)
        np.copyto(out, target, casting="unsafe")


def _lead(x: Array, number: int, axis: Axis, tap: int) -> Array:
    """View one tap of a leading axis for all window positions."""
    first = tap * axis.dilation
    stop = first + (axis.out - 1) * axis.stride + 1
    return x[(slice(None),) * number + (slice(first, stop, axis.stride),)]


def _last_views(x: Array, axis: Axis) -> list[Array]:
    """View each tap of the last axis of canonical [..., phase, W', C]."""
    starts = [
        (run.phase, run.offset + i * run.stride)
        for run in tap_runs(axis)
        for i in range(run.count)
    ]
    return [x[..., phase, at : at + axis.out, :] for phase, at in starts]


def _fold(combine: _Combine, views: Sequence[Array], out: Array) -> None:
    """Combine equal-shaped views into `out`."""
    if len(views) == 1:
        np.copyto(out, views[0])
        return
    combine(views[0], views[1], out=out)
    for view in views[2:]:
        combine(out, view, out=out)


def plan_pool(
    x_shape: Sequence[int],
    kernel: Sequence[int],
    *,
    kind: Kind = "max",
    dtype: Any = np.float32,
    strides: Sequence[int] | None = None,
    pads: Sequence[tuple[int, int]] | None = None,
    dilations: Sequence[int] | None = None,
    extra: Sequence[int] | None = None,
    count_include_pad: bool = False,
    layout: Layout = "NCHW",
) -> PoolPlan:
    """Plan a pooling of `x_shape`; NaN wins in max and min.

    `extra` is end padding which ceil mode adds: it never counts in a mean, `pads` does
    with `count_include_pad`. Means of 16-bit floats are rounded once.
    """
    last = layout == "NHWC"
    sizes = x_shape[1:-1] if last else x_shape[2:]
    inner = list(pads or [(0, 0)] * len(sizes))
    more = extra or [0] * len(sizes)
    outer = [(low, high + add) for (low, high), add in zip(inner, more, strict=True)]
    axes = make_axes(sizes, kernel, strides, outer, dilations)
    given = np.dtype(dtype)
    acc = np.dtype(np.float32) if precision.is_narrow_float(given) else given
    inverse = None
    if kind == "mean":
        if given.kind in "iu":
            acc = np.dtype(np.float64)
        counted = inner if count_include_pad else [(0, 0)] * len(sizes)
        inverse = (1 / window_counts(axes, counted)).astype(acc)[..., None]
    channels = x_shape[-1 if last else 1]
    chunks = _chunks(channels, axes, last)
    slots = threads.get_num_threads()
    batch = x_shape[0]
    return PoolPlan(
        kind, axes, batch, channels, last, given, acc, inverse, chunks, slots
    )


def _chunks(
    channels: int, axes: Sequence[Axis], last: bool
) -> list[tuple[int, int]]:
    """Cut the channels into chunks whose padded planes fit in cache."""
    plane = max(1, math.prod(max(1, size) for size in padded_shape(axes)))
    size = max(16 if last else 1, _CHUNK_ELEMENTS // plane)
    if size >= channels > 1 and plane * channels > 1 << 14:
        size = -(-channels // 2)
    return threads.ranges(channels, size)


def pool(x: Array, kernel: Sequence[int], **options: Any) -> Array:
    """Pool once; `options` are those of `plan_pool`."""
    return plan_pool(x.shape, kernel, dtype=x.dtype, **options)(x)


def max_pool_indices(
    x: Array,
    kernel: Sequence[int],
    *,
    strides: Sequence[int] | None = None,
    pads: Sequence[tuple[int, int]] | None = None,
    dilations: Sequence[int] | None = None,
) -> tuple[Array, NDArray[np.int64]]:
    """Return the maxima of NCHW `x` and where each lies, flat in its [*spatial] plane.

    The first of equal elements counts, NaN before all.
    """
    axes = make_axes(x.shape[2:], kernel, strides, pads, dilations)
    out = tuple(axis.out for axis in axes)
    best = np.full((*x.shape[:2], *out), neutral("max", x.dtype), x.dtype)
    where = np.full(best.shape, -1, np.int64)
    for taps in np.ndindex(*kernel):
        at = [
            np.arange(axis.out) * axis.stride + tap * axis.dilation - axis.before
            for axis, tap in zip(axes, taps, strict=True)
        ]
        _take_better(x, at, best, where)
    return best, where


def _take_better(
    x: Array, at: Sequence[Array], best: Array, where: NDArray[np.int64]
) -> None:
    """Put one tap's elements, at these indices of each axis, where they are greater."""
    sizes = x.shape[2:]
    inside = [(a >= 0) & (a < n) for a, n in zip(at, sizes, strict=True)]
    place = (..., *np.ix_(*(np.flatnonzero(i) for i in inside)))
    indices = np.ix_(*(a[i] for a, i in zip(at, inside, strict=True)))
    value = x[(..., *indices)]
    flat = np.zeros((), np.int64)
    for index, size in zip(indices, sizes, strict=True):
        flat = flat * size + index
    old, old_where = best[place], where[place]
    better = (value > old) | ((value != value) & (old == old)) | (old_where < 0)
    best[place] = np.where(better, value, old)
    where[place] = np.where(better, flat, old_where)


def global_pool(x: Array, kind: Kind = "mean", layout: Layout = "NCHW") -> Array:
    """Reduce all spatial axes of `x` to extent 1, keeping them."""
    axes = tuple(range(1, x.ndim - 1) if layout == "NHWC" else range(2, x.ndim))
    if kind != "mean":
        reduce: Any = _COMBINE[kind]
        return np.asarray(reduce.reduce(x, axis=axes, keepdims=True))
    narrow = precision.is_narrow_float(x.dtype)
    wide = np.float32 if narrow else x.dtype if x.dtype.kind == "f" else np.float64
    mean = np.mean(x, axis=axes, keepdims=True, dtype=wide)
    return np.asarray(mean).astype(x.dtype, copy=False)
