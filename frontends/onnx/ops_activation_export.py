"""Activations on their way to ONNX."""

from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.registry import exporter

_PLAIN = {"sigmoid": "Sigmoid", "softplus": "Softplus"}
_ALONG = {"softmax": "Softmax", "log_softmax": "LogSoftmax"}


@exporter(*_PLAIN)
def plain(e: Export) -> str:
    """An operator of the same meaning."""
    return e.held(_PLAIN[e.op.name], e[0])


@exporter(*_ALONG)
def along(e: Export) -> str:
    """An operator along an axis."""
    return e.held(_ALONG[e.op.name], e[0], axis=e.op.axis)


@exporter("gelu")
def gelu(e: Export) -> Exported:
    """``Gelu`` since opset 20, simpler ops before."""
    if e.version < 20:
        return e.op.decompose(e.b, *e.operands)  # type: ignore[no-any-return]
    return e.held("Gelu", e[0], approximate="tanh" if e.op.tanh else "none")
