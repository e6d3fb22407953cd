"""Weights that hang on constants alone become constants, computed when read."""

from typing import Any

import numpy as np

from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType
from graphwright.passes.derive import derive_weights

X = np.random.default_rng(0).standard_normal((3, 5), dtype=np.float32)
W = np.random.default_rng(1).integers(-128, 127, (5, 4), np.int8)


def _begun() -> tuple[Builder, Value, Value]:
    """A builder, an input, and dequantised weights."""
    b = Builder("quantised")
    x = b.input("x", TensorType(dt.float32, (3, 5)))
    return b, x, b.mul(b.cast(b.constant(W), dt.float32), 0.25)


def _agree(graph: Graph) -> Graph:
    found = derive_weights(graph)
    for got, want in zip(evaluate(found, [X]), evaluate(graph, [X]), strict=True):
        assert np.array_equal(np.asarray(got), np.asarray(want))
    return found


def _names(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes]


def test_what_is_computed_of_constants_is_a_constant() -> None:
    b, x, w = _begun()
    found = _agree(b.finish([b.dot(x, w)]))
    assert _names(found) == ["dot"]
    constant: Any = found.constants[found.nodes[0].operands[1]]
    assert constant.shape == (5, 4)
    assert np.array_equal(constant.array(), W * np.float32(0.25))


def test_what_others_read_is_the_same_constant() -> None:
    b, x, w = _begun()
    found = _agree(b.finish([b.dot(x, w), b.exp(w)]))
    assert _names(found) == ["dot", "exp"]
    assert found.nodes[0].operands[1] is found.nodes[1].operands[0]


def test_results_may_be_weights() -> None:
    b, x, w = _begun()
    found = _agree(b.finish([b.dot(x, w), w]))
    assert _names(found) == ["dot"]


def test_what_hangs_on_inputs_stays() -> None:
    b, x, w = _begun()
    y = b.mul(w, b.broadcast_to(b.sum(x, (0, 1)), w.shape))
    graph = b.finish([b.dot(x, y)])
    assert derive_weights(graph) is graph


def test_left_operands_stay() -> None:
    b, _, w = _begun()
    z = b.input("z", TensorType(dt.float32, (4, 2)))
    graph = b.finish([b.dot(w, z)])
    assert derive_weights(graph) is graph


# Factors ------------------------------------------------------------------------------


def test_scales_of_blocks_are_factors_through_views() -> None:
    b = Builder("blocks")
    x = b.input("x", TensorType(dt.float32, (3, 6)))
    scales = np.arange(1, 9, dtype=np.float32).reshape(4, 2, 1)
    codes = np.arange(24, dtype=np.int8).reshape(4, 2, 3)
    whole = b.mul(b.cast(b.constant(codes), dt.float32), b.constant(scales))
    w = b.transpose(b.reshape(whole, (4, 6)), (1, 0))
    found = derive_weights(b.finish([b.dot(x, w)]))
    constant = found.constants[found.nodes[0].operands[1]]
    factors = constant.factors
    assert factors is not None
    assert factors.codes.shape == factors.scales.shape == (6, 4)
    assert np.array_equal(factors.codes.array(), codes.reshape(4, 6).T)
    assert np.array_equal(factors.scales.array()[:, 1], np.repeat([3, 4], 3))
    product = factors.codes.array() * factors.scales.array()
    assert np.array_equal(product, constant.array())


def test_products_of_as_many_numbers_have_no_factors() -> None:
    b = Builder("both")
    x = b.input("x", TensorType(dt.float32, (3, 5)))
    w = b.mul(b.cast(b.constant(W), dt.float32), b.cast(b.constant(-W), dt.float32))
    found = derive_weights(b.finish([b.dot(x, w)]))
    assert found.constants[found.nodes[0].operands[1]].factors is None


def test_what_it_is_computed_from_is_known() -> None:
    b, x, w = _begun()
    found = derive_weights(b.finish([b.dot(x, w)]))
    constant = found.constants[found.nodes[0].operands[1]]
    assert not constant.is_held
    assert constant.source is not None
    assert constant.source.is_held
    assert np.array_equal(constant.source.array(), W)
