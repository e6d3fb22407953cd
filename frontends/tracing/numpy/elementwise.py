"""Arithmetic, comparison and logic, element by element.

Dtypes promote as in NumPy 2, Python numbers being weak; shapes broadcast.
"""

import math
from typing import Any

from graphwright.frontends.tracing.arithmetic import (
    absolute,
    add,
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    divide,
    divmod_,
    equal,
    greater,
    greater_equal,
    invert,
    left_shift,
    less,
    less_equal,
    multiply,
    negative,
    not_equal,
    positive,
    power,
    remainder,
    right_shift,
    subtract,
)
from graphwright.frontends.tracing.arithmetic import floor_divide as numpy_floor_divide
from graphwright.frontends.tracing.numpy.support import floats, truth
from graphwright.frontends.tracing.wrap import (
    Operand,
    array_function,
    promote,
    result_dtype,
    strong,
)
from graphwright.ir.dtype import bool_, float64, int8
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import DTypeError

__all__ = [
    "absolute",
    "add",
    "allclose",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "clip",
    "divide",
    "divmod",
    "equal",
    "float_power",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "greater",
    "greater_equal",
    "heaviside",
    "invert",
    "isclose",
    "left_shift",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "not_equal",
    "positive",
    "power",
    "reciprocal",
    "remainder",
    "right_shift",
    "square",
    "subtract",
]

divmod = divmod_


def _whole(b: Emitter, name: str, x1: Operand, x2: Operand) -> tuple[Value, Value]:
    """Real operands of one shape; booleans as int8."""
    common = result_dtype(x1, x2)
    if common.kind == "c":
        raise DTypeError(f"{name} does not take {common.name}")
    x, y = promote(b, x1, x2, to=int8 if common is bool_ else common)
    x, y = b.align(x, y)
    return x, y


