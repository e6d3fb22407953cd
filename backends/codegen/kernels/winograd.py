"""Winograd's convolution of 3x3 to 5x5 windows, tiles of outputs at a time.

Each tile of ``m`` by ``m`` outputs of windows of ``r`` by ``r`` taps needs
``(m + r - 1)**2`` products a channel instead of ``(m * r)**2``. A work-item takes some
tiles: it transforms their inputs, ``down``, for all channels; then for a panel of
filters after the other it multiplies frequency by frequency and transforms the sums
back, ``up``. What is transformed stays in cache. With many filters of many channels
these would be read too often: then all tiles go step by step, and the products are a
batch of matrices.

Numbers that are not finite would spread over a tile. A wrong output is not finite
itself, so then, and when products overflow, these tiles are computed as written.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.arena import empty
from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import Dialect
from graphwright.backends.codegen.kernels.conv import outside
from graphwright.backends.codegen.kernels.division import GAP, Division
from graphwright.backends.codegen.kernels.finish import (
    Finish,
    out_type,
    size_names,
    size_values,
)
from graphwright.backends.codegen.kernels.gemm import GemmShape, multiplied
from graphwright.backends.codegen.kernels.launch import (
    Argument,
    Launch,
    Library,
    Local,
    Make,
)
from graphwright.backends.codegen.kernels.shape import ConvShape
from graphwright.backends.codegen.kernels.sums import FLOATS, LINE
from graphwright.backends.codegen.kernels.text import arguments, block, named, read
from graphwright.backends.codegen.kernels.tile import Tile, panel_starts
from graphwright.backends.codegen.kernels.toom import (
    Put,
    columns_of,
    in_floats,
    rows_of,
    toom,
)
from graphwright.backends.mapped import release_part

_KERNELS, _GROUPS = ((3, 3), (4, 4), (5, 5)), 4
"""Windows, and most groups: each has its own launches."""

_SIZES = (
    *("height", "width", "channels", "filters", "high", "wide", "up", "left"),
    *("across", "image", "tiles", "span", "pitch", "step", "panels", "edge"),
    *("pixel", "place", "channel", "first", "every"),
)
"""``across`` tiles lie side by side, ``image`` in one image, ``tiles`` in all; ``span``
go together. The last panel begins at filter ``edge``. Frequencies lie ``pitch`` floats
apart before, ``step`` after products; pixels of the image ``pixel``, positions of the
result ``place``. A group begins at ``channel``, and at the ``first`` of its filters, of
``every`` one that there is."""


def accepts(shape: ConvShape, lanes: int) -> bool:
    """Whether the algorithm can compute a convolution by vectors of so many lanes."""
    simple = shape.kernel in _KERNELS and shape.strides == shape.dilations == (1, 1)
    return simple and shape.groups <= _GROUPS and shape.depth >= lanes


def winograd(
    shape: ConvShape,
    finish: Finish,
    machine: Cpu,
    dialect: Dialect,
    division: Division,
) -> Library:
    """A convolution of ``x`` to ``out``, cut in some way; see `conv`."""
    own = shape.group
    tile = division.tile(machine.lanes)
    writer = _Writer(division, tile, finish, own, dialect)
    launches, scratch = list[Launch](), dict[str, int]()
    constants: dict[str, Make] = {"zeros": partial(outside, own.channels, FLOATS)}
    for number in range(shape.groups):
        sizes = _sizes(shape, number, division, tile)
        made = partial(_of_group, shape.groups, number)
        filters = partial(transformed, division=division, columns=tile.columns)
        constants[f"u{number}"] = made(filters)
        constants[f"w{number}"] = made(_as_they_are)
        if division.span:
            launches.append(_together(writer, number, sizes, division))
        else:
            multiply = _multiplied(own, number, division, machine, dialect)
            launches += _steps(writer, number, sizes, multiply)
            scratch[f"v{number}"] = division.frequencies * sizes["pitch"]
            scratch[f"y{number}"] = division.frequencies * sizes["step"]
    return Library(tuple(launches), constants, scratch=scratch)


def _of_group(groups: int, number: int, make: Make) -> Make:
    """What is made of the filters of one group."""

    def made(weights: NDArray[np.float32]) -> NDArray[np.float32]:
        own = len(weights) // groups
        return make(weights[number * own :][:own])

    return made


def _as_they_are(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Filters for tiles that are computed again: hardly ever read, so not packed."""
    return np.require(weights, requirements=["C", "A"])


