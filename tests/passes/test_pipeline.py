"""The pipeline on random graphs, in control flow, on written-out blocks, at size."""

import math
import random
import time
from typing import Any

import numpy as np
import pytest

from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.dim import symbol
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType
from graphwright.passes.manager import PASSES
from graphwright.passes.pipeline import DEFAULT, manager, optimize
from graphwright.passes.precision import PRECISIONS
from graphwright.testing import assert_agree, inputs_for, random_graph
from graphwright.testing.compare import assert_within

SEEDS = 40


def ops(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes]


@pytest.mark.parametrize("part", range(4))
def test_random_graphs_mean_the_same(part: int) -> None:
    for seed in range(part, SEEDS, 4):
        graph = random_graph(seed, max_nodes=10)
        xs = inputs_for(graph, seed)
        want = evaluate(graph, xs)
        shuffled = sorted(PASSES.keys() - PRECISIONS.keys())
        random.Random(seed).shuffle(shuffled)
        for passes in (DEFAULT, shuffled):
            after = manager(passes, verify=True)(graph)
            assert_within(graph, xs, want, evaluate(after, xs))


@pytest.mark.full
@pytest.mark.parametrize("start", range(1000, 11000, 500))
def test_many_random_graphs_mean_the_same(start: int) -> None:
    for seed in range(start, start + 500):
        graph = random_graph(seed, max_nodes=10)
        xs = inputs_for(graph, seed)
        want = evaluate(graph, xs)
        for strict in (False, True):
            after = manager(DEFAULT, strict_float=strict, verify=True)(graph)
            assert_within(graph, xs, want, evaluate(after, xs))


# Control flow ------------------------------------------------------------------------


def loop() -> Graph:
    """``for _ in range(30): c = c + exp(-(-x)) * 1``."""
    b = Builder("loop")
    x = b.input("x", TensorType(dt.float32, (4,)))
    body = b.subgraph("body")
    body.input("i", TensorType(dt.int64, ()))
    going = body.input("going", TensorType(dt.bool_, ()))
    c = body.input("c", x.type)
    inner = body.input("x", x.type)
    step = body.mul(body.exp(body.neg(body.neg(inner))), 1)
    op = body.finish([going, body.add(c, step)])
    trips, always = b.scalar(30, dt.int64), b.scalar(True, dt.bool_)
    fields: dict[str, Any] = {"body": op, "carried": 1, "types": (x.type,)}
    return b.finish([b.emit("while_loop", trips, always, x, x, **fields)])


def test_passes_run_in_bodies_and_invariants_leave_them() -> None:
    graph = loop()
    after = manager(verify=True)(graph)
    assert ops(after) == ["exp", "while_loop"]
    (body,) = after.nodes[1].op.subgraphs()
    assert ops(body) == ["add"]
    xs = [np.array([0, 1, 2, 3], np.float32)]
    np.testing.assert_array_equal(evaluate(after, xs), evaluate(graph, xs))


def test_bodies_alone_are_simplified() -> None:
    after = manager(["simplify"], verify=True)(loop())
    (body,) = after.nodes[-1].op.subgraphs()
    assert ops(body) == ["exp", "add"]


# Attention ---------------------------------------------------------------------------

N, S = symbol("n"), symbol("s")


def projected(b: Builder, name: str, heads: int) -> Value:
    return b.input(name, TensorType(dt.float32, (N, heads, S, 8)))


def attend(b: Builder, q: Value, k: Value, v: Value, mask: Value | None) -> Value:
    scores = b.mul(b.dot(q, b.transpose(k, (0, 1, 3, 2))), 1 / math.sqrt(8))
    scores = scores if mask is None else b.add(scores, mask)
    return b.dot(b.emit("softmax", scores, axis=3), v)


def check_attention(graph: Graph, **fields: Any) -> None:
    after = manager(verify=True)(graph)
    (op,) = [n.op for n in after.nodes if n.op.name == "attention"]
    for name, value in fields.items():
        assert getattr(op, name) == value, name
    assert_agree(graph, inputs_for(graph, 1, {"n": 2, "s": 5}))


def test_grouped_queries_share_keys() -> None:
    b = Builder("g")
    q, k, v = projected(b, "q", 6), projected(b, "k", 2), projected(b, "v", 2)

    def repeated(x: Value) -> Value:
        wide = b.broadcast_to(b.expand_dims(x, [2]), (N, 2, 3, S, 8))
        return b.reshape(wide, (N, 6, S, 8))

    graph = b.finish([attend(b, q, repeated(k), repeated(v), None)])
    check_attention(graph, masked=False, causal=False)
    after = optimize(graph)
    assert ops(after) == ["attention"]
    assert after.nodes[0].operands == (q, k, v)


def test_causal_masks_are_recognized() -> None:
    b = Builder("g")
    q, k, v = (projected(b, name, 2) for name in "qkv")
    key, place = (b.iota((S, S), axis, dt.int64) for axis in (1, 0))
    mask = b.where(b.le(key, place), 0.0, b.full((S, S), -math.inf, dt.float32))
    check_attention(b.finish([attend(b, q, k, v, mask)]), masked=False, causal=True)


