"""Fusion: elementwise chains become one region each and keep their results."""

from typing import Any

import numpy as np
import pytest

import graphwright as gw
from graphwright.backends.numpy.ops_elementwise import fuses
from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType
from graphwright.ir.verify import verify
from graphwright.passes.cleanup import remove_dead
from graphwright.passes.fuse_elementwise import fuse_elementwise

RNG = np.random.default_rng(1)


def normalised(b: Builder, x: Value) -> Value:
    column = RNG.standard_normal((x.tensor.dims[1], 1), dtype=np.float32)  # type: ignore[arg-type]
    y = b.add(b.mul(x, b.constant(column)), b.constant(column))
    return b.max(y, 0)


def row_and_scalar(b: Builder, x: Value) -> Value:
    row = RNG.standard_normal(x.tensor.dims[-1:], dtype=np.float32)  # type: ignore[arg-type]
    return b.min(b.sub(b.div(x, 3.0), b.constant(row)), 1.0)


def tree(b: Builder, x: Value) -> Value:
    left, right = b.exp(b.neg(b.abs(x))), b.tanh(b.mul(x, x))
    return b.sub(b.mul(left, right), b.add(right, 1))


def activations(b: Builder, x: Value) -> Value:
    y = b.emit("sigmoid", b.emit("erf", b.mul(x, 0.5)))
    return b.mul(y, x)


CASES = (normalised, row_and_scalar, tree, activations)


def graph_of(make: Any, *shape: int) -> Graph:
    b = Builder("test")
    x = b.input("x", TensorType(dt.float32, shape))
    return b.finish([make(b, x)], ["y"])


def fused(graph: Graph) -> Graph:
    return remove_dead(fuse_elementwise(graph, fuses))


@pytest.mark.parametrize("shape", [(2, 3, 5), (1, 70, 1000), (1, 1, 1), (3, 0, 2)])
@pytest.mark.parametrize("make", CASES)
def test_regions_give_the_same(make: Any, shape: tuple[int, ...]) -> None:
    graph = graph_of(make, *shape)
    changed = fused(graph)
    verify(changed)
    assert "fused" in [node.op.name for node in changed.nodes]
    x = RNG.standard_normal(shape, dtype=np.float32)
    (want,), (got,) = evaluate(graph, [x]), evaluate(changed, [x])
    np.testing.assert_array_equal(got, want)
    ran = gw.compile(graph, backend="numpy").run(None, {"x": x})[0]
    np.testing.assert_allclose(ran, want, rtol=1e-5, atol=1e-6)


def test_a_value_read_outside_is_a_result() -> None:
    b = Builder("test")
    x = b.input("x", TensorType(dt.float32, (4,)))
    y = b.exp(b.neg(x))
    changed = fused(b.finish([y, b.neg(b.abs(y))]))
    assert [n.op.name for n in changed.nodes] == ["fused"]
    assert len(changed.nodes[0].results) == 2


def test_what_needs_a_value_closes_its_region() -> None:
    b = Builder("test")
    x = b.input("x", TensorType(dt.float32, (4, 4)))
    y = b.exp(b.neg(x))
    z = b.dot(y, x)
    changed = fused(b.finish([b.add(b.mul(y, y), b.abs(z)), z]))
    verify(changed)
    assert [n.op.name for n in changed.nodes] == ["fused", "dot", "fused"]


def test_last_readers_join_a_region_before_it_ends() -> None:
    b = Builder("test")
    x = b.input("x", TensorType(dt.float64, (6, 5)))
    t = b.input("t", TensorType(dt.float64, (6, 5)))
    p = b.exp(b.neg(x))
    mean = b.div(b.sum(b.mul(p, t), [0, 1]), 30.0)  # which ends the region
    late = b.abs(b.sub(p, t))
    graph = b.finish([b.dot(late, b.transpose(x, [1, 0])), mean, b.sum(late, [1])])
    changed = fused(graph)
    verify(changed)
    assert sorted(n.op.name for n in changed.nodes) == [
        *("div", "dot", "fused", "transpose")
    ]
    arrays = [RNG.standard_normal((6, 5)) for _ in range(2)]
    want = evaluate(graph, arrays)
    for have, expected in zip(evaluate(changed, arrays), want, strict=True):
        np.testing.assert_allclose(have, expected, rtol=1e-14)


def test_a_value_that_is_kept_anyway_takes_no_reader_early() -> None:
    b = Builder("test")
    x = b.input("x", TensorType(dt.float64, (6, 6)))
    p = b.tanh(b.neg(x))
    product = b.dot(p, x)
    slope = b.sub(1.0, b.mul(p, p))  # as in a gradient: p would be kept as well
    changed = fused(b.finish([b.mul(product, slope), b.dot(p, product)]))
    verify(changed)
    assert [n.op.name for n in changed.nodes] == ["fused", "dot", "dot", "fused"]


def test_what_is_not_known_yet_joins_no_region() -> None:
    b = Builder("test")
    x = b.input("x", TensorType(dt.float64, (6, 6)))
    p = b.exp(b.neg(x))
    product = b.dot(x, x)
    total = b.sum(b.mul(p, 2.0), [0, 1])
    changed = fused(b.finish([b.dot(b.sub(p, product), product), b.sqrt(total)]))
    verify(changed)
    assert [n.op.name for n in changed.nodes].count("dot") == 2


def test_regions_write_windows_and_reduce() -> None:
    b = Builder("test")
    x = b.input("x", TensorType(dt.float64, (6, 5)))
    y = b.mul(b.slice(x, (1, 1), (4, 3)), 2.0)
    written = b.emit("update_slice", x, y, start=(1, 1), step=(1, 1))
    graph = b.finish(
        [written, b.sum(y, [0]), b.emit("reduce", y, kind="max", axes=(0, 1))]
    )
    changed = fused(graph)
    verify(changed)
    assert [n.op.name for n in changed.nodes] == ["fused"]
    array = RNG.standard_normal((6, 5))
    want = evaluate(graph, [array])
    for got in (
        evaluate(changed, [array]),
        gw.compile(graph, backend="numpy").execute([array]),
    ):
        for have, expected in zip(got, want, strict=True):
            np.testing.assert_allclose(have, expected, rtol=1e-15)


def test_regions_stay_small() -> None:
    b = Builder("test")
    value = b.input("x", TensorType(dt.float32, (4,)))
    for _ in range(1000):
        value = b.tanh(value)
    changed = fused(b.finish([value]))
    assert 4 <= len(changed.nodes) <= 6


def test_narrow_floats_stay() -> None:
    b = Builder("test")
    y = b.input("y", TensorType(dt.float16, (4,)))
    graph = b.finish([b.add(b.neg(y), y)])
    assert fuse_elementwise(graph, fuses) is graph
