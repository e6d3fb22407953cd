"""Values of dims: evaluation, substitution and solving for a symbol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce

from graphwright.ir.dim.atom import Atom, terms_of
from graphwright.ir.dim.expr import (
    OPERATIONS,
    Dim,
    Expr,
    as_dim,
    brief,
    range_of,
    sum_of,
)
from graphwright.ir.errors import ShapeError


class UnboundSymbolError(ShapeError, KeyError):
    """A symbol has no value in the environment given."""

    __str__ = Exception.__str__  # KeyError's own would quote the message


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


def _bound_value(atom: Atom, env: Mapping[str, int]) -> Dim:
    if atom.name not in env:
        raise UnboundSymbolError(f"symbol {brief(atom.label)} has no value")
    return _replacement(atom, env)


def _replacement(atom: Atom, env: Mapping[str, Dim]) -> Dim:
    value = env.get(atom.name)
    if value is None:
        return Expr((((atom,), 1),))
    value = as_dim(value)
    if range_of(value)[1] < atom.low:
        name, text = brief(atom.label), brief(value)
        raise ShapeError(f"symbol {name} must be at least {atom.low}, got {text}")
    return value


def _rebuild(dim: Expr, value: Callable[[Atom], Dim]) -> Dim:
    values: dict[Atom, Dim] = {}
    for atom in dim.atoms():
        if atom.args:
            args = [_polynomial(arg, values) for arg in atom.args]
            values[atom] = reduce(OPERATIONS[atom.kind], args)
        else:
            values[atom] = value(atom)
    return _polynomial(dim, values)


def _polynomial(dim: Dim, values: Mapping[Atom, Dim]) -> Dim:
    if isinstance(dim, int):
        return dim
    parts: list[Dim] = []
    for monomial, coefficient in dim.terms:
        part: Dim = coefficient
        for atom in monomial:
            part = part * values[atom]
        parts.append(part)
    return sum_of(parts)


def _bare(dim: Dim) -> Atom | None:
    """The symbol that a dim is; None if it is more."""
    if isinstance(dim, int) or len(dim.terms) != 1:
        return None
    monomial, factor = dim.terms[0]
    plain = factor == len(monomial) == 1 and not monomial[0].args
    return monomial[0] if plain else None


def solve(dim: Dim, value: int, env: Mapping[str, int] | None = None) -> int | None:
    """The value of the one symbol not in `env` at which `dim` is `value`.

    Returns:
        None if no integer that the symbol may take gives `value`.

    Raises:
        ShapeError: `dim` is not linear in exactly one symbol that `env` lacks.
    """
    env = env or {}
    bare = _bare(dim)
    if bare is not None and bare.name not in env:
        return None if value < bare.low else value
    terms = terms_of(substitute(dim, env))
    atoms = [m[0] for m, _ in terms if len(m) == 1]
    slope = sum(c for m, c in terms if m)
    linear = all(len(m) < 2 for m, _ in terms) and not any(a.args for a in atoms)
    if not linear or len({atom.name for atom in atoms}) != 1 or not slope:
        raise ShapeError(f"{brief(dim)} is not linear in one unknown symbol")
    found, remainder = divmod(value - sum(c for m, c in terms if not m), slope)
    return None if remainder or any(found < a.low for a in atoms) else found
