"""The bound of a value, from runs that are a little off."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphwright.comparison.errors import is_fraction, largest
from graphwright.comparison.metrics import alike
from graphwright.ir.emitter import Value
from graphwright.testing.shadow import Bound, bound_from, widened


def bound_among(
    exact: Any, others: Sequence[Any], native: Any, v: Value, *, copied: bool = False
) -> Bound:
    """How far a value may be off: what the members show, and its own dtypes' errors.

    What is ``copied`` from what is known is equal to it.
    """
    if not is_fraction(v):
        return _exact_bound(exact, others, native)
    exact = widened(exact, v.type)
    found = bound_from(exact, others, v.type)
    mine = widened(native, v.type)
    if np.shape(mine) != np.shape(exact):
        return Bound(exact, np.full(np.shape(exact), np.inf))
    with np.errstate(all="ignore"):
        least = 0.0 if copied else found.tolerance
        tolerance = np.asarray(np.maximum(least, 2 * np.abs(mine - exact)))
        tolerance += 1e-300
        odd = ~np.isfinite(tolerance)
        if odd.any():  # infinite, or no number: what the dtype itself gives is right
            tolerance[odd] = np.inf
            firm = odd & _same(mine, exact) & ~np.isinf(found.tolerance)
            tolerance[firm] = 1e-300
        most = largest(v.dtype)
        tolerance[np.abs(exact) + tolerance >= most] = np.inf
        tolerance[np.isinf(exact) & _same(mine, exact)] = 1e-300
    return Bound(exact, tolerance)


def _same(a: Any, b: Any) -> Any:
    return (a == b) | (np.isnan(a) & np.isnan(b))


def _exact_bound(exact: Any, others: Sequence[Any], native: Any) -> Bound:
    """Equality, but where the slightest error makes another whole number of it."""
    if not isinstance(exact, np.ndarray):
        steady = all(alike(exact, x) for x in (*others, native))
        return Bound(exact, None if steady else np.inf)
    rows = [*others, native]
    if any(np.shape(x) != exact.shape for x in rows):
        return Bound(exact, np.full(exact.shape, np.inf))
    if exact.dtype == object:
        steady = all(bool(np.all(x == exact)) for x in rows)
        return Bound(exact, None if steady else np.full(exact.shape, np.inf))
    loose = np.zeros(exact.shape, bool)
    for x in rows:
        loose |= x != exact
    return Bound(exact, np.where(loose, np.inf, 0.0) if loose.any() else None)
