"""Where quantised products stay products of reals, and which regions are made."""

from typing import Any

import numpy as np
import pytest

import graphwright as gw
from graphwright.ir import dtype as dt
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.op import Op
from graphwright.ir.ops.fused import Fused
from graphwright.ir.types import TensorType
from graphwright.passes.cleanup import remove_dead
from graphwright.passes.fuse_quantized import fuse_quantized
from graphwright.passes.integer import INTEGER


def ops(graph: Graph) -> list[str]:
    return [n.op.name for n in graph.nodes]


def linear(b: gw.Builder, x: Value, scale: Any, zero: Any = None) -> Value:
    parts = [b.constant(np.asarray(scale, np.float32))]
    parts += [] if zero is None else [b.constant(np.asarray(zero, x.dtype.numpy))]
    return b.emit("dequantize", x, *parts, dtype=dt.float32)


def product(
    scale: Any = 0.5,
    per: Any = 0.25,
    zero: Any = 7,
    depth: int = 3,
    dtype: dt.DType = dt.uint8,
) -> Graph:
    b = gw.Builder("product")
    x = b.input("x", TensorType(dtype, (2, depth)))
    w = b.constant(np.ones((depth, 4), np.int8))
    return b.finish([b.dot(linear(b, x, scale, zero), linear(b, w, per))])


def test_a_product_becomes_one_of_integers() -> None:
    after = INTEGER(product(per=[[1, 2, 3, 4]]))
    assert ops(after) == ["cast", "broadcast_to", "sub", "dot", "dequantize"]


@pytest.mark.parametrize(
    "fields",
    [
        {"per": [[1], [2], [3]]},  # along the summed axis
        {"scale": [[1], [2]], "zero": None},  # rows: one scale is for all of them
        {"zero": [[1, 2, 3]], "scale": [[1, 2, 3]]},
        {"scale": np.inf},
        {"scale": 1e-38},
        {"scale": -1.0},
        {"per": np.nan},
        {"depth": 40000},  # could overflow 32 bits
        {"dtype": dt.int16, "zero": 0},
    ],
)
def test_products_that_stay(fields: dict[str, Any]) -> None:
    graph = product(**fields)
    assert INTEGER(graph) is graph


def again(scale: float, zero: int, dtype: dt.DType, result: dt.DType) -> Graph:
    b = gw.Builder("again")
    x = b.input("x", TensorType(dtype, (256,)))
    real = linear(b, x, 0.3, 5)
    parts = b.constant(np.float32(scale)), b.constant(np.asarray(zero, result.numpy))
    return b.finish([b.emit("quantize", real, *parts, dtype=result)])


@pytest.mark.parametrize("scale", [1e-30, 0.3, 1 / 3, 12345.678, 1e30])
def test_quantising_again_is_exact(scale: float) -> None:
    x = np.arange(256, dtype=np.uint8)
    b = gw.Builder("again")
    v = b.input("x", TensorType(dt.uint8, (256,)))
    real = linear(b, v, scale, 77)
    parts = b.constant(np.float32(scale)), b.constant(np.uint8(77))
    graph = b.finish([b.emit("quantize", real, *parts, dtype=dt.uint8)])
    assert INTEGER(graph).outputs == graph.inputs
    np.testing.assert_array_equal(evaluate(graph, [x])[0], x)


@pytest.mark.parametrize(
    ("scale", "zero", "dtype", "result"),
    [
        (0.31, 5, dt.uint8, dt.uint8),
        (0.3, 6, dt.uint8, dt.uint8),
        (0.3, 5, dt.uint8, dt.int8),
        (0.3, 5, dt.int16, dt.int16),
    ],
)
def test_other_numbers_are_quantised(
    scale: float, zero: int, dtype: dt.DType, result: dt.DType
) -> None:
    graph = again(scale, zero, dtype, result)
    assert INTEGER(graph) is graph


