"""The schedule of loops for CPU devices: one work-item a tile, explicit vectors.

A work-item runs a range of *units*. A unit is a row (all axes but the innermost one),
or a block of one. Along the innermost axis, or along the last axis of a reduction that
does not hang on it, loops work on vectors, then on what is left one by one. Where
operands lie the other way round, a unit is several rows, a vector of each at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import prod

from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.elements import Array, Coordinates, Reduction
from graphwright.backends.codegen.elementwise import combined, neutral
from graphwright.backends.codegen.expr import Expr, choose, least, share
from graphwright.backends.codegen.index import Axis, Index
from graphwright.backends.codegen.items import items_for, shares
from graphwright.backends.codegen.loops import (
    For,
    Kernel,
    Set,
    Sizes,
    index_dtype,
)
from graphwright.backends.codegen.models import MODELS, Form, Model, noted
from graphwright.backends.codegen.nest import Nest, extent_of, stored_nest
from graphwright.backends.codegen.over import pointwise
from graphwright.backends.codegen.quotients import multiplied, of_rows
from graphwright.backends.codegen.runs import (
    Body,
    abreast,
    across,
    ended,
    is_long,
    stored,
    vectors,
)
from graphwright.backends.codegen.softmax import of_numbers
from graphwright.backends.codegen.squares import in_squares
from graphwright.backends.codegen.translate import Names, Scope, splat
from graphwright.backends.codegen.twice import Twice, twice
from graphwright.backends.codegen.walk import (
    axes_by_expr,
    indices_of,
    lie_along,
    ordered,
    reductions_of,
)

LANES = 8
"""Of vectors on every device; what is shorter has none."""
_AGAIN = 4
"""Elements of a row for each that all blocks of it reduce again."""
_TILE = 32
"""Rows of a unit that has several: two lines of a cache of what lies along them."""
_ROWS = 16
"""As many rows there must be."""
_WIDE = 8
"""Vectors that are reduced side by side: whole lines of a cache in each row. Twice as
many where axes are long and registers 32: sums of columns take 0.85 to 0.95 so."""
_CHAINS = 4
"""Vectors that a reduction along a row combines apart: else each waits for another."""
_SIMPLE = 8
"""Expressions of which so many sums fit into registers, at most."""


def looped(
    axes: Sequence[Axis],
    exprs: Sequence[Expr],
    outputs: Sequence[Array],
    target: Cpu,
    at: Coordinates | None = None,
) -> Kernel:
    """A kernel that computes expressions over axes and writes them to arrays.

    ``at`` are their coordinates in the arrays, by default the axes themselves.
    """
    nest = stored_nest(axes, exprs, outputs, at)
    return _Schedule(nest, outputs, target).modelled()


def parts_of(whole: Expr, axes: Sequence[Axis], target: Cpu) -> int:
    """In how many parts a reduction over axes is worth being computed; 1 if it is not.

    Args:
        whole: The reduction.
        axes: Those of its results.
        target: The device.
    """
    results, terms = extent_of(axes), extent_of(whole.value.axes)
    work = results * terms * (1 + len(ordered(whole.args)))
    longest = max((axis.extent for axis in whole.value.axes), default=1)
    many = min(items_for(terms, work, target), max(1, longest // target.lanes))
    units = results // LANES if lie_along(whole, axes) else results
    return many if 2 * units <= many else 1


def most_lanes(exprs: Sequence[Expr], target: Cpu) -> int:
    """Lanes of vectors: as many of 64 bits fill a register or two on every device."""
    wide = any(expr.dtype.bits == 64 for expr in ordered(exprs))
    return LANES if wide else target.lanes


def lanes_along(axis: Axis, most: int) -> int:
    """Lanes of vectors along an axis: so many only where they fill several."""
    return most if axis.extent >= 2 * most else LANES


def _tiles(axis: Axis) -> int:
    """In how many parts an axis is that units have several rows of."""
    return -(-axis.extent // _TILE)


class _Schedule:
    """A nest as statements.

    Args:
        nest: What is computed.
        outputs: Arrays of the results.
        target: The device.
    """

    def __init__(self, nest: Nest, outputs: Sequence[Array], target: Cpu) -> None:
        self.outputs, self.target = outputs, target
        self._take(nest)
        self.inner = self._inner_axis()
        self.once: tuple[Expr, ...] = ()
        if self.inner is not None and self.reductions and not target.strict:
            nest, self.once = multiplied(of_numbers(nest, self.inner), self.inner)
            self.once += of_rows(nest, self.inner)
            self._take(nest)
        self.most = most_lanes(nest.exprs, target)
        self.sizes = Sizes(index_dtype(nest.largest))
        self.names, self.exprs = Names(nest.exprs, self.sizes), nest.exprs
        self.twice = self._twice()
        self.tiles = self._tile_axes()
        self.lanes = 1 if self.inner is None else self.lanes_along(self.inner)
        self.wide = self.lanes * self._beside()
        apart = {self.inner, *self.tiles}
        self.rows = tuple(axis for axis in nest.axes if axis not in apart)

    def _take(self, nest: Nest) -> None:
        self.nest = nest
        self.reductions = reductions_of(nest.exprs)
        self.axes = axes_by_expr(nest.exprs)

    def modelled(self) -> Kernel:
        """The kernel: new, or of the source of one that was scheduled before."""
        units, blocks, block = self._division()
        items = self._items(units * blocks)
        form = Form(self.nest, self.outputs, self._kind_of)
        named = {"units": units * blocks, "blocks": blocks, "block": block}
        named |= {f"tiles {i}": _tiles(axis) for i, axis in enumerate(self.tiles)}
        tiles = tuple(map(self.nest.axes.index, self.tiles))
        counts = (n if n < 2 else 2 for n in named.values())
        again = self.twice is not None
        key = form.key, self.sizes.dtype, tiles, self.wide, again, *counts
        model = MODELS.get(key)
        if model is None:
            made = self.kernel(units, blocks, block, items)
            rows = zip(made.sizes.keys, made.sizes.values, strict=True)
            noted(key, Model(made, tuple(form.place(*row) for row in rows)))
            return made
        sizes = Sizes(self.sizes.dtype, form.numbers(model.places, named))
        return replace(
            model.kernel,
            inputs=tuple(self.names.inputs),
            outputs=tuple(self.outputs),
            sizes=sizes,
            body=(),
            items=(items,),
            pointwise=pointwise(self.nest, self.outputs),
            model=model.kernel,
        )

    def kernel(self, units: int, blocks: int, block: int, items: int) -> Kernel:
        """The kernel, in so many units of blocks, for so many work-items."""
        sizes = self.sizes
        scope = Scope(self.names, {}, place=self._reduced)
        begin, end = shares(scope, sizes.number(units * blocks, "units"))
        unit = sizes.named(self.names.fresh("u"))
        row = scope.inside({})
        self._unit(row, unit, blocks, block)
        scope.body.append(For(unit.value, begin, end, 1, row.body))
        return Kernel(
            tuple(a for a in self.names.inputs),
            tuple(self.outputs),
            sizes,
            tuple(scope.body),
            (items,),
            checks=self.names.checks,
            pointwise=pointwise(self.nest, self.outputs),
        )

    def lanes_along(self, axis: Axis) -> int:
        """Lanes of vectors along an axis."""
        return lanes_along(axis, self.most)

    def _kind_of(self, axis: Axis) -> int:
        """What source says of an axis: its extent if it is short, else its vectors.

        One more says that these may go abreast.
        """
        if axis.extent < LANES:
            return axis.extent
        reduced = any(axis in expr.value.axes[-1:] for expr in self.reductions)
        lanes = self.lanes_along(axis)
        return lanes * (self._chains(axis) if reduced else 1) + is_long(axis, lanes)

    def _chains(self, axis: Axis) -> int:
        """Vectors in each turn of a simple reduction along an axis."""
        return _CHAINS if axis.extent >= 2 * _CHAINS * self.lanes_along(axis) else 1

    # Division -----------------------------------------------------------------------

    def _inner_axis(self) -> Axis | None:
        """The axis along which results are vectors; None if only reductions are."""
        if not self.nest.axes:
            return None
        axis = self.nest.axes[-1]
        hang = [r for r in self.reductions if axis in self.axes[r]]
        if any(_hangs(r.value.part, axis) for r in hang):
            return None  # bounds of a lane's own
        if hang and all(self._is_along(r, axis) for r in hang):
            return None
        return axis

    def _twice(self) -> Twice | None:
        """What is stored while it is reduced; then results are computed from that."""
        inner = self.inner
        if inner is None or inner.extent < LANES or not self.reductions:
            return None
        found = twice(self.nest, self.outputs, inner)
        if found is None or inner in self.axes[found.reduction]:
            return None
        self.exprs = (found.expr,)
        self.names.count(self.exprs)
        return found

    def _tile_axes(self) -> tuple[Axis, ...]:
        """Axes of which a unit has several rows.

        These are one along which an operand lies, if that is not the innermost one,
        and one around an innermost one that is short.
        """
        inner = self.inner
        if inner is None or self.reductions:
            return ()
        around = self.nest.axes[-2:-1] if inner.extent < LANES else ()
        found = {axis for axis in around if axis.extent >= _ROWS}
        for expr in ordered(self.nest.exprs):
            if expr.op == "read" and abs(expr.value.index.factor(inner)) >= LANES:
                found.update(self._lies_along(expr.value.index))
                break
        return tuple(axis for axis in reversed(self.nest.axes) if axis in found)

    def _lies_along(self, index: Index) -> Iterator[Axis]:
        for axis in self.nest.axes:
            if abs(index.factor(axis)) == 1 and axis.extent >= _ROWS:
                yield axis

    def _beside(self) -> int:
        """How many vectors are reduced at once."""
        if self.inner is None or not self._is_wide(self.inner):
            return 1
        twice = is_long(self.inner, self.lanes) and len(self.reductions) == 1
        return 2 * _WIDE if twice else _WIDE

    def _is_wide(self, inner: Axis) -> bool:
        """Whether simple sums of what lies in rows have results side by side."""
        if not self.reductions or inner.extent < self.lanes * _WIDE:
            return False
        below = ordered([arg for r in self.reductions for arg in r.args])
        factors = {x.factor(inner) for e in below for x in indices_of(e)}
        hang = all(inner in self.axes[r] for r in self.reductions)
        return hang and 1 in factors and factors <= {0, 1} and len(below) <= _SIMPLE

    def _is_along(self, reduction: Expr, axis: Axis) -> bool:
        """Whether neighbours that a reduction reads are along its own axis."""
        own = reduction.value.axes[-1:]
        if not own or own[0].extent < LANES:
            return False
        return axis.extent < LANES or not lie_along(reduction, [axis])

    def _division(self) -> tuple[int, int, int]:
        """Rows, blocks of a row, and elements of a block."""
        rows = extent_of(self.rows) * prod(map(_tiles, self.tiles))
        if self.inner is None:
            return rows, 1, 1
        n = self.inner.extent
        hoisted = [r for r in self.reductions if self.inner not in self.axes[r]]
        again = sum(extent_of(r.value.axes) for r in hoisted)  # by each block
        want = -(-self._items(rows * -(-n // self.lanes)) // max(rows, 1))
        if want <= 1 or again * want * _AGAIN > n:
            return rows, 1, n
        block = -(-n // (want * self.wide)) * self.wide
        short = 0 < n % block < self.lanes  # the one before takes that
        return rows, -(-n // block) - short, block

    def _items(self, units: int) -> int:
        work = extent_of(self.nest.axes) * (1 + len(ordered(self.nest.exprs)))
        for reduction in self.reductions:
            work *= extent_of(reduction.value.axes)
        return items_for(units, work, self.target)

    # Statements ---------------------------------------------------------------------

    def _unit(self, row: Scope, unit: Expr, blocks: int, block: int) -> None:
        """One row, or a block of it."""
        sizes, rest = self.sizes, unit
        if blocks > 1:
            many = sizes.number(blocks, "blocks")
            rest = row.let(unit / many, "i")
        stores: Body = self._stores
        for number, axis in enumerate(self.tiles):
            rest, stores = self._tiled(row, rest, number, axis, stores)
        row.where = {**row.where, **self._coordinates(row, rest)}
        for reduction in self.reductions:
            if self.inner is None or self.inner not in self.axes[reduction]:
                row.value(reduction)
        for expr in self.once:
            row.bind(expr, row.let(row.value(expr)))
        if self.inner is None:
            self._stores(row)
            return
        extent = sizes.number(self.inner.extent, self.inner)
        begin, end = sizes.const(0), extent
        if blocks > 1:
            width, many = sizes.number(block, "block"), sizes.number(blocks, "blocks")
            own = row.let(unit % many, "i")
            begin = row.let(own * width, "j")
            within = own < many - sizes.const(1)
            end = row.let(choose(within, begin + width, extent), "j")
        written = begin
        if self.wide > self.lanes:
            begin = self._side_by_side(row, self.inner, begin, end)
        repeats = self._may_repeat(self.inner, written is not begin)
        run = ended if repeats else vectors
        row.body += run(row, self.inner, (begin, end), stores, self.lanes)

    def _may_repeat(self, inner: Axis, written: bool) -> bool:
        """Whether elements may be computed twice: after what is ``written``, if so."""
        if self.tiles or inner.extent < self.lanes:
            return False
        if written and pointwise(self.nest, self.outputs):
            return False
        return all(place.factor(inner) == 1 for place in self.nest.places)

    def _side_by_side(self, row: Scope, inner: Axis, begin: Expr, end: Expr) -> Expr:
        """A loop over several vectors at once; where what is left of them begins."""
        sizes, name = self.sizes, self.names.fresh("j")
        first = row.inside({inner: sizes.named(name)}, inner, self.lanes)
        starts = [
            first.where[inner] + sizes.const(at)
            for at in range(0, self.wide, self.lanes)
        ]
        spots = [first.beside({inner: at}, inner, self.lanes) for at in starts]
        for expr in self.reductions:
            self._reduced_beside(first, expr, spots)
        for spot in spots:
            self._stores(spot)
        last = end - sizes.const(self.wide - 1)
        row.body.append(For(name, begin, last, self.wide, first.body))
        return row.let(end - (end - begin) % sizes.const(self.wide), "j")

    def _reduced_beside(self, scope: Scope, expr: Expr, spots: Sequence[Scope]) -> None:
        """A reduction at several spots in one loop."""
        reduction: Reduction = expr.value
        empty = splat(neutral(reduction.kind, expr.dtype), self.lanes)
        totals = [scope.let(empty, "a", mutable=True) for _ in spots]
        loops = _Nested(scope, self, reduction.axes, reduction)
        for spot, total in zip(spots, totals, strict=True):
            at = Scope(
                self.names,
                {**loops.scope.where, **spot.where},
                *(spot.inner, self.lanes, spot, self._reduced),
            )
            at.body = loops.scope.body
            element = at.settled(at.value(expr.args[0]))
            found = combined(reduction.kind, total, element)
            at.body.append(Set(total.value, found))
        loops.close()
        for spot, total in zip(spots, totals, strict=True):
            spot.bind(expr, total)

    def _tiled(
        self, row: Scope, rest: Expr, number: int, axis: Axis, body: Body
    ) -> tuple[Expr, Body]:
        """What is left of a unit's number, and a loop over the axis within the unit."""
        sizes = self.sizes
        many = sizes.number(_tiles(axis), f"tiles {number}")
        begin = row.let((rest % many) * sizes.const(_TILE), "i")
        extent = sizes.number(axis.extent, axis)
        end = row.let(least(begin + sizes.const(_TILE), extent), "i")

        def stores(scope: Scope) -> None:
            first = in_squares(scope, axis, (begin, end), self.exprs, body)
            at = sizes.named(self.names.fresh("i"))
            inside = scope.inside({axis: at}, scope.inner, scope.lanes)
            body(inside)
            scope.body.append(For(at.value, first, end, 1, inside.body))

        return row.let(rest / many, "i"), stores

    def _coordinates(self, scope: Scope, rest: Expr) -> dict[Axis, Expr]:
        found: dict[Axis, Expr] = {}
        for axis in reversed(self.rows[1:]):
            n = self.sizes.number(axis.extent, axis)
            found[axis] = scope.let(rest % n, "i")
            rest = scope.let(rest / n, "i")
        if self.rows:
            found[self.rows[0]] = rest
        return found

    def _stores(self, scope: Scope) -> None:
        rows = zip(self.outputs, self.nest.places, self.exprs, strict=True)
        values = [(a, place, scope.value(expr)) for a, place, expr in rows]
        if len(values) > 1:  # a result may lie where what others read is
            values = [(a, place, scope.settled(x)) for a, place, x in values]
        for array, place, value in values:
            stored(scope, array, place, value)

    # Reductions ---------------------------------------------------------------------

    def _reduced(self, scope: Scope, expr: Expr) -> Expr:
        """Loops that combine elements; gives the variable with the result."""
        reduction: Reduction = expr.value
        for inner in reductions_of(expr.args):  # they hang on no axis of it
            scope.value(inner)
        empty = neutral(reduction.kind, expr.dtype)
        if scope.lanes > 1 or not reduction.axes or reduction.axes[-1].extent < LANES:
            return self._by_lanes(scope, expr, empty)
        *outer, axis = reduction.axes
        width = self.lanes_along(axis)
        many = self._chains(axis) if len(ordered(expr.args)) <= _SIMPLE else 1
        zero = splat(empty, width)
        totals = [scope.let(zero, "a", mutable=True) for _ in range(many)]
        loops = _Nested(scope, self, outer, reduction)

        def body(inside: Scope, total: Expr = totals[0]) -> None:
            element = inside.settled(inside.value(expr.args[0]))
            if self.twice is not None and self.twice.reduction is expr:
                self._keep(inside, inside.where[axis], element)
            if inside.kept is not None:
                element = inside.settled(choose(inside.kept, element, zero))
            found = combined(reduction.kind, total, element)
            inside.body.append(Set(total.value, found))

        deepest = loops.scope
        reach = self.reach(scope, reduction, axis)
        if many > 1:
            bodies = [partial(body, total=total) for total in totals]
            loop, reach = abreast(deepest, axis, reach, bodies, width)
            deepest.body.append(loop)
        deepest.body += ended(deepest, axis, reach, body, width, masks=True)
        loops.close()
        return across(scope, reduction.kind, totals)

    def _keep(self, scope: Scope, at: Expr, element: Expr) -> None:
        """Stores an element, or a vector of them, for the results of the row."""
        assert self.inner is not None
        there = scope.beside({self.inner: at}, self.inner, scope.lanes)
        there.later = scope.later
        stored(there, self.outputs[0], self.nest.places[0], element)

    def _by_lanes(self, scope: Scope, expr: Expr, empty: Expr) -> Expr:
        """Each lane for itself."""
        reduction: Reduction = expr.value
        total = scope.let(splat(empty, scope.lanes), "a", mutable=True)
        loops = _Nested(scope, self, reduction.axes, reduction)
        element = loops.scope.settled(loops.scope.value(expr.args[0]))
        found = combined(reduction.kind, total, element)
        loops.scope.body.append(Set(total.value, found))
        loops.close()
        return total

    def reach(
        self, scope: Scope, reduction: Reduction, axis: Axis
    ) -> tuple[Expr, Expr]:
        """Where a reduction's elements along one of its axes begin and end."""
        sizes = self.sizes
        end = sizes.number(axis.extent, axis)
        longest = max(reduction.axes, key=lambda axis: axis.extent)
        if reduction.part is None or axis is not longest:
            return sizes.const(0), end
        many = sizes.number(reduction.parts, (axis, "parts"))
        part = scope.position(reduction.part)
        begin = scope.let(share(part, end, many), "k")
        return begin, scope.let(share(part + sizes.const(1), end, many), "k")


class _Nested:
    """Plain loops within a scope, around what is added to ``scope``."""

    def __init__(
        self,
        outer: Scope,
        schedule: _Schedule,
        axes: Sequence[Axis],
        reduction: Reduction,
    ) -> None:
        self._levels: list[tuple[Scope, str, tuple[Expr, Expr]]] = []
        self.scope = outer
        for axis in axes:
            name = schedule.names.fresh("k")
            where = {axis: schedule.sizes.named(name)}
            reach = schedule.reach(outer, reduction, axis)
            self._levels.append((self.scope, name, reach))
            self.scope = self.scope.inside(where, outer.inner, outer.lanes)

    def close(self) -> None:
        """Puts the loops into the outermost scope."""
        body = self.scope.body
        for scope, name, (begin, end) in reversed(self._levels):
            scope.body.append(For(name, begin, end, 1, body))
            body = scope.body


def _hangs(part: Index | None, axis: Axis) -> bool:
    """Whether it is along an axis that parts of a reduction lie."""
    return part is not None and axis in part.axes()
