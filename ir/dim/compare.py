"""Comparing dims: yes, no, or not known."""

from __future__ import annotations

import math

from graphwright.ir.dim.atom import terms_of
from graphwright.ir.dim.expr import Dim, range_of
from graphwright.ir.dim.interval import Range, both, plus, times
from graphwright.ir.errors import ShapeError


def bounds(dim: Dim) -> tuple[int | None, int | None]:
    """The least and the greatest value that is known, None where there is none."""
    if isinstance(dim, int):
        return dim, dim
    low, high = dim.range()
    return _finite(low), _finite(high)


def equal(a: Dim, b: Dim) -> bool | None:
    """Whether two dims are equal for all values of their symbols.

    Returns:
        True if they always are, False if they never are, None if unknown.
    """
    if a == b:
        return True
    if isinstance(a, int) and isinstance(b, int):
        return False
    low, high = _gap(a, b)
    if low == high == 0:
        return True
    return False if low > 0 or high < 0 or _never_zero(a, b) else None


def less(a: Dim, b: Dim) -> bool | None:
    """Whether `a < b`: True always, False never, None unknown."""
    if isinstance(a, int) and isinstance(b, int):
        return a < b
    low, high = _gap(a, b)
    return True if high < 0 else False if low >= 0 else None


def less_equal(a: Dim, b: Dim) -> bool | None:
    """Whether `a <= b`: True always, False never, None unknown."""
    greater = less(b, a)
    return None if greater is None else not greater


def _finite(end: float) -> int | None:
    return end if isinstance(end, int) else None


def _difference(a: Dim, b: Dim) -> Dim | None:
    try:
        return a - b
    except ShapeError:  # too large: nothing is known of it, and that is no error
        return None


def _gap(a: Dim, b: Dim) -> Range:
    """The range of `a - b`."""
    apart = plus(range_of(a), times(range_of(b), (-1, -1)))
    difference = _difference(a, b)
    return apart if difference is None else both(apart, range_of(difference))


def _never_zero(a: Dim, b: Dim) -> bool:
    """Whether `a - b` leaves a remainder: `2*n` is never 5."""
    difference = _difference(a, b)
    terms = () if difference is None else terms_of(difference)
    constant = sum(c for m, c in terms if not m)
    return constant % (math.gcd(*(c for m, c in terms if m)) or 1) != 0
