"""Depthwise convolution: multiply-add of shifted rows, channels last, in cache.

`np.einsum` without `optimize` fuses multiply and add in one vector loop; its inner
loop runs along width and channels merged, so weights are repeated along the width.
"""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from graphwright.backends.numpy.kernels import scratch, threads
from graphwright.backends.numpy.kernels.conv_spec import Padded, Spec, Stage
from graphwright.backends.numpy.kernels.epilogue import Epilogue
from graphwright.backends.numpy.kernels.geometry import (
    Axis,
    Block,
    Run,
    blocks,
    tap_runs,
)

Array = NDArray[Any]

_RUN_ELEMENTS = 8192
_BLOCK_ELEMENTS = 98304


class DepthwiseConv:
    """One input channel a group; several filters a group repeat the channel."""

    def __init__(self, spec: Spec, w: Array) -> None:
        """Pack `w` [M, 1, *kernel], which has the accumulator's dtype."""
        self.repeats = spec.filters // spec.groups
        self.flat_rank = len(spec.axes) == 1
        axes = (Axis(1, 1), *spec.axes) if self.flat_rank else spec.axes
        self.spec = dataclasses.replace(spec, channels=spec.filters, axes=axes)
        self.padded = Padded(self.spec, axes, planar=False)
        self.columns = self._columns()
        wide = max(high - low for low, high in self.columns)
        kernel = tuple(axis.kernel for axis in axes)
        last = np.moveaxis(w.reshape(spec.filters, *kernel), 0, -1)
        self.weights = np.tile(last, wide)
        self.epilogue = _widen(spec.epilogue, wide)
        self.runs = tap_runs(axes[-1])
        self.blocks = blocks(self.spec.out[:-1], self._rows(wide * spec.filters))
        self.slots = threads.get_num_threads()
        self.slot_elements = max(b.size for b in self.blocks) * wide * spec.filters

    def _columns(self) -> list[tuple[int, int]]:
        """Cut the width so that a run stays near `_RUN_ELEMENTS`."""
        out, channels = self.spec.out[-1], self.spec.filters
        return threads.ranges(out, max(1, _RUN_ELEMENTS // channels))

    def _rows(self, row: int) -> int:
        """Return the rows of a block; a call of einsum costs as 10K elements do."""
        rows = math.prod(self.spec.out[:-1])
        parts = max(1, min(4, rows * row // 16384))
        return max(1, min(_BLOCK_ELEMENTS // row, -(-rows // parts)))

    @property
    def scratch_bytes(self) -> int:
        """Bytes of scratch: the padded input and two blocks a slot."""
        block = scratch.nbytes((self.slots, 2, self.slot_elements), self.spec.acc)
        return self.padded.scratch_bytes + block

    def bind(
        self, x: Array, out: Array, residual: Array | None, arena: scratch.Arena
    ) -> Stage:
        """Return what computes all of `out`; see `Algorithm`."""
        if self.repeats > 1 or (self.padded.in_place and not _contiguous(x)):
            return lambda: self._copied(x, out, residual)
        return self._bind(x, out, residual, arena)

    def _copied(self, x: Array, out: Array, residual: Array | None) -> None:
        """Run on a contiguous copy: runs cross from pixel to pixel."""
        x = np.ascontiguousarray(np.repeat(x, self.repeats, axis=-1))
        buffer = scratch.take(self.scratch_bytes)
        self._bind(x, out, residual, scratch.Arena(buffer))()
        scratch.give(buffer)

    def _bind(
        self, x: Array, out: Array, residual: Array | None, arena: scratch.Arena
    ) -> Stage:
        if self.flat_rank:
            x, out = x[:, None], out[:, None]
            residual = None if residual is None else residual[:, None]
        padded, fill = self.padded.bind(x, arena)
        rooms = arena.array((self.slots, 2, self.slot_elements), self.spec.acc)
        tasks = [
            (n, block, columns)
            for n in range(self.spec.batch)
            for block in self.blocks
            for columns in self.columns
        ]

        def make(index: int, slot: int) -> Stage:
            n, block, columns = tasks[index]
            place: Any = (n, *block.box, slice(*columns))
            rest = None if residual is None else residual[place]
            return self._block(padded[n], block, columns, out[place], rest, rooms[slot])

        return threads.in_turn([fill, threads.Prepared(make, len(tasks), self.slots)])

    def _block(
        self,
        padded: Array,
        block: Block,
        columns: tuple[int, int],
        out: Array,
        residual: Array | None,
        rooms: Array,
    ) -> Stage:
        """Return what computes one box of rows and columns of `out` [*rows, W, M]."""
        lead, wide = out.shape[:-2], out.shape[-2] * out.shape[-1]
        size = math.prod(lead) * wide
        acc, other = (room[:size].reshape(*lead, wide) for room in rooms)
        merged = _merge(out) if out.dtype == acc.dtype else None
        if merged is not None:
            acc = merged
        total = self._sum(padded, block, columns, acc, other)
        epilogue = _narrow(self.epilogue, wide)
        target = acc if merged is not None else out

        def run() -> None:
            total()
            rest = None if residual is None else residual.reshape(acc.shape)
            self._finish(epilogue, acc, target, rest)

        return run

    def _finish(
        self, epilogue: Epilogue, acc: Array, out: Array, residual: Array | None
    ) -> None:
        """Apply the epilogue to merged `acc`; `out` is acc itself or [*rows, W, M]."""
        if acc is out:
            epilogue.apply(acc, acc, residual)
            return
        room = (
            acc if acc.dtype.kind == out.dtype.kind else np.empty(acc.shape, out.dtype)
        )
        epilogue.apply(acc, room, residual)
        np.copyto(out, room.reshape(out.shape), casting="unsafe")

    def _sum(
        self,
        padded: Array,
        block: Block,
        columns: tuple[int, int],
        acc: Array,
        other: Array,
    ) -> Stage:
        """Return what sums all taps into `acc`, run after run."""
        rank = len(block.box)
        rows, taps = [*range(rank)], [*range(rank, 2 * rank + 1)]
        inner = 2 * rank + 1
        labels = ([*rows, *taps, inner], [*taps, inner], [*rows, inner])
        views: list[tuple[Array, Array]] = []
        for run in self.runs:
            part = slice(run.first, None, run.step)
            weights = self.weights[..., part, : acc.shape[-1]]
            views.append((self._taps(padded, run, block, columns), weights))

        def total() -> None:
            for number, (view, weights) in enumerate(views):
                target = other if number else acc
                np.einsum(view, labels[0], weights, labels[1], labels[2], out=target)
                if number:
                    np.add(acc, other, out=acc)

        return total

    def _taps(
        self, padded: Array, run: Run, block: Block, columns: tuple[int, int]
    ) -> Array:
        """View a run's inputs as [*rows, *lead taps, run taps, W * C]."""
        axes, low = self.spec.axes, columns[0]
        *lead, _, wide, deep = padded.strides
        pairs = list(zip(lead, axes[:-1], strict=True))
        start = padded[..., run.phase, run.offset + low :, :]
        corner = [b.start * a.stride for b, a in zip(block.box, axes[:-1], strict=True)]
        start = start[tuple(slice(c, None) for c in corner)]
        shape = (
            *(b.stop - b.start for b in block.box),
            *(a.kernel for a in axes[:-1]),
            run.count,
            (columns[1] - low) * padded.shape[-1],
        )
        window = [s * a.stride for s, a in pairs]
        taps = [s * a.dilation for s, a in pairs]
        strides = (*window, *taps, run.stride * wide, deep)
        return as_strided(start, shape, strides, writeable=False)


def _contiguous(x: Array) -> bool:
    """Whether the last two axes lie in C order."""
    deep = x.shape[-1] * x.itemsize
    return x.strides[-1] == x.itemsize and x.strides[-2] == deep


def _merge(out: Array) -> Array | None:
    """View [*rows, W, M] as [*rows, W * M], or None where memory does not allow it."""
    if (
        out.strides[-1] != out.itemsize
        or out.strides[-2] != out.shape[-1] * out.itemsize
    ):
        return None
    return out.reshape(*out.shape[:-2], -1)


def _widen(given: Epilogue, wide: int) -> Epilogue:
    scale = None if given.scale is None else np.tile(given.scale, wide)
    bias = None if given.bias is None else np.tile(given.bias, wide)
    return Epilogue(scale, bias, given.clip)


def _narrow(given: Epilogue, width: int) -> Epilogue:
    return given.part(slice(0, width))
