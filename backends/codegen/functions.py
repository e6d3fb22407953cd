"""Functions of floats, written in arithmetic that every device has and vectorises.

Calls of a device's own library cost ten times as much where they are not inlined.
"""

from collections.abc import Callable, Sequence

from graphwright.backends.codegen.expr import Expr, call, choose, const, unsigned
from graphwright.ir.dtype import DType, float32


def magnitude(x: Expr) -> Expr:
    """``|x|``, of NaN too."""
    free = unsigned(x.dtype)
    return (x.bits(free) & ((1 << (x.dtype.bits - 1)) - 1)).bits(x.dtype)


def signed_as(size: Expr, x: Expr) -> Expr:
    """A magnitude with the sign of ``x``."""
    free = unsigned(x.dtype)
    sign = x.bits(free) & (1 << (x.dtype.bits - 1))
    return (size.bits(free) | sign).bits(x.dtype)


def horner(x: Expr, terms: Sequence[float]) -> Expr:
    """The polynomial with these coefficients, the highest power's first."""
    y = const(terms[0], x.dtype)
    for term in terms[1:]:
        y = y * x + term
    return y


def _library(name: str) -> Callable[..., Expr]:
    def apply(*xs: Expr) -> Expr:
        return call(name, *xs)

    return apply


def _mantissa(dtype: DType) -> float:
    return 2.0 ** (23 if dtype is float32 else 52)


def _whole(x: Expr) -> Expr:
    """The nearest integer of a magnitude below ``2^mantissa``, halves to even."""
    return (x + _mantissa(x.dtype)) - _mantissa(x.dtype)


def _by_magnitude(near: Callable[[Expr, Expr], Expr]) -> Callable[[Expr], Expr]:
    """A function that leaves large numbers and the sign as they are."""

    def apply(x: Expr) -> Expr:
        size = magnitude(x)
        small = size < _mantissa(x.dtype)
        return choose(small, signed_as(near(size, x), x), x)

    return apply


def _trunc(size: Expr, x: Expr) -> Expr:
    near = _whole(size)
    return choose(near > size, near - 1.0, near)


def _floor(size: Expr, x: Expr) -> Expr:
    cut = _trunc(size, x)
    return choose((x < 0.0) & (cut < size), cut + 1.0, cut)


def _ceil(size: Expr, x: Expr) -> Expr:
    cut = _trunc(size, x)
    return choose((x > 0.0) & (cut < size), cut + 1.0, cut)


def _round(size: Expr, x: Expr) -> Expr:
    return _whole(size)


FUNCTIONS: dict[str, Callable[..., Expr]] = {
    **{
        name: _library(name)
        for name in (
            *("sqrt", "exp", "expm1", "log", "log1p"),
            *("sin", "cos", "tanh", "erf", "atan2", "pow"),
        )
    },
    "trunc": _by_magnitude(_trunc),
    "floor": _by_magnitude(_floor),
    "ceil": _by_magnitude(_ceil),
    "round": _by_magnitude(_round),
}
"""By op name."""
