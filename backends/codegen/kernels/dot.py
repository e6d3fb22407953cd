"""Matrix products for CPU devices: tiles of 6 rows by two registers of floats.

Where operands and result lie in memory as they are, `gemm` multiplies. Else the same is
said in loops: operands are read wherever their elements are, the right-hand side is
copied to panels of as many columns, so that a tile reads it in order.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.elements import Array, product, read
from graphwright.backends.codegen.expr import Expr, const, least
from graphwright.backends.codegen.index import Axis, Index, of
from graphwright.backends.codegen.items import items_for, shares
from graphwright.backends.codegen.kernels import amx_gemm, coded_dot, integers
from graphwright.backends.codegen.kernels.amx import parts_of
from graphwright.backends.codegen.kernels.behind import Behind
from graphwright.backends.codegen.kernels.choose import are_small
from graphwright.backends.codegen.kernels.gemm import GemmShape, gemm
from graphwright.backends.codegen.kernels.launch import once
from graphwright.backends.codegen.kernels.launched import MOST, launched
from graphwright.backends.codegen.kernels.strassen import pays, strassen
from graphwright.backends.codegen.kernels.sums import FLOATS, NARROW, Sums
from graphwright.backends.codegen.kernels.table import Site, divided, kernel_for
from graphwright.backends.codegen.loops import (
    For,
    Kernel,
    Set,
    Sizes,
    Store,
    index_dtype,
)
from graphwright.backends.codegen.nest import extent_of
from graphwright.backends.codegen.schedule import looped
from graphwright.backends.codegen.schedule_cpu import LANES
from graphwright.backends.codegen.translate import Names, Scope, splat
from graphwright.ir.dtype import float32, float64, int16, int32

ROWS = 6
_FEW = 8
"""Rows by which weights are not multiplied as long as they are read."""
_TILES, _STRASSEN, _AMX = "tiles", "Strassen", "AMX"
"""Names of ways, which records have."""
_DOUBLES = 8
"""Elements of a vector of float64: a register of 512 bits, or two of 256."""


@kernel_for("dot")
def dot(site: Site) -> Sequence[Kernel] | None:
    """Tiles of products of floats; None where there is less than one tile."""
    *lead, m, k = site.shape(0)
    n = site.shape(1)[-1]
    dtypes = [v.dtype for v in (*site.node.operands, *site.node.results)]
    if dtypes == [int16, int16, int32]:
        return integers.dot(site, product(lead), m, k, n)
    found = coded_dot.dot(site, product(lead) * m) if m else None
    if found is not None:
        return found
    plain = set(dtypes) in ({float32}, {float64})
    if not plain or n < _width(site) or k < LANES or m < 1:
        return None
    found = _library(site, product(lead), m, k, n)
    if found is not None:
        return found
    panels, made = _panels(site, lead, k, n)
    return [*made, _Product(site, panels).kernel()]


def _library(site: Site, batch: int, m: int, k: int, n: int) -> Sequence[Kernel] | None:
    """The kernels of a library; None where an operand does not lie row by row."""
    x, w = site.lying(0), site.lying(1)
    constant, finish = site.constant(1), Behind(site, OPENCL, site.target.lanes)
    plain = finish.is_plain and len(site.stage.results) == 1
    plain = plain and site.node.results[0].dtype is float32
    if not plain or x is None or w is None or not site.output.is_dense:
        return None
    if max(batch * m * k, batch * k * n, batch * m * n) > MOST:
        return None
    parts = parts_of(site.held_in(0), site.held_in(1))
    shape = GemmShape(batch, m, k, n, parts=parts)

    names = _algorithms(site, shape)

    def made(name: str, machine: Cpu, own: Site) -> Sequence[Kernel]:
        sums = _sums(own, shape, name)
        if name == _STRASSEN:
            make = partial(strassen, shape, finish, machine, OPENCL)
        else:
            given = shape, constant is not None, finish, machine, OPENCL, sums
            make = partial(amx_gemm.amx_gemm if name == _AMX else gemm, *given)
        form = name, shape, constant is not None, finish.form, machine, sums
        library = once(form, make)
        return list(launched(own, library, finish, {"x": x, "w": w}, sums=sums))

    key = f"dot {shape} {constant is not None} and {len(finish.arrays)} arrays"
    ways = [divided(name, site.target, partial(made, name)) for name in names]
    return site.best(key, ways)


def _sums(site: Site, shape: GemmShape, name: str) -> Sums:
    """How panels lie: as narrow as they were, where memory is waited for."""
    pays = name == _AMX or (name == _TILES and shape.rows <= _FEW)
    if site.constant(1) is None or not pays:
        return FLOATS
    return NARROW.get(site.held_in(1), FLOATS)


def _algorithms(site: Site, shape: GemmShape) -> Sequence[str]:
    """How a product can be computed: first what should be best."""
    constant = site.constant(1)
    if amx_gemm.pays(shape, site.target):
        return [_AMX, _TILES]
    if constant is None or site.target.strict or not pays(shape, site.target.lanes):
        return [_TILES]
    return [_STRASSEN, _TILES] if are_small(constant) else [_TILES]


def _width(site: Site) -> int:
    """Columns of a panel: twelve sums of 16 registers, or of 32 that are wide."""
    lanes, n = site.target.lanes, site.shape(1)[-1]
    both = site.node.results[0].dtype.itemsize // 4
    return (2 * lanes if n >= 2 * lanes // both else 2 * LANES) // both


def _starts(n: int, width: int) -> Any:
    """First columns of the panels; the last one ends with the matrix."""
    return np.minimum(np.arange(0, n, width), n - width)


def _panels(
    site: Site, lead: Sequence[int], k: int, n: int
) -> tuple[Array, list[Kernel]]:
    """The right-hand side as ``[*lead, panel, k, column]``, and what makes it so."""
    width = _width(site)
    shape = (*lead, -(-n // width), k, width)
    if site.constant(1) is not None:
        columns = _starts(n, width)[:, None] + np.arange(width)

        def pack(array: Any) -> Any:
            return np.ascontiguousarray(np.moveaxis(array[..., columns], -3, -2))

        return site.pack(1, f"panels of {width}", pack, shape), []
    panels = Array(site.node.results[0].dtype, shape)
    whole, last = divmod(n, width)
    kernels: list[Kernel] = []
    if whole:
        panel = Axis(whole)
        kernels.append(_copy(site, panels, k, of(panel) * width, of(panel), [panel]))
    if last:
        start, end = Index(start=n - width), Index(start=whole)
        kernels.append(_copy(site, panels, k, start, end, []))
    return panels, kernels


def _copy(
    site: Site, panels: Array, k: int, start: Index, panel: Index, axes: list[Axis]
) -> Kernel:
    """The kernel that copies columns from ``start`` on to a panel, or to several."""
    batch = [Axis(size) for size in panels.shape[:-3]]
    inner, column = Axis(k), Axis(panels.shape[-1])
    value = site.operand(1, (*map(of, batch), of(inner), start + of(column)))
    at = (*map(of, batch), panel, of(inner), of(column))
    return looped((*batch, *axes, inner, column), [value], [panels], site.target, at)


class _Product:
    """The kernel of a product: a unit is a tile, those of a panel come together."""

    def __init__(self, site: Site, panels: Array) -> None:
        self.site, self.panels = site, panels
        *lead, self.m, k = site.shape(0)
        self.n = site.shape(1)[-1]
        self.dtype = site.node.results[0].dtype
        self.rows, self.columns = min(ROWS, self.m), panels.shape[-1]
        double = self.dtype is float64
        self.lanes = _DOUBLES if double else self.columns // 2
        self.tiles, self.count = -(-self.m // self.rows), panels.shape[-3]
        self.batch = [Axis(size) for size in lead]
        self.row, self.column = Axis(self.m), Axis(self.n)
        self.k, self.panel, self.lane = Axis(k), Axis(self.count), Axis(self.columns)
        lead_at = tuple(map(of, self.batch))
        at = (*lead_at, of(self.row), of(self.column))
        self.left = site.operand(0, (*lead_at, of(self.row), of(self.k)))
        inside = (*lead_at, of(self.panel), of(self.k), of(self.lane))
        self.right = read(panels, panels.index(inside))
        self.stored, self.leaf = site.epilogue(at)
        self.place = site.position(at)
        sizes = Sizes(index_dtype(max(panels.size, site.output.span, self.m * k)))
        self.names = Names([self.left, self.right, self.stored], sizes)

    def kernel(self) -> Kernel:
        """The kernel."""
        sizes, names = self.names.sizes, self.names
        units = extent_of(self.batch) * self.count * self.tiles
        scope = Scope(names, {})
        begin, end = shares(scope, sizes.number(units, "units"))
        unit = sizes.named(names.fresh("u"))
        self._unit(inside := scope.inside({}), unit)
        scope.body.append(For(unit.value, begin, end, 1, inside.body))
        work = 2 * self.site.output.size * self.k.extent
        return Kernel(
            tuple(names.inputs),
            (self.site.output,),
            sizes,
            tuple(scope.body),
            (items_for(units, work, self.site.target),),
            checks=names.checks,
        )

    def _unit(self, scope: Scope, unit: Expr) -> None:
        """One tile: sums over k, then what is fused behind them, stored."""
        sizes, where = self.names.sizes, dict[Axis, Expr]()
        tiles = sizes.number(self.tiles, "tiles")
        row = scope.let(unit % tiles * sizes.const(self.rows), "i")
        rest = scope.let(unit / tiles, "i")
        for axis in (self.panel, *reversed(self.batch[1:])):
            extent = sizes.number(axis.extent, axis)
            where[axis] = scope.let(rest % extent, "i")
            rest = scope.let(rest / extent, "i")
        if self.batch:
            where[self.batch[0]] = rest
        if self.m % self.rows:
            last = sizes.number(self.m - self.rows, "last row")
            row = scope.let(least(row, last), "i")
        column = scope.let(where[self.panel] * sizes.const(self.columns), "j")
        if self.n % self.columns:
            last = sizes.number(self.n - self.columns, "last column")
            column = scope.let(least(column, last), "j")
        self._tile(scope.beside(where), row, column)

    def _tile(self, scope: Scope, row: Expr, column: Expr) -> None:
        const_ = self.names.sizes.const
        zero = splat(const(0.0, self.dtype), self.lanes)
        sums = {
            (r, v): scope.let(zero, "a", mutable=True)
            for r in range(self.rows)
            for v in range(self.columns // self.lanes)
        }
        k = self.names.sizes.named(self.names.fresh("k"))
        inner = scope.inside({self.k: k})
        right = [
            inner.let(self._vector(inner, v).value(self.right))
            for v in range(self.columns // self.lanes)
        ]
        for r in range(self.rows):
            one = inner.beside({self.row: row + const_(r)}).value(self.left)
            left = inner.let(splat(one, self.lanes))
            for v, part in enumerate(right):
                total = sums[r, v]
                inner.body.append(Set(total.value, total + left * part))
        extent = self.names.sizes.number(self.k.extent, self.k)
        scope.body.append(For(k.value, const_(0), extent, 1, inner.body))
        for (r, v), total in sums.items():
            at = {
                self.row: row + const_(r),
                self.column: column + const_(self.lanes * v),
            }
            end = scope.beside(at, self.column, self.lanes)
            end.bind(self.leaf, total)
            value = end.value(self.stored)
            end.body.append(Store(self.site.output, end.position(self.place), value))

    def _vector(self, scope: Scope, number: int) -> Scope:
        start = self.names.sizes.const(self.lanes * number)
        return scope.beside({self.lane: start}, self.lane, self.lanes)
