"""Products of float32 by a processor's tiles of bfloat16 numbers: x86's AMX.

One instruction multiplies 16 rows of 32 numbers by 16 columns of such and adds to sums
of float32, in 16 cycles, in which vectors multiply 512 of these 8,192 pairs (Intel,
"Architecture Instruction Set Extensions", AMX_BF16). A float32 number is the sum of
three of bfloat16, exactly: the first 8 bits, the next 8, the last 8. Of nine products
of such parts six are all that 24 bits need: what is left out is under 2**-21 of the
whole (Henry, Tang and Heinecke, "Leveraging the bfloat16 artificial intelligence
datatype for higher-precision computations", 2019). So sums are as exact as those of
float32, in 6 / 16 of their time.

Parts are made in local memory: of rows for all columns of a work-item, of a panel for
all its rows, while the one before is multiplied: then vectors have little else to do.
Numbers below 2**-110 lose their last parts, as these are below what bfloat16 has. What
is not finite would spread to other sums, which then are not finite either: such sums
are computed again, as they are written.

A number that comes of bfloat16 is one part, one of float16 two, by which products are
one or four. So these are exact, too.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import TypeAlias

from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.kernels.text import block
from graphwright.backends.codegen.kernels.tile import Form, Tile
from graphwright.ir.dtype import DType, bfloat16, float16
from graphwright.ir.record import record
from graphwright.passes.casts import lossless

HIGH, DEEP, LANES = 16, 32, 16
"""Rows of a tile at most, its depth, and columns: as many as a vector has lanes."""
SUMS, PART = HIGH * LANES, HIGH * DEEP // 2
"""Floats in the memory of a tile of sums, and of one of parts."""
CONFIG = 16
"""Floats in that of what says how large tiles are."""
Parts: TypeAlias = tuple[int, int]
"""Of how many bfloat16 numbers the left operand's are sums, and the right one's."""
WHOLE: Parts = 3, 3
"""Those of float32."""
_ORDER = ((0, 2), (0, 1), (1, 1), (1, 0), (2, 0), (0, 0))
"""Parts of rows and of columns whose products are added, small ones first."""
LATENCY = 56
"""Cycles until a sum can be added to again: in which others are."""
_SURE = 4
"""Products of parts for which tiles take less time than vectors even if slow."""
_READ, _SPLIT, STORED = 0.1, 0.13, 0.5
"""Cycles to read a number, to make a part of it, and to store a sum."""
ALONE = 0.25
"""Share of the time of a work-item in which other cores are idle at the end."""
_NEAR, _SHARE = 3 << 19, 3 / 4
"""Bytes of local memory, at most, and the share of the cache: of 2 MiB, where there are
tiles."""
_PRODUCTS, _GAIN = 37, 0.92
"""Products of floats that vectors do in such a cycle; to which part of their time tiles
must come."""

SIZES = ("high", "block", "span", "piece", "kept")
"""Rows of a tile; tiles and panels of a work-item; depth at once; whether sums wait
between pieces of it."""


@record(frozen=True, slots=True)
class Share:
    """What a work-item multiplies.

    Attributes:
        high: Rows of a tile.
        tiles: Of rows, an even number.
        panels: Of columns.
        steps: Of depth, at once.
        vectors: Of a panel.
        depth: All of it.
        parts: Of numbers.
    """

    high: int
    tiles: int
    panels: int
    steps: int
    vectors: int
    depth: int
    parts: Parts

    @property
    def kept(self) -> bool:
        """Whether sums wait between pieces of the depth."""
        return self.steps * DEEP < self.depth

    @property
    def near(self) -> int:
        """Floats of local memory."""
        pairs = self.tiles // 2 * (self.panels if self.kept else 1)
        sums = 2 * pairs * self.vectors * SUMS
        left, right = self.parts
        tiles = left * self.tiles + right * 2 * self.vectors
        return CONFIG + sums + tiles * self.steps * PART

    @property
    def sizes(self) -> dict[str, int]:
        """The numbers that a kernel takes, by name."""
        return {
            "high": self.high,
            "block": self.tiles,
            "span": self.panels,
            "piece": self.steps * DEEP,
            "kept": int(self.kept),
        }


def room(machine: Cpu) -> float:
    """Bytes of local memory, at most."""
    return min(_NEAR, _SHARE * machine.cache)


def tiles_of(rows: int) -> int:
    """Tiles of so many rows: pairs of them."""
    return 2 * -(-rows // (2 * HIGH))


def high_of(rows: int) -> int:
    """Rows of each, so that few are computed that are not there."""
    return -(-rows // tiles_of(rows))


def panel_tile(columns: int) -> Tile:
    """A panel: two vectors of columns, or one where there are no more."""
    return Tile(HIGH, 2 if columns > LANES else 1, lanes=LANES).within(columns)


@lru_cache(1024)
def share_of(
    rows: int, depth: int, columns: int, times: int, parts: Parts, machine: Cpu
) -> Share | None:
    """How a product is cut; None where vectors are about as fast.

    Args:
        rows: Of the left operand.
        depth: What is summed over.
        columns: Of the right operand.
        times: Products of these sizes.
        parts: Of their numbers.
        machine: The device.
    """
    if not machine.amx or machine.strict or min(rows, columns, depth) < HIGH:
        return None
    size = rows, depth, columns
    shares = _shares(*size, parts, room(machine))
    found = ((_cycles(s, *size, times, machine), s) for s in shares)
    sums = times * rows * columns / machine.cores
    vectors = sums * (depth / _PRODUCTS + STORED / 2)
    cycles, best = min(found, key=lambda pair: pair[0], default=(vectors, None))
    return best if cycles < _GAIN * vectors else None


def parts_of(left: DType, right: DType) -> Parts:
    """Of how many bfloat16 numbers those of two dtypes are the sums."""
    return _parts(left), _parts(right)


def _parts(dtype: DType) -> int:
    wide = (bfloat16, 1), (float16, 2)
    return next((count for other, count in wide if lossless(dtype, other)), 3)


def products(parts: Parts) -> list[Parts]:
    """The products of parts that are added, small ones first."""
    left, right = parts
    return [(i, j) for i, j in _ORDER if i < left and j < right]


def _shares(
    rows: int, depth: int, columns: int, parts: Parts, most: float
) -> Iterator[Share]:
    tile = panel_tile(columns)
    panels, pairs = -(-columns // tile.columns), tiles_of(rows) // 2
    high = high_of(rows)
    for tiles in (2 * own for own in cuts(pairs)):
        for span in cuts(panels):
            for steps in cuts(-(-depth // DEEP)):
                share = Share(high, tiles, span, steps, tile.vectors, depth, parts)
                if 4 * share.near <= most:
                    yield share
                    break


def cuts(count: int) -> list[int]:
    """Sizes of about equal pieces, from all at once to one by one."""
    found, pieces = [count], 2
    while found[-1] > 1:
        found.append(-(-count // pieces))
        pieces += max(1, pieces // 2)
    return found


def _cycles(
    share: Share, rows: int, depth: int, columns: int, times: int, machine: Cpu
) -> float:
    """Of all cores, until the last one is done."""
    high, wide = share.tiles * share.high, share.panels * share.vectors * LANES
    steps, deep = -(-depth // DEEP), share.steps * DEEP
    left, right = (_READ + _SPLIT * count for count in share.parts)
    dots = steps * max(2 * share.vectors * share.high, LATENCY)
    each = (
        share.tiles // 2 * share.panels * dots * len(products(share.parts))
        + depth * (left * high + right * wide)
        + STORED * -(-depth // deep) * high * wide
    )
    items = times * -(-rows // high) * -(-columns // wide)
    return each * (-(-items // machine.cores) + ALONE)


# Text -------------------------------------------------------------------------------

CONFIGURED = (
    "const int low = first * high, pairs = (last - first) / 2;",
    "const int own_rows = (last * high < rows ? last * high : rows) - low;",
    "__local uchar *sizes = (__local uchar *)near;",
    "for (int i = 0; i < 64; i++) sizes[i] = i == 0;",
    "for (int i = 0; i < 8; i++)",
    f"  sizes[16 + 2 * i] = 64, sizes[48 + i] = i < 6 ? high : {HIGH};",
    "TILES(sizes)",
)
"""Which rows a work-item has, and how large tiles are: 0 to 3 of sums, 4 and 5 of rows,
6 and 7 of columns."""

Place: TypeAlias = Callable[[str], str]
"""An address, by the number of a row or a panel."""


def items(
    tile: Tile, row: Place, panel: Place, form: Form, parts: Parts = WHOLE
) -> list[str]:
    """What a work-item does: rows ``first`` to ``last`` by panels ``from`` to ``end``.

    Where tiles are slow, all sums of whole numbers are computed by vectors.

    Args:
        tile: The panel's.
        row: Where a row is.
        panel: Where a panel is; its rows lie ``row_step`` floats apart.
        form: Statements for each vector ``sum`` of row ``r``, from a column on.
        parts: Of numbers.
    """
    each = [
        f"const int column = {tile.column('p', 'edge')};",
        f"const __global {tile.sums_of.panel} *panel = {panel('p')};",
        *_soon(panel),
        *block("for (int t = 0; t < pairs; t++)", _pair(tile, row, form, parts)),
        "now = next; next = right; right = now;",
    ]
    pieces = [
        "int deep = depth - k0, more = deep > own_piece;",
        "if (more) deep = own_piece;",
        *block("if (fast)", _rows_split(row, parts[0])),
        *block("for (size_t p = from; p < end; p++)", each),
    ]
    asked = "tiles_are_fast(near)" if len(products(parts)) > _SURE else "1"
    return [
        *CONFIGURED,
        f"const int fast = {asked}, own_piece = fast ? piece : depth;",
        *_begun(tile, panel, parts),
        *block("for (int k0 = 0; k0 < depth; k0 += own_piece)", pieces),
        "TILES_DONE",
    ]


def _begun(tile: Tile, panel: Place, parts: Parts) -> list[str]:
    """Where what lies, and the parts of the first panel."""
    left, right = (count * PART for count in parts)
    wide = f"{tile.vectors * right} * steps"
    return [
        f"const int steps = piece / {DEEP}, each = ({HIGH} + pairs - 1) / pairs;",
        f"__local float *now = near + {CONFIG}, *right = now + {wide};",
        f"__local float *next = now, *left = right + {wide};",
        f"__local float *sums = left + block * steps * {left}, *to = next;",
        f"const __global {tile.sums_of.panel} *soon = {panel('from')};",
        "int e = 0, soon_deep = !fast ? 0 : depth < piece ? depth : piece;",
        *_panel_split(tile, "soon_deep", parts[1]),
        "now = next; next = right; right = now;",
    ]


def _soon(panel: Place) -> list[str]:
    """Which panel is split meanwhile: what is multiplied next."""
    rest = "depth - k0 - piece"
    return [
        f"soon = {panel('(p + 1)')} + (size_t)k0 * row_step;",
        "soon_deep = fast ? deep : 0;",
        *block(
            "if (p + 1 == end)",
            [
                f"soon = {panel('from')} + (size_t)(k0 + piece) * row_step;",
                f"soon_deep = more ? {rest} < piece ? {rest} : piece : 0;",
            ],
        ),
        "e = 0; to = next;",
    ]


def _rows_split(row: Place, parts: int) -> list[str]:
    """Makes the parts of all rows, of a piece of the depth."""
    size = parts * PART
    each = [
        f"const __global float *x_row = {row('(low + tile * high + i)')} + k0;",
        f"__local float *to = left + tile * steps * {size} + i * {LANES};",
        "int k = 0;",
        *block(
            f"for (; k + {DEEP} <= deep; k += {DEEP}, to += {size})",
            [
                f"vec u = LOAD(x_row + k), v = LOAD(x_row + k + {LANES});",
                f"SPLIT({parts}, to, u, v)",
            ],
        ),
        f"if (k < deep) split_part(x_row + k, deep - k, to, {parts});",
    ]
    rows = "for (int i = 0; i < high && tile * high + i < own_rows; i++)"
    return block("for (int tile = 0; tile < last - first; tile++)", block(rows, each))


def _panel_split(tile: Tile, count: str, parts: int) -> list[str]:
    """Makes the parts of so many rows of the next panel, and of those 16 below."""
    lines, size, load = list[str](), parts * PART, tile.sums_of.load
    for j, start in enumerate(tile.starts):
        upper, lower = f"soon + {start}", f"soon + {HIGH} * row_step + {start}"
        lines += block(
            "",
            [
                "vec u = SPLAT(0), v = SPLAT(0);",
                f"if (e < soon_deep) u = {load}({upper});",
                f"if (e + {HIGH} < soon_deep) v = {load}({lower});",
                f"AHEAD({upper} + ahead) AHEAD({lower} + ahead)",
                f"SPLIT({parts}, to + {j * size}, u, v)",
            ],
        )
    lines += [
        f"soon += row_step; to += {LANES}; e++;",
        *block(
            f"if ((e & {HIGH - 1}) == 0)",
            [
                f"e += {HIGH}; soon += {HIGH} * row_step;",
                f"to += {tile.vectors * size - PART};",
            ],
        ),
    ]
    return block(f"for (int n = {count}; n > 0 && e < soon_deep; n--)", lines)


def _pair(tile: Tile, row: Place, form: Form, parts: Parts) -> list[str]:
    """A pair of tiles of rows by a panel, and the parts of some of the next panel."""
    left, right = (count * PART for count in parts)
    size, own = 2 * tile.vectors * SUMS, range(2 * tile.vectors)
    place = [f"c + {n * SUMS}, 64" for n in own]
    zeros = " ".join(f"TILE_ZERO({n})" for n in own)
    loads = " ".join(f"TILE_LOAD({n}, {place[n]})" for n in own)
    move = f"k += {DEEP}, a += {left}, b += {tile.vectors * right}"
    fast = [
        f"const __local float *a = left + 2 * t * steps * {left}, *b = right;",
        f"if (k0 == 0) {{ {zeros} }} else {{ {loads} }}",
        *block(
            f"for (int k = 0; k < deep; {move})",
            [*_dots(tile, parts), *_panel_split(tile, "each", parts[1])],
        ),
        *(f"TILE_STORE({n}, {place[n]})" for n in own),
    ]
    return [
        f"__local float *c = sums + (kept ? (int)(p - from) * pairs + t : 0) * {size};",
        "int count = own_rows - 2 * t * high;",
        "if (count > 2 * high) count = 2 * high;",
        *block("if (fast)", fast),
        *block("if (!more)", _stored(tile, row, form)),
    ]


def _stored(tile: Tile, row: Place, form: Form) -> list[str]:
    """What is done to the sums of a pair of tiles."""
    rows = "for (int i = 0; i < count; i++)"
    own = f"const __local float *own = c + {_sum_row(tile, 'i')};"
    looks = [f"odd += NEAR_LOAD(own + {j * SUMS}) * 0;" for j in range(tile.vectors)]
    stores = [
        line
        for j, start in enumerate(tile.starts)
        for line in block(
            "", [f"vec sum = NEAR_LOAD(own + {j * SUMS});", *form(str(start))]
        )
    ]
    return [
        "vec odd = SPLAT(0);",
        *block("if (fast)", block(rows, [own, *looks])),
        *block("if (!fast || has_nan(odd))", _by_vectors(tile, row)),
        *block(rows, ["const int r = low + 2 * t * high + i;", own, *stores]),
    ]


def _sum_row(tile: Tile, number: str) -> str:
    """Where a row of a pair's sums is."""
    below = f"{number} + {tile.vectors * HIGH} - high"
    return f"({number} < high ? {number} : {below}) * {LANES}"


