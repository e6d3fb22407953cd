"""Products by weights of few bits, which are unpacked in registers or near memory.

A few rows are multiplied by codes as they are read: sums of a block are scaled at its
end. For more rows a work-item unpacks some steps of a panel to its own memory, as
floats, and goes over its rows by the register tile.
"""

from collections.abc import Sequence

import numpy as np

from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import OPENCL, Dialect
from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.index import Axis, of
from graphwright.backends.codegen.kernels.behind import Behind
from graphwright.backends.codegen.kernels.coded import Coded, coded
from graphwright.backends.codegen.kernels.finish import (
    Finish,
    size_names,
    size_values,
)
from graphwright.backends.codegen.kernels.launch import Launch, Library, Local
from graphwright.backends.codegen.kernels.launched import MOST, launched
from graphwright.backends.codegen.kernels.shape import pieces
from graphwright.backends.codegen.kernels.sums import NEAR
from graphwright.backends.codegen.kernels.table import Packed, Site
from graphwright.backends.codegen.kernels.text import (
    arguments,
    block,
    named,
    number,
)
from graphwright.backends.codegen.kernels.tile import Tile
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.schedule import looped
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import float32
from graphwright.ir.record import record

_VECTORS = 2
"""Vectors of columns of a panel."""
_OWN = range(_VECTORS)
_FEW = 4
"""Rows that are multiplied by codes as they are read."""
_ROWS = 96
"""Rows of a work-item, of more."""
_NEAR = 512
"""Steps of depth that are unpacked at once."""
_SIZES = (
    *("rows", "depth", "columns", "words", "block", "blocks"),
    *("panels", "span", "own", "chunk"),
)
"""``block`` and ``chunk`` are in words; a work-item has ``span`` panels and, if there
are many, ``own`` rows."""


def dot(site: Site, rows: int) -> Sequence[Kernel] | None:
    """A product by a constant of few bits; None where the second operand is none."""
    constant = site.constant(1)
    factors = None if constant is None else constant.factors
    if factors is None:
        return None
    finish = Behind(site, OPENCL, site.target.lanes)
    plain = finish.is_plain and len(site.stage.results) == 1
    plain = plain and site.output.is_dense and not site.target.strict
    dtypes = {v.dtype for v in (*site.node.operands, *site.node.results)}
    if not plain or dtypes != {float32} or len(site.shape(1)) != 2:
        return None
    weights = coded(factors, _VECTORS * site.target.lanes)
    if weights is None or max(rows * n for n in site.shape(1)) > MOST:
        return None
    x, before = _rows(site)
    library = coded_product(rows, weights, finish, site.target, OPENCL)
    held = {"codes": weights.words, "scales": weights.scales}
    if isinstance(weights.middles, Constant):
        held["middles"] = weights.middles
    arrays = {name: _held(site, constant) for name, constant in held.items()}
    return [*before, *launched(site, library, finish, {"x": x, **arrays})]


def _rows(site: Site) -> tuple[Array, Sequence[Kernel]]:
    """The left operand, and what copies it if it does not lie in rows."""
    known = site.arrays.get(site.node.operands[0])
    if known is not None and known.is_dense:
        return known, []
    axes = tuple(map(Axis, site.shape(0)))
    array = Array(float32, site.shape(0))
    value = site.operand(0, tuple(map(of, axes)))
    return array, [looped(axes, [value], [array], site.target)]


def _held(site: Site, constant: Constant) -> Array:
    array = Array(constant.dtype, constant.shape)
    site.packed[array] = Packed(constant, "", np.ascontiguousarray)
    return array


