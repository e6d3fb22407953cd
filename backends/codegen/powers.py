"""Powers of floats: products and roots, logarithms in two parts, or the library's."""

from collections.abc import Callable

from graphwright.backends.codegen.expr import Expr, call, choose, const
from graphwright.backends.codegen.functions import horner, magnitude, near_one, two_to
from graphwright.ir.dtype import float32, int32

_INFINITY = float("inf")
_LARGEST = 2.0**60
"""An exponent is as good as infinite long before."""
_WHOLE = 2.0**24
"""From here on all float32 are even."""
_HEAD = ~0xFFF
"""Those bits of a float32 are 12 of its mantissa: their products are exact."""
_TWO_LOG2_E = 2.8853900817779268
_TWO_LOG2_E_HEAD = 2.884765625
_ATANH = (0.11665707, 0.14275092, 0.2000007, 0.33333333)
"""``(atanh(s) - s) / s^3`` by powers of ``s^2``, fitted up to the root of 2."""


def power(x: Expr, y: Expr) -> Expr:
    """``x^y``."""
    simple = _POWERS.get(y.value) if y.op == "const" else None
    if simple is not None:
        return simple(x)
    return _power(x, y) if x.dtype is float32 else call("pow", x, y)


def _power(x: Expr, y: Expr) -> Expr:
    """``2^(y log2|x|)`` with a sign, of float32, and what C99 says in F.9.4.4."""
    size = magnitude(x)
    below = choose(y > _LARGEST, const(_LARGEST, float32), y)
    near = choose(below < -_LARGEST, const(-_LARGEST, float32), below)
    found = two_to(*_times(near, *_log2(size)))
    ends = (size.same(0.0) & (y < 0.0)) | (size.same(_INFINITY) & (y > 0.0))
    far = choose(ends, const(_INFINITY, float32), 0.0) + near * 0.0
    found = choose((size > 0.0) & (size < _INFINITY), found, far)
    whole = choose(magnitude(y) < _WHOLE, y, const(0.0, float32)).to(int32)
    part = (magnitude(y) < _WHOLE) & whole.to(float32).differs(y)
    sign = x.bits(int32) & (choose(part, const(0, int32), whole) << 31)
    found = (found.bits(int32) | sign).bits(float32)
    broken = (part & (x < 0.0) & (size < _INFINITY)) | x.differs(x)
    found = choose(broken, const(float("nan"), float32), found)
    return choose(y.same(0.0) | x.same(1.0), const(1.0, float32), found)


def _head(x: Expr) -> Expr:
    return (x.bits(int32) & _HEAD).bits(float32)


def _log2(x: Expr) -> tuple[Expr, Expr]:
    """A positive number's logarithm in two parts, the first one of few bits.

    With ``m = (1 + s) / (1 - s)`` it is ``2 atanh(s) / ln 2``, and a whole number.
    """
    m, whole = near_one(x)
    over, under = m - 1.0, m + 1.0
    inverse = const(1.0, float32) / under
    high, head = _head(over * inverse), _head(under)
    less = ((over - high * head) - high * (m - (head - 1.0))) * inverse
    s = high + less
    z = high * high + less * (high + s)
    rest = horner(z, _ATANH) * z * s + less
    first = high * _TWO_LOG2_E_HEAD
    low = rest * _TWO_LOG2_E + high * (_TWO_LOG2_E - _TWO_LOG2_E_HEAD)
    total = whole + first
    cut = _head(total)
    return cut, (total - cut) + (low + (first - (total - whole)))


def _times(y: Expr, high: Expr, low: Expr) -> tuple[Expr, Expr]:
    """A product with what is in two parts, in two parts, the first one exact."""
    head = _head(y)
    return head * high, (y - head) * high + y * low


def _base(x: Expr) -> Expr:
    """What a root is taken of: as powers are defined, inf for -inf and 0 for -0."""
    return choose(x.same(-_INFINITY), const(_INFINITY, x.dtype), x) + 0.0


def _root(x: Expr) -> Expr:
    return call("sqrt", _base(x))


def _root_of_root(x: Expr) -> Expr:
    return call("sqrt", _root(x))


_POWERS: dict[float, Callable[[Expr], Expr]] = {
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
