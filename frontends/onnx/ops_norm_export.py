"""Normalisations on their way to ONNX."""

from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.registry import exporter
from graphwright.ir.emitter import Value

_SINCE = {
    "layer_norm": ("LayerNormalization", 17),
    "rms_norm": ("RMSNormalization", 23),
}


@exporter(*_SINCE)
def norm(e: Export) -> Exported:
    """An operator of the same meaning; a scale of ones where there is none."""
    name, since = _SINCE[e.op.name]
    x, *affine = e.operands
    same = all(v.dtype is x.dtype for v in affine)
    if e.version < since or not same or x.dtype.bits < 16:
        return e.op.decompose(e.b, *e.operands)  # type: ignore[no-any-return]
    scale = affine[0] if affine else _ones(e, x)
    given = [e.name(v) for v in (scale, *affine[1:])]
    return e.add(name, e[0], *given, axis=e.op.axis, epsilon=e.op.epsilon)


def _ones(e: Export, x: Value) -> Value:
    return e.b.full(x.shape[e.op.axis :], 1, x.dtype)
