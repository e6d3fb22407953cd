"""Updates scattered into an array, by what would race with nothing.

Updates are combined in an array of their own, which begins with what changes nothing,
and then with what they are scattered into. Where there are more updates than places,
that array has several copies, each for a part of the updates; else each work-item has a
range of places and passes over updates for others. Either way each element is combined
in an order that hangs on the device alone.

Where the latest update is what counts, it is the largest of their numbers: one for all
that lies behind a place.
"""

from collections.abc import Callable, Sequence
from typing import Any

from graphwright.backends.codegen.elements import Array, Elements, product, read
from graphwright.backends.codegen.elementwise import combined, greater
from graphwright.backends.codegen.expr import Expr, choose, const, share
from graphwright.backends.codegen.index import Axis, Index, Item, linear, of, unravelled
from graphwright.backends.codegen.items import items_for, shares
from graphwright.backends.codegen.kernels.table import Site, kernel_for
from graphwright.backends.codegen.loops import (
    For,
    If,
    Kernel,
    Sizes,
    Store,
    index_dtype,
)
from graphwright.backends.codegen.nest import extent_of
from graphwright.backends.codegen.pulled_basic import reduced
from graphwright.backends.codegen.runs import vectors
from graphwright.backends.codegen.schedule import looped
from graphwright.backends.codegen.schedule_cpu import lanes_along, most_lanes
from graphwright.backends.codegen.translate import Names, Scope, splat
from graphwright.backends.codegen.walk import substituted
from graphwright.ir.dtype import bool_
from graphwright.ir.ops.reduce import identity

_FEW = 8
"""Updates that each result may look at."""
_COST = 8
"""Operations for an update."""


@kernel_for("scatter")
def scatter(site: Site) -> Sequence[Kernel] | None:
    """What combines updates, and what puts them into place; None for few updates."""
    return None if are_few(site) else _Ranges(site).kernels()


def are_few(site: Site) -> bool:
    """Whether each result may look at all updates; truths have no other way."""
    op: Any = site.node.op
    few = product(site.shape(1)[op.batch_dims :]) <= _FEW
    return few or site.node.operands[0].dtype is bool_


class Scatter:
    """A scatter: updates are combined in ``sums``, of which there may be copies.

    Args:
        site: Where it stands.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        op: Any = site.node.op
        self.op, self.shape = op, site.shape(0)
        self.axes = tuple(map(Axis, self.shape))
        self.target = self.axes[op.axis]
        self.held = self.axes[: op.axis + 1] if op.mode == "set" else self.axes
        self.updates = tuple(map(Axis, site.shape(1)[op.batch_dims :]))
        at = tuple(map(of, self.axes))
        places = tuple(map(of, self.updates))
        index = site.operand(1, (*at[: op.batch_dims], *places))
        self.index = Expr("checked", index.dtype, (index,), self.target.extent)
        self.value = self._update(places)
        self.kind = {"add": "sum", "mul": "prod", "set": "max"}.get(op.mode, op.mode)
        self.dtype = self.value.dtype
        self.neutral = const(identity(self.kind, self.dtype), self.dtype)
        if op.mode == "set":
            self.neutral = const(-1, self.dtype)
        self.divide(1)

    def divide(self, copies: int) -> None:
        """Says how many copies there are."""
        self.copies = Axis(copies)
        self.sums = Array(self.dtype, (copies, *(a.extent for a in self.held)))

    @property
    def sums_place(self) -> Index:
        """Where in the copies an element is."""
        return self.sums.index((of(self.copies), *map(of, self.held)))

    @property
    def largest(self) -> int:
        """The largest position."""
        arrays = (*self.site.arrays.values(), self.sums)
        return max(a.span for a in arrays)

    def _update(self, places: Sequence[Index]) -> Expr:
        """What is combined: the update at some places, or its number."""
        op = self.op
        if op.mode == "set":
            number = linear(places, [axis.extent for axis in self.updates])
            return Expr("index", index_dtype(extent_of(self.updates)), (), number)
        at = tuple(map(of, self.axes))
        return self.site.operand(2, (*at[: op.axis], *places, *at[op.axis + 1 :]))

    def kernels(self) -> list[Kernel]:
        """What combines updates, and what is done with that."""
        ((end, _),) = self.site.stage.results
        (result,) = self.site.node.results
        graph, at = self.site.stage.graph, tuple(map(of, self.axes))
        elements = Elements(graph, self.site.arrays, {end}, {result})
        stored = elements.at(end, at)
        by = {elements.leaf(result): self._result(elements)}
        (found,) = substituted([stored], by)
        last = looped(self.axes, [found], [self.site.output], self.site.target)
        return [*self.combining(), last]

    def combining(self) -> list[Kernel]:
        """The kernels that combine updates."""
        raise NotImplementedError

    def _result(self, elements: Elements) -> Expr:
        """An element of the result, by those of the copies."""
        op, at = self.op, tuple(map(of, self.axes))
        copy = Axis(self.copies.extent)
        part = read(self.sums, self.sums.index((of(copy), *map(of, self.held))))
        total = reduced(self.kind, part, (copy,))
        own = elements.at(self.site.node.operands[0], at)
        if op.mode != "set":
            return combined(self.kind, own, total)
        item = Item(greater(total, const(0, total.dtype)), extent_of(self.updates))
        places = unravelled(of(item), [axis.extent for axis in self.updates])
        where = (*at[: op.axis], *places, *at[op.axis + 1 :])
        return choose(total >= 0, elements.at(self.site.node.operands[2], where), own)


class Owners(Scatter):
    """By units of which each has some places, and passes over updates for others."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.ranges = Axis(1)

    def unit(self, scope: Scope) -> None:
        """What is done for a unit, whose places along axes are known."""
        low, high = self._share(scope, self.target, self.ranges)
        self.fill(scope, low, high)
        longest = max(self.updates, key=lambda axis: axis.extent)
        inside, loops = scope, list[tuple[Scope, str, Expr, Expr]]()
        for axis in self.updates:
            name = scope.names.fresh("k")
            begin, end = scope.names.sizes.const(0), self.extent(scope, axis)
            if axis is longest:
                begin, end = self._share(scope, axis, self.copies)
            loops.append((inside, name, begin, end))
            inside = inside.inside({axis: scope.names.sizes.named(name)})
        self._update_one(inside, low, high)
        body = inside.body
        for outer, name, begin, end in reversed(loops):
            outer.body.append(For(name, begin, end, 1, body))
            body = outer.body

    def fill(self, scope: Scope, low: Expr, high: Expr) -> None:
        """Stores what changes nothing, from one place to another."""
        name = scope.names.fresh("k")
        inside = scope.inside({self.target: scope.names.sizes.named(name)})
        self.behind(inside, self.clear)
        scope.body.append(For(name, low, high, 1, inside.body))

    def clear(self, inside: Scope) -> None:
        """Stores what changes nothing, at a place."""
        value = splat(self.neutral, inside.lanes)
        at = inside.position(self.sums_place)
        inside.body.append(Store(self.sums, at, value))

    def behind(self, scope: Scope, body: Callable[[Scope], None]) -> None:
        """Adds statements for all elements of the unit at a place."""
        body(scope)

    def extent(self, scope: Scope, axis: Axis) -> Expr:
        """How many places an axis has."""
        return scope.names.sizes.number(axis.extent, axis)

    def _share(self, scope: Scope, axis: Axis, by: Axis) -> tuple[Expr, Expr]:
        """The part of an axis that is this unit's."""
        many, n = self.extent(scope, by), self.extent(scope, axis)
        own, one = scope.where[by], scope.names.sizes.const(1)
        begin = scope.let(share(own, n, many), "k")
        return begin, scope.let(share(own + one, n, many), "k")

    def _update_one(self, scope: Scope, low: Expr, high: Expr) -> None:
        """Combines an update with what is there, if that is this unit's."""
        index = scope.settled(scope.value(self.index).to(scope.names.sizes.dtype))
        here = scope.inside({self.target: index})

        def body(inside: Scope) -> None:
            offset = inside.settled(inside.position(self.sums_place))
            held = Expr("load", self.dtype, (offset,), self.sums, inside.lanes)
            value = inside.settled(inside.value(self.value))
            found = combined(self.kind, inside.let(held), value)
            inside.body.append(Store(self.sums, offset, found))

        self.behind(here, body)
        if self.ranges.extent > 1:
            own = (index >= low) & (index < high)
            scope.body.append(If(own, here.body))
        else:
            scope.body += here.body


