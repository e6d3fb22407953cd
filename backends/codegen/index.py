"""Indices: integers that are affine in loop axes, with quotients and remainders.

All sizes are known numbers here, so that what axes can be merged or must be split is
plain arithmetic; source gets them as arguments (`sizes.py`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.codegen.expr import Expr
from graphwright.ir.record import record


@dataclass(eq=False, slots=True)
class Axis:
    """What a loop counts: 0 to ``extent - 1``."""

    extent: int

    def __repr__(self) -> str:
        return f"axis({self.extent})"


@record(frozen=True, slots=True)
class Quotient:
    """``index // divisor``, rounded down; ``index`` is not negative."""

    index: "Index"
    divisor: int


@record(frozen=True, slots=True)
class Remainder:
    """``index % divisor``; ``index`` is not negative."""

    index: "Index"
    divisor: int


@record(frozen=True, slots=True)
class Item:
    """A number that is computed in the run, from 0 to ``extent - 1``."""

    value: Expr
    extent: int


Term: TypeAlias = Axis | Quotient | Remainder | Item


@record(frozen=True, slots=True)
class Index:
    """``sum(factor * term) + start``; terms in order of appearance, no factor 0."""

    terms: tuple[tuple[Term, int], ...] = ()
    start: int = 0

    def __add__(self, other: "Index | int") -> "Index":
        if isinstance(other, int):
            return Index(self.terms, self.start + other)
        found = dict(self.terms)
        for term, factor in other.terms:
            found[term] = found.get(term, 0) + factor
        kept = Index(
            tuple((t, f) for t, f in found.items() if f), self.start + other.start
        )
        return kept._together()

    def _together(self) -> "Index":
        """``(x // n) * n + x % n = x``."""
        factors = dict(self.terms)
        for term, factor in self.terms:
            if not isinstance(term, Remainder):
                continue
            over = Quotient(term.index, term.divisor)
            if factors.get(over) == factor * term.divisor:
                rest = tuple((t, f) for t, f in self.terms if t not in (over, term))
                return Index(rest, self.start) + term.index * factor
        return self

    def __mul__(self, factor: int) -> "Index":
        if factor == 0:
            return Index()
        terms = tuple((t, f * factor) for t, f in self.terms)
        return Index(terms, self.start * factor)

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest that it can be."""
        low = high = self.start
        for term, factor in self.terms:
            reach = factor * last(term)
            low, high = low + min(reach, 0), high + max(reach, 0)
        return low, high

    def factor(self, term: Term) -> int:
        """What a term is multiplied by."""
        return dict(self.terms).get(term, 0)

    def __floordiv__(self, divisor: int) -> "Index":
        whole, rest = self._divided(divisor)
        low, high = rest.bounds
        if low >= 0 and high < divisor:
            return whole
        common = _common(rest, divisor)
        if common > 1:
            return whole + _over(rest, common) // (divisor // common)
        return whole + Index(((Quotient(rest, divisor), 1),))

    def __mod__(self, divisor: int) -> "Index":
        if divisor == 1:
            return Index()
        _, rest = self._divided(divisor)
        low, high = rest.bounds
        if low >= 0 and high < divisor:
            return rest
        common = _common(rest, divisor)
        if common > 1:
            over = _over(rest, common)
            small = rest + over * -common
            inner = over % (divisor // common)
            return inner * common + small
        return Index(((Remainder(rest, divisor), 1),))

    def _divided(self, divisor: int) -> tuple["Index", "Index"]:
        """The part that is a multiple of a divisor, over it, and the rest."""
        whole = tuple((t, f // divisor) for t, f in self.terms if f % divisor == 0)
        rest = tuple((t, f) for t, f in self.terms if f % divisor)
        start, over = divmod(self.start, divisor)
        low, _ = Index(rest, over).bounds
        more = -(min(low, 0) // divisor)  # so that the rest is never negative
        return Index(whole, start - more), Index(rest, over + more * divisor)

    def axes(self) -> "Iterable[Axis]":
        """Axes that it depends on, inside quotients too; not those of items."""
        for term, _ in self.terms:
            if isinstance(term, Axis):
                yield term
            elif isinstance(term, Quotient | Remainder):
                yield from term.index.axes()

    def items(self) -> "Iterable[Item]":
        """What it reads in the run."""
        for term, _ in self.terms:
            if isinstance(term, Item):
                yield term
            elif isinstance(term, Quotient | Remainder):
                yield from term.index.items()

    def divisions(self) -> "Iterable[Quotient | Remainder]":
        """Its quotients and remainders."""
        for term, _ in self.terms:
            if isinstance(term, Quotient | Remainder):
                yield term
                yield from term.index.divisions()

    def replaced(
        self,
        axes: "Mapping[Axis, Index]",
        value: "Callable[[Expr], Expr]",
    ) -> "Index":
        """The index with axes, and the values of items, replaced."""
        found = Index(start=self.start)
        for term, factor in self.terms:
            match term:
                case Axis():
                    new = axes.get(term, of(term))
                case Quotient(index, divisor):
                    new = index.replaced(axes, value) // divisor
                case Remainder(index, divisor):
                    new = index.replaced(axes, value) % divisor
                case Item(expr, extent):
                    new = Index(((Item(value(expr), extent), 1),))
            found = found + new * factor
        return found


def last(term: Term) -> int:
    """The greatest that a term can be; the least is 0."""
    match term:
        case Axis():
            return max(term.extent - 1, 0)
        case Item():
            return max(term.extent - 1, 0)
        case Quotient(index, divisor):
            return max(index.bounds[1] // divisor, 0)
        case Remainder(index, divisor):
            return min(divisor - 1, max(index.bounds[1], 0))


def _common(rest: Index, divisor: int) -> int:
    """The largest factor of a divisor by which all but a small rest is divisible."""
    factors = sorted({abs(f) for _, f in rest.terms}, reverse=True)
    for size in factors:
        if size > 1 and divisor % size == 0:
            small = Index(
                tuple((t, f) for t, f in rest.terms if f % size), rest.start % size
            )
            low, high = small.bounds
            if low >= 0 and high < size:
                return size
    return 1


def _over(rest: Index, size: int) -> Index:
    whole = tuple((t, f // size) for t, f in rest.terms if f % size == 0)
    return Index(whole, rest.start // size)


def of(term: Term) -> Index:
    """A term as an index; an axis of one element is 0."""
    return Index() if last(term) == 0 else Index(((term, 1),))


def numbers(index: Index, axis: Axis) -> NDArray[np.int64]:
    """What an index that hangs on one axis is at each place along it."""
    found = np.full(axis.extent, index.start, np.int64)
    for term, factor in index.terms:
        match term:
            case Quotient(inner, divisor):
                found += factor * (numbers(inner, axis) // divisor)
            case Remainder(inner, divisor):
                found += factor * (numbers(inner, axis) % divisor)
            case _:
                assert term is axis
                found += factor * np.arange(axis.extent)
    return found


def linear(coordinates: Sequence[Index], shape: Sequence[int]) -> Index:
    """The position in C order of an element."""
    found = Index()
    for x, size in zip(coordinates, shape, strict=True):
        found = found * size + x
    return found


def unravelled(position: Index, shape: Sequence[int]) -> tuple[Index, ...]:
    """The coordinates of the element at a position in C order."""
    found: list[Index] = []
    for size in reversed(shape):
        divisor = size or 1  # nothing is read where an axis is empty
        found.append(position % divisor)
        position = position // divisor
    return tuple(reversed(found))
