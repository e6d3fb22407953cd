"""Matrix products on their way to ONNX."""

from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.registry import exporter
from graphwright.ir.dtype import int32
from graphwright.ir.emitter import Value

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
