"""Convolution as matrix products: patches gathered block by block, or none at all.

Patches form a matrix [positions, K]. Planar, K = (channel, taps) varies slowest in
memory, which suits NCHW and few channels; else K = (taps, channel) is contiguous.
"""

import dataclasses
import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.numpy.kernels import scratch, threads
from graphwright.backends.numpy.kernels.conv_spec import Padded, Spec, Stage, flat
from graphwright.backends.numpy.kernels.epilogue import Epilogue
from graphwright.backends.numpy.kernels.geometry import (
    Axis,
    Block,
    blocks,
    patches,
    tap_runs,
)
from graphwright.backends.numpy.kernels.panels import Panels

Array = NDArray[Any]

_BLOCK_BYTES = 1 << 19
_WHOLE_BYTES = 3 << 20
_TASK_FLOPS = 1e8
_FEW_CHANNELS = 16
_OUT_BYTES = 3 << 18
_LARGE_WEIGHTS = 2 << 20
_FLOPS_A_SECOND = 8e10
_CALLS = 3
_SECONDS_A_BYTE = 3e-10


def task_count(flops: float) -> int:
    """Return into how many tasks to cut a product: an even number, or one."""
    if flops < 1.6e7:
        return 1
    return 2 * max(1, min(32, round(flops / _TASK_FLOPS / 2)))


def _steps(spec: Spec) -> tuple[slice, ...]:
    """Which inputs a pointwise convolution reads if it skips some, else nothing."""
    axes = spec.axes
    skips = spec.taps == 1 and any(axis.stride > 1 for axis in axes)
    if not skips or any((a.before, a.after, a.spread) != (0, 0, 1) for a in axes):
        return ()
    return tuple(slice(0, (a.out - 1) * a.stride + 1, a.stride) for a in axes)


