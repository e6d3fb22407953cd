"""Winograd's F(4x4, 3x3): a 3x3 convolution with a quarter of the products.

Tiles of 6x6 inputs, 4 apart, give 4x4 outputs each: `A'[(G w G') * (B' d B)]A`, the
products of all tiles and channels being 36 GEMMs. The transforms are GEMMs too, of 6x6
and 4x6 matrices with long rows, four times as fast as sums of shifted arrays; and few
long calls let threads share the GIL. Between the two steps columns are copied to six
overlapping phases, `[j, tile, C]` being column `4 * tile + j`. Non-finite inputs would
spread over a tile: then the plain convolution runs instead.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from graphwright.backends.numpy.kernels import scratch, threads
from graphwright.backends.numpy.kernels.conv_gemm import GemmConv
from graphwright.backends.numpy.kernels.conv_spec import Spec, Stage
from graphwright.backends.numpy.kernels.epilogue import Epilogue
from graphwright.backends.numpy.kernels.geometry import fill_padded
from graphwright.backends.numpy.kernels.panels import Panels

Array = NDArray[Any]

_FILTER = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
_DOWN = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float32,
)
_UP = np.array(
    [
        [1, 1, 1, 1, 1, 0],
        [0, 1, -1, 2, -2, 0],
        [0, 1, 1, 4, 4, 0],
        [0, 1, -1, 8, -8, 1],
    ],
    np.float32,
)
_PRODUCTS_BYTES = 12 << 20
_TASK_ELEMENTS = 1 << 17
_LARGEST_WEIGHT = 1e12


class WinogradConv:
    """3x3, stride 1, no dilation, one group, float32 products."""

    def __init__(self, spec: Spec, w: Array) -> None:
        """Transform `w` [M, C, 3, 3] to [36, C, M]."""
        self.spec, self.w = spec, w
        self.high, self.wide = (-(-axis.out // 4) for axis in spec.axes)
        row = 36 * self.wide * (spec.channels + spec.filters) * spec.acc.itemsize
        self.bands = threads.ranges(self.high, max(1, _PRODUCTS_BYTES // row))
        self.rows = max(high - low for low, high in self.bands)
        self.parts = threads.ranges(36, 9)
        self.panels = self._pack(w)
        self.slots = threads.get_num_threads()
        bias = spec.epilogue.bias
        tiled = None if bias is None else np.tile(bias, self.wide)
        self.bias, self.clip = Epilogue(bias=tiled), Epilogue(clip=spec.epilogue.clip)
        self._plain: GemmConv | None = None

    def _pack(self, w: Array) -> list[Panels]:
        """Transform the filters and pack them, as many at once as a task multiplies."""
        flat = w.reshape(-1, 9).astype(np.float64)
        spread = (np.kron(_FILTER, _FILTER) @ flat.T).astype(self.spec.acc)
        weights = spread.reshape(36, *w.shape[:2]).swapaxes(1, 2)
        tiles = self.rows * self.wide
        return [Panels(weights[low:high], tiles) for low, high in self.parts]

    @staticmethod
    def accepts(spec: Spec, w: Array) -> bool:
        """Whether this algorithm can run the convolution and stay finite."""
        simple = [
            (a.kernel, a.stride, a.dilation, a.spread) == (3, 1, 1, 1)
            for a in spec.axes
        ]
        fits = len(spec.axes) == 2 and spec.groups == 1 and all(simple)
        known = spec.acc == np.float32 and spec.dtype.kind not in "iu"
        return fits and known and bool(np.abs(w).max() < _LARGEST_WEIGHT)

    @staticmethod
    def wins(spec: Spec) -> bool:
        """Whether it is the fastest known for the shape, from measurements."""
        deep = min(spec.channels, spec.filters) >= 16
        return deep and spec.positions >= 100

    def _task_rows(self, channels: int) -> int:
        """Return how many tile rows a transform task takes."""
        return max(1, min(self.rows, _TASK_ELEMENTS // (36 * self.wide * channels)))

    def _sizes(self) -> list[tuple[int, ...]]:
        """Shapes of: tiles before and after the products, and a room for each slot."""
        spec, tiles = self.spec, self.rows * self.wide
        c, m = self.wide * spec.channels, self.wide * spec.filters
        down, up = self._task_rows(spec.channels), self._task_rows(spec.filters)
        whole = 0 if spec.last else 16 * up * m
        line = (4 * self.wide + 2) * spec.channels
        before = (10 * down + 2) * line + 36 * down * c
        room = max(before, 40 * up * m + whole)
        rooms = (self.slots, -(-room // 16) * 16 + 64)
        return [(36, tiles, spec.channels), (36, tiles, spec.filters), rooms]

    @property
    def scratch_bytes(self) -> int:
        """Bytes of scratch: tiles before and after the products, and the rooms."""
        return sum(scratch.nbytes(shape, self.spec.acc) for shape in self._sizes())

    def bind(
        self, x: Array, out: Array, residual: Array | None, arena: scratch.Arena
    ) -> Stage:
        """Return what computes all of `out`; see `Algorithm`."""
        memory = [arena.array(shape, self.spec.acc) for shape in self._sizes()]

        def run() -> None:
            finite = True
            for n in range(self.spec.batch):
                rest = None if residual is None else residual[n]
                for band in self.bands:
                    finite = finite and self._band(x[n], band, out[n], rest, memory)
            if not finite:
                self._run_plain(x, out, residual)

        return run

    def _run_plain(self, x: Array, out: Array, residual: Array | None) -> None:
        if self._plain is None:
            self._plain = GemmConv(self.spec, self.w)
        buffer = scratch.take(self._plain.scratch_bytes)
        self._plain.bind(x, out, residual, scratch.Arena(buffer))()
        scratch.give(buffer)

    def _band(
        self,
        x: Array,
        band: tuple[int, int],
        out: Array,
        residual: Array | None,
        memory: Sequence[Array],
    ) -> bool:
        """Compute a band of tile rows of one image; False where x is not finite."""
        low, high = band
        before, after, rooms = memory
        tiles = (high - low) * self.wide
        v, y = before[:, :tiles], after[:, :tiles]
        if not self._down(x, band, v, rooms):
            return False

        def task(index: int, _slot: int) -> None:
            part = slice(*self.parts[index])
            self.panels[index].multiply(v[part], y[part])

        threads.parallel(task, len(self.parts), self.slots)
        place = slice(4 * low, 4 * high)
        rest = None if residual is None else residual[place]
        self._up(y, high - low, out[place], rest, rooms)
        return True

    def _down(self, x: Array, band: tuple[int, int], v: Array, rooms: Array) -> bool:
        """Transform x [H, W, C] into v [36, tiles, C]; tell whether all is finite."""
        channels, first = self.spec.channels, band[0]
        rows = band[1] - first
        grid = v.reshape(6, 6, rows, self.wide * channels)
        parts = threads.ranges(rows, self._task_rows(channels))
        sums = [0.0] * len(parts)

        def task(index: int, slot: int) -> None:
            low, high = parts[index]
            room = scratch.Arena(rooms[slot].view(np.uint8))
            shape = (4 * (high - low) + 2, 4 * self.wide + 2, channels)
            lines = room.array(shape, v.dtype)
            self._fill(x, 4 * (first + low), lines)
            flat = lines.reshape(-1)
            sums[index] = float(np.dot(flat, flat))
            _tiles_down(lines, grid[:, :, low:high], room)

        threads.parallel(task, len(parts), self.slots)
        return bool(np.isfinite(sum(sums)))

    def _fill(self, x: Array, first: int, lines: Array) -> None:
        """Copy the padded input's rows from `first` on to lines [rows, width, C]."""
        across = self.spec.axes[1]
        rows = self.spec.axes[0].rows(first, first + len(lines))
        wide = across.rows(0, lines.shape[1])
        fill_padded(lines[:, None], x, (rows, wide))

    def _up(
        self, y: Array, rows: int, out: Array, residual: Array | None, rooms: Array
    ) -> None:
        """Transform y [36, tiles, M] back and finish it into out [4 * rows, W, M]."""
        filters = self.spec.filters
        grid = y.reshape(6, 6, rows, self.wide * filters)
        parts = threads.ranges(rows, self._task_rows(filters))

        def task(index: int, slot: int) -> None:
            low, high = parts[index]
            place = slice(4 * low, 4 * high)
            room = scratch.Arena(rooms[slot].view(np.uint8))
            lines = _tiles_up(grid[:, :, low:high], room)
            shape = (4 * (high - low), 4, self.wide, filters)
            rest = None if residual is None else residual[place]
            self._finish(lines.reshape(shape), out[place], rest, room)

        threads.parallel(task, len(parts), self.slots)

    def _finish(
        self, lines: Array, out: Array, residual: Array | None, room: scratch.Arena
    ) -> None:
        """Put phases [rows, 4, wide, M] in their columns of out [<= rows, W, M]."""
        # Scattered writes to planar memory are slow: transpose once at the end.
        target = out if self.spec.last else room.array(out.shape, lines.dtype)
        merged = lines.reshape(-1, self.wide * lines.shape[-1])
        self.bias.apply(merged, merged)
        if residual is not None:
            for j in range(4):
                added = residual[:, j::4]
                part = lines[: len(out), j, : added.shape[1]]
                np.add(part, added, out=part, casting="unsafe")
        self.clip.apply(merged, merged)
        _place(lines, target)
        if target is not out:
            np.copyto(out, target, casting="unsafe")


