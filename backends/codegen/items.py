"""How work-items share work: how many there are, and which units are whose."""

from graphwright.backends.codegen.device import Target
from graphwright.backends.codegen.expr import Expr, share
from graphwright.backends.codegen.translate import Scope

_ITEM = 1 << 14
"""Operations that are worth a work-item of their own."""


def shares(scope: Scope, total: Expr) -> tuple[Expr, Expr]:
    """Where the work-item's share of some units begins and ends."""
    sizes = scope.names.sizes
    item, many = Expr("item", sizes.dtype), Expr("items", sizes.dtype)
    begin = scope.let(share(item, total, many), "u")
    return begin, scope.let(share(item + sizes.const(1), total, many), "u")


def items_for(units: int, work: int, target: Target) -> int:
    """How many work-items share some units of an amount of work, in operations."""
    most = 1 if target.cores == 1 else 8 * target.cores
    return max(1, min(units, most, work // _ITEM))
