"""Attention as text: softmax over blocks of keys, while they pass.

A *panel* of 16 queries is turned, so that a vector has neighbouring queries: then the
products with keys are tiles whose rows are keys as they lie, and maxima and sums over
keys have no step across lanes. The weights of a block stay in cache, are multiplied by
its values, as they lie, too, and added to what was there, made less by as much as the
greatest score has grown (Milakov and Gimelshein, "Online normalizer calculation for
softmax", 2018; Dao et al., "FlashAttention", 2022). A work-item has some panels of a
head: each block of keys and values is read from memory once for all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import Dialect
from graphwright.backends.codegen.kernels.launch import Launch, Library, Local
from graphwright.backends.codegen.kernels.scores import Scores
from graphwright.backends.codegen.kernels.shape import pieces
from graphwright.backends.codegen.kernels.sums import NEAR
from graphwright.backends.codegen.kernels.text import (
    WIDTH,
    arguments,
    block,
    named,
    number,
)
from graphwright.backends.codegen.kernels.tile import Tile

QUERIES = 2 * WIDTH
"""Queries of a panel."""
_PANELS = 4
"""Panels of a work-item."""
_KEYS = 128
"""Keys of a block."""
_UNITS = 4
"""Work-items for each core, before there are several panels in one."""
_FAR = 1 << 29
"""More keys than there are."""

SIZES = (
    *("heads", "share", "rows", "columns", "depth", "width"),
    *("panels", "own", "span", "below", "above"),
    *(f"{x}_{step}" for x in "qkvo" for step in ("start", "image", "head", "row")),
    "k_step",
)
"""``share`` heads of queries have one of keys; a work-item computes ``own`` panels; a
block has ``span`` keys. Keys from ``row + below`` to ``row + above`` count for a query.
The others are elements from one to the next of each operand and the result."""


@dataclass(frozen=True, slots=True)
class Strides:
    """Where the elements ``[image, head, row, column]`` of an array are.

    Attributes:
        start: Elements before the first one.
        steps: Elements from one to the next in each direction.
    """

    start: int
    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AttendShape:
    """Sizes of attention.

    Attributes:
        images, heads, groups: Images; heads of queries; heads of keys and values.
        rows, columns: Queries and keys.
        depth, width: Sizes of a key and of a value.
        below, above: Keys from ``row + below`` to ``row + above`` count for a query,
            None for all.
        strides: Of queries, keys, values and the result.
    """

    images: int
    heads: int
    groups: int
    rows: int
    columns: int
    depth: int
    width: int
    below: int | None
    above: int | None
    strides: tuple[Strides, Strides, Strides, Strides]


def attend(
    shape: AttendShape, scale: float, scores: Scores, machine: Cpu, dialect: Dialect
) -> Library:
    """Attention of ``q``, ``k`` and ``v`` to ``out``, as one launch.

    Args:
        shape: Its sizes.
        scale: Factor of products.
        scores: What is done to them.
        machine: The device.
        dialect: Its language.
    """
    own, span = _own(shape, machine), pieces(shape.columns, _KEYS)
    near = Local(_near(shape, span, own))
    numbers = (*sizes_of(shape, span, own), *scores.sizes)
    arrays = ("q", "k", "v", *scores.arrays, "out")
    items = -(-shape.rows // (QUERIES * own)), shape.images * shape.heads
    writer = _Writer(scale, scores, shape.strides[1].steps[3] == 1, dialect)
    return Library((Launch(*writer.kernel(), (*arrays, near, *numbers), items),))


def _wide(width: int) -> int:
    """Columns that a row of sums has room for."""
    return -(-width // QUERIES) * QUERIES


def _near(shape: AttendShape, span: int, own: int) -> int:
    """Floats of local memory: weights, and for each panel queries, sums, and so on."""
    each = shape.depth + _wide(shape.width) + 2
    return QUERIES * (span + 1 + own * each)


def _own(shape: AttendShape, machine: Cpu) -> int:
    """Panels of a work-item."""
    panels, every = -(-shape.rows // QUERIES), shape.images * shape.heads
    most = panels * every // (_UNITS * machine.cores)
    return pieces(panels, max(1, min(_PANELS, most)))


def sizes_of(shape: AttendShape, span: int, own: int) -> tuple[int, ...]:
    """The numbers that a kernel takes, as `SIZES` says."""
    found = {
        "heads": shape.heads,
        "share": shape.heads // shape.groups,
        "rows": shape.rows,
        "columns": shape.columns,
        "depth": shape.depth,
        "width": shape.width,
        "panels": -(-shape.rows // QUERIES),
        "own": own,
        "span": span,
        "below": -_FAR if shape.below is None else shape.below,
        "above": _FAR if shape.above is None else shape.above,
        "k_step": shape.strides[1].steps[3],
    }
    for letter, strides in zip("qkvo", shape.strides, strict=True):
        found[f"{letter}_start"] = strides.start
        names = (f"{letter}_{step}" for step in ("image", "head", "row"))
        found |= zip(names, strides.steps, strict=False)
    return tuple(found[name] for name in SIZES)


def head_of(scores: Scores, dialect: Dialect, group: int) -> str:
    """The head of a kernel of groups of so many work-items."""
    more = [f"n{i}" for i in range(len(scores.sizes))]
    types = dict(zip(scores.arrays, scores.words, strict=True))
    own = arguments(("q", "k", "v", *scores.arrays), (), "out", types)
    numbers = [f"int {name}" for name in (*SIZES, *more)]
    every = ", ".join([own, "__local float *restrict near", *numbers])
    return dialect.kernel.format(name="NAME", group=f"{group}, 1, 1", arguments=every)


@dataclass(frozen=True, slots=True)
class _Writer:
    """The kernel's source.

    Attributes:
        scale: Factor of products.
        scores: What is done to them.
        even: Whether the elements of a key lie side by side.
        dialect: The language.
    """

    scale: float
    scores: Scores
    even: bool
    dialect: Dialect

    def kernel(self) -> tuple[str, str]:
        """Its name and text."""
        head = head_of(self.scores, self.dialect, 1)
        panels = "for (int p = begin; p < end; p++)"
        passing = [
            "int until = from + span < columns ? from + span : columns;",
            *block(panels, [*_PANEL, *self._block()]),
        ]
        body = [
            *_PLACES,
            *block(panels, [*_PANEL, *self._begun()]),
            *block("for (int from = 0; from < columns; from += span)", passing),
            *block(panels, [*_PANEL, *_ended()]),
        ]
        return named("attend", "\n".join(block(head, body)) + "\n")

    def _begun(self) -> list[str]:
        """Queries turned, sums of nothing."""
        scale = f"SPLAT({number(self.scale)})"
        puts = [f"NEAR_STORE(to + {QUERIES * i}, b{i} * {scale})" for i in range(WIDTH)]
        rows = [f"vec a{i} = LOAD(from + (size_t){i} * q_row);" for i in range(WIDTH)]
        turn = [
            f"int d = e < depth - {WIDTH} ? e : depth - {WIDTH};",
            "const __global float *from = queries + (size_t)(row + j) * q_row + d;",
            f"__local float *to = turned + d * {QUERIES} + j;",
            *rows,
            *_turned(),
            *puts,
        ]
        halves = block(f"for (int j = 0; j < {QUERIES}; j += {WIDTH})", turn)
        zeros = f"for (int i = 0; i < (wide + 1) * {QUERIES}; i += {WIDTH})"
        return [
            *block(f"for (int e = 0; e < depth; e += {WIDTH})", halves),
            *block(zeros, ["NEAR_STORE(sums + i, SPLAT(0.0f))"]),
            *(f"NEAR_STORE(high + {j}, SPLAT(-INFINITY))" for j in (0, WIDTH)),
        ]

    def _block(self) -> list[str]:
        """A panel of queries and a block of keys."""
        return [
            "int low = from > row + below ? from : row + below;",
            f"int last = row + {QUERIES - 1} + above;",
            "int many = (until <= last ? until : last + 1) - low;",
            "if (many <= 0) continue;",
            *self._products(),
            *(line for j in (0, WIDTH) for line in block("", self._weights(j))),
            *_added(),
        ]

    def _products(self) -> list[str]:
        """Scores of all keys of a block, and the greatest of each query."""
        at = "k" if self.even else "k * k_step"

        def sums(tile: Tile) -> list[str]:
            rows = (
                f"const __global float *a{i} = keys + (size_t)(low + "
                f"(r + {i} < many ? r + {i} : many - 1)) * k_row;"
                for i in range(tile.rows)
            )
            return [*rows, *tile.multiply("depth", at=at)]

        def store(j: str) -> list[str]:
            top = f"top[{j} / {WIDTH}]"
            return [
                *self.scores.scored("sum", f"row + {j}", "low + r + i"),
                f"NEAR_STORE(powers + (r + i) * {QUERIES} + {j}, sum)",
                f"{top} = sum > {top} ? sum : {top};",
            ]

        tile = Tile(sums_of=NEAR)
        body = [
            *tile.place("t", "many"),
            *tile.products(sums),
            *tile.stores(store, self.scores.is_long),
        ]
        least = tile.rows - 1
        return [
            f"vec top[2] = {{NEAR_LOAD(high), NEAR_LOAD(high + {WIDTH})}};",
            "const __local float *panel = turned;",
            f"int tiles = (many + {least}) / {tile.rows};",
            f"int longs = many - tiles * {least};",
            "if (longs < 0) longs = tiles;",
            *block("for (int t = 0; t < tiles; t++)", body),
        ]

    def _weights(self, j: int) -> list[str]:
        """Weights of all keys of a block, their sums, and by what older ones fade."""
        step = [
            f"__local float *at = powers + t * {QUERIES} + {j};",
            "vec x = NEAR_LOAD(at) - base;",
            *self.scores.weighed("x"),
            "total = total + x;",
            "NEAR_STORE(at, x)",
        ]
        return [
            f"vec best = top[{j // WIDTH}];",
            "vec base = best == SPLAT(-INFINITY) ? SPLAT(0.0f) : best;",
            f"vec x = NEAR_LOAD(high + {j}) - base;",
            *self.scores.weighed("x"),
            f"NEAR_STORE(fade + {j}, x)",
            f"NEAR_STORE(high + {j}, best)",
            f"vec total = NEAR_LOAD(totals + {j}) * x;",
            *block("for (int t = 0; t < many; t++)", step),
            f"NEAR_STORE(totals + {j}, total)",
        ]


_PLACES = (
    "int image = ITEM(1) / heads, head = ITEM(1) % heads, shared = head / share;",
    *(
        f"{kind} *{name} = {letter} + {short}_start + (size_t)image * {short}_image + "
        f"(size_t){which} * {short}_head;"
        for kind, name, letter, short, which in (
            ("const __global float", "queries", "q", "q", "head"),
            ("const __global float", "keys", "k", "k", "shared"),
            ("const __global float", "values", "v", "v", "shared"),
            ("__global float", "results", "out", "o", "head"),
        )
    ),
    "int begin = ITEM(0) * own, end = begin + own < panels ? begin + own : panels;",
    f"int wide = (width + {QUERIES - 1}) / {QUERIES} * {QUERIES};",
    f"int edge = width - {QUERIES}, each = (depth + wide + 2) * {QUERIES};",
    f"__local float *powers = near, *fade = near + span * {QUERIES};",
    f"__local float *state = fade + {QUERIES};",
)
"""What does not change in a work-item."""
_PANEL = (
    f"int row = p * {QUERIES} < rows - {QUERIES} ? p * {QUERIES} : rows - {QUERIES};",
    "__local float *turned = state + (p - begin) * each;",
    f"__local float *sums = turned + depth * {QUERIES};",
    f"__local float *totals = sums + wide * {QUERIES}, *high = totals + {QUERIES};",
)
"""Where a panel's numbers are; the last panel ends with the queries."""


