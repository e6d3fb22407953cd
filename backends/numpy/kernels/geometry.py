"""Windows over spatial axes: sizes, padded buffers in phases, strided patch views.

A padded buffer holds its last axis split by the stride `s` into `s` phases: position
`q * s + p` lies at `[p, q]`. Each tap of a strided window then reads a contiguous run.
The canonical view of one image is `[*leading axes, phase, width, channel]`, whatever
the order in memory.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from graphwright.ir.record import record

Array = NDArray[Any]
Step = Callable[[], object]


@record(frozen=True, slots=True)
class Axis:
    """One spatial axis of a convolution or pooling; `spread` dilates the input."""

    size: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0
    spread: int = 1

    @property
    def reach(self) -> int:
        """Extent of the dilated input."""
        return (self.size - 1) * self.spread + 1

    @property
    def padded(self) -> int:
        """Extent of the dilated and padded input."""
        return self.reach + self.before + self.after

    @property
    def out(self) -> int:
        """Number of window positions."""
        reach = (self.kernel - 1) * self.dilation + 1
        return max(0, (self.padded - reach) // self.stride + 1)

    @property
    def need(self) -> int:
        """Extent of the padded input that windows touch."""
        return (self.out - 1) * self.stride + (self.kernel - 1) * self.dilation + 1

    def rows(self, low: int, high: int) -> "Axis":
        """Return the axis whose padded extent is positions `low:high` of this one's."""
        before = self.before - low
        after = high - low - self.reach - before
        return Axis(self.size, high - low, 1, 1, before, after, self.spread)

    def outs(self, low: int, high: int) -> "Axis":
        """Return the axis which has this one's window positions `low:high` only."""
        before = self.before - low * self.stride
        need = (high - low - 1) * self.stride + (self.kernel - 1) * self.dilation + 1
        after = need - self.reach - before
        return Axis(
            self.size,
            self.kernel,
            self.stride,
            self.dilation,
            before,
            after,
            self.spread,
        )

    @property
    def plain(self) -> bool:
        """Whether windows read the input as it lies."""
        padding = (self.before, self.after)
        return padding == (0, 0) and self.stride == 1 and self.spread == 1


def make_axes(
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int] | None = None,
    pads: Sequence[tuple[int, int]] | None = None,
    dilations: Sequence[int] | None = None,
    spreads: Sequence[int] | None = None,
) -> tuple[Axis, ...]:
    """Build one `Axis` per spatial axis; None means 1, or no padding."""
    ones = [1] * len(sizes)
    steps = zip(
        sizes,
        kernel,
        strides or ones,
        dilations or ones,
        pads or [(0, 0)] * len(sizes),
        spreads or ones,
        strict=True,
    )
    return tuple(Axis(n, k, s, d, p[0], p[1], u) for n, k, s, d, p, u in steps)


@record(frozen=True, slots=True)
class Run:
    """Taps `first, first + step, ...` of the last axis, which share a phase.

    Tap number i of the run starts at width `offset + i * stride` of the phase.
    """

    first: int
    step: int
    count: int
    phase: int
    offset: int
    stride: int


