"""Operands that lie the other way round than results: squares of them are turned.

A vector of a result holds elements of as many lines of such an operand. 128 bits of
each line are elements of some vectors, neighbours along another axis: these are read at
once, and change places in a few steps, each of which interleaves pairs of vectors.
"""

from collections.abc import Sequence
from dataclasses import replace

from graphwright.backends.codegen.expr import Expr
from graphwright.backends.codegen.index import Axis
from graphwright.backends.codegen.loops import For
from graphwright.backends.codegen.runs import Body, Reach
from graphwright.backends.codegen.translate import Scope

_BITS = 128
"""Of a line that are read at once: parts of registers in which elements change places
in a cycle."""
_WIDTHS = (32, 64)
"""Bits of elements."""


def in_squares(
    scope: Scope, axis: Axis, reach: Reach, exprs: Sequence[Expr], body: Body
) -> Expr:
    """Adds a loop along an axis over some vectors at once; what it leaves begins there.

    Args:
        scope: One of vectors.
        axis: Along which operands lie.
        reach: Where the vectors begin and end on it.
        exprs: What is computed.
        body: Adds statements for one vector.
    """
    begin, end = reach
    reads = _turned_reads(scope, axis, exprs)
    if not reads:
        return begin
    sizes, name = scope.names.sizes, scope.names.fresh("i")
    first, many = sizes.named(name), _BITS // reads[0].dtype.bits
    inside = scope.inside({axis: first}, scope.inner, scope.lanes)
    columns = [_turned(inside, read, many) for read in reads]
    for number, values in enumerate(zip(*columns, strict=True)):
        where = {axis: first + sizes.const(number)}
        there = inside.beside(where, scope.inner, scope.lanes)
        for read, value in zip(reads, values, strict=True):
            there.bind(read, value)
        body(there)
    last = scope.let(end - (end - begin) % sizes.const(many), "i")
    scope.body.append(For(name, begin, last, many, inside.body))
    return last


def _turned_reads(scope: Scope, axis: Axis, exprs: Sequence[Expr]) -> list[Expr]:
    """Reads in a scope of vectors that lie along an axis, not along their lanes."""
    if scope.lanes == 1:
        return []
    across = scope.inside({}, axis, scope.lanes)
    reads = [expr for expr in _always(exprs) if _is_plain(expr)]
    own = [x for x in reads if scope.step(x.value.index) not in (None, 0, 1, 2)]
    found = [x for x in own if across.step(x.value.index) == 1]
    widest = max((x.dtype.bits for x in found), default=0)
    return [x for x in found if x.dtype.bits == widest]


def _turned(scope: Scope, expr: Expr, many: int) -> list[Expr]:
    """A read where a scope is, and at the next places of the axis it lies along."""
    vectors = [_column(scope, expr, many, first) for first in range(many)]
    for _ in range(many.bit_length() - 1):
        pairs = zip(vectors[: many // 2], vectors[many // 2 :], strict=True)
        halves = [(x, y, low) for x, y in pairs for low in (0, many // 2)]
        vectors = [scope.let(_interleaved(*half, many)) for half in halves]
    return vectors


def _always(exprs: Sequence[Expr]) -> list[Expr]:
    """Expressions whose elements exist in any case: not what indices are made of."""
    found: dict[Expr, None] = {}
    stack = list(exprs)
    while stack:
        expr = stack.pop()
        if expr not in found:
            found[expr] = None
            stack += expr.args
    return list(found)


def _is_plain(expr: Expr) -> bool:
    read = expr.op == "read" and not expr.value.guards
    return read and expr.dtype.bits in _WIDTHS


def _column(scope: Scope, expr: Expr, many: int, first: int) -> Expr:
    """Neighbours of every line from the first one on, as many lines apart as these."""
    assert scope.inner is not None
    sizes, start = scope.names.sizes, scope.where[scope.inner]
    read = expr.value
    parts = list[Expr]()
    for line in range(first, scope.lanes, many):
        there = scope.beside({scope.inner: start + sizes.const(line)})
        at = there.position(read.index)
        parts.append(Expr("load", expr.dtype, (at,), read.array, many))
    whole = Expr("pack", expr.dtype, tuple(parts), lanes=scope.lanes)
    return scope.let(whole)


def _interleaved(x: Expr, y: Expr, low: int, width: int) -> Expr:
    """Elements of two vectors by turns, from a half of each part of a width."""
    starts = range(low, x.lanes, width)
    places = [start + i for start in starts for i in range(width // 2)]
    lanes = [Expr("lane", x.dtype, (v,), i) for i in places for v in (x, y)]
    return replace(x, op="pack", args=tuple(lanes), value=None)