@pytest.mark.parametrize(
    ("padding", "dilations", "moves"),
    [
        (((1, 1), (1, 1)), (1, 1), True),
        (((2, 0), (0, 0)), (1, 1), False),  # a window of padding alone
        (((0, 0), (0, 0)), (2, 2), True),
        (((1, 1), (0, 0)), (2, 1), False),
    ],
)
def test_maxima_of_windows(padding: Any, dilations: Any, moves: bool) -> None:
    b = gw.Builder("pool")
    x = b.input("x", TensorType(dt.uint8, (1, 2, 5, 5)))
    fields = {"window": (2, 2), "strides": (1, 1), "dilations": dilations}
    y = linear(b, x, 0.5, 3)
    y = b.emit("reduce_window", y, kind="max", padding=padding, **fields)
    graph = b.finish([y])
    assert (INTEGER(graph) is not graph) == moves


def test_concat_of_other_scales_stays() -> None:
    b = gw.Builder("parts")
    x, y = (b.input(n, TensorType(dt.uint8, (2, 3))) for n in "xy")
    graph = b.finish([b.concat([linear(b, x, 0.5, 1), linear(b, y, 0.25, 1)], 0)])
    assert INTEGER(graph) is graph


def test_many_scales_move_with_axes_only() -> None:
    b = gw.Builder("moved")
    x = b.input("x", TensorType(dt.int8, (2, 3)))
    y = b.reshape(linear(b, x, [[1], [2]]), (3, 2))
    graph = b.finish([y])
    assert INTEGER(graph) is graph


class NoIntegers(gw.Backend):
    """Has no products of integers."""

    name = "reals"

    def supports(self, op: Op, types: Any) -> bool:
        return all(t.dtype is not dt.int16 for t in types)

    def kernel(self, request: Any) -> Any:
        return lambda *arrays: request.op.compute(np, *arrays)


def test_backends_without_integer_products_keep_reals() -> None:
    graph = product(scale=0.5, per=0.25)
    exe = gw.compile(graph, backend=NoIntegers())
    found = [n.op for n in exe.program.graph.nodes if n.op.name == "dot"]
    assert [getattr(op, "dtype", None) for op in found] == [None]
    assert not exe.fallbacks


# Regions ------------------------------------------------------------------------------


def sums(b: gw.Builder, shared: bool) -> Graph:
    x, y = (b.input(n, TensorType(dt.uint8, (2, 8))) for n in "xy")
    left, right = linear(b, x, 0.5, 3), linear(b, y, 0.25)
    total = b.add(left, right)
    end = b.emit("quantize", total, b.constant(np.float32(1)), dtype=dt.uint8)
    more = [b.exp(left)] if shared else []
    return b.finish([end, *more])


@pytest.mark.parametrize("shared", [False, True])
def test_sums_of_quantised_tensors(shared: bool) -> None:
    graph = sums(gw.Builder("sums"), shared)
    after = remove_dead(fuse_quantized(graph))
    kinds = [n.op.kind if isinstance(n.op, Fused) else n.op.name for n in after.nodes]
    assert kinds == ["quantized", *(["dequantize", "exp"] if shared else [])] or (
        shared and sorted(kinds) == ["dequantize", "exp", "quantized"]
    )
    rng = np.random.default_rng(0)
    xs = [rng.integers(0, 256, (2, 8)).astype(np.uint8) for _ in range(2)]
    for got, wanted in zip(evaluate(after, xs), evaluate(graph, xs), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_products_of_quantised_tensors_are_not_sums() -> None:
    b = gw.Builder("gate")
    x, y = (b.input(n, TensorType(dt.uint8, (2, 8))) for n in "xy")
    gated = b.mul(linear(b, x, 0.5), linear(b, y, 0.25))
    end = b.emit("quantize", gated, b.constant(np.float32(1)), dtype=dt.uint8)
    graph = b.finish([end])
    assert fuse_quantized(graph) is graph
    feed = {n: np.full((2, 8), 9, np.uint8) for n in "xy"}
    got = gw.compile(graph, backend="numpy").run(None, feed)[0]
    np.testing.assert_array_equal(got, np.full((2, 8), 10))
