"""Products and convolutions for GPUs: sums of products by tiles in local memory.

Any sum of products is a product of matrices whose rows are what the left factor alone
hangs on, whose columns are what the right one alone does; there is one for each place
along axes of both. A convolution is one whose left matrix is read from windows, never
made (Chetlur et al., "cuDNN: efficient primitives for deep learning", 2014). A group
computes a tile of the result: it copies a tile of each matrix to local memory, each
factor as it is written out, whatever views or borders it has; then each work-item adds
up products for a few rows and columns in registers (Volkov and Demmel, "Benchmarking
GPUs to tune dense linear algebra", 2008).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product as pairs
from typing import Any

import numpy as np

from graphwright.backends.codegen.device import Gpu
from graphwright.backends.codegen.elements import Array, Elements, read
from graphwright.backends.codegen.expr import Expr, choose, const, least, share
from graphwright.backends.codegen.index import Axis, Index, of
from graphwright.backends.codegen.kernels.table import Site, kernel_for
from graphwright.backends.codegen.loops import (
    Barrier,
    For,
    If,
    Kernel,
    Set,
    Sizes,
    Statement,
    Store,
    index_dtype,
)
from graphwright.backends.codegen.nest import Nest, extent_of, simplified
from graphwright.backends.codegen.pulled_basic import reduced
from graphwright.backends.codegen.schedule import looped
from graphwright.backends.codegen.schedule_gpu import unravelled
from graphwright.backends.codegen.team import load
from graphwright.backends.codegen.translate import Names, Scope
from graphwright.backends.codegen.walk import axes_by_expr, ordered, substituted
from graphwright.ir.record import record

_LEAST = 8
"""Rows and columns from which on tiles are worth it."""
_EACH = 8
"""Rows, or columns, of a work-item, at most; half as many of 64 bits."""
_FEWEST = 2
"""The same, at least, where larger tiles would leave compute units without work."""
_DEPTH = 16
"""Products that a tile holds for each element of the result, at most."""
_TURNS = 8
"""Tiles along the sum that a part of it has, at least."""
_MOST_PARTS = 64
_WAVES = 64
"""Groups for each compute unit; if there are more tiles, they take turns."""


@kernel_for("dot", Gpu)
@kernel_for("conv", Gpu)
@kernel_for("fused", Gpu)
def contraction(site: Site) -> Sequence[Kernel] | None:
    """Tiles of a sum of products; None where there are too few rows or columns."""
    if len(site.stage.results) != 1:
        return None
    found = _product(site)
    if found is None or min(found.m, found.n) < _LEAST:
        return None
    parts = _parts(found, site.target)
    if parts == 1:
        return [_Tiles(site, _packed(site, found)).kernel()]
    found = _product(site, parts)
    assert found is not None
    before = _Tiles(site, _packed(site, found)).kernel()
    return [before, _finished(site, found.output)]


@record(frozen=True, slots=True)
class _Product:
    """A sum of products as matrices.

    Attributes:
        left: An element of the left one.
        right: An element of the right one.
        stored: What is stored of a sum, which is ``leaf`` there.
        output: Where results are stored.
        place: Where in it.
        part: Which part of a sum it is; None if it is all.
        batch: Axes of both matrices.
        rows: Those of the left one alone.
        columns: Those of the right one alone.
        over: Those that sums are over.
    """

    left: Expr
    right: Expr
    stored: Expr
    leaf: Expr
    output: Array
    place: Index
    part: Axis | None
    batch: tuple[Axis, ...]
    rows: tuple[Axis, ...]
    columns: tuple[Axis, ...]
    over: tuple[Axis, ...]

    @property
    def m(self) -> int:
        """How many rows there are."""
        return extent_of(self.rows)

    @property
    def n(self) -> int:
        """How many columns there are."""
        return extent_of(self.columns)

    @property
    def k(self) -> int:
        """How many products make a sum."""
        return extent_of(self.over)


def _product(site: Site, parts: int = 1) -> _Product | None:
    """The heavy op of a site as a product, or parts of it; None where it is none."""
    axes = tuple(map(Axis, site.output.shape))
    at = tuple(map(of, axes))
    whole, (stored, leaf) = site.result(at), site.epilogue(at)
    output, place, part = site.output, site.position(at), None
    if parts > 1:
        part, stored = Axis(parts), leaf
        output = Array(leaf.dtype, (parts, *output.shape))
        axes, at = (part, *axes), (of(part), *at)
        place = output.index(at)
    exprs = whole, stored, leaf
    nest = simplified(Nest(axes, exprs, (place,) * 3))
    whole, stored, leaf = nest.exprs
    factors = _factors(whole)
    if factors is None:
        return None
    hang = axes_by_expr(factors)
    left, right = (hang[x] for x in factors)
    over = sorted(whole.value.axes, key=lambda axis: _step(factors[0], axis) == 1)
    return _Product(
        *(*factors, stored, leaf, output, nest.places[0], part),
        tuple(a for a in nest.axes if (a in left) == (a in right)),
        tuple(a for a in nest.axes if a in left - right),
        tuple(a for a in nest.axes if a in right - left),
        tuple(over),
    )


def _factors(total: Expr) -> tuple[Expr, Expr] | None:
    """What a sum multiplies; of integers, their bits without signs."""
    if total.op != "reduce" or total.value.kind != "sum":
        return None
    (product,) = total.args
    if product.op == "bitcast":
        (product,) = product.args
    if product.op != "mul":
        return None
    left, right = product.args
    return left, right


def _parts(product: _Product, target: Gpu) -> int:
    """In how many parts sums are added up: few tiles do not keep a device busy."""
    tiles = extent_of(product.batch)
    for side in _sides(product, target):
        tiles *= side.tiles
    most = product.k // (_TURNS * _DEPTH)
    return max(1, min(2 * target.cores // tiles, most, _MOST_PARTS))


def _finished(site: Site, sums: Array) -> Kernel:
    """The kernel that adds up parts, and computes what is behind the sum."""
    ((end, _),), (result,) = site.stage.results, site.node.results
    axes, part = tuple(map(Axis, site.output.shape)), Axis(sums.shape[0])
    at = tuple(map(of, axes))
    elements = Elements(site.stage.graph, site.arrays, {end}, {result})
    element = read(sums, sums.index((of(part), *at)))
    total = {elements.leaf(result): reduced("sum", element, (part,))}
    (found,) = substituted([elements.at(end, at)], total)
    return looped(axes, [found], [site.output], site.target)


def _step(x: Expr, axis: Axis) -> int:
    """How far apart what a factor reads along an axis is, if that is even."""
    reads = (e.value.index for e in ordered([x]) if e.op == "read")
    return next((index.factor(axis) for index in reads), 0)


def _packed(site: Site, product: _Product) -> _Product:
    """The product with a constant right matrix by rows, where it lies in no order."""
    right, axes = product.right, (*product.batch, *product.over, *product.columns)
    constant = site.constant(1)
    near = {_step(right, axis) for axis in (product.over[-1], product.columns[-1])}
    if constant is None or right.op != "read" or right.value.guards or 1 in near:
        return product
    index: Index = right.value.index
    if not {term for term, _ in index.terms} <= {*axes}:
        return product
    rows = [(axis.extent, index.factor(axis)) for axis in axes]

    def pack(array: Any) -> Any:
        found = np.full((1,) * len(rows), index.start)
        for number, (extent, step) in enumerate(rows):
            places = np.arange(extent).reshape(-1, *(1,) * (len(rows) - 1 - number))
            found = found + step * places
        return np.ascontiguousarray(array.reshape(-1)[found])

    shape = [extent for extent, _ in rows]
    array = site.pack(1, f"matrix {rows} from {index.start}", pack, shape)
    return replace(product, right=read(array, array.index(tuple(map(of, axes)))))


@record(frozen=True, slots=True)
class _Side:
    """One of both matrices in tiles.

    Attributes:
        factor: An element of it.
        axes: Along which its rows are, or its columns.
        each: How many of these a work-item has.
        many: Work-items along them.
        across: Whether neighbours copy what lies along the sum.
    """

    factor: Expr
    axes: tuple[Axis, ...]
    each: int
    many: int
    across: bool

    @property
    def extent(self) -> int:
        """How many rows, or columns, there are."""
        return extent_of(self.axes)

    @property
    def tile(self) -> int:
        """How many a tile has."""
        return self.each * self.many

    @property
    def tiles(self) -> int:
        """How many tiles that makes."""
        return -(-self.extent // self.tile)

    @property
    def pitch(self) -> int:
        """Elements from row to row in local memory: all banks are written at once."""
        return self.tile + self.across


def _sides(product: _Product, target: Gpu) -> tuple[_Side, _Side]:
    """Tiles that are as large as leaves all compute units some."""
    bits = target.group.bit_length() - 1
    many = 1 << (bits // 2), 1 << (bits - bits // 2)
    most = _EACH if product.left.dtype.bits <= 32 else _EACH // 2
    found = [
        _Side(factor, axes, most, n, _step(factor, product.over[-1]) == 1)
        for factor, axes, n in (
            (product.left, product.rows, many[0]),
            (product.right, product.columns, many[1]),
        )
    ]
    for number, side in enumerate(found):
        while side.each > 1 and side.tile >= 2 * side.extent:
            side = replace(side, each=side.each // 2)  # noqa: PLW2901
        found[number] = side
    batch = extent_of(product.batch)
    while batch * found[0].tiles * found[1].tiles < 2 * target.cores:
        number = int(found[1].each >= found[0].each)
        if found[number].each <= _FEWEST:
            break
        found[number] = replace(found[number], each=found[number].each // 2)
    return found[0], found[1]


class _Tiles:
    """The kernel of a product."""

    def __init__(self, site: Site, product: _Product) -> None:
        self.site, self.product = site, product
        self.target: Gpu = site.target
        self.sides = _sides(product, self.target)
        self.dtype = product.left.dtype
        size, self.depth = self.dtype.bits // 8, _DEPTH
        while self.depth > 1 and self._near * size > self.target.near:
            self.depth //= 2
        self.near = [Array(self.dtype, (self.depth * s.pitch,)) for s in self.sides]
        self.batch = extent_of(product.batch)
        self.tiles = self.batch * self.sides[0].tiles * self.sides[1].tiles
        self.groups = min(self.tiles, _WAVES * self.target.cores)
        exprs = (product.left, product.right, product.stored)
        nest = Nest(product.batch, exprs, (product.place,))
        most = max(nest.largest, self.tiles + self.groups, product.k + self.depth)
        self.sizes = Sizes(index_dtype(most + max(s.tile for s in self.sides)))
        self.names = Names(exprs, self.sizes)

    @property
    def _near(self) -> int:
        """Elements of both tiles in local memory."""
        return self.depth * sum(side.pitch for side in self.sides)

    def kernel(self) -> Kernel:
        """The kernel."""
        sizes, dtype = self.sizes, self.sizes.dtype
        scope = Scope(self.names, {})
        member = scope.let(Expr("member", dtype), "m")
        width = sizes.const(self.sides[1].many)
        own = scope.let(member / width, "m"), scope.let(member % width, "m")
        tile = sizes.named(self.names.fresh("t"))
        inside = scope.inside({})
        self._tile(inside, tile, member, own)
        ends = Expr("group", dtype), sizes.number(self.tiles, "tiles")
        scope.body.append(For(tile.value, *ends, Expr("groups", dtype), inside.body))
        return Kernel(
            tuple(self.names.inputs),
            (self.product.output,),
            sizes,
            tuple(scope.body),
            (self.groups,),
            (self.target.group,),
            checks=self.names.checks,
            local=tuple(self.near),
        )

    # Statements -----------------------------------------------------------------------

    def _tile(
        self, scope: Scope, tile: Expr, member: Expr, own: tuple[Expr, Expr]
    ) -> None:
        """One tile: sums over all that is to be added up, then what is stored."""
        sizes, starts = self.sizes, list[Expr]()
        for side in reversed(self.sides):
            tiles = sizes.number(side.tiles, (side.axes, "tiles"))
            starts.append(scope.let(tile % tiles * sizes.const(side.tile), "i"))
            tile = scope.let(tile / tiles, "i")
        begins = starts[1], starts[0]
        scope.where = self._along(scope, self.product.batch, tile)
        zero = const(0, self.dtype)
        sums = {at: scope.let(zero, "a", mutable=True) for at in self._own()}
        k = sizes.named(self.names.fresh("k"))
        inside = scope.inside({})
        low, high = self._reach(scope)
        for side, near, begin in zip(self.sides, self.near, begins, strict=True):
            self._copy(inside, side, near, (member, begin, k, high))
        inside.body.append(Barrier())
        self._add(inside, own, sums)
        inside.body.append(Barrier())
        scope.body.append(For(k.value, low, high, self.depth, inside.body))
        self._store(scope, begins, own, sums)

    def _own(self) -> Iterator[tuple[int, int]]:
        """Rows and columns of a work-item."""
        rows, columns = (range(side.each) for side in self.sides)
        return pairs(rows, columns)

    def _along(
        self, scope: Scope, axes: Sequence[Axis], place: Expr
    ) -> dict[Axis, Expr]:
        """Where along axes a place is."""
        counts = [(axis, self.sizes.number(axis.extent, axis)) for axis in axes]
        return unravelled(scope, counts, place)

    def _reach(self, scope: Scope) -> tuple[Expr, Expr]:
        """Where along the sum a part of it begins and ends."""
        sizes, part = self.sizes, self.product.part
        end = sizes.number(self.product.k, "k")
        if part is None:
            return sizes.const(0), end
        many, own = sizes.number(part.extent, part), scope.where[part]
        low = scope.let(share(own, end, many), "k")
        return low, scope.let(share(own + sizes.const(1), end, many), "k")

    def _copy(
        self, scope: Scope, side: _Side, near: Array, at: tuple[Expr, Expr, Expr, Expr]
    ) -> None:
        """A tile of a matrix to local memory; what lies beyond a sum is 0."""
        (member, begin, k, end), sizes = at, self.sizes
        number, inside = sizes.named(self.names.fresh("e")), scope.inside({})
        deep = sizes.const(self.depth if side.across else side.tile)
        low, high = inside.let(number % deep, "e"), inside.let(number / deep, "e")
        step, own = (low, high) if side.across else (high, low)
        place, fits = inside.let(begin + own, "i"), None
        if side.extent % side.tile:
            last = sizes.number(side.extent - 1, (side.axes, "last"))
            place = inside.let(least(place, last), "i")
        over = inside.let(k + step, "k")
        if self.product.part is not None or self.product.k % self.depth:
            fits = inside.let(over < end)
            over = inside.let(least(over, end - 1), "k")
        where = self._along(inside, side.axes, place)
        where |= self._along(inside, self.product.over, over)
        inside.where = {**inside.where, **where}
        value = inside.value(side.factor)
        value = value if fits is None else choose(fits, value, 0)
        to = step * sizes.const(side.pitch) + own
        inside.body.append(Store(near, to, value))
        count = sizes.const(side.tile * self.depth)
        loop = For(number.value, member, count, self.target.group, inside.body)
        scope.body.append(loop)

    def _add(
        self,
        scope: Scope,
        own: tuple[Expr, Expr],
        sums: Mapping[tuple[int, int], Expr],
    ) -> None:
        """Adds the products of both tiles to sums."""
        sizes, inside = self.sizes, scope.inside({})
        step = sizes.named(self.names.fresh("k"))
        factors = [
            [
                inside.let(load(near, step * sizes.const(side.pitch) + at))
                for at in self._places(side, mine)
            ]
            for side, near, mine in zip(self.sides, self.near, own, strict=True)
        ]
        for (i, j), total in sums.items():
            found = total + factors[0][i] * factors[1][j]
            inside.body.append(Set(total.value, found))
        end = sizes.const(self.depth)
        scope.body.append(For(step.value, sizes.const(0), end, 1, inside.body))

    def _places(self, side: _Side, own: Expr) -> Iterator[Expr]:
        """What a work-item has of a tile: neighbours have what is next."""
        for number in range(side.each):
            yield own + self.sizes.const(number * side.many) if number else own

    def _store(
        self,
        scope: Scope,
        begins: tuple[Expr, Expr],
        own: tuple[Expr, Expr],
        sums: Mapping[tuple[int, int], Expr],
    ) -> None:
        """Stores what is computed of sums, but for what lies beyond the matrix."""
        rows: list[list[tuple[Expr | None, dict[Axis, Expr]]]] = []
        for side, begin, mine in zip(self.sides, begins, own, strict=True):
            rows.append([])
            for at in self._places(side, mine):
                place, fits = scope.let(begin + at, "i"), None
                if side.extent % side.tile:
                    end = self.sizes.number(side.extent, (side.axes, "extent"))
                    fits = scope.let(place < end)
                rows[-1].append((fits, self._along(scope, side.axes, place)))
        for (i, j), total in sums.items():
            (below, row), (before, column) = rows[0][i], rows[1][j]
            inside = scope.inside({**row, **column})
            inside.bind(self.product.leaf, total.bits(self.product.leaf.dtype))
            value = inside.value(self.product.stored)
            at = inside.position(self.product.place)
            inside.body.append(Store(self.product.output, at, value))
            scope.body += _where(inside.body, (before, below))


def _where(
    body: Sequence[Statement], conditions: Sequence[Expr | None]
) -> Sequence[Statement]:
    """Statements that run where all conditions hold that there are."""
    for condition in conditions:
        if condition is not None:
            body = [If(condition, body)]
    return body
