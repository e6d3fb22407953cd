"""Loops along an axis: over vectors, and over what is left of it.

Where elements may be computed twice, what is left is a vector too, the last one of the
axis, some of whose elements others compute as well.
"""

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import reduce
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
from graphwright.ir.dtype import bool_, int32

_LINE = 512
"""Bits of a line of memory."""
_AHEAD = 1 << 11
"""Bytes that memory is asked for ahead of vectors of a line: `exp` of 64 MB took 0.65
to 0.88 of the time so, a copy 0.75 to 1.0, by what else the machine does (Intel)."""
_FAR = 1 << 13
"""The same beside results that are written past the caches, of operands alone: `exp`,
`tanh` and GELU of 64 MB took 0.93 of the time, copies and sums the same (Intel)."""
_LARGE = 1 << 25
"""Bytes of results that are written past the caches, which else read a line before they
write it: sums of two arrays of 64 MB took 0.73 of the time, of 16 MB 0.78 and what read
them then more (Intel)."""
_WIDE = 256
"""Bits of vectors that are."""
_LONG = 1 << 10
"""Elements of axes along which vectors go abreast."""
_ABREAST = 4
"""How many do: their steps come by turns, as what waits for one fills the processor's
window else. Where a vector is a line, of 32 registers: with 16 they would not fit."""
_STEPS = range(20, 48)
"""Operations of which that is so; more have more numbers than there are registers."""
_CHAINED = frozenset(
    {"add", "sub", "mul", "div", "and", "or", "xor", "shl", "shr", "neg", "not"}
    | {"lt", "le", "eq", "ne", "select", "cast"}
)
_FREE = frozenset({"load", "splat", "const", "var", "bitcast"})
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
        found += _loops(scope, axis, reach, body, lanes)
        begin = _rest(scope, reach, lanes)
    return [*found, *_loops(scope, axis, (begin, end), body, 1)]


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
    loops = _loops(scope, axis, reach, body, lanes)
    stores = inside.later.body
    return [If(some, inside.body), *loops, *([If(some, stores)] if stores else [])]


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


def _loops(
    scope: Scope, axis: Axis, reach: Reach, body: Body, lanes: int
) -> list[Statement]:
    """A loop over vectors, or elements, and one before it where some go abreast."""
    wide = lanes * _ABREAST
    if not is_long(axis, lanes) or not _go_abreast(_turn(scope, axis, body, wide)[1]):
        return _loop(scope, axis, reach, body, lanes)
    rest = _rest(scope, reach, wide), reach[1]
    loops = _loop(scope, axis, reach, body, wide)
    return [*loops, *_loop(scope, axis, rest, body, lanes)]


def is_long(axis: Axis, lanes: int) -> bool:
    """Whether vectors along an axis may go abreast."""
    return axis.extent >= _LONG and lanes * 32 == _LINE


def _go_abreast(scope: Scope) -> bool:
    """Whether a loop does nothing but to store what long chains of operations give."""
    if any(not isinstance(s, Let | Store) for s in scope.body):
        return False
    values = [s.value for s in scope.body if isinstance(s, Let | Store)]
    every = [e for e in ordered(values) if e.lanes > 1]
    chained = [e for e in every if e.op not in _FREE]
    simple = all(e.op in _CHAINED for e in chained)
    narrow = all(e.dtype is bool_ or e.dtype.bits == 32 for e in every)
    return simple and narrow and len(chained) in _STEPS


def _turn(scope: Scope, axis: Axis, body: Body, lanes: int) -> tuple[Expr, Scope]:
    """A loop's number, and a scope with what is done for it."""
    name = scope.names.sizes.named(scope.names.fresh("j"))
    inside = scope.inside({axis: name}, axis, lanes)
    body(inside)
    return name, inside


def _loop(
    scope: Scope, axis: Axis, reach: Reach, body: Body, lanes: int
) -> list[Statement]:
    """One loop; or two, one of which runs: see `_past`."""
    names, (begin, end) = scope.names, reach
    name, inside = _turn(scope, axis, body, lanes)
    last = end if lanes == 1 else end - names.sizes.const(lanes - 1)
    loop = For(name.value, begin, last, lanes, [*_asked(inside), *inside.body])
    if not _goes_past(inside):
        return [loop]
    first = scope.inside({axis: begin}, axis, lanes)
    body(first)
    tests = [Expr("line", int32, (s.offset,), s.array) for s in _stores(first)]
    lines = scope.let(reduce(operator.and_, tests))
    return [If(lines, [replace(loop, body=_past(inside))]), If(lines.same(0), [loop])]


def is_large(array: Array) -> bool:
    """Whether results had better not come into caches on their way to memory."""
    return math.prod(array.shape) * array.dtype.bits >= 8 * _LARGE


def _goes_past(scope: Scope) -> bool:
    """Whether all that a loop does is to store vectors of large results.

    What it adds up, too, or reads again, is better in a cache.
    """
    own = {s.name for s in scope.body if isinstance(s, Let)}
    values = [s.value for s in scope.body if isinstance(s, Let | Store)]
    read = {e.value for e in ordered(values) if e.op == "load"}
    found = _stores(scope)
    plain = len(found) + len(own) == len(scope.body) and found
    return bool(plain) and all(
        is_large(s.array)
        and s.array not in read
        and s.value.lanes * s.value.dtype.bits >= _WIDE
        and own.isdisjoint(_names(s.offset))
        for s in found
    )


def _past(scope: Scope) -> list[Statement]:
    """The turn of a loop whose vectors are written past the caches."""
    asked = [hint for hint in _asked(scope, _FAR) if not hint.written]
    own = (replace(s, past=True) if isinstance(s, Store) else s for s in scope.body)
    return [*asked, *own]


def _stores(scope: Scope) -> list[Store]:
    return [s for s in scope.body if isinstance(s, Store)]


def _asked(scope: Scope, far: int = _AHEAD) -> Iterator[Soon]:
    """Hints about arrays of which a loop uses a line of memory in each turn.

    They come first, so they are about places that a turn does not compute itself.
    """
    stores = _stores(scope)
    values = [s.value for s in scope.body if isinstance(s, Let | Set | Store)]
    loads = {e.value: e for e in ordered(values) if e.op == "load" and _is_line(e)}
    used = [(array, load.args[0], load, False) for array, load in loads.items()]
    used += [(s.array, s.offset, s.value, True) for s in stores if _is_line(s.value)]
    own = {s.name for s in scope.body if isinstance(s, Let)}
    known = (row for row in used if own.isdisjoint(_names(row[1])))
    for array, offset, like, written in islice(known, _MOST):
        size = like.dtype.bits // 8
        for line in range(like.lanes * like.dtype.bits // _LINE):
            ahead = scope.names.sizes.const((far + line * _LINE // 8) // size)
            yield Soon(array, offset + ahead, written)


def _names(expr: Expr) -> set[object]:
    """What an expression reads that was named before."""
    return {e.value for e in ordered([expr]) if e.op == "var"}


def _is_line(value: Expr) -> bool:
    """Whether it fills one, or several, as a vector."""
    return value.lanes * value.dtype.bits % _LINE == 0


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
