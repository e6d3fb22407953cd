"""Matrix products of ONNX."""

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.registry import converter, exporter
from graphwright.ir.dtype import float64, int32
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


# Export -------------------------------------------------------------------------------


_OCTETS = ("int8", "uint8")


@exporter("dot")
def dot(e: Export) -> Exported:
    """``MatMul``, which repeats leading axes itself; of octets, ``MatMulInteger``."""
    (x, y), wide = e.operands, e.op.dtype
    if wide is not None and wide is not x.dtype:
        if wide is int32 and x.dtype.name in _OCTETS and y.dtype.name in _OCTETS:
            return e.add("MatMulInteger", e[0], e[1])
        return e.b.dot(e.b.cast(x, wide), e.b.cast(y, wide))
    left, right = _lean(e, x, y)
    return e.held("MatMul", e.name(left), e.name(right))


def _lean(e: Export, x: Value, y: Value) -> tuple[Value, Value]:
    """Operands before their leading axes were repeated."""
    shape = e.result.shape[:-2]
    found = [x, y]
    for i, value in enumerate((x, y)):
        node = e.made_by(value, "broadcast_to")
        source = node.operands[0] if node else value
        other = found[1 - i]
        same = source.rank >= 2 and source.shape[-2:] == value.shape[-2:]
        if same and e.spread(source.shape[:-2], other.shape[:-2]) == shape:
            found[i] = source
    return found[0], found[1]
