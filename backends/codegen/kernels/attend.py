"""Attention as text: softmax over blocks of keys, while they pass.

A *panel* of queries is turned, so that a vector has neighbouring queries: then the
products with keys are tiles whose rows are keys as they lie, and maxima and sums over
keys have no step across lanes. The weights of a block stay in cache, are multiplied by
its values, as they lie, too, and added to what was there, made less by as much as the
greatest score has grown (Milakov and Gimelshein, "Online normalizer calculation for
softmax", 2018; Dao et al., "FlashAttention", 2022). A work-item has some panels of a
head: each block of keys and values is read from memory once for all of them.
"""

from collections.abc import Sequence
from dataclasses import replace

from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import Dialect
from graphwright.backends.codegen.kernels.launch import Launch, Library, Local
from graphwright.backends.codegen.kernels.scores import Scores
from graphwright.backends.codegen.kernels.shape import pieces
from graphwright.backends.codegen.kernels.sums import NEAR
from graphwright.backends.codegen.kernels.text import (
    arguments,
    block,
    named,
    number,
)
from graphwright.backends.codegen.kernels.tile import Tile
from graphwright.ir.record import record

_VECTORS = 2
"""Vectors of queries of a panel, and of columns of values, if there are as many."""
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


@record(frozen=True, slots=True)
class Strides:
    """Where the elements ``[image, head, row, column]`` of an array are.

    Attributes:
        start: Elements before the first one.
        steps: Elements from one to the next in each direction.
    """

    start: int
    steps: tuple[int, ...]


