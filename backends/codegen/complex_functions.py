"""Functions of complex numbers in terms of their real and imaginary parts.

Branch cuts, signs of zeros and infinite results are those of C99, annex G, as NumPy has
them. Nothing overflows, and nothing cancels, before the result itself does.
"""

import math
from typing import TypeAlias

from graphwright.ir.dtype import DTYPES
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.ops.transcendental import Hypot

Complex: TypeAlias = tuple[Value, Value]
"""Real and imaginary part, of one shape or broadcast to one."""

_FAR = 20.0
"""Beyond it ``e^-x`` is nothing beside ``e^x``, in float64 too."""
_POWERS = 7
"""Bits of exponents that NumPy multiplies out; from 100 on it takes logarithms."""


# Arithmetic --------------------------------------------------------------------------


def mul(b: Emitter, x: Complex, y: Complex) -> Complex:
    """The product, as written: infinite factors may give NaN."""
    (a, c), (d, e) = x, y
    real = b.sub(b.mul(a, d), b.mul(c, e))
    return real, b.add(b.mul(a, e), b.mul(c, d))


def div(b: Emitter, x: Complex, y: Complex) -> Complex:
    """By the larger part of the divisor, as NumPy does; by 0, each part by it.

    Source: R. L. Smith, "Algorithm 116: complex division" (1962).
    """
    (a, c), (d, e) = x, y
    turned = b.lt(b.abs(d), b.abs(e))
    large, small = b.where(turned, e, d), b.where(turned, d, e)
    ratio = b.div(small, large)
    scale = b.add(large, b.mul(small, ratio))
    near = b.where(turned, c, a), b.where(turned, b.neg(a), c)
    far = b.where(turned, a, c), b.where(turned, c, b.neg(a))
    whole, nothing = b.abs(large), b.and_(b.eq(d, 0), b.eq(e, 0))
    real, imag = (
        b.where(nothing, b.div(p, whole), b.div(b.add(q, b.mul(r, ratio)), scale))
        for p, q, r in zip((a, c), near, far, strict=True)
    )
    return real, imag


def modulus(b: Emitter, x: Complex) -> Value:
    """The distance from 0."""
    return Hypot().rule(b, *x)


def _chosen(b: Emitter, where: Value, x: Complex, y: Complex) -> Complex:
    return b.where(where, x[0], y[0]), b.where(where, x[1], y[1])


def _is_minus(b: Emitter, x: Value) -> Value:
    """Whether the sign's bit is set, of zeros too."""
    return b.lt(b.emit("bitcast", x, dtype=DTYPES[f"int{x.dtype.bits}"]), 0)


def _signed_as(b: Emitter, y: Value, x: Value) -> Value:
    """``y``, negative where ``x`` is."""
    return b.where(_is_minus(b, x), b.neg(y), y)


def _either(b: Emitter, where: Value, x: float, y: float, like: Value) -> Value:
    """One of two numbers."""
    return b.where(where, b.scalar(x, like.dtype), b.scalar(y, like.dtype))


def _turns(b: Emitter, x: Value) -> Complex:
    """Its cosine and sine."""
    return b.unary("cos", x), b.unary("sin", x)


# Exponentials and logarithms ---------------------------------------------------------


def exp(b: Emitter, z: Complex) -> Complex:
    """In two steps where ``e^x`` overflows; infinite ones as in C99, G.6.3.1."""
    x, y = z
    half, size = b.exp(b.mul(x, 0.5)), b.exp(x)
    large = b.eq(size, math.inf)
    plain, odd = b.eq(y, 0), b.not_(b.eq(b.sub(y, y), 0))
    real, imag = (
        b.where(large, b.mul(b.mul(half, turn), half), b.mul(size, turn))
        for turn in _turns(b, y)
    )
    real = b.where(b.and_(odd, b.eq(x, math.inf)), math.inf, real)
    none = b.and_(odd, b.eq(x, -math.inf))
    return b.where(none, 0, real), b.where(none, 0, b.where(plain, y, imag))


