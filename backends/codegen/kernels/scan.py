"""Running reductions for GPUs: a team runs through a row, an element for each.

Where columns lie side by side, a work-item runs through each of them alone. Few long
rows are cut into blocks; what they come to is found before.
"""

from collections.abc import Sequence

from graphwright.backends.codegen.device import Gpu
from graphwright.backends.codegen.elementwise import combined
from graphwright.backends.codegen.expr import Expr, choose, least
from graphwright.backends.codegen.index import Axis
from graphwright.backends.codegen.kernels.cumulative import Running, is_short
from graphwright.backends.codegen.kernels.table import Site, kernel_for
from graphwright.backends.codegen.loops import (
    For,
    If,
    Kernel,
    Set,
    Sizes,
    Store,
    index_dtype,
)
from graphwright.backends.codegen.nest import extent_of
from graphwright.backends.codegen.schedule_gpu import groups_for, unravelled
from graphwright.backends.codegen.team import Team, Turns
from graphwright.backends.codegen.translate import Names, Scope

_EACH = 8
"""Elements of a block for each work-item of its team, at least."""
_MOST_BLOCKS = 64
"""Each begins with what all before it come to."""


@kernel_for("cumulative", Gpu)
def scan(site: Site) -> Sequence[Kernel] | None:
    """One kernel or two; None for short axes, where plain loops do."""
    return None if is_short(site) else _Teams(site).kernels()


class _Teams(Running):
    """A running reduction whose units teams run through."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        target: Gpu = site.target
        n, rows = self.step.extent, extent_of(self.rows)
        beside = self.last is not self.step and self.last.extent >= target.lanes
        wide = target.group if n >= 2 * target.group else target.lanes
        self.size, self.target = 1 if beside else wide, target
        many = min(target.full // (rows * self.size), n // (_EACH * self.size))
        self.blocks = Axis(max(1, min(many, _MOST_BLOCKS)))
        self.units = rows * self.blocks.extent

    def kernel(self, total: Expr) -> Kernel:
        """The kernel, where ``total`` is what a block comes to."""
        group = self.target.group
        groups = groups_for(self.units, self.size, self.target)
        most = max(self.largest, self.units, self.step.extent) + (groups + 1) * group
        sizes = Sizes(index_dtype(most))
        names = Names([self.element, self.stored, total], sizes)
        scope = Scope(names, {})
        turns = Turns(scope, sizes.number(self.units, "units"), self.size, group)
        self._unit(turns, total)
        turns.close()
        return Kernel(
            tuple(names.inputs),
            (self.site.output,),
            sizes,
            tuple(scope.body),
            (groups,),
            (group,),
            checks=names.checks,
            local=tuple(turns.team.near.values()) if turns.team else (),
        )

    # Statements -----------------------------------------------------------------------

    def _unit(self, turns: Turns, total: Expr) -> None:
        """A block of a row, or of a column."""
        scope, sizes = turns.inside, turns.inside.names.sizes
        axes = (self.blocks, *self.rows)
        counts = [(axis, sizes.number(axis.extent, axis)) for axis in axes]
        scope.where = unravelled(scope, counts, turns.unit)
        before = self.before(scope, total)
        begin, end = self.reach(scope, scope.where[self.blocks])
        step = sizes.named(scope.names.fresh("k"))
        inside = scope.inside({})
        if turns.team is None:
            self._alone(inside, step, before)
            scope.body.append(For(step.value, begin, end, 1, inside.body))
            return
        mine = begin + step + turns.team.mate, end
        self._together(inside, turns.team, mine, before, turns.own)
        longest = -(-self.step.extent // self.blocks.extent)  # all teams take as many
        most = sizes.number(longest, "longest")
        loop = For(step.value, sizes.const(0), most, self.size, inside.body)
        scope.body.append(loop)

    def _alone(self, scope: Scope, step: Expr, before: Expr) -> None:
        """The next element of a column."""
        scope.where = {**scope.where, self.step: step}
        element = scope.settled(scope.value(self.element))
        after = scope.let(combined(self.kind, before, element))
        self._store(scope, scope.let(before) if self.exclusive else after)
        scope.body.append(Set(before.value, after))

    def _together(
        self,
        scope: Scope,
        team: Team,
        mine: tuple[Expr, Expr],
        before: Expr,
        own: Expr | None,
    ) -> None:
        """The next elements of a row, one for each of a team: ``mine`` if below end."""
        place, end = scope.let(mine[0], "k"), mine[1]
        fits = scope.let(place < end)
        inside = {self.step: scope.let(least(place, end - 1), "k")}
        scope.where = {**scope.where, **inside}
        element = choose(fits, scope.value(self.element), self.neutral)
        found = team.up_to(scope, self.kind, scope.settled(element), self.neutral)
        own_sum = scope.let(combined(self.kind, before, found[not self.exclusive]))
        stored = scope.inside({})
        self._store(stored, own_sum)
        scope.body.append(If(fits if own is None else fits & own, stored.body))
        after = combined(self.kind, before, found[2])
        scope.body.append(Set(before.value, after))

    def _store(self, scope: Scope, found: Expr) -> None:
        scope.bind(self.leaf, found)
        value, at = scope.value(self.stored), scope.position(self.place)
        scope.body.append(Store(self.site.output, at, value))
