"""Work-items of a work-group that compute something together, in local memory."""

from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.elementwise import combined
from graphwright.backends.codegen.expr import Expr, choose, least
from graphwright.backends.codegen.loops import Barrier, For, If, Set, Store
from graphwright.backends.codegen.translate import Scope
from graphwright.ir.dtype import DType


class Team:
    """So many neighbours of a work-group; it consists of such teams.

    All teams of a group go through the same statements: they meet at barriers.

    Args:
        scope: Where it is found out who is who; statements are added to it.
        size: Work-items of a team, a power of two.
        group: Work-items of the group.

    Attributes:
        member: The number of a work-item in its group.
        mate: Its number in its team.
        near: Arrays in local memory, by dtype and by elements for each work-item.
    """

    def __init__(self, scope: Scope, size: int, group: int) -> None:
        self._sizes, self.size, self._group = scope.names.sizes, size, group
        self.member = scope.let(Expr("member", self._sizes.dtype), "m")
        self.mate, self._first = self.member, self._sizes.const(0)
        if size < group:
            self.mate = scope.let(self.member & self._sizes.const(size - 1), "m")
            self._first = self.member - self.mate
        self.near: dict[tuple[DType, int], Array] = {}

    def across(self, scope: Scope, kind: str, value: Expr) -> Expr:
        """What the values of a team combine to, as each of it then knows."""
        near, sizes = self._shown(scope, value), self._sizes
        done, level = sizes.named(scope.names.fresh("h")), scope.inside({})
        half = level.let(sizes.const(self.size // 2) / done, "h")
        inside = level.inside({})
        pair = [inside.let(load(near, at)) for at in (self.member, self.member + half)]
        inside.body.append(Store(near, self.member, combined(kind, *pair)))
        level.body += [If(self.mate < half, inside.body), Barrier()]
        self._doubling(scope, done, level)
        found = scope.let(load(near, self._first), "a")
        scope.body.append(Barrier())  # what it is in will be written again
        return found

    def up_to(
        self, scope: Scope, kind: str, value: Expr, neutral: Expr
    ) -> tuple[Expr, Expr, Expr]:
        """What values combine to before each of a team, up to it, and in all.

        Source: Hillis and Steele, "Data parallel algorithms" (1986).
        """
        sizes, near = self._sizes, self._array(value.dtype, 2)
        total = scope.let(value, "a", mutable=True)
        place = scope.let(self.member, "m", mutable=True)  # in one half, then the other
        scope.body += [Store(near, place, total), Barrier()]
        done, level = sizes.named(scope.names.fresh("h")), scope.inside({})
        behind = level.let(self.mate >= done)
        before = level.let(load(near, place - choose(behind, done, 0)))
        sum_ = combined(kind, before, total)
        level.body.append(Set(total.value, choose(behind, sum_, total)))
        level.body.append(Set(place.value, place ^ sizes.const(self._group)))
        level.body += [Store(near, place, total), Barrier()]
        self._doubling(scope, done, level)
        half = place - self.member
        last = scope.let(load(near, half + self._first + (self.size - 1)), "a")
        after = self.mate > 0
        before = load(near, place - choose(after, sizes.const(1), 0))
        before = scope.let(choose(after, before, neutral), "a")
        scope.body.append(Barrier())  # what they are in will be written again
        return before, total, last

    def _shown(self, scope: Scope, value: Expr) -> Array:
        """The array in which all see the value of each."""
        near = self._array(value.dtype, 1)
        scope.body += [Store(near, self.member, value), Barrier()]
        return near

    def _array(self, dtype: DType, each: int) -> Array:
        made = Array(dtype, (each * self._group,))
        return self.near.setdefault((dtype, each), made)

    def _doubling(self, scope: Scope, done: Expr, level: Scope) -> None:
        """Adds a loop for 1, 2, 4 and so on, below the size of the team."""
        ends = self._sizes.const(1), self._sizes.const(self.size)
        scope.body.append(For(done.value, *ends, done, level.body))


class Turns:
    """Units that teams compute in turns; all teams of a group take as many.

    Args:
        scope: Where the loop is to stand.
        units: How many there are.
        size: Work-items of a team; a team of one knows nobody.
        group: Work-items of a group.

    Attributes:
        scope: Where the loop stands.
        team: The team, if it is more than one.
        inside: The scope of a turn.
        unit: The unit whose turn it is.
        own: False where that is another team's, since there are no more; None if never.
    """

    def __init__(self, scope: Scope, units: Expr, size: int, group: int) -> None:
        self.scope, self._units, sizes = scope, units, scope.names.sizes
        self.team = Team(scope, size, group) if size > 1 else None
        self.inside = scope.inside({})
        self.own: Expr | None = None
        self.unit = self._first = sizes.named(scope.names.fresh("u"))
        words = ("item", "items") if self.team is None else ("group", "groups")
        self._begin, self._step = (Expr(word, sizes.dtype) for word in words)
        if self.team is not None and size < group:
            many = sizes.const(group // size)
            self._begin, self._step = self._begin * many, self._step * many
            unit = self.team.member / sizes.const(size)
            unit = self.inside.let(self._first + unit, "u")
            self.own = self.inside.let(unit < units)
            self.unit = self.inside.let(least(unit, units - sizes.const(1)), "u")

    def close(self) -> None:
        """Adds the loop, with all that is in a turn."""
        ends = self._begin, self._units, self._step
        self.scope.body.append(For(self._first.value, *ends, self.inside.body))


def load(array: Array, at: Expr) -> Expr:
    """An element of an array in local memory."""
    return Expr("load", array.dtype, (at,), array)