def expm1(b: Emitter, z: Complex) -> Complex:
    """``expm1(x) cos y - 2 sin(y / 2)^2`` and ``e^x sin y``, as NumPy has it."""
    x, y = z
    cos, sin = _turns(b, y)
    half = b.unary("sin", b.mul(y, 0.5))
    real = b.sub(b.mul(b.unary("expm1", x), cos), b.mul(b.mul(half, half), 2))
    return real, b.mul(b.exp(x), sin)


def log(b: Emitter, z: Complex) -> Complex:
    """Of the modulus near 1 by ``log1p``, else of the larger part."""
    x, y = (b.abs(v) for v in z)
    large, small = b.max(x, y), b.min(x, y)
    near = b.and_(b.gt(large, 0.5), b.lt(large, 1.5))
    less = b.mul(b.sub(large, 1), b.add(large, 1))
    close = b.unary("log1p", b.add(less, b.mul(small, small)))
    ratio = b.div(small, b.where(b.eq(large, 0), 1, large))
    rest = b.unary("log1p", b.mul(ratio, ratio))
    far = b.add(b.log(large), b.mul(rest, 0.5))
    far = b.where(_is_endless(b, z), math.inf, far)
    return b.where(near, b.mul(close, 0.5), far), b.atan2(z[1], z[0])


def log1p(b: Emitter, z: Complex) -> Complex:
    """``log(1 + z)``; near 0 of ``|1 + z|^2 - 1 = x (x + 2) + y^2``."""
    x, y = z
    moved = b.add(x, 1)
    real, imag = log(b, (moved, y))
    near = b.lt(b.max(b.abs(x), b.abs(y)), 0.5)
    close = b.add(b.mul(x, b.add(x, 2)), b.mul(y, y))
    return b.where(near, b.mul(b.unary("log1p", close), 0.5), real), imag


def sqrt(b: Emitter, z: Complex) -> Complex:
    """The root with a real part that is not negative.

    Source: W. Kahan, "Branch cuts for complex elementary functions" (1987).
    """
    large = b.ge(b.max(b.abs(z[0]), b.abs(z[1])), 1)
    scale = _either(b, large, 2.0**-2, 2.0**60, z[0])
    x, y = (b.mul(v, scale) for v in z)
    half = b.mul(b.add(modulus(b, (x, y)), b.abs(x)), 0.5)
    root = b.sqrt(half)
    other = b.where(b.eq(root, 0), b.abs(y), b.div(b.mul(b.abs(y), 0.5), root))
    left = _is_minus(b, x)
    endless = b.eq(b.abs(y), math.inf)
    real = b.where(endless, math.inf, b.where(left, other, root))
    imag = b.where(endless, math.inf, b.where(left, root, other))
    back = _either(b, large, 2.0, 2.0**-30, x)
    return b.mul(real, back), _signed_as(b, b.mul(imag, back), y)


def power(b: Emitter, x: Complex, y: Complex) -> Complex:
    """``e^(y log x)``; multiplied out for whole exponents below 100, as NumPy does."""
    far = exp(b, _endless(b, y, log(b, x)))
    (d, e) = y
    none, base = b.and_(b.eq(d, 0), b.eq(e, 0)), b.and_(b.eq(x[0], 0), b.eq(x[1], 0))
    size = b.abs(d)
    whole = b.and_(b.eq(e, 0), b.and_(b.eq(b.floor(d), d), b.lt(size, 100)))
    one = b.full(d.shape, 1, d.dtype), b.zeros_like(d)
    few = b.and_(b.gt(d, 0), b.le(d, 3))
    near = _whole_power(b, x, b.where(whole, size, 0), (one, few))
    near = _chosen(b, b.lt(d, 0), div(b, one, near), near)
    found = _chosen(b, whole, near, far)
    nothing = _either(b, b.gt(d, 0), 0, math.nan, d)
    found = _chosen(b, base, (nothing, nothing), found)
    return _chosen(b, none, one, found)


def _endless(b: Emitter, x: Complex, y: Complex) -> Complex:
    """The product, infinite in its direction if a factor is: C99, G.5.1."""
    found = mul(b, x, y)
    lost = b.and_(b.is_nan(found[0]), b.is_nan(found[1]))
    x_ends, y_ends = _is_endless(b, x), _is_endless(b, y)
    lost = b.and_(lost, b.or_(x_ends, y_ends))
    far = mul(b, _direction(b, x, x_ends), _direction(b, y, y_ends))
    real, imag = (b.mul(v, math.inf) for v in far)
    return _chosen(b, lost, (real, imag), found)


