"""Pooling over windows of any number of spatial axes.

Windows reduce axis by axis: shifted views of the input are combined whole, each where
it exists, so nothing is padded and a step is one pass of a vector loop over long runs.
Tasks are blocks which stay in cache: of channels in NCHW, of rows in NHWC.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.numpy.kernels import precision, scratch, threads
from graphwright.backends.numpy.kernels.conv_spec import Stage
from graphwright.backends.numpy.kernels.geometry import Axis, make_axes
from graphwright.backends.numpy.kernels.scratch import Arena, give, take
from graphwright.ir.record import record

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
_CHUNK_ELEMENTS = 1 << 18
_SECONDS_A_BYTE = 2e-11


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


@record(frozen=True, slots=True)
class PoolPlan:
    """A pooling ready to run: `plan(x) -> out`."""

    kind: Kind
    axes: tuple[Axis, ...]
    batch: int
    channels: int
    last: bool
    dtype: precision.DType
    acc: precision.DType
    scaling: tuple[_Combine, Array] | None
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
        """Bytes of scratch: of each slot, a chunk's partly reduced forms."""
        return self.slots * self._slot_bytes

    @property
    def _slot_bytes(self) -> int:
        most = max((high - low for low, high in self.chunks), default=0)
        axes = (self.axes[0].outs(0, most), *self.axes[1:]) if self.last else self.axes
        channels = self.channels if self.last else most
        shapes = _stages(axes, channels)
        return sum(scratch.nbytes(shape, self.acc) for shape in shapes)

    def __call__(
        self,
        x: Array,
        out: Array | None = None,
        scratch: NDArray[np.uint8] | None = None,
    ) -> Array:
        """Pool `x`, which has the planned shape and dtype."""
        if out is None:
            out = np.empty(self.out_shape, self.dtype)
        buffer = take(self.scratch_bytes) if scratch is None else scratch
        self.bind(buffer, x, out)()
        if scratch is None:
            give(buffer)
        return out

    def bind(self, scratch: NDArray[np.uint8], x: Array, out: Array) -> Stage:
        """Return what pools `x` into `out` as often as it is called."""
        size, count = self._slot_bytes, len(self.chunks)
        source, target = (a if self.last else np.moveaxis(a, 1, -1) for a in (x, out))

        def make(index: int, slot: int) -> Stage:
            n, number = divmod(index, count)
            arena = Arena(scratch[slot * size : (slot + 1) * size])
            return self._chunk(source[n], target[n], self.chunks[number], arena)

        total = count * self.batch if out.size else 0
        taps = sum(axis.kernel for axis in self.axes)
        seconds = x.nbytes * taps * _SECONDS_A_BYTE
        return threads.Prepared(make, total, self.slots, seconds, 2 * taps)

    def _chunk(
        self, x: Array, out: Array, chunk: tuple[int, int], arena: Arena
    ) -> Stage:
        """Return what pools some rows, or some channels, of one canonical image."""
        low, high = chunk
        if not self.last:
            part = (..., slice(low, high))
            return self._reduce(x[part], out[part], self.axes, self.scaling, arena)
        axes = (self.axes[0].outs(low, high), *self.axes[1:])
        scaling = self.scaling
        if scaling is not None:
            scaling = scaling[0], scaling[1][low:high]
        return self._reduce(x, out[low:high], axes, scaling, arena)

    def _array(self, shape: Sequence[int], arena: Arena) -> Array:
        """Return canonical scratch [*spatial, C], in x's order in memory."""
        *spatial, channels = shape
        if self.last:
            return arena.array((*spatial, channels), self.acc)
        return np.moveaxis(arena.array((channels, *spatial), self.acc), 0, -1)

    def _reduce(
        self,
        x: Array,
        out: Array,
        axes: Sequence[Axis],
        scaling: tuple[_Combine, Array] | None,
        arena: Arena,
    ) -> Stage:
        """Return what pools canonical x [*spatial, C] into out, axis after axis."""
        combine, empty = _COMBINE[self.kind], neutral(self.kind, self.acc)
        shapes = _stages(axes, x.shape[-1])
        stages: list[Stage] = []
        for number, axis in enumerate(axes):
            final = number == len(axes) - 1 and out.dtype == self.acc
            target = out if final else self._array(shapes[number], arena)
            stages += _fold(combine, x, target, number, axis, empty)
            x = target
        if scaling is not None:
            stages.append(partial(scaling[0], x, scaling[1], x))
        if x is not out:
            stages.append(partial(np.copyto, out, x, casting="unsafe"))
        return threads.in_turn(stages)


def _stages(axes: Sequence[Axis], channels: int) -> list[tuple[int, ...]]:
    """Shapes [*spatial, C] after each axis is reduced."""
    sizes, outs = [axis.size for axis in axes], [axis.out for axis in axes]
    return [(*outs[: i + 1], *sizes[i + 1 :], channels) for i in range(len(axes))]