class GemmConv:
    """im2col and GEMM; the input itself is the matrix of a pointwise convolution."""

    def __init__(self, spec: Spec, w: Array) -> None:
        """Pack `w` [M, C/group, *kernel], which has the accumulator's dtype."""
        self.steps = _steps(spec)
        if self.steps:
            axes = tuple(Axis(axis.out, 1) for axis in spec.axes)
            spec = dataclasses.replace(spec, axes=axes)
        self.spec = spec
        few = spec.depth < _FEW_CHANNELS and spec.taps > 1
        self.planar = not spec.last or few
        self.padded = Padded(spec, spec.axes, self.planar)
        self.direct = spec.taps == 1 and self.padded.in_place and not self.steps
        if self.direct:
            self.planar = not spec.last
        self.runs = tap_runs(spec.axes[-1])
        self.epilogue = self._epilogue()
        small = spec.positions * self._row_bytes <= _WHOLE_BYTES
        self.whole = self.direct or spec.shuffle > 1 or (small and self._wide)
        self.blocks = blocks(spec.out, self._block_rows())
        rows = spec.positions if self.whole else self.blocks[0].size
        self.panels = Panels(self._pack(w), rows, self.planar)
        self.grid = self._grid()
        self.slots = threads.get_num_threads()

    def _pack(self, w: Array) -> Array:
        """Return weights [group, K, filters of the group]."""
        spec, groups = self.spec, self.spec.groups
        w = w.reshape(groups, spec.filters // groups, spec.depth, spec.taps)
        if self.planar:
            flattened = w.reshape(groups, -1, spec.depth * spec.taps)
            return np.ascontiguousarray(flattened).swapaxes(1, 2)
        packed = np.ascontiguousarray(w.transpose(0, 3, 2, 1))
        return packed.reshape(groups, spec.taps * spec.depth, -1)

    def _epilogue(self) -> Epilogue:
        """Shape per-channel numbers as [group, 1, filters of the group]."""
        given, groups = self.spec.epilogue, self.spec.groups
        scale = None if given.scale is None else given.scale.reshape(groups, 1, -1)
        bias = None if given.bias is None else given.bias.reshape(groups, 1, -1)
        return Epilogue(scale, bias, given.clip)

    @property
    def seconds(self) -> float:
        """About what it takes on one thread."""
        spec, rows = self.spec, 0 if self.direct else self._row_bytes
        bytes_each = rows + 2 * spec.filters * spec.acc.itemsize
        moved = spec.positions * bytes_each * _SECONDS_A_BYTE / 2
        return spec.batch * (self._flops / _FLOPS_A_SECOND + moved)

    @property
    def _flops(self) -> float:
        spec = self.spec
        return 2.0 * spec.positions * spec.filters * spec.depth * spec.taps

    @property
    def _wide(self) -> bool:
        """Whether tasks are better cut from the filters than from the positions.

        Otherwise each thread reads all weights, which few positions do not repay.
        """
        spec, rows = self.spec, self.spec.positions // 2
        large = spec.filters * self._row_bytes > _LARGE_WEIGHTS
        return spec.groups == 1 and rows < (96 if large else 24)

    def _block_rows(self) -> int:
        """Return the positions of a block: an even number of blocks in cache."""
        rows = max(32, _BLOCK_BYTES // self._row_bytes)
        parts = max(task_count(self._flops), -(-self.spec.positions // rows))
        parts += parts % 2 if parts > 1 else 0
        return max(32, -(-self.spec.positions // parts))

    def _grid(self) -> list[tuple[slice, slice]]:
        """Cut one image's product into tasks: slices of positions and of filters."""
        spec = self.spec
        filters = spec.filters // spec.groups
        parts = task_count(self._flops)
        # Planar blocks of filters are contiguous, which the epilogue likes.
        narrow = filters < (32 * parts if self.planar else 64)
        wide = self.planar or self._wide
        if spec.groups == 1 and wide and not narrow and spec.shuffle == 1:
            cuts = self.panels.cut(parts)
            if len(cuts) == parts:
                return [(slice(None), slice(*cut)) for cut in cuts]
        tall = max(1, self.panels.tiling.rows)
        size = spec.positions * spec.filters * spec.acc.itemsize
        parts = max(parts, size // _OUT_BYTES // 2 * 2)
        even = -(-spec.positions // parts)
        size = -(-even // tall) * tall
        if size > 1.1 * even:
            size = max(32, -(-even // 4) * 4)
        cuts = [(i, i + size) for i in range(0, spec.positions, size)]
        return [(slice(*cut), slice(None)) for cut in cuts]

    def _memory(self, block: Block) -> tuple[int, ...]:
        """Shape of a block's patches in memory."""
        spec = self.spec
        kernel = tuple(axis.kernel for axis in spec.axes)
        box = tuple(part.stop - part.start for part in block.box)
        if self.planar:
            return (spec.groups, spec.depth, *kernel, *box)
        return (spec.groups, *box, *kernel, spec.depth)

    @property
    def _slot_bytes(self) -> int:
        sizes = [scratch.nbytes(self._memory(b), self.spec.acc) for b in self.blocks]
        return max(sizes, default=0)

    @property
    def _row_bytes(self) -> int:
        return self.spec.taps * self.spec.channels * self.spec.acc.itemsize

    @property
    def _room(self) -> tuple[int, ...]:
        """Sums of a task for each slot, where their channels are yet to be shuffled."""
        if self.spec.shuffle == 1:
            return (0,)
        most = max(len(range(self.spec.positions)[rows]) for rows, _ in self.grid)
        return (self.slots, most * self.spec.filters)

    @property
    def scratch_bytes(self) -> int:
        """Bytes of scratch: sums, the padded input, patches, of all or of each slot."""
        return scratch.nbytes(self._room, self.spec.acc) + self._patch_bytes

    @property
    def _patch_bytes(self) -> int:
        if self.direct:
            return 0
        if self.whole:
            patch_bytes = self.spec.positions * self._row_bytes
            return self.padded.scratch_bytes + -(-patch_bytes // 64) * 64
        return self.padded.scratch_bytes + self._slot_bytes * self.slots

    def bind(
        self, x: Array, out: Array, residual: Array | None, arena: scratch.Arena
    ) -> Stage:
        """Return what computes all of `out`; see `Algorithm`."""
        rest = None if residual is None else flat(residual)
        call = _Call(self, flat(out), rest, arena.array(self._room, self.spec.acc))
        if self.direct:
            return call.products([self._groups(image) for image in flat(x)])
        padded, fill = self.padded.bind(x[(slice(None), *self.steps)], arena)
        rest_of = self._bind_whole if self.whole else self._bind_blocks
        return threads.in_turn([fill, rest_of(call, padded, arena)])

    @property
    def by_rows(self) -> bool:
        """Whether `bind_rows` serves: rows of the input give those of the result."""
        return self.direct and not self.planar and self.spec.shuffle == 1

    def bind_rows(self, x: Array, out: Array, residual: Array | None) -> Stage:
        """Return what computes rows `out` [P, M] of a pointwise convolution."""
        rest = None if residual is None else residual[None]
        call = _Call(self, out[None], rest, np.empty((0,), self.spec.acc))
        return call.product(self._groups(x), 0, slice(None), slice(None))

    def _groups(self, matrix: Array) -> Array:
        """View [P, channels] as [group, P, channels of the group]."""
        groups = self.spec.groups
        return matrix.reshape(len(matrix), groups, -1).swapaxes(0, 1)

    def _matrix(self, memory: Array, block: Block) -> Array:
        """View a block's patches as [group, P, K]."""
        if self.planar:
            return memory.reshape(self.spec.groups, -1, block.size).swapaxes(1, 2)
        return memory.reshape(self.spec.groups, block.size, -1)

    def _gather(
        self, padded: Array, block: Block, memory: Array, channels: slice = slice(None)
    ) -> Stage:
        """Return what copies a block's patches of one image."""
        spec = self.spec
        rank = len(spec.axes)
        if self.planar:
            order = (*range(rank + 2, 2 * rank + 2), *range(2, rank + 2), 0, 1)
        else:
            order = (*range(1, 2 * rank + 1), 0, 2 * rank + 1)
        target = memory.transpose(order)[..., channels]
        steps: list[Stage] = []
        for run in self.runs:
            view = patches(padded, spec.axes, run)[block.box]
            view = view.reshape(*view.shape[:-1], spec.groups, spec.depth)
            taps = slice(run.first, None, run.step)
            room, part = target[..., taps, :, :], view[..., channels]
            steps.append(functools.partial(np.copyto, room, part))
        return threads.in_turn(steps)

    def _bind_blocks(self, call: "_Call", padded: Array, arena: scratch.Arena) -> Stage:
        """Gather, multiply and finish block by block, each in its thread's cache."""
        size = self._slot_bytes // self.spec.acc.itemsize
        memory = arena.array((self.slots, size), self.spec.acc)
        count = len(self.blocks)

        def make(index: int, slot: int) -> Stage:
            n, number = divmod(index, count)
            block = self.blocks[number]
            shape = self._memory(block)
            room = memory[slot, : math.prod(shape)].reshape(shape)
            gather = self._gather(padded[n], block, room)
            rows = slice(block.start, block.stop)
            matrix = self._matrix(room, block)
            return threads.in_turn([gather, call.product(matrix, n, rows, slice(None))])

        total = count * self.spec.batch
        calls = _CALLS + len(self.runs)
        return threads.Prepared(make, total, self.slots, self.seconds, calls)

    def _bind_whole(self, call: "_Call", padded: Array, arena: scratch.Arena) -> Stage:
        """Gather an image's patches first, then share out its product."""
        spec = self.spec
        everything = blocks(spec.out, spec.positions)[0]
        memory = arena.array(self._memory(everything), spec.acc)
        matrix = self._matrix(memory, everything)
        stages: list[Stage] = []
        for n in range(spec.batch):
            gather = self._gather_shared(padded[n], everything, memory)
            stages += [gather, call.products([matrix], n)]
        return threads.in_turn(stages)

    def _gather_shared(self, padded: Array, block: Block, memory: Array) -> Stage:
        """Gather with all threads, each a range of the channels."""
        # ponytail: split only when planar; the other order copies long runs anyway
        spec = self.spec
        if not self.planar or memory.size < 1 << 15:
            return self._gather(padded, block, memory)
        cuts = threads.ranges(spec.depth, -(-spec.depth // 4))

        def make(index: int, _slot: int) -> Stage:
            return self._gather(padded, block, memory, slice(*cuts[index]))

        seconds = memory.nbytes * _SECONDS_A_BYTE
        return threads.Prepared(make, len(cuts), seconds=seconds, calls=1)


class _Call:
    """One run's output and residual, both [N, P, M], and the products into them."""

    def __init__(
        self, plan: GemmConv, out: Array, residual: Array | None, room: Array
    ) -> None:
        self.plan, self.out, self.residual, self.room = plan, out, residual, room

    def view(self, whole: Array, n: int, rows: slice, filters: slice) -> Array:
        """View a block as [group, P, filters of the group]."""
        block = whole[n, rows]
        groups = self.plan.spec.groups
        return block.reshape(len(block), groups, -1).swapaxes(0, 1)[..., filters]

    def shuffled(self, matrix: Array, n: int, rows: slice, slot: int) -> Stage:
        """Return what multiplies and finishes apart, then writes channels by turns."""
        spec, plan = self.plan.spec, self.plan
        out = self.out[n, rows]
        each = spec.filters // spec.shuffle
        room = self.room[slot, : out.size]
        if spec.groups == spec.shuffle:
            acc = room.reshape(spec.groups, -1, each)
            parts = list(acc)
        else:
            whole = room.reshape(1, -1, spec.filters)
            acc = self.view(whole, 0, slice(None), slice(None))
            parts = np.split(whole[0], spec.shuffle, axis=1)
        scale, bias, clip = plan.epilogue.scale, plan.epilogue.bias, plan.epilogue.clip
        rest = self.residual
        part = None if rest is None else self.view(rest, n, rows, slice(None))
        stages: list[Stage] = [plan.panels.bind(matrix, acc)]
        stages.append(Epilogue(scale, bias).bind(acc, acc, part))
        for first, block in enumerate(parts):
            target = out[:, first :: spec.shuffle]
            stages.append(Epilogue(clip=clip).bind(block, target))
        return threads.in_turn(stages)

    def product(self, matrix: Array, n: int, rows: slice, filters: slice) -> Stage:
        """Return what multiplies [group, P, K] by filters and finishes the block."""
        plan = self.plan
        out = self.view(self.out, n, rows, filters)
        rest = self.residual
        part = None if rest is None else self.view(rest, n, rows, filters)
        epilogue = plan.epilogue
        if filters.stop is not None:
            epilogue = epilogue.part(filters)
        first = filters.start or 0
        if out.dtype == plan.spec.acc:
            multiply = plan.panels.bind(matrix, out, first)
            finish = epilogue.bind(out, out, part)
            return threads.in_turn([multiply, finish])

        def run() -> None:
            acc = np.empty(out.shape, plan.spec.acc)
            plan.panels.multiply(matrix, acc, first)
            epilogue.apply(acc, out, part)

        return run

    def products(self, images: list[Array], first: int = 0) -> Stage:
        """Return what shares out the products of whole images [group, P, K]."""
        grid = self.plan.grid

        def make(index: int, slot: int) -> Stage:
            n, number = divmod(index, len(grid))
            rows, filters = grid[number]
            if self.plan.spec.shuffle > 1:
                return self.shuffled(images[n][:, rows], first + n, rows, slot)
            return self.product(images[n][:, rows], first + n, rows, filters)

        total, seconds = len(images) * len(grid), self.plan.seconds
        return threads.Prepared(make, total, seconds=seconds, calls=_CALLS)
