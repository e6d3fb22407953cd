"""Logical expressions as scheduled ones: where loads happen, and in how many lanes."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count

from graphwright.backends.codegen.elements import Array, Read, Within
from graphwright.backends.codegen.expr import Expr, const
from graphwright.backends.codegen.index import (
    Axis,
    Index,
    Item,
    Quotient,
    Remainder,
    Term,
)
from graphwright.backends.codegen.loops import Let, Set, Sizes, Statement
from graphwright.backends.codegen.walk import children_of, indices_of, ordered
from graphwright.ir.dtype import bool_

_DEEPEST = 24
"""Operations in one expression of source."""

Place = Callable[["Scope", Expr], Expr]
"""Computes a reduction by statements of a scope; gives the variable that holds it."""


class Names:
    """What a kernel's source has in common: names, sizes, arrays, uses."""

    def __init__(self, exprs: Iterable[Expr], sizes: Sizes) -> None:
        self.sizes = sizes
        self.uses = Counter[Expr]()
        self.inputs: dict[Array, None] = {}
        self.checks = False
        self._numbers = count()
        self._counted = set[Expr]()
        for expr in self.count(exprs):
            if expr.op == "read":
                self.inputs.setdefault(expr.value.array)
            self.checks |= expr.op == "checked"

    def count(self, exprs: Iterable[Expr]) -> list[Expr]:
        """Notes uses in expressions; gives those that are new."""
        new = [expr for expr in ordered(exprs) if expr not in self._counted]
        self._counted.update(new)
        for expr in new:
            self.uses.update(children_of(expr))
        return new

    def fresh(self, letter: str = "v") -> str:
        """A name that nothing else has."""
        return f"{letter}{next(self._numbers)}"


class Later:
    """What is stored behind the scope in which it is computed.

    Args:
        outer: The scope around that one.
    """

    def __init__(self, outer: "Scope") -> None:
        self._outer = outer
        self.body: list[Statement] = []

    def held(self, scope: "Scope", value: Expr) -> Expr:
        """A value of a scope as a variable of the one around it."""
        zero = splat(const(0, value.dtype), value.lanes)
        found = self._outer.let(zero, "a", mutable=True)
        scope.body.append(Set(found.value, value))
        return found


