"""Loops along an axis: over vectors, and over what is left of it.

Where elements may be computed twice, what is left is a vector too, the last one of the
axis, some of whose elements others compute as well.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.elementwise import combined
from graphwright.backends.codegen.expr import Expr
from graphwright.backends.codegen.index import Axis, Index
from graphwright.backends.codegen.loops import (
    For,
    If,
    Let,
    Set,
    Soon,
    Statement,
    Store,
)
from graphwright.backends.codegen.translate import Later, Scope, splat
from graphwright.backends.codegen.walk import ordered

_LINE = 512
"""Bits of a line of memory."""
_AHEAD = 1 << 11
"""Bytes that memory is asked for ahead of vectors of a line: `exp` of 64 MB took 0.65
to 0.88 of the time so, a copy 0.75 to 1.0, by what else the machine does (Intel)."""
_MOST = 6
"""Arrays that are asked for."""

Reach: TypeAlias = tuple[Expr, Expr]
"""Where a loop begins and ends."""
Body: TypeAlias = Callable[[Scope], None]
"""Adds statements for the elements of a scope."""


def vectors(
    scope: Scope, axis: Axis, reach: Reach, body: Body, lanes: int
) -> list[Statement]:
    """A loop over vectors, and one over the rest."""
    found: list[Statement] = []
    begin, end = reach
    if axis.extent >= lanes:
        found.append(_loop(scope, axis, reach, body, lanes))
        begin = _rest(scope, reach, lanes)
    return [*found, _loop(scope, axis, (begin, end), body, 1)]


def ended(
    scope: Scope,
    axis: Axis,
    reach: Reach,
    body: Body,
    lanes: int,
    masks: bool = False,
) -> list[Statement]:
    """The same, the rest as the last vector of what is no shorter than one.

    It is computed first, since results may lie where operands do, and stored at last.
    If ``masks``, its scope says which lanes are not those of other vectors.
    """
    sizes, rest = scope.names.sizes, _rest(scope, reach, lanes)
    some = rest < reach[1]
    last = scope.let(reach[1] - sizes.const(lanes), "j")
    inside = scope.inside({axis: last}, axis, lanes)
    inside.later = Later(scope)
    if masks:
        numbers = tuple(map(sizes.const, range(lanes)))
        own = Expr("pack", sizes.dtype, numbers, lanes=lanes)
        inside.kept = inside.let(own >= splat(rest - last, lanes))
    body(inside)
    loop = _loop(scope, axis, reach, body, lanes)
    stores = inside.later.body
    return [If(some, inside.body), loop, *([If(some, stores)] if stores else [])]


def abreast(
    scope: Scope, axis: Axis, reach: Reach, bodies: Sequence[Body], lanes: int
) -> tuple[Statement, Reach]:
    """A loop whose turns have a vector for each body, and what it leaves."""
    names, (begin, end) = scope.names, reach
    name, wide = names.fresh("j"), lanes * len(bodies)
    asked, found = list[Statement](), list[Statement]()
    for number, body in enumerate(bodies):
        at = names.sizes.named(name) + names.sizes.const(lanes * number)
        inside = scope.inside({axis: at}, axis, lanes)
        body(inside)
        asked += _asked(inside)
        found += inside.body
    last = end - names.sizes.const(wide - 1)
    loop = For(name, begin, last, wide, [*asked, *found])
    return loop, (_rest(scope, reach, wide), end)


def across(scope: Scope, kind: str, totals: Sequence[Expr]) -> Expr:
    """All lanes of vectors combined: a power of two of these in pairs, then halves."""
    while len(totals) > 1:
        pairs = zip(totals[::2], totals[1::2], strict=True)
        totals = [scope.let(combined(kind, *pair)) for pair in pairs]
    (total,) = totals
    while total.lanes > 1:
        x, y = (
            Expr("half", total.dtype, (total,), half, total.lanes // 2)
            for half in ("lo", "hi")
        )
        total = scope.let(combined(kind, x, y))
    return total


def _rest(scope: Scope, reach: Reach, lanes: int) -> Expr:
    """Where vectors end."""
    begin, end = reach
    return scope.let(end - (end - begin) % scope.names.sizes.const(lanes), "j")


def _loop(scope: Scope, axis: Axis, reach: Reach, body: Body, lanes: int) -> Statement:
    """A loop over vectors, or elements."""
    names, (begin, end) = scope.names, reach
    name = names.fresh("j")
    inside = scope.inside({axis: names.sizes.named(name)}, axis, lanes)
    body(inside)
    last = end if lanes == 1 else end - names.sizes.const(lanes - 1)
    return For(name, begin, last, lanes, [*_asked(inside), *inside.body])


def _asked(scope: Scope) -> Iterator[Statement]:
    """Hints about arrays of which a loop uses a line of memory in each turn.

    They come first, so they are about places that a turn does not compute itself.
    """
    stores = [s for s in scope.body if isinstance(s, Store)]
    values = [s.value for s in scope.body if isinstance(s, Let | Set | Store)]
    loads = {e.value: e for e in ordered(values) if e.op == "load" and _is_line(e)}
    used = [(array, load.args[0], load, False) for array, load in loads.items()]
    used += [(s.array, s.offset, s.value, True) for s in stores if _is_line(s.value)]
    own = {s.name for s in scope.body if isinstance(s, Let)}
    known = (row for row in used if own.isdisjoint(_names(row[1])))
    for array, offset, like, written in islice(known, _MOST):
        ahead = scope.names.sizes.const(_AHEAD // (like.dtype.bits // 8))
        yield Soon(array, offset + ahead, written)


def _names(expr: Expr) -> set[object]:
    """What an expression reads that was named before."""
    return {e.value for e in ordered([expr]) if e.op == "var"}


def _is_line(value: Expr) -> bool:
    """Whether it fills one, as a vector."""
    return value.lanes * value.dtype.bits == _LINE


def stored(scope: Scope, array: Array, place: Index, value: Expr) -> None:
    """Adds what stores a value; lanes that do not lie side by side one by one."""
    if scope.later is not None:
        held = scope.later.held(scope, value)
        scope.later.body.append(Store(array, scope.position(place), held))
        return
    if scope.inner is None or value.lanes == 1 or place.factor(scope.inner) == 1:
        scope.body.append(Store(array, scope.position(place), value))
        return
    sizes, assured = scope.names.sizes, scope.settled(value)
    start = scope.where[scope.inner]
    for lane in range(value.lanes):
        at = scope.beside({scope.inner: start + sizes.const(lane)})
        part = Expr("lane", value.dtype, (assured,), lane)
        scope.body.append(Store(array, at.position(place), part))