def tap_runs(axis: Axis) -> list[Run]:
    """Group an axis' taps into runs, each an arithmetic progression in one phase."""
    common = math.gcd(axis.dilation, axis.stride)
    step = axis.stride // common
    runs: list[Run] = []
    for first in range(min(step, axis.kernel)):
        offset, phase = divmod(first * axis.dilation, axis.stride)
        count = len(range(first, axis.kernel, step))
        runs.append(Run(first, step, count, phase, offset, axis.dilation // common))
    return runs


def padded_shape(axes: Sequence[Axis], extra: int = 0) -> tuple[int, ...]:
    """Return the canonical spatial shape `[*leading, phases, width + extra]`."""
    last = axes[-1]
    width = -(-last.need // last.stride)
    return (*(a.need for a in axes[:-1]), last.stride, width + extra)


def _valid(axis: Axis) -> range:
    """Input indices which windows can touch."""
    first = max(0, -(axis.before // axis.spread))
    last = (axis.need - 1 - axis.before) // axis.spread
    return range(first, max(first, min(axis.size, last + 1)))


def fill_padded(
    target: Array, x: Array, axes: Sequence[Axis], value: float = 0
) -> list[Step]:
    """Return what writes `x` [*spatial, C], `value` around, to canonical `target`."""
    steps: list[Step] = []
    if any(axis.spread > 1 for axis in axes):
        steps.append(partial(target.fill, value))
    source: list[slice] = []
    place: list[slice] = []
    for number, axis in enumerate(axes[:-1]):
        span = _valid(axis)
        start = span.start * axis.spread + axis.before
        stop = max(start, start + (len(span) - 1) * axis.spread + 1)
        source.append(slice(span.start, span.stop))
        place.append(slice(start, stop, axis.spread))
        for edge in (slice(0, start), slice(stop, None)):
            steps += _filled(target[(*place[:number], edge)], value)
    return steps + _fill_last(target[tuple(place)], x[tuple(source)], axes[-1], value)


def _filled(room: Array, value: float) -> list[Step]:
    return [partial(room.fill, value)] if room.size else []


def _fill_last(target: Array, x: Array, axis: Axis, value: float) -> list[Step]:
    """Return what writes `x` [..., W, C] to the phases of `target` [..., s, W', C]."""
    span, common = _valid(axis), math.gcd(axis.spread, axis.stride)
    left = set(range(axis.stride))
    steps: list[Step] = []
    for first in span[: axis.stride // common]:
        indices = span[first - span.start :: axis.stride // common]
        start, phase = divmod(axis.before + first * axis.spread, axis.stride)
        step = axis.spread // common
        stop = start + (len(indices) - 1) * step + 1
        part = x[..., indices.start : indices.stop : indices.step, :]
        room = target[..., phase, :, :]
        if step == 1 and common == 1:
            steps += _filled(room[..., :start, :], value)
            steps += _filled(room[..., stop:, :], value)
        copied = room[..., start:stop:step, :]
        steps.append(partial(np.copyto, copied, part, casting="unsafe"))
        left.discard(phase)
    for phase in left if axis.spread == 1 else ():
        steps += _filled(target[..., phase, :, :], value)
    return steps


def patches(padded: Array, axes: Sequence[Axis], run: Run) -> Array:
    """View canonical `padded` as `[*out, *kernel, C]`, the last kernel axis one run."""
    *lead, _, wide, deep = padded.strides
    window = [s * a.stride for s, a in zip(lead, axes[:-1], strict=True)]
    taps = [s * a.dilation for s, a in zip(lead, axes[:-1], strict=True)]
    start = padded[..., run.phase, run.offset :, :]
    shape = (
        *(a.out for a in axes),
        *(a.kernel for a in axes[:-1]),
        run.count,
        padded.shape[-1],
    )
    strides = (*window, wide, *taps, run.stride * wide, deep)
    return as_strided(start, shape, strides, writeable=False)


Box = tuple[slice, ...]


@record(frozen=True, slots=True)
class Block:
    """Window positions `start:stop` in flat order, which form a box of the output."""

    box: Box
    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of positions."""
        return self.stop - self.start


def blocks(out: Sequence[int], target: int) -> list[Block]:
    """Cut the output positions into boxes of about `target`, contiguous when flat."""
    axis = len(out) - 1
    inner = 1
    while axis > 0 and inner * out[axis] <= target:
        inner *= out[axis]
        axis -= 1
    parts = -(-out[axis] // max(1, target // inner))
    cuts = [out[axis] * i // parts for i in range(parts + 1)]
    found: list[Block] = []
    for number, lead in enumerate(np.ndindex(*out[:axis])):
        base = number * out[axis]
        for low, high in itertools.pairwise(cuts):
            head = (*(slice(i, i + 1) for i in lead), slice(low, high))
            box = (*head, *(slice(0, n) for n in out[axis + 1 :]))
            found.append(Block(box, (base + low) * inner, (base + high) * inner))
    return found
