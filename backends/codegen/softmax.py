"""Softmax of rows and its logarithm, whose parts may do less than each of them alone.

A NaN makes all of its row NaN by the sum, so the maximum is one of numbers. Exponents
are at most 0, and what is no normal number is 0.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from graphwright.backends.codegen.elementwise import MOST_NUMBER
from graphwright.backends.codegen.expr import Expr
from graphwright.backends.codegen.functions import FUNCTIONS, weight
from graphwright.backends.codegen.index import Axis, of
from graphwright.backends.codegen.nest import Nest
from graphwright.backends.codegen.twice import same_below
from graphwright.backends.codegen.walk import reductions_of, with_axes
from graphwright.ir.dtype import float32

_Function: TypeAlias = Callable[[Expr], Expr]
_EXP = FUNCTIONS["exp"]


def _same(x: Expr) -> Expr:
    return x


_FORMS: dict[str, tuple[_Function, _Function, _Function]] = {
    "div": (_EXP, weight, _same),
    "sub": (_same, _same, FUNCTIONS["log"]),
}
"""By the op between an element and a sum: what that has of an element less the maximum,
what may stand for that, and what it has of the sum."""


def of_numbers(nest: Nest, inner: Axis) -> Nest:
    """A softmax along an axis with less to do; any other nest as it is."""
    found = reductions_of(nest.exprs)
    if len(nest.exprs) != 1 or [r.value.kind for r in found] != ["max", "sum"]:
        return nest
    (expr,), (most, total) = nest.exprs, found
    plain = all(len(r.value.axes) == 1 and r.value.part is None for r in found)
    if not plain or expr.dtype is not float32 or expr.op not in _FORMS:
        return nest
    (own,), (summed,) = most.value.axes, total.value.axes

    def less(most: Expr, axis: Axis) -> Expr:
        (x,) = with_axes(most.args, {own: of(axis)}, tuple)
        return x - most

    function, near, behind = _FORMS[expr.op]
    parts = function(less(most, inner)), behind(total), _EXP(less(most, summed))
    if not all(map(_agree, parts, (*expr.args, *total.args))):
        return nest
    most = replace(most, value=replace(most.value, kind=MOST_NUMBER))
    total = replace(total, args=(weight(less(most, summed)),))
    args = near(less(most, inner)), behind(total)
    return replace(nest, exprs=(replace(expr, args=args),))


def _agree(x: Expr, y: Expr) -> bool:
    """Whether both compute the same."""
    return same_below(x, y) is y
