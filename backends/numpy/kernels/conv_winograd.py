"""Winograd's F(4x4, 3x3): a 3x3 convolution with a quarter of the products.

Tiles of 6x6 inputs, 4 apart, give 4x4 outputs each: `A'[(G w G') * (B' d B)]A`, the
products of all tiles and channels being 36 GEMMs. The transforms are GEMMs too, of 6x6
and 4x6 matrices with long rows, four times as fast as sums of shifted arrays; and few
long calls let threads share the GIL. Between the two steps columns are copied to six
overlapping phases, `[j, tile, C]` being column `4 * tile + j`. Non-finite inputs would
spread over a tile: then the plain convolution runs instead.
"""

from collections.abc import Callable, Sequence
from functools import partial
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
_BAND_BYTES = 1 << 20
_TASK_ELEMENTS = 1 << 17
_FEW_WEIGHTS = 1 << 20
_MANY_TILES = 20
_LARGEST_WEIGHT = 1e12
_CALLS = 18
_SHORT, _LONG = 2.5e-4, 2e-3
_SECONDS_A_PRODUCT = 2.5e-11
_SECONDS_AN_ELEMENT = 6e-10


class WinogradConv:
    """3x3, stride 1, no dilation, one group, float32 products."""

    def __init__(self, spec: Spec, w: Array, again: Callable[[], Array]) -> None:
        """Transform `w` [M, C, 3, 3] to [36, C, M]; `again` gives it once more."""
        self.spec, self._again = spec, again
        self.high, self.wide = (-(-axis.out // 4) for axis in spec.axes)
        self.slots = threads.get_num_threads()
        self.bands = self._bands()
        rows = max(high - low for low, high in self.bands)
        few = 36 * spec.channels * spec.filters * spec.acc.itemsize <= _FEW_WEIGHTS
        cached = few or rows * self.wide >= _MANY_TILES
        self.apart = cached and not self._by_products
        """Whether a task does all of a band, instead of a part of all steps."""
        self.rows = rows if self.apart else self.high
        self.parts = [(0, 36)] if self.apart else threads.ranges(36, 9)
        self.panels = self._pack(w)
        bias = spec.epilogue.bias
        tiled = None if bias is None else np.tile(bias, self.wide)
        self.bias, self.clip = Epilogue(bias=tiled), Epilogue(clip=spec.epilogue.clip)
        self._plain: GemmConv | None = None

    @property
    def _seconds(self) -> tuple[float, float]:
        """About what products, and what transforms take on one thread."""
        spec, tiles = self.spec, self.high * self.wide * self.spec.batch
        products = 36 * tiles * spec.channels * spec.filters
        both = 36 * tiles * (spec.channels + spec.filters)
        return products * _SECONDS_A_PRODUCT, both * _SECONDS_AN_ELEMENT

    @property
    def _by_products(self) -> bool:
        """Whether to share out the products alone: transforms are many short calls."""
        products, transforms = self._seconds
        return products > _SHORT and products + transforms < _LONG

    def _bands(self) -> list[tuple[int, int]]:
        """Cut the tile rows into as many for each thread, in its cache."""
        spec = self.spec
        row = 36 * self.wide * (spec.channels + spec.filters) * spec.acc.itemsize
        count = -(-self.high * row // _BAND_BYTES)
        count = min(self.high, -(-count // self.slots) * self.slots)
        return threads.ranges(self.high, -(-self.high // count))

    def _pack(self, w: Array) -> list[Panels]:
        """Transform the filters and pack them, as many at once as a task multiplies."""
        filters, channels = w.shape[:2]
        weights = np.empty((36, channels, filters), self.spec.acc)
        both = np.kron(_FILTER, _FILTER)
        for low in range(0, filters, 32):  # in float64, of which little is held at once
            flat = w[low : low + 32].reshape(-1, 9).astype(np.float64)
            spread = (both @ flat.T).reshape(36, -1, channels)
            weights[:, :, low : low + 32] = spread.swapaxes(1, 2)
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
        if self.apart:
            return self.rows
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
        copies = self.slots if self.apart else 1
        rooms = (self.slots, -(-room // 16) * 16 + 64)
        return [
            (copies, 36, tiles, spec.channels),
            (copies, 36, tiles, spec.filters),
            rooms,
        ]

    @property
    def scratch_bytes(self) -> int:
        """Bytes of scratch: tiles before and after the products, and the rooms."""
        return sum(scratch.nbytes(shape, self.spec.acc) for shape in self._sizes())

    def bind(
        self, x: Array, out: Array, residual: Array | None, arena: scratch.Arena
    ) -> Stage:
        """Return what computes all of `out`; see `Algorithm`."""
        memory = [arena.array(shape, self.spec.acc) for shape in self._sizes()]
        squares: dict[int, float] = {}
        bound = self._bind_apart if self.apart else self._bind_together
        compute = bound(x, out, residual, memory, squares)

        def run() -> None:
            compute()
            if not np.isfinite(sum(squares.values())):
                self._run_plain(x, out, residual)

        return run

    def _run_plain(self, x: Array, out: Array, residual: Array | None) -> None:
        if self._plain is None:
            w = self._again().astype(self.spec.acc, copy=False)
            self._plain = GemmConv(self.spec, w)
        buffer = scratch.take(self._plain.scratch_bytes)
        self._plain.bind(x, out, residual, scratch.Arena(buffer))()
        scratch.give(buffer)

    def _bind_apart(
        self,
        x: Array,
        out: Array,
        residual: Array | None,
        memory: Sequence[Array],
        squares: dict[int, float],
    ) -> Stage:
        """Return what computes band by band, each in one task."""
        before, after, rooms = memory
        count = len(self.bands)

        def make(index: int, slot: int) -> Stage:
            n, number = divmod(index, count)
            low, high = self.bands[number]
            tiles = (high - low) * self.wide
            v, y = before[slot, :, :tiles], after[slot, :, :tiles]
            down = self._down(x[n], (low, high), v, rooms[slot], squares, index)
            up = self._up(y, (low, high), out[n], _image(residual, n), rooms[slot])
            return threads.in_turn([down, self.panels[0].bind(v, y), up])

        total, seconds = count * self.spec.batch, sum(self._seconds)
        return threads.Prepared(make, total, self.slots, seconds, _CALLS)

    def _bind_together(
        self,
        x: Array,
        out: Array,
        residual: Array | None,
        memory: Sequence[Array],
        squares: dict[int, float],
    ) -> Stage:
        """Return what computes step by step, all threads at the same one."""
        (v,), (y,), rooms = memory
        stages: list[Stage] = []
        for n in range(self.spec.batch):
            stages += self._steps(x, out, residual, (v, y, rooms), squares, n)
        return threads.in_turn(stages)

    def _steps(
        self,
        x: Array,
        out: Array,
        residual: Array | None,
        memory: Sequence[Array],
        squares: dict[int, float],
        n: int,
    ) -> list[Stage]:
        """Return the three steps of one image."""
        v, y, rooms = memory
        spec = self.spec
        downs = threads.ranges(self.high, self._task_rows(spec.channels))
        ups = threads.ranges(self.high, self._task_rows(spec.filters))

        def down(index: int, slot: int) -> Stage:
            low, high = downs[index]
            part, key = v[:, low * self.wide : high * self.wide], n * self.high + index
            return self._down(x[n], (low, high), part, rooms[slot], squares, key)

        def multiply(index: int, _slot: int) -> Stage:
            part = slice(*self.parts[index])
            return self.panels[index].bind(v[part], y[part])

        def up(index: int, slot: int) -> Stage:
            low, high = ups[index]
            part, rest = y[:, low * self.wide : high * self.wide], _image(residual, n)
            return self._up(part, (low, high), out[n], rest, rooms[slot])

        products, transforms = self._seconds
        stages = (
            (down, downs, transforms / 2, _CALLS // 2),
            (multiply, self.parts, products, 2),
            (up, ups, transforms / 2, _CALLS // 2),
        )
        return [
            threads.Prepared(make, len(cuts), self.slots, seconds, calls)
            for make, cuts, seconds, calls in stages
        ]

    def _down(
        self,
        x: Array,
        band: tuple[int, int],
        v: Array,
        memory: Array,
        squares: dict[int, float],
        key: int,
    ) -> Stage:
        """Return what transforms rows of x [H, W, C] to v [36, tiles, C].

        The sum of squares, noted under `key`, tells whether all is finite.
        """
        room = scratch.Arena(memory.view(np.uint8))
        (low, high), channels = band, self.spec.channels
        shape = (4 * (high - low) + 2, 4 * self.wide + 2, channels)
        lines = room.array(shape, v.dtype)
        across = self.spec.axes[1]
        rows = self.spec.axes[0].rows(4 * low, 4 * low + shape[0])
        wide = across.rows(0, shape[1])
        fill = threads.in_turn(fill_padded(lines[:, None], x, (rows, wide)))
        grid = v.reshape(6, 6, high - low, self.wide * channels)
        transform = _tiles_down(lines, grid, room)
        flat = lines.reshape(-1)

        def run() -> None:
            fill()
            squares[key] = float(np.dot(flat, flat))
            transform()

        return run

    def _up(
        self,
        y: Array,
        band: tuple[int, int],
        out: Array,
        residual: Array | None,
        memory: Array,
    ) -> Stage:
        """Return what transforms y [36, tiles, M] back and finishes rows of `out`."""
        filters, (low, high) = self.spec.filters, band
        room = scratch.Arena(memory.view(np.uint8))
        grid = y.reshape(6, 6, high - low, self.wide * filters)
        lines, transform = _tiles_up(grid, room)
        shape = (4 * (high - low), 4, self.wide, filters)
        place = slice(4 * low, 4 * high)
        rest = None if residual is None else residual[place]
        finish = self._finish(lines.reshape(shape), out[place], rest, room)
        return threads.in_turn([transform, *finish])

    def _finish(
        self, lines: Array, out: Array, residual: Array | None, room: scratch.Arena
    ) -> list[Stage]:
        """Return what puts phases [rows, 4, wide, M] in columns of out [<= rows, W, M].

        Scattered writes to planar memory are slow: it is transposed once at the end.
        """
        target = out if self.spec.last else room.array(out.shape, lines.dtype)
        merged = lines.reshape(-1, self.wide * lines.shape[-1])
        stages: list[Stage] = [self.bias.bind(merged, merged)]
        if residual is not None:
            for j in range(4):
                added = residual[:, j::4]
                part = lines[: len(out), j, : added.shape[1]]
                stages.append(partial(np.add, part, added, part, casting="unsafe"))
        stages += [self.clip.bind(merged, merged), *_place(lines, target)]
        if target is not out:
            stages.append(partial(np.copyto, out, target, casting="unsafe"))
        return stages


def _image(batch: Array | None, n: int) -> Array | None:
    return None if batch is None else batch[n]


def _place(lines: Array, out: Array) -> list[Stage]:
    """Return what copies phases [rows, 4, wide, M] to columns of [<= rows, W, M]."""
    rows, _, wide, _ = lines.shape
    if out.shape[:2] == (rows, 4 * wide):
        columns = out.reshape(rows, wide, 4, -1)
        if np.may_share_memory(columns, out):
            source = lines.swapaxes(1, 2)
            return [partial(np.copyto, columns, source, casting="unsafe")]
    places = [out[:, j::4] for j in range(4)]
    return [
        partial(np.copyto, place, lines[: len(out), j, : place.shape[1]], "unsafe")
        for j, place in enumerate(places)
    ]


def _tiles_down(lines: Array, grid: Array, room: scratch.Arena) -> Stage:
    """Return what writes B' d B of lines [4 * rows + 2, width, C] to grid.

    The grid is [6, 6, rows, W * C].
    """
    rows, length = grid.shape[2:]
    _, width, channels = lines.shape
    step, wide, item = lines.strides
    shape, strides = (rows, 6, width * channels), (4 * step, step, item)
    half = room.array(shape, lines.dtype)
    source = as_strided(lines, shape, strides, writeable=False)
    columns = room.array((rows * 6, 6, length), lines.dtype)
    tiles = as_strided(
        half,
        (rows * 6, 6, length // channels, channels),
        (half.strides[1], wide, 4 * wide, item),
        writeable=False,
    )
    phases, target = columns.reshape(rows, 6, 6, length), grid.transpose(2, 0, 1, 3)
    return threads.in_turn(
        [
            partial(np.matmul, _DOWN, source, half),
            partial(np.copyto, columns.reshape(tiles.shape), tiles),
            partial(np.matmul, _DOWN, phases, target),
        ]
    )


def _tiles_up(grid: Array, room: scratch.Arena) -> tuple[Array, Stage]:
    """Return A' y A of grid [6, 6, rows, wide * M], and what computes it.

    The result is [rows, 4, 4 * wide * M].
    """
    rows, length = grid.shape[2:]
    half = room.array((rows, 6, 4, length), grid.dtype)
    whole = room.array((rows, 4, 4 * length), grid.dtype)
    first = partial(np.matmul, _UP, grid.transpose(2, 0, 1, 3), half)
    second = partial(np.matmul, _UP, half.reshape(rows, 6, 4 * length), whole)
    return whole, threads.in_turn([first, second])
