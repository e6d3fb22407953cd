"""Conversions on their way to ONNX."""

from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.kernels import since_opset
from graphwright.frontends.onnx.registry import exporter
from graphwright.frontends.onnx.tensors import element_of
from graphwright.ir.dtype import float64
from graphwright.ir.emitter import Value


@exporter("cast")
def cast(e: Export) -> Exported:
    """``Cast``; to integers with saturation, what does not fit is replaced after."""
    op, (x,) = e.op, e.operands
    e.needs(max(since_opset(op.dtype), since_opset(x.dtype)))
    if op.saturate and op.dtype.is_int:
        return _saturated(e, x)
    if op.dtype.is_float and op.dtype.bits <= 8 and op.dtype.name.startswith("float8"):
        return e.add("Cast", e[0], to=element_of(op.dtype), saturate=int(op.saturate))
    return e.cast(e[0], op.dtype)


def _saturated(e: Export, x: Value) -> Exported:
    b, to = e.b, e.op.dtype
    low, high = to.limits
    if x.dtype.is_int:
        own = x.dtype.limits
        x = b.max(x, low) if own[0] < low else x
        return b.cast(b.min(x, high) if own[1] > high else x, to)
    wide = b.cast(x, float64)
    inside = b.where(b.is_nan(wide), 0.0, wide)
    if to.bits <= 32:
        return b.cast(b.min(b.max(inside, low), high), to)
    above, below = b.le(float(high), inside), b.lt(inside, float(low))
    whole = b.cast(b.where(b.or_(above, below), 0.0, inside), to)
    return b.where(above, high, b.where(below, low, whole))


@exporter("bitcast")
def bitcast(e: Export) -> str:
    """The same bits."""
    e.needs(26)
    return e.add("BitCast", e[0], to=element_of(e.op.dtype))


@exporter("barrier")
def barrier(e: Export) -> Exported:
    """The operands themselves: an ONNX model has no such line."""
    return list(e.operands)


@exporter("copy_to")
def copy_to(e: Export) -> Exported:
    """The operand: where values lie is not said in a model."""
    return e.operands[0]
