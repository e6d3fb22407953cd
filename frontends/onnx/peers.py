"""Models as other systems take them: whole, and with every value among the outputs."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import onnx
from onnx.reference import ReferenceEvaluator

from graphwright.frontends.onnx.save import export
from graphwright.ir.errors import BudgetError, ModelError
from graphwright.ir.graph import Graph


def whole_model(source: Any) -> Any:
    """The ModelProto of a graph, path, bytes or ModelProto, weights included.

    Raises:
        ModelError: If it cannot be read.
        UnsupportedOpError: If ONNX cannot express the graph.
    """
    if isinstance(source, Graph):
        return export(source)
    if isinstance(source, onnx.ModelProto):
        return source
    try:
        if isinstance(source, bytes | bytearray | memoryview):
            return onnx.load_model_from_string(bytes(source))
        return onnx.load(os.fspath(source))
    except Exception as error:
        raise ModelError(f"this model cannot be read: {error}") from None


def session_source(source: Any) -> "str | bytes":
    """What a session of another system opens: the file itself, or bytes.

    Raises:
        BudgetError: If it is no file and does not fit in one protobuf.
    """
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    if isinstance(source, bytes):
        return source
    return _serialized(whole_model(source))


def _serialized(model: Any) -> bytes:
    try:
        found: bytes = model.SerializeToString()
    except ValueError as error:
        raise BudgetError(f"the model does not fit in one protobuf: {error}") from None
    return found


def all_outputs(source: Any) -> tuple[bytes, list[str]]:
    """A model that gives every value of its main graph, and what it gives, in order.

    Raises:
        BudgetError: If it does not fit in one protobuf.
    """
    model = onnx.ModelProto()
    model.CopyFrom(whole_model(source))
    names = [o.name for o in model.graph.output]
    for node in model.graph.node:
        for name in node.output:
            if name and name not in names:
                model.graph.output.append(onnx.ValueInfoProto(name=name))
                names.append(name)
    return _serialized(model), names


def reference_runner(
    source: Any,
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """A function from inputs to every value, by ONNX's own reference evaluator."""
    evaluator = ReferenceEvaluator(whole_model(source))

    def run(feeds: Mapping[str, Any]) -> dict[str, Any]:
        found: Any = evaluator.run(None, dict(feeds), intermediate=True)
        return dict(found)

    return run