class Scope:
    """Statements in which each expression is computed once.

    Args:
        names: Of the kernel.
        where: What axes are, as numbers.
        inner: The axis along which lanes are, if there are several.
        lanes: How many.
        parent: The scope around it.
        place: What computes reductions.
    """

    def __init__(
        self,
        names: Names,
        where: Mapping[Axis, Expr],
        inner: Axis | None = None,
        lanes: int = 1,
        parent: "Scope | None" = None,
        place: Place | None = None,
    ) -> None:
        self.names, self.where, self.inner, self.lanes = names, where, inner, lanes
        self.parent = parent
        self.kept: Expr | None = None
        """A mask of the lanes that count, if not all do."""
        self.later: Later | None = None
        """Where results are stored, if that is not yet done."""
        self.place: Place | None = place
        if place is None and parent is not None:
            self.place = parent.place
        self.body: list[Statement] = []
        self._made: dict[Expr, Expr] = {}
        self._depths: dict[Expr, int] = {}

    def inside(
        self,
        where: Mapping[Axis, Expr],
        inner: Axis | None = None,
        lanes: int = 1,
    ) -> "Scope":
        """A scope within this one."""
        return Scope(self.names, {**self.where, **where}, inner, lanes, self)

    def beside(
        self,
        where: Mapping[Axis, Expr],
        inner: Axis | None = None,
        lanes: int = 1,
    ) -> "Scope":
        """A scope of other places, whose statements stand in this one."""
        found = self.inside(where, inner, lanes)
        found.body = self.body
        return found

    def let(self, value: Expr, letter: str = "v", mutable: bool = False) -> Expr:
        """A variable that holds a value."""
        name = self.names.fresh(letter)
        self.body.append(Let(name, value, mutable))
        return Expr("var", value.dtype, value=name, lanes=value.lanes)

    def settled(self, value: Expr) -> Expr:
        """A value that costs nothing to read again."""
        return value if value.op in ("var", "const") else self.let(value)

    def bind(self, expr: Expr, value: Expr) -> None:
        """Notes what a logical expression is here."""
        self._made[expr] = value

    def known(self, expr: Expr) -> Expr | None:
        """What an expression is here, if it is computed already."""
        found = self._made.get(expr)
        if found is not None:
            return found
        outer = None if self.parent is None else self.parent.known(expr)
        if outer is None or outer.lanes == self.lanes:
            return outer
        return splat(outer, self.lanes) if outer.lanes == 1 else None

    def value(self, expr: Expr) -> Expr:
        """An expression as it is computed here."""
        for part in self._missing(expr):
            made = self._computed(part)
            depth = 1 + max((self._depths.get(x, 0) for x in part.args), default=0)
            often = self.names.uses[part] > 1 and part.op not in ("const", "reduce")
            if often or depth > _DEEPEST:
                made, depth = self.let(made), 0
            self._made[part], self._depths[part] = made, depth
        found = self.known(expr)
        assert found is not None
        return found

    def _missing(self, expr: Expr) -> list[Expr]:
        """What is not computed yet, operands first; not what is inside reductions."""
        found: dict[Expr, None] = {}
        stack = [(expr, False)]
        while stack:
            part, done = stack.pop()
            if done:
                found.setdefault(part)
            elif part not in found and self.known(part) is None:
                stack.append((part, True))
                alone = part.op == "checked" and self.lanes > 1
                if part.op != "reduce" and not alone:
                    stack += [(arg, False) for arg in reversed(part.args)]
        return list(found)

    def _computed(self, expr: Expr) -> Expr:
        match expr.op:
            case "read":
                return self._read(expr)
            case "index":
                return self._number(expr)
            case "within":
                return self._within(expr.value)
            case "checked" if self.lanes > 1:  # what it notes is no vector
                steps = {self.step(index) for index in _indices_below(expr)}
                if steps <= {0}:
                    return splat(self._uniform().value(expr), self.lanes)
                return self._packed(expr)
            case "reduce":
                assert self.place is not None
                return self.place(self, expr)
            case "branch" if self.lanes > 1:  # what decides is no vector
                ways = tuple(map(self._operand, expr.args[1:]))
                holds = self._uniform().value(expr.args[0])
                return replace(expr, args=(holds, *ways), lanes=self.lanes)
        args = tuple(self._operand(arg) for arg in expr.args)
        if expr.op == "call" and self.lanes > 1:  # it may be called on halves
            args = tuple(map(self.settled, args))
        if expr.op == "rare" and self.lanes > 1:  # read twice
            args = self.settled(args[0]), args[1], self.settled(args[2])
        return replace(expr, args=args, lanes=self.lanes)

    def _operand(self, expr: Expr) -> Expr:
        found = self.known(expr)
        assert found is not None
        return found

    # Reads ----------------------------------------------------------------------

    def _read(self, expr: Expr) -> Expr:
        found: Read = expr.value
        indices = [found.index, *(guard.index for guard in found.guards)]
        steps = {self.step(index) for index in indices}
        if self.lanes == 1:
            return self._guarded(expr, found, 1)
        if steps == {0}:
            return splat(self._guarded(expr, found, 1), self.lanes)
        guards = {self.step(guard.index) for guard in found.guards}
        step = self.step(found.index)
        if step in (1, 2) and guards <= {0}:
            return self._guarded(expr, found, self.lanes)
        if step != 1 or None in guards:
            return self._packed(expr)
        return self._guarded_at_ends(expr, found)

    def _guarded(self, expr: Expr, found: Read, lanes: int) -> Expr:
        load = self._load(expr, found, lanes)
        if not found.guards:
            return load
        zero = Expr("const", expr.dtype, value=0, lanes=lanes)
        holds = self._holds(found.guards)
        return Expr("branch", expr.dtype, (holds, load, zero), lanes=lanes)

    def _load(self, expr: Expr, found: Read, lanes: int) -> Expr:
        """What is read, or every second element of two vectors up to the last one."""
        at = self.position(found.index)
        first = Expr("load", expr.dtype, (at,), found.array, lanes)
        if lanes == 1 or self.step(found.index) == 1:
            return first
        far = at + self.names.sizes.const(lanes - 1)
        second = Expr("load", expr.dtype, (far,), found.array, lanes)
        few = Expr("half", expr.dtype, (first,), "even", lanes // 2)
        rest = Expr("half", expr.dtype, (second,), "odd", lanes // 2)
        return Expr("pack", expr.dtype, (few, rest), lanes=lanes)

    def _guarded_at_ends(self, expr: Expr, found: Read) -> Expr:
        """Lanes one by one, but where the first and the last one are within."""
        sizes = self.names.sizes
        holds: Expr | None = None
        for guard in found.guards:
            at = self.position(guard.index)
            far = at + sizes.const((self.lanes - 1) * (self.step(guard.index) or 0))
            both = self._between(guard, at) & self._between(guard, far)
            holds = both if holds is None else holds & both
        assert holds is not None
        load = Expr(
            "load", expr.dtype, (self.position(found.index),), found.array, self.lanes
        )
        lanes = tuple(scope._guarded(expr, found, 1) for scope in self._each_lane())
        each = Expr("pack", expr.dtype, lanes, lanes=self.lanes)
        return Expr("branch", expr.dtype, (holds, load, each), lanes=self.lanes)

    def _holds(self, guards: Sequence[Within]) -> Expr:
        found: Expr | None = None
        for guard in guards:
            both = self._between(guard, self.position(guard.index))
            found = both if found is None else found & both
        assert found is not None
        return found

    def _between(self, guard: Within, at: Expr) -> Expr:
        """Whether a position, or a vector of them, is within bounds."""
        sizes = self.names.sizes
        low = sizes.number(guard.low, (guard.index, guard, "low"))
        high = sizes.number(guard.high, (guard.index, guard, "high"))
        return (at >= splat(low, at.lanes)) & (at < splat(high, at.lanes))

    def _within(self, guard: Within) -> Expr:
        """A mask of the lanes that are within bounds."""
        if self.lanes == 1:
            return self._holds([guard])
        dtype, step = self.names.sizes.dtype, self.step(guard.index)
        if step is None:
            at = self._packed(Expr("index", dtype, (), guard.index))
        else:
            at = splat(self.position(guard.index), self.lanes)
        if step:
            numbers = (const(step * lane, dtype) for lane in range(self.lanes))
            at = at + Expr("pack", dtype, tuple(numbers), lanes=self.lanes)
        return self._between(guard, self.settled(at))

    def _packed(self, expr: Expr) -> Expr:
        """Lane by lane."""
        lanes = tuple(scope.value(expr) for scope in self._each_lane())
        return Expr("pack", expr.dtype, lanes, lanes=self.lanes)

    def _each_lane(self) -> "Iterator[Scope]":
        """Scopes of single lanes, whose statements stand in this one."""
        assert self.inner is not None
        start = self.where[self.inner]
        for lane in range(self.lanes):
            at = start + self.names.sizes.const(lane)
            scope = Scope(self.names, {**self.where, self.inner: at}, place=self.place)
            scope.body, scope.parent = self.body, self._scalars()
            yield scope

    def _scalars(self) -> "Scope | None":
        """The nearest scope around that has no lanes."""
        scope = self.parent
        while scope is not None and scope.lanes > 1:
            scope = scope.parent
        return scope

    def _number(self, expr: Expr) -> Expr:
        if self.lanes > 1:
            if self.step(expr.value) == 0:
                at = self.position(expr.value).to(expr.dtype)
                return splat(at, self.lanes)
            return self._packed(expr)
        return self.position(expr.value).to(expr.dtype)

    def step(self, index: Index) -> int | None:
        """By how much an index grows from lane to lane; None if that varies."""
        if self.inner is None:
            return 0
        for item in index.items():
            if any(self.step(x) != 0 for x in _indices_below(item.value)):
                return None
        if any(self.inner in set(d.index.axes()) for d in index.divisions()):
            return None
        return index.factor(self.inner)

    # Positions --------------------------------------------------------------------

    def position(self, index: Index) -> Expr:
        """An index as a number."""
        sizes = self.names.sizes
        found: Expr | None = None
        for number, (term, factor) in enumerate(index.terms):
            part = self._term(term)
            if factor == -1:
                part = sizes.const(0) - part
            elif factor != 1:
                part = part * sizes.number(factor, (index, number))
            found = part if found is None else found + part
        if index.start or found is None:
            start = sizes.number(index.start, (index, "start"))
            found = start if found is None else found + start
        return found

    def _term(self, term: Term) -> Expr:
        match term:
            case Axis():
                return self.where[term]
            case Item(value, _):
                scope = self if self.lanes == 1 else self._uniform()
                return scope.value(value).to(self.names.sizes.dtype)
            case Quotient(index, divisor):
                by = self.names.sizes.number(divisor, (term, "by"))
                return self.position(index) / by
            case Remainder(index, divisor):
                by = self.names.sizes.number(divisor, (term, "by"))
                return self.position(index) % by

    def _uniform(self) -> "Scope":
        """This scope for what is the same in all lanes."""
        scope = Scope(self.names, self.where, place=self.place)
        scope.body, scope.parent = self.body, self._scalars()
        return scope


def _indices_below(expr: Expr) -> Iterable[Index]:
    for part in ordered([expr]):
        yield from indices_of(part)


def splat(x: Expr, lanes: int) -> Expr:
    """A number in all lanes; of a truth, a mask with all bits set or none."""
    if lanes == 1:
        return x
    if x.dtype is bool_:
        x = -(x & const(True, bool_))
    return Expr("splat", x.dtype, (x,), lanes=lanes)
