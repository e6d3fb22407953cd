"""Loop axes made few: split where positions are divided, merged where they agree."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from graphwright.backends.codegen.elements import Array, Coordinates
from graphwright.backends.codegen.expr import Expr
from graphwright.backends.codegen.index import Axis, Index, of
from graphwright.backends.codegen.narrow import encoded
from graphwright.backends.codegen.walk import (
    expanded,
    indices_of,
    ordered,
    with_axes,
)
from graphwright.ir.record import record

_MOST_SPLITS = 16


@record(frozen=True, eq=False, slots=True)
class Nest:
    """Expressions over axes, and where each one's results go.

    Attributes:
        axes: Loops, outermost first.
        exprs: What is computed.
        places: Positions of the results, one for each expression.
    """

    axes: tuple[Axis, ...]
    exprs: tuple[Expr, ...]
    places: tuple[Index, ...]

    def indices(self) -> Iterator[Index]:
        """All indices."""
        yield from self.places
        for expr in ordered(self.exprs):
            yield from indices_of(expr)

    def _replaced(self, old: Sequence[Axis], new: Sequence[Axis], by: Index) -> "Nest":
        """With neighbouring axes replaced by others, also in reductions."""
        axes = {axis: Index() for axis in old} | {old[-1]: by}

        def within(found: tuple[Axis, ...]) -> tuple[Axis, ...]:
            if old[0] not in found:
                return found
            at = found.index(old[0])
            return (*found[:at], *new, *found[at + len(old) :])

        exprs = tuple(with_axes(self.exprs, axes, within))
        places = tuple(x.replaced(axes, _unchanged) for x in self.places)
        return Nest(within(self.axes), exprs, places)

    def split(self, axis: Axis, size: int) -> "Nest":
        """With an axis as two, the inner one of ``size``."""
        outer, inner = Axis(axis.extent // size), Axis(size)
        return self._replaced([axis], [outer, inner], of(outer) * size + of(inner))

    def merged(self, outer: Axis, inner: Axis) -> "Nest":
        """With two neighbouring axes as one."""
        both = Axis(outer.extent * inner.extent)
        return self._replaced([outer, inner], [both], of(both))

    @property
    def largest(self) -> int:
        """The largest number that is counted to or that a position can be."""
        found = extent_of(self.axes)
        for index in self.indices():
            found = max(found, *map(abs, index.bounds))
        for expr in ordered(self.exprs):
            if expr.op == "read":
                found = max(found, expr.value.array.span)
        return found

    def levels(self) -> Iterator[tuple[Axis, ...]]:
        """The axes of the loops, and of each reduction."""
        yield self.axes
        for expr in ordered(self.exprs):
            if expr.op == "reduce":
                yield expr.value.axes


def stored_nest(
    axes: Sequence[Axis],
    exprs: Sequence[Expr],
    outputs: Sequence[Array],
    at: Coordinates | None = None,
) -> Nest:
    """The nest that computes expressions over axes and writes them to arrays.

    ``at`` are their coordinates in the arrays, by default the axes themselves.
    """
    rows = zip(exprs, outputs, strict=True)
    encoding = expanded([encoded(expr, array.dtype) for expr, array in rows])
    where = tuple(map(of, axes)) if at is None else at
    places = tuple(array.index(where) for array in outputs)
    return simplified(Nest(tuple(axes), tuple(encoding), places))


def simplified(nest: Nest) -> Nest:
    """The same with as few and long axes as can be."""
    return _merged(_refined(_without_ones(nest)))


def _unchanged(expr: Expr) -> Expr:
    return expr


def _without_ones(nest: Nest) -> Nest:
    def within(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        return tuple(axis for axis in axes if axis.extent != 1)

    exprs = tuple(with_axes(nest.exprs, {}, within))
    return Nest(within(nest.axes), exprs, nest.places)


def _refined(nest: Nest) -> Nest:
    """With axes split where a quotient or remainder of them alone is taken."""
    for _ in range(_MOST_SPLITS):
        found = _division(nest)
        if found is None:
            break
        nest = nest.split(*found)
    return nest


def _division(nest: Nest) -> tuple[Axis, int] | None:
    for index in nest.indices():
        for division in index.divisions():
            whole, divisor = division.index, division.divisor
            if len(whole.terms) != 1 or whole.start:
                continue
            axis, factor = whole.terms[0]
            if isinstance(axis, Axis) and divisor % factor == 0 and factor > 0:
                size = divisor // factor
                if axis.extent % size == 0 and 1 < size < axis.extent:
                    return axis, size
    return None


def _merged(nest: Nest) -> Nest:
    """With neighbours merged that all indices step through as one."""
    while True:
        pair = next(_agreeing(nest), None)
        if pair is None:
            return nest
        nest = nest.merged(*pair)


def _agreeing(nest: Nest) -> Iterator[tuple[Axis, Axis]]:
    indices = list(nest.indices())
    levels = list(nest.levels())
    for level in levels:
        for outer, inner in pairwise(level):
            apart = any((outer in other) != (inner in other) for other in levels)
            if not apart and all(_agree(x, outer, inner) for x in indices):
                yield outer, inner


def _agree(index: Index, outer: Axis, inner: Axis) -> bool:
    divided = _inner_axes(index)
    if outer in divided or inner in divided:
        return False
    return index.factor(outer) == index.factor(inner) * inner.extent


def _inner_axes(index: Index) -> set[Axis]:
    return {a for division in index.divisions() for a in division.index.axes()}


def extent_of(axes: Iterable[Axis]) -> int:
    """How many elements loops over some axes have."""
    found = 1
    for axis in axes:
        found *= axis.extent
    return found
