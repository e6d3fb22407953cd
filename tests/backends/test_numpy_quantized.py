"""Quantised networks as integer kernels, beside ONNX Runtime without optimisations."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import graphwright as gw
from graphwright.backends.numpy.kernels.quantized import (
    Finish,
    Term,
    bind_finish,
    bind_load,
    exact_sums,
    finish_bytes,
)
from graphwright.backends.numpy.kernels.scratch import Arena, take
from graphwright.backends.registry import choose_backend
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.op import Op
from graphwright.ir.ops.fused import Fused
from graphwright.passes.cleanup import remove_dead
from graphwright.passes.lower import lowering_passes

ort: Any = pytest.importorskip("onnxruntime")
quantization: Any = pytest.importorskip("onnxruntime.quantization")
Reader: Any = quantization.CalibrationDataReader
pytestmark = pytest.mark.peers

SHAPE = (1, 3, 16, 16)


def network() -> onnx.ModelProto:
    """Convolutions of several kinds, pooling, a short cut, matrix products."""
    rng = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        values = rng.standard_normal(shape) * 0.2
        return numpy_helper.from_array(values.astype(np.float32), name)

    def node(kind: str, inputs: str, output: str, **fields: Any) -> onnx.NodeProto:
        return helper.make_node(kind, inputs.split(), [output], **fields)

    three: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1] * 4}
    nodes = [
        node("Conv", "x w1 b1", "c1", **three),
        node("Relu", "c1", "r1"),
        node("MaxPool", "r1", "p1", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "p1 w2 b2", "c2", kernel_shape=[1, 1]),
        node("Conv", "p1 w3", "c3", **three),
        node("Add", "c2 c3", "a"),
        node("Relu", "a", "r2"),
        node("Conv", "r2 wd b2", "cd", group=16, **three),
        node("Concat", "cd r2", "cat", axis=1),
        node("Conv", "cat wg", "cg", group=2, strides=[2, 2], **three),
        node("GlobalAveragePool", "cg", "g"),
        node("Flatten", "g", "f"),
        node("Gemm", "f w4 b4", "g4", transB=1),
        node("MatMul", "g4 w5", "y"),
    ]
    weights = [
        weight("w1", 8, 3, 3, 3),
        weight("b1", 8),
        weight("w2", 16, 8, 1, 1),
        weight("b2", 16),
        weight("w3", 16, 8, 3, 3),
        weight("wd", 16, 1, 3, 3),
        weight("wg", 12, 16, 3, 3),
        weight("w4", 10, 12),
        weight("b4", 10),
        weight("w5", 10, 7),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "network", [x], [y], weights)
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8)


class Samples(Reader):  # type: ignore[misc]
    """What activations are like."""

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        shape = (4, *SHAPE)
        self.rows = iter(rng.standard_normal(shape).astype(np.float32))

    def get_next(self) -> dict[str, Any] | None:
        """The next sample."""
        found = next(self.rows, None)
        return None if found is None else {"x": found}


def quantized(folder: Path, form: str, data: str, weights: str, per: bool) -> Path:
    source, path = folder / "float.onnx", folder / "quantized.onnx"
    onnx.save(network(), source)
    quantization.quantize_static(
        source,
        path,
        Samples(),
        quant_format=getattr(quantization.QuantFormat, form),
        activation_type=getattr(quantization.QuantType, data),
        weight_type=getattr(quantization.QuantType, weights),
        per_channel=per,
    )
    return path


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize(
    ("data", "weights", "per"),
    [
        ("QUInt8", "QInt8", True),
        ("QUInt8", "QInt8", False),
        ("QInt8", "QInt8", True),
        ("QUInt8", "QUInt8", False),
    ],
)
def test_networks(
    form: str, data: str, weights: str, per: bool, tmp_path: Path
) -> None:
    path = quantized(tmp_path, form, data, weights, per)
    options = ort.SessionOptions()
    level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.graph_optimization_level, options.log_severity_level = level, 4
    provider = ["CPUExecutionProvider"]
    session = ort.InferenceSession(str(path), options, providers=provider)
    exe = gw.compile(path, backend="numpy", strict=True)
    ops = [n.op for n in exe.program.graph.nodes]
    kinds = Counter(op.kind if isinstance(op, Fused) else op.name for op in ops)
    assert kinds["quantized"] == 8
    assert not kinds.keys() & {"conv", "dot", "add", "cast"}
    assert all(
        step.into is not None
        for step in exe.plan_for().steps
        if isinstance(step.node.op, Fused)
    )
    rng = np.random.default_rng(2)
    for _ in range(3):
        feed = {"x": rng.standard_normal(SHAPE).astype(np.float32)}
        (wanted,), (got,) = session.run(None, feed), exe.run(None, feed)
        steps = np.unique(np.abs(np.diff(np.unique(wanted))))
        assert np.abs(got - wanted).max() <= steps[0] * 1.001  # a tie may go either way
        (again,) = exe.run(None, feed)
        np.testing.assert_array_equal(again, got)


def test_regions_are_made_of_what_is_alive(tmp_path: Path) -> None:
    path = quantized(tmp_path, "QDQ", "QUInt8", "QInt8", True)
    graph = gw.optimize(gw.load(path))
    backend = choose_backend("numpy")
    seen: list[Graph] = []

    def fuses(op: Op, types: Any) -> bool:
        seen.append(current)
        return backend.fuses(op, types)

    for step in lowering_passes(backend.layout(), fuses):
        current = graph
        graph = step(graph)
    assert seen
    assert all(remove_dead(g) is g for g in seen)


def test_dynamic_quantisation(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    w = numpy_helper.from_array(rng.standard_normal((32, 8)).astype(np.float32), "w")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (4, 32))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (4, 8))
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "product", [x], [y], [w])
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    source, path = tmp_path / "float.onnx", tmp_path / "dynamic.onnx"
    onnx.save(model, source)
    quantization.quantize_dynamic(source, path)
    provider = ["CPUExecutionProvider"]
    session = ort.InferenceSession(str(path), providers=provider)
    feed = {"x": rng.standard_normal((4, 32)).astype(np.float32)}
    got = gw.compile(path, backend="numpy").run(None, feed)[0]
    np.testing.assert_allclose(got, session.run(None, feed)[0], rtol=1e-5, atol=1e-5)


# Kernels ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "parts", "dtype"), [(500, 1, "f4"), (1000, 2, "f4"), (2000, 1, "f8")]
)
def test_sums_are_exact(depth: int, parts: int, dtype: str) -> None:
    weights = np.full((depth, 3), 127, np.int16)
    found = exact_sums(255, weights, 1, 0)
    assert (len(found.cuts), found.dtype) == (parts, np.dtype(dtype))
    turned = exact_sums(255, weights.T, 0, 1)
    assert turned == found


def test_products_whose_sums_are_cut_are_exact() -> None:
    b = gw.Builder("long")
    depth = 1000
    rng = np.random.default_rng(0)
    x = b.input("x", gw.ir.types.TensorType(gw.ir.dtype.uint8, (5, depth)))
    one = b.constant(np.float32(1))
    real = b.emit("dequantize", x, one, dtype=gw.ir.dtype.float32)
    w = b.constant(rng.integers(100, 128, (depth, 4)).astype(np.int8))
    weights = b.emit("dequantize", w, one, dtype=gw.ir.dtype.float32)
    graph = b.finish([b.dot(real, weights)], ["y"])
    exe = gw.compile(graph, backend="numpy")
    data = rng.integers(200, 256, (5, depth)).astype(np.uint8)
    (held,) = evaluate(gw.optimize(graph), [data])
    np.testing.assert_array_equal(exe.run(None, {"x": data})[0], held)


def test_finish_rounds_half_to_even_and_saturates() -> None:
    x = np.array([[1, 3, 5, 255, 0, 254]], np.uint8)
    terms = (Term(0, np.asarray(0.5, np.float32)),)
    finish = Finish(terms, np.asarray(100, np.float32), True, 28, 0, 255)
    out = np.empty(x.shape, np.uint8)
    bind_finish(finish, [x], out, Arena(take(finish_bytes(6))))()
    wanted = np.clip(np.rint(x * 0.5 + 100) + 28, 0, 255)
    np.testing.assert_array_equal(out, wanted)


@pytest.mark.parametrize("turned", [False, True])
def test_loading_takes_the_zero_point_off(turned: bool) -> None:
    x = np.arange(70000, dtype=np.uint8).reshape(700, 100)
    source = x.T if turned else x
    target = np.empty(source.shape, np.float32)
    bind_load(source, target, 128)()
    np.testing.assert_array_equal(target, source.astype(np.float32) - 128)