def _added() -> list[str]:
    """Values by the weights of a block, added to what there was."""

    def sums(tile: Tile) -> list[str]:
        rows = (
            f"const __local float *a{i} = powers + r + {i};" for i in range(tile.rows)
        )
        return [*rows, *tile.multiply("many", step="v_row", at=f"k * {QUERIES}")]

    def store(j: str) -> list[str]:
        return [
            f"__local float *at = sums + (r + i) * wide + e + {j};",
            "NEAR_STORE(at, NEAR_LOAD(at) * SPLAT(fade[r + i]) + sum)",
        ]

    tile = Tile()
    tiles, longs = tile.split(QUERIES)
    rows = [
        *tile.place("t", str(QUERIES)),
        *tile.products(sums),
        *tile.stores(store, long=False),
    ]
    panel = "values + (size_t)low * v_row + (e < edge ? e : edge)"
    columns = [
        f"const __global float *panel = {panel};",
        f"const int longs = {longs};",
        *block(f"for (int t = 0; t < {tiles}; t++)", rows),
    ]
    return block(f"for (int e = 0; e < wide; e += {QUERIES})", columns)


def _ended() -> list[str]:
    """Sums over weights' sums, stored; zeros where there was no key to attend."""
    store = [
        "__global float *to = results + (size_t)(row + i) * o_row;",
        "float over = totals[i] == 0.0f ? 1.0f : 1.0f / totals[i];",
    ]
    vectors = [
        f"STORE(to + (e < edge ? e : edge) + {j}, "
        f"NEAR_LOAD(sums + i * wide + e + {j}) * SPLAT(over))"
        for j in (0, WIDTH)
    ]
    columns = block(f"for (int e = 0; e < wide; e += {QUERIES})", vectors)
    return block(f"for (int i = 0; i < {QUERIES}; i++)", [*store, *columns])


