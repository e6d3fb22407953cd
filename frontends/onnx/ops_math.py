"""Elementwise arithmetic and functions of ONNX."""

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.registry import converter
from graphwright.ir.emitter import Value


@converter("Add", "Sub", "Mul", "Div", since=7)
def binary(c: Context) -> Value:
    """NumPy's broadcasting of two operands."""
    x, y = c.b.align(c[0], c[1])
    return c.b.emit(c.op_type.lower(), x, y)


@converter("Tanh", "Exp", "Sqrt", "Floor", "Ceil", "Erf", "Abs", "Neg", "Log", "Sin", "Cos")
def unary(c: Context) -> Value:
    """An op of one operand that the IR has by the same name."""
    return c.b.unary(c.op_type.lower(), c[0])


@converter("Relu")
def relu(c: Context) -> Value:
    """``max(x, 0)``."""
    return c.b.max(c[0], 0)
