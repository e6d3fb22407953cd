"""The register tile: some rows of one matrix by a panel of columns of another.

What is multiplied lies in memory as rows of ``a``, each with its own pointer, and as a
*panel* of ``b``: for each step of depth all columns of the tile, one after another. So
a step is one load for each vector of columns, a broadcast for each row, and
``rows * vectors`` multiply-adds that hang on nothing but their own sums. Six rows of
two vectors take 12 of 16 registers: 0.95 of the arithmetic peak (Goto and van de Geijn,
"Anatomy of high-performance matrix multiplication", 2008). Where there are 32, ten rows
take 20: the more rows, the less often a panel is read, which comes from a larger cache,
and into it at the same time comes the next one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.arena import empty
from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.kernels.sums import FLOATS, Sums
from graphwright.backends.codegen.kernels.text import block
from graphwright.backends.mapped import release_part
from graphwright.ir.record import record

Text: TypeAlias = Callable[["Tile"], Sequence[str]]
"""Statements that add to the sums of a tile."""
Form: TypeAlias = Callable[[str], Sequence[str]]
"""Statements for a vector of sums, from the column on that a text says."""

_ROWS, _VECTORS = 6, 2
"""What is fastest where there are enough rows and columns, and 16 registers."""
_HEIGHTS = {
    8: {6: 1.0, 5: 1.03, 4: 1.1},
    16: {10: 1.0, 9: 1.003, 8: 1.01, 7: 1.02, 6: 1.03, 5: 1.06, 4: 1.1},
}
"""Rows of tiles of two vectors, and the time of an element, by lanes: vectors of 16
come with 32 registers."""


def heights(lanes: int) -> Mapping[int, float]:
    """Rows of tiles of two vectors, highest first, and the time of a row."""
    return _HEIGHTS[16 if lanes >= 16 else 8]


@record(frozen=True, slots=True)
class Tile:
    """So many rows, and so many vectors of columns.

    Attributes:
        rows: How many.
        vectors: How many.
        sums_of: What is added up.
        lanes: Columns of a vector.
        common: Columns that are in both of the last two vectors.
    """

    rows: int = _ROWS
    vectors: int = _VECTORS
    sums_of: Sums = FLOATS
    lanes: int = 8
    common: int = 0

    @property
    def columns(self) -> int:
        """Columns of a panel."""
        return self.vectors * self.lanes - self.common

    @property
    def lines(self) -> int:
        """Lines of cache in a row of a panel."""
        return -(-self.columns // self.sums_of.line)

    @property
    def starts(self) -> list[int]:
        """Where vectors begin."""
        *others, last = (self.lanes * j for j in range(self.vectors))
        return [*others, last - self.common]

    def split(self, rows: int) -> tuple[int, int]:
        """How many tiles so many rows make, and how many of these are not shorter.

        Shorter ones, by a row, come last: so that none computes what is not there, if
        there are rows enough.
        """
        tiles = -(-rows // self.rows)
        longs = rows - tiles * (self.rows - 1)
        return tiles, longs if self._shorter is not None and longs >= 0 else tiles

    def computed_rows(self, rows: int) -> int:
        """So many rows, and those that are computed but not there."""
        tiles, longs = self.split(rows)
        return tiles * (self.rows - 1) + longs

    def time_of_rows(self, rows: int) -> float:
        """Time of a column, in that of so many rows of the fastest tile."""
        each = _WIDE.get((self.rows, self.vectors)) or heights(self.lanes)[self.rows]
        return each * self.computed_rows(rows)

    def row(self, tile: str) -> str:
        """The first row of a tile; of the one behind the last, how many there are."""
        return f"{tile} * {self.rows - 1} + ({tile} < longs ? {tile} : longs)"

    def place(self, tile: str, rows: str = "rows") -> list[str]:
        """The first row ``r`` of a tile, and the ``count`` of its rows."""
        return [
            f"int r = {self.row(tile)};",
            f"int count = {tile} < longs ? {self.rows} : {self.rows - 1};",
            f"if (count > {rows} - r) count = {rows} - r;",
        ]

    @property
    def _shorter(self) -> "Tile | None":
        """A tile with one row less that is about as fast, if there is one."""
        return replace(self, rows=self.rows - 1) if self.rows >= _ROWS else None

    def computed(self, text: Text, form: Form, long: bool = False) -> list[str]:
        """The sums of ``count`` rows of a tile by a ``panel``, and what follows.

        Args:
            text: What adds to the ``sums`` of a tile.
            form: Statements for each vector ``sum`` of row ``i``, from a column on.
            long: Whether these are many. Then they are written once: of several, a
                compiler moves the numbers that all need ahead, where no registers hold
                them.
        """
        added = [
            f"const {self.sums_of.space} {self.sums_of.panel} *b = panel;",
            *self.sums(),
            *self.by_height(text),
        ]
        if not long:
            return [*added, *self._stored(form)]

        def keep(i: int, j: int) -> list[str]:
            return [f"c[{i * self.vectors + j}] = c{i}_{j};"]

        end = f"{self.columns - self.lanes}"
        column = f"q % {self.vectors} * {self.lanes}"
        where = [
            f"int i = q / {self.vectors}, j = {column};",
            f"j = j < {end} ? j : {end};",
        ]
        return [
            f"{self.vector} c[{self.rows * self.vectors}];",
            *added,
            *self.each(keep),
            *block(
                f"for (uint q = 0; q < (uint)count * {self.vectors}; q++)",
                [*where, f"{self.vector} sum = c[q];", *form("j")],
            ),
        ]

    def _stored(self, form: Form) -> list[str]:
        """All rows from registers; but for the last tile, as many as there are."""

        def stored(i: int, j: int) -> list[str]:
            own = f"{self.vector} sum = c{i}_{j};"
            return block("", [own, *form(str(self.starts[j]))])

        lines: list[str] = []
        for i in range(self.rows):
            row = [f"const int i = {i};"]
            row += (x for j in range(self.vectors) for x in stored(i, j))
            lines += block(f"if ({i} < count)", row)
        return lines

    def by_height(self, text: Text) -> list[str]:
        """Statements for a tile of ``count`` rows, or a shorter one, if that fits."""
        if self._shorter is None:
            return [*text(self)]
        short = block(f"if (count < {self.rows})", text(self._shorter))
        return [*short, *block("else", text(self))]

    @property
    def vector(self) -> str:
        """The type of a vector of sums."""
        return self.sums_of.vector

    def ragged(self, columns: int) -> bool:
        """Whether a matrix of so many columns has less than a panel."""
        return columns < self.columns

    def within(self, columns: int) -> "Tile":
        """The same for a matrix of few columns, whole vectors if it has that many."""
        more = self.columns - columns
        return replace(self, common=more) if 0 < more < self.lanes <= columns else self

    def edge(self, columns: int) -> int:
        """Where the last panel of so many columns begins.

        It overlaps the one before it, so that all vectors are whole; what both compute
        is the same.
        """
        return max(columns - self.columns, 0)

    def column(self, panel: str, edge: str) -> str:
        """Where a panel begins."""
        first = f"(int)({panel}) * {self.columns}"
        return f"{first} < {edge} ? {first} : {edge}"

    def sums(self) -> list[str]:
        """Declarations of the sums, ``c0_0`` and so on, as they begin."""
        sums, own = self.sums_of, range(self.vectors)
        lines = list[str]()
        first = [sums.spread("0")] * self.vectors
        if sums.head:
            each = (f"f{j} = {sums.load}(b + {self.starts[j]})" for j in own)
            lines += [f"{sums.vector} {', '.join(each)};", f"b += {self.columns};"]
            first = [f"f{j}" for j in own]
        for i in range(self.rows):
            row = ", ".join(f"c{i}_{j} = {first[j]}" for j in own)
            lines.append(f"{sums.vector} {row};")
        return lines

    def multiply(
        self, depth: str, step: str = "", asks: Sequence[str] = (), at: str = "k"
    ) -> list[str]:
        """The loop over depth: rows at ``a0``, ``a1``, ...; ``b`` moves on.

        Rows of the panel lie ``step`` elements apart, if not one after another. Some
        statements may ask memory by the way for what will be needed soon. Step ``k`` of
        a row is its number ``at``.
        """
        sums, own = self.sums_of, range(self.vectors)
        row = ", ".join(f"b{j} = {sums.load}(b + {self.starts[j]})" for j in own)
        body = [f"{sums.vector} {row};", f"{sums.vector} s;"]
        for i in range(self.rows):
            steps = (sums.step(f"c{i}_{j}", "s", f"b{j}") for j in own)
            body.append(f"s = {sums.spread(f'a{i}[{at}]')}; {' '.join(steps)}")
        body += [*asks, f"b += {step or self.columns};"]
        return block(f"for (int k = 0; k < {depth}; k++)", body)

    def asks_once(self) -> Sequence[str]:
        """What a step of the only tile of rows asks for: see `BY_TURNS`.

        Nothing is computed twice by its panel: memory is all that is waited for. So a
        step asks for as many lines as it reads, each in a page of its own. Weights of
        64 MiB by one row came at 27 GB/s by turns, at 36 so (Intel Emerald Rapids).
        """
        lines, line = self.lines, self.sums_of.line
        if lines == 1:
            return BY_TURNS
        place = f"(k + {lines - 1} * (k & ~{_PAGE - 1})) * {line}"
        return [
            f"const __global {self.sums_of.panel} *far ="
            f" panel + {lines * _PAGE * line} + {place};",
            *(f"AHEAD(far + {i * _PAGE * line})" for i in range(lines)),
        ]

    def each(self, form: Callable[[int, int], Sequence[str]]) -> list[str]:
        """Statements for each sum, by row and vector."""
        pairs = ((i, j) for i in range(self.rows) for j in range(self.vectors))
        return [line for i, j in pairs for line in form(i, j)]


_WIDE = {(4, 3): 1.08, (12, 1): 1.1}
"""Rows and vectors of other tiles, and the time of an element: more is read."""
_RAGGED = 1.2
"""The same, where columns are less than a panel's."""


