"""Strassen's product: seven products of halves for eight.

Both operands are cut into quarters. Sums of the left one's are made by a launch of its
own, those of the right one, a constant, are packed once. A work-item takes some rows
and a panel of columns of each upper: product by product it adds sums to the four
quarters of its results, which stay in its cache, so that nothing but these is read and
written more than by the product as written (Strassen, "Gaussian elimination is not
optimal", 1969; one level loses about two bits: Higham, "Accuracy and Stability of
Numerical Algorithms", 23.2.2).

Numbers that are not finite would spread to other quarters. A wrong result is not finite
itself, so then, and when sums overflow, results are computed as written.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.arena import empty
from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import Dialect
from graphwright.backends.codegen.kernels.finish import Finish, size_names, size_values
from graphwright.backends.codegen.kernels.gemm import GemmShape
from graphwright.backends.codegen.kernels.launch import Launch, Library, Local
from graphwright.backends.codegen.kernels.shape import pieces
from graphwright.backends.codegen.kernels.sums import FLOATS
from graphwright.backends.codegen.kernels.text import arguments, block, named
from graphwright.backends.codegen.kernels.tile import (
    ASKED,
    BY_TURNS,
    Tile,
    asked,
    soon,
    tall,
)

_PRODUCTS = 7
_SUMS = ("a + d", "c + d", "a + b", "c - a", "b - d")
"""Left operands by quarters ``a b`` over ``c d``; the last two are ``a`` and ``d``."""
_FIRST, _SECOND = 0x0103020, 0x2344133
"""The quarters of the result, a digit for each product from the right, to which it is
added: 4 is none. The third is subtracted from its first, the second from its second."""
_PIECE = 768
"""Most of a quarter's depth that is summed at once: rows and panels stay near."""
_ROWS, _DEPTH = 32, 640
"""Below them, what is added and moved costs about as much as is saved. On one core of
Zen 4 a product takes 0.92 to 0.95 of the time with 768 or more, 0.92 to 0.99 with 512,
1.00 to 1.07 with 256."""
_WEIGHTS = 1 << 20
"""Elements of weights below which they are multiplied as they are: the sums of rows are
for fewer columns, and both cores wait for 1.75 times the bytes. BERT-base took 109 ms,
with its products by 768x768 by Strassen 115, ViT-B/16 165 and 173."""
_LANES = 8
"""With wider vectors products are too fast for what is added and moved: on two cores
with registers of 512 bits 197 rows by 768x2304 had 301 GFLOP/s, as written 317."""

_SIZES = (
    *("rows", "depth", "columns", "upper", "inner", "across", "cuts", "piece"),
    *("panels", "edge", "tiles", "longs", "block", "span", "slab", *ASKED),
)
"""``upper`` of the rows, ``inner`` of the depth and ``across`` of the columns are a
quarter; ``cuts`` pieces make the inner depth. Results of a quarter lie ``slab`` floats
apart. A work-item computes ``block`` of ``tiles``, of which ``longs`` are whole, for
``span`` of ``panels``, of which the last begins at column ``edge``."""


def accepts(shape: GemmShape, lanes: int) -> bool:
    """Whether the algorithm can compute a product by vectors of so many lanes."""
    wide = shape.columns // 2 >= Tile(lanes=lanes).columns
    even = shape.depth % (2 * lanes) == 0 and shape.columns % 2 == 0
    return shape.batch == 1 and even and wide and shape.rows > 1


def pays(shape: GemmShape, lanes: int) -> bool:
    """Whether seven products take less time than eight."""
    deep = lanes <= _LANES and shape.depth >= _DEPTH and 4 * _piece(shape) >= _DEPTH
    large = shape.rows >= _ROWS and shape.depth * shape.columns >= _WEIGHTS
    return accepts(shape, lanes) and deep and large


