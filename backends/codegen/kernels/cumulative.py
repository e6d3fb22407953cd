"""Running reductions along an axis: blocks of it side by side, vectors within.

Where the axis is long and there is little else to share, it is cut into blocks. A
kernel before reduces each of these; a block begins with what those before it come to.
Lanes are columns, where there are enough; else they are elements one after another,
added up in three steps, each over twice the distance (Hillis and Steele, "Data parallel
algorithms", 1986), and then what came before.
"""

from collections.abc import Sequence
from typing import Any

from graphwright.backends.codegen.elements import Array, Reduction, read
from graphwright.backends.codegen.elementwise import combined
from graphwright.backends.codegen.expr import Expr, const, least, share
from graphwright.backends.codegen.index import Axis, Index, of
from graphwright.backends.codegen.items import items_for, shares
from graphwright.backends.codegen.kernels.table import Site, kernel_for
from graphwright.backends.codegen.loops import For, Kernel, Set, Sizes, index_dtype
from graphwright.backends.codegen.nest import extent_of
from graphwright.backends.codegen.runs import stored
from graphwright.backends.codegen.schedule import looped
from graphwright.backends.codegen.schedule_cpu import LANES, lanes_along, most_lanes
from graphwright.backends.codegen.translate import Names, Scope, splat
from graphwright.ir.ops.reduce import identity

_SHORT = 16
"""Elements along an axis that each result may look at anew."""
_COST = 8
"""Operations for an element."""


@kernel_for("cumulative")
def cumulative(site: Site) -> Sequence[Kernel] | None:
    """One kernel or two; None for short axes, where plain loops do."""
    return None if is_short(site) else _Vectors(site).kernels()


def is_short(site: Site) -> bool:
    """Whether each result may look at all elements along the axis anew."""
    op: Any = site.node.op
    return bool(site.shape(0)[op.axis] <= _SHORT)


class Running:
    """A running reduction: a unit is a block of the axis, at one place along others.

    ``step`` counts along the axis, from its end if that is asked for.

    Args:
        site: Where it stands.
    """

    def __init__(self, site: Site) -> None:
        op: Any = site.node.op
        self.site, self.kind, self.exclusive = site, str(op.kind), bool(op.exclusive)
        axes = tuple(map(Axis, site.shape(0)))
        self.step = axes[op.axis]
        self.rows = tuple(axis for axis in axes if axis is not self.step)
        n, at = self.step.extent, list[Index](map(of, axes))
        if op.reverse:
            at[op.axis] = at[op.axis] * -1 + (n - 1)
        self.element = site.operand(0, tuple(at))
        self.stored, self.leaf = site.epilogue(tuple(at))
        self.place = site.position(tuple(at))
        dtype = self.leaf.dtype
        self.neutral = const(identity(self.kind, dtype), dtype)
        self.last = axes[-1]
        self.blocks = Axis(1)

    def kernels(self) -> list[Kernel]:
        """What reduces blocks, if there are several, and what runs through them."""
        if self.blocks.extent == 1:
            return [self.kernel(self.neutral)]
        row, sizes = (self.blocks, *self.rows), [axis.extent for axis in self.rows]
        totals = Array(self.leaf.dtype, (self.blocks.extent, *sizes))
        part = Reduction(self.kind, (self.step,), of(self.blocks), self.blocks.extent)
        total = Expr("reduce", self.leaf.dtype, (self.element,), part)
        before = looped(row, [total], [totals], self.site.target)
        return [before, self.kernel(read(totals, totals.index(tuple(map(of, row)))))]

    def kernel(self, total: Expr) -> Kernel:
        """The kernel, where ``total`` is what a block comes to."""
        raise NotImplementedError

    def reach(self, scope: Scope, block: Expr) -> tuple[Expr, Expr]:
        """Where along the axis a block begins and ends."""
        sizes = scope.names.sizes
        n = sizes.number(self.step.extent, self.step)
        if self.blocks.extent == 1:
            return sizes.const(0), n
        many = sizes.number(self.blocks.extent, "blocks")
        begin = scope.let(share(block, n, many), "k")
        return begin, scope.let(share(block + sizes.const(1), n, many), "k")

    def before(
        self, scope: Scope, total: Expr, column: Axis | None = None, lanes: int = 1
    ) -> Expr:
        """The variable with what came before, to begin with of blocks."""
        sizes = scope.names.sizes
        before = scope.let(splat(self.neutral, lanes), "a", mutable=True)
        if self.blocks.extent > 1:
            block = sizes.named(scope.names.fresh("k"))
            inside = scope.inside({self.blocks: block}, column, lanes)
            found = combined(self.kind, before, inside.value(total))
            inside.body.append(Set(before.value, found))
            last = scope.where[self.blocks]
            scope.body.append(For(block.value, sizes.const(0), last, 1, inside.body))
        return before

    @property
    def largest(self) -> int:
        """The largest position."""
        arrays = (*self.site.arrays.values(), self.site.output)
        return max(a.span for a in arrays)


