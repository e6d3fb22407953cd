"""Winograd's convolution of 3x3 windows, tiles of outputs at a time.

Each tile of ``m`` by ``m`` outputs needs ``(m + 2)**2`` products a channel instead of
``9 * m * m``. A work-item takes some tiles: it transforms their inputs, ``down``, for
all channels; then for a panel of filters after the other it multiplies frequency by
frequency and transforms the sums back, ``up``. What is transformed stays in cache. Few
tiles are transformed by a launch of their own, and panels are shared among cores.

Numbers that are not finite would spread over a tile. A wrong output is not finite
itself, so then, and when products overflow, these tiles are computed as written.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.codegen.dialect import Dialect
from graphwright.backends.codegen.kernels.conv import pack
from graphwright.backends.codegen.kernels.finish import Finish
from graphwright.backends.codegen.kernels.launch import Launch, Library, Local
from graphwright.backends.codegen.kernels.shape import ConvShape
from graphwright.backends.codegen.kernels.text import (
    WIDTH,
    arguments,
    block,
    named,
    write,
)
from graphwright.backends.codegen.kernels.tile import Tile, packed
from graphwright.backends.codegen.kernels.toom import Put, columns_of, rows_of, toom

_APART = 16
"""Floats by which frequencies lie further apart than they must: else all are in the
same few sets of the cache where channels are a power of two (0.6x)."""

_SIZES = (
    *("height", "width", "channels", "filters", "high", "wide", "up", "left"),
    *("across", "image", "tiles", "span", "pitch", "panels"),
)
"""``across`` tiles lie side by side, ``image`` in one image, ``tiles`` in all; ``span``
go together, their frequencies ``pitch`` floats apart."""


@dataclass(frozen=True, slots=True)
class Division:
    """How the work is cut.

    Attributes:
        outputs: Of a tile, in each direction.
        span: Tiles that go together.
        apart: Whether inputs are transformed by a launch of their own.
    """

    outputs: int
    span: int
    apart: bool = False

    @property
    def frequencies(self) -> int:
        """Products of a tile and channel."""
        return (self.outputs + 2) ** 2

    def tiles(self, shape: ConvShape) -> tuple[int, int]:
        """Tiles down and across an image."""
        high, wide = shape.out
        return -(-high // self.outputs), -(-wide // self.outputs)

    def near(self, shape: ConvShape, tile: Tile) -> int:
        """Floats of local memory."""
        sums = self.frequencies * self.span * tile.columns
        return sums + (0 if self.apart else self.frequencies * self.pitch(shape))

    def pitch(self, shape: ConvShape) -> int:
        """Floats from one frequency to the next."""
        return self.span * shape.channels + _APART


def accepts(shape: ConvShape) -> bool:
    """Whether the algorithm can compute a convolution."""
    simple = shape.kernel == (3, 3) and shape.strides == shape.dilations == (1, 1)
    return simple and shape.groups == 1 and shape.channels % WIDTH == 0


def winograd(
    shape: ConvShape,
    weights: NDArray[np.float32],
    finish: Finish,
    dialect: Dialect,
    division: Division,
) -> Library:
    """A convolution of ``x`` to ``out``; see `conv`."""
    tile = Tile()
    writer = _Writer(division, tile, finish, shape.filters % tile.columns != 0, dialect)
    numbers = _sizes(shape, tile, division)
    sizes = tuple(numbers[name] for name in _SIZES)
    blocks = -(-numbers["tiles"] // division.span)
    sums = Local(division.frequencies * division.span * tile.columns)
    constants = {
        "u": transformed(weights, division.outputs, tile.columns),
        "w": pack(weights, 1, tile.columns),
        "zeros": np.zeros(shape.channels, np.float32),
    }
    arrays = ("x", "zeros", "u", "w", *finish.arrays)
    if not division.apart:
        name, source = writer.together()
        near = Local(division.frequencies * division.pitch(shape))
        launch = Launch(name, (*arrays, "out", near, sums, *sizes), (blocks,))
        return Library(source, (launch,), constants)
    (first, down), (second, rest) = writer.down(), writer.up()
    total = blocks * division.span
    launches = (
        Launch(first, ("x", "zeros", "v", *sizes), (total,)),
        Launch(
            second, (*arrays, "v", "out", sums, *sizes), (blocks, numbers["panels"])
        ),
    )
    scratch = {"v": blocks * division.frequencies * division.pitch(shape)}
    return Library(down + rest, launches, constants, scratch)


def _sizes(shape: ConvShape, tile: Tile, division: Division) -> dict[str, int]:
    down, across = division.tiles(shape)
    return {
        "height": shape.size[0],
        "width": shape.size[1],
        "channels": shape.channels,
        "filters": shape.filters,
        "high": shape.out[0],
        "wide": shape.out[1],
        "up": shape.pads[0][0],
        "left": shape.pads[1][0],
        "across": across,
        "image": down * across,
        "tiles": shape.batch * down * across,
        "span": division.span,
        "pitch": division.pitch(shape),
        "panels": -(-shape.filters // tile.columns),
    }


def transformed(
    weights: NDArray[np.float32], outputs: int, columns: int
) -> NDArray[np.float32]:
    """Panels ``[panels, frequencies, channels, columns]`` of filters, rounded once."""
    matrix = np.array(toom(outputs).filter, np.float64)
    both = np.kron(matrix, matrix)
    filters, channels = weights.shape[:2]
    found = np.empty((len(both), channels, filters), np.float32)
    for low in range(0, filters, 32):  # in float64, of which little is held at once
        flat = weights[low : low + 32].reshape(-1, 9).astype(np.float64)
        spread = (both @ flat.T).reshape(len(both), -1, channels)
        found[:, :, low : low + 32] = spread.swapaxes(1, 2)
    return np.ascontiguousarray(packed(found, columns).swapaxes(0, 1))


class _Writer:
    """The source of one kind of tile and finish."""

    def __init__(
        self,
        division: Division,
        tile: Tile,
        finish: Finish,
        ragged: bool,
        dialect: Dialect,
    ) -> None:
        self.m, self.a = division.outputs, division.outputs + 2
        self.toom = toom(division.outputs)
        self.tile, self.finish, self.ragged = tile, finish, ragged
        self.dialect = dialect
        self.load, self.store = ("LOAD", "STORE")
        self.space = "__global"
        if not division.apart:
            self.load, self.store = ("NEAR_LOAD", "NEAR_STORE")
            self.space = "__local"

    # Kernels ------------------------------------------------------------------------

    def together(self) -> tuple[str, str]:
        """One kernel for all."""
        more = ("__local float *restrict v", "__local float *restrict y")
        head = self._head(("x", "zeros", "u", "w", *self.finish.arrays), more, "out")
        body = [
            "int first = get_global_id(0) * span;",
            *block("for (int t = 0; t < span; t++)", self._down("first + t", "v")),
            *block("for (int p = 0; p < panels; p++)", self._panel("v")),
        ]
        return named("winograd", "\n".join(block(head, body)) + "\n")

    def down(self) -> tuple[str, str]:
        """The kernel that transforms inputs, a tile an item."""
        head = self._head(("x", "zeros"), (), "v")
        own = f"v + (size_t)(first / span) * {self.a**2} * pitch"
        body = [
            "int first = get_global_id(0), t = first % span;",
            f"__global float *own = {own};",
            *self._down("first", "own"),
        ]
        return named("winograd_down", "\n".join(block(head, body)) + "\n")

    def up(self) -> tuple[str, str]:
        """The kernel that multiplies them and transforms back."""
        more = ("__local float *restrict y",)
        arrays = ("x", "zeros", "u", "w", *self.finish.arrays, "v")
        head = self._head(arrays, more, "out")
        own = f"v + (size_t)get_global_id(0) * {self.a**2} * pitch"
        body = [
            "int first = get_global_id(0) * span, p = get_global_id(1);",
            f"const __global float *own = {own};",
            *self._panel("own"),
        ]
        return named("winograd_up", "\n".join(block(head, body)) + "\n")

    def _head(self, arrays: tuple[str, ...], more: tuple[str, ...], out: str) -> str:
        declared = arguments(arrays, (), out)
        sizes = (f"int {name}" for name in _SIZES)
        return self.dialect.kernel.format(
            name="NAME", group="1, 1, 1", arguments=", ".join([declared, *more, *sizes])
        )

    # Parts --------------------------------------------------------------------------

    def _place(self, tile: str) -> list[str]:
        """Where a tile's outputs begin."""
        return [
            f"int n = ({tile}) / image, oy = ({tile}) / across * {self.m};",
            f"int ox = ({tile}) % across * {self.m};",
            f"oy -= n * (image / across) * {self.m};",
        ]

    def _down(self, tile: str, v: str) -> list[str]:
        """The inputs of a tile transformed to place ``t`` of ``v``."""
        a, count = self.a, self.a**2
        at = "x + (((size_t)n * height + y) * width + z) * channels"
        pointers = [
            f"int y = oy - up + i / {a}, z = ox - left + i % {a};",
            f"from[i] = WITHIN(y, height) && WITHIN(z, width) ? {at} : zeros;",
        ]
        columns: list[str] = []
        for j in range(a):
            columns += self._step(
                (f"LOAD(from[{i * a + j}] + c)" for i in range(a)),
                _into("d", a, j),
            )
        rows: list[str] = []
        for i in range(a):
            values = (f"d[{i * a + j}]" for j in range(a))
            rows += self._step(values, partial(self._kept, i))
        return [
            f"int tile = {tile} < tiles ? {tile} : tiles - 1;",
            *self._place("tile"),
            f"const __global float *from[{count}];",
            *block(f"for (int i = 0; i < {count}; i++)", pointers),
            *block(
                f"for (int c = 0; c < channels; c += {WIDTH})",
                [
                    f"vec d[{count}];",
                    f"{self.space} float *to = {v} + (size_t)t * channels + c;",
                    *columns,
                    *rows,
                ],
            ),
        ]

    def _step(self, values: Iterable[str], put: Put) -> list[str]:
        """One direction of the transform of inputs."""
        names = [f"x{i}" for i in range(self.a)]
        pairs = zip(names, values, strict=True)
        declared = ", ".join(f"{name} = {value}" for name, value in pairs)
        return ["{", f"vec {declared};", *rows_of(self.toom.down, names, put), "}"]

    def _kept(self, i: int, j: int, value: str) -> str:
        return f"{self.store}(to + {i * self.a + j} * pitch, {value})"

    def _panel(self, v: str) -> list[str]:
        """The outputs of a span of tiles for a panel of filters."""
        columns = self.tile.columns
        return [
            f"int column = p * {columns}, left_over = filters - column;",
            "vec odd = SPLAT(0.0f);",
            *block(f"for (int f = 0; f < {self.a**2}; f++)", self._products(v)),
            *block(
                "for (int t = 0; t < span && first + t < tiles; t++)",
                [*self._place("first + t"), *self._outputs()],
            ),
            f"float sum = {' + '.join(f'odd.s{i:x}' for i in range(WIDTH))};",
            *block("if (sum != 0.0f)", self._again()),
        ]

    def _products(self, v: str) -> list[str]:
        """Sums over channels of a frequency, kept in ``y``."""
        columns, count = self.tile.columns, self.a**2
        rows = [
            f"const {self.space} float *a{i} = row + {i} * channels;"
            for i in range(self.tile.rows)
        ]

        def keep(i: int, j: int) -> list[str]:
            return [f"NEAR_STORE(to + {i * columns + j * WIDTH}, c{i}_{j})"]

        return [
            f"const {self.space} float *row = {v} + (size_t)f * pitch;",
            f"__local float *to = y + f * span * {columns};",
            *block(
                f"for (int t = 0; t < span; t += {self.tile.rows})",
                [
                    "const __global float *b =",
                    f"    u + ((size_t)p * {count} + f) * channels * {columns};",
                    *rows,
                    *self.tile.sums(),
                    *self.tile.multiply("channels"),
                    *self.tile.each(keep),
                    f"to += {self.tile.rows * columns};",
                    f"row += {self.tile.rows} * channels;",
                ],
            ),
        ]

    def _outputs(self) -> list[str]:
        """The sums of a tile transformed back, finished and written."""
        m, a, columns = self.m, self.a, self.tile.columns
        names = [f"x{i}" for i in range(a)]
        lines = [f"const __local float *s = y + t * {columns} + j;", f"vec d[{m * a}];"]
        for j in range(a):
            places = (f"s + {i * a + j} * span * {columns}" for i in range(a))
            loads = ", ".join(
                f"{x} = NEAR_LOAD({at})" for x, at in zip(names, places, strict=True)
            )
            put = columns_of(self.toom.up, names, _into("d", a, j))
            lines += ["{", f"vec {loads};", *put, "}"]
        for i in range(m):
            loads = ", ".join(f"x{j} = d[{i * a + j}]" for j in range(a))
            put = columns_of(self.toom.up, names, partial(self._output, i))
            lines += block(f"if (oy + {i} < high)", [f"vec {loads};", *put])
        return block(f"for (int j = 0; j < {columns}; j += {WIDTH})", lines)

    def _output(self, i: int, j: int, value: str) -> str:
        body = [f"vec r = {value};", "odd += r * 0.0f;", *self._written(str(i), str(j))]
        return "\n".join(block(f"if (ox + {j} < wide)", body))

    def _written(self, i: str, j: str) -> list[str]:
        """``r`` of output ``i``, ``j`` of a tile finished and written."""
        left = "left_over - j" if self.ragged else None
        row = f"((size_t)n * high + oy + {i}) * wide + ox + {j}"
        return [
            f"size_t at = ({row}) * filters + column + j;",
            *self.finish.statements("r", "at", "column + j", left),
            write("out + at", "r", left),
        ]

    def _again(self) -> list[str]:
        """All outputs of the tiles as convolution is written."""
        columns, m = self.tile.columns, self.m
        at = "x + (((size_t)n * height + y) * width + z) * channels"
        sums = [
            "int y = oy + i - up + k / 3, z = ox + o - left + k % 3;",
            "if (!WITHIN(y, height) || !WITHIN(z, width)) continue;",
            f"const __global float *from = {at};",
            "const __global float *b =",
            f"    w + ((size_t)p * 9 + k) * channels * {columns} + j;",
            "for (int c = 0; c < channels; c++)",
            f"  r = SPLAT(from[c]) * LOAD(b + c * {columns}) + r;",
        ]
        output = [
            f"int i = q / {m}, o = q % {m};",
            "if (oy + i >= high || ox + o >= wide) continue;",
            "vec r = SPLAT(0.0f);",
            *block("for (int k = 0; k < 9; k++)", sums),
            *self._written("i", "o"),
        ]
        vectors = block(f"for (int j = 0; j < {columns}; j += {WIDTH})", output)
        outputs = block(f"for (int q = 0; q < {m * m}; q++)", vectors)
        return block(
            "for (int t = 0; t < span && first + t < tiles; t++)",
            [*self._place("first + t"), *outputs],
        )


def _into(array: str, width: int, column: int) -> Put:
    def put(row: int, value: str) -> str:
        return f"{array}[{row * width + column}] = {value};"

    return put
