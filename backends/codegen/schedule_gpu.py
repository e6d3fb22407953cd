"""The schedule of loops for GPUs: work-groups, local memory, neighbours side by side.

What a nest computes is divided into *units*: results that reductions hang on. Some
work-items of a group, the *team* of a unit, share its reductions: each combines every
so manieth element, then they combine what they have in local memory, in a tree (Harris,
"Optimizing parallel reduction in CUDA", 2007). What is then computed of these, such as
the elements of a row behind its norm, is *spread* over the team, too. A team of one is
a work-item that computes a result alone: so are elements, and reductions of what lies
side by side. Neighbours in a group read neighbours in memory either way.
"""

from collections.abc import Sequence

from graphwright.backends.codegen.device import Gpu
from graphwright.backends.codegen.elements import Array, Coordinates, Reduction
from graphwright.backends.codegen.elementwise import combined
from graphwright.backends.codegen.expr import Expr, const, share
from graphwright.backends.codegen.index import Axis
from graphwright.backends.codegen.loops import (
    For,
    If,
    Kernel,
    Set,
    Sizes,
    Store,
    index_dtype,
)
from graphwright.backends.codegen.nest import Nest, extent_of, stored_nest
from graphwright.backends.codegen.over import pointwise
from graphwright.backends.codegen.team import Team, Turns
from graphwright.backends.codegen.translate import Names, Scope
from graphwright.backends.codegen.walk import (
    axes_by_expr,
    lie_along,
    reductions_of,
)
from graphwright.ir.ops.reduce import identity
from graphwright.ir.record import record

_ALONE = 16
"""Elements that a work-item goes through alone, whatever the others do."""
_EACH = 4
"""Elements for each work-item of a team, at least."""
_SERIAL = 32
"""Elements of a part of a reduction for each of its work-items, at least."""
_MOST_PARTS = 512
_WAVES = 8
"""Groups for each that runs at once; if there are more units, they take turns."""


def looped(
    axes: Sequence[Axis],
    exprs: Sequence[Expr],
    outputs: Sequence[Array],
    target: Gpu,
    at: Coordinates | None = None,
) -> Kernel:
    """A kernel that computes expressions over axes and writes them to arrays.

    ``at`` are their coordinates in the arrays, by default the axes themselves.
    """
    nest = stored_nest(axes, exprs, outputs, at)
    return _Schedule(nest, outputs, target).kernel()