class _Vectors(Running):
    """The same for CPUs: lanes are columns, or eight elements of a row."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        beside = self.last is not self.step and self.last.extent >= LANES
        self.column = self.last if beside else None
        most = most_lanes([self.element, self.stored], site.target)
        self.lanes = lanes_along(self.last, most)
        self.units = extent_of(a for a in self.rows if a is not self.column)
        if self.column is not None:
            self.units *= -(-self.column.extent // self.lanes)
        self.work = _COST * extent_of((self.step, *self.rows))
        many = items_for(self.step.extent // _SHORT, self.work, site.target)
        self.blocks = Axis(many if 2 * self.units <= many else 1)

    def kernel(self, total: Expr) -> Kernel:
        """The kernel, where ``total`` is what a block comes to."""
        sizes = Sizes(index_dtype(self.largest))
        names = Names([self.element, self.stored, total], sizes)
        units = self.units * self.blocks.extent
        scope = Scope(names, {})
        begin, end = shares(scope, sizes.number(units, "units"))
        unit = sizes.named(names.fresh("u"))
        inside = scope.inside({})
        self._unit(inside, unit, total)
        scope.body.append(For(unit.value, begin, end, 1, inside.body))
        return Kernel(
            tuple(names.inputs),
            (self.site.output,),
            sizes,
            tuple(scope.body),
            (items_for(units, self.work, self.site.target),),
            checks=names.checks,
        )

    # Statements -----------------------------------------------------------------------

    def _unit(self, scope: Scope, unit: Expr, total: Expr) -> None:
        sizes, where, rest = scope.names.sizes, dict[Axis, Expr](), unit
        for axis in reversed((self.blocks, *self.rows)):
            extent = axis.extent
            if axis is self.column:
                extent = -(-extent // self.lanes)
            n = sizes.number(extent, (axis, "units"))
            where[axis] = scope.let(rest % n, "i")
            rest = scope.let(rest / n, "i")
        lanes = 1
        if self.column is not None:
            lanes = self.lanes
            start = where[self.column] * sizes.const(lanes)
            last = sizes.number(self.column.extent - lanes, "last column")
            where[self.column] = scope.let(least(start, last), "j")
        outer = scope.beside(where)
        before = self.before(outer, total, self.column, lanes)
        begin, end = self.reach(scope, where[self.blocks])
        if self.column is None:
            begin = self._loop(outer, begin, end, before, LANES)
        self._loop(outer, begin, end, before, 1)

    def _loop(
        self, scope: Scope, begin: Expr, end: Expr, before: Expr, width: int
    ) -> Expr:
        """A loop by so many steps; gives where it ends."""
        sizes = scope.names.sizes
        step = sizes.named(scope.names.fresh("k"))
        if self.column is not None:
            inside = scope.inside({self.step: step}, self.column, self.lanes)
        else:
            inside = scope.inside({self.step: step}, self.step, width)
        element = inside.settled(inside.value(self.element))
        found, after = self._next(inside, element, before, width)
        inside.bind(self.leaf, found)
        value = inside.value(self.stored)
        stored(inside, self.site.output, self.place, value)
        inside.body.append(Set(before.value, after))
        last = end - sizes.const(width - 1) if width > 1 else end
        scope.body.append(For(step.value, begin, last, width, inside.body))
        return scope.let(end - (end - begin) % sizes.const(width), "k")

    def _next(
        self, scope: Scope, element: Expr, before: Expr, width: int
    ) -> tuple[Expr, Expr]:
        """What is stored of an element, or a vector of them, and what comes after."""
        if width == 1:
            after = scope.let(combined(self.kind, before, element))
            return (scope.let(before) if self.exclusive else after), after
        for distance in (1, 2, 4):
            moved = scope.let(_moved(element, distance, self.neutral))
            element = scope.let(combined(self.kind, moved, element))
        found = scope.let(combined(self.kind, splat(before, width), element))
        after = Expr("lane", found.dtype, (found,), width - 1)
        return (scope.let(_moved(found, 1, before)) if self.exclusive else found), after


def _moved(x: Expr, distance: int, first: Expr) -> Expr:
    """The lanes of a vector moved to later ones, with ``first`` before them."""
    kept = [Expr("lane", x.dtype, (x,), i) for i in range(x.lanes - distance)]
    return Expr("pack", x.dtype, (*[first] * distance, *kept), lanes=x.lanes)