def _place(lines: Array, out: Array) -> None:
    """Copy phases [rows, 4, wide, M] to their columns of out [<= rows, W, M]."""
    rows, _, wide, _ = lines.shape
    if out.shape[:2] == (rows, 4 * wide):
        columns = out.reshape(rows, wide, 4, -1)
        if np.may_share_memory(columns, out):
            np.copyto(columns, lines.swapaxes(1, 2), casting="unsafe")
            return
    for j in range(4):
        place = out[:, j::4]
        part = lines[: len(out), j, : place.shape[1]]
        np.copyto(place, part, casting="unsafe")


def _tiles_down(lines: Array, grid: Array, room: scratch.Arena) -> None:
    """Write B' d B of lines [4 * rows + 2, width, C] to grid [6, 6, rows, W * C]."""
    rows, length = grid.shape[2:]
    _, width, channels = lines.shape
    step, wide, item = lines.strides
    shape, strides = (rows, 6, width * channels), (4 * step, step, item)
    half = room.array(shape, lines.dtype)
    np.matmul(_DOWN, as_strided(lines, shape, strides, writeable=False), out=half)
    columns = room.array((rows * 6, 6, length), lines.dtype)
    tiles = as_strided(
        half,
        (rows * 6, 6, length // channels, channels),
        (half.strides[1], wide, 4 * wide, item),
        writeable=False,
    )
    np.copyto(columns.reshape(tiles.shape), tiles)
    phases = columns.reshape(rows, 6, 6, length)
    np.matmul(_DOWN, phases, out=grid.transpose(2, 0, 1, 3))


def _tiles_up(grid: Array, room: scratch.Arena) -> Array:
    """Return A' y A of grid [6, 6, rows, wide * M]: [rows, 4, 4 * wide * M]."""
    rows, length = grid.shape[2:]
    half = room.array((rows, 6, 4, length), grid.dtype)
    np.matmul(_UP, grid.transpose(2, 0, 1, 3), out=half)
    whole = room.array((rows, 4, 4 * length), grid.dtype)
    np.matmul(_UP, half.reshape(rows, 6, 4 * length), out=whole)
    return whole
