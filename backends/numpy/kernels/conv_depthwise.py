"""Depthwise convolution: multiply-add of shifted rows, channels last.

`np.einsum` without `optimize` fuses multiply and add in one vector loop, which takes
all taps of a block of rows in one call. The block is copied with its padding first,
which costs less than to treat the edges apart; so width and channels are one long axis,
over which the weights are repeated. Where windows skip, each tap along the width gets a
copy of its own, for the same reason.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from graphwright.backends.numpy.kernels import scratch, threads
from graphwright.backends.numpy.kernels.conv_spec import Spec, Stage
from graphwright.backends.numpy.kernels.epilogue import Epilogue
from graphwright.backends.numpy.kernels.geometry import Axis

Array = NDArray[Any]

_TASK_PRODUCTS = 1_200_000
_CACHED = 1 << 20
_SECONDS_A_PRODUCT = 2e-10
_SECONDS_A_BYTE = 5e-11
_CALLS = 7
_LONGEST = 1 << 12
_SHORTEST = 1 << 9


class DepthwiseConv:
    """One input channel a group; several filters a group repeat the channel."""

    def __init__(self, spec: Spec, w: Array) -> None:
        """Pack `w` [M, 1, *kernel], which has the accumulator's dtype."""
        self.repeats = spec.filters // spec.groups
        self.flat_rank = len(spec.axes) == 1
        axes = (Axis(1, 1), *spec.axes) if self.flat_rank else spec.axes
        self.spec = spec = dataclasses.replace(spec, axes=axes)
        kernel = tuple(axis.kernel for axis in axes)
        last = np.moveaxis(w.reshape(spec.filters, *kernel), 0, -1)
        self.wide = _segment(axes[-1].out, spec.filters)
        self.weights = np.ascontiguousarray(np.tile(last, self.wide))
        self.epilogue = _widen(spec.epilogue, axes[-1].out)
        products = spec.positions * spec.filters * spec.taps
        whole = scratch.nbytes(self._padded((0, axes[0].out)), spec.acc)
        parts = 2 * round(products / _TASK_PRODUCTS / 2) or 1
        if whole > _CACHED:
            parts = max(parts, 2 * -(-whole // (4 * _CACHED)))
        self.cuts = threads.ranges(axes[0].out, -(-axes[0].out // parts))
        self.slots = threads.get_num_threads()
        seconds = products * _SECONDS_A_PRODUCT + whole * _SECONDS_A_BYTE
        self.seconds = seconds * spec.batch

    @staticmethod
    def accepts(spec: Spec, w: Array) -> bool:
        """Whether zeros around the input add nothing, and none are between."""
        plain = all(axis.spread == 1 for axis in spec.axes)
        return plain and spec.depth == 1 and bool(np.isfinite(w).all())

    def _padded(self, rows: tuple[int, int]) -> tuple[int, ...]:
        """Shape of what some rows of the output read, `[*lead, taps, width, M]`."""
        first, *more = self.spec.axes
        lead = [first.outs(*rows).need, *(axis.need for axis in more[:-1])]
        across = more[-1]
        both = (1, across.need) if across.stride == 1 else (across.kernel, across.out)
        return (*lead, *both, self.spec.filters)

    def sums(self, rows: tuple[int, int]) -> tuple[int, ...]:
        """Shape of some rows of the output."""
        return (rows[1] - rows[0], *self.spec.out[1:], self.spec.filters)

    @property
    def _slot_bytes(self) -> int:
        """Bytes of a block's input, and of its sums where these are cast or moved."""
        spec = self.spec
        if spec.out_dtype != spec.acc or not spec.last:
            return max(map(self.block_bytes, self.cuts))
        return max(scratch.nbytes(self._padded(cut), spec.acc) for cut in self.cuts)

    @property
    def scratch_bytes(self) -> int:
        """Bytes of scratch: a block for each slot."""
        return self._slot_bytes * self.slots

    def bind(
        self, x: Array, out: Array, residual: Array | None, arena: scratch.Arena
    ) -> Stage:
        """Return what computes all of `out`; see `Algorithm`."""
        if self.flat_rank:
            x, out = x[:, None], out[:, None]
            residual = None if residual is None else residual[:, None]
        rooms = [arena.array((self._slot_bytes,), np.uint8) for _ in range(self.slots)]
        arrays = x, out, residual
        make = by_rows(self.cuts, self.taken, self.block, arrays, rooms)
        total = len(self.cuts) * self.spec.batch
        calls = _CALLS + self._padded(self.cuts[0])[-3]
        return threads.Prepared(make, total, self.slots, self.seconds, calls)

    def taken(self, cut: tuple[int, int]) -> slice:
        """Which rows of the input some rows of the output read."""
        first = self.spec.axes[0].outs(*cut)
        return _window(first.size, -first.before, first.need, 1)[2]

    def block_bytes(self, cut: tuple[int, int]) -> int:
        """Bytes of scratch that a block takes at most."""
        shapes = (self._padded(cut), self.sums(cut))
        return sum(scratch.nbytes(shape, self.spec.acc) for shape in shapes)

    def block(
        self,
        x: Array,
        out: Array,
        residual: Array | None,
        cut: tuple[int, int],
        room: scratch.Arena,
    ) -> Stage:
        """Return what computes some rows of one image's output from those they read."""
        spec = self.spec
        padded = room.array(self._padded(cut), spec.acc)
        sums = out
        if out.dtype != spec.acc or not spec.last:
            sums = room.array(self.sums(cut), spec.acc)
        elif not out.flags.c_contiguous:
            sums = np.empty(out.shape, spec.acc)
        steps = self._fill(padded, x, cut)
        steps += [self._products(padded, sums), self._finish(sums, out, residual)]
        return threads.in_turn(steps)

    def _fill(self, padded: Array, x: Array, cut: tuple[int, int]) -> list[Stage]:
        """Return what copies the input of a block, with zeros around."""
        first, *more, across = self.spec.axes
        steps: list[Stage] = []
        source: list[slice] = []
        place: list[slice] = []
        for axis in (first.outs(*cut), *more):
            start, inside, taken = _window(axis.size, -axis.before, axis.need, 1)
            for edge in (slice(0, start), slice(inside, None)):
                steps += _zeroed(padded[(*place, edge)])
            source.append(slice(None) if not source else taken)
            place.append(slice(start, inside))
        taps, width = padded.shape[-3:-1]
        x, padded = x[tuple(source)], padded[tuple(place)]
        for tap in range(taps):
            room = padded[..., tap, :, :]
            begin = tap * across.dilation - across.before
            start, stop, taken = _window(across.size, begin, width, across.stride)
            steps += _zeroed(room[..., :start, :]) + _zeroed(room[..., stop:, :])
            given = x[..., taken, :]
            target = room[..., start:stop, :]
            target = target.reshape(*given.shape, self.repeats)
            copy = partial(np.copyto, target, given[..., None], casting="unsafe")
            steps += [copy] if target.size else []
        return steps

    def _products(self, padded: Array, sums: Array) -> Stage:
        """Return what sums all taps of a block `sums` [*rows, W, M]."""
        axes, filters = self.spec.axes, self.spec.filters
        *lead, tap, deep, one = padded.strides
        across = axes[-1]
        length = self.wide * filters
        pairs = list(zip(lead, axes[:-1], strict=True))
        steps = [*(s * a.stride for s, a in pairs), self.wide * deep]
        shift = across.dilation * deep if across.stride == 1 else tap
        taps = [*(s * a.dilation for s, a in pairs), shift]
        sizes = (*sums.shape[:-2], across.out // self.wide)
        kernel = tuple(axis.kernel for axis in axes)
        shape, strides = (*sizes, *kernel, length), (*steps, *taps, one)
        view = as_strided(padded, shape, strides, writeable=False)
        target = sums.reshape(*sizes, length)
        free = list(range(len(sizes)))
        inner = len(sizes) + len(kernel)
        summed = list(range(len(sizes), inner))
        left, right, kept = [*free, *summed, inner], [*summed, inner], [*free, inner]
        weights = self.weights

        def run() -> None:
            np.einsum(view, left, weights, right, kept, out=target)

        return run

    def _finish(self, sums: Array, out: Array, residual: Array | None) -> Stage:
        """Return what applies the epilogue to rows [*rows, W, M]."""
        long = (*sums.shape[:-2], -1)
        acc = sums.reshape(long)
        rest = None if residual is None else residual.reshape(long)
        if sums is out:
            return self.epilogue.bind(acc, acc, rest)

        def finish() -> None:
            room = np.empty(acc.shape, out.dtype)
            self.epilogue.apply(acc, room, rest)
            np.copyto(out, room.reshape(out.shape))

        return finish


def by_rows(
    cuts: Sequence[tuple[int, int]],
    taken: Callable[[tuple[int, int]], slice],
    block: Callable[..., Stage],
    arrays: tuple[Array, Array, Array | None],
    rooms: Sequence[NDArray[np.uint8]],
) -> Callable[[int, int], Stage]:
    """What makes the stage of some rows of an image, by their number and a slot.

    `taken` says which rows of the input some rows of the output read; `block` makes
    the stage of them, of the residual's rows, the cut and memory of the slot.
    """
    x, out, residual = arrays

    def make(index: int, slot: int) -> Stage:
        n, number = divmod(index, len(cuts))
        cut = cuts[number]
        rows = slice(*cut)
        rest = None if residual is None else residual[n, rows]
        room = scratch.Arena(rooms[slot])
        return block(x[n, taken(cut)], out[n, rows], rest, cut, room)

    return make


def _segment(width: int, filters: int) -> int:
    """How many positions of a row are one loop: not so long that sums leave cache."""
    fitting = [d for d in range(1, width + 1) if width % d == 0]
    fitting = [d for d in fitting if d * filters <= _LONGEST] or [1]
    return fitting[-1] if fitting[-1] * filters >= _SHORTEST else width


def _window(size: int, first: int, count: int, step: int) -> tuple[int, int, slice]:
    """Which of positions `first + step * i`, i below `count`, are below `size`.

    Returns the first such i, the end of them, and the positions.
    """
    start = min(count, max(0, -(first // step)))
    stop = min(count, max(start, -(-(size - first) // step)))
    begin = first + step * start
    return start, stop, slice(begin, begin + (stop - start) * step, step)


def _zeroed(room: Array) -> list[Callable[[], object]]:
    return [partial(room.fill, 0)] if room.size else []


def _widen(given: Epilogue, wide: int) -> Epilogue:
    scale = None if given.scale is None else np.tile(given.scale, wide)
    bias = None if given.bias is None else np.tile(given.bias, wide)
    return Epilogue(scale, bias, given.clip)
