"""Functions of floats, written in arithmetic that every device has and vectorises.

Calls of a device's own library cost ten times as much where they are not inlined.
"""

import math
from collections.abc import Callable, Sequence
from math import factorial

from graphwright.backends.codegen.expr import (
    Expr,
    call,
    choose,
    choose_rarely,
    const,
    unsigned,
)
from graphwright.ir.dtype import DType, float32, float64, int32, int64
from graphwright.ir.record import record


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


_LOG2_E = 1.44269504088896341
_LN2 = 0.693147180559945309
_ROOT_HALF = 0.707106781186547524
_INFINITY = float("inf")
_NORMAL = 87.33654
"""Up to here ``e^x`` and ``e^-x`` are normal numbers of float32."""
_TWO = 128 << 23
"""The bits of 2 in float32; less those of a power of 2, they are twice its inverse."""
_LEAST = 0x3F3504F3
"""Those of the root of 1/2."""
_LOWEST = 2.0**-23
"""What the lowest bit of a float32's exponent is beside the integer that it is."""
_QUARTERS = 0.63661977236758134
"""Quarters of a turn in one unit."""
_QUARTER = (1.5703125, 4.825592041015625e-4, 1.2665987014770508e-6,
            9.913492249324918e-10, 7.443547731314504e-13)  # fmt: skip
"""A quarter; up to 2^14 times each part is a number of float32, but the last one."""
_TURNS = 25000.0
"""As far as quarters are counted so."""
_ONE_SIDED = 2.814548
"""Half of where what a float32 has of the normal distribution ends."""


@record(frozen=True, slots=True)
class _Format:
    """What functions have to know of a float dtype.

    Attributes:
        dtype: The dtype.
        held: Signed integers as wide.
        mantissa: Bits of the mantissa.
        bias: Of the exponent.
        range: From where on ``e^x`` is infinite, and up to where it is 0.
        tanh: From where on ``tanh(x)`` is 1.
        ln2: The logarithm of 2 in two parts; multiples of the first are exact.
    """

    dtype: DType
    held: DType
    mantissa: int
    bias: int
    range: tuple[float, float]
    tanh: float
    ln2: tuple[float, float]

    def power_of_two(self, n: Expr) -> Expr:
        """``2^n`` of an integer with the bias; bits above the exponent's are lost."""
        return (n << self.mantissa).bits(self.dtype)

    def whole(self, x: Expr, bias: int) -> tuple[Expr, Expr]:
        """The nearest integer: as low bits, with a bias, and as a float."""
        magic = 1.5 * 2.0**self.mantissa + bias  # the sum has no bits behind the point
        shifted = x + magic
        return shifted.bits(self.held), shifted - magic


_SINGLE = _Format(
    *(float32, int32, 23, 127, (89.0, -104.0), 9.011),
    (0.693359375, -2.12194440e-4),
)
_DOUBLE = _Format(
    *(float64, int64, 52, 1023, (710.0, -746.0), 19.2),
    (6.93145751953125e-1, 1.42860682030941723212e-6),
)
_FORMATS = {form.dtype: form for form in (_SINGLE, _DOUBLE)}

# Coefficients and reductions of S. L. Moshier's Cephes library (1989), `single/` and
# `double/`: `exp.c`, `log.c`, `sin.c`, `ndtr.c`; of e^x in float64, Taylor's. Those of
# e^x, 2^x - 1, log2(1 - erf(x)), tanh(x / 2) and log(x) in float32 are fitted: e^x,
# 2^x - 1, erf, tanh(x) and log(x) are within 0.2 units in the last place by them, if
# all else is exact. The last numbers of tanh's were chosen for its roundings: of all
# float32, 3.94 is the largest error, 3.66 where products and sums are one operation.
# Those of a root of the normal distribution are least squares, weighted again until
# errors of gelu are even, and rounded from the lowest power on, each before the rest
# was fitted again; so are those of log(x).