def _turned() -> Sequence[str]:
    """Vectors ``b0`` to ``b7`` of the rows ``a0`` to ``a7``, turned."""
    lines = list[str]()

    def mixed(to: str, x: str, y: str, lanes: str) -> None:
        """The lanes of ``x``, and the same ones of ``y`` behind each pair of them."""
        lines.append(f"vec {to} = (vec)({_lanes(x, y, lanes)});")

    for i in range(0, WIDTH, 2):
        mixed(f"t{i}", f"a{i}", f"a{i + 1}", "0 0 1 1 4 4 5 5")
        mixed(f"t{i + 1}", f"a{i}", f"a{i + 1}", "2 2 3 3 6 6 7 7")
    for i in (0, 4):
        for low in (0, 1):
            x, y = f"t{i + low}", f"t{i + 2 + low}"
            mixed(f"u{i + 2 * low}", x, y, "01 01 45 45")
            mixed(f"u{i + 2 * low + 1}", x, y, "23 23 67 67")
    for i in range(4):
        mixed(f"b{i}", f"u{i}", f"u{i + 4}", "0123 0123")
        mixed(f"b{i + 4}", f"u{i}", f"u{i + 4}", "4567 4567")
    return lines


def _lanes(x: str, y: str, lanes: str) -> str:
    """Lanes of two vectors by turns, as scalars or shorter vectors."""
    turns = enumerate(lanes.split())
    return ", ".join(f"{(x, y)[i % 2]}.s{lane}" for i, lane in turns)
