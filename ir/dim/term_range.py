"""The range of a polynomial over atoms whose ranges are known."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

from graphwright.ir.dim.atom import (
    MAX_OPERANDS,
    MAX_STEPS,
    Monomial,
    Term,
    accumulate,
    merge,
    terms_of,
    without,
)
from graphwright.ir.dim.interval import Range, add_ends, both, floor_end, plus, times

if TYPE_CHECKING:
    from graphwright.ir.dim.expr import Dim


def _monomial_range(monomial: Monomial, coefficient: int) -> Range:
    total: Range = (1, 1)
    for atom in monomial:
        total = times(total, (atom.low, atom.high))
    return times(total, (coefficient, coefficient))


def _plain_range(terms: Iterable[Term]) -> Range:
    total: Range = (0, 0)
    for monomial, coefficient in terms:
        total = plus(total, _monomial_range(monomial, coefficient))
    return total


def terms_range(terms: tuple[Term, ...]) -> Range:
    """The range of a polynomial, as narrow as is found cheaply."""
    plain = _plain_range(terms)
    if not any(atom.kind == "//" for monomial, _ in terms for atom in monomial):
        return plain
    return both(plain, _floorless_range(terms))


def _floorless_range(terms: tuple[Term, ...]) -> Range:
    """The range after `m*(x//m)` is written `x - r` with `0 <= r < m`.

    It knows what separate ranges do not: that `h - 4*(h//4)` is at most 3, and that
    `h - h//2` is `(h + 1)//2`.
    """
    polynomial = dict(terms)
    slack: Range = (0, 0)
    scale = 1
    for _ in range(MAX_STEPS):
        found = next(filter(None, map(_floor_factor, polynomial)), None)
        if found is None or len(polynomial) > MAX_OPERANDS:
            break
        monomial, rest, x, m, remainder = found
        coefficient = polynomial.pop(monomial)
        up = m // math.gcd(coefficient, m)
        coefficient = coefficient * up // m
        polynomial = {key: c * up for key, c in polynomial.items()}
        moved = [(merge(rest, key), c) for key, c in terms_of(x)]
        accumulate(polynomial, moved, coefficient)
        lost = times(_monomial_range(rest, -coefficient), remainder)
        slack = plus(times(slack, (up, up)), lost)
        scale *= up
    low, high = plus(_plain_range(polynomial.items()), slack)
    return -floor_end(-low, scale), floor_end(high, scale)


_Factor: TypeAlias = "tuple[Monomial, Monomial, Dim, int, Range]"


def _floor_factor(monomial: Monomial) -> _Factor | None:
    """A floor in a monomial: monomial, other factors, dividend, scale, remainder."""
    for atom in monomial:
        if atom.kind != "//":
            continue
        x, m = atom.args
        rest = without(monomial, (atom,)) or ()
        if isinstance(m, int):
            return monomial, rest, x, m, (0, m - 1)
        low, high = m.range()
        others = without(rest, m.terms[0][0])
        if low >= 0 and m.terms[0][1] == len(m.terms) == 1 and others is not None:
            return monomial, others, x, 1, (0, add_ends(high, -1))
    return None
