"""Matrix products: the register tile over panels of the right operand.

A constant right operand is packed once, a large one by a launch of its own; of a small
one panels are read where they lie. A work-item multiplies a block of rows, which stays
in its cache, by some panels.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from numpy.typing import NDArray

from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import Dialect
from graphwright.backends.codegen.kernels.finish import (
    Affine,
    Finish,
    size_names,
    size_values,
)
from graphwright.backends.codegen.kernels.launch import Argument, Launch, Library, Local
from graphwright.backends.codegen.kernels.shape import pieces
from graphwright.backends.codegen.kernels.sums import FLOATS, Sums
from graphwright.backends.codegen.kernels.text import (
    arguments,
    block,
    named,
    read,
)
from graphwright.backends.codegen.kernels.tile import (
    ASKED,
    BY_TURNS,
    Form,
    Tile,
    asked,
    by_rows,
    fitting,
    next_panel,
    packed,
    soon,
    tall,
)
from graphwright.ir.record import record

_LEAST = 1 << 18
"""Operations that are worth a work-item of their own."""
_DEPTH = 1024
"""Steps of depth that are multiplied at once, where few rows of all would stay near."""
_TURNS = 4
"""Work-items of a core, at least, that each take all of the depth by pieces."""
_NEAR = 1 << 16
"""Elements of a right operand that is read where it lies."""
_VECTORS = {1: 8, 2: 4, 3: 4, 4: 3}
"""Vectors of columns by rows, of tiles of few rows: as many sums as registers hold."""

_SIZES = (
    *("rows", "depth", "columns", "x_step", "out_step", "w_step"),
    *("panels", "panel_step", "row_step", "edge", "tiles", "longs", "block", "span"),
    *("piece", *ASKED),
)
"""``_step``: floats from matrix to matrix of a batch, from panel to panel, and from row
to row of a panel. The last one begins at column ``edge``. A work-item computes
``block`` of ``tiles``, of which ``longs`` are whole, for ``span`` panels, a ``piece``
of the depth after the other."""


@record(frozen=True, slots=True)
class GemmShape:
    """``[batch, rows, depth]`` by ``[batch, depth, columns]``.

    Attributes:
        batch: Products.
        rows: Of the left operand and the result.
        depth: What is summed over.
        columns: Of the right operand and the result.
        shared: Whether all products have one right operand.
        gap: Floats between the left operands, and between results.
        pitch: Floats from row to row of the left operand; 0 for ``depth``.
        place: The same of the result; 0 for ``columns``. `amx.py` alone has kernels for
            rows that lie apart.
        parts: Of how many bfloat16 numbers the operands' are sums: what `amx.py` asks.
    """

    batch: int
    rows: int
    depth: int
    columns: int
    shared: bool = False
    gap: int = 0
    pitch: int = 0
    place: int = 0
    parts: tuple[int, int] = (3, 3)

    @property
    def flops(self) -> int:
        """Operations."""
        return 2 * self.batch * self.rows * self.depth * self.columns

    @property
    def matrices(self) -> int:
        """Right operands."""
        return 1 if self.shared else self.batch


def gemm(
    shape: GemmShape,
    constant: bool,
    finish: Finish,
    machine: Cpu,
    dialect: Dialect,
    sums: Sums = FLOATS,
) -> Library:
    """A product of ``x`` and ``w`` to ``out``.

    Args:
        shape: Its sizes.
        constant: Whether the right operand is, ``[matrices, depth, columns]``.
        finish: What is done to sums.
        machine: The device.
        dialect: Its language.
        sums: What is added up; if not floats, the right operand is constant, and the
            depth is in words.
    """
    if shape.shared and shape.batch > 1:  # rows of all products are rows of one
        shape = GemmShape(1, shape.batch * shape.rows, shape.depth, shape.columns)
    few = _VECTORS.get(shape.rows)
    size = shape.rows, shape.columns
    if few:
        tile = Tile(shape.rows, few, sums, machine.lanes).within(shape.columns)
    else:
        tile = fitting(*size, machine.lanes, sums)
    lies = not constant and is_near(shape) and shape.columns >= tile.columns
    source = _source(shape, tile, finish, lies, dialect)
    sizes = _sizes(shape, tile, machine, lies)
    right = "w" if lies or constant else "panels_of_w"
    arrays = ("x", right, *finish.arrays, "out")
    launch = _launch(source, tile, arrays, shape, sizes, size_values(finish))
    if constant:
        return Library((launch,), {"w": partial(panels_of, tile)})
    if lies:
        return Library((launch,))
    pack = packing(shape, tile, sizes, dialect)
    scratch = {"panels_of_w": shape.matrices * sizes["panels"] * sizes["panel_step"]}
    return Library((pack, launch), scratch=scratch)


def is_near(shape: GemmShape) -> bool:
    """Whether a right operand is read where it lies."""
    return shape.depth * shape.columns <= _NEAR


def panels_of(tile: Tile, weights: NDArray[Any]) -> NDArray[Any]:
    """Panels of constant right operands; all of the depth is one tap."""
    rows = tile.sums_of.rows(weights[..., None, :, :])
    return packed(rows, tile.columns, tile.sums_of.dtype)


def multiplied(
    shape: GemmShape, machine: Cpu, dialect: Dialect, x: str, w: str, out: str
) -> Library:
    """Products by panels that are there already, of buffers under other names."""
    tile = tall(shape.rows, machine.lanes)
    kernel = _source(shape, tile, Affine(), False, dialect)
    sizes = _sizes(shape, tile, machine, lies=False)
    return Library((_launch(kernel, tile, (x, w, out), shape, sizes),))


def _launch(
    kernel: tuple[str, str],
    tile: Tile,
    arrays: Sequence[str],
    shape: GemmShape,
    sizes: Mapping[str, int],
    more: Sequence[int] = (),
) -> Launch:
    blocks = -(-sizes["tiles"] // sizes["block"])
    spans = -(-sizes["panels"] // sizes["span"])
    sums = sizes["block"] * tile.rows * sizes["span"] * tile.columns
    near = Local(sums if sizes["piece"] < shape.depth else tile.lanes)
    numbers = (sizes[s] for s in _SIZES)
    every: tuple[Argument, ...] = *arrays, near, *numbers, *more
    return Launch(*kernel, every, (blocks, spans, shape.batch))


def _cut(
    shape: GemmShape, tile: Tile, machine: Cpu, lies: bool
) -> tuple[int, int, int]:
    """Rows and panels of a work-item, and the depth of a piece."""
    panels, depth = -(-shape.columns // tile.columns), shape.depth
    most = max(tile.rows, machine.cache // (8 * depth))
    wanted = max(1, min(machine.cores * machine.items, shape.flops // _LEAST))
    parts = -(-wanted // shape.batch)
    if 4 * depth * shape.columns <= machine.cache // 2:  # it stays in caches, so that
        # each core goes on with rows that it wrote
        most = min(most, max(2 * tile.rows, -(-shape.rows // parts)))
    elif most < shape.rows and depth >= 2 * _DEPTH and not (lies or tile.sums_of.head):
        return _in_pieces(shape, tile, machine)
    own = pieces(shape.rows, most, tile.rows)
    blocks = -(-shape.rows // own)
    return own, pieces(panels, max(1, panels * blocks // parts)), max(1, depth)


def _in_pieces(shape: GemmShape, tile: Tile, machine: Cpu) -> tuple[int, int, int]:
    """The same, where few rows of the whole depth would stay in cache.

    Of a piece many do, and the sums of some panels: so the right operand is read less
    often.
    """
    panels = -(-shape.columns // tile.columns)
    depth = pieces(shape.depth, _DEPTH)
    own = pieces(shape.rows, machine.cache // (8 * depth), tile.rows)
    blocks = shape.batch * -(-shape.rows // own)
    near = machine.cache // (16 * own * tile.columns)
    most = min(near, panels * blocks // (_TURNS * machine.cores))
    return own, pieces(panels, max(1, most)), depth


def _sizes(shape: GemmShape, tile: Tile, machine: Cpu, lies: bool) -> Mapping[str, int]:
    own, span, piece = _cut(shape, tile, machine, lies)
    tiles, longs = tile.split(shape.rows)
    height = own // tile.rows
    return {
        **places(shape, tile, lies),
        "tiles": tiles,
        "longs": longs,
        "block": height,
        "span": span,
        "piece": piece,
        **_asked(shape, tile, machine, piece, min(tiles, height), lies),
    }


def places(shape: GemmShape, tile: Tile, lies: bool) -> dict[str, int]:
    """Sizes, and where what lies: of a right operand as it is, or as panels."""
    panels = -(-shape.columns // tile.columns)
    panel = (shape.depth + tile.sums_of.head) * tile.columns
    return {
        "rows": shape.rows,
        "depth": shape.depth,
        "columns": shape.columns,
        "x_step": shape.rows * shape.depth + shape.gap,
        "out_step": shape.rows * shape.columns + shape.gap,
        "w_step": shape.depth * shape.columns if lies else panels * panel,
        "panels": panels,
        "panel_step": tile.columns if lies else panel,
        "row_step": shape.columns if lies else tile.columns,
        "edge": tile.edge(shape.columns),
        "pitch": shape.pitch or shape.depth,
        "place": shape.place or shape.columns,
    }


def _asked(
    shape: GemmShape, tile: Tile, machine: Cpu, piece: int, passes: int, lies: bool
) -> Mapping[str, int]:
    columns, head = tile.columns, tile.sums_of.head
    if lies:  # the next panel lies beside this one
        return by_rows(columns, shape.columns)
    whole = (shape.depth + head) * columns
    return asked((piece + head) * columns, columns, passes, machine, whole)


def _source(
    shape: GemmShape, tile: Tile, finish: Finish, lies: bool, dialect: Dialect
) -> tuple[str, str]:
    """The kernel's name and text."""
    word, held = tile.sums_of.word, tile.sums_of.panel
    ragged = tile.ragged(shape.columns)
    asks = BY_TURNS if lies or shape.rows > tile.rows else tile.asks_once()
    types = {"x": word, "w": held} | dict(finish.types)
    arrays, numbers = ("x", "w", *finish.arrays), (*_SIZES, *size_names(finish))
    own = arguments(arrays, numbers, "out", types, ("near",))
    head = dialect.kernel.format(name="NAME", group="1, 1, 1", arguments=own)

    def sums(tile: Tile) -> list[str]:
        rows = [
            f"const __global {word} *a{i} = "
            f"own + (size_t)(r + {i} < rows ? r + {i} : rows - 1) * depth + k0;"
            for i in range(tile.rows)
        ]
        multiply = tile.multiply("deep", step="row_step", asks=asks)
        return [*rows, *soon(held), *multiply]

    again = "panel - (p - from) * panel_step + piece * row_step"
    store = _stores(tile, finish, ragged)
    tiles = [*tile.place("t"), *tile.computed(sums, store, finish.is_long)]
    panels = [
        f"int column = {tile.column('p', 'edge')};",
        "int left = columns - column;",
        f"const __global {held} *panel =",
        "    w + z * w_step + (row_step == columns ? (size_t)column : p * panel_step)",
        "    + (size_t)k0 * row_step;",
        *next_panel(held, f"more ? {again} : 0"),
        *block("for (int t = first; t < last; t++)", tiles),
    ]
    parts = [
        "int deep = depth - k0, more = deep > piece;",
        "if (more) deep = piece;",
        *block("for (size_t p = from; p < end; p++)", panels),
    ]
    body = [
        "size_t z = ITEM(2), base = z * out_step;",
        f"const __global {word} *own = x + z * x_step;",
        "int first = ITEM(0) * block;",
        "int last = first + block < tiles ? first + block : tiles;",
        f"int top = {tile.row('first')};",
        "size_t from = ITEM(1) * span;",
        "size_t end = from + span < panels ? from + span : panels;",
        *block("for (int k0 = 0; k0 == 0 || k0 < depth; k0 += piece)", parts),
    ]
    return named("gemm", "\n".join(block(head, body)) + "\n")


