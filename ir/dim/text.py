"""How expressions are printed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from graphwright.ir.dim.atom import Atom, Monomial, Term, terms_of

if TYPE_CHECKING:
    from graphwright.ir.dim.expr import Dim

_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def symbol_text(name: str, low: float) -> str:
    """A symbol: its name, with its minimum where that is not 0."""
    name = name if _IDENTIFIER.fullmatch(name) else json.dumps(name)
    if low == 0:
        return name
    return f"{name}[{low}:]" if isinstance(low, int) else f"{name}?"


def call_text(kind: str, args: Sequence[Dim], name: Callable[[Atom], str]) -> str:
    """A function of dims, its atoms spelled by `name`."""
    texts = [_dim_text(arg, name) for arg in args]
    if kind != "//":
        return f"{kind}({', '.join(texts)})"
    left, right = map(_parenthesised, args, texts)
    return f"{left}//{right}"


def _parenthesised(dim: Dim, text: str) -> str:
    if isinstance(dim, int):
        simple = dim >= 0
    else:
        monomial, coefficient = dim.terms[0]
        simple = coefficient == len(dim.terms) == len(monomial) == 1
        simple = simple and monomial[0].kind != "//"
    return text if simple else f"({text})"


def _dim_text(dim: Dim, name: Callable[[Atom], str]) -> str:
    return str(dim) if isinstance(dim, int) else terms_text(dim.terms, name)


def terms_text(terms: tuple[Term, ...], name: Callable[[Atom], str]) -> str:
    """A polynomial, its atoms spelled by `name`."""
    folded = _folded(terms)
    if folded:
        return f"({terms_text(folded[0], name)})//{folded[1]}"
    pieces: list[str] = []
    for monomial, c in sorted(terms, key=_is_negative):
        pieces += (" - " if c < 0 else " + ", _term_text(monomial, c, name))
    text = "".join(pieces)
    return text[3:] if text.startswith(" + ") else f"-{text[3:]}"


def _is_negative(term: Term) -> bool:
    return term[1] < 0


def _term_text(monomial: Monomial, c: int, name: Callable[[Atom], str]) -> str:
    alone = c == len(monomial) == 1
    factors = [
        f"({name(atom)})" if atom.kind == "//" and not alone else name(atom)
        for atom in monomial
    ]
    if abs(c) != 1 or not monomial:
        factors.insert(0, str(abs(c)))
    return "*".join(factors)


def _folded(terms: tuple[Term, ...]) -> tuple[tuple[Term, ...], int] | None:
    """The dividend and divisor that print `(h + 1)//2 - 1` as `(h - 1)//2`."""
    if len(terms) != 2 or terms[0][1] != len(terms[0][0]) or terms[1][0]:
        return None
    atom, shift = terms[0][0][0], terms[1][1]
    if atom.kind != "//" or shift > 0:
        return None
    x, by = terms_of(atom.args[0]), atom.args[1]
    if not isinstance(by, int) or x[-1][0]:
        return None
    return (*x[:-1], ((), x[-1][1] + shift * by)), by
