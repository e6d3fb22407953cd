"""Matrix products of ONNX."""

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.registry import converter
from graphwright.ir.dtype import float64
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError


@converter("MatMul")
def matmul(c: Context) -> Value:
    """``numpy.matmul``."""
    return c.b.matmul(c[0], c[1])


def _scaled(c: Context, x: Value, factor: float) -> Value:
    """``factor x``; integers are multiplied as real numbers."""
    if factor == 1:
        return x
    if x.dtype.is_int and not factor.is_integer():
        return c.b.cast(c.b.mul(c.b.cast(x, float64), factor), x.dtype)
    return c.b.mul(x, factor)


@converter("Gemm")
def gemm(c: Context) -> Value:
    """``alpha A B + beta C``, A and B transposed if so asked for."""
    b, sides = c.b, [c[0], c[1]]
    for i, name in enumerate(("transA", "transB")):
        if sides[i].rank != 2:
            raise ModelError(f"Gemm takes matrices, got {sides[i].type}")
        if c.integer(name, 0):
            sides[i] = b.transpose(sides[i], (1, 0))
    y = _scaled(c, b.dot(sides[0], sides[1]), c.real("alpha", 1.0))
    bias, beta = c.optional(2), c.real("beta", 1.0)
    if bias is None or beta == 0:
        return y
    return b.add(y, b.broadcast_to(_scaled(c, bias, beta), y.shape))
