"""Quotients rounded down, in normal form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from graphwright.ir.dim.atom import MAX_STEPS, Monomial, Term, terms_of, without
from graphwright.ir.dim.expr import Dim, Expr, build, call, operation, range_of, sum_of
from graphwright.ir.dim.interval import CALL_RANGES
from graphwright.ir.errors import ShapeError

_Step: TypeAlias = tuple[Dim, Dim, int]


@operation("//")
def floordiv(a: Dim, b: Dim) -> Dim:
    """The quotient rounded down, as Python's `//`.

    `(a*b)//b` is `a` only where `b` is known not to be zero.

    Raises:
        ShapeError: `b` is 0.
    """
    if isinstance(b, int):
        if b == 0:
            raise ShapeError(f"division of {a} by zero in a dim")
        if isinstance(a, int):
            return a // b
        return _floor(a, b) if b > 0 else _floor(-a, -b)
    return _floor(a, b) if b.terms[0][1] > 0 else _floor(-a, -b)


@operation("%")
def mod(a: Dim, b: Dim) -> Dim:
    """The remainder of `floordiv`, with the sign of `b`: `a - b*(a//b)`.

    Raises:
        ShapeError: `b` is 0.
    """
    return a - b * floordiv(a, b)


def ceildiv(a: Dim, b: Dim) -> Dim:
    """The quotient rounded up.

    Raises:
        ShapeError: `b` is 0.
    """
    return -floordiv(-a, b)


def exact_quotient(a: Dim, b: Dim) -> Dim | None:
    """The `q` with `a == q*b` for all values of the symbols, None if none is found.

    Unlike `a//b` it may be used where `b` can be zero.
    """
    if b == 0:
        return None
    quotient, rest = _divide_polynomial(a, b) if isinstance(b, Expr) else _divide(a, b)
    return quotient if rest == 0 else None


def _floor(a: Dim, b: Dim) -> Dim:
    """`a//b` in normal form, for `b` whose leading coefficient is positive."""
    parts: list[Dim] = []
    sign = 1
    # Few rounds are ever needed; stopping early would be right, only not normal.
    for _ in range(MAX_STEPS * MAX_STEPS):
        quotient, a = _divide(a, b)
        parts.append(quotient * sign)
        step = _cancel(a, b) or _unnest(a, b) or _flip(a, b)
        if step is None:
            break
        a, b, turn = step
        sign *= turn
    low, high = CALL_RANGES["//"]((range_of(a), range_of(b)))
    if low == high and isinstance(low, int) and _nonzero(b):
        return sum_of((*parts, low * sign))
    return sum_of((*parts, call("//", (a, b)) * sign))


def _nonzero(dim: Dim) -> bool:
    low, high = range_of(dim)
    return low > 0 or high < 0


def _divide(a: Dim, b: Dim) -> tuple[Dim, Dim]:
    """What can leave the floor of `a//b`, and what remains in it."""
    if isinstance(b, Expr):
        return _divide_polynomial(a, b) if _nonzero(b) else (0, a)
    if isinstance(a, int):
        return divmod(a, b)
    quotient: dict[Monomial, int] = {}
    for monomial, c in a.terms:
        # Only the constant is rounded down; `(a - b)//2` stays readable so.
        quotient[monomial] = -(-c // b) if c < 0 and monomial else c // b
    out = build(quotient)
    return out, a - out * b


def _divide_polynomial(a: Dim, b: Expr) -> tuple[Dim, Dim]:
    if len(b.terms) == 1:
        out = build(dict(_quotients(a, b.terms[0])))
        return out, a - out * b
    rest, out = a, 0
    for _ in range(MAX_STEPS):
        found = _quotients(rest, b.terms[0])[:1]
        if not found:
            break
        term = build(dict(found))
        rest, out = rest - term * b, out + term
    return (out, rest) if len(terms_of(rest)) < len(terms_of(a)) else (0, a)


def _quotients(dim: Dim, by: Term) -> list[Term]:
    """The quotients of those terms that a term divides, coefficients truncated."""
    found: list[Term] = []
    for monomial, c in terms_of(dim):
        left = without(monomial, by[0])
        if left is not None and abs(c) >= by[1]:
            found.append((left, c // by[1] if c > 0 else -(-c // by[1])))
    return found


def _cancel(a: Dim, b: Dim) -> _Step | None:
    """A common factor of both leaves: `(2*h + 1)//4` is `h//2`."""
    if isinstance(a, int) and isinstance(b, int):
        return None
    positive = range_of(b)[0] >= 0
    terms = (*terms_of(a), *terms_of(b))
    # The constant of `a` may be rounded if the divisor is positive.
    inner = (*(t for t in terms_of(a) if t[0] or not positive), *terms_of(b))
    factor = math.gcd(*(c for _, c in inner))
    atoms = _common_atoms(terms)
    if factor == 1 and not atoms:
        return None
    return _shrink(a, factor, atoms), _shrink(b, factor, atoms), 1


def _common_atoms(terms: Sequence[Term]) -> Monomial:
    common: Monomial = ()
    for atom in terms[-1][0]:
        more = (*common, atom)
        nonzero = atom.low > 0 or atom.high < 0
        if nonzero and all(without(m, more) is not None for m, _ in terms):
            common = more
    return common


def _shrink(dim: Dim, factor: int, atoms: Monomial) -> Dim:
    return build({without(m, atoms) or (): c // factor for m, c in terms_of(dim)})


def _unnest(a: Dim, b: Dim) -> _Step | None:
    """`(x//k + y)//b` is `(x + k*y)//(k*b)`, for `k` and `b` that are not negative."""
    if isinstance(a, int) or range_of(b)[0] < 0:
        return None
    for monomial, c in a.terms:
        if len(monomial) == 1 and monomial[0].kind == "//" and abs(c) == 1:
            x, k = monomial[0].args
            if range_of(k)[0] >= 0:
                if c < 0:
                    # Unless `b` has the same floor, it is positive after the flip.
                    return None if monomial in dict(terms_of(b)) else _turn(a, b)
                return x + k * (a - build({monomial: 1})), k * b, 1
    return None


def _flip(a: Dim, b: Dim) -> _Step | None:
    """`(-x)//b` is `-((x + b - 1)//b)`, for `b` that is not negative."""
    if isinstance(a, int) or a.terms[0][1] > 0 or range_of(b)[0] < 0:
        return None
    return _turn(a, b)


def _turn(a: Dim, b: Dim) -> _Step:
    return b - 1 - a, b, -1