def _by_vectors(tile: Tile, row: Place) -> list[str]:
    """The sums of a pair, of all of the depth."""
    vectors = replace(tile, rows=HIGH // 2)
    lines = [f"const __global {tile.sums_of.panel} *b = panel;", *vectors.sums()]
    for i in range(vectors.rows):
        number = f"(low + 2 * t * high + (s + {i} < count ? s + {i} : count - 1))"
        lines.append(f"const __global float *a{i} = {row(number)};")
    asks = [f"AHEAD(b + ahead + {start})" for start in tile.starts]
    lines += vectors.multiply("depth", step="row_step", asks=asks)
    for i in range(vectors.rows):
        to = f"__local float *to = c + {_sum_row(tile, f'(s + {i})')};"
        puts = (f"NEAR_STORE(to + {j * SUMS}, c{i}_{j})" for j in range(tile.vectors))
        lines += block(f"if (s + {i} < count)", [to, *puts])
    return block(f"for (int s = 0; s < count; s += {vectors.rows})", lines)


def _dots(tile: Tile, parts: Parts) -> list[str]:
    """A step of depth: products of parts, each read when it changes."""
    lines, held = list[str](), (-1, -1)
    left, right = (count * PART for count in parts)
    sides = ("a", 4, 2, f"steps * {left}"), ("b", 6, tile.vectors, f"{right}")
    for pair in products(parts):
        own = list[str]()
        for side, now, before in zip(sides, pair, held, strict=True):
            base, first, count, step = side
            for i in range(count if now != before else 0):
                at = f"{base} + {i} * {step} + {now * PART}"
                own.append(f"TILE_LOAD({first + i}, {at}, 64)")
        held = pair
        own += (
            f"TILE_DOT({i * tile.vectors + j}, {4 + i}, {6 + j})"
            for i in range(2)
            for j in range(tile.vectors)
        )
        lines.append(" ".join(own))
    return lines