@record(frozen=True, slots=True)
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
    queries = _fitting(shape.rows, machine.lanes)
    values = _fitting(shape.width, machine.lanes)
    own = _own(shape, queries.columns, machine)
    span = pieces(shape.columns, _KEYS)
    near = Local(_near(shape, queries, values, span, own))
    panels = -(-shape.rows // queries.columns)
    numbers = (*sizes_of(shape, panels, span, own), *scores.sizes)
    arrays = ("q", "k", "v", *scores.arrays, "out")
    items = -(-panels // own), shape.images * shape.heads
    even = shape.strides[1].steps[3] == 1
    writer = _Writer(scale, scores, even, dialect, queries, values)
    return Library((Launch(*writer.kernel(), (*arrays, near, *numbers), items),))


def _fitting(columns: int, lanes: int) -> Tile:
    """A tile that is no wider than so many columns."""
    return Tile(vectors=min(_VECTORS, columns // lanes), lanes=lanes)


def _near(shape: AttendShape, queries: Tile, values: Tile, span: int, own: int) -> int:
    """Floats of local memory: weights, and for each panel queries, sums, and so on."""
    wide = -(-shape.width // values.columns) * values.columns
    return queries.columns * (span + 1 + own * (shape.depth + wide + 2))


def _own(shape: AttendShape, queries: int, machine: Cpu) -> int:
    """Panels of a work-item."""
    panels, every = -(-shape.rows // queries), shape.images * shape.heads
    most = panels * every // (_UNITS * machine.cores)
    return pieces(panels, max(1, min(_PANELS, most)))


def sizes_of(shape: AttendShape, panels: int, span: int, own: int) -> tuple[int, ...]:
    """The numbers that a kernel takes, as `SIZES` says."""
    found = {
        "heads": shape.heads,
        "share": shape.heads // shape.groups,
        "rows": shape.rows,
        "columns": shape.columns,
        "depth": shape.depth,
        "width": shape.width,
        "panels": panels,
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
    arrays, sizes = ("q", "k", "v", *scores.arrays), (*SIZES, *more)
    own = arguments(arrays, sizes, "out", types, ("near",))
    return dialect.kernel.format(name="NAME", group=f"{group}, 1, 1", arguments=own)


@record(frozen=True, slots=True)
class _Writer:
    """The kernel's source.

    Attributes:
        scale: Factor of products.
        scores: What is done to them.
        even: Whether the elements of a key lie side by side.
        dialect: The language.
        queries: The tile of keys by a panel of queries.
        values: The tile of queries by columns of values.
    """

    scale: float
    scores: Scores
    even: bool
    dialect: Dialect
    queries: Tile
    values: Tile

    def kernel(self) -> tuple[str, str]:
        """Its name and text."""
        head = head_of(self.scores, self.dialect, 1)
        panels, panel = "for (int p = begin; p < end; p++)", self._panel()
        passing = [
            "int until = from + span < columns ? from + span : columns;",
            *block(panels, [*panel, *self._block()]),
        ]
        body = [
            *self._places(),
            *block(panels, [*panel, *self._begun()]),
            *block("for (int from = 0; from < columns; from += span)", passing),
            *block(panels, [*panel, *self._ended()]),
        ]
        return named("attend", "\n".join(block(head, body)) + "\n")

    @property
    def _lanes(self) -> int:
        return self.queries.lanes

    @property
    def _high(self) -> int:
        """Queries of a panel."""
        return self.queries.columns

    @property
    def _parts(self) -> range:
        """Where vectors of a panel's queries begin."""
        return range(0, self._high, self._lanes)

    def _places(self) -> list[str]:
        """What does not change in a work-item."""
        high, wide = self._high, self.values.columns
        return [
            *_PLACES,
            f"int wide = (width + {wide - 1}) / {wide} * {wide};",
            f"int edge = width - {wide}, each = (depth + wide + 2) * {high};",
            f"__local float *powers = near, *fade = near + span * {high};",
            f"__local float *state = fade + {high};",
        ]

    def _panel(self) -> list[str]:
        """Where a panel's numbers are; the last panel ends with the queries."""
        high = self._high
        return [
            f"int row = p * {high} < rows - {high} ? p * {high} : rows - {high};",
            "__local float *turned = state + (p - begin) * each;",
            f"__local float *sums = turned + depth * {high};",
            f"__local float *totals = sums + wide * {high}, *high = totals + {high};",
        ]

    def _begun(self) -> list[str]:
        """Queries turned, sums of nothing."""
        high, lanes, scale = self._high, self._lanes, number(self.scale)
        rows = [f"vec a{i} = LOAD(from + (size_t){i} * q_row);" for i in range(lanes)]
        puts = (f"NEAR_STORE(to + {high * i}, b{i} * scale)" for i in range(lanes))
        turn = [
            f"int d = e < depth - {lanes} ? e : depth - {lanes};",
            "const __global float *from = queries + (size_t)(row + j) * q_row + d;",
            f"__local float *to = turned + d * {high} + j;",
            *rows,
            *_turned(lanes),
            *puts,
        ]
        one = "queries[(size_t)(row + j) * q_row + d]"
        few = [
            *block(
                f"for (int j = 0; j < {high}; j++)",
                [f"turned[d * {high} + j] = {one} * {scale};"],
            )
        ]
        vectors = block(f"for (int j = 0; j < {high}; j += {lanes})", turn)
        zeros = f"for (int i = 0; i < (wide + 1) * {high}; i += {lanes})"
        return [
            f"vec scale = SPLAT({scale});",
            f"if (depth < {lanes})",
            *block("for (int d = 0; d < depth; d++)", few),
            *block(f"else for (int e = 0; e < depth; e += {lanes})", vectors),
            *block(zeros, ["NEAR_STORE(sums + i, SPLAT(0.0f))"]),
            *(f"NEAR_STORE(high + {j}, SPLAT(-INFINITY))" for j in self._parts),
        ]

    def _block(self) -> list[str]:
        """A panel of queries and a block of keys."""
        return [
            "int low = from > row + below ? from : row + below;",
            f"int last = row + {self._high - 1} + above;",
            "int many = (until <= last ? until : last + 1) - low;",
            "if (many <= 0) continue;",
            *self._products(),
            *(line for j in self._parts for line in block("", self._weights(j))),
            *self._added(),
        ]

    def _products(self) -> list[str]:
        """Scores of all keys of a block, and the greatest of each query."""
        high, lanes = self._high, self._lanes
        at = "k" if self.even else "k * k_step"

        def sums(tile: Tile) -> list[str]:
            rows = (
                f"const __global float *a{i} = keys + (size_t)(low + "
                f"(r + {i} < many ? r + {i} : many - 1)) * k_row;"
                for i in range(tile.rows)
            )
            return [*rows, *tile.multiply("depth", at=at)]

        def store(j: str) -> list[str]:
            top = f"top[{j} / {lanes}]"
            return [
                *self.scores.scored("sum", f"row + {j}", "low + r + i"),
                f"NEAR_STORE(powers + (r + i) * {high} + {j}, sum)",
                f"{top} = sum > {top} ? sum : {top};",
            ]

        tile = replace(self.queries, sums_of=NEAR)
        body = [
            *tile.place("t", "many"),
            *tile.computed(sums, store, self.scores.is_long),
        ]
        least = tile.rows - 1
        tops = ", ".join(f"NEAR_LOAD(high + {j})" for j in self._parts)
        return [
            f"vec top[{tile.vectors}] = {{{tops}}};",
            "const __local float *panel = turned;",
            f"int tiles = (many + {least}) / {tile.rows};",
            f"int longs = many - tiles * {least};",
            "if (longs < 0) longs = tiles;",
            *block("for (int t = 0; t < tiles; t++)", body),
        ]

    def _weights(self, j: int) -> list[str]:
        """Weights of all keys of a block, their sums, and by what older ones fade."""
        step = [
            f"__local float *at = powers + t * {self._high} + {j};",
            "vec x = NEAR_LOAD(at) - base;",
            *self.scores.weighed("x"),
            "total = total + x;",
            "NEAR_STORE(at, x)",
        ]
        return [
            f"vec best = top[{j // self._lanes}];",
            "vec base = best == SPLAT(-INFINITY) ? SPLAT(0.0f) : best;",
            f"vec x = NEAR_LOAD(high + {j}) - base;",
            *self.scores.weighed("x"),
            f"NEAR_STORE(fade + {j}, x)",
            f"NEAR_STORE(high + {j}, best)",
            f"vec total = NEAR_LOAD(totals + {j}) * x;",
            *block("for (int t = 0; t < many; t++)", step),
            f"NEAR_STORE(totals + {j}, total)",
        ]

    def _added(self) -> list[str]:
        """Values by the weights of a block, added to what there was."""
        high, tile = self._high, self.values

        def sums(tile: Tile) -> list[str]:
            rows = (
                f"const __local float *a{i} = powers + r + {i};"
                for i in range(tile.rows)
            )
            return [*rows, *tile.multiply("many", step="v_row", at=f"k * {high}")]

        def store(j: str) -> list[str]:
            return [
                f"__local float *at = sums + (r + i) * wide + e + {j};",
                "NEAR_STORE(at, NEAR_LOAD(at) * SPLAT(fade[r + i]) + sum)",
            ]

        tiles, longs = tile.split(high)
        rows = [
            *tile.place("t", str(high)),
            *tile.computed(sums, store),
        ]
        panel = "values + (size_t)low * v_row + (e < edge ? e : edge)"
        columns = [
            f"const __global float *panel = {panel};",
            f"const int longs = {longs};",
            *block(f"for (int t = 0; t < {tiles}; t++)", rows),
        ]
        return block(f"for (int e = 0; e < wide; e += {tile.columns})", columns)

    def _ended(self) -> list[str]:
        """Sums over weights' sums, stored; zeros where there was no key to attend."""
        store = [
            "__global float *to = results + (size_t)(row + i) * o_row;",
            "float over = totals[i] == 0.0f ? 1.0f : 1.0f / totals[i];",
        ]
        wide = self.values.columns
        vectors = [
            f"STORE(to + (e < edge ? e : edge) + {j}, "
            f"NEAR_LOAD(sums + i * wide + e + {j}) * SPLAT(over))"
            for j in range(0, wide, self._lanes)
        ]
        columns = block(f"for (int e = 0; e < wide; e += {wide})", vectors)
        return block(f"for (int i = 0; i < {self._high}; i++)", [*store, *columns])


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
)
"""Where a work-item's operands are, and its panels."""


def _turned(lanes: int) -> Sequence[str]:
    """Vectors ``b0``, ``b1``, ... of as many rows ``a0``, ``a1``, ..., turned."""
    lines = list[str]()

    def mixed(to: str, x: str, y: str, first: int, width: int) -> None:
        """Of each four lanes two: from ``first`` on, of ``x`` and ``y`` by turns."""
        own = (
            f"{name}.s{part}"
            for four in range(0, lanes, 4)
            for part in _lanes_of(four + first, width, 2)
            for name in (x, y)
        )
        lines.append(f"vec {to} = (vec)({', '.join(own)});")

    for i in range(0, lanes, 2):
        for low in (0, 1):
            mixed(f"t{i + low}", f"a{i}", f"a{i + 1}", 2 * low, 1)
    for i in range(0, lanes, 4):
        for low in (0, 1):
            for high in (0, 1):
                own = f"t{i + low}", f"t{i + 2 + low}"
                mixed(f"u{i + 2 * low + high}", *own, 2 * high, 2)
    for i in range(lanes):
        (four,) = _lanes_of(i // 4 * 4, 4, 4)
        parts = (f"u{j + i % 4}.s{four}" for j in range(0, lanes, 4))
        lines.append(f"vec b{i} = (vec)({', '.join(parts)});")
    return lines


def _lanes_of(first: int, width: int, count: int) -> list[str]:
    """So many lanes, so many at a time, as words say it."""
    digits = [f"{i:x}" for i in range(first, first + count)]
    return ["".join(digits[i : i + width]) for i in range(0, count, width)]