def parts_of(whole: Expr, axes: Sequence[Axis], target: Gpu) -> int:
    """In how many parts a reduction is worth being computed; 1 if it is not.

    It is where its results, over some axes, do not keep the device busy.
    """
    results, terms = extent_of(axes), extent_of(whole.value.axes)
    team = 1 if _is_beside(whole, axes) else target.group
    busy = results * min(team, max(terms // _EACH, 1))
    wanted = min(target.full // max(busy, 1), terms // (_SERIAL * team), _MOST_PARTS)
    longest = max((axis.extent for axis in whole.value.axes), default=1)
    return max(1, min(wanted, longest))


def groups_for(units: int, team: int, target: Gpu) -> int:
    """How many groups compute units by teams of so many work-items."""
    most = _WAVES * target.full // target.group
    return max(1, min(-(-units * team // target.group), most))


def _is_beside(reduction: Expr, axes: Sequence[Axis]) -> bool:
    """Whether results that lie side by side are reduced of what does, too."""
    along = lie_along(reduction, reduction.value.axes)
    return not along and lie_along(reduction, axes)


@record(frozen=True, slots=True)
class _Division:
    """Who computes a unit.

    Attributes:
        team: Work-items of a team: one, as many as run in step, or a whole group.
        blocks: Teams for a unit: each has a block of what is spread.
    """

    team: int = 1
    blocks: int = 1


class _Schedule:
    """A nest as statements.

    Args:
        nest: What is computed.
        outputs: Arrays of the results.
        target: The device.
    """

    def __init__(self, nest: Nest, outputs: Sequence[Array], target: Gpu) -> None:
        self.nest, self.outputs, self.target = nest, outputs, target
        self.reductions = reductions_of(nest.exprs)
        self.axes = axes_by_expr(nest.exprs)
        self.spread = self._spread()
        self.rows = nest.axes[: len(nest.axes) - len(self.spread)]
        apart = set(self.spread)
        self.shared = [r for r in self.reductions if not apart & self.axes[r]]
        self.division = self._division()
        self.units = extent_of(self.rows) * self.division.blocks
        self.groups = groups_for(self.units, self.division.team, target)
        terms = (extent_of(r.value.axes) for r in self.reductions)
        reach = max(nest.largest, self.units, *terms) + self.groups * target.group
        self.sizes = Sizes(index_dtype(reach))
        self.names = Names(nest.exprs, self.sizes)
        self.team: Team | None = None

    # Division -----------------------------------------------------------------------

    def _spread(self) -> tuple[Axis, ...]:
        """The last axes, if there are reductions that hang on those before alone."""
        last = self.nest.axes[-1:]
        held = [r for r in self.reductions if not self.axes[r].intersection(last)]
        found: list[Axis] = []
        for axis in reversed(self.nest.axes):
            if not held or any(axis in self.axes[r] for r in held):
                break
            found.insert(0, axis)
        return tuple(found)

    def _division(self) -> _Division:
        few = self.target.full // max(extent_of(self.rows), 1)
        terms = max((extent_of(r.value.axes) for r in self.shared), default=0)
        behind = extent_of(self.spread) if self.spread else 0
        beside = all(_is_beside(r, self.rows) for r in self.shared)
        longest = max(terms, behind)
        if longest <= _ALONE or not self.shared or (beside and few <= 1):
            return _Division()
        most = few if beside and not behind else longest // 2
        size = self.target.group if most >= self.target.group else self.target.lanes
        blocks = min(few // size, behind // (_EACH * max(terms, size)))
        return _Division(size, max(blocks, 1))

    # Statements ---------------------------------------------------------------------

    def kernel(self) -> Kernel:
        """The kernel."""
        scope = Scope(self.names, {}, place=self._reduced)
        units = self.sizes.number(self.units, "units")
        turns = Turns(scope, units, self.division.team, self.target.group)
        self.team = turns.team
        if turns.team is None:
            self._enter(turns.inside, turns.unit)
            self._behind(turns.inside, self.sizes.const(0), 1)
        else:
            self._unit(turns.inside, turns.team, turns.unit, turns.own)
        turns.close()
        return Kernel(
            tuple(self.names.inputs),
            tuple(self.outputs),
            self.sizes,
            tuple(scope.body),
            (self.groups,),
            (self.target.group,),
            checks=self.names.checks,
            pointwise=pointwise(self.nest, self.outputs),
            local=tuple(self.team.near.values()) if self.team else (),
        )

    def _unit(self, scope: Scope, team: Team, unit: Expr, own: Expr | None) -> None:
        """One unit, or a block of it; ``own`` is false where it is another team's."""
        sizes, blocks = self.sizes, self.division.blocks
        start, step = team.mate, team.size * blocks
        if blocks > 1:
            many = sizes.number(blocks, "blocks")
            start = scope.let(start + unit % many * sizes.const(team.size), "j")
            unit = scope.let(unit / many, "i")
        self._enter(scope, unit)
        if not self.spread:
            alone = start.same(0)
            own = alone if own is None else own & alone
        inside = scope if own is None else scope.inside({})
        self._behind(inside, start, step)
        if own is not None:
            scope.body.append(If(own, inside.body))

    def _enter(self, scope: Scope, unit: Expr) -> None:
        """Says where a unit is, and computes its reductions."""
        counts = [(axis, self.sizes.number(axis.extent, axis)) for axis in self.rows]
        scope.where = {**scope.where, **unravelled(scope, counts, unit)}
        for reduction in self.shared:
            scope.value(reduction)

    def _behind(self, scope: Scope, start: Expr, step: int) -> None:
        """Stores what is computed of the reductions, from ``start`` on by steps."""
        if not self.spread:
            self._stores(scope)
            return
        sizes = self.sizes
        name, inside = sizes.named(self.names.fresh("j")), scope.inside({})
        counts = [(axis, sizes.number(axis.extent, axis)) for axis in self.spread]
        inside.where = {**scope.where, **unravelled(inside, counts, name)}
        self._stores(inside)
        end = sizes.number(extent_of(self.spread), "spread")
        by = sizes.number(step, "step")
        scope.body.append(For(name.value, start, end, by, inside.body))

    def _stores(self, scope: Scope) -> None:
        rows = zip(self.outputs, self.nest.places, self.nest.exprs, strict=True)
        values = [(a, place, scope.value(expr)) for a, place, expr in rows]
        if len(values) > 1:  # a result may lie where what others read is
            values = [(a, place, scope.settled(x)) for a, place, x in values]
        for array, place, value in values:
            scope.body.append(Store(array, scope.position(place), value))

    # Reductions ---------------------------------------------------------------------

    def _reduced(self, scope: Scope, expr: Expr) -> Expr:
        """Statements that combine elements; gives the variable with the result."""
        reduction: Reduction = expr.value
        for inner in reductions_of(expr.args):  # they hang on no axis of it
            scope.value(inner)
        neutral = const(identity(reduction.kind, expr.dtype), expr.dtype)
        total = scope.let(neutral, "a", mutable=True)
        if self.team is None or expr not in self.shared:
            self._alone(scope, expr, total)
            return total
        self._strided(scope, self.team, expr, total)
        return self.team.across(scope, reduction.kind, total)

    def _add(self, inside: Scope, expr: Expr, total: Expr) -> None:
        element = inside.settled(inside.value(expr.args[0]))
        found = combined(expr.value.kind, total, element)
        inside.body.append(Set(total.value, found))

    def _alone(self, scope: Scope, expr: Expr, total: Expr) -> None:
        """Loops over all elements."""
        reduction: Reduction = expr.value
        levels: list[tuple[Scope, Expr, tuple[Expr, Expr]]] = []
        inside = scope
        for axis in reduction.axes:
            name = self.sizes.named(self.names.fresh("k"))
            levels.append((inside, name, self._reach(scope, reduction, axis)))
            inside = inside.inside({axis: name})
        self._add(inside, expr, total)
        body = inside.body
        for outer, name, (begin, end) in reversed(levels):
            outer.body.append(For(name.value, begin, end, 1, body))
            body = outer.body

    def _strided(self, scope: Scope, team: Team, expr: Expr, total: Expr) -> None:
        """A loop over every so manieth element."""
        sizes, reduction = self.sizes, expr.value
        name, inside = sizes.named(self.names.fresh("k")), scope.inside({})
        reach = {axis: self._reach(scope, reduction, axis) for axis in reduction.axes}
        counts = [(axis, _difference(*ends)) for axis, ends in reach.items()]
        places = unravelled(inside, counts, name)
        where = {axis: _sum(reach[axis][0], at) for axis, at in places.items()}
        inside.where = {**scope.where, **where}
        self._add(inside, expr, total)
        count: Expr = sizes.const(1)
        for number, (_, n) in enumerate(counts):
            count = count * n if number else n
        end = scope.settled(count)
        scope.body.append(For(name.value, team.mate, end, team.size, inside.body))

    def _reach(
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


def _difference(begin: Expr, end: Expr) -> Expr:
    return end if begin.op == "const" else end - begin


def _sum(begin: Expr, at: Expr) -> Expr:
    return at if begin.op == "const" else at + begin


def unravelled(
    scope: Scope, counts: Sequence[tuple[Axis, Expr]], rest: Expr
) -> dict[Axis, Expr]:
    """Where along axes of so many places something is that is counted through all."""
    found: dict[Axis, Expr] = {}
    for axis, count in reversed(counts[1:]):
        found[axis] = scope.let(rest % count, "i")
        rest = scope.let(rest / count, "i")
    return found | {axis: rest for axis, _ in counts[:1]}
