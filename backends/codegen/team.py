"""Work-items of a work-group that compute something together, in local memory."""

from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.elementwise import combined
from graphwright.backends.codegen.expr import Expr
from graphwright.backends.codegen.loops import Barrier, For, If, Store
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
        near: Arrays in local memory, one element for each work-item, by dtype.
    """

    def __init__(self, scope: Scope, size: int, group: int) -> None:
        self._sizes, self.size, self._group = scope.names.sizes, size, group
        self.member = scope.let(Expr("member", self._sizes.dtype), "m")
        self.mate, self._first = self.member, self._sizes.const(0)
        if size < group:
            self.mate = scope.let(self.member & self._sizes.const(size - 1), "m")
            self._first = self.member - self.mate
        self.near: dict[DType, Array] = {}

    def across(self, scope: Scope, kind: str, value: Expr) -> Expr:
        """What the values of a team combine to, as each of it then knows."""
        near, sizes = self._array(value.dtype), self._sizes
        scope.body += [Store(near, self.member, value), Barrier()]
        done, level = sizes.named(scope.names.fresh("h")), scope.inside({})
        half = level.let(sizes.const(self.size // 2) / done, "h")
        inside = level.inside({})
        pair = [inside.let(_load(near, at)) for at in (self.member, self.member + half)]
        inside.body.append(Store(near, self.member, combined(kind, *pair)))
        level.body += [If(self.mate < half, inside.body), Barrier()]
        ends = sizes.const(1), sizes.const(self.size)
        scope.body.append(For(done.value, *ends, done, level.body))  # 1, 2, 4, ...
        found = scope.let(_load(near, self._first), "a")
        scope.body.append(Barrier())  # what it is in will be written again
        return found

    def _array(self, dtype: DType) -> Array:
        return self.near.setdefault(dtype, Array(dtype, (self._group,)))


def _load(array: Array, at: Expr) -> Expr:
    return Expr("load", array.dtype, (at,), array)
