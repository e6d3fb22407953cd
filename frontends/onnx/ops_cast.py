"""Conversion between element types in ONNX."""

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.kernels import since_opset
from graphwright.frontends.onnx.registry import converter, exporter
from graphwright.frontends.onnx.tensors import dtype_of, element_of
from graphwright.ir.dtype import DTYPES, DType, float8_e8m0fnu, float64
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError


@converter("Cast")
def cast_by_name(c: Context) -> Value:
    """Another dtype; before opset 6 its name is a string."""
    if c.version >= 6:
        return _cast(c, c[0], dtype_of(c.integer("to")))
    name = c.string("to").lower()
    name = {"float": "float32", "double": "float64"}.get(name, name)
    if name not in DTYPES:
        raise ModelError(f"Cast to {name!r}, which is no element type")
    return _cast(c, c[0], DTYPES[name])


@converter("CastLike")
def cast_like(c: Context) -> Value:
    """The dtype of another tensor."""
    return _cast(c, c[0], c[1].dtype)


def _cast(c: Context, x: Value, to: DType) -> Value:
    saturate = bool(c.integer("saturate", 1))
    if to is float8_e8m0fnu and x.dtype is not to:
        mode = c.string("round_mode", "up")
        if mode not in ("up", "down", "nearest"):
            raise ModelError(f"Cast has no round_mode {mode!r}")
        return c.b.emit("power_of_two", x, mode=mode, saturate=saturate)
    narrow = to.is_float and to.bits == 8
    return c.b.cast(x, to, saturate=saturate and narrow)


@converter("BitCast")
def bit_cast(c: Context) -> Value:
    """The same bits as another dtype of the same width."""
    return c.b.emit("bitcast", c[0], dtype=dtype_of(c.integer("to")))


# Export -------------------------------------------------------------------------------


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


@exporter("power_of_two")
def power_of_two(e: Export) -> str:
    """``Cast`` with its rounding."""
    e.needs(25)
    to = element_of(float8_e8m0fnu)
    how = {"round_mode": e.op.mode, "saturate": int(e.op.saturate)}
    return e.add("Cast", e[0], to=to, **how)


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