def _covered(axis: Axis, tap: int) -> range:
    """Window positions at which this tap lies inside the input."""
    shift = tap * axis.dilation - axis.before
    first = max(0, -(shift // axis.stride))
    last = (axis.size - 1 - shift) // axis.stride
    return range(first, max(first, min(axis.out, last + 1)))


def _view(x: Array, number: int, axis: Axis, tap: int, span: range) -> Array:
    """View what a tap reads at these window positions."""
    begin = span.start * axis.stride + tap * axis.dilation - axis.before
    end = begin + (len(span) - 1) * axis.stride + 1
    place = slice(begin, max(begin, end), axis.stride)
    return x[(*(slice(None),) * number, place)]


def _start(
    combine: _Combine, x: Array, out: Array, number: int, axis: Axis, taps: list[int]
) -> list[Stage]:
    """Write the first tap, combined with the second (if any) where that reads."""
    head = (slice(None),) * number
    whole = _covered(axis, taps[0])
    both = range(whole.stop, whole.stop)
    stages: list[Stage] = []
    if len(taps) > 1:
        both = _covered(axis, taps[1])
        views = [_view(x, number, axis, tap, both) for tap in taps]
        target = out[(*head, slice(both.start, both.stop))]
        stages.append(partial(combine, *views, out=target))
    for span in (range(whole.start, both.start), range(both.stop, whole.stop)):
        if span:
            target = out[(*head, slice(span.start, span.stop))]
            view = _view(x, number, axis, taps[0], span)
            stages.append(partial(np.copyto, target, view, casting="unsafe"))
    return stages


def _fold(
    combine: _Combine, x: Array, out: Array, number: int, axis: Axis, empty: float
) -> list[Stage]:
    """Reduce one axis of x into out; windows outside the input get `empty`."""
    spans = [_covered(axis, tap) for tap in range(axis.kernel)]
    taps = sorted(range(axis.kernel), key=lambda tap: -len(spans[tap]))
    stages: list[Stage] = []
    if len(spans[taps[0]]) < axis.out:
        stages.append(partial(out.fill, empty))
    joint = len(taps) > 1 and _contains(spans[taps[0]], spans[taps[1]])
    start = 2 if joint and x.dtype == out.dtype else 1  # NumPy adds halves as halves
    stages += _start(combine, x, out, number, axis, taps[:start])
    for tap in taps[start:]:
        if spans[tap]:
            place = slice(spans[tap].start, spans[tap].stop)
            target = out[(*(slice(None),) * number, place)]
            view = _view(x, number, axis, tap, spans[tap])
            stages.append(partial(combine, target, view, out=target))
    return stages


def _contains(whole: range, part: range) -> bool:
    inside = whole.start <= part.start and part.stop <= whole.stop
    return inside and len(part) > 0


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
    divisor: Array | None = None,
    layout: Layout = "NCHW",
) -> PoolPlan:
    """Plan a pooling of `x_shape`; NaN wins in max and min.

    `extra` is end padding which ceil mode adds: it never counts in a mean, `pads` does
    with `count_include_pad`. Means of 16-bit floats are rounded once. `divisor` is
    [*out]: what is found at each position is divided by that.
    """
    last = layout == "NHWC"
    sizes = x_shape[1:-1] if last else x_shape[2:]
    inner = list(pads or [(0, 0)] * len(sizes))
    more = extra or [0] * len(sizes)
    outer = [(low, high + add) for (low, high), add in zip(inner, more, strict=True)]
    axes = make_axes(sizes, kernel, strides, outer, dilations)
    given = np.dtype(dtype)
    acc = np.dtype(np.float32) if precision.is_narrow_float(given) else given
    scaling: tuple[_Combine, Array] | None = None
    if divisor is not None:
        scaling = np.divide, divisor.astype(acc)[..., None]
    if kind == "mean":
        if given.kind in "iu":
            acc = np.dtype(np.float64)
        counted = inner if count_include_pad else [(0, 0)] * len(sizes)
        inverse = (1 / window_counts(axes, counted)).astype(acc)[..., None]
        scaling = np.multiply, inverse
    channels = x_shape[-1 if last else 1]
    chunks = _chunks(channels, axes, last)
    slots = threads.get_num_threads()
    batch = x_shape[0]
    return PoolPlan(
        kind, axes, batch, channels, last, given, acc, scaling, chunks, slots
    )


def _chunks(channels: int, axes: Sequence[Axis], last: bool) -> list[tuple[int, int]]:
    """Cut the channels, or out rows where channels come last, to fit in cache."""
    total = max(1, channels * math.prod(axis.size for axis in axes))
    cut = axes[0].out if last else channels
    parts = 2 * (-(-total // _CHUNK_ELEMENTS) // 2) or min(2, max(1, total >> 15))
    return threads.ranges(cut, -(-cut // parts))


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
    place: Any = (..., *np.ix_(*(np.flatnonzero(i) for i in inside)))
    indices: Any = np.ix_(*(a[i] for a, i in zip(at, inside, strict=True)))
    value = x[(..., *indices)]
    flat = np.zeros((), np.int64)
    for index, size in zip(indices, sizes, strict=True):
        flat = flat * size + index
    old, old_where = best[place], where[place]
    better = (value > old) | (_is_nan(value) & ~_is_nan(old)) | (old_where < 0)
    best[place] = np.where(better, value, old)
    where[place] = np.where(better, flat, old_where)


def _is_nan(x: Array) -> NDArray[np.bool_]:
    if x.dtype.kind in "iub":
        return np.zeros(x.shape, np.bool_)
    return np.asarray(np.isnan(x))


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