def _is_endless(b: Emitter, x: Complex) -> Value:
    return b.eq(b.max(*(_known(b, b.abs(v)) for v in x)), math.inf)


def _known(b: Emitter, v: Value) -> Value:
    """0 for NaN."""
    return b.where(b.is_nan(v), 0, v)


def _direction(b: Emitter, x: Complex, ends: Value) -> Complex:
    """Of an infinite number; another one as it is, but for NaN."""
    real, imag = (
        b.where(ends, _signed_as(b, b.cast(b.eq(b.abs(v), math.inf), v.dtype), v), w)
        for v, w in zip(x, (_known(b, v) for v in x), strict=True)
    )
    return real, imag


def _whole_power(
    b: Emitter, x: Complex, exponent: Value, start: tuple[Complex, Value]
) -> Complex:
    """By squares, bit by bit; where told to, without the product by 1 in front.

    That product has no infinite part where only one of ``x`` is infinite.
    """
    (found, fresh), rest = start, exponent
    for number in range(_POWERS):
        half = b.floor(b.mul(rest, 0.5))
        odd = b.not_(b.eq(b.add(half, half), rest))
        more = _chosen(b, fresh, x, mul(b, found, x))
        found = _chosen(b, odd, more, found)
        fresh, rest = b.and_(fresh, b.not_(odd)), half
        if number + 1 < _POWERS:
            x = mul(b, x, x)
    return found


# Trigonometry ------------------------------------------------------------------------


def sin(b: Emitter, z: Complex) -> Complex:
    """``sin x cosh y + i cos x sinh y``."""
    x, y = z
    cosine, sine = _turns(b, x)
    real, imag = _grown(b, y, (sine, cosine))
    return b.where(b.eq(x, 0), x, real), imag


def cos(b: Emitter, z: Complex) -> Complex:
    """``cos x cosh y - i sin x sinh y``."""
    x, y = z
    real, imag = _grown(b, y, _turns(b, x))
    return real, b.neg(b.where(b.eq(x, 0), _signed_as(b, x, y), imag))


def _grown(b: Emitter, y: Value, turns: Complex) -> Complex:
    """``cosh y`` and ``sinh y`` times cosines or sines, which may keep them finite."""
    size = b.abs(y)
    near = _hyperbolic(b, b.min(size, _FAR))
    half = b.exp(b.mul(size, 0.5))
    far = [b.mul(b.mul(b.mul(half, 0.5), turn), half) for turn in turns]
    is_far = b.gt(size, _FAR)
    even, odd = (
        b.where(is_far, a, b.mul(c, turn))
        for a, c, turn in zip(far, near, turns, strict=True)
    )
    return even, _signed_as(b, odd, y)


def _hyperbolic(b: Emitter, size: Value) -> Complex:
    """``cosh`` and ``sinh`` of what is from 0 to `_FAR`."""
    grown = b.unary("expm1", size)
    less = b.div(grown, b.add(grown, 1))  # 1 - e^-x
    cosh = b.add(b.mul(b.mul(grown, less), 0.5), 1)
    return cosh, b.mul(b.add(grown, less), 0.5)


def tanh(b: Emitter, z: Complex) -> Complex:
    """``(sinh x cosh x + i sin y cos y) / (sinh(x)^2 + cos(y)^2)``.

    Source: W. Kahan, "Branch cuts for complex elementary functions" (1987).
    """
    x, y = z
    cosine, sine = _turns(b, y)
    size = b.abs(x)
    near = b.min(size, _FAR)
    cosh, sinh = _hyperbolic(b, near)
    under = b.add(b.mul(sinh, sinh), b.mul(cosine, cosine))
    fades = b.exp(b.mul(b.sub(near, size), 2))
    imag = b.mul(b.div(b.mul(sine, cosine), under), fades)
    endless = b.eq(size, math.inf)
    real = b.where(endless, 1, b.div(b.mul(sinh, cosh), under))
    return _signed_as(b, real, x), b.where(endless, 0, imag)