_FAR = 1 << 12
"""Floats that memory is asked for ahead, at most: a whole panel ahead, those of large
ones are gone again when they are read. AlexNet took 14.7 ms so, not 10.4."""


_PAGE = 64
"""Lines of cache of a page of memory."""
_PARTS = 3
"""Parts of the cache, of which a panel and the next one take at most two."""
ASKED = ("ask", "turn", "pace", "apart")
"""Names of the numbers of `asked`."""


def asked(
    panel: int, columns: int, passes: int, machine: Cpu, far: int = 0
) -> dict[str, int]:
    """What is asked of memory while a panel is multiplied, which is read by the way.

    If several tiles of rows pass the panel, it is the next panel, spread over all of
    them: else memory would be waited for by the first, and idle during the others.

    Args:
        panel: Its elements.
        columns: Those of a row.
        passes: Tiles of rows.
        machine: The device.
        far: From one panel to the next, if not its elements.

    Returns:
        How far behind the panel that begins, how much later in each further pass, how
        much later in each second row, and how much in the next one.
    """
    if passes == 1 or 4 * panel > machine.cache // _PARTS:
        return by_rows(min(panel, _FAR), columns)
    step = -(-columns // passes)
    turn = panel // columns * step
    return dict(zip(ASKED, (far or panel, turn, step, turn // 2), strict=True))


def by_rows(ahead: int, step: int) -> dict[str, int]:
    """The same where each row asks for one that lies so far behind it."""
    return dict(zip(ASKED, (ahead, 0, 2 * step, step), strict=True))


IN_ONE_PLACE = ("AHEAD(soon)", "soon += pace / 2;")
"""What a step asks for where registers for addresses are few."""
BY_TURNS = ("AHEAD(soon)", "moved = soon + pace; soon = then; then = moved;")
"""What a step asks for, in two places by turns: see `soon`."""


def soon(word: str) -> list[str]:
    """Where the pass of tile ``t`` begins to ask of memory: in two places, by turns.

    A processor asks ahead on its own within pages of memory that are read, for two of
    them more than for one: weights of 200 MiB came at 28 GB/s so, not 24 (Intel Emerald
    Rapids). Four places are 32 GB/s, but more registers.
    """
    return [
        f"const __global {word} *soon = next + (t - first) * turn, "
        "*then = soon + apart, *moved;"
    ]


def next_panel(word: str, again: str = "0") -> list[str]:
    """Where what is asked of memory during panel ``p`` begins, by `asked`.

    After the last one it is the panel ``again``, if there is one. Else it may be what
    another kernel will read.
    """
    return [
        f"const __global {word} *next = panel + ask, *again = {again};",
        f"if (p + 1 == end && turn > 0) next = again ? again : AFTER({word}, next);",
    ]


def tall(rows: int, lanes: int, sums: Sums = FLOATS) -> Tile:
    """The tile of two vectors of columns that is fastest for so many rows."""
    high = (rows for rows in heights(lanes) if rows >= _ROWS)
    tiles = (Tile(each, _VECTORS, sums, lanes) for each in high)
    return min(tiles, key=lambda tile: tile.time_of_rows(rows))


def fitting(
    rows: int, columns: int, lanes: int, sums: Sums = FLOATS, in_order: bool = True
) -> Tile:
    """The tile that is fastest, also by rows and columns more than there are.

    What does not lie in order needs two registers for its places, of the 16 that x86-64
    has for addresses: twelve rows of ShuffleNet that asked for memory in two places
    took 130 us with 8 lanes, six rows in one place 76; with 16 lanes 44 and 38.
    """

    def time(tile: Tile) -> float:
        wide = -(-columns // tile.columns) * tile.vectors * lanes
        ragged = _RAGGED if tile.ragged(columns) else 1
        return tile.time_of_rows(rows) * wide * ragged

    shapes = (shape for shape in _WIDE if in_order or shape[0] <= _ROWS)
    tiles = tall(rows, lanes, sums), *(Tile(*shape, sums, lanes) for shape in shapes)
    return min((tile.within(columns) for tile in tiles), key=time)


def panel_starts(n: int, columns: int) -> list[int]:
    """Where panels of ``n`` columns begin: the last one ends with them."""
    return [max(0, min(start, n - columns)) for start in range(0, n, columns)]


def packed(
    matrices: NDArray[Any],
    columns: int,
    dtype: "np.dtype[Any]" = FLOATS.dtype,
    axes: int = 1,
) -> NDArray[Any]:
    """Panels ``[..., panels, depth, columns]`` of matrices ``[..., depth, n]``.

    The last one ends with its matrix; a single one may be filled up with zeros. The
    depth may have several axes.
    """
    *lead, n = matrices.shape
    starts = panel_starts(n, columns)
    outer, depth = lead[:-axes], lead[-axes:]
    found = empty((*outer, len(starts), *depth, columns), dtype)
    if n < columns:
        found[..., n:] = 0
    for start, into in zip(starts, np.moveaxis(found, len(outer), 0), strict=True):
        cut = matrices[..., start:][..., :columns]
        into[..., : cut.shape[-1]] = cut
        release_part(cut)
    return found