# fmt: off
_EXP = {
    float32: (1.378973946e-3, 8.368679322e-3, 4.166888818e-2, 1.666652113e-1,
              4.999999106e-1),
    float64: tuple(1 / factorial(k) for k in range(13, 1, -1)),
}
_EXP_WIDE = (
    1.976530766e-4, 1.410761499e-3, 8.335017599e-3, 4.166110978e-2, 1.666663140e-1,
    5.000003576e-1, 1.0, 1.0)
_LOG = (-0.0763643906, 0.127622172, -0.131596103, 0.1420158, -0.166234091, 0.200012416,
        -0.250008196, 0.333333313)
_LOG_OVER = (
    1.01875663804580931796e-4, 4.97494994976747001425e-1, 4.70579119878881725854,
    1.44989225341610930846e1, 1.79368678507819816313e1, 7.70838733755885391666)
_LOG_UNDER = (
    1.0, 1.12873587189167450590e1, 4.52279145837532221105e1, 8.29875266912776603211e1,
    7.11544750618563894466e1, 2.31251620126765340583e1)
_SIN = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COS = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_POWER_LESS_1 = (
    1.53826943e-04, 1.33874046e-03, 9.61830933e-03, 5.55036739e-02,
    2.40226492e-01, 6.93147182e-01)
_TANH_OVER = (2.20241971e-4, 5.73978163e-2, 1.92783999)
_TANH_UNDER = (2.36906749e-6, 2.32590572e-3, 2.18051076e-1, 1.92783999)
_LOG_ERFC = (
    1.32056512e-05, -1.68305225e-04, 9.07739624e-04, -2.39529135e-03,
    2.21827795e-04, 2.76369918e-02, -1.48278326e-01, -9.18447495e-01,
    -1.62790704e+00)
_NORMAL_ROOT = (
    7.25799793e-05, -6.60392281e-04, 1.44091388e-03, 3.92410299e-03,
    -1.76010429e-02, -5.34388237e-03, 7.38136023e-02, 4.38995101e-02,
    -2.38751158e-01, -3.98941576e-01, 1.0)
_ERF_OVER = (
    9.60497373987051638749, 9.00260197203842689217e1, 2.23200534594684319226e3,
    7.00332514112805075473e3, 5.55923013010394962768e4)
_ERF_UNDER = (
    1.0, 3.35617141647503099647e1, 5.21357949780152679795e2, 4.59432382970980127987e3,
    2.26290000613890934246e4, 4.92673942608635921086e4)
_ERFC_OVER = (
    2.46196981473530512524e-10, 5.64189564831068821977e-1, 7.46321056442269912687,
    4.86371970985681366614e1, 1.96520832956077098242e2, 5.26445194995477358631e2,
    9.34528527171957607540e2, 1.02755188689515710272e3, 5.57535335369399327526e2)
_ERFC_UNDER = (
    1.0, 1.32281951154744992508e1, 8.67072140885989742329e1, 3.54937778887819891062e2,
    9.75708501743205489753e2, 1.82390916687909736289e3, 2.24633760818710981792e3,
    1.65666309194161350182e3, 5.57535340817727675546e2)
# fmt: on


def _exp(x: Expr) -> Expr:
    """``2^n e^r`` with ``|r| <= ln 2 / 2``; the power in two steps, for subnormals.

    Of float32 these steps are one twice: ``(2^n)^2 e^r`` with ``|r| <= ln 2``.
    """
    form = _FORMATS[x.dtype]
    most, least = form.range
    x = choose(x > most, const(most, x.dtype), x)
    x = choose(x < least, const(least, x.dtype), x)
    if form is _SINGLE:
        n, whole = form.whole(x * (_LOG2_E / 2), form.bias)
        high, low = form.ln2
        near = horner((x - whole * (2 * high)) - whole * (2 * low), _EXP_WIDE)
        root = form.power_of_two(n)
        return near * root * root
    n, r = _reduced(x, form, 2 * form.bias)
    half = n >> 1
    return _exp_near(r) * form.power_of_two(half) * form.power_of_two(n - half)


def _exp_within(x: Expr) -> Expr:
    """The same where it is known to be a normal number."""
    form = _FORMATS[x.dtype]
    n, r = _reduced(x, form, form.bias)
    return _exp_near(r) * form.power_of_two(n)


