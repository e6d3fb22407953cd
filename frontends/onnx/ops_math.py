"""Elementwise arithmetic of ONNX."""

from functools import reduce

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.operands import aligned, widened
from graphwright.frontends.onnx.registry import converter
from graphwright.ir.dtype import float64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ModelError


@converter("Add", "Sub", "Mul", "Div")
def binary(c: Context) -> Value:
    """An op of two operands that the IR has by the same name."""
    return c.b.emit(c.op_type.lower(), *aligned(c))


@converter("Pow")
def power(c: Context) -> Value:
    """``x ** y`` in the dtype of ``x``, whatever that of ``y``."""
    b, x, y = c.b, *aligned(c)
    if x.dtype.is_int and y.dtype.is_float:
        real = b.pow(b.cast(x, float64), b.cast(y, float64))
        return b.cast(real, x.dtype)
    if x.dtype.is_int and y.dtype is not x.dtype:
        return _integer_power(b, x, y)
    return b.pow(x, b.cast(y, x.dtype))


def _integer_power(b: Emitter, x: Value, y: Value) -> Value:
    """In the wider of the two dtypes: an exponent must not wrap around."""
    wide = max(x.dtype, y.dtype, key=lambda d: (d.bits, d.kind == x.dtype.kind))
    return b.cast(b.pow(b.cast(x, wide), b.cast(y, wide)), x.dtype)


@converter("Mod")
def modulo(c: Context) -> Value:
    """The remainder with the sign of ``x`` (``fmod``), else with that of ``y``."""
    b, (x, y) = c.b, aligned(c)
    r = b.rem(x, y)
    if c.integer("fmod", 0) or x.dtype.kind == "u":
        return r
    off = b.and_(b.ne(r, 0), b.ne(b.lt(r, 0), b.lt(y, 0)))
    r = b.where(off, b.add(r, y), r)
    if x.dtype.is_float:
        return b.where(b.eq(r, 0), b.where(b.lt(y, 0), b.scalar(-0.0, y.dtype), 0), r)
    return r


@converter("Neg", "Abs", "Floor", "Ceil", "Round", "Sqrt", "Exp", "Log", "Erf")
@converter("Sin", "Cos", "Tanh")
def unary(c: Context) -> Value:
    """An op of one operand that the IR has by the same name."""
    return c.b.unary(c.op_type.lower(), c[0])


@converter("Sign")
def sign(c: Context) -> Value:
    """-1, 0 or 1."""
    return c.b.sign(c[0])


@converter("Reciprocal")
def reciprocal(c: Context) -> Value:
    """``1 / x``."""
    return c.b.div(1, c[0])


@converter("Min", "Max")
def extreme(c: Context) -> Value:
    """The least or greatest of any number of operands; NaN if one is NaN."""
    name = c.op_type.lower()
    return reduce(lambda x, y: c.b.emit(name, *c.b.align(x, y)), _some(c))


@converter("Sum")
def total(c: Context) -> Value:
    """The sum of any number of operands."""
    return reduce(c.b.add, _some(c))


@converter("Mean")
def mean(c: Context) -> Value:
    """The arithmetic mean of any number of operands."""
    b, values = c.b, _some(c)
    wide = [b.cast(v, v.dtype.accumulate) for v in values]
    return b.cast(b.div(reduce(b.add, wide), len(values)), values[0].dtype)


def _some(c: Context) -> list[Value]:
    values = c.values()
    if not values:
        raise ModelError(f"{c.op_type} takes at least one input")
    return values


@converter("Clip")
def clip_between(c: Context) -> Value:
    """``min(max(x, low), high)`` of two attributes."""
    x, low, high = c[0], c.real("min", None), c.real("max", None)
    x = x if low is None else c.b.max(x, low)
    return x if high is None else c.b.min(x, high)


@converter("Clip", since=11)
def clip(c: Context) -> Value:
    """``min(max(x, low), high)``: where they cross, ``high``."""
    b, x = c.b, c[0]
    low, high = c.optional(1), c.optional(2)
    x = x if low is None else b.max(x, b.reshape(low, ()))
    return x if high is None else b.min(x, b.reshape(high, ()))


@converter("Tan")
def tangent(c: Context) -> Value:
    """``sin x / cos x``."""
    b = c.b
    return widened(b, c[0], lambda x: b.div(b.unary("sin", x), b.unary("cos", x)))
