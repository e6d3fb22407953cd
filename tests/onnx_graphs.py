"""Small ONNX models for tests: made from text, run here and by ONNX Runtime."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from locales import use_locale
from onnx.parser import parse_graph

from graphwright.frontends.onnx.load import import_model
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.verify import verify

ort.set_default_logger_severity(4)


def model_of(text: str, opset: int = 21, **initializers: Any) -> Any:
    """A model of a graph in ONNX's textual syntax; initializers are added by name."""
    graph = parse_graph(text)
    for name, value in initializers.items():
        graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    opsets = [onnx.helper.make_opsetid("", opset)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)


def node_model(
    op_type: str,
    inputs: Sequence[Any],
    outputs: int = 1,
    opset: int = 21,
    constants: Sequence[int] = (),
    **attributes: Any,
) -> tuple[Any, dict[str, Any]]:
    """A model of one node and its feeds; operands in ``constants`` are initializers.

    An operand of None is left out. Output types are left open.
    """
    names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
    ends = [f"y{i}" for i in range(outputs)]
    node = onnx.helper.make_node(op_type, names, ends, **attributes)
    infos: list[Any] = []
    stored: list[Any] = []
    feeds: dict[str, Any] = {}
    for i, (name, given) in enumerate(zip(names, inputs, strict=True)):
        if not name:
            continue
        x = np.asarray(given)
        if i in constants:
            stored.append(onnx.numpy_helper.from_array(x, name))
            continue
        feeds[name] = x
        kind = onnx.helper.np_dtype_to_tensor_dtype(x.dtype)
        infos.append(onnx.helper.make_tensor_value_info(name, kind, x.shape))
    results = [onnx.ValueInfoProto(name=n) for n in ends]
    graph = onnx.helper.make_graph([node], "g", infos, results, stored)
    opsets = [onnx.helper.make_opsetid("", opset)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), feeds


def imported(model: Any) -> Graph:
    """The verified graph of a model."""
    graph = import_model(model)
    verify(graph)
    return graph


def run(model: Any, feeds: Mapping[str, Any]) -> list[Any]:
    """Outputs here."""
    graph = imported(model)
    return evaluate(graph, [feeds[name] for name in graph.input_names])


def run_ort(model: Any, feeds: Mapping[str, Any]) -> list[Any]:
    """Outputs of ONNX Runtime, without its own graph optimizations."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    use_locale(model)
    session = ort.InferenceSession(model.SerializeToString(), options)
    outputs: list[Any] = session.run(None, dict(feeds))
    return outputs


def same_as_ort(model: Any, feeds: Mapping[str, Any], rtol: float = 1e-5) -> list[Any]:
    """Runs both, asserts equal dtypes, shapes and values, and returns the outputs."""
    ours, theirs = run(model, feeds), run_ort(model, feeds)
    for got, want in zip(ours, theirs, strict=True):
        assert got.dtype == want.dtype
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol)
    return ours


def node_same_as_ort(
    op_type: str, inputs: Sequence[Any], rtol: float = 1e-5, **how: Any
) -> list[Any]:
    """``same_as_ort`` of one node."""
    return same_as_ort(*node_model(op_type, inputs, **how), rtol)


def output_types(text: str, opset: int = 21, **initializers: Any) -> str:
    """The types of a model's outputs as text."""
    graph = imported(model_of(text, opset, **initializers))
    return ", ".join(map(str, graph.output_types))