def _piece(shape: GemmShape) -> int:
    """How much of a quarter's depth is summed at once: equal pieces."""
    inner = shape.depth // 2
    least = -(-inner // _PIECE)
    return inner // next(n for n in range(least, inner + 1) if inner % n == 0)


def strassen(
    shape: GemmShape, finish: Finish, machine: Cpu, dialect: Dialect
) -> Library:
    """A product of ``x`` by a constant to ``out``; see `gemm.gemm`."""
    tile = tall(-(-shape.rows // 2), machine.lanes)
    numbers = _sizes(shape, tile, machine)
    values = tuple(numbers[name] for name in _SIZES)
    near = Local(5 * numbers["slab"])
    arrays = ("x", "s", "u", *finish.arrays, "out")
    blocks = -(-numbers["tiles"] // numbers["block"])
    spans = -(-numbers["panels"] // numbers["span"])
    sizes, items = (*values, *size_values(finish)), (blocks, spans)
    launches = (
        Launch(*_summing(tile, dialect), ("x", "s", *values), (numbers["upper"],)),
        Launch(*_source(tile, finish, dialect), (*arrays, near, *sizes), items),
    )
    scratch = {"s": len(_SUMS) * numbers["upper"] * numbers["inner"]}
    constants = {"u": partial(quarters, shape, _piece(shape), tile.columns)}
    return Library(launches, constants, scratch=scratch)


def quarters(
    shape: GemmShape, piece: int, columns: int, weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Panels ``[panels, cuts, products, piece, columns]`` of right operands."""
    inner, across = shape.depth // 2, shape.columns // 2
    w = weights.reshape(2, inner, 2, across)
    panels = -(-across // columns)
    sizes = panels, inner // piece, _PRODUCTS, piece, columns
    found = empty(sizes, FLOATS.dtype)
    for p in range(panels):
        start = min(p * columns, across - columns)
        (a, b), (c, d) = np.moveaxis(w[..., start : start + columns], 2, 1)
        for f, part in enumerate((a + d, a, d, a + b, c + d, b - d, c - a)):
            found[p, :, f] = part.reshape(-1, piece, columns)
    return found


def _sizes(shape: GemmShape, tile: Tile, machine: Cpu) -> Mapping[str, int]:
    upper, inner, across = -(-shape.rows // 2), shape.depth // 2, shape.columns // 2
    panels = -(-across // tile.columns)
    piece = _piece(shape)
    most = max(tile.rows, machine.cache // (4 * _PRODUCTS * piece))
    own = pieces(upper, most, tile.rows)
    blocks = -(-upper // own)
    parts = machine.cores * machine.items
    tiles, longs = tile.split(upper)
    return {
        "rows": shape.rows,
        "depth": shape.depth,
        "columns": shape.columns,
        "upper": upper,
        "inner": inner,
        "across": across,
        "cuts": inner // piece,
        "piece": piece,
        "panels": panels,
        "edge": tile.edge(across),
        "tiles": tiles,
        "longs": longs,
        "block": own // tile.rows,
        "span": pieces(panels, max(1, panels * blocks // parts)),
        "slab": own * tile.columns,
        **asked(
            piece * tile.columns, tile.columns, min(tiles, own // tile.rows), machine
        ),
    }


def _summing(tile: Tile, dialect: Dialect) -> tuple[str, str]:
    """The kernel that adds quarters of the left operand, a row an item."""
    puts = [
        f"STORE(to + {i} * upper * inner, {value})" for i, value in enumerate(_SUMS)
    ]
    body = [
        "int r = ITEM(0), low = r + upper < rows ? r + upper : rows - 1;",
        "const __global float *up = x + (size_t)r * depth;",
        "const __global float *down = x + (size_t)low * depth;",
        *block(
            f"for (int k = 0; k < inner; k += {tile.lanes})",
            [
                "vec a = LOAD(up + k), b = LOAD(up + inner + k);",
                "vec c = LOAD(down + k), d = LOAD(down + inner + k);",
                "__global float *to = s + (size_t)r * inner + k;",
                *puts,
            ],
        ),
    ]
    head = dialect.kernel.format(
        name="NAME", group="1, 1, 1", arguments=arguments(("x",), _SIZES, "s")
    )
    return named("strassen_sums", "\n".join(block(head, body)) + "\n")


def _source(tile: Tile, finish: Finish, dialect: Dialect) -> tuple[str, str]:
    """The kernel of the products."""
    arrays, sizes = ("x", "s", "u", *finish.arrays), (*_SIZES, *size_names(finish))
    own = arguments(arrays, sizes, "out", finish.types, ("y",))
    head = dialect.kernel.format(name="NAME", group="1, 1, 1", arguments=own)
    panel = [
        f"int column = {tile.column('p', 'edge')};",
        f"for (int i = 0; i < 4 * slab; i += {tile.lanes})",
        "  NEAR_STORE(y + i, SPLAT(0.0f))",
        *block("for (int cut = 0; cut < cuts; cut++)", _products(tile)),
        *_check(tile),
        *_written(tile, finish),
    ]
    body = [
        "int first = ITEM(0) * block, p = ITEM(1) * span;",
        "int last = first + block < tiles ? first + block : tiles;",
        "int end = p + span < panels ? p + span : panels;",
        f"const int start = {tile.row('first')}, behind = {tile.row('last')};",
        "const int stop = behind < upper ? behind : upper;",
        *block("for (; p < end; p++)", panel),
    ]
    return named("strassen", "\n".join(block(head, body)) + "\n")


def _products(whole: Tile) -> list[str]:
    """Adds the products of a piece of the depth to the sums of a work-item."""
    columns = whole.columns

    def add(i: int, j: int) -> list[str]:
        at = i * columns + j * whole.lanes
        return [
            f"NEAR_STORE({to}, NEAR_LOAD({to}) + SPLAT({sign}) * c{i}_{j})"
            for to, sign in ((f"one + {at}", "sign"), (f"two + {at}", "other"))
        ]

    def products(tile: Tile) -> list[str]:
        rows = [
            f"const __global float *a{i} = "
            f"own + (size_t)(r + {i} < high ? r + {i} : high - 1) * pitch;"
            for i in range(tile.rows)
        ]
        start = "const __global float *b = panel;"
        multiply = tile.multiply("piece", asks=BY_TURNS)
        return [start, *soon("float"), *tile.sums(), *rows, *multiply, *tile.each(add)]

    tiles = [
        *whole.place("t", "upper"),
        f"__local float *one = y + (into * slab + (r - start) * {columns});",
        f"__local float *two = y + (also * slab + (r - start) * {columns});",
        *whole.by_height(products),
    ]
    return [
        *block(
            f"for (int f = 0; f < {_PRODUCTS}; f++)",
            [
                f"int into = {_FIRST:#x} >> 4 * f & 15;",
                f"int also = {_SECOND:#x} >> 4 * f & 15;",
                "float sign = f == 2 ? -1.0f : 1.0f, other = f == 1 ? -1.0f : 1.0f;",
                "int pitch = f < 5 ? inner : depth;",
                "int high = f < 6 ? upper : rows - upper;",
                "const __global float *own = (f < 5 ? s + (size_t)f * upper * inner",
                "    : f < 6 ? x : x + (size_t)upper * depth + inner) + cut * piece;",
                "const __global float *panel =",
                f"    u + (((size_t)p * cuts + cut) * {_PRODUCTS} + f) * piece"
                f" * {columns}, *next = panel + ask;",
                *block("for (int t = first; t < last; t++)", tiles),
            ],
        )
    ]


def _check(tile: Tile) -> list[str]:
    """Sums as they are written, where one is not finite."""
    columns = tile.columns
    at = f"(((size_t)p * cuts + c) * {_PRODUCTS} + {{}}) * piece * {columns}"
    step = [
        f"const __global float *own = u + {at.format('(1 + right)')} + j;",
        f"const __global float *mixed = u + {at.format('(6 - right)')} + j;",
        "for (int k = 0; k < piece; k++) {",
        f"  vec one = LOAD(own + k * {columns});",
        f"  vec two = LOAD(mixed + k * {columns}) + one;",
        "  sum += SPLAT(from[c * piece + k]) * (right ? two : one);",
        "  sum += SPLAT(from[inner + c * piece + k]) * (right ? one : two);",
        "}",
    ]
    again = [
        f"int quarter = i / slab, right = quarter % 2, j = i % {columns};",
        f"int row = start + i % slab / {columns} + quarter / 2 * upper;",
        "const __global float *from =",
        "    x + (size_t)(row < rows ? row : rows - 1) * depth;",
        "vec sum = SPLAT(0.0f);",
        *block("for (int c = 0; c < cuts; c++)", step),
        "NEAR_STORE(y + i, sum)",
    ]
    every = f"for (int i = 0; i < 4 * slab; i += {tile.lanes})"
    odd = " + ".join(f"odd.s{i:x}" for i in range(tile.lanes))
    return [
        "vec odd = SPLAT(0.0f), even = odd;",
        *block(
            f"for (int i = 0; i < 4 * slab; i += {columns})",
            [
                "odd += NEAR_LOAD(y + i) * 0.0f;",
                f"even += NEAR_LOAD(y + i + {tile.lanes}) * 0.0f;",
            ],
        ),
        "odd += even;",
        *block(f"if ({odd} != 0.0f)", block(every, again)),
    ]


def _written(tile: Tile, finish: Finish) -> list[str]:
    """Sums finished and written."""
    columns = tile.columns
    vector = [
        f"vec sum = NEAR_LOAD(y + quarter * slab + (r - start) * {columns} + j);",
        "size_t at = (size_t)line * columns + along + j;",
        *finish.statements("sum", "at", "line", "along + j", None),
        finish.write("out + at", "sum", None),
    ]
    body = [
        "int low = quarter / 2 * upper, along = column + quarter % 2 * across;",
        *block(
            "for (int r = start, line; r < stop && (line = r + low) < rows; r++)",
            block(f"for (int j = 0; j < {columns}; j += {tile.lanes})", vector),
        ),
    ]
    return block("for (int quarter = 0; quarter < 4; quarter++)", body)