@array_function
def floor_divide(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """``floor(x1 / x2)``, by the standard's rule where an operand is infinite.

    The operator ``//`` has NumPy's meaning there: NaN of an infinite dividend, -1 of a
    finite one by an infinite divisor of the other sign.
    """
    common = result_dtype(x1, x2)
    if common.kind == "c":
        raise DTypeError(f"floor_divide does not take {common.name}")
    inner: Any = numpy_floor_divide.__wrapped__
    quotient: Value = inner(b, x1, x2)
    if not common.is_float:
        return quotient
    x, y = b.align(*promote(b, x1, x2))
    infinite = b.or_(*(b.eq(b.abs(v), float("inf")) for v in (x, y)))
    return b.where(infinite, b.div(x, y), quotient)


@array_function
def fmod(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """The remainder of the dividend's sign, as C has it."""
    return b.rem(*_whole(b, "fmod", x1, x2))


@array_function
def float_power(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """``x1 ** x2`` in float64 or complex128 at least."""
    x, y = promote(b, x1, x2, to=result_dtype(x1, x2, float64))
    return b.pow(x, y)


@array_function
def maximum(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """The larger; NaN if either is NaN."""
    return b.max(*promote(b, x1, x2))


@array_function
def minimum(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """The smaller; NaN if either is NaN."""
    return b.min(*promote(b, x1, x2))


def _number_first(b: Emitter, x: Value, y: Value, best: Value) -> Value:
    """``best``, or the other operand where one is NaN."""
    if not x.dtype.is_float:
        return best
    return b.where(b.is_nan(x), y, b.where(b.is_nan(y), x, best))


@array_function
def fmax(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """The larger; a number rather than NaN."""
    x, y = promote(b, x1, x2)
    return _number_first(b, x, y, b.max(x, y))


@array_function
def fmin(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """The smaller; a number rather than NaN."""
    x, y = promote(b, x1, x2)
    return _number_first(b, x, y, b.min(x, y))


def _bound(x: Value, bound: Operand | None, end: int) -> Operand | None:
    """A bound, or None where the dtype's own (0 least, 1 greatest) is as tight."""
    if not isinstance(bound, int) or not x.dtype.is_int:
        return bound
    limit = x.dtype.limits[end]
    loose = bound <= limit if end == 0 else bound >= limit
    return None if loose else bound


@array_function
def clip(
    b: Emitter,
    x: Value,
    /,
    min: Operand | None = None,
    max: Operand | None = None,
    *,
    a_min: Operand | None = None,
    a_max: Operand | None = None,
) -> Value:
    """``minimum(maximum(x, min), max)``; a bound that is None does not bind."""
    low = _bound(x, a_min if min is None else min, 0)
    high = _bound(x, a_max if max is None else max, 1)
    common = result_dtype(*(v for v in (x, low, high) if v is not None))
    (y,) = promote(b, x, to=common)
    if low is not None:
        y = b.max(y, *promote(b, low, to=common))
    return y if high is None else b.min(y, *promote(b, high, to=common))


@array_function
def square(b: Emitter, x: Value, /) -> Value:
    """``x * x``."""
    x = b.cast(x, int8) if x.dtype is bool_ else x
    return b.mul(x, x)


@array_function
def reciprocal(b: Emitter, x: Value, /) -> Value:
    """``1 / x``; of a complex zero both parts are NaN."""
    x = b.cast(x, int8) if x.dtype is bool_ else x
    found = b.div(b.full((), 1, x.dtype), x)
    if x.dtype.kind != "c":
        return found
    return b.where(b.eq(x, 0), b.mul(found, math.nan), found)


@array_function
def heaviside(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """0 below 0, 1 above, ``x2`` at 0; NaN stays."""
    x, y = floats(b, x1, x2)
    above = b.where(b.lt(x, 0), b.scalar(0, x.dtype), b.where(b.gt(x, 0), 1, x))
    return b.where(b.eq(x, 0), y, above)


# Logic --------------------------------------------------------------------------------


def _truths(b: Emitter, *operands: Operand) -> list[Value]:
    return [truth(b, strong(b, x)) for x in operands]


@array_function
def logical_and(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """Whether both are not zero."""
    return b.and_(*_truths(b, x1, x2))


@array_function
def logical_or(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """Whether either is not zero."""
    return b.or_(*_truths(b, x1, x2))


@array_function
def logical_xor(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """Whether exactly one is not zero."""
    return b.xor(*_truths(b, x1, x2))


@array_function
def logical_not(b: Emitter, x: Operand, /) -> Value:
    """Whether it is zero."""
    return b.not_(*_truths(b, x))


def is_close(b: Emitter, x1: Operand, x2: Operand, options: Any) -> Value:
    """``|x1 - x2| <= atol + rtol |x2|``; equal infinities are close."""
    common = result_dtype(x1, x2)
    x, y = promote(b, x1, x2, to=common if common.kind in "fc" else float64)
    x, y = b.align(x, y)
    atol, rtol = (
        strong(b, options[k]) if isinstance(options[k], Value) else options[k]
        for k in ("atol", "rtol")
    )
    size = b.abs(y)
    (bound,) = promote(b, rtol, to=size.dtype)
    (least,) = promote(b, atol, to=size.dtype)
    near = b.le(b.abs(b.sub(x, y)), b.add(least, b.mul(bound, size)))
    finite = b.lt(size, float("inf"))
    close = b.or_(b.and_(near, finite), b.eq(x, y))
    if not options["equal_nan"]:
        return close
    return b.or_(close, b.and_(b.ne(x, x), b.ne(y, y)))


@array_function
def isclose(
    b: Emitter,
    x1: Operand,
    x2: Operand,
    /,
    rtol: Any = 1e-05,
    atol: Any = 1e-08,
    equal_nan: bool = False,
) -> Value:
    """``|x1 - x2| <= atol + rtol |x2|``, element by element."""
    options = {"rtol": rtol, "atol": atol, "equal_nan": equal_nan}
    return is_close(b, x1, x2, options)


@array_function
def allclose(
    b: Emitter,
    x1: Operand,
    x2: Operand,
    /,
    rtol: Any = 1e-05,
    atol: Any = 1e-08,
    equal_nan: bool = False,
) -> Value:
    """Whether all elements are close."""
    options = {"rtol": rtol, "atol": atol, "equal_nan": equal_nan}
    close = b.cast(is_close(b, x1, x2, options), int8)
    return b.cast(b.reduce("min", close, range(close.rank)), bool_)
