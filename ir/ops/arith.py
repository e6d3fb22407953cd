"""Elementwise arithmetic: operands of one dtype and one shape.

Integers wrap around. Integer division truncates; dividing by zero gives 0, as does its
remainder, so that no backend can trap. Floats follow IEEE 754.
"""

import math
from typing import Any, ClassVar

from graphwright.ir.dim import Dim, floordiv, maximum, minimum
from graphwright.ir.dtype import DTYPES, DType, bool_, dtype
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.op import Cotangents, Narrowing, Op, Trait
from graphwright.ir.rules import map_contents, need_kind, same_dtype, same_shape, typed
from graphwright.ir.special import erf
from graphwright.ir.types import TensorType

_NUMBER = "iufc"
_REAL = "iuf"


class Elementwise(Op):
    """An op of equal shapes; ``kinds`` says which dtypes it takes."""

    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE})
    signed_zeros = True
    kinds: ClassVar[str] = _NUMBER

    def result_dtype(self, dtype: DType) -> DType:
        """Dtype of the result from that of the operands."""
        return dtype

    def result_type(self, *operands: TensorType) -> TensorType:
        first = operands[0]
        dtype = same_dtype(self.name, *operands)
        need_kind(self.name, first, self.kinds)
        shape = same_shape(self.name, *operands)
        out = self.result_dtype(dtype)
        for t in operands:
            if t.contents is not None:
                return typed(out, shape, map_contents(self.on_dims, *operands))
        same = out is dtype and first.shape is shape
        return first if same else TensorType(out, shape)

    def on_dims(self, *dims: Dim | None) -> Dim | None:
        """The op on known elements of integer tensors; None where not known."""
        return None


_COMMUTES = frozenset({Trait.ELEMENTWISE, Trait.COMMUTATIVE})


class Add(Elementwise):
    """``x + y``."""

    name = "add"
    ulps = 1.0
    traits = _COMMUTES

    def on_dims(self, *dims: Dim | None) -> Dim | None:
        x, y = dims
        return None if x is None or y is None else x + y

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        return xp.add(x, y)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        return cotangents[0], cotangents[0]


class Sub(Elementwise):
    """``x - y``."""

    name = "sub"
    ulps = 1.0

    def on_dims(self, *dims: Dim | None) -> Dim | None:
        x, y = dims
        return None if x is None or y is None else x - y

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        return xp.subtract(x, y)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        return cotangents[0], b.neg(cotangents[0])


class Mul(Elementwise):
    """``x * y``."""

    name = "mul"
    ulps = 1.0
    traits = _COMMUTES

    def on_dims(self, *dims: Dim | None) -> Dim | None:
        x, y = dims
        if x == 0 or y == 0:
            return 0
        return None if x is None or y is None else x * y

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        return xp.multiply(x, y)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (x, y), (ct,) = operands, cotangents
        return b.mul(ct, y), b.mul(ct, x)


def _is_int(x: Any) -> bool:
    return dtype(x.dtype).is_int


