"""Products of bytes by tiles: x86's AMX_INT8.

One instruction multiplies 16 rows of 64 unsigned bytes by 16 columns of signed ones and
adds to sums of int32, in 16 cycles: 8 times as many as two units by ``vpdpbusd``.
Panels are those of vectors: a tile of them is 16 rows of words, and sums begin with the
row before. Rows are copied to local memory first, signed ones made unsigned: see
`sums.Bytes`. Tiles that are slow for a while (see `amx_words.py`) are still faster.
"""

from dataclasses import replace
from functools import lru_cache, partial

from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import Dialect
from graphwright.backends.codegen.kernels.amx import (
    ALONE,
    CONFIG,
    CONFIGURED,
    HIGH,
    LANES,
    LATENCY,
    STORED,
    SUMS,
    cuts,
    high_of,
    panel_tile,
    room,
    tiles_of,
)
from graphwright.backends.codegen.kernels.finish import (
    Finish,
    out_type,
    size_names,
    size_values,
)
from graphwright.backends.codegen.kernels.gemm import GemmShape, panels_of, places
from graphwright.backends.codegen.kernels.launch import Launch, Library, Local
from graphwright.backends.codegen.kernels.sums import Bytes
from graphwright.backends.codegen.kernels.text import arguments, block, named
from graphwright.backends.codegen.kernels.tile import Tile

_COPIED = 0.15
"""Cycles to copy a word."""
_SIZES = (
    *("rows", "depth", "columns", "x_step", "out_step", "w_step", "pitch", "place"),
    *("panels", "panel_step", "edge", "tiles", "high", "block", "span", "pace"),
)
"""As of `gemm.py`, depths in words; rows of a tile, tiles and panels of a work-item,
lines that a step asks of memory ahead."""


def takes(shape: GemmShape, sums: Bytes, machine: Cpu) -> bool:
    """Whether tiles can multiply that, and are faster."""
    whole = shape.depth % LANES == 0 and min(shape.rows, shape.columns) >= LANES
    own = machine.amx and sums.fast and machine.lanes == LANES
    return own and whole and _fits(2, shape.depth, machine)


def _fits(tiles: int, depth: int, machine: Cpu) -> bool:
    return 4 * _near(tiles, depth) <= room(machine)


def _near(tiles: int, depth: int) -> int:
    """Words of local memory: of the rows of so many tiles, and of sums."""
    return CONFIG + 4 * SUMS + tiles * HIGH * depth