def _stores(tile: Tile, finish: Finish, ragged: bool) -> Form:
    """Writes sums, of all of the depth or of less."""

    def store(j: str) -> list[str]:
        left, row = f"left - {j}" if ragged else None, "(int)z * rows + r + i"
        whole = [
            f"size_t at = base + (size_t)(r + i) * columns + column + {j};",
            *finish.statements("sum", "at", row, f"column + {j}", left),
            finish.write("out + at", "sum", left),
        ]
        if tile.sums_of.head:
            return whole
        place = f"(p - from) * {tile.rows} * block + r - top + i"
        return [
            f"__local float *to = near + ({place}) * {tile.columns} + {j};",
            "if (k0 > 0) sum += NEAR_LOAD(to);",
            *block("if (more)", ["NEAR_STORE(to, sum)"]),
            *block("else", whole),
        ]

    return store


def packing(
    shape: GemmShape, tile: Tile, sizes: Mapping[str, int], dialect: Dialect
) -> Launch:
    """Copies matrices to panels, the last ones filled up with zeros."""
    names = ("depth", "columns", "panels", "edge", "rows")
    head = dialect.kernel.format(
        name="NAME", group="1, 1, 1", arguments=arguments(("w",), names, "to")
    )
    ragged = tile.ragged(shape.columns)
    starts = tile.starts
    lefts = [f"columns - {start}" if ragged else None for start in starts]
    each = [
        f"vec v{j} = {read(f'from + {start}', left)};"
        for j, (start, left) in enumerate(zip(starts, lefts, strict=True))
    ]
    puts = [f"STORE(b + {start}, v{j})" for j, start in enumerate(starts)]
    width = tile.columns
    row = [
        f"int column = {tile.column('p', 'edge')};",
        "const __global float *from = w + (z * depth + k) * columns + column;",
        f"__global float *b = to + ((z * panels + p) * depth + k) * {width};",
        *each,
        *puts,
    ]
    body = [
        "size_t z = ITEM(1), k = ITEM(0) * rows;",
        "size_t end = k + rows < depth ? k + rows : depth;",
        *block("for (; k < end; k++)", block("for (int p = 0; p < panels; p++)", row)),
    ]
    name, text = named("pack", "\n".join(block(head, body)) + "\n")
    rows = pieces(shape.depth, max(8, (1 << 16) // shape.columns))
    numbers = (shape.depth, shape.columns, sizes["panels"], sizes["edge"], rows)
    items = (-(-shape.depth // rows), shape.matrices)
    return Launch(name, text, ("w", "panels_of_w", *numbers), items)
