"""Scaling of weights: when it happens, and when it is refused."""

from typing import Any

import numpy as np
import pytest

import graphwright as gw
from graphwright.ir.dtype import float16, float32
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType
from graphwright.passes.scale import SCALES


def scaled_product(weights: Any, factor: float) -> Graph:
    b = gw.Builder("scaled")
    dtype = float16 if weights.dtype == np.float16 else float32
    x = b.input("x", TensorType(dtype, (2, weights.shape[0])))
    y = b.dot(x, b.constant(weights))
    c = b.constant(np.full(weights.shape[1], factor, weights.dtype))
    return b.finish([b.mul(y, b.broadcast_to(c, y.shape))])


@pytest.mark.parametrize("size", [8, 200])
def test_weights_are_scaled_when_they_are_read(size: int) -> None:
    weights = np.random.default_rng(0).standard_normal((size, size), np.float32)
    graph = scaled_product(weights, 3.0)
    after = SCALES(graph)
    assert [n.op.name for n in after.nodes] == ["dot"]
    (held,) = (c for c in after.constants.values() if c.size > 1)
    assert (held.array() is held.array()) == (size == 8)  # derived ones are not kept
    np.testing.assert_array_equal(held.array(), weights * np.float32(3))
    x = np.ones((2, size), np.float32)
    for got, wanted in zip(evaluate(after, [x]), evaluate(graph, [x]), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("dtype", "size", "largest", "factor"),
    [
        ("f4", 8, 1e30, 1e20),
        ("f4", 200, 1e5, 1e36),
        ("f4", 200, 1e5, np.inf),
        ("f4", 8, 1.0, np.nan),
        ("f2", 200, 1000.0, 100.0),
    ],
)
def test_weights_stay_finite(
    dtype: str, size: int, largest: float, factor: float
) -> None:
    weights = np.full((size, size), largest, dtype)
    graph = scaled_product(weights, factor)
    assert SCALES(graph) is graph