class _Ranges(Owners):
    """The same for CPUs: a unit is one place along all axes but two.

    These are ``target``, along which indices point, and the last one behind that.
    """

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        last, own = self.held[-1], extent_of(self.held)
        self.along = last if last is not self.target else None
        most = most_lanes([self.value, self.neutral], site.target)
        self.lanes = lanes_along(last, most)
        apart = (self.target, self.along)
        self.rows = [axis for axis in self.held if axis not in apart]
        units, places = extent_of(self.rows), extent_of(self.updates)
        many = places * own // self.target.extent
        self.work = _COST * many
        parts = items_for(self.work, self.work, site.target)
        parts = parts if 2 * units <= parts else 1
        copies = min(parts, many // max(own, 1))
        self.divide(max(copies, 1))
        self.ranges = Axis(1 if copies > 1 else min(parts, site.target.cores))

    def combining(self) -> list[Kernel]:
        """The kernel that combines updates."""
        sizes = Sizes(index_dtype(self.largest))
        names = Names([self.index, self.value], sizes)
        axes = (self.copies, self.ranges, *self.rows)
        scope = Scope(names, {})
        begin, end = shares(scope, sizes.number(extent_of(axes), "units"))
        unit = sizes.named(names.fresh("u"))
        where, rest, inside = dict[Axis, Expr](), unit, scope.inside({})
        for axis in reversed(axes):
            n = sizes.number(axis.extent, axis)
            where[axis] = inside.let(rest % n, "i")
            rest = inside.let(rest / n, "i")
        self.unit(inside.beside(where))
        scope.body.append(For(unit.value, begin, end, 1, inside.body))
        items = items_for(extent_of(axes), self.work, self.site.target)
        return [
            Kernel(
                tuple(names.inputs),
                (self.sums,),
                sizes,
                tuple(scope.body),
                (items,),
                checks=names.checks,
            )
        ]

    def fill(self, scope: Scope, low: Expr, high: Expr) -> None:
        """Stores what changes nothing: vectors of places, or at each of them."""
        if self.along is not None:
            super().fill(scope, low, high)
            return
        scope.body += vectors(scope, self.target, (low, high), self.clear, self.lanes)

    def behind(self, scope: Scope, body: Callable[[Scope], None]) -> None:
        """Adds statements for all elements behind a place, if there are several."""
        if self.along is None:
            body(scope)
            return
        begin, end = scope.names.sizes.const(0), self.extent(scope, self.along)
        scope.body += vectors(scope, self.along, (begin, end), body, self.lanes)
