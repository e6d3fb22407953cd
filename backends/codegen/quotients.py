"""Quotients by a reduction of their row: products, where rounding twice is allowed."""

from dataclasses import replace

from graphwright.backends.codegen.expr import Expr, const
from graphwright.backends.codegen.functions import magnitude
from graphwright.backends.codegen.index import Axis
from graphwright.backends.codegen.nest import Nest
from graphwright.backends.codegen.walk import (
    axes_by_expr,
    changed,
    children_of,
    free_axes,
    ordered,
    reductions_of,
)

_LONG = 24
"""So many operations are worth a statement of their own."""


def multiplied(nest: Nest, inner: Axis) -> tuple[Nest, tuple[Expr, ...]]:
    """The nest, and what it takes once of each row along an axis.

    ``x / y = x * (1 / y)`` within the range in which ``1 / y`` is a normal number.
    """
    once: dict[Expr, tuple[Expr, Expr]] = {}

    def product(expr: Expr) -> Expr:
        if not _divides_row(expr, inner):
            return expr
        x, y = expr.args
        factor, holds = once.setdefault(y, _inverse(y))
        return Expr("branch", expr.dtype, (holds, x * factor, expr))

    exprs = tuple(changed(nest.exprs, product))
    found = tuple(part for pair in once.values() for part in pair)
    return replace(nest, exprs=exprs) if found else nest, found


def of_rows(nest: Nest, inner: Axis) -> tuple[Expr, ...]:
    """What takes long and hangs on reductions of a row alone, not on an axis."""
    axes, reduced = axes_by_expr(nest.exprs), set[Expr]()
    for expr in ordered(nest.exprs):
        if expr.op == "reduce" or not reduced.isdisjoint(children_of(expr)):
            reduced.add(expr)
    seen, found, stack = set[Expr](), list[Expr](), [*nest.exprs]
    while stack:
        expr = stack.pop()
        if expr in seen or expr not in reduced or expr.op == "reduce":
            continue
        seen.add(expr)
        if inner in axes[expr]:
            stack += expr.args
        elif sum(x.op not in ("const", "reduce") for x in ordered([expr])) > _LONG:
            found.append(expr)
    return tuple(found)


def _divides_row(expr: Expr, inner: Axis) -> bool:
    if expr.op != "div" or not expr.dtype.is_float:
        return False
    x, y = expr.args
    whole = inner in free_axes(x) and inner not in free_axes(y)
    return whole and bool(reductions_of([y]))


def _inverse(y: Expr) -> tuple[Expr, Expr]:
    """What to multiply by, and whether that is right."""
    most = 2.0 ** (126 if y.dtype.bits == 32 else 1022)
    size = magnitude(y)
    holds = (size >= 1 / most) & (size <= most)
    return const(1.0, y.dtype) / y, holds