def _expm1(x: Expr) -> Expr:
    """``2 (2^(n-1) e^r - 1/2)``, whose parts are numbers as long as ``e^x`` is one."""
    form = _FORMATS[x.dtype]
    most, least = form.range[0], -(form.mantissa + 2) / _LOG2_E
    x = choose(x > most, const(most, x.dtype), x)
    x = choose(x < least, const(least, x.dtype), x)
    n, r = _reduced(x, form, form.bias - 1)
    scale, part = form.power_of_two(n), horner(r, (*_EXP[r.dtype], 1.0)) * r
    found = (part * scale - (0.5 - scale)) * 2.0
    return choose(magnitude(x) < 2.0 ** -(form.mantissa + 1), x, found)


def weight(x: Expr) -> Expr:
    """``e^x`` of a float32 of at most 0, or NaN; 0 where that is no normal number."""
    return choose(x < -87.0, const(0.0, x.dtype), _exp_within(x))


def _reduced(x: Expr, form: _Format, bias: int) -> tuple[Expr, Expr]:
    """``n + bias``, as low bits, and ``r``, of ``x = n ln 2 + r``."""
    n, whole = form.whole(x * _LOG2_E, bias)
    high, low = form.ln2
    return n, (x - whole * high) - whole * low


def _exp_near(r: Expr) -> Expr:
    """``e^r`` near 0."""
    return horner(r, (*_EXP[r.dtype], 1.0, 1.0))


def _less_one(power: Expr, again: Expr) -> tuple[Expr, Expr]:
    """``2^n`` and ``2^r - 1`` of a power ``n + r`` of 2, in float32.

    The power comes twice: what is a product is each time one operation with a sum.
    """
    n, whole = _SINGLE.whole(power, _SINGLE.bias)
    r = again - whole
    return _SINGLE.power_of_two(n), horner(r, _POWER_LESS_1) * r


def _log(x: Expr) -> Expr:
    if x.dtype is float32:
        m, bits = _about_one(x)
        return _log_ended(x, _log_near(m - 1.0, bits))
    m, power = near_one(x)
    return _log_ended(x, _log_by_ratio(m - 1.0, power))


def _log1p(x: Expr) -> Expr:
    """``log(s)`` of the rounded ``s = 1 + x``, with what it lacks, of a float32.

    Up to 2^24 ``s - 1`` is exact; further on what is lacking is none of the digits.
    """
    if x.dtype is not float32:
        return call("log1p", x)
    s = x + 1.0
    half = x * 0.5 - (s * 0.5 - 0.5)  # twice an inverse power of 2 is no subnormal
    m, bits = _normal_about_one(s)
    twice = (const(_TWO, int32) - bits).bits(float32)
    near = _log_near(half * twice + (m - 1.0), bits)
    return choose(x.same(0.0), x, _log_ended(s, near))


def _log_near(m: Expr, bits: Expr) -> Expr:
    """``log(1 + m) + e log(2)`` of a float32 and the bits of ``e``."""
    curve = horner(m, _LOG) * m - 0.5
    return bits.to(float32) * (_LN2 * _LOWEST) + (curve * (m * m) + m)


def _log_by_ratio(m: Expr, power: Expr) -> Expr:
    """``log(1 + m) + power log(2)`` of a float64."""
    high, rest = _DOUBLE.ln2
    z = m * m
    terms = horner(m, _LOG_OVER) / horner(m, _LOG_UNDER)
    y = terms * m * z + power * rest - z * 0.5
    return m + y + power * high


def _log_ended(x: Expr, found: Expr) -> Expr:
    """A logarithm where ``x`` has one."""
    zero = choose(x.same(0.0), const(-_INFINITY, x.dtype), float("nan"))
    return choose(x > 0.0, choose(x < _INFINITY, found, x), zero)


