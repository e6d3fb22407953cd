"""``GraphwrightBackend``, the implementation of ``onnx.backend.base.Backend``."""

from graphwright.frontends.onnx.backend import GraphwrightBackend, GraphwrightRep

__all__ = ["GraphwrightBackend", "GraphwrightRep"]
