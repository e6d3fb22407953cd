"""Attention on its way to ONNX."""

from typing import Any

from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.registry import exporter
from graphwright.frontends.onnx.tensors import element_of
from graphwright.ir.dim import Dim
from graphwright.ir.emitter import Value


@exporter("attention")
def attention(e: Export) -> Exported:
    """``Attention`` since opset 23, where all it does can be said there."""
    op, operands = e.op, e.operands
    q = operands[0]
    aligned = not op.causal or op.offset == 0
    plain = op.left < 0 and op.right < 0 and not op.lengths and aligned
    if not plain or e.version < 23 or q.dtype.bits > 32:
        return op.decompose(e.b, *operands)  # type: ignore[no-any-return]
    given = [e.name(v) for v in operands[:3]]
    if op.masked:
        given.append(e.name(_matrix(e, operands[3], q.shape[2], operands[1].shape[2])))
    fields: dict[str, Any] = {"scale": float(op.scale), "is_causal": int(op.causal)}
    if op.softcap:
        fields["softcap"] = float(op.softcap)
    if op.precision is not None:
        fields["softmax_precision"] = element_of(op.precision)
    return e.add("Attention", *given, **fields)


def _matrix(e: Export, mask: Value, rows: Dim, columns: Dim) -> Value:
    """A mask with all rows and columns, which not every runtime repeats."""
    return e.b.broadcast_to(mask, (*mask.shape[:-2], rows, columns))
