"""Functions of one or two numbers: exponentials, trigonometry, rounding, parts."""

import math
from collections.abc import Sequence
from typing import Any

from graphwright.frontends.tracing.numpy.support import (
    conjugate,
    float_of,
    floats,
    need_kinds,
    to_dtype,
    zeros,
)
from graphwright.frontends.tracing.numpy.support import (
    imag as imaginary,
)
from graphwright.frontends.tracing.numpy.support import (
    real as real_part,
)
from graphwright.frontends.tracing.wrap import Operand, array_function
from graphwright.ir.dtype import DTYPES, bool_, float64, int8, int64
from graphwright.ir.emitter import Emitter, Value

__all__ = [
    "acos",
    "acosh",
    "angle",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "ceil",
    "conj",
    "cos",
    "cosh",
    "deg2rad",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "fix",
    "floor",
    "hypot",
    "imag",
    "iscomplex",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "isreal",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "modf",
    "nan_to_num",
    "rad2deg",
    "real",
    "rint",
    "round",
    "sign",
    "sin",
    "sinc",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
]


def _float(b: Emitter, x: Value) -> Value:
    return b.cast(x, float_of(x.dtype))


# Exponentials and logarithms ----------------------------------------------------------


@array_function
def exp(b: Emitter, x: Value, /) -> Value:
    """``e ** x``."""
    return b.exp(_float(b, x))


@array_function
def exp2(b: Emitter, x: Value, /) -> Value:
    """``2 ** x``."""
    y = _float(b, x)
    return b.pow(b.full((), 2, y.dtype), y)


@array_function
def expm1(b: Emitter, x: Value, /) -> Value:
    """``e ** x - 1``, accurate near 0."""
    y = _float(b, x)
    return _complex_expm1(b, y) if y.dtype.kind == "c" else b.unary("expm1", y)


def _complex_expm1(b: Emitter, z: Value) -> Value:
    """``expm1(x) cos y - 2 sin(y / 2)^2 + i e^x sin y``, limits as in C's annex G."""
    x, y = real_part(b, z), imaginary(b, z)
    half = b.unary("sin", b.mul(y, 0.5))
    near = b.mul(b.unary("expm1", x), b.unary("cos", y))
    low, high = b.eq(x, -math.inf), b.eq(x, math.inf)
    lost = b.not_(b.lt(b.abs(y), math.inf))
    real = b.sub(near, b.mul(b.mul(half, half), 2.0))
    real = b.where(b.and_(high, lost), math.inf, b.where(low, -1.0, real))
    real = b.where(b.eq(real, 0), zeros(b, real), real)  # never -0.0
    imag = b.mul(b.exp(x), b.unary("sin", y))
    imag = b.where(b.and_(low, lost), b.full((), 0, y.dtype), imag)
    return b.emit("complex", real, b.where(b.eq(y, 0), y, imag))


@array_function
def log(b: Emitter, x: Value, /) -> Value:
    """Natural logarithm."""
    return b.log(_float(b, x))


@array_function
def log1p(b: Emitter, x: Value, /) -> Value:
    """``log(1 + x)``, accurate near 0."""
    return b.unary("log1p", _float(b, x))


@array_function
def log2(b: Emitter, x: Value, /) -> Value:
    """Logarithm to base 2."""
    return b.unary("log2", _float(b, x))


@array_function
def log10(b: Emitter, x: Value, /) -> Value:
    """Logarithm to base 10."""
    return b.unary("log10", _float(b, x))


def _log_add(b: Emitter, operands: Sequence[Value], base: float) -> Value:
    """``log(base^x + base^y)`` to the base: the larger plus what the smaller adds."""
    own = operands[0].dtype
    x, y = b.align(*(b.cast(v, own.accumulate) for v in operands))
    scale = math.log(base)
    gap = b.mul(b.abs(b.sub(x, y)), -scale)
    tail = b.mul(b.unary("log1p", b.exp(gap)), 1 / scale)
    twice = b.full((), math.log(2) / scale, x.dtype)
    return b.cast(b.add(b.max(x, y), b.where(b.eq(x, y), twice, tail)), own)