@lru_cache(1024)
def _share(shape: GemmShape, machine: Cpu) -> tuple[int, int]:
    """Tiles of rows and panels of a work-item."""
    tile = panel_tile(shape.columns)
    panels, pairs = -(-shape.columns // tile.columns), tiles_of(shape.rows) // 2
    shares = [
        (2 * own, span)
        for own in cuts(pairs)
        for span in cuts(panels)
        if _fits(2 * own, shape.depth, machine)
    ]
    return min(shares, key=lambda own: _cycles(shape, own[0], own[1], tile, machine))


def _cycles(shape: GemmShape, tiles: int, span: int, tile: Tile, machine: Cpu) -> float:
    """Of all cores, until the last one is done."""
    pairs, high = tiles // 2, high_of(shape.rows)
    steps, wide = shape.depth // LANES, span * tile.columns
    dots = steps * max(2 * tile.vectors * high, LATENCY)
    rows = tiles * high
    each = pairs * span * dots + rows * (_COPIED * shape.depth + STORED * wide)
    items = shape.batch * -(-shape.rows // rows) * -(-shape.columns // wide)
    return each * (-(-items // machine.cores) + ALONE)


def amx_bytes(
    shape: GemmShape, finish: Finish, machine: Cpu, dialect: Dialect, sums: Bytes
) -> Library:
    """A product of ``x`` by a constant to ``out``; see `gemm.gemm`."""
    tile, high = panel_tile(shape.columns), high_of(shape.rows)
    block_, span = _share(shape, machine)
    own, tiles = replace(tile, sums_of=sums), tiles_of(shape.rows)
    sizes = {
        **places(shape, own, lies=False),
        "tiles": tiles,
        "high": high,
        "block": block_,
        "span": span,
        "pace": -(-tile.vectors * LANES // (min(block_, tiles) // 2)),
    }
    near = Local(_near(block_, shape.depth))
    arrays = ("x", "w", *finish.arrays, "out")
    numbers = (*(sizes[name] for name in _SIZES), *size_values(finish))
    items = -(-tiles // block_), -(-sizes["panels"] // span), shape.batch
    source = _source(tile, finish, dialect, sums)
    launch = Launch(*source, (*arrays, near, *numbers), items)
    return Library((launch,), {"w": partial(panels_of, own)})


def _source(
    tile: Tile, finish: Finish, dialect: Dialect, sums: Bytes
) -> tuple[str, str]:
    """The kernel's name and text."""
    types = {"x": "int", "w": "int", **finish.types}
    arrays, numbers = ("x", "w", *finish.arrays), (*_SIZES, *size_names(finish))
    own = arguments(arrays, numbers, "out", types, ("near",))
    head = dialect.kernel.format(name="NAME", group="1, 1, 1", arguments=own)
    panels = [
        f"const int column = {tile.column('p', 'edge')};",
        "const __global int *panel = w + z * w_step + p * panel_step;",
        "const __global int *soon = panel + panel_step;",
        "if (p + 1 == end) soon = AFTER(int, soon);",
        *block("for (int t = 0; t < pairs; t++)", _pair(tile, finish)),
    ]
    body = [
        "const size_t z = ITEM(2), base = z * out_step;",
        "const __global int *mine = x + z * x_step;",
        f"__global {out_type(finish)} *results = out + base;",
        "const int first = ITEM(0) * block;",
        "const int last = first + block < tiles ? first + block : tiles;",
        "const size_t from = ITEM(1) * span;",
        "const size_t end = from + span < panels ? from + span : panels;",
        *CONFIGURED,
        f"const int steps = depth / {LANES};",
        f"__local int *c = (__local int *)near + {CONFIG}, *left = c + {4 * SUMS};",
        *_rows_copied(sums),
        *block("for (size_t p = from; p < end; p++)", panels),
        "TILES_DONE",
    ]
    return named("amx_bytes", "\n".join(block(head, body)) + "\n")


def _rows_copied(sums: Bytes) -> list[str]:
    """All rows as tiles, their bytes unsigned."""
    each = [
        "const __global int *row = mine + (size_t)(low + tile * high + i) * pitch;",
        f"__local int *to = left + tile * steps * {SUMS} + i * {LANES};",
        f"for (int k = 0; k < depth; k += {LANES}, to += {SUMS})",
        f"  *(__local ivec *)to = {sums.spread('WORDS(row + k)')};",
    ]
    rows = "for (int i = 0; i < high && tile * high + i < own_rows; i++)"
    return block("for (int tile = 0; tile < last - first; tile++)", block(rows, each))


def _pair(tile: Tile, finish: Finish) -> list[str]:
    """A pair of tiles of rows by a panel."""
    own = [(i, j, i * tile.vectors + j) for i in range(2) for j in range(tile.vectors)]
    begin = (f"TILE_LOAD({n}, panel + {tile.starts[j]}, 0)" for _, j, n in own)
    right = (f"TILE_LOAD({6 + j}, b + {s}, row)" for j, s in enumerate(tile.starts))
    dots = (f"TILE_DOT_BYTES({n}, {4 + i}, {6 + j})" for i, j, n in own)
    steps = [
        f"TILE_LOAD(4, a, 64) TILE_LOAD(5, a + steps * {SUMS}, 64)",
        *right,
        *dots,
        f"for (int q = 0; q < pace; q++, soon += {LANES}) AHEAD(soon)",
    ]
    move = f"s++, a += {SUMS}, b += {LANES * tile.columns}"
    gap = f"{tile.vectors * HIGH} - high"
    stores = [
        "const int r = low + 2 * t * high + i;",
        f"const __local int *sums = c + (i < high ? i : i + {gap}) * {LANES};",
    ]
    for j, start in enumerate(tile.starts):
        column, row = f"column + {start}", "(int)z * rows + r"
        lines = [
            f"ivec sum = *(const __local ivec *)(sums + {j * SUMS});",
            f"size_t at = base + (size_t)r * columns + {column};",
            *finish.statements("sum", "at", row, column, None),
            finish.write(f"results + (size_t)r * place + {column}", "sum", None),
        ]
        stores += block("", lines)
    return [
        f"const __local int *a = left + 2 * t * steps * {SUMS};",
        f"const __global int *b = panel + {tile.columns};",
        f"const long row = {4 * tile.columns};",
        "int count = own_rows - 2 * t * high;",
        "if (count > 2 * high) count = 2 * high;",
        *begin,
        *block(f"for (int s = 0; s < steps; {move})", steps),
        *(f"TILE_STORE({n}, c + {n * SUMS}, 64)" for _, _, n in own),
        *block("for (int i = 0; i < count; i++)", stores),
    ]