@pytest.mark.parametrize("causal", [True, False])
def test_triangles_of_constants_are_causal(causal: bool) -> None:
    b = Builder("g")
    q, k, v = (b.input(n, TensorType(dt.float32, (2, 2, 5, 8))) for n in "qkv")
    mask = np.triu(np.full((5, 5), -np.inf, np.float32), 1)
    mask[4, 0] = 0 if causal else -np.inf
    graph = b.finish([attend(b, q, k, v, b.constant(mask))])
    check_attention(graph, masked=not causal, causal=causal)


def test_a_mask_of_zeros_is_none() -> None:
    b = Builder("g")
    q, k, v = (projected(b, name, 2) for name in "qkv")
    zeros = b.constant(np.zeros((1, 1), np.float32))
    graph = b.finish([attend(b, q, k, v, b.broadcast_to(zeros, (N, 2, S, S)))])
    check_attention(graph, masked=False)


def test_several_masks_are_added() -> None:
    b = Builder("g")
    q, k, v = (projected(b, name, 2) for name in "qkv")
    bias = b.input("bias", TensorType(dt.float32, (1, 2, S, S)))
    mask = b.input("mask", TensorType(dt.float32, (N, 1, 1, S)))
    scores = b.add(b.add(b.dot(q, b.transpose(k, (0, 1, 3, 2))), bias), mask)
    graph = b.finish([b.dot(b.emit("softmax", scores, axis=3), v)])
    check_attention(graph, masked=True, scale=1.0)


def test_heads_may_be_part_of_the_batch() -> None:
    b = Builder("g")
    q, k, v = (b.input(n, TensorType(dt.float32, (N, S, 8))) for n in "qkv")
    scores = b.dot(b.mul(q, 0.5), b.transpose(b.mul(k, 0.5), (0, 2, 1)))
    graph = b.finish([b.dot(b.emit("softmax", scores, axis=2), v)])
    check_attention(graph, masked=False, scale=0.25)


def test_weights_that_are_wanted_stay() -> None:
    b = Builder("g")
    q, k, v = (projected(b, name, 2) for name in "qkv")
    weights = b.emit("softmax", b.dot(q, b.transpose(k, (0, 1, 3, 2))), axis=3)
    graph = b.finish([b.dot(weights, v), weights])
    assert "attention" not in ops(optimize(graph))


# Norms and blocks --------------------------------------------------------------------


def test_layer_norm_with_scale_and_shift_is_one_op() -> None:
    b = Builder("g")
    x = b.input("x", TensorType(dt.float32, (N, S, 16)))
    d = b.sub(x, b.mean(x, [2], keepdims=True))
    y = b.div(d, b.sqrt(b.add(b.mean(b.pow(d, 2), [2], keepdims=True), 1e-5)))
    scale, shift = (b.constant(np.linspace(0, 1, 16, dtype=np.float32)) for _ in "ab")
    graph = b.finish([b.add(b.mul(y, scale), shift)])
    after = optimize(graph)
    assert ops(after) == ["layer_norm"]
    xs = inputs_for(graph, 2, {"n": 2, "s": 3})
    np.testing.assert_allclose(evaluate(after, xs), evaluate(graph, xs), atol=1e-6)


def test_normalisation_and_bias_go_into_a_convolution() -> None:
    b = Builder("g")
    x = b.input("x", TensorType(dt.float32, (1, 3, 6, 6)))
    column = np.linspace(1, 2, 4, dtype=np.float32).reshape(4, 1, 1)
    kernel = b.constant(np.random.default_rng(0).random((4, 3, 3, 3), np.float32))
    fields: dict[str, Any] = {"strides": (1, 1), "padding": ((1, 1), (1, 1))}
    y = b.emit("conv", x, kernel, lhs_dilation=(1, 1), rhs_dilation=(1, 1), **fields)
    for _ in range(3):
        y = b.add(b.mul(y, b.constant(column)), b.constant(column))
    graph = b.finish([y])
    assert ops(optimize(graph)) == ["conv", "broadcast_to", "add"]
    assert_agree(graph, inputs_for(graph, 3))


# Size --------------------------------------------------------------------------------


def chain(length: int) -> Graph:
    """Sums and products with constants, every tenth op a tanh: nothing folds."""
    b = Builder("chain")
    x = b.input("x", TensorType(dt.float32, (4,)))
    rng = np.random.default_rng(0)
    for i in range(length):
        column = b.constant(rng.standard_normal(4, np.float32))
        x = b.tanh(x) if i % 10 == 9 else (b.add, b.mul)[i % 2](x, column)
    return b.finish([x])


def seconds(name: str, graph: Graph) -> float:
    def once() -> float:
        start = time.process_time()
        manager([name], verify=False)(graph)
        return time.process_time() - start

    return min(once() for _ in range(3))


def test_passes_take_linear_time() -> None:
    small, large = chain(2_000), chain(20_000)
    for name in sorted({*DEFAULT, "algebra", "movement", "sinking"}):
        ratio = seconds(name, large) / seconds(name, small)
        assert ratio < 30, f"{name}: 10 times the nodes take {ratio:.0f} times as long"


def test_a_chain_of_reshapes_collapses_in_linear_time() -> None:
    b = Builder("chain")
    x = b.input("x", TensorType(dt.float32, (4, 6)))
    for i in range(5_000):
        x = b.neg(b.reshape(x, ((6, 4), (4, 6))[i % 2]))
    passes = [name for name in DEFAULT if name != "roll_loops"]
    after = optimize(b.finish([x]), passes)
    assert ops(after) == []
