"""The smaller and the larger of dims, and the size that sizes broadcast to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphwright.ir.dim.atom import MAX_OPERANDS, label_of
from graphwright.ir.dim.compare import equal, less_equal
from graphwright.ir.dim.expr import Dim, Expr, brief, call, operation
from graphwright.ir.dim.text import terms_text
from graphwright.ir.errors import ShapeError


@operation("min")
def minimum(a: Dim, b: Dim) -> Dim:
    """The smaller of two dims."""
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    return _extreme("min", a, b, less_equal)


@operation("max")
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
    return kept[0] if len(kept) == 1 else call(kind, tuple(kept))


def _operands(kind: str, a: Dim, b: Dim) -> list[Dim]:
    """The operands of a call, flattened unless that makes too many, in order."""
    flat = {*_flatten(kind, a), *_flatten(kind, b)}
    return sorted(flat if len(flat) <= MAX_OPERANDS else {a, b}, key=_dim_rank)


def _flatten(kind: str, dim: Dim) -> tuple[Dim, ...]:
    if isinstance(dim, Expr) and len(dim.terms) == 1:
        monomial, coefficient = dim.terms[0]
        if coefficient == 1 and len(monomial) == 1 and monomial[0].kind == kind:
            return monomial[0].args
    return (dim,)


def _dim_rank(dim: Dim) -> tuple[bool, str, int]:
    if isinstance(dim, int):
        return True, "", dim
    return False, terms_text(dim.terms, label_of), 0


@operation("broadcast")
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
    return kept[0] if len(kept) == 1 else call("broadcast", tuple(kept))


def _check_compatible(dim: Dim, others: Sequence[Dim]) -> None:
    for other in others:
        if all(equal(*p) is False for p in ((dim, other), (dim, 1), (other, 1))):
            raise ShapeError(
                f"sizes {brief(other)} and {brief(dim)} do not broadcast:"
                " they must be equal, or one of them 1"
            )
