"""Scattered updates on GPUs: integers by atomic operations, all else by owners.

Integers of 32 bits come to the same in any order, so that each update is a work-item's.
Sums of floats do not: they have owners, each of one place along all axes but the one
that indices point along, and of a range of that, or of a part of the updates.
"""

from collections.abc import Sequence

from graphwright.backends.codegen.device import Gpu
from graphwright.backends.codegen.index import Axis
from graphwright.backends.codegen.kernels.scatter import Owners, Scatter, are_few
from graphwright.backends.codegen.kernels.table import Site, kernel_for
from graphwright.backends.codegen.loops import Atomic, Kernel, Sizes, index_dtype
from graphwright.backends.codegen.nest import extent_of
from graphwright.backends.codegen.schedule import looped
from graphwright.backends.codegen.schedule_gpu import groups_for, unravelled
from graphwright.backends.codegen.team import Turns
from graphwright.backends.codegen.translate import Names, Scope

_MOST_RANGES = 64
"""Each passes over all updates."""


@kernel_for("scatter", Gpu)
def combine(site: Site) -> Sequence[Kernel] | None:
    """What combines updates, and what puts them into place; None for few updates."""
    if are_few(site):
        return None
    found = _Atomics(site)
    return found.kernels() if found.are_known else _Owners(site).kernels()


class _Atomics(Scatter):
    """By atomic operations: an update of an element is a work-item's."""

    @property
    def are_known(self) -> bool:
        """Whether devices have such operations."""
        whole = self.dtype.is_int and self.dtype.bits == 32
        return whole and self.kind in ("sum", "max", "min")

    def combining(self) -> list[Kernel]:
        """What changes nothing everywhere, and then all updates."""
        places, sums = (self.copies, *self.held), self.sums
        clear = looped(places, [self.neutral], [sums], self.site.target)
        rest = self.held[self.op.axis + 1 :]
        axes = (*self.axes[: self.op.axis], *self.updates, *rest)
        turns = _turns(self, axes)
        scope = turns.inside
        index = scope.settled(scope.value(self.index).to(scope.names.sizes.dtype))
        here = scope.beside({self.target: index})
        value = here.value(self.value)
        at = here.position(self.sums_place)
        scope.body.append(Atomic(self.kind, self.sums, at, value))
        return [clear, _closed(self, turns, axes)]


class _Owners(Owners):
    """By owners: a unit is a work-item's."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        target: Gpu = site.target
        self.rows = [axis for axis in self.held if axis is not self.target]
        updates, units = extent_of(self.updates), extent_of(self.rows)
        many = max(1, target.full // max(units, 1))
        copies = min(many, updates // max(self.target.extent, 1))
        self.divide(max(copies, 1))
        if copies <= 1:
            self.ranges = Axis(min(many, self.target.extent, _MOST_RANGES))

    def combining(self) -> list[Kernel]:
        """The kernel that combines updates."""
        axes = (self.copies, self.ranges, *self.rows)
        turns = _turns(self, axes)
        self.unit(turns.inside)
        return [_closed(self, turns, axes)]


def _turns(scatter: Scatter, axes: Sequence[Axis]) -> Turns:
    """Turns of work-items, each at a place along axes."""
    group, units = scatter.site.target.group, extent_of(axes)
    most = max(scatter.largest, units) + _groups(scatter, axes) * group
    sizes = Sizes(index_dtype(most))
    scope = Scope(Names([scatter.index, scatter.value], sizes), {})
    turns = Turns(scope, sizes.number(units, "units"), 1, group)
    counts = [(axis, sizes.number(axis.extent, axis)) for axis in axes]
    turns.inside.where = unravelled(turns.inside, counts, turns.unit)
    return turns


def _groups(scatter: Scatter, axes: Sequence[Axis]) -> int:
    return groups_for(extent_of(axes), 1, scatter.site.target)


def _closed(scatter: Scatter, turns: Turns, axes: Sequence[Axis]) -> Kernel:
    """The kernel of turns that are whole."""
    turns.close()
    names = turns.scope.names
    return Kernel(
        tuple(names.inputs),
        (scatter.sums,),
        names.sizes,
        tuple(turns.scope.body),
        (_groups(scatter, axes),),
        (scatter.site.target.group,),
        checks=names.checks,
    )
