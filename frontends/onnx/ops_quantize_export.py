"""Linear quantization on its way to ONNX."""

from dataclasses import dataclass
from typing import Any

from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.kernels import since_opset
from graphwright.frontends.onnx.registry import exporter
from graphwright.frontends.onnx.tensors import element_of
from graphwright.ir.dim import Dim
from graphwright.ir.dtype import DType, int32
from graphwright.ir.emitter import Value

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
def quantize(e: Export) -> Exported:
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
def dequantize(e: Export) -> Exported:
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
        return _blocks(e, x, rest)
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


def _blocks(e: Export, x: Value, rest: list[Value]) -> _Parts | None:
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