def near_one(x: Expr) -> tuple[Expr, Expr]:
    """A positive number as ``m 2^e``, ``m`` from the root of 1/2 to that of 2."""
    if x.dtype is float32:
        m, bits = _about_one(x)
        return m, bits.to(float32) * _LOWEST
    small = x < 2.0 ** (1 - _DOUBLE.bias)
    m, power = _taken_apart(choose(small, x * 2.0**_DOUBLE.mantissa, x))
    power = choose(small, power - _DOUBLE.mantissa, power)
    low = m < _ROOT_HALF
    return choose(low, m + m, m), choose(low, power - 1.0, power)


def _about_one(x: Expr) -> tuple[Expr, Expr]:
    """The same of a float32, of ``e`` as an integer: ``e 2^23``."""
    small = x < 2.0 ** (1 - _SINGLE.bias)
    m, bits = _normal_about_one(choose(small, x * 2.0**_SINGLE.mantissa, x))
    return m, choose(small, bits - (_SINGLE.mantissa << _SINGLE.mantissa), bits)


def _normal_about_one(x: Expr) -> tuple[Expr, Expr]:
    """The same where it is a normal number."""
    own = x.bits(int32)
    bits = (own - _LEAST) & -(1 << _SINGLE.mantissa)
    return (own - bits).bits(float32), bits


def _taken_apart(x: Expr) -> tuple[Expr, Expr]:
    """A positive normal float64 as ``m 2^e``, ``m`` from 1/2 to 1; both as floats."""
    form, free = _DOUBLE, unsigned(float64)
    own, ones = x.bits(form.held), (1 << form.mantissa) - 1
    m = ((own & ones) | ((form.bias - 1) << form.mantissa)).bits(float64)
    unit = const(2.0**form.mantissa, float64)  # its lowest bit is 1
    power = ((own.bits(free) >> form.mantissa).bits(form.held)) | (
        (form.bias + form.mantissa) << form.mantissa
    )
    return m, power.bits(float64) - unit - (form.bias - 1)


def two_to(high: Expr, low: Expr) -> Expr:
    """``2^(high + low)`` of float32: also 0, infinity and numbers between."""
    power = high + low
    n, whole = _SINGLE.whole(power, 2 * _SINGLE.bias)
    near, half = horner((high - whole) + low, (*_POWER_LESS_1, 1.0)), n >> 1
    near = near * _SINGLE.power_of_two(half) * _SINGLE.power_of_two(n - half)
    near = choose(power < -160.0, const(0.0, float32), near)
    return choose(power > 130.0, const(_INFINITY, float32), near)


def _tanh(x: Expr) -> Expr:
    """``e / (e + 2)`` with ``e = exp(2|x|) - 1``, which keeps what is small.

    Of float32, a ratio of polynomials.
    """
    form, size = _FORMATS[x.dtype], magnitude(x)
    cut = choose(size > form.tanh, const(form.tanh, x.dtype), size)
    if form is _SINGLE:
        return signed_as(_tanh_by_half(cut), x)
    n, r = _reduced(cut + cut, form, form.bias)
    scale, part = form.power_of_two(n), horner(r, _EXP[r.dtype]) * (r * r) + r
    e = part * scale + (scale - 1.0)
    return signed_as(e / (e + 2.0), x)


def _tanh_by_half(x: Expr) -> Expr:
    """``2 t / (1 + t^2)`` with ``t = tanh(x / 2)``, of a float32 from 0 on.

    With ``t = x n / 2 d`` it is ``x n d`` to ``x n d + (d - x n / 2)^2``, at most 1.
    """
    z = x * x
    n, d = horner(z, _TANH_OVER), horner(z, _TANH_UNDER)
    product, rest = n * d * x, d - x * 0.5 * n
    return product / (rest * rest + product)


def _sigmoid(x: Expr) -> Expr:
    """``1 / (1 + e^-x)``; of float32, what is below the least normal number is 0."""
    one = const(1.0, x.dtype)
    if x.dtype is float64:
        return one / (_exp(-x) + one)
    cut = choose(x > _NORMAL, const(_NORMAL, float32), x)
    found = one / (_exp_within(-cut) + one)
    return choose(x < -_NORMAL, const(0.0, float32), found)


