"""The array functions behind a tensor's operators, with NumPy's meaning."""

from collections.abc import Callable
from typing import Any

import numpy as np

from graphwright.frontends.tracing.promotion import (
    as_dtype,
    promote,
    result_dtype,
    weak_type,
)
from graphwright.frontends.tracing.wrap import Operand, array_function
from graphwright.ir.dtype import DType, bool_, dtype, float32, float64, int8
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import DTypeError


def _no_bool(name: str, x: Value, cure: str) -> None:
    if x.dtype is bool_:
        raise DTypeError(f"numpy's {name} takes no bool tensors: {cure}")


@array_function
def add(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """``x1 + x2``; logical or for bool."""
    x, y = promote(b, x1, x2)
    return b.or_(x, y) if x.dtype is bool_ else b.add(x, y)


@array_function
def subtract(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """``x1 - x2``."""
    x, y = promote(b, x1, x2)
    _no_bool("subtract", x, "use logical_xor or ^")
    return b.sub(x, y)


@array_function
def multiply(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """``x1 * x2``; logical and for bool."""
    x, y = promote(b, x1, x2)
    return b.and_(x, y) if x.dtype is bool_ else b.mul(x, y)


def float_dtype(common: DType) -> DType:
    """The dtype in which NumPy divides operands of a common dtype."""
    return float64 if common.kind in "biu" else common


@array_function
def divide(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """``x1 / x2``; float64 for integers."""
    x, y = promote(b, x1, x2, to=float_dtype(result_dtype(x1, x2)))
    return b.div(x, y)


def _integer(b: Emitter, x: Value, y: Value) -> tuple[Value, Value]:
    """Bool operands as int8, which NumPy's integer division computes in."""
    if x.dtype is bool_:
        return b.cast(x, int8), b.cast(y, int8)
    return x, y


def _off(b: Emitter, y: Value, remainder: Value) -> Value:
    """Where a remainder is not 0 and its sign differs from the divisor's."""
    zero = b.scalar(0, y.dtype)
    unlike = b.xor(*b.align(b.lt(remainder, zero), b.lt(y, zero)))
    return b.and_(unlike, b.ne(remainder, zero))


@array_function
def floor_divide(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """The quotient rounded down; integers give 0 by 0."""
    x, y = b.align(*_integer(b, *promote(b, x1, x2)))
    quotient = b.div(x, y)
    if x.dtype.kind == "u":
        return quotient
    off = _off(b, y, b.rem(x, y))
    if x.dtype.is_int:
        return b.sub(quotient, b.cast(off, x.dtype))
    return _float_floor(b, x, y, quotient, off)


def _float_floor(b: Emitter, x: Value, y: Value, quotient: Value, off: Value) -> Value:
    """NumPy's: ``(x - rem) / y``, less 1 where signs differ, to the nearest integer."""
    exact = b.div(b.sub(x, b.rem(x, y)), y)
    lower = b.where(off, b.sub(exact, 1), exact)
    floor = b.floor(lower)
    near = b.where(b.gt(b.sub(lower, floor), 0.5), b.add(floor, 1), floor)
    signed = b.mul(quotient, b.scalar(0, x.dtype))  # a zero with the quotient's sign
    found = b.where(b.eq(lower, 0), signed, near)
    return b.where(b.eq(y, 0), quotient, found)


@array_function
def remainder(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """``x1 % x2``: it has the sign of the divisor."""
    x, y = b.align(*_integer(b, *promote(b, x1, x2)))
    rest = b.rem(x, y)
    if x.dtype.kind == "u":
        return rest
    found = b.where(_off(b, y, rest), b.add(rest, y), rest)
    if not x.dtype.is_float:
        return found
    zero = b.where(b.lt(y, 0), b.full(y.shape, -0.0, y.dtype), b.zeros_like(y))
    return b.where(b.eq(found, 0), zero, found)


@array_function
def divmod_(b: Emitter, x1: Operand, x2: Operand, /) -> tuple[Value, Value]:
    """``(x1 // x2, x1 % x2)``."""
    inner: Any = floor_divide.__wrapped__, remainder.__wrapped__
    return inner[0](b, x1, x2), inner[1](b, x1, x2)


@array_function
def power(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """``x1 ** x2``.

    Raises:
        ValueError: If an integer would be raised to a negative Python integer.
    """
    if isinstance(x2, int) and not isinstance(x2, bool):
        base = result_dtype(x1, x2)
        nothing = isinstance(x1, Value) and 0 in x1.shape
        if x2 < 0 and base.is_int and not nothing:
            raise ValueError("Integers to negative integer powers are not allowed.")
        if x2 == 2:
            x = as_dtype(b, x1, base)
            return b.mul(x, x)
    x, y = _integer(b, *promote(b, x1, x2))
    return b.pow(x, y)


@array_function
def power_operator(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """``x1 ** x2``: by the number 2 ``numpy.square``, by 0.5 ``numpy.sqrt``.

    So a square of booleans is int8, and the root of -0.0 is -0.0, of -inf NaN.
    """
    if isinstance(x1, Value) and isinstance(x2, (int, float)):
        if x2 == 2 and x1.dtype is bool_ and isinstance(x2, int):
            return b.cast(x1, int8)
        if x2 == 0.5 and x1.dtype.kind in "fc":
            return b.sqrt(as_dtype(b, x1, result_dtype(x1, x2)))
    found: Value = power.__wrapped__(b, x1, x2)
    return found


@array_function
def negative(b: Emitter, x: Value, /) -> Value:
    """``-x``."""
    _no_bool("negative", x, "use logical_not or ~")
    return b.neg(x) if x.dtype.kind != "u" else b.sub(b.scalar(0, x.dtype), x)


@array_function
def positive(b: Emitter, x: Value, /) -> Value:
    """``+x``: a copy."""
    _no_bool("positive", x, "cast it to an integer")
    return x


@array_function
def absolute(b: Emitter, x: Value, /) -> Value:
    """Magnitude; real for complex tensors."""
    return x if x.dtype.kind in "bu" else b.abs(x)


# Comparisons --------------------------------------------------------------------------

_REAL = "biuf"


def _compared(b: Emitter, x1: Operand, x2: Operand) -> list[Value] | bool:
    """Operands of one dtype, or how their order is known beforehand.

    A Python integer that a tensor's dtype cannot hold is compared by its value.
    True says that the tensor (either one) is the smaller.
    """
    pairs = ((x1, x2, False), (x2, x1, True))
    for tensor, number, swapped in pairs:
        plain = isinstance(number, int) and not isinstance(number, bool)
        if plain and isinstance(tensor, Value) and tensor.dtype.is_int:
            if weak_type(tensor) is not None:
                continue
            low, high = tensor.dtype.limits
            if not low <= number <= high:
                return bool(number > high) != swapped
    return _exact(b, x1, x2)


def _exact(b: Emitter, x1: Operand, x2: Operand) -> list[Value]:
    return b.align(*promote(b, x1, x2))


def _shape_of(*operands: Operand) -> tuple[Any, ...]:
    return next(x.shape for x in operands if isinstance(x, Value))


def _comparison(
    name: str, rule: Callable[[Emitter, Value, Value], Value], first_smaller: bool
) -> Any:
    """An array function that compares; ``first_smaller``: its answer where x1 < x2."""

    def compare(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
        found = _compared(b, x1, x2)
        if isinstance(found, bool):
            if name in ("equal", "not_equal"):
                answer = name == "not_equal"
            else:
                answer = first_smaller if found else not first_smaller
            return b.full(_shape_of(x1, x2), answer, bool_)
        x, y = found
        if x.dtype.kind == "c" and name not in ("equal", "not_equal"):
            return _lexical(b, rule, x, y)
        return rule(b, x, y)

    compare.__name__ = compare.__qualname__ = name
    compare.__doc__ = f"NumPy's ``{name}``, as bool."
    return array_function(compare)


def _lexical(b: Emitter, rule: Any, x: Value, y: Value) -> Value:
    """Order of complex numbers: by their real parts, then by their imaginary ones."""
    parts = [
        [b.emit("complex_part", v, part=p) for v in (x, y)] for p in ("real", "imag")
    ]
    same = b.eq(*parts[0])
    strict = rule(b, *parts[0])
    return b.where(same, rule(b, *parts[1]), strict)


def _bool_safe(name: str) -> Callable[[Emitter, Value, Value], Value]:
    def rule(b: Emitter, x: Value, y: Value) -> Value:
        if x.dtype is bool_ and name not in ("eq", "ne"):
            x, y = b.cast(x, int8), b.cast(y, int8)
        found: Value = getattr(b, name)(x, y)
        return found

    return rule


less = _comparison("less", _bool_safe("lt"), True)
less_equal = _comparison("less_equal", _bool_safe("le"), True)
greater = _comparison("greater", _bool_safe("gt"), False)
greater_equal = _comparison("greater_equal", _bool_safe("ge"), False)
equal = _comparison("equal", _bool_safe("eq"), False)
not_equal = _comparison("not_equal", _bool_safe("ne"), False)


# Bits ---------------------------------------------------------------------------------


def _bits(name: str, x: Value) -> None:
    if x.dtype.kind not in "biu":
        raise DTypeError(f"{name} takes integers or bools, got {x.dtype.name}")


@array_function
def bitwise_and(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """``x1 & x2``."""
    x, y = promote(b, x1, x2)
    _bits("bitwise_and", x)
    return b.and_(x, y)


@array_function
def bitwise_or(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """``x1 | x2``."""
    x, y = promote(b, x1, x2)
    _bits("bitwise_or", x)
    return b.or_(x, y)


@array_function
def bitwise_xor(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """``x1 ^ x2``."""
    x, y = promote(b, x1, x2)
    _bits("bitwise_xor", x)
    return b.xor(x, y)


@array_function
def invert(b: Emitter, x: Value, /) -> Value:
    """``~x``."""
    _bits("invert", x)
    return b.not_(x)


@array_function
def left_shift(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """``x1 << x2``."""
    x, y = _integer(b, *promote(b, x1, x2))
    _bits("left_shift", x)
    return b.shl(x, y)


@array_function
def right_shift(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """``x1 >> x2``."""
    x, y = _integer(b, *promote(b, x1, x2))
    _bits("right_shift", x)
    return b.shr(x, y)


@array_function
def matmul(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """``x1 @ x2``."""
    x, y = promote(b, x1, x2)
    if not x.rank or not y.rank:
        raise ValueError("matmul: a 0-d operand has no axis to contract")
    if x.dtype is bool_:  # any of the products, not how many
        return b.ne(b.matmul(b.cast(x, float32), b.cast(y, float32)), 0)
    return b.matmul(x, y)


@array_function
def astype(b: Emitter, x: Value, /, dtype_: Any) -> Value:
    """Another element type, as NumPy casts."""
    return as_dtype(b, x, dtype(dtype_))


def numpy_dtype(spec: Any) -> "np.dtype[Any]":
    """The numpy dtype that a dtype, name or scalar type means."""
    return dtype(spec).numpy