def trunc_divmod(xp: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Quotient truncated towards zero and its remainder; both 0 where ``y`` is 0."""
    zero = y == 0
    minus = y == -1 if dtype(x.dtype).kind == "i" else xp.zeros_like(zero)
    safe = xp.where(zero | minus, xp.ones_like(y), y)
    quotient = xp.floor_divide(x, safe)
    remainder = xp.subtract(x, xp.multiply(quotient, safe))
    off = (remainder != 0) & ((x < 0) != (safe < 0))
    quotient = xp.where(off, quotient + off.astype(x.dtype), quotient)
    remainder = xp.where(off, remainder - safe, remainder)
    quotient = xp.where(minus, xp.negative(x), quotient)  # INT_MIN / -1 wraps around
    none = xp.zeros_like(x)
    return (
        xp.where(zero, none, quotient).astype(x.dtype),
        xp.where(zero | minus, none, remainder).astype(x.dtype),
    )


class Div(Elementwise):
    """``x / y``; integers truncate towards zero, and division by zero gives 0."""

    name = "div"
    ulps = 1.0
    domains = ((-4.0, 4.0), (0.5, 4.0))

    def on_dims(self, *dims: Dim | None) -> Dim | None:
        x, y = dims
        if isinstance(x, int) and isinstance(y, int):
            q = abs(x) // abs(y) if y else 0
            return q if (x < 0) == (y < 0) else -q
        if x is None or not isinstance(y, int) or y <= 0:
            return None
        return floordiv(x, y) if _nonnegative(x) else None

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        return trunc_divmod(xp, x, y)[0] if _is_int(x) else xp.divide(x, y)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (_, y), (z,), (ct,) = operands, results, cotangents
        dx = b.div(ct, y)
        return dx, b.neg(b.mul(dx, z))


def _nonnegative(x: Dim) -> bool:
    return maximum(x, 0) == x


class Rem(Elementwise):
    """C's ``fmod`` or ``%``: the sign of ``x``; an integer ``y = 0`` gives 0."""

    name = "rem"
    steps = True
    domains = ((-8.0, 8.0), (0.5, 4.0))
    kinds = _REAL

    def on_dims(self, *dims: Dim | None) -> Dim | None:
        x, y = dims
        if isinstance(x, int) and isinstance(y, int):
            return int(math.fmod(x, y)) if y and abs(x) < 2**53 else None
        if x is None or not isinstance(y, int) or y <= 0 or not _nonnegative(x):
            return None
        return x % y

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        return trunc_divmod(xp, x, y)[1] if _is_int(x) else xp.fmod(x, y)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (x, y), (ct,) = operands, cotangents
        return ct, b.neg(b.mul(ct, b.unary("trunc", b.div(x, y))))


def _int_pow(xp: Any, x: Any, y: Any) -> Any:
    """Integer power; a negative exponent gives 0 unless the base is 1 or -1."""
    if dtype(y.dtype).kind == "u":
        return xp.power(x, y)
    negative = y < 0
    result = xp.power(x, xp.where(negative, xp.zeros_like(y), y))
    odd = xp.bitwise_and(y, xp.ones_like(y)) == 1
    unit = xp.where((x == -1) & ~odd, xp.ones_like(x), x)
    unit = xp.where((x == 1) | (x == -1), unit, xp.zeros_like(x))
    return xp.where(negative, unit, result)


class Pow(Elementwise):
    """``x ** y``; integers wrap, and a negative exponent truncates the fraction."""

    name = "pow"
    narrow = Narrowing.KEEPS
    domains = ((0.25, 4.0), (-2.0, 2.0))

    def on_dims(self, *dims: Dim | None) -> Dim | None:
        x, y = dims
        if isinstance(x, int) and isinstance(y, int) and 0 <= y <= 62:
            return int(x**y) if abs(x) <= 64 else None
        return None

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        y = _int_pow(xp, x, y) if _is_int(x) else xp.power(x, y)
        return y.astype(x.dtype, copy=False)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (x, y), (z,), (ct,) = operands, results, cotangents
        dx = b.mul(b.mul(ct, y), b.pow(x, b.sub(y, 1)))
        zero = b.zeros_like(y)
        dx = b.where(b.eq(y, zero), zero, dx)
        log_x = b.log(b.where(b.le(x, 0), b.full(x.shape, 1, x.dtype), x))
        return dx, b.mul(b.mul(ct, z), log_x)


class Max(Elementwise):
    """The larger; NaN if either is NaN; of 0.0 and -0.0, either."""

    name = "max"
    ulps = 0.0
    signed_zeros = False
    traits = _COMMUTES
    kinds = "biuf"

    def on_dims(self, *dims: Dim | None) -> Dim | None:
        x, y = dims
        return None if x is None or y is None else maximum(x, y)

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        return xp.maximum(x, y).astype(x.dtype, copy=False)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        return _choose(b, operands, results[0], cotangents[0])


class Min(Elementwise):
    """The smaller; NaN if either is NaN; of 0.0 and -0.0, either."""

    name = "min"
    ulps = 0.0
    signed_zeros = False
    traits = _COMMUTES
    kinds = "biuf"

    def on_dims(self, *dims: Dim | None) -> Dim | None:
        x, y = dims
        return None if x is None or y is None else minimum(x, y)

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        return xp.minimum(x, y).astype(x.dtype, copy=False)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        return _choose(b, operands, results[0], cotangents[0])


def _choose(b: Emitter, operands: Any, z: Value, ct: Value) -> Cotangents:
    """Each operand takes the cotangent where it was chosen; ties share it."""
    x, y = operands
    half = b.where(b.eq(x, y), b.mul(ct, 0.5), ct)
    zero = b.zeros_like(ct)
    return b.where(b.eq(x, z), half, zero), b.where(b.eq(y, z), half, zero)


class Atan2(Elementwise):
    """Angle of the point (x, y), in radians; the first operand is y."""

    name = "atan2"
    domains = ((-4.0, 4.0), (0.5, 4.0))
    kinds = "f"

    def compute(self, xp: Any, y: Any, x: Any) -> Any:
        return xp.arctan2(y, x)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (y, x), (ct,) = operands, cotangents
        scaled = b.div(ct, b.add(b.mul(x, x), b.mul(y, y)))
        return b.mul(scaled, x), b.neg(b.mul(scaled, y))


class And(Elementwise):
    """Bitwise and; logical for bool."""

    name = "and"
    ulps = 0.0
    traits = _COMMUTES
    kinds = "biu"

    def on_dims(self, *dims: Dim | None) -> Dim | None:
        x, y = dims
        if x == 0 or y == 0:
            return 0
        return x & y if isinstance(x, int) and isinstance(y, int) else None

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        return xp.bitwise_and(x, y).astype(x.dtype, copy=False)


class Or(Elementwise):
    """Bitwise or; logical for bool."""

    name = "or"
    ulps = 0.0
    traits = _COMMUTES
    kinds = "biu"

    def on_dims(self, *dims: Dim | None) -> Dim | None:
        x, y = dims
        return x | y if isinstance(x, int) and isinstance(y, int) else None

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        return xp.bitwise_or(x, y).astype(x.dtype, copy=False)


class Xor(Elementwise):
    """Bitwise exclusive or; logical for bool."""

    name = "xor"
    ulps = 0.0
    traits = _COMMUTES
    kinds = "biu"

    def on_dims(self, *dims: Dim | None) -> Dim | None:
        x, y = dims
        return x ^ y if isinstance(x, int) and isinstance(y, int) else None

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        return xp.bitwise_xor(x, y).astype(x.dtype, copy=False)


class Shl(Elementwise):
    """Shift left; 0 where the count is negative or at least the width."""

    name = "shl"
    ulps = 0.0
    kinds = "iu"

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        width = dtype(x.dtype).bits
        fits = (y >= 0) & (y < width)
        shifted = xp.left_shift(x, xp.where(fits, y, xp.zeros_like(y)))
        return xp.where(fits, shifted, xp.zeros_like(x)).astype(x.dtype, copy=False)


class Shr(Elementwise):
    """Shift right, arithmetic if signed; too large a count shifts all bits out."""

    name = "shr"
    ulps = 0.0
    kinds = "iu"

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        width = dtype(x.dtype).bits
        fits = (y >= 0) & (y < width)
        last = xp.full_like(y, width - 1)
        shifted = xp.right_shift(x, xp.where(fits, y, last))
        rest = shifted if dtype(x.dtype).kind == "i" else xp.zeros_like(x)
        return xp.where(fits, shifted, rest).astype(x.dtype, copy=False)


class Compare(Elementwise):
    """A comparison: bool results."""

    def result_dtype(self, dtype: DType) -> DType:
        return bool_

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        return None, None


class Eq(Compare):
    """``x == y``; NaN equals nothing."""

    name = "eq"
    ulps = 0.0
    steps = True
    traits = _COMMUTES
    kinds = "biufcS"

    def on_dims(self, *dims: Dim | None) -> Dim | None:
        x, y = dims
        if isinstance(x, int) and isinstance(y, int):
            return int(x == y)
        if x is None or y is None:
            return None
        difference = x - y
        if difference == 0:
            return 1
        one_sided = _nonnegative(difference - 1) or _nonnegative(-difference - 1)
        return 0 if one_sided else None

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        return xp.equal(x, y).astype(xp.bool_)


class Lt(Compare):
    """``x < y``; false if either is NaN."""

    name = "lt"
    ulps = 0.0
    steps = True
    kinds = "biuf"

    def on_dims(self, *dims: Dim | None) -> Dim | None:
        x, y = dims
        if x is None or y is None:
            return None
        if _nonnegative(y - x - 1):
            return 1
        return 0 if _nonnegative(x - y) else None

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        return xp.less(x, y)


class Unary(Elementwise):
    """An op of one operand that is NumPy's function ``function``."""

    function: ClassVar[str] = ""
    kinds = "fc"

    def compute(self, xp: Any, x: Any) -> Any:
        return getattr(xp, self.function or self.name)(x)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        return (self.slope(b, operands[0], results[0], cotangents[0]),)

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value | None:
        """Cotangent of ``x`` from ``y = op(x)`` and its cotangent; None where zero."""
        return None


class Neg(Unary):
    """``-x``; the least integer stays."""

    name = "neg"
    ulps = 0.0
    function = "negative"
    kinds = _NUMBER

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.negative(x).astype(x.dtype, copy=False)

    def on_dims(self, *dims: Dim | None) -> Dim | None:
        return None if dims[0] is None else -dims[0]

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value | None:
        return b.neg(ct)


class Abs(Unary):
    """Magnitude; the modulus of a complex number, real; the least integer stays."""

    name = "abs"
    ulps = 0.0
    kinds = _NUMBER

    def on_dims(self, *dims: Dim | None) -> Dim | None:
        x = dims[0]
        return None if x is None else maximum(x, -x)

    def result_dtype(self, dtype: DType) -> DType:
        return DTYPES[f"float{dtype.bits // 2}"] if dtype.kind == "c" else dtype

    def compute(self, xp: Any, x: Any) -> Any:
        y = xp.abs(x)
        return y if x.dtype.kind == "c" else y.astype(x.dtype, copy=False)

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value | None:
        if x.dtype.kind != "c":
            return b.mul(ct, b.sign(x))
        zero = b.eq(y, 0)
        share = b.where(zero, 0, b.div(ct, b.where(zero, 1, y)))
        real, imag = (b.emit("complex_part", x, part=p) for p in ("real", "imag"))
        return b.emit("complex", b.mul(real, share), b.neg(b.mul(imag, share)))


class Rounding(Unary):
    """An op that gives integers, in floats."""

    ulps = 0.0
    steps = True
    kinds = "f"


class Floor(Rounding):
    """Largest integer not above ``x``."""

    name = "floor"


class Ceil(Rounding):
    """Smallest integer not below ``x``."""

    name = "ceil"


class Round(Rounding):
    """Nearest integer, halves to even."""

    name = "round"
    function = "rint"


class Trunc(Rounding):
    """The integer towards zero."""

    name = "trunc"


class Sqrt(Unary):
    """Square root; NaN below zero."""

    name = "sqrt"
    ulps = 1.0
    domains = ((0.25, 8.0),)

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value | None:
        return b.div(b.mul(ct, 0.5), y)


class Exp(Unary):
    """``e ** x``."""

    name = "exp"
    narrow = Narrowing.KEEPS
    domains = ((-4.0, 3.0),)

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value | None:
        return b.mul(ct, y)


class Expm1(Exp):
    """``e ** x - 1``, accurate near 0."""

    name = "expm1"

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value | None:
        return b.mul(ct, b.add(y, 1))


class Log(Unary):
    """Natural logarithm; NaN below zero, -inf at zero."""

    name = "log"
    narrow = Narrowing.KEEPS
    domains = ((0.25, 8.0),)

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value | None:
        return b.div(ct, x)


class Log1p(Log):
    """``log(1 + x)``, accurate near 0."""

    name = "log1p"
    domains = ((-0.5, 8.0),)

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value | None:
        return b.div(ct, b.add(x, 1))


class Sin(Unary):
    """Sine of radians."""

    name = "sin"

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value | None:
        return b.mul(ct, b.unary("cos", x))


class Cos(Unary):
    """Cosine of radians."""

    name = "cos"

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value | None:
        return b.neg(b.mul(ct, b.unary("sin", x)))


class Tanh(Unary):
    """Hyperbolic tangent."""

    name = "tanh"

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value | None:
        return b.mul(ct, b.sub(b.full(y.shape, 1, y.dtype), b.mul(y, y)))


class Erf(Unary):
    """The error function, ``2 / sqrt(pi)`` times the integral of ``exp(-t ** 2)``."""

    name = "erf"
    kinds = "f"

    def compute(self, xp: Any, x: Any) -> Any:
        return erf(xp, x.astype(xp.float64, copy=False)).astype(x.dtype, copy=False)

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value | None:
        scaled = b.mul(ct, 2 / math.sqrt(math.pi))
        return b.mul(scaled, b.exp(b.neg(b.mul(x, x))))