def _erf(x: Expr) -> Expr:
    """``1 - 2^y`` of a float32, by a polynomial ``y``; of float64 Cephes' ratios."""
    if x.dtype is float32:
        size = magnitude(x)
        cut = choose(size > 3.92, const(3.92, float32), size)
        y = horner(cut, _LOG_ERFC) * cut
        scale, part = _less_one(y, y)
        return signed_as((1.0 - scale) - part * scale, x)
    size = magnitude(x)
    z = x * x
    near = x * horner(z, _ERF_OVER) / horner(z, _ERF_UNDER)
    tail = horner(size, _ERFC_OVER) / horner(size, _ERFC_UNDER)
    far = 1.0 - _exp(-z) * tail
    over = size > 6.0
    far = choose(over, choose(size.same(size), const(1.0, x.dtype), size), far)
    return choose(size < 1.0, near, signed_as(far, x))


def gelu(x: Expr, *, tanh: bool) -> Expr:
    """``x (1 + erf(x / sqrt(2))) / 2``, or its approximation by a ``tanh``.

    That is ``x / (1 + 2^p)`` with a polynomial ``p``; of float32 it is computed so.
    """
    if not tanh:
        half = x * 0.5
        by_erf = half * (_erf(x * _ROOT_HALF) + 1.0)
        return _gelu_by_root(half) if x.dtype is float32 else by_erf
    slope, cubic = math.sqrt(2 / math.pi), 0.044715
    if x.dtype is not float32:
        return (x * 0.5) * (_tanh((x + x * x * x * cubic) * slope) + 1.0)
    turned = -2 * slope * _LOG2_E
    power = (x * x * (turned * cubic) + turned) * x
    power = choose(power > 128.0, const(128.0, float32), power)
    power = choose(power < -126.0, const(-126.0, float32), power)
    n, whole = _SINGLE.whole(power, _SINGLE.bias)
    near = horner(power - whole, (*_POWER_LESS_1, 1.0))
    return x / (near * _SINGLE.power_of_two(n) + 1.0)


def _gelu_by_root(half: Expr) -> Expr:
    """``x / 2 + |x / 2| (1 - r^4)`` with a polynomial ``r``, of the half of a float32.

    Twice the normal distribution function at ``-|x|`` is ``r^4``. The root falls less
    steeply, so that few powers of ``|x / 2|`` give it.
    """
    size = magnitude(half)
    cut = choose(size > _ONE_SIDED, const(_ONE_SIDED, float32), size)
    root = horner(cut, _NORMAL_ROOT)
    square = root * root
    return half - size * (square * square - 1.0)


def _circular(name: str, quarter: int) -> Callable[[Expr], Expr]:
    """``sin(x)`` or, a quarter of a turn on, ``cos(x)``.

    By which multiple of a quarter is nearest, it is the sine or cosine of what is left,
    or less that. What is too large for that, and a float64, the library has.
    """

    def function(x: Expr) -> Expr:
        if x.dtype is not float32:
            return call(name, x)
        n, whole = _SINGLE.whole(x * _QUARTERS, quarter)
        rest = x
        for part in _QUARTER:
            rest = rest - whole * part
        z = rest * rest
        odd, even = (horner(z, _SIN) * z + 1.0) * rest, horner(z, (*_COS, -0.5, 1.0))
        size = choose((n & 1).same(0), odd, even)
        near = (size.bits(int32) ^ ((n & 2) << 30)).bits(float32)
        return choose_rarely(magnitude(x) > _TURNS, call(name, x), near)

    return function


FUNCTIONS: dict[str, Callable[..., Expr]] = {
    **{name: _library(name) for name in ("sqrt", "atan2")},
    "sin": _circular("sin", 0),
    "cos": _circular("cos", 1),
    "exp": _exp,
    "expm1": _expm1,
    "log": _log,
    "log1p": _log1p,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "erf": _erf,
    "trunc": _by_magnitude(_trunc),
    "floor": _by_magnitude(_floor),
    "ceil": _by_magnitude(_ceil),
    "round": _by_magnitude(_round),
}
"""By op name."""
