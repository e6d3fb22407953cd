"""Winograd's F(4x4, 3x3): a 3x3 convolution with a quarter of the products.

Tiles of 6x6 inputs, 4 apart, give 4x4 outputs each: `A'[(G w G') * (B' d B)]A`, the
products of all tiles and channels being 36 GEMMs. Transforms are sums of shifted
arrays, channels last. Non-finite inputs would spread over a tile: then the plain
convolution runs instead.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import scratch, threads
from .conv_gemm import GemmConv
from .conv_spec import Padded, Spec
from .geometry import Axis
from .panels import Panels

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
_PRODUCTS_BYTES = 12 << 20
_TASK_ELEMENTS = 1 << 17
_LARGEST_WEIGHT = 1e12


def _tiles(axis: Axis) -> Axis:
    """Return the axis of 6-wide tiles, 4 apart, which cover a 3-wide window's axis."""
    tiles = -(-axis.out // 4)
    after = 4 * tiles + 2 - axis.size - axis.before
    return Axis(axis.size, 6, 4, 1, axis.before, after)


class WinogradConv:
    """3x3, stride 1, no dilation, one group, float32 products."""

    def __init__(self, spec: Spec, w: Array) -> None:
        """Transform `w` [M, C, 3, 3] to [36, C, M]."""
        self.spec, self.w = spec, w
        transformed = np.einsum("ia,jb,mcab->ijcm", _FILTER, _FILTER, w, optimize=True)
        shape = (36, spec.channels, spec.filters)
        weights = np.ascontiguousarray(transformed.reshape(shape), spec.acc)
        self.axes = (_tiles(spec.axes[0]), _tiles(spec.axes[1]))
        self.padded = Padded(spec, self.axes, planar=False)
        self.high, self.wide = self.axes[0].out, self.axes[1].out
        row = 36 * self.wide * (spec.channels + spec.filters) * spec.acc.itemsize
        self.bands = threads.ranges(self.high, max(1, _PRODUCTS_BYTES // row))
        tiles = max(high - low for low, high in self.bands) * self.wide
        self.parts = threads.ranges(36, 9)
        self.panels = [Panels(weights[low:high], tiles) for low, high in self.parts]
        self.slots = threads.get_num_threads()
        self.direct_acc = spec.last and spec.acc == spec.out_dtype
        self._plain: GemmConv | None = None

    @staticmethod
    def accepts(spec: Spec, w: Array) -> bool:
        """Whether this algorithm can run the convolution and stay finite."""
        simple = [
            (a.kernel, a.stride, a.dilation, a.spread) == (3, 1, 1, 1) for a in spec.axes
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
        return max(1, _TASK_ELEMENTS // (36 * self.wide * channels))

    def _sizes(self) -> list[tuple[int, ...]]:
        """Shapes of: V, Y, then per slot the row transforms, their temporaries."""
        spec = self.spec
        c, m = spec.channels, spec.filters
        rows = max(high - low for low, high in self.bands)
        tiles = rows * self.wide
        down = min(rows, self._task_rows(c))
        up = min(rows, self._task_rows(m))
        acc = 0 if self.direct_acc else 4 * up * spec.out[1] * m
        half = 6 * down * 4 * (self.wide + 1) * c
        spare = 18 * down * (self.wide + 1) * c
        room = max(half + spare, 64 * up * self.wide * m + acc)
        room = -(-room // 16) * 16 + 64
        return [(36, tiles, c), (36, tiles, m), (self.slots, room)]

    @property
    def scratch_bytes(self) -> int:
        """Bytes of scratch: padded input, tiles before and after, and room a slot."""
        sizes = [scratch.nbytes(shape, self.spec.acc) for shape in self._sizes()]
        return self.padded.scratch_bytes + sum(sizes)

    def run(
        self, x: Array, out: Array, residual: Array | None, arena: scratch.Arena
    ) -> None:
        """Compute all of `out`; see `Algorithm`."""
        padded = self.padded.fill(x, arena)
        if not _finite(padded):
            self._run_plain(x, out, residual)
            return
        memory = [arena.array(shape, self.spec.acc) for shape in self._sizes()]
        for n in range(self.spec.batch):
            rest = None if residual is None else residual[n]
            for band in self.bands:
                self._band(padded[n], band, out[n], rest, memory)

    def _run_plain(self, x: Array, out: Array, residual: Array | None) -> None:
        if self._plain is None:
            self._plain = GemmConv(self.spec, self.w)
        buffer = scratch.take(self._plain.scratch_bytes)
        self._plain.run(x, out, residual, scratch.Arena(buffer))
        scratch.give(buffer)

    def _band(
        self,
        padded: Array,
        band: tuple[int, int],
        out: Array,
        residual: Array | None,
        memory: Sequence[Array],
    ) -> None:
        """Compute the output rows of a band of tile rows of one image."""
        low, high = band
        before, after, rooms = memory
        tiles = (high - low) * self.wide
        v, y = before[:, :tiles], after[:, :tiles]
        self._down(padded[4 * low :], high - low, v, rooms)
        self._multiply(v, y)
        place = slice(4 * low, 4 * high)
        rest = None if residual is None else residual[place]
        self._up(y, high - low, out[place], rest, rooms)

    def _down(self, padded: Array, rows: int, v: Array, rooms: Array) -> None:
        """Transform tiles of padded [H, 4, W', C] into v [36, tiles, C]."""
        channels = self.spec.channels
        grid = v.reshape(6, 6, rows, self.wide, channels)
        parts = threads.ranges(rows, self._task_rows(channels))

        def task(index: int, slot: int) -> None:
            low, high = parts[index]
            lines = padded[4 * low : 4 * high + 2]
            _tiles_down(lines, grid[:, :, low:high], scratch_of(rooms[slot]))

        threads.parallel(task, len(parts), self.slots)

    def _multiply(self, v: Array, y: Array) -> None:
        """Multiply the 36 pairs of matrices."""

        def task(index: int, _slot: int) -> None:
            part = slice(*self.parts[index])
            self.panels[index].multiply(v[part], y[part])

        threads.parallel(task, len(self.parts), self.slots)

    def _up(
        self, y: Array, rows: int, out: Array, residual: Array | None, rooms: Array
    ) -> None:
        """Transform y [36, tiles, M] back and finish it into out [4 * rows, W, M]."""
        filters = self.spec.filters
        grid = y.reshape(6, 6, rows, self.wide, filters)
        parts = threads.ranges(rows, self._task_rows(filters))

        def task(index: int, slot: int) -> None:
            low, high = parts[index]
            place = slice(4 * low, 4 * high)
            target, room = out[place], scratch_of(rooms[slot])
            acc = target if self.direct_acc else room.array(target.shape, y.dtype)
            _tiles_up(grid[:, :, low:high], acc, room)
            rest = None if residual is None else residual[place]
            self.spec.epilogue.apply(acc, target, rest)

        threads.parallel(task, len(parts), self.slots)


def scratch_of(room: Array) -> scratch.Arena:
    """Carve a slot's room anew."""
    return scratch.Arena(room.view(np.uint8))


def _finite(padded: Array) -> bool:
    """Whether all elements are finite and small enough to stay so in a tile."""
    parts = threads.ranges(padded.size, 1 << 18)
    line = padded.reshape(-1)
    sums = [0.0] * len(parts)

    def task(index: int, _slot: int) -> None:
        part = line[slice(*parts[index])]
        sums[index] = float(np.dot(part, part))

    threads.parallel(task, len(parts))
    return bool(np.isfinite(sum(sums)))


def _tiles_down(lines: Array, grid: Array, room: scratch.Arena) -> None:
    """Write B' d B of lines [4 * rows + 2, 4, W', C] to grid [6, 6, rows, wide, C]."""
    rows, wide = grid.shape[2], grid.shape[3]
    shape = (rows, *lines.shape[1:])
    half = room.array((6, *shape), lines.dtype)
    spare = room.array((18, rows, wide + 1, lines.shape[-1]), lines.dtype)
    inputs = [lines[i::4][:rows] for i in range(6)]
    flat = spare.reshape(-1)
    _transform_down(inputs, list(half), _carve(flat, shape, 3))
    columns = [half[:, :, j % 4, j // 4 : j // 4 + wide] for j in range(6)]
    ends = [grid[:, j] for j in range(6)]
    _transform_down(columns, ends, _carve(flat, columns[0].shape, 3))


def _carve(flat: Array, shape: tuple[int, ...], count: int) -> list[Array]:
    size = int(np.prod(shape))
    return [flat[i * size : (i + 1) * size].reshape(shape) for i in range(count)]


def _transform_down(d: list[Array], r: list[Array], spare: list[Array]) -> None:
    """Compute r = B' d over six arrays."""
    even, odd, t = spare
    np.multiply(d[2], 4, out=t)
    np.subtract(d[4], t, out=even)
    np.multiply(d[1], 4, out=t)
    np.subtract(d[3], t, out=odd)
    np.add(even, odd, out=r[1])
    np.subtract(even, odd, out=r[2])
    np.subtract(d[4], d[2], out=even)
    np.subtract(d[3], d[1], out=odd)
    np.add(odd, odd, out=odd)
    np.add(even, odd, out=r[3])
    np.subtract(even, odd, out=r[4])
    np.subtract(d[0], d[2], out=t)
    np.multiply(t, 4, out=t)
    np.add(t, even, out=r[0])
    np.add(odd, odd, out=odd)
    np.subtract(d[5], d[3], out=t)
    np.subtract(t, odd, out=r[5])


def _tiles_up(grid: Array, out: Array, room: scratch.Arena) -> None:
    """Write A' y A of grid [6, 6, rows, wide, M] to out [<= 4 * rows, W, M]."""
    half = room.array((4, *grid.shape[1:]), grid.dtype)
    spare = room.array((4, *grid.shape[1:]), grid.dtype)
    _transform_up(list(grid), list(half), list(spare))
    columns = [half[:, j] for j in range(6)]
    shape = columns[0].shape
    ends = list(room.array((4, *shape), grid.dtype))
    _transform_up(columns, ends, _carve(spare.reshape(-1), shape, 4))
    for i in range(4):
        for j in range(4):
            place = out[i::4, j::4]
            place[...] = ends[j][i, : place.shape[0], : place.shape[1]]


def _transform_up(m: list[Array], o: list[Array], spare: list[Array]) -> None:
    """Compute o = A' m over six arrays."""
    s, d, p, q = spare
    np.add(m[1], m[2], out=s)
    np.subtract(m[1], m[2], out=d)
    np.add(m[3], m[4], out=p)
    np.subtract(m[3], m[4], out=q)
    np.add(m[0], s, out=o[0])
    np.add(o[0], p, out=o[0])
    np.add(q, q, out=q)
    np.add(d, q, out=o[1])
    np.multiply(p, 4, out=p)
    np.add(s, p, out=o[2])
    np.multiply(q, 4, out=q)
    np.add(d, q, out=o[3])
    np.add(o[3], m[5], out=o[3])