def _together(
    writer: "_Writer", number: int, sizes: Mapping[str, int], division: Division
) -> Launch:
    """All steps of a group."""
    name, source = writer.together()
    near = Local(division.frequencies * sizes["pitch"])
    sums = Local(division.frequencies * sizes["step"])
    own = (f"u{number}", f"w{number}")
    arrays = ("x", "zeros", *own, *writer.finish.arrays, "out")
    blocks = -(-sizes["tiles"] // division.span)
    every: tuple[Argument, ...] = (*arrays, near, sums, *writer.numbers(sizes))
    return Launch(name, source, every, (blocks,))


def _multiplied(
    own: ConvShape, number: int, division: Division, machine: Cpu, dialect: Dialect
) -> Library:
    """The products of a group's frequencies."""
    tiles = division.tiles(own)
    shape = GemmShape(division.frequencies, tiles, own.channels, own.filters, gap=GAP)
    names = (f"{array}{number}" for array in "vuy")
    return multiplied(shape, machine, dialect, *names)


def _steps(
    writer: "_Writer", number: int, sizes: Mapping[str, int], multiply: Library
) -> Sequence[Launch]:
    """The steps of a group, one after the other."""
    items, numbers = (sizes["tiles"],), writer.numbers(sizes)
    v, y, w = (f"{array}{number}" for array in "vyw")
    arrays = ("x", "zeros", w, *writer.finish.arrays, y, "out")
    return (
        Launch(*writer.down(), ("x", "zeros", v, *numbers), items),
        *multiply.launches,
        Launch(*writer.up(), (*arrays, *numbers), items),
    )


def _sizes(
    shape: ConvShape, number: int, division: Division, tile: Tile
) -> dict[str, int]:
    """The numbers that kernels of a group take, by name."""
    down, across = division.grid(shape)
    tiles, own = division.tiles(shape), shape.group
    pitch = (division.span or tiles) * own.channels + GAP
    step = division.span * tile.columns or tiles * own.filters + GAP
    return {
        "height": shape.size[0],
        "width": shape.size[1],
        "channels": own.channels,
        "filters": own.filters,
        "high": shape.out[0],
        "wide": shape.out[1],
        "up": shape.pads[0][0],
        "left": shape.pads[1][0],
        "across": across,
        "image": down * across,
        "tiles": tiles,
        "span": division.span or tiles,
        "pitch": pitch,
        "step": step,
        "panels": -(-own.filters // tile.columns),
        "edge": tile.edge(own.filters),
        "pixel": shape.step,
        "place": shape.out_step,
        "channel": number * own.channels,
        "first": number * own.filters,
        "every": shape.filters,
    }


_NEAR = 2048
"""Elements of each frequency that are transformed at once."""


def transformed(
    weights: NDArray[np.float32], division: Division, columns: int
) -> NDArray[np.float32]:
    """Panels ``[frequencies, panels, channels, columns]`` of filters, rounded once.

    Panels come first where tiles go through all steps together.
    """
    matrix = np.array(toom(division.outputs, division.taps).filter, np.float64)
    both = np.kron(matrix, matrix)
    filters, channels = weights.shape[:2]
    flat = weights.reshape(filters, channels, -1)
    starts = panel_starts(filters, columns)
    places = (len(starts), len(both)) if division.span else (len(both), len(starts))
    found = empty((*places, channels, columns), FLOATS.dtype)
    into = found if division.span else found.swapaxes(0, 1)
    few = max(1, _NEAR // columns)
    for start, panel in zip(starts, into, strict=True):
        own = flat[start:][:columns]
        for low in range(0, channels, few):  # in float64, while it is near
            taps = _taps(own[:, low:][:, :few], columns)
            some = panel[:, low:][:, :few]
            some[...] = (both @ taps).reshape(some.shape)
        release_part(own)
    return found


def _taps(weights: NDArray[np.float32], columns: int) -> NDArray[np.float64]:
    """``[taps, channels * columns]`` of filters, filled up with zeros."""
    filters, channels, taps = weights.shape
    found = np.zeros((taps, channels, columns))
    found[..., :filters] = weights.transpose(2, 1, 0)
    return found.reshape(taps, -1)


def _place(outputs: int, tile: str) -> list[str]:
    """Where a tile's outputs begin."""
    return [
        f"int n = ({tile}) / image, oy = ({tile}) / across * {outputs};",
        f"int ox = ({tile}) % across * {outputs};",
        f"oy -= n * (image / across) * {outputs};",
    ]


@cache
def _down(division: Division, lanes: int, whole: bool, tile: str) -> Sequence[str]:
    """The inputs of a tile transformed to place ``t`` of ``v``.

    Where channels are no whole vectors, the last one overlaps the one before.
    """
    a, count = division.points, division.frequencies
    near, space = ("NEAR_", "__local") if division.span else ("", "__global")
    overlapped = f"k < channels - {lanes} ? k : channels - {lanes}"
    at = "x + (((size_t)n * height + y) * width + z) * pixel + channel"
    pointers = [
        f"int y = oy - up + i / {a}, z = ox - left + i % {a};",
        f"from[i] = WITHIN(y, height) && WITHIN(z, width) ? {at} : zeros;",
    ]
    loads = (f"LOAD(from[{i * a} + j] + c)" for i in range(a))
    columns = _step(division, loads, _into("d", a, "j"))

    def keep(j: int, value: str) -> str:
        return f"{near}STORE(to + (i * {a} + {j}) * pitch, {value})"

    rows = _step(division, (f"d[i * {a} + {j}]" for j in range(a)), keep)
    return [
        f"int tile = {tile} < tiles ? {tile} : tiles - 1;",
        *_place(division.outputs, "tile"),
        f"const __global float *from[{count}];",
        *block(f"for (int i = 0; i < {count}; i++)", pointers),
        *block(
            f"for (int k = 0; k < channels; k += {lanes})",
            [
                f"int c = {'k' if whole else overlapped};",
                f"vec d[{count}];",
                f"{space} float *to = v + (size_t)t * channels + c;",
                *_loop("j", a, columns),
                *_loop("i", a, rows),
            ],
        ),
    ]


def _loop(name: str, count: int, body: Sequence[str]) -> list[str]:
    """A loop that stays one: written out, such steps take compilers seconds."""
    return [
        "#pragma unroll 1",
        *block(f"for (int {name} = 0; {name} < {count}; {name}++)", body),
    ]


def _step(division: Division, values: Iterable[str], put: Put) -> list[str]:
    """One direction of the transform of inputs."""
    names = [f"x{i}" for i in range(division.points)]
    matrix = in_floats(toom(division.outputs, division.taps).down)
    return [_declared(names, values), *rows_of(matrix, names, put)]


def _declared(names: Iterable[str], values: Iterable[str]) -> str:
    """Vectors with their values."""
    pairs = zip(names, values, strict=True)
    return f"vec {', '.join(f'{name} = {value}' for name, value in pairs)};"


class _Writer:
    """The source of one kind of tile and finish."""

    def __init__(
        self,
        division: Division,
        tile: Tile,
        finish: Finish,
        own: ConvShape,
        dialect: Dialect,
    ) -> None:
        self.division = division
        self.m, self.a, self.r = division.outputs, division.points, division.taps
        self.back, self.tile = in_floats(toom(self.m, self.r).up), tile
        self.finish, self.ragged = finish, tile.ragged(own.filters)
        self.whole = own.channels % tile.lanes == 0
        self.dialect = dialect
        self.near = "NEAR_" if division.span else ""
        self.space = "__local" if division.span else "__global"

    def numbers(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Those that kernels take, in their order."""
        return (*(sizes[name] for name in _SIZES), *size_values(self.finish))

    # Kernels ------------------------------------------------------------------------

    def together(self) -> tuple[str, str]:
        """One kernel for all steps."""
        arrays = ("x", "zeros", "u", "w", *self.finish.arrays)
        head = self._head(arrays, "out", ("v", "y"))
        spans = block("for (int t = 0; t < span; t++)", self._down("begin + t"))
        body = [
            "int begin = ITEM(0) * span;",
            *spans,
            *block("for (int p = 0; p < panels; p++)", self._panel()),
        ]
        return named("winograd", "\n".join(block(head, body)) + "\n")

    def down(self) -> tuple[str, str]:
        """The kernel that transforms inputs, a tile an item."""
        body = ["int t = ITEM(0);", *self._down("t")]
        text = block(self._head(("x", "zeros"), "v"), body)
        return named("winograd_down", "\n".join(text) + "\n")

    def up(self) -> tuple[str, str]:
        """The kernel that transforms products back, a tile an item."""
        body = [
            "int t = ITEM(0);",
            *_place(self.m, "t"),
            *block(
                "for (int p = 0; p < panels; p++)",
                [
                    f"int column = {self.tile.column('p', 'edge')};",
                    "int left_over = filters - column;",
                    "vec odd = SPLAT(0.0f);",
                    *self._outputs("y + (size_t)t * filters + column + j"),
                    *self._check(self._again()),
                ],
            ),
        ]
        arrays = ("x", "zeros", "w", *self.finish.arrays, "y")
        return named(
            "winograd_up", "\n".join(block(self._head(arrays, "out"), body)) + "\n"
        )

    def _head(self, arrays: Sequence[str], out: str, near: Sequence[str] = ()) -> str:
        types = self.finish.types if out == "out" else {}
        names = _SIZES + size_names(self.finish)
        own = arguments(arrays, names, out, types, near)
        return self.dialect.kernel.format(name="NAME", group="1, 1, 1", arguments=own)

    # Parts --------------------------------------------------------------------------

    def _down(self, tile: str) -> Sequence[str]:
        """The inputs of a tile transformed to place ``t`` of ``v``."""
        return _down(self.division, self.tile.lanes, self.whole, tile)

    def _panel(self) -> list[str]:
        """The outputs of a span of tiles for a panel of filters."""
        columns = self.tile.columns
        tiles = "for (int t = 0; t < span && begin + t < tiles; t++)"
        place = _place(self.m, "begin + t")
        return [
            f"int column = {self.tile.column('p', 'edge')};",
            "int left_over = filters - column;",
            "vec odd = SPLAT(0.0f);",
            *block(f"for (int f = 0; f < {self.a**2}; f++)", self._products()),
            *block(tiles, [*place, *self._outputs(f"y + t * {columns} + j")]),
            *self._check(block(tiles, [*place, *self._again()])),
        ]

    def _check(self, again: list[str]) -> list[str]:
        """Does it again where a number was not finite."""
        sum_ = " + ".join(f"odd.s{i:x}" for i in range(self.tile.lanes))
        return block(f"if ({sum_} != 0.0f)", again)

    def _products(self) -> list[str]:
        """Sums over channels of a frequency, kept in ``y``."""
        columns, count = self.tile.columns, self.a**2
        rows = [
            f"const __local float *a{i} = row + {i} * channels;"
            for i in range(self.tile.rows)
        ]

        def keep(i: int, j: int) -> list[str]:
            return [f"NEAR_STORE(to + {i * columns + j * self.tile.lanes}, c{i}_{j})"]

        body = [
            "const __global float *b =",
            f"    u + ((size_t)p * {count} + f) * channels * {columns};",
            *rows,
            *self.tile.sums(),
            *self._multiply(),
            *self.tile.each(keep),
            f"to += {self.tile.rows * columns};",
            f"row += {self.tile.rows} * channels;",
        ]
        return [
            "const __local float *row = v + f * pitch;",
            "__local float *to = y + f * step;",
            *block(f"for (int t = 0; t < span; t += {self.tile.rows})", body),
        ]

    def _multiply(self) -> list[str]:
        """Products, and lines of the next panel: each tile of rows asks for some."""
        rows, columns, lines = self.tile.rows, self.tile.columns, self.tile.lines
        each = -(-lines // (self.division.span // rows))
        first = f"t / {rows} % {lines // each} * {each * LINE}"
        asks = [f"AHEAD(soon + {LINE * line})" for line in range(each)]
        return [
            f"const __global float *soon = b + channels * {columns} + {first};",
            *self.tile.multiply("channels", asks=[*asks, f"soon += {columns};"]),
        ]

    def _outputs(self, sums: str) -> list[str]:
        """The sums of a tile transformed back, finished and written."""
        m, a = self.m, self.a
        names = [f"x{i}" for i in range(a)]
        lines = [f"const {self.space} float *s = {sums};", f"vec d[{m * a}];"]
        loads = (self._sum(f"s + ({i * a} + q) * step") for i in range(a))
        put = columns_of(self.back, names, _into("d", a, "q"))
        lines += _loop("q", a, [_declared(names, loads), *put])
        ups = (f"d[i * {a} + {j}]" for j in range(a))
        put = columns_of(self.back, names, self._output)
        within = block("if (oy + i < high)", [_declared(names, ups), *put])
        lines += _loop("i", m, within)
        return block(self._vectors(), lines)

    def _sum(self, address: str) -> str:
        """A vector of sums of a frequency; in global memory none is behind the last."""
        if self.ragged and not self.near:
            return read(address, "left_over - j")
        return f"{self.near}LOAD({address})"

    def _vectors(self) -> str:
        return f"for (int j = 0; j < {self.tile.columns}; j += {self.tile.lanes})"

    def _output(self, j: int, value: str) -> str:
        body = [f"vec r = {value};", "odd += r * 0.0f;", *self._written("i", str(j))]
        return "\n".join(block(f"if (ox + {j} < wide)", body))

    def _written(self, i: str, j: str) -> list[str]:
        """``r`` of output ``i``, ``j`` of a tile finished and written."""
        left = "left_over - j" if self.ragged else None
        row = f"(n * high + oy + {i}) * wide + ox + {j}"
        return [
            f"size_t at = (size_t)({row}) * every + first + column + j;",
            f"__global {out_type(self.finish)} *to =",
            f"    out + (size_t)({row}) * place + first + column + j;",
            *self.finish.statements("r", "at", row, "first + column + j", left),
            self.finish.write("to", "r", left),
        ]

    def _again(self) -> list[str]:
        """All outputs of a tile as convolution is written; NaN is no tap."""
        m, taps = self.m, self.r**2
        at = "x + (((size_t)n * height + y) * width + z) * pixel + channel"
        lanes = ", ".join(f"b[own[{i}]]" for i in range(self.tile.lanes))
        filters = [
            "int lane = column + j + i;",
            "lane = lane < filters ? lane : filters - 1;",
            f"own[i] = (size_t)lane * channels * {taps};",
        ]
        sums = [
            f"int y = oy + i - up + k / {self.r}, z = ox + o - left + k % {self.r};",
            "if (!WITHIN(y, height) || !WITHIN(z, width)) continue;",
            f"const __global float *from = {at}, *b = w + k;",
            f"for (int c = 0; c < channels; c++, b += {taps}) {{",
            f"  vec tap = (vec)({lanes});",
            "  r = tap == tap ? SPLAT(from[c]) * tap + r : r;",
            "}",
        ]
        output = [
            f"int i = q / {m}, o = q % {m};",
            "if (oy + i >= high || ox + o >= wide) continue;",
            "vec r = SPLAT(0.0f);",
            *block(f"for (int k = 0; k < {taps}; k++)", sums),
            *self._written("i", "o"),
        ]
        outputs = block(f"for (int q = 0; q < {m * m}; q++)", output)
        each = block(f"for (int i = 0; i < {self.tile.lanes}; i++)", filters)
        return block(
            self._vectors(), [f"size_t own[{self.tile.lanes}];", *each, *outputs]
        )


def _into(array: str, width: int, column: str) -> Put:
    """Keeps what a column of a tile is transformed to."""

    def put(row: int, value: str) -> str:
        return f"{array}[{row * width} + {column}] = {value};"

    return put
