"""Integer expressions: polynomials over atoms, in normal form."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from operator import index
from typing import Final, SupportsIndex, TypeAlias
from weakref import WeakValueDictionary

from graphwright.ir.dim.atom import (
    MAX_COEFFICIENT,
    MAX_SIZE,
    Atom,
    Monomial,
    Term,
    accumulate,
    label_of,
    merge,
    terms_of,
    too_large,
)
from graphwright.ir.dim.interval import CALL_RANGES, INF, Range
from graphwright.ir.dim.term_range import terms_range
from graphwright.ir.dim.text import call_text, symbol_text, terms_text

_ATOMS: Final[WeakValueDictionary[tuple[object, ...], Atom]] = WeakValueDictionary()
_LOCK: Final = threading.RLock()


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

    def __init__(self, terms: tuple[Term, ...]) -> None:
        """Not for callers: `terms` must already be normal."""
        size = len(terms)
        for monomial, coefficient in terms:
            for atom in monomial:
                size += atom.size
            if not -MAX_COEFFICIENT < coefficient < MAX_COEFFICIENT:
                raise too_large()
        if size > MAX_SIZE:
            raise too_large()
        self.terms: Final = terms
        self.size: Final = size
        self._hash = hash(terms)
        self._range: Range | None = None
        self._order: tuple[Atom, ...] | None = None
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
        raise TypeError(f"the truth of 'Expr' {brief(self)} is not known")

    def __add__(self, other: Expr | SupportsIndex) -> Dim:
        if not isinstance(other, WHOLE):
            return NotImplemented
        return _add(self, as_dim(other))

    __radd__ = __add__

    def __neg__(self) -> Expr:
        return Expr(tuple((m, -c) for m, c in self.terms))

    def __sub__(self, other: Expr | SupportsIndex) -> Dim:
        if not isinstance(other, WHOLE):
            return NotImplemented
        return _add(self, -as_dim(other))

    def __rsub__(self, other: SupportsIndex) -> Dim:
        if not isinstance(other, WHOLE):
            return NotImplemented
        return _add(-self, index(other))

    def __mul__(self, other: Expr | SupportsIndex) -> Dim:
        if not isinstance(other, WHOLE):
            return NotImplemented
        return _multiply(self, as_dim(other))

    __rmul__ = __mul__

    def __floordiv__(self, other: Expr | SupportsIndex) -> Dim:
        if not isinstance(other, WHOLE):
            return NotImplemented
        return OPERATIONS["//"](self, as_dim(other))

    def __rfloordiv__(self, other: SupportsIndex) -> Dim:
        if not isinstance(other, WHOLE):
            return NotImplemented
        return OPERATIONS["//"](index(other), self)

    def __mod__(self, other: Expr | SupportsIndex) -> Dim:
        if not isinstance(other, WHOLE):
            return NotImplemented
        return OPERATIONS["%"](self, as_dim(other))

    def __rmod__(self, other: SupportsIndex) -> Dim:
        if not isinstance(other, WHOLE):
            return NotImplemented
        return OPERATIONS["%"](index(other), self)

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

    def range(self) -> Range:
        """The least and the greatest value known, infinite where there is none."""
        if self._range is None:
            self._range = terms_range(self.terms)
        return self._range

    def atoms(self) -> tuple[Atom, ...]:
        """All atoms, also those inside others, each after those it is made of."""
        if self._order is None:
            self._order = _postorder(self)
        return self._order


WHOLE: Final = (int, Expr, Integral)
"""What arithmetic with expressions takes; a tensor takes an expression itself."""


def as_dim(value: Expr | SupportsIndex) -> Dim:
    """A dim, or a NumPy integer as a plain one."""
    return value if isinstance(value, Expr) else index(value)


Dim: TypeAlias = int | Expr

Operation: TypeAlias = Callable[[Dim, Dim], Dim]
OPERATIONS: Final[dict[str, Operation]] = {"*": lambda a, b: a * b}
"""Functions of two dims by their sign; the modules that define them add them."""


def operation(sign: str) -> Callable[[Operation], Operation]:
    """Decorates the function that `sign` stands for, in operators and in text."""

    def register(function: Operation) -> Operation:
        OPERATIONS[sign] = function
        return function

    return register


def _term_rank(term: Term) -> tuple[int, list[str]]:
    # Graded lexicographic, greatest first: `_divide` relies on its being a monomial
    # order, that is, kept by multiplication.
    return -len(term[0]), [atom.rank for atom in term[0]]


def build(polynomial: Mapping[Monomial, int]) -> Dim:
    """The dim that a polynomial is."""
    terms = [term for term in polynomial.items() if term[1]]
    if not terms:
        return 0
    if len(terms) == 1 and not terms[0][0]:
        return terms[0][1]
    terms.sort(key=_term_rank)
    return Expr(tuple(terms))


def sum_of(dims: Iterable[Dim]) -> Dim:
    """The sum of dims; 0 of none."""
    constant = 0
    polynomial: dict[Monomial, int] = {}
    for dim in dims:
        if isinstance(dim, int):
            constant += dim
        else:
            accumulate(polynomial, dim.terms, 1)
    if not polynomial:
        return constant
    accumulate(polynomial, terms_of(constant), 1)
    return build(polynomial)


def _add(a: Expr, b: Dim) -> Dim:
    if isinstance(b, Expr):
        return sum_of((a, b))
    terms = a.terms
    if not b:
        return a
    if terms[-1][0]:
        return Expr((*terms, ((), b)))
    constant = terms[-1][1] + b
    return Expr((*terms[:-1], ((), constant)) if constant else terms[:-1])


def _multiply(a: Expr, b: Dim) -> Dim:
    if isinstance(b, int):
        if b in {0, 1}:
            return a if b else 0
        return Expr(tuple((m, c * b) for m, c in a.terms))
    if len(a.terms) * len(b.terms) > 4 * MAX_SIZE:
        raise too_large()
    polynomial: dict[Monomial, int] = {}
    for monomial, coefficient in b.terms:
        shifted = [(merge(m, monomial), c) for m, c in a.terms]
        accumulate(polynomial, shifted, coefficient)
    return build(polynomial)


def _intern(key: tuple[object, ...], make: Callable[[], Atom]) -> Expr:
    atom = _ATOMS.get(key)
    if atom is None:
        made = make()
        with _LOCK:
            atom = _ATOMS.setdefault(key, made)
    return Expr((((atom,), 1),))


def call(kind: str, args: tuple[Dim, ...]) -> Expr:
    """A function of dims that are in normal form already."""

    def make() -> Atom:
        limits = CALL_RANGES[kind]([range_of(arg) for arg in args])
        return Atom(kind, "", args, limits, call_text(kind, args, label_of))

    return _intern((kind, args), make)


def symbol(name: str, minimum: int | None = 0) -> Expr:
    """A named integer.

    Args:
        name: Any string; one that is no identifier is printed in quotes.
        minimum: The least value it may take, None if it may take any. It is part of
            the symbol's identity: `n` is not `n[1:]`.
    """
    low = -INF if minimum is None else minimum

    def make() -> Atom:
        return Atom("", name, (), (low, INF), symbol_text(name, low))

    return _intern((name, minimum), make)


def product(dims: Iterable[Dim]) -> Dim:
    """The product of dims; 1 of none."""
    total: Dim = 1
    for dim in dims:
        total = total * dim
    return total


def _postorder(dim: Expr) -> tuple[Atom, ...]:
    done: dict[Atom, None] = {}
    stack = [atom for monomial, _ in dim.terms for atom in monomial]
    while stack:
        missing = [
            atom
            for arg in stack[-1].args
            for monomial, _ in terms_of(arg)
            for atom in monomial
            if atom not in done
        ]
        if missing:
            stack += missing
        else:
            done[stack.pop()] = None
    return tuple(done)


def _full_text(dim: Expr) -> str:
    texts: dict[Atom, str] = {}
    for atom in dim.atoms():
        texts[atom] = (
            call_text(atom.kind, atom.args, texts.__getitem__)
            if atom.args
            else symbol_text(atom.name, atom.low)
        )
    return terms_text(dim.terms, texts.__getitem__)


def range_of(dim: Dim) -> Range:
    """The least and the greatest value known of a dim."""
    return (dim, dim) if isinstance(dim, int) else dim.range()


def brief(dim: Dim | str) -> str:
    """A dim for a message, shortened."""
    text = str(dim)
    return text if len(text) <= 80 else f"{text[:77]}..."
