"""Further forms of what rewrites match, beside the example that each of them has."""

import math
from collections.abc import Callable

import numpy as np
import pytest

import graphwright as gw
from graphwright.ir.dtype import bool_, float32
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType

ROOT = math.sqrt(2 / math.pi)


def built(count: int, make: Callable[..., Value], *shape: int) -> Graph:
    b = gw.Builder("form")
    inputs = [b.input(f"x{i}", TensorType(float32, shape)) for i in range(count)]
    return b.finish([make(b, *inputs)])


def names(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes]


def check(graph: Graph, after: Graph) -> None:
    rng = np.random.default_rng(0)
    shapes = [v.shape for v in graph.inputs]
    feeds = [rng.standard_normal(s).astype(np.float32) for s in shapes]  # type: ignore[arg-type]
    (got,), (wanted,) = evaluate(after, feeds), evaluate(graph, feeds)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_signs_cancel_in_a_quotient() -> None:
    graph = built(2, lambda b, x, y: b.div(b.neg(x), b.neg(y)), 2, 3)
    after = gw.optimize(graph)
    assert names(after) == ["div"]
    assert after.nodes[0].operands == after.inputs
    check(graph, after)


def factored(b: gw.Builder, x: Value, c: float) -> Value:
    """``x/2 * (1 + tanh(r x (1 + c x^2)))``."""
    inner = b.mul(b.mul(x, ROOT), b.add(b.mul(b.mul(x, c), x), 1.0))
    return b.mul(b.mul(x, 0.5), b.add(b.tanh(inner), 1.0))


def test_gelu_is_found_where_x_is_factored_out() -> None:
    graph = built(1, lambda b, x: factored(b, x, 0.044715), 2, 3)
    after = gw.optimize(graph)
    assert names(after) == ["gelu"]
    check(graph, after)


@pytest.mark.parametrize("coefficient", [0.04473, 0.0447])
def test_gelu_has_its_own_coefficient(coefficient: float) -> None:
    graph = built(1, lambda b, x: factored(b, x, coefficient), 2, 3)
    assert "gelu" not in names(gw.optimize(graph))


@pytest.mark.parametrize("low", [-5.0, 0.0, -1e4])
def test_scores_that_still_have_weight_are_no_mask(low: float) -> None:
    allowed = np.random.default_rng(1).random((3, 3)) < 0.5

    def make(b: gw.Builder, q: Value, k: Value, v: Value) -> Value:
        scores = b.mul(b.dot(q, b.transpose(k, (0, 2, 1))), 0.5)
        seen = b.broadcast_to(b.constant(allowed, bool_), scores.shape)
        scores = b.where(seen, scores, b.full(scores.shape, low, float32))
        return b.dot(b.emit("softmax", scores, axis=2), v)

    graph = built(3, make, 2, 3, 4)
    check(graph, gw.optimize(graph))
