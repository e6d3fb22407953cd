"""Exact symbolic dims: plain integers, and integer expressions over named symbols.

An expression is a polynomial with integer coefficients over atoms: symbols, and the
functions `//`, `min`, `max` and `broadcast` of dims. It is brought to a normal form
when built: `(h - 3)//2 + 1` is `(h - 1)//2`, and `x % m` is `x - m*(x//m)`.

`==` compares normal forms, so it may say False of two expressions that always agree;
`equal`, `less` and `less_equal` reason over bounds and answer None where unknown.
Every claim is about values of the symbols for which the expression has a value, that
is, divides by no zero and broadcasts only compatible sizes.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from operator import attrgetter, index
from typing import Final, SupportsIndex, TypeAlias
from weakref import WeakValueDictionary

from graphwright.ir.errors import ParseError, ShapeError

__all__ = [
    "Dim",
    "Expr",
    "UnboundSymbolError",
    "bounds",
    "broadcast_dim",
    "ceildiv",
    "equal",
    "evaluate",
    "floordiv",
    "less",
    "less_equal",
    "maximum",
    "minimum",
    "mod",
    "parse_dim",
    "product",
    "scan_dim",
    "solve",
    "substitute",
    "symbol",
    "symbols",
]

# Bounds on one expression, counted with repetition: what a hostile model can make
# printing, comparing or multiplying cost.
_MAX_SIZE: Final = 4096
_MAX_COEFFICIENT: Final = 1 << 256
_MAX_OPERANDS: Final = 16
_MAX_LABEL: Final = 160
_MAX_STEPS: Final = 8

_INF: Final = math.inf
_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class UnboundSymbolError(ShapeError, KeyError):
    """A symbol has no value in the environment given."""

    __str__ = Exception.__str__  # KeyError's own would quote the message


class _Atom:
    """A symbol or a function of dims, one object per meaning: `is` compares atoms."""

    __slots__ = (
        "__weakref__",
        "args",
        "high",
        "kind",
        "label",
        "low",
        "name",
        "rank",
        "size",
    )

    def __init__(
        self, kind: str, name: str, args: tuple[Dim, ...], limits: _Range
    ) -> None:
        self.kind = kind
        self.name = name
        self.args = args
        self.low, self.high = limits
        self.size = 1 + len(name) // 16 + sum(_size(arg) for arg in args)
        if self.size > _MAX_SIZE:
            raise _too_large()
        label = _call_text(self, _label) if args else _symbol_text(self)
        if len(label) > _MAX_LABEL:
            digest = hashlib.blake2b(label.encode(), digest_size=20).hexdigest()
            label = f"{label[:40]}~{digest}"
        self.label = label
        # Terms sort by it: symbols first, then functions ("~" is after all letters).
        self.rank = f"~{label}" if args else label


_Monomial: TypeAlias = tuple[_Atom, ...]
_Term: TypeAlias = tuple[_Monomial, int]
_Range: TypeAlias = tuple[float, float]  # ints, or infinities: never another float

_ATOMS: Final[WeakValueDictionary[tuple[object, ...], _Atom]] = WeakValueDictionary()
_LOCK: Final = threading.RLock()

_label: Final[Callable[[_Atom], str]] = attrgetter("label")
_rank: Final[Callable[[_Atom], str]] = attrgetter("rank")


class Expr:
    """An integer expression that is not constant, immutable and in normal form.

    Build it from `symbol` with `+ - * // %` and this module's functions; results that
    are constant are plain ints. `==` and `hash` are structural. Ordering and `bool`
    are left out on purpose: use `less`, `less_equal` and `equal`.

    Attributes:
        terms: The polynomial: pairs of atoms and a nonzero coefficient, in order.
        size: The number of nodes of the expression written out.
    """

    __slots__ = ("_hash", "_order", "_range", "_text", "size", "terms")
    __array_ufunc__ = None  # numpy scalars then leave arithmetic to this class

    def __init__(self, terms: tuple[_Term, ...]) -> None:
        """Not for callers: `terms` must already be normal."""
        size = len(terms)
        for monomial, coefficient in terms:
            for atom in monomial:
                size += atom.size
            if not -_MAX_COEFFICIENT < coefficient < _MAX_COEFFICIENT:
                raise _too_large()
        if size > _MAX_SIZE:
            raise _too_large()
        self.terms: Final = terms
        self.size: Final = size
        self._hash = hash(terms)
        self._range: _Range | None = None
        self._order: tuple[_Atom, ...] | None = None
        self._text: str | None = None

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Expr):
            return NotImplemented
        return self._hash == other._hash and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    def __bool__(self) -> bool:
        raise TypeError(f"the truth of {_brief(self)} is not known: use equal()")

    def __add__(self, other: Expr | SupportsIndex) -> Dim:
        return _add(self, _as_dim(other))

    __radd__ = __add__

    def __neg__(self) -> Expr:
        return Expr(tuple((m, -c) for m, c in self.terms))

    def __sub__(self, other: Expr | SupportsIndex) -> Dim:
        return _add(self, -_as_dim(other))

    def __rsub__(self, other: SupportsIndex) -> Dim:
        return _add(-self, index(other))

    def __mul__(self, other: Expr | SupportsIndex) -> Dim:
        return _multiply(self, _as_dim(other))

    __rmul__ = __mul__

    def __floordiv__(self, other: Expr | SupportsIndex) -> Dim:
        return floordiv(self, _as_dim(other))

    def __rfloordiv__(self, other: SupportsIndex) -> Dim:
        return floordiv(index(other), self)

    def __mod__(self, other: Expr | SupportsIndex) -> Dim:
        return mod(self, _as_dim(other))

    def __rmod__(self, other: SupportsIndex) -> Dim:
        return mod(index(other), self)

    def __str__(self) -> str:
        if self._text is None:
            self._text = _full_text(self)
        return self._text

    def __repr__(self) -> str:
        return f"parse_dim({str(self)!r})"

    def __copy__(self) -> Expr:
        return self

    def __deepcopy__(self, memo: object) -> Expr:
        return self

    def __reduce__(self) -> tuple[Callable[[str], Dim], tuple[str]]:
        # Atoms are unique in their process, so the text is what travels.
        return parse_dim, (str(self),)

    def range(self) -> _Range:
        """The least and the greatest value known, infinite where there is none."""
        if self._range is None:
            self._range = _terms_range(self.terms)
        return self._range

    def atoms(self) -> tuple[_Atom, ...]:
        """All atoms, also those inside others, each after those it is made of."""
        if self._order is None:
            self._order = _postorder(self)
        return self._order


Dim: TypeAlias = int | Expr


# -- building ----------------------------------------------------------------------


def _too_large() -> ShapeError:
    return ShapeError("a symbolic dim grew too large: give a name to a part of it")


def _as_dim(value: Expr | SupportsIndex) -> Dim:
    return value if isinstance(value, Expr) else index(value)


def _size(dim: Dim) -> int:
    if isinstance(dim, Expr):
        return dim.size
    if not -_MAX_COEFFICIENT < dim < _MAX_COEFFICIENT:
        raise _too_large()
    return 1


def _terms(dim: Dim) -> tuple[_Term, ...]:
    if isinstance(dim, Expr):
        return dim.terms
    return (((), dim),) if dim else ()


def _term_rank(term: _Term) -> tuple[int, list[str]]:
    # Graded lexicographic, greatest first: `_divide` relies on its being a monomial
    # order, that is, kept by multiplication.
    return -len(term[0]), [atom.rank for atom in term[0]]


def _build(polynomial: Mapping[_Monomial, int]) -> Dim:
    terms = [term for term in polynomial.items() if term[1]]
    if not terms:
        return 0
    if len(terms) == 1 and not terms[0][0]:
        return terms[0][1]
    terms.sort(key=_term_rank)
    return Expr(tuple(terms))


def _accumulate(into: dict[_Monomial, int], terms: Iterable[_Term], by: int) -> None:
    for monomial, coefficient in terms:
        into[monomial] = into.get(monomial, 0) + coefficient * by


def _sum(dims: Iterable[Dim]) -> Dim:
    constant = 0
    polynomial: dict[_Monomial, int] = {}
    for dim in dims:
        if isinstance(dim, int):
            constant += dim
        else:
            _accumulate(polynomial, dim.terms, 1)
    if not polynomial:
        return constant
    _accumulate(polynomial, _terms(constant), 1)
    return _build(polynomial)


def _add(a: Expr, b: Dim) -> Dim:
    if isinstance(b, Expr):
        return _sum((a, b))
    terms = a.terms
    if not b:
        return a
    if terms[-1][0]:
        return Expr((*terms, ((), b)))
    constant = terms[-1][1] + b
    return Expr((*terms[:-1], ((), constant)) if constant else terms[:-1])


def _merge(a: _Monomial, b: _Monomial) -> _Monomial:
    if not a or not b:
        return a or b
    return tuple(sorted(a + b, key=_rank))


def _multiply(a: Expr, b: Dim) -> Dim:
    if isinstance(b, int):
        if b in {0, 1}:
            return a if b else 0
        return Expr(tuple((m, c * b) for m, c in a.terms))
    if len(a.terms) * len(b.terms) > 4 * _MAX_SIZE:
        raise _too_large()
    polynomial: dict[_Monomial, int] = {}
    for monomial, coefficient in b.terms:
        shifted = [(_merge(m, monomial), c) for m, c in a.terms]
        _accumulate(polynomial, shifted, coefficient)
    return _build(polynomial)


def _intern(key: tuple[object, ...], make: Callable[[], _Atom]) -> Expr:
    atom = _ATOMS.get(key)
    if atom is None:
        made = make()
        with _LOCK:
            atom = _ATOMS.setdefault(key, made)
    return Expr((((atom,), 1),))


def _call(kind: str, args: tuple[Dim, ...]) -> Expr:
    return _intern(
        (kind, args), lambda: _Atom(kind, "", args, _CALL_RANGES[kind](args))
    )


def symbol(name: str, minimum: int | None = 0) -> Expr:
    """A named integer.

    Args:
        name: Any string; one that is no identifier is printed in quotes.
        minimum: The least value it may take, None if it may take any. It is part of
            the symbol's identity: `n` is not `n[1:]`.
    """
    low = -_INF if minimum is None else minimum
    return _intern((name, minimum), lambda: _Atom("", name, (), (low, _INF)))


def product(dims: Iterable[Dim]) -> Dim:
    """The product of dims; 1 of none."""
    total: Dim = 1
    for dim in dims:
        total = total * dim
    return total


# -- floors ------------------------------------------------------------------------

_Step: TypeAlias = tuple[Dim, Dim, int]


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


def _floor(a: Dim, b: Dim) -> Dim:
    """`a//b` in normal form, for `b` whose leading coefficient is positive."""
    parts: list[Dim] = []
    sign = 1
    # Few rounds are ever needed; stopping early would be right, only not normal.
    for _ in range(_MAX_STEPS * _MAX_STEPS):
        quotient, a = _divide(a, b)
        parts.append(quotient * sign)
        step = _cancel(a, b) or _unnest(a, b) or _flip(a, b)
        if step is None:
            break
        a, b, turn = step
        sign *= turn
    low, high = _floor_range((a, b))
    if low == high and isinstance(low, int) and _nonzero(b):
        return _sum((*parts, low * sign))
    return _sum((*parts, _call("//", (a, b)) * sign))


def _nonzero(dim: Dim) -> bool:
    low, high = _range(dim)
    return low > 0 or high < 0


def _divide(a: Dim, b: Dim) -> tuple[Dim, Dim]:
    """What can leave the floor of `a//b`, and what remains in it."""
    if isinstance(b, Expr):
        return _divide_polynomial(a, b) if _nonzero(b) else (0, a)
    if isinstance(a, int):
        return divmod(a, b)
    quotient: dict[_Monomial, int] = {}
    for monomial, c in a.terms:
        # Only the constant is rounded down; `(a - b)//2` stays readable so.
        quotient[monomial] = -(-c // b) if c < 0 and monomial else c // b
    out = _build(quotient)
    return out, a - out * b


def _divide_polynomial(a: Dim, b: Expr) -> tuple[Dim, Dim]:
    if len(b.terms) == 1:
        out = _build(dict(_quotients(a, b.terms[0])))
        return out, a - out * b
    rest, out = a, 0
    for _ in range(_MAX_STEPS):
        found = _quotients(rest, b.terms[0])[:1]
        if not found:
            break
        term = _build(dict(found))
        rest, out = rest - term * b, out + term
    return (out, rest) if len(_terms(rest)) < len(_terms(a)) else (0, a)


def _quotients(dim: Dim, by: _Term) -> list[_Term]:
    """The quotients of those terms that a term divides, coefficients truncated."""
    found: list[_Term] = []
    for monomial, c in _terms(dim):
        left = _without(monomial, by[0])
        if left is not None and abs(c) >= by[1]:
            found.append((left, c // by[1] if c > 0 else -(-c // by[1])))
    return found


def _without(monomial: _Monomial, part: _Monomial) -> _Monomial | None:
    """The monomial divided by another, None if that does not divide it."""
    left = list(monomial)
    for atom in part:
        if atom not in left:
            return None
        left.remove(atom)
    return tuple(left)


def _cancel(a: Dim, b: Dim) -> _Step | None:
    """A common factor of both leaves: `(2*h + 1)//4` is `h//2`."""
    if isinstance(a, int) and isinstance(b, int):
        return None
    positive = _range(b)[0] >= 0
    terms = (*_terms(a), *_terms(b))
    # The constant of `a` may be rounded if the divisor is positive.
    inner = (*(t for t in _terms(a) if t[0] or not positive), *_terms(b))
    factor = math.gcd(*(c for _, c in inner))
    atoms = _common_atoms(terms)
    if factor == 1 and not atoms:
        return None
    return _shrink(a, factor, atoms), _shrink(b, factor, atoms), 1


def _common_atoms(terms: Sequence[_Term]) -> _Monomial:
    common: _Monomial = ()
    for atom in terms[-1][0]:
        more = (*common, atom)
        nonzero = atom.low > 0 or atom.high < 0
        if nonzero and all(_without(m, more) is not None for m, _ in terms):
            common = more
    return common


def _shrink(dim: Dim, factor: int, atoms: _Monomial) -> Dim:
    return _build({_without(m, atoms) or (): c // factor for m, c in _terms(dim)})


def _unnest(a: Dim, b: Dim) -> _Step | None:
    """`(x//k + y)//b` is `(x + k*y)//(k*b)`, for `k` and `b` that are not negative."""
    if isinstance(a, int) or _range(b)[0] < 0:
        return None
    for monomial, c in a.terms:
        if len(monomial) == 1 and monomial[0].kind == "//" and abs(c) == 1:
            x, k = monomial[0].args
            if _range(k)[0] >= 0:
                if c < 0:
                    # Unless `b` has the same floor, it is positive after the flip.
                    return None if monomial in dict(_terms(b)) else _turn(a, b)
                return x + k * (a - _build({monomial: 1})), k * b, 1
    return None


def _flip(a: Dim, b: Dim) -> _Step | None:
    """`(-x)//b` is `-((x + b - 1)//b)`, for `b` that is not negative."""
    if isinstance(a, int) or a.terms[0][1] > 0 or _range(b)[0] < 0:
        return None
    return _turn(a, b)


def _turn(a: Dim, b: Dim) -> _Step:
    return b - 1 - a, b, -1


# -- min, max, broadcast -----------------------------------------------------------


def minimum(a: Dim, b: Dim) -> Dim:
    """The smaller of two dims."""
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    return _extreme("min", a, b, less_equal)


def maximum(a: Dim, b: Dim) -> Dim:
    """The larger of two dims."""
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b)
    return _extreme("max", a, b, lambda x, y: less_equal(y, x))


def _extreme(
    kind: str, a: Dim, b: Dim, covers: Callable[[Dim, Dim], bool | None]
) -> Dim:
    kept: list[Dim] = []
    for dim in _operands(kind, a, b):
        if not any(covers(other, dim) for other in kept):
            kept = [other for other in kept if not covers(dim, other)]
            kept.append(dim)
    return kept[0] if len(kept) == 1 else _call(kind, tuple(kept))


def _operands(kind: str, a: Dim, b: Dim) -> list[Dim]:
    """The operands of a call, flattened unless that makes too many, in order."""
    flat = {*_flatten(kind, a), *_flatten(kind, b)}
    return sorted(flat if len(flat) <= _MAX_OPERANDS else {a, b}, key=_dim_rank)


def _flatten(kind: str, dim: Dim) -> tuple[Dim, ...]:
    if isinstance(dim, Expr) and len(dim.terms) == 1:
        monomial, coefficient = dim.terms[0]
        if coefficient == 1 and len(monomial) == 1 and monomial[0].kind == kind:
            return monomial[0].args
    return (dim,)


def _dim_rank(dim: Dim) -> tuple[bool, str, int]:
    if isinstance(dim, int):
        return True, "", dim
    return False, _terms_text(dim.terms, _label), 0


def broadcast_dim(a: Dim, b: Dim) -> Dim:
    """The size that two sizes broadcast to, as numpy does.

    Equal sizes give that size and 1 gives the other. Where that is not known, the
    result is an expression that evaluates so and keeps the check of compatibility.

    Raises:
        ShapeError: the sizes are known to differ and neither is 1.
    """
    if b in (a, 1):
        return a
    if a == 1:
        return b
    kept: list[Dim] = []
    for dim in _operands("broadcast", a, b):
        if not any(equal(dim, other) for other in kept):
            _check_compatible(dim, kept)
            kept.append(dim)
    return kept[0] if len(kept) == 1 else _call("broadcast", tuple(kept))


def _check_compatible(dim: Dim, others: Sequence[Dim]) -> None:
    for other in others:
        if all(equal(*p) is False for p in ((dim, other), (dim, 1), (other, 1))):
            raise ShapeError(
                f"sizes {_brief(other)} and {_brief(dim)} do not broadcast:"
                " they must be equal, or one of them 1"
            )


def _brief(dim: Dim | str) -> str:
    text = str(dim)
    return text if len(text) <= 80 else f"{text[:77]}..."


# -- bounds and comparison ---------------------------------------------------------


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


def _range(dim: Dim) -> _Range:
    return (dim, dim) if isinstance(dim, int) else dim.range()


def _difference(a: Dim, b: Dim) -> Dim | None:
    try:
        return a - b
    except ShapeError:  # too large: nothing is known of it, and that is no error
        return None


def _gap(a: Dim, b: Dim) -> _Range:
    """The range of `a - b`."""
    apart = _plus(_range(a), _times(_range(b), (-1, -1)))
    difference = _difference(a, b)
    return apart if difference is None else _both(apart, _range(difference))


def _never_zero(a: Dim, b: Dim) -> bool:
    """Whether `a - b` leaves a remainder: `2*n` is never 5."""
    difference = _difference(a, b)
    terms = () if difference is None else _terms(difference)
    constant = sum(c for m, c in terms if not m)
    return constant % (math.gcd(*(c for m, c in terms if m)) or 1) != 0


def _plus(x: _Range, y: _Range) -> _Range:
    return _add_ends(x[0], y[0]), _add_ends(x[1], y[1])


def _add_ends(x: float, y: float) -> float:
    # Not simply x + y: an int too large for a float plus an infinity would raise.
    return (x + y) if isinstance(x, int) and isinstance(y, int) else _infinite(x, y)


def _infinite(x: float, y: float) -> float:
    return y if isinstance(x, int) else x


def _times(x: _Range, y: _Range) -> _Range:
    if x[0] >= 0 and y[0] >= 0:
        return _multiply_ends(x[0], y[0]), _multiply_ends(x[1], y[1])
    corners = [_multiply_ends(p, q) for p in x for q in y]
    return min(corners), max(corners)


def _multiply_ends(x: float, y: float) -> float:
    if x == 0 or y == 0:
        return 0
    if isinstance(x, int) and isinstance(y, int):
        return x * y
    return _INF if (x > 0) == (y > 0) else -_INF


def _both(x: _Range, y: _Range) -> _Range:
    return max(x[0], y[0]), min(x[1], y[1])


def _floor_end(x: float, by: float) -> float:
    """The quotient rounded down, for `by` of at least 1."""
    if not isinstance(x, int):
        return x
    return x // by if isinstance(by, int) else -1 if x < 0 else 0


def _floor_range(args: Sequence[Dim]) -> _Range:
    (low, high), (least, most) = _range(args[0]), _range(args[1])
    if least < 0:
        far = max(-low, high)
        return -far, far
    least = max(least, 1)  # no value at 0
    most = max(least, most)
    return (
        min(_floor_end(low, least), _floor_end(low, most)),
        max(_floor_end(high, least), _floor_end(high, most)),
    )


def _min_range(args: Sequence[Dim]) -> _Range:
    lows, highs = zip(*map(_range, args), strict=True)
    return min(lows), min(highs)


def _max_range(args: Sequence[Dim]) -> _Range:
    lows, highs = zip(*map(_range, args), strict=True)
    return max(lows), max(highs)


def _broadcast_range(args: Sequence[Dim]) -> _Range:
    ranges = [_range(arg) for arg in args]
    total = min(low for low, _ in ranges), max(high for _, high in ranges)
    for low, high in ranges:
        if low > 1 or high < 1:  # it is not 1, so it is the result
            total = _both(total, (low, high))
    return total


_CALL_RANGES: Final[Mapping[str, Callable[[Sequence[Dim]], _Range]]] = {
    "//": _floor_range,
    "min": _min_range,
    "max": _max_range,
    "broadcast": _broadcast_range,
}


def _monomial_range(monomial: _Monomial, coefficient: int) -> _Range:
    total: _Range = (1, 1)
    for atom in monomial:
        total = _times(total, (atom.low, atom.high))
    return _times(total, (coefficient, coefficient))


def _plain_range(terms: Iterable[_Term]) -> _Range:
    total: _Range = (0, 0)
    for monomial, coefficient in terms:
        total = _plus(total, _monomial_range(monomial, coefficient))
    return total


def _terms_range(terms: tuple[_Term, ...]) -> _Range:
    plain = _plain_range(terms)
    if not any(atom.kind == "//" for monomial, _ in terms for atom in monomial):
        return plain
    return _both(plain, _floorless_range(terms))


def _floorless_range(terms: tuple[_Term, ...]) -> _Range:
    """The range after `m*(x//m)` is written `x - r` with `0 <= r < m`.

    It knows what separate ranges do not: that `h - 4*(h//4)` is at most 3, and that
    `h - h//2` is `(h + 1)//2`.
    """
    polynomial = dict(terms)
    slack: _Range = (0, 0)
    scale = 1
    for _ in range(_MAX_STEPS):
        found = next(filter(None, map(_floor_factor, polynomial)), None)
        if found is None or len(polynomial) > _MAX_OPERANDS:
            break
        monomial, rest, x, m, remainder = found
        coefficient = polynomial.pop(monomial)
        up = m // math.gcd(coefficient, m)
        coefficient = coefficient * up // m
        polynomial = {key: c * up for key, c in polynomial.items()}
        moved = [(_merge(rest, key), c) for key, c in _terms(x)]
        _accumulate(polynomial, moved, coefficient)
        lost = _times(_monomial_range(rest, -coefficient), remainder)
        slack = _plus(_times(slack, (up, up)), lost)
        scale *= up
    low, high = _plus(_plain_range(polynomial.items()), slack)
    return -_floor_end(-low, scale), _floor_end(high, scale)


_Factor: TypeAlias = tuple[_Monomial, _Monomial, Dim, int, _Range]


def _floor_factor(monomial: _Monomial) -> _Factor | None:
    """A floor in a monomial: monomial, other factors, dividend, scale, remainder."""
    for atom in monomial:
        if atom.kind != "//":
            continue
        x, m = atom.args
        rest = _without(monomial, (atom,)) or ()
        if isinstance(m, int):
            return monomial, rest, x, m, (0, m - 1)
        low, high = m.range()
        others = _without(rest, m.terms[0][0])
        if low >= 0 and m.terms[0][1] == len(m.terms) == 1 and others is not None:
            return monomial, others, x, 1, (0, _add_ends(high, -1))
    return None


# -- values ------------------------------------------------------------------------


def _postorder(dim: Expr) -> tuple[_Atom, ...]:
    done: dict[_Atom, None] = {}
    stack = [atom for monomial, _ in dim.terms for atom in monomial]
    while stack:
        missing = [
            atom
            for arg in stack[-1].args
            for monomial, _ in _terms(arg)
            for atom in monomial
            if atom not in done
        ]
        if missing:
            stack += missing
        else:
            done[stack.pop()] = None
    return tuple(done)


def symbols(dim: Dim) -> frozenset[str]:
    """The names of all symbols in a dim."""
    if isinstance(dim, int):
        return frozenset()
    return frozenset(atom.name for atom in dim.atoms() if not atom.args)


def evaluate(dim: Dim, env: Mapping[str, int]) -> int:
    """The value of a dim.

    Raises:
        UnboundSymbolError: `env` lacks a symbol.
        ShapeError: a value is below its symbol's minimum, a divisor is zero or sizes
            do not broadcast.
    """
    if isinstance(dim, int):
        return dim
    value = _rebuild(dim, lambda atom: _bound_value(atom, env))
    assert isinstance(value, int)  # operations on ints alone give ints
    return value


def substitute(dim: Dim, env: Mapping[str, Dim]) -> Dim:
    """The dim with symbols replaced, in normal form; others stay.

    Raises:
        ShapeError: a replacement is known to be below its symbol's minimum, or a
            divisor becomes zero, or sizes become known not to broadcast.
    """
    if isinstance(dim, int):
        return dim
    return _rebuild(dim, lambda atom: _replacement(atom, env))


def _bound_value(atom: _Atom, env: Mapping[str, int]) -> Dim:
    if atom.name not in env:
        raise UnboundSymbolError(f"symbol {_brief(atom.label)} has no value")
    return _replacement(atom, env)


def _replacement(atom: _Atom, env: Mapping[str, Dim]) -> Dim:
    value = env.get(atom.name)
    if value is None:
        return Expr((((atom,), 1),))
    value = _as_dim(value)
    if _range(value)[1] < atom.low:
        name, text = _brief(atom.label), _brief(value)
        raise ShapeError(f"symbol {name} must be at least {atom.low}, got {text}")
    return value


def _rebuild(dim: Expr, value: Callable[[_Atom], Dim]) -> Dim:
    values: dict[_Atom, Dim] = {}
    for atom in dim.atoms():
        if atom.args:
            args = [_polynomial(arg, values) for arg in atom.args]
            values[atom] = reduce(_OPERATIONS[atom.kind], args)
        else:
            values[atom] = value(atom)
    return _polynomial(dim, values)


def _polynomial(dim: Dim, values: Mapping[_Atom, Dim]) -> Dim:
    if isinstance(dim, int):
        return dim
    parts: list[Dim] = []
    for monomial, coefficient in dim.terms:
        part: Dim = coefficient
        for atom in monomial:
            part = part * values[atom]
        parts.append(part)
    return _sum(parts)


_OPERATIONS: Final[Mapping[str, Callable[[Dim, Dim], Dim]]] = {
    "//": floordiv,
    "min": minimum,
    "max": maximum,
    "broadcast": broadcast_dim,
    "%": mod,
    "*": lambda a, b: a * b,
}


def solve(dim: Dim, value: int, env: Mapping[str, int] | None = None) -> int | None:
    """The value of the one symbol not in `env` at which `dim` is `value`.

    Returns:
        None if no integer that the symbol may take gives `value`.

    Raises:
        ShapeError: `dim` is not linear in exactly one symbol that `env` lacks.
    """
    terms = _terms(substitute(dim, env or {}))
    atoms = [m[0] for m, _ in terms if len(m) == 1]
    slope = sum(c for m, c in terms if m)
    linear = all(len(m) < 2 for m, _ in terms) and not any(a.args for a in atoms)
    if not linear or len({atom.name for atom in atoms}) != 1 or not slope:
        raise ShapeError(f"{_brief(dim)} is not linear in one unknown symbol")
    found, remainder = divmod(value - sum(c for m, c in terms if not m), slope)
    return None if remainder or any(found < a.low for a in atoms) else found


# -- text --------------------------------------------------------------------------


def _symbol_text(atom: _Atom) -> str:
    name = atom.name if _IDENTIFIER.fullmatch(atom.name) else json.dumps(atom.name)
    if atom.low == 0:
        return name
    return f"{name}[{atom.low}:]" if isinstance(atom.low, int) else f"{name}?"


def _call_text(atom: _Atom, name: Callable[[_Atom], str]) -> str:
    texts = [_dim_text(arg, name) for arg in atom.args]
    if atom.kind != "//":
        return f"{atom.kind}({', '.join(texts)})"
    left, right = map(_parenthesised, atom.args, texts)
    return f"{left}//{right}"


def _parenthesised(dim: Dim, text: str) -> str:
    if isinstance(dim, int):
        simple = dim >= 0
    else:
        monomial, coefficient = dim.terms[0]
        simple = coefficient == len(dim.terms) == len(monomial) == 1
        simple = simple and monomial[0].kind != "//"
    return text if simple else f"({text})"


def _dim_text(dim: Dim, name: Callable[[_Atom], str]) -> str:
    return str(dim) if isinstance(dim, int) else _terms_text(dim.terms, name)


def _terms_text(terms: tuple[_Term, ...], name: Callable[[_Atom], str]) -> str:
    folded = _folded(terms)
    if folded:
        return f"({_terms_text(folded[0], name)})//{folded[1]}"
    pieces: list[str] = []
    for monomial, c in sorted(terms, key=_is_negative):
        pieces += (" - " if c < 0 else " + ", _term_text(monomial, c, name))
    text = "".join(pieces)
    return text[3:] if text.startswith(" + ") else f"-{text[3:]}"


def _is_negative(term: _Term) -> bool:
    return term[1] < 0


def _term_text(monomial: _Monomial, c: int, name: Callable[[_Atom], str]) -> str:
    alone = c == len(monomial) == 1
    factors = [
        f"({name(atom)})" if atom.kind == "//" and not alone else name(atom)
        for atom in monomial
    ]
    if abs(c) != 1 or not monomial:
        factors.insert(0, str(abs(c)))
    return "*".join(factors)


def _folded(terms: tuple[_Term, ...]) -> tuple[tuple[_Term, ...], int] | None:
    """The dividend and divisor that print `(h + 1)//2 - 1` as `(h - 1)//2`."""
    if len(terms) != 2 or terms[0][1] != len(terms[0][0]) or terms[1][0]:
        return None
    atom, shift = terms[0][0][0], terms[1][1]
    if atom.kind != "//" or shift > 0:
        return None
    x, by = _terms(atom.args[0]), atom.args[1]
    if not isinstance(by, int) or x[-1][0]:
        return None
    return (*x[:-1], ((), x[-1][1] + shift * by)), by


def _full_text(dim: Expr) -> str:
    texts: dict[_Atom, str] = {}
    for atom in dim.atoms():
        texts[atom] = (
            _call_text(atom, texts.__getitem__) if atom.args else _symbol_text(atom)
        )
    return _terms_text(dim.terms, texts.__getitem__)


_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<call>min|max|broadcast)\s*\(
      | (?P<name>[A-Za-z_]\w*|"(?:[^"\\]|\\.)*")(?P<low>\?|\[-?\d+:\])?
      | (?P<int>\d+)
      | (?P<sign>//|[-+*%(),])
    )""",
    re.ASCII | re.VERBOSE,
)


