"""Comparisons, logic, bits and choice of ONNX."""

import math

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.operands import aligned
from graphwright.frontends.onnx.registry import converter
from graphwright.ir.dtype import bool_
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError

_BINARY = {
    "And": "and",
    "Or": "or",
    "Xor": "xor",
    "BitwiseAnd": "and",
    "BitwiseOr": "or",
    "BitwiseXor": "xor",
    "Equal": "eq",
    "Less": "lt",
}


@converter(*_BINARY)
def binary(c: Context) -> Value:
    """Logical or bitwise operators, and those comparisons that the IR has."""
    return c.b.emit(_BINARY[c.op_type], *aligned(c))


@converter("Greater")
def greater(c: Context) -> Value:
    """``x > y``."""
    return c.b.gt(*aligned(c))


@converter("LessOrEqual")
def less_or_equal(c: Context) -> Value:
    """``x <= y``."""
    return c.b.le(c[0], c[1])


@converter("GreaterOrEqual")
def greater_or_equal(c: Context) -> Value:
    """``x >= y``."""
    return c.b.ge(c[0], c[1])


@converter("Not", "BitwiseNot")
def complement(c: Context) -> Value:
    """Logical or bitwise complement."""
    return c.b.not_(c[0])


@converter("BitShift")
def bit_shift(c: Context) -> Value:
    """Shift by ``y`` bits to the ``LEFT`` or the ``RIGHT``."""
    way = c.string("direction")
    if way not in ("LEFT", "RIGHT"):
        raise ModelError(f"BitShift goes LEFT or RIGHT, not {way!r}")
    return c.b.emit("shl" if way == "LEFT" else "shr", *c.b.align(c[0], c[1]))


@converter("IsNaN")
def is_nan(c: Context) -> Value:
    """Whether each element is NaN."""
    return c.b.is_nan(c[0])


@converter("IsInf")
def is_inf(c: Context) -> Value:
    """Whether each element is an infinity of a sign that is asked for."""
    b, x = c.b, c[0]
    found = b.full(x.shape, False, bool_)
    if c.integer("detect_positive", 1):
        found = b.eq(x, math.inf)
    if c.integer("detect_negative", 1):
        found = b.or_(found, b.eq(x, -math.inf))
    return found


@converter("Where")
def where(c: Context) -> Value:
    """Elements of ``x`` where the condition holds, else of ``y``."""
    return c.b.where(c[0], c[1], c[2])
