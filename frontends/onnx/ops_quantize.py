"""Linear quantization of ONNX."""

from dataclasses import dataclass
from typing import Any

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.kernels import since_opset
from graphwright.frontends.onnx.registry import converter, exporter
from graphwright.frontends.onnx.tensors import dtype_of, element_of
from graphwright.ir.dim import Dim
from graphwright.ir.dtype import DType, int32, uint8
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


# Export -------------------------------------------------------------------------------


_QUANTIZED = frozenset(
    {
        "uint8",
        "int8",
        "uint16",
        "int16",
        "uint4",
        "int4",
        "uint2",
        "int2",
        "float4_e2m1fn",
        "float8_e4m3fn",
        "float8_e4m3fnuz",
        "float8_e5m2",
        "float8_e5m2fnuz",
    }
)
_REAL = frozenset({"float32", "float16", "bfloat16"})


@dataclass
class _Parts:
    """Scale and zero point as ONNX takes them, and along which axis they vary."""

    values: list[Value]
    fields: dict[str, Any]


@exporter("quantize")
def export_quantize(e: Export) -> Exported:
    """``QuantizeLinear``."""
    (x, *rest), op = e.operands, e.op
    parts = _parts(e, x, rest)
    fits = op.dtype.name in _QUANTIZED and x.dtype.name in _REAL
    if parts is None or not fits or e.version < _since(op.dtype):
        return op.decompose(e.b, *e.operands)  # type: ignore[no-any-return]
    given, fields = [e.name(v) for v in parts.values], parts.fields
    if len(rest) < 2 and e.version >= 21:
        fields["output_dtype"] = element_of(op.dtype)
    elif len(rest) < 2:
        zero = e.b.full(parts.values[0].shape, 0, op.dtype)
        given.append(e.name(zero))
    if op.dtype.name.startswith("float8"):
        fields["saturate"] = int(op.saturate)
    return e.add("QuantizeLinear", e[0], *given, **fields)


@exporter("dequantize")
def export_dequantize(e: Export) -> Exported:
    """``DequantizeLinear``."""
    (x, *rest), op = e.operands, e.op
    parts = _parts(e, x, rest)
    taken = x.dtype.name in _QUANTIZED or (x.dtype is int32 and len(rest) < 2)
    fits = taken and rest[0].dtype.name in _REAL and op.dtype is rest[0].dtype
    if parts is None or not fits or e.version < _since(x.dtype):
        return op.decompose(e.b, *e.operands)  # type: ignore[no-any-return]
    given = [e.name(v) for v in parts.values]
    return e.add("DequantizeLinear", e[0], *given, **parts.fields)


def _since(dtype: DType) -> int:
    """From which opset on both operators know a dtype, and scales of 16 bits."""
    return max(since_opset(dtype), 19 if dtype.bits == 8 else 21)


def _parts(e: Export, x: Value, rest: list[Value]) -> _Parts | None:
    place = _axis(x, rest)
    if place is None:
        return _by_blocks(e, x, rest)
    shape: tuple[Dim, ...] = (rest[0].tensor.size,) if place >= 0 else ()
    values = [e.b.reshape(v, shape) for v in rest]
    return _Parts(values, {"axis": place} if place >= 0 else {})


def _axis(x: Value, rest: list[Value]) -> int | None:
    """The one axis along which scale and zero point vary; -1 if none, None if more."""
    found: int | None = -1
    shape = rest[0].shape
    if any(v.shape != shape for v in rest):
        return None
    for i, dim in enumerate(reversed(shape), 1):
        if dim == 1:
            continue
        if found != -1 or dim != x.shape[-i]:
            return None
        found = x.rank - i
    return found


def _by_blocks(e: Export, x: Value, rest: list[Value]) -> _Parts | None:
    """What is repeated over the blocks of an axis, before that."""
    if e.version < 21:
        return None
    found = [_repeated(e, v) for v in rest]
    first = found[0]
    if first is None or any(f is None or f[1:] != first[1:] for f in found):
        return None
    fields = {"axis": first[1], "block_size": first[2]}
    return _Parts([f[0] for f in found if f is not None], fields)


def _repeated(e: Export, v: Value) -> tuple[Value, int, int] | None:
    """A value that each element was made of ``size`` times along an axis."""
    cut = e.made_by(v, "slice")
    whole = v if cut is None else cut.operands[0]
    flat = e.made_by(whole, "reshape")
    each = flat and e.made_by(flat.operands[0], "broadcast_to")
    if each is None:
        return None
    column = each.operands[0]
    pairs = enumerate(zip(column.shape, each.op.shape, strict=False))
    grown = [i for i, (n, m) in pairs if n != m]
    if len(grown) != 1 or column.rank != whole.rank + 1 or not grown[0]:
        return None
    axis, size = grown[0] - 1, each.op.shape[grown[0]]
    if not isinstance(size, int) or column.shape[axis + 1] != 1:
        return None
    return e.b.squeeze(column, [axis + 1]), axis, size
