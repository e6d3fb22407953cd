"""What rows compute twice: elements that are summed, and come again in results.

A softmax divides the exponentials whose sum it takes. Where they fit into the result,
they are stored there while they are summed, and read again.
"""

from collections.abc import Hashable, Sequence

from graphwright.backends.codegen.elements import Array, Read
from graphwright.backends.codegen.expr import Expr
from graphwright.backends.codegen.index import Axis, of
from graphwright.backends.codegen.nest import Nest
from graphwright.backends.codegen.over import pointwise
from graphwright.backends.codegen.walk import (
    children_of,
    ordered,
    reductions_of,
    substituted,
    with_axes,
)
from graphwright.ir.record import record

_MUCH = 12
"""Expressions that take longer to compute than to store and read."""


@record(frozen=True, eq=False, slots=True)
class Twice:
    """Elements that are stored while they are reduced.

    Attributes:
        reduction: What reduces them.
        expr: The result, by what is stored.
    """

    reduction: Expr
    expr: Expr


def twice(nest: Nest, outputs: Sequence[Array], inner: Axis) -> Twice | None:
    """What a row along an axis should store first, if anything."""
    found = reductions_of(nest.exprs)
    if len(outputs) > 1 or not found or nest.places[0].factor(inner) != 1:
        return None
    if pointwise(nest, outputs):  # what is stored first may be an operand's
        return None
    (expr,), (array,), last = nest.exprs, outputs, found[-1]
    own = last.value.axes
    if len(own) != 1 or own[0].extent != inner.extent or last.value.part is not None:
        return None
    (element,) = last.args
    if element.dtype is not array.dtype or len(ordered([element])) < _MUCH:
        return None
    (here,) = with_axes([element], {own[0]: of(inner)}, tuple)
    same = same_below(here, expr)
    if same is None:
        return None
    read = Expr("read", array.dtype, (), Read(array, nest.places[0]))
    (rest,) = substituted([expr], {same: read})
    return Twice(last, rest)


def same_below(part: Expr, expr: Expr) -> Expr | None:
    """What computes the same as a part below an expression, outside reductions."""
    numbers: dict[Hashable, int] = {}
    known: dict[Expr, int] = {}
    for x in ordered([part, expr]):
        args = tuple(known[child] for child in children_of(x))
        value = repr(x.value) if x.op == "const" else x.value
        known[x] = numbers.setdefault((x.op, x.dtype, args, value), len(numbers))
    stack, seen = [expr], set[Expr]()
    while stack:
        x = stack.pop()
        if known[x] == known[part]:
            return x
        if x not in seen and x.op != "reduce":
            stack += x.args
        seen.add(x)
    return None