def parse_dim(text: str) -> Dim:
    """The dim that `str` prints so; any spelling in `+ - * // %` is normalised.

    Raises:
        ParseError: the text is no dim, or one that divides by zero or is too large.
    """
    dim, end = scan_dim(text)
    if text[end:].strip():
        raise ParseError(f"expected the end of the dim at {text[end : end + 40]!r}")
    return dim


def scan_dim(text: str, start: int = 0) -> tuple[Dim, int]:
    """The longest dim at a place in a text, and the index after it.

    It ends at the first token that cannot go on, such as the `]` or `,` of a shape.

    Raises:
        ParseError: there is no dim, or it divides by zero or is too large.
    """
    try:
        return _Parser(text, start).run()
    except ParseError:
        raise
    except ValueError as error:
        raise ParseError(f"bad dim at {text[start : start + 40]!r}: {error}") from error


class _Frame:
    """A parenthesis or call that is open, with what was read of it."""

    __slots__ = ("args", "call", "minus", "op", "parts", "sign", "term")

    def __init__(self, call: str) -> None:
        self.call = call
        self.args: list[Dim] = []
        self.start()

    def start(self) -> None:
        self.parts: list[Dim] = []
        self.term: Dim = 1
        self.op = "*"
        self.sign = 1
        self.minus = False

    def operand(self, value: Dim) -> None:
        value = -value if self.minus else value
        self.term = _OPERATIONS[self.op](self.term, value)
        self.minus = False

    def operator(self, sign: str) -> None:
        if sign in "+-":
            self.parts.append(self.term * self.sign)
            self.sign = -1 if sign == "-" else 1
            self.term, sign = 1, "*"
        self.op = sign

    def comma(self) -> None:
        self.operator("+")
        self.args.append(_sum(self.parts))
        self.start()

    def value(self) -> Dim:
        self.comma()
        return reduce(_OPERATIONS[self.call], self.args) if self.call else self.args[0]


