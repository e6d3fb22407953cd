"""Linear quantization of ONNX."""

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.registry import converter
from graphwright.frontends.onnx.tensors import dtype_of
from graphwright.ir.dtype import DType, uint8
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError


@converter("QuantizeLinear")
def quantize(c: Context) -> Value:
    """``round(x / scale) + zero_point``, saturated."""
    x, scale, zero = c[0], c[1], c.optional(2)
    to = _result(c, uint8 if zero is None else zero.dtype)
    if zero is not None and zero.dtype is not to:
        raise ModelError(f"{c.op_type} to {to} has a zero point of {zero.dtype}")
    precision = c.integer("precision", 0)
    wide = dtype_of(precision) if precision else _precision(x, scale)
    parts = [c.b.cast(_spread(c, scale), wide)]
    parts += [] if zero is None else [_spread(c, zero)]
    saturate = bool(c.integer("saturate", 1))
    return c.b.emit("quantize", c.b.cast(x, wide), *parts, dtype=to, saturate=saturate)


def _precision(x: Value, scale: Value) -> DType:
    """What to divide in: a scale of 8 bits is a power of two, not a precision."""
    narrow = scale.dtype.bits < 16
    return x.dtype.accumulate if narrow and x.dtype.is_float else scale.dtype


def _result(c: Context, default: DType) -> DType:
    given = c.integer("output_dtype", 0)
    return dtype_of(given) if given else default


@converter("DequantizeLinear")
def dequantize(c: Context) -> Value:
    """``(x - zero_point) * scale``."""
    scale, zero = c[1], c.optional(2)
    parts = [_spread(c, v) for v in (scale, zero) if v is not None]
    return c.b.emit("dequantize", c[0], *parts, dtype=_result(c, scale.dtype))


def _spread(c: Context, part: Value) -> Value:
    """A scale or zero point, for all, for an axis or for blocks, to go with ``x``."""
    b, x = c.b, c[0]
    if part.rank == 0 or part.shape == (1,):
        return b.reshape(part, ())
    axis = c.axis(c.integer("axis", 1), x.rank)
    if part.rank == 1 and not c.integer("block_size", 0):
        return b.reshape(
            part, (*(1,) * axis, part.shape[0], *(1,) * (x.rank - axis - 1))
        )
    return _blocks(c, part, axis)


def _blocks(c: Context, part: Value, axis: int) -> Value:
    """Each element repeated over its block; the last block may be cut short."""
    b, x, size = c.b, c[0], c.integer("block_size", 0)
    if part.rank != x.rank or size < 1:
        raise ModelError(f"{c.op_type} of {x.type}: {part.type} in blocks of {size}")
    before, after = part.shape[: axis + 1], part.shape[axis + 1 :]
    each = b.broadcast_to(b.expand_dims(part, [axis + 1]), (*before, size, *after))
    whole = b.reshape(each, (*before[:-1], before[-1] * size, *after))
    return b.slice_axis(whole, axis, 0, x.shape[axis])


@converter("DynamicQuantizeLinear")
def dynamic_quantize(c: Context) -> tuple[Value, Value, Value]:
    """uint8 over the range of ``x``, 0 included; also its scale and zero point."""
    b, x = c.b, c[0]
    axes = range(x.rank)
    low = b.min(b.reduce("min", x, axes), 0)
    high = b.max(b.reduce("max", x, axes), 0)
    span = b.div(b.sub(high, low), 255)
    scale = b.where(b.eq(span, 0), 1, span)
    zero = b.unary("round", b.div(b.neg(low), scale))
    point = b.cast(zero, uint8, saturate=True)
    return b.emit("quantize", x, scale, point, dtype=uint8), scale, point
