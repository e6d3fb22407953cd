"""Linear quantization on its way to ONNX."""

from typing import Any

from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.ops_cast_export import opset_of
from graphwright.frontends.onnx.registry import exporter
from graphwright.frontends.onnx.tensors import element_of
from graphwright.ir.dim import Dim
from graphwright.ir.emitter import Value

_QUANTIZED = frozenset(
    "uint8 int8 uint16 int16 uint4 int4 uint2 int2 float4_e2m1fn float8_e4m3fn"
    " float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz".split()
)
_REAL = frozenset("float32 float16 bfloat16".split())


@exporter("quantize")
def quantize(e: Export) -> Exported:
    """``QuantizeLinear``."""
    (x, scale, *zero), op = e.operands, e.op
    place = _axis(x, scale, zero)
    fits = op.dtype.name in _QUANTIZED and x.dtype.name in _REAL
    if place is None or not fits or e.version < max(opset_of(op.dtype), 19):
        return op.decompose(e.b, *e.operands)  # type: ignore[no-any-return]
    if op.dtype.bits not in (8,) or op.dtype.is_float:
        e.needs(max(opset_of(op.dtype), 21 if not op.dtype.is_float else 19))
    given = [e.name(_vector(e, v, place)) for v in (scale, *zero)]
    fields: dict[str, Any] = {"axis": place} if place >= 0 else {}
    if not zero and e.version >= 21:
        fields["output_dtype"] = element_of(op.dtype)
    elif not zero:
        given.append(e.name(e.b.zeros_like(e.b.cast(_vector(e, scale, place), op.dtype))))
    if op.dtype.is_float and op.dtype.name.startswith("float8"):
        fields["saturate"] = int(op.saturate)
    return e.add("QuantizeLinear", e[0], *given, **fields)


@exporter("dequantize")
def dequantize(e: Export) -> Exported:
    """``DequantizeLinear``."""
    (x, scale, *zero), op = e.operands, e.op
    place = _axis(x, scale, zero)
    own = x.dtype.name in _QUANTIZED or (x.dtype.name == "int32" and not zero)
    fits = own and scale.dtype.name in _REAL and op.dtype is scale.dtype
    since = max(opset_of(x.dtype), 21 if x.dtype.bits != 8 else 19)
    if place is None or not fits or e.version < since:
        return op.decompose(e.b, *e.operands)  # type: ignore[no-any-return]
    given = [e.name(_vector(e, v, place)) for v in (scale, *zero)]
    fields = {"axis": place} if place >= 0 else {}
    return e.add("DequantizeLinear", e[0], *given, **fields)


def _axis(x: Value, scale: Value, zero: list[Value]) -> int | None:
    """The one axis along which scale and zero point vary; -1 if none, None if more."""
    found: int | None = -1
    for v in (scale, *zero):
        if v.shape != scale.shape:
            return None
    for i, dim in enumerate(reversed(scale.shape), 1):
        if dim == 1:
            continue
        if found != -1 or dim != x.shape[-i]:
            return None
        found = x.rank - i
    return found


def _vector(e: Export, v: Value, place: int) -> Value:
    shape: tuple[Dim, ...] = (v.tensor.size,) if place >= 0 else ()
    return e.b.reshape(v, shape)