class _Parser:
    """Operator precedence over a stack of frames, so depth costs no recursion."""

    def __init__(self, text: str, start: int) -> None:
        self.text = text
        self.at = start
        self.frames = [_Frame("")]

    def run(self) -> tuple[Dim, int]:
        while True:
            while not self.operand():
                pass
            while self.closed():
                pass
            token = _TOKEN.match(self.text, self.at)
            sign = token["sign"] if token else None
            frame = self.frames[-1]
            if token is None or not sign or sign in "()":
                break
            if sign == "," and not frame.call:
                break
            frame.comma() if sign == "," else frame.operator(sign)
            self.at = token.end()
        if len(self.frames) > 1:
            raise self.error("expected an operator or `)`")
        return self.frames[0].value(), self.at

    def error(self, message: str) -> ParseError:
        return ParseError(f"{message} at {self.text[self.at : self.at + 40]!r}")

    def operand(self) -> bool:
        """Read one token of an operand; whether that completes it."""
        token = _TOKEN.match(self.text, self.at)
        frame = self.frames[-1]
        if token is None or (token["sign"] or "-") not in "-(":
            raise self.error("expected a number, a symbol or `(`")
        self.at = token.end()
        if token["call"] or token["sign"] == "(":
            self.frames.append(_Frame(token["call"] or ""))
        elif token["sign"]:
            frame.minus = not frame.minus
        else:
            frame.operand(int(token["int"]) if token["int"] else _parse_symbol(token))
            return True
        return False

    def closed(self) -> bool:
        """Read one `)` if there is one to close a frame."""
        token = _TOKEN.match(self.text, self.at)
        if token is None or token["sign"] != ")" or len(self.frames) == 1:
            return False
        self.at = token.end()
        value = self.frames.pop().value()
        self.frames[-1].operand(value)
        return True


def _parse_symbol(token: re.Match[str]) -> Expr:
    name, low = token["name"], token["low"]
    if name[0] == '"':
        name = json.loads(name)
    minimum = None if low == "?" else int(low[1:-2]) if low else 0
    return symbol(name, minimum)
