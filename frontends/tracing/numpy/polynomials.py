"""Polynomials, their coefficients from the highest power down."""

from typing import Any

from graphwright.frontends.tracing.numpy.creation import (
    arange,
    asarray,
    full,
    ones,
    vander,
    zeros,
)
from graphwright.frontends.tracing.numpy.dtypes import finfo
from graphwright.frontends.tracing.numpy.joining import concat
from graphwright.frontends.tracing.numpy.linalg import eigvals, inv, lstsq
from graphwright.frontends.tracing.numpy.manipulation import atleast_1d
from graphwright.frontends.tracing.numpy.products import outer
from graphwright.frontends.tracing.numpy.signal import convolve
from graphwright.frontends.tracing.wrap import array_function, promote, unsupported
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ShapeError

__all__ = [
    "poly",
    "polyadd",
    "polyder",
    "polydiv",
    "polyfit",
    "polyint",
    "polymul",
    "polysub",
    "polyval",
]


@array_function
def polyval(b: Emitter, p: Value, x: Value) -> Value:
    """A polynomial's value, by Horner's rule."""
    coefficients, spots = promote(b, p, x)
    n = coefficients.shape[0]
    if not isinstance(n, int):
        raise ShapeError("polyval takes a known number of coefficients")
    found = b.zeros_like(spots)
    for i in range(n):
        c = b.reshape(b.slice_axis(coefficients, 0, i, i + 1), ())
        found = b.add(b.mul(found, spots), c)
    return found


def _padded(a1: Any, a2: Any) -> tuple[Any, Any]:
    """Coefficients of as many powers."""
    x, y = atleast_1d(asarray(a1)), atleast_1d(asarray(a2))
    n = max(x.shape[0], y.shape[0])
    x, y = (concat([zeros(n - v.shape[0], v.dtype), v]) for v in (x, y))
    return x, y


def polyadd(a1: Any, a2: Any) -> Any:
    """The sum of two polynomials."""
    x, y = _padded(a1, a2)
    return x + y


def polysub(a1: Any, a2: Any) -> Any:
    """The difference of two polynomials."""
    x, y = _padded(a1, a2)
    return x - y


def polymul(a1: Any, a2: Any) -> Any:
    """The product of two polynomials."""
    return convolve(atleast_1d(asarray(a1)), atleast_1d(asarray(a2)))


def polydiv(u: Any, v: Any) -> Any:
    """Quotient and remainder; leading zeros of the remainder stay."""
    x, y = (atleast_1d(asarray(a)) + 0.0 for a in (u, v))
    m, n = x.shape[0] - 1, y.shape[0] - 1
    rest = x.astype((x[0] + y[0]).dtype)
    quotient = zeros(max(m - n + 1, 1), rest.dtype)
    for k in range(m - n + 1):
        quotient[k] = rest[k] / y[0]
        rest[k : k + n + 1] -= quotient[k] * y
    return quotient, rest[m - n + 1 :] if m >= n > 0 else rest[-1:] if m >= n else rest


def polyder(p: Any, m: int = 1) -> Any:
    """The ``m``-th derivative."""
    if m < 0:
        raise ValueError("Order of derivative must be positive (see polyint)")
    found = asarray(p)
    for _ in range(m):
        n = found.shape[0] - 1
        found = found[:-1] * arange(n, 0, -1)
    return found


def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """The ``m``-th antiderivative, with constants ``k``, by default 0."""
    if m < 0:
        raise ValueError("Order of integral must be positive (see polyder)")
    constants = atleast_1d(zeros(m) if k is None else asarray(k))
    if m > 1 and constants.shape[0] == 1:
        constants = full(m, constants[0])
    if constants.shape[0] < m:
        raise ValueError("k must be a scalar or a rank-1 array of length 1 or >m.")
    found = asarray(p)
    for i in range(m):
        powers = arange(found.shape[0], 0, -1)
        found = concat([found / powers, constants[i : i + 1]])
    return found


def poly(seq_of_zeros: Any) -> Any:
    """The polynomial with given roots, or a matrix's characteristic one.

    Of a matrix its coefficients are complex, since only a run knows its eigenvalues.
    """
    x = atleast_1d(asarray(seq_of_zeros))
    if x.ndim == 2:
        real = x.dtype.kind != "c"
        found = _product(eigvals(x))
        return found.real.copy() if real else found
    if x.ndim != 1:
        raise ValueError("input must be 1d or non-empty square 2d array.")
    return _product(x if x.dtype.kind in "fc" else x.astype(float))


def _product(roots: Any) -> Any:
    """The product of ``x - root``."""
    found = ones(1, roots.dtype)
    for root in roots:
        found = concat([found, zeros(1, found.dtype)]) - concat(
            [zeros(1, found.dtype), found * root]
        )
    return found


def polyfit(
    x: Any,
    y: Any,
    deg: int,
    rcond: Any = None,
    full: bool = False,
    w: Any = None,
    cov: Any = False,
) -> Any:
    """The polynomial of a degree that fits points best, in the least squares sense."""
    deg = int(deg)
    if deg < 0:
        raise ValueError("expected deg >= 0")
    spots, heights = asarray(x) + 0.0, asarray(y) + 0.0
    if spots.ndim != 1 or heights.ndim not in (1, 2):
        raise TypeError("expected 1D vector for x and 1D or 2D array for y")
    n, order = spots.shape[0], deg + 1
    if rcond is None:
        rcond = n * finfo(spots.dtype).eps
    powers = vander(spots, order)
    if w is not None:
        weights = asarray(w) + 0.0
        powers = powers * weights[:, None]
        heights = heights * (weights if heights.ndim == 1 else weights[:, None])
    scale = (powers * powers).sum(axis=0) ** 0.5
    powers = powers / scale
    found, residuals, rank, singular = lstsq(powers, heights, rcond)
    found = (found.T / scale).T
    if full:
        return found, residuals, rank, singular, rcond
    if cov is False:
        return found
    base = inv(powers.T @ powers) / outer(scale, scale)
    if cov != "unscaled":
        if heights.ndim != 1:
            raise unsupported("polyfit with cov of several columns", "fit each alone")
        base = base * residuals / (n - order)
    return found, base
