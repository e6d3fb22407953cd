"""Functions of floats, written in arithmetic that every device has and vectorises.

Calls of a device's own library cost ten times as much where they are not inlined.
"""

from collections.abc import Callable, Sequence

from graphwright.backends.codegen.expr import Expr, call, choose, const, unsigned
from graphwright.ir.dtype import DType, float32, int32


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


# Of float32: coefficients and reductions of S. L. Moshier's Cephes library (1989),
# `single/expf.c`, `logf.c`, `tanhf.c`, `ndtrf.c`.

# fmt: off
_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3,
        4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
_LOG = (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1,
        1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1,
        3.3333331174e-1)
_TANH = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2,
         1.33314422036e-1, -3.33332819422e-1)
_ERF = (7.853861353153693e-5, -8.010193625184903e-4, 5.188327685732524e-3,
        -2.685381193529856e-2, 1.128358514861418e-1, -3.761262582423300e-1,
        1.128379165726710)
_ERFC_MIDDLE = (
    2.326819970068386e-2, -1.387039388740657e-1, 3.687424674597105e-1,
    -5.824733027278666e-1, 6.210004621745983e-1, -4.944515323274145e-1,
    3.404879937665872e-1, -2.741127028184656e-1, 5.638259427386472e-1)
_ERFC_LARGE = (
    -1.047766399936249e1, 1.297719955372516e1, -7.495518717768503, 2.921019019210786,
    -1.015265279202700, 4.218463358204948e-1, -2.820767439740514e-1,
    5.641895067754075e-1)
# fmt: on
_LOG2_E = 1.44269504088896341
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
_MAGIC, _MAGIC_BITS = 12582912.0, 0x4B400000  # 1.5 * 2^23: adding it rounds
_INFINITY = float("inf")


def _power_of_two(n: Expr) -> Expr:
    """``2^n`` of an int32 in the range of normal numbers."""
    return ((n + 127) << 23).bits(float32)


def _exp(x: Expr) -> Expr:
    """``2^n e^r`` with ``|r| <= ln 2 / 2``; the power in two steps, for subnormals."""
    x = choose(x > 89.0, const(89.0, float32), x)
    x = choose(x < -104.0, const(-104.0, float32), x)
    shifted = x * _LOG2_E + _MAGIC
    n, whole = shifted.bits(int32) - _MAGIC_BITS, shifted - _MAGIC
    r = (x - whole * _LN2_HIGH) - whole * _LN2_LOW
    found = horner(r, _EXP) * (r * r) + r + 1.0
    half = n >> 1
    return found * _power_of_two(half) * _power_of_two(n - half)


def _log(x: Expr) -> Expr:
    small = x < 2.0**-126
    bits = choose(small, x * 2.0**23, x).bits(int32)
    m = ((bits & 0x7FFFFF) | 0x3F000000).bits(float32)
    low = m < 0.707106781186547524
    e = (bits >> 23) - choose(small, const(149, int32), 126)
    power = choose(low, e - 1, e).to(float32)
    m = choose(low, m + m, m) - 1.0
    z = m * m
    y = horner(m, _LOG) * m * z + power * _LN2_LOW - z * 0.5
    found = m + y + power * _LN2_HIGH
    zero = choose(x.same(0.0), const(-_INFINITY, float32), float("nan"))
    return choose(x > 0.0, choose(x < _INFINITY, found, x), zero)


def _tanh(x: Expr) -> Expr:
    size = magnitude(x)
    z = x * x
    near = horner(z, _TANH) * z * x + x
    far = 1.0 - const(2.0, float32) / (_exp(size + size) + 1.0)
    return signed_as(choose(size < 0.625, near, far), x)


def _erf(x: Expr) -> Expr:
    size = magnitude(x)
    z = x * x
    near = x * horner(z, _ERF)
    q = const(1.0, float32) / size
    y = q * q
    tail = choose(size < 2.0, horner(y, _ERFC_MIDDLE), horner(y, _ERFC_LARGE))
    far = 1.0 - _exp(-z) * q * tail
    far = choose(size > 4.0, choose(size.same(size), const(1.0, float32), size), far)
    return choose(size < 1.0, near, signed_as(far, x))


def _in_float32(name: str, written: Callable[[Expr], Expr]) -> Callable[[Expr], Expr]:
    """A function written out for float32; of float64 the device's own."""

    def apply(x: Expr) -> Expr:
        return written(x) if x.dtype is float32 else call(name, x)

    return apply


FUNCTIONS: dict[str, Callable[..., Expr]] = {
    **{
        name: _library(name)
        for name in (
            *("sqrt", "expm1", "log1p"),
            *("sin", "cos", "atan2"),
        )
    },
    "exp": _in_float32("exp", _exp),
    "log": _in_float32("log", _log),
    "tanh": _in_float32("tanh", _tanh),
    "erf": _in_float32("erf", _erf),
    "trunc": _by_magnitude(_trunc),
    "floor": _by_magnitude(_floor),
    "ceil": _by_magnitude(_ceil),
    "round": _by_magnitude(_round),
}
"""By op name."""


def _base(x: Expr) -> Expr:
    """What a root is taken of: as powers are defined, inf for -inf and 0 for -0."""
    return choose(x.same(-_INFINITY), const(_INFINITY, x.dtype), x) + 0.0


def _root(x: Expr) -> Expr:
    return call("sqrt", _base(x))


def _root_of_root(x: Expr) -> Expr:
    return call("sqrt", _root(x))


POWERS: dict[float, Callable[[Expr], Expr]] = {
    -1.0: lambda x: const(1.0, x.dtype) / x,
    -0.5: lambda x: const(1.0, x.dtype) / _root(x),
    0.25: _root_of_root,
    0.5: _root,
    0.75: lambda x: _root(x) * _root_of_root(x),
    1.5: lambda x: _base(x) * _root(x),
    2.0: lambda x: x * x,
    3.0: lambda x: x * x * x,
    4.0: lambda x: (x * x) * (x * x),
}
"""Powers that are products and roots, by exponent."""
