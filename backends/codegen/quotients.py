"""Quotients by a reduction of their row: products, where rounding twice is allowed."""

from dataclasses import replace

from graphwright.backends.codegen.expr import Expr, const
from graphwright.backends.codegen.functions import magnitude
from graphwright.backends.codegen.index import Axis
from graphwright.backends.codegen.nest import Nest
from graphwright.backends.codegen.walk import changed, free_axes, reductions_of


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