def coded_product(
    rows: int, weights: Coded, finish: Finish, machine: Cpu, dialect: Dialect
) -> Library:
    """A product of ``x [rows, depth]`` and coded weights to ``out``.

    Args:
        rows: How many.
        weights: By which; the kernel reads ``codes``, ``scales`` and, if there are
            several, ``middles``.
        finish: What is done to sums.
        machine: The device.
        dialect: Its language.
    """
    sizes = _sizes(rows, weights, machine)
    writer = _Writer(rows if rows <= _FEW else 0, weights, finish, dialect)
    arrays = ("x", *writer.arrays, *finish.arrays, "out")
    numbers = (*(sizes[s] for s in _SIZES), *size_values(finish))
    spans = -(-sizes["panels"] // sizes["span"])
    if rows <= _FEW:
        return Library((Launch(*writer.few(), (*arrays, *numbers), (spans,)),))
    near = Local(weights.wide * (sizes["chunk"] * weights.steps + sizes["own"]))
    items = (spans, -(-rows // sizes["own"]))
    return Library((Launch(*writer.many(), (*arrays, near, *numbers), items),))


def _sizes(rows: int, weights: Coded, machine: Cpu) -> dict[str, int]:
    """The numbers that kernels take, by name."""
    panels = -(-weights.columns // weights.wide)
    own = pieces(rows, _ROWS)
    wanted = max(1, machine.cores * machine.items // -(-rows // own))
    return {
        "rows": rows,
        "depth": weights.depth,
        "columns": weights.columns,
        "words": weights.depth // weights.steps,
        "block": weights.block // weights.steps,
        "blocks": -(-weights.depth // weights.block),
        "panels": panels,
        "span": pieces(panels, max(1, panels // wanted)),
        "own": own,
        "chunk": _NEAR // weights.steps,
    }


@record(frozen=True, slots=True)
class _Writer:
    """Source of the kernels.

    Attributes:
        rows: How many rows, if they are few.
        weights: By which they are multiplied.
        finish: What is done to sums.
        dialect: The language.
    """

    rows: int
    weights: Coded
    finish: Finish
    dialect: Dialect

    @property
    def _wide(self) -> int:
        return self.weights.wide

    @property
    def _lanes(self) -> int:
        return self._wide // _VECTORS

    @property
    def _ragged(self) -> bool:
        """Whether the last panel has less than all columns."""
        return self.weights.columns % self._wide > 0

    @property
    def _tile(self) -> Tile:
        return Tile(vectors=_VECTORS, sums_of=NEAR, lanes=self._lanes)

    @property
    def arrays(self) -> tuple[str, ...]:
        """What is read of weights."""
        several = isinstance(self.weights.middles, Constant)
        return ("codes", "scales", *["middles"] * several)

    def few(self) -> tuple[str, str]:
        """The kernel for few rows: its name and text."""
        sums = [(r, j) for r in range(self.rows) for j in _OWN]
        panel = [
            *self._panel(),
            *(f"vec y{r}_{j} = SPLAT(0.0f);" for r, j in sums),
            *block("for (int g = 0; g < blocks; g++)", self._block(sums)),
            *(line for r, j in sums for line in self._stored(r, j)),
        ]
        return self._kernel("coded_rows", "", [*_SPAN, *block(_EACH, panel)])

    def _block(self, sums: Sequence[tuple[int, int]]) -> list[str]:
        """Sums over a block, scaled; with one row there are two for each."""
        ways = 2 if self.rows == 1 else 1
        own = [f"a{r}_{j}_{way}" for r, j in sums for way in range(ways)]
        body = [
            self._loads("ivec", "c", "WORDS", "code"),
            f"const __global float *from = x + k * {self.weights.steps};",
        ]
        for i in range(self.weights.steps):
            body += block("", self._step(i, i % ways))
        ends = list[str]()
        for r, j in sums:
            total = " + ".join(f"a{r}_{j}_{way}" for way in range(ways))
            scale = f"LOAD(scale + {self._lanes * j})"
            ends.append(f"y{r}_{j} = ({total}) * {scale} + y{r}_{j};")
        loop = f"for (int k = g * block; k < end; k++, code += {self._wide})"
        return [
            f"vec {', '.join(f'{name} = SPLAT(0.0f)' for name in own)};",
            *self._middles(),
            "int end = (g + 1) * block < words ? (g + 1) * block : words;",
            *block(loop, body),
            *ends,
            *self._next(),
        ]

    def _step(self, i: int, way: int) -> list[str]:
        """Products of one step of depth."""
        lines = [f"vec w{j} = {self._code(i, j)};" for j in _OWN]
        for r in range(self.rows):
            lines.append(f"vec x{r} = SPLAT(from[{i} + (size_t){r} * depth]);")
            for j in _OWN:
                total = f"a{r}_{j}_{way}"
                lines.append(f"{total} = x{r} * w{j} + {total};")
        return lines

    def _stored(self, r: int, j: int) -> list[str]:
        """A vector of results of a row."""
        left = f"left - {self._lanes * j}" if self._ragged else None
        column = f"column + {self._lanes * j}"
        body = [
            f"vec sum = y{r}_{j};",
            f"size_t at = (size_t){r} * columns + {column};",
            *self.finish.statements("sum", "at", str(r), column, left),
            self.finish.write("out + at", "sum", left),
        ]
        return block("", body)

    def many(self) -> tuple[str, str]:
        """The kernel for many rows: its name and text."""
        words = f"for (int k = from; k < until; k++, code += {self._wide})"
        zeros = f"for (int i = 0; i < many * {self._wide}; i += {self._lanes})"
        chunk = [
            "int until = from + chunk < words ? from + chunk : words;",
            *block(words, self._unpacked()),
            *block("for (int t = 0; t < tiles; t++)", self._added()),
        ]
        panel = [
            *self._panel(),
            *block(zeros, ["NEAR_STORE(sums + i, SPLAT(0.0f))"]),
            *block("for (int from = 0; from < words; from += chunk)", chunk),
            *block("for (int r = 0; r < many; r++)", self._row()),
        ]
        high, unpacked = self._tile.rows, self.weights.steps * self._wide
        body = [
            *_SPAN,
            "int begin = ITEM(1) * own;",
            "int many = rows - begin < own ? rows - begin : own;",
            f"int tiles = (many + {high - 1}) / {high};",
            f"int longs = many - tiles * {high - 1};",
            "if (longs < 0) longs = tiles;",
            f"__local float *panel = near, *sums = near + chunk * {unpacked};",
            *block(_EACH, panel),
        ]
        return self._kernel("coded", ", __local float *restrict near", body)

    def _added(self) -> list[str]:
        """Products of a tile of rows and what is unpacked, added to sums."""
        steps, tile = self.weights.steps, self._tile

        def sums(tile: Tile) -> list[str]:
            rows = (
                f"const __global float *a{i} = x + (size_t)(begin + "
                f"(r + {i} < many ? r + {i} : many - 1)) * depth + from * {steps};"
                for i in range(tile.rows)
            )
            return [*rows, *tile.multiply(f"(until - from) * {steps}")]

        def add(j: str) -> list[str]:
            at = f"sums + (r + i) * {self._wide} + {j}"
            return [f"NEAR_STORE({at}, NEAR_LOAD({at}) + sum)"]

        return [*tile.place("t", "many"), *tile.computed(sums, add)]

    def _row(self) -> list[str]:
        """What is behind the sums of a row, stored."""
        left = "left - j" if self._ragged else None
        store = [
            f"vec sum = NEAR_LOAD(sums + r * {self._wide} + j);",
            "size_t at = (size_t)(begin + r) * columns + column + j;",
            *self.finish.statements("sum", "at", "begin + r", "column + j", left),
            self.finish.write("out + at", "sum", left),
        ]
        head = f"for (int j = 0; j < {self._wide}; j += {self._lanes})"
        return block(head, store)

    def _unpacked(self) -> list[str]:
        """The weights of a word of each column, stored as floats."""
        steps = self.weights.steps
        lines = [
            self._loads("ivec", "c", "WORDS", "code"),
            self._loads("vec", "f", "LOAD", "scale"),
            *self._middles(),
            f"__local float *to = panel + (k - from) * {steps * self._wide};",
        ]
        for i in range(steps):
            for j in _OWN:
                at = f"to + {i * self._wide + self._lanes * j}"
                lines.append(f"NEAR_STORE({at}, {self._code(i, j)} * f{j})")
        return [*lines, *block("if ((k + 1) % block == 0)", self._next())]

    def _code(self, i: int, j: int) -> str:
        """The codes of one step of depth, as floats, with what is added."""
        bits, up = self.weights.bits, 32 - self.weights.bits * (i + 1)
        words = f"(c{j} << {up})" if up else f"c{j}"
        code = f"GW_CONVERT(float{self._lanes}, ({words} >> {32 - bits}))"
        return code if self.weights.middles == 0.0 else f"({code} + m{j})"

    def _middles(self) -> list[str]:
        """Declares what is added to codes of a block."""
        if isinstance(self.weights.middles, Constant):
            return [self._loads("vec", "m", "LOAD", "middle")]
        if self.weights.middles == 0.0:
            return []
        spread = f"SPLAT({number(self.weights.middles)})"
        return [f"vec {', '.join(f'm{j} = {spread}' for j in _OWN)};"]

    def _next(self) -> list[str]:
        """To the next block."""
        several = isinstance(self.weights.middles, Constant)
        names = ("scale", *["middle"] * several)
        return [f"{name} += {self._wide};" for name in names]

    def _panel(self) -> list[str]:
        """Where a panel's weights are."""
        wide, several = self._wide, isinstance(self.weights.middles, Constant)
        more = f"middle = middles + (size_t)p * blocks * {wide};"
        return [
            f"int column = p * {wide}, left = columns - column;",
            f"const __global int *code = codes + (size_t)p * words * {wide};",
            f"const __global float *scale = scales + (size_t)p * blocks * {wide};",
            *[f"const __global float *{more}"] * several,
        ]

    def _loads(self, kind: str, name: str, load: str, address: str) -> str:
        """Declares the vectors of a panel's columns at an address."""
        own = (f"{name}{j} = {load}({address} + {self._lanes * j})" for j in _OWN)
        return f"{kind} {', '.join(own)};"

    def _kernel(self, kind: str, more: str, body: Sequence[str]) -> tuple[str, str]:
        arrays = ("x", *self.arrays, *self.finish.arrays)
        types = {"codes": "int", **self.finish.types}
        own = arguments(arrays, (), "out", types) + more
        numbers = (f"int {name}" for name in (*_SIZES, *size_names(self.finish)))
        head = self.dialect.kernel.format(
            name="NAME", group="1, 1, 1", arguments=", ".join([own, *numbers])
        )
        return named(kind, "\n".join(block(head, body)) + "\n")


_SPAN = (
    "int first = ITEM(0) * span;",
    "int last = first + span < panels ? first + span : panels;",
)
_EACH = "for (int p = first; p < last; p++)"
