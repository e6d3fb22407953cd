"""What expressions are made of: atoms, monomials (products of atoms) and terms."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeAlias

from graphwright.ir.dim.interval import Range
from graphwright.ir.errors import ShapeError

if TYPE_CHECKING:
    from graphwright.ir.dim.expr import Dim

# Bounds on one expression, counted with repetition: what a hostile model can make
# printing, comparing or multiplying cost.
MAX_SIZE: Final = 4096
MAX_COEFFICIENT: Final = 1 << 256
_MAX_LABEL: Final = 160
MAX_OPERANDS: Final = 16
MAX_STEPS: Final = 8


class Atom:
    """A symbol or a function of dims, one object per meaning: `is` compares atoms.

    Attributes:
        kind: The function (`//`, `min`, `max`, `broadcast`), empty for a symbol.
        name: The symbol's name.
        args: What the function is of.
        low, high: The least and the greatest value it may have.
        size: The number of nodes of it written out.
        label: Its text, shortened; `rank` is what terms sort by.
    """

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
        self, kind: str, name: str, args: tuple[Dim, ...], limits: Range, label: str
    ) -> None:
        self.kind = kind
        self.name = name
        self.args = args
        self.low, self.high = limits
        self.size = 1 + len(name) // 16 + sum(size_of(arg) for arg in args)
        if self.size > MAX_SIZE:
            raise too_large()
        if len(label) > _MAX_LABEL:
            digest = hashlib.blake2b(label.encode(), digest_size=20).hexdigest()
            label = f"{label[:40]}~{digest}"
        self.label = label
        # Terms sort by it: symbols first, then functions ("~" is after all letters).
        self.rank = f"~{label}" if args else label


Monomial: TypeAlias = tuple[Atom, ...]
Term: TypeAlias = tuple[Monomial, int]
label_of: Final[Callable[[Atom], str]] = attrgetter("label")
rank_of: Final[Callable[[Atom], str]] = attrgetter("rank")


def too_large() -> ShapeError:
    """The error of an expression over `MAX_SIZE`."""
    return ShapeError("a symbolic dim grew too large: give a name to a part of it")


def size_of(dim: Dim) -> int:
    """The number of nodes of a dim written out.

    Raises:
        ShapeError: an integer is too large.
    """
    if not isinstance(dim, int):
        return dim.size
    if not -MAX_COEFFICIENT < dim < MAX_COEFFICIENT:
        raise too_large()
    return 1


def terms_of(dim: Dim) -> tuple[Term, ...]:
    """The terms of a dim; none of 0."""
    if not isinstance(dim, int):
        return dim.terms
    return (((), dim),) if dim else ()


def accumulate(into: dict[Monomial, int], terms: Iterable[Term], by: int) -> None:
    """Adds a multiple of some terms to a polynomial."""
    for monomial, coefficient in terms:
        into[monomial] = into.get(monomial, 0) + coefficient * by


def merge(a: Monomial, b: Monomial) -> Monomial:
    """The product of two monomials."""
    if not a or not b:
        return a or b
    return tuple(sorted(a + b, key=rank_of))


def without(monomial: Monomial, part: Monomial) -> Monomial | None:
    """The monomial divided by another, None if that does not divide it."""
    left = list(monomial)
    for atom in part:
        if atom not in left:
            return None
        left.remove(atom)
    return tuple(left)