@array_function
def logaddexp(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """``log(e^x1 + e^x2)``."""
    return _log_add(b, floats(b, x1, x2), math.e)


@array_function
def logaddexp2(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """``log2(2^x1 + 2^x2)``."""
    return _log_add(b, floats(b, x1, x2), 2)


@array_function
def sqrt(b: Emitter, x: Value, /) -> Value:
    """Square root."""
    return b.sqrt(_float(b, x))


@array_function
def cbrt(b: Emitter, x: Value, /) -> Value:
    """Cube root."""
    return b.unary("cbrt", _float(b, x))


# Trigonometry -------------------------------------------------------------------------


@array_function
def sin(b: Emitter, x: Value, /) -> Value:
    """Sine of radians."""
    return b.unary("sin", _float(b, x))


@array_function
def cos(b: Emitter, x: Value, /) -> Value:
    """Cosine of radians."""
    return b.unary("cos", _float(b, x))


@array_function
def tan(b: Emitter, x: Value, /) -> Value:
    """Tangent of radians."""
    return b.unary("tan", _float(b, x))


@array_function
def asin(b: Emitter, x: Value, /) -> Value:
    """Inverse sine, in radians."""
    return b.unary("asin", _float(b, x))


@array_function
def acos(b: Emitter, x: Value, /) -> Value:
    """Inverse cosine, in radians."""
    return b.unary("acos", _float(b, x))


@array_function
def atan(b: Emitter, x: Value, /) -> Value:
    """Inverse tangent, in radians."""
    return b.unary("atan", _float(b, x))


@array_function
def sinh(b: Emitter, x: Value, /) -> Value:
    """Hyperbolic sine."""
    return b.unary("sinh", _float(b, x))


@array_function
def cosh(b: Emitter, x: Value, /) -> Value:
    """Hyperbolic cosine."""
    return b.unary("cosh", _float(b, x))


@array_function
def tanh(b: Emitter, x: Value, /) -> Value:
    """Hyperbolic tangent."""
    y = _float(b, x)
    return _complex_tanh(b, y) if y.dtype.kind == "c" else b.tanh(y)


def _complex_tanh(b: Emitter, z: Value) -> Value:
    """``tanh``; far to the right or left 1 or -1, its zero of the operand's sign."""
    x, y = real_part(b, z), imaginary(b, z)
    one, zero = (b.full(x.shape, n, x.dtype) for n in (1, 0))
    limit = b.emit(
        "complex", *(b.emit("copysign", m, v) for m, v in ((one, x), (zero, y)))
    )
    finite = b.lt(b.abs(y), math.inf)
    far = b.and_(b.eq(b.abs(x), math.inf), finite)
    return b.where(far, limit, b.tanh(z))


@array_function
def asinh(b: Emitter, x: Value, /) -> Value:
    """Inverse hyperbolic sine."""
    return b.unary("asinh", _float(b, x))


@array_function
def acosh(b: Emitter, x: Value, /) -> Value:
    """Inverse hyperbolic cosine."""
    return b.unary("acosh", _float(b, x))


@array_function
def atanh(b: Emitter, x: Value, /) -> Value:
    """Inverse hyperbolic tangent."""
    return b.unary("atanh", _float(b, x))


@array_function
def atan2(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """Angle of the point ``(x2, x1)``, in radians."""
    return b.atan2(*floats(b, x1, x2))


@array_function
def hypot(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """``sqrt(x1^2 + x2^2)`` without overflow."""
    return b.emit("hypot", *b.align(*floats(b, x1, x2)))


@array_function
def deg2rad(b: Emitter, x: Value, /) -> Value:
    """Degrees as radians."""
    need_kinds("deg2rad", x, "biuf")
    return b.mul(_float(b, x), math.pi / 180)


@array_function
def rad2deg(b: Emitter, x: Value, /) -> Value:
    """Radians as degrees."""
    need_kinds("rad2deg", x, "biuf")
    return b.mul(_float(b, x), 180 / math.pi)


@array_function
def sinc(b: Emitter, x: Value, /) -> Value:
    """``sin(pi x) / (pi x)``, 1 at 0."""
    y = b.mul(b.cast(x, float64) if x.dtype.kind in "biu" else x, math.pi)
    one = b.full((), 1, y.dtype)
    safe = b.where(b.eq(y, 0), one, y)
    return b.where(b.eq(y, 0), one, b.div(b.unary("sin", safe), safe))


# Rounding -----------------------------------------------------------------------------


def _rounded(b: Emitter, name: str, x: Value) -> Value:
    if x.dtype.kind in "biu":
        return x
    if x.dtype.kind != "c":
        return b.unary(name, x)
    parts = (b.unary(name, part(b, x)) for part in (real_part, imaginary))
    return b.emit("complex", *parts)


@array_function
def floor(b: Emitter, x: Value, /) -> Value:
    """Largest integer not above ``x``."""
    need_kinds("floor", x, "biuf")
    return _rounded(b, "floor", x)


@array_function
def ceil(b: Emitter, x: Value, /) -> Value:
    """Smallest integer not below ``x``."""
    need_kinds("ceil", x, "biuf")
    return _rounded(b, "ceil", x)


@array_function
def trunc(b: Emitter, x: Value, /) -> Value:
    """The integer towards zero."""
    need_kinds("trunc", x, "biuf")
    return _rounded(b, "trunc", x)


fix = trunc


@array_function
def round(b: Emitter, x: Value, /, decimals: int = 0) -> Value:
    """Nearest number of so many decimals, halves to even."""
    if x.dtype is bool_ and decimals == 0:
        return b.cast(x, DTYPES["float16"])
    if decimals == 0 or (decimals > 0 and x.dtype.kind in "biu"):
        return _rounded(b, "round", x)
    scale = 10.0 ** abs(decimals)
    wide = b.cast(x, float64) if x.dtype.kind in "biu" else x
    factor = b.full((), scale, wide.dtype)
    down, up = (b.mul, b.div) if decimals > 0 else (b.div, b.mul)
    return b.cast(up(_rounded(b, "round", down(wide, factor)), factor), x.dtype)


@array_function
def rint(b: Emitter, x: Value, /) -> Value:
    """Nearest integer as a float, halves to even."""
    return _rounded(b, "round", _float(b, x))


@array_function
def modf(b: Emitter, x: Value, /) -> tuple[Value, Value]:
    """Fraction and integer parts, both of the operand's sign."""
    y = _float(b, x)
    whole = b.unary("trunc", y)
    infinite = b.eq(b.abs(y), math.inf)
    rest = b.where(infinite, zeros(b, y), b.sub(y, whole))
    return b.emit("copysign", rest, y), whole


# Parts and tests ----------------------------------------------------------------------


@array_function
def fabs(b: Emitter, x: Value, /) -> Value:
    """Magnitude, as a float."""
    need_kinds("fabs", x, "biuf")
    return b.abs(_float(b, x))


@array_function
def sign(b: Emitter, x: Value, /) -> Value:
    """-1, 0 or 1; ``x / |x|`` of a complex number; NaN stays."""
    need_kinds("sign", x, "iufc")
    if x.dtype.kind != "c":
        found = b.sign(x)
        return b.where(b.eq(x, 0), zeros(b, x), found) if x.dtype.is_float else found
    size = to_dtype(b, b.abs(x), x.dtype)
    return b.where(b.eq(x, 0), zeros(b, x), b.div(x, size))


@array_function(view=True)
def real(b: Emitter, x: Value, /) -> Value:
    """Real part."""
    return real_part(b, x)


@array_function(view=True)
def imag(b: Emitter, x: Value, /) -> Value:
    """Imaginary part; zeros of a real tensor."""
    return imaginary(b, x)


@array_function
def conj(b: Emitter, x: Value, /) -> Value:
    """Complex conjugate."""
    return conjugate(b, b.cast(x, int8) if x.dtype is bool_ else x)


@array_function
def angle(b: Emitter, x: Value, /, deg: bool = False) -> Value:
    """Angle of a complex number, in radians or degrees."""
    x = b.cast(x, int64) if x.dtype is bool_ else x
    y = x if x.dtype.kind == "c" else _float(b, x)
    found = b.atan2(imaginary(b, y), real_part(b, y))
    return b.mul(found, 180 / math.pi) if deg else found


def is_inf(b: Emitter, x: Value) -> Value:
    """Whether a float, or a part of a complex number, is infinite."""
    if x.dtype.kind == "c":
        return b.or_(is_inf(b, real_part(b, x)), is_inf(b, imaginary(b, x)))
    return b.eq(b.abs(x), math.inf)


def _never(b: Emitter, x: Value) -> Value:
    return b.full(x.shape, False, bool_)


@array_function
def isnan(b: Emitter, x: Value, /) -> Value:
    """Whether it is not a number."""
    return b.is_nan(x) if x.dtype.kind in "fc" else _never(b, x)


@array_function
def isinf(b: Emitter, x: Value, /) -> Value:
    """Whether it is infinite."""
    return is_inf(b, x) if x.dtype.kind in "fc" else _never(b, x)


@array_function
def isfinite(b: Emitter, x: Value, /) -> Value:
    """Whether it is neither infinite nor NaN."""
    if x.dtype.kind == "c":
        parts = (b.abs(real_part(b, x)), b.abs(imaginary(b, x)))
        return b.and_(*(b.lt(part, math.inf) for part in parts))
    return b.lt(b.abs(x), math.inf) if x.dtype.is_float else b.not_(_never(b, x))


@array_function
def isposinf(b: Emitter, x: Value, /) -> Value:
    """Whether it is infinity."""
    return b.eq(x, math.inf) if x.dtype.is_float else _never(b, x)


@array_function
def isneginf(b: Emitter, x: Value, /) -> Value:
    """Whether it is minus infinity."""
    return b.eq(x, -math.inf) if x.dtype.is_float else _never(b, x)


@array_function
def isreal(b: Emitter, x: Value, /) -> Value:
    """Whether the imaginary part is 0."""
    return b.eq(imaginary(b, x), 0) if x.dtype.kind == "c" else b.not_(_never(b, x))


@array_function
def iscomplex(b: Emitter, x: Value, /) -> Value:
    """Whether the imaginary part is not 0."""
    return b.not_(b.eq(imaginary(b, x), 0)) if x.dtype.kind == "c" else _never(b, x)


def _cleaned(b: Emitter, x: Value, nan: Any, high: Any, low: Any) -> Value:
    least, greatest = x.dtype.limits
    y = b.where(b.is_nan(x), b.full((), nan, x.dtype), x)
    y = b.where(b.eq(x, math.inf), greatest if high is None else high, y)
    return b.where(b.eq(x, -math.inf), least if low is None else low, y)


@array_function
def nan_to_num(
    b: Emitter,
    x: Value,
    /,
    copy: bool = True,
    nan: float = 0.0,
    posinf: Any = None,
    neginf: Any = None,
) -> Value:
    """NaN as a number, infinities as the dtype's ends or numbers given."""
    if x.dtype.is_float:
        return _cleaned(b, x, nan, posinf, neginf)
    if x.dtype.kind != "c":
        return x
    parts = (part(b, x) for part in (real_part, imaginary))
    return b.emit("complex", *(_cleaned(b, p, nan, posinf, neginf) for p in parts))
