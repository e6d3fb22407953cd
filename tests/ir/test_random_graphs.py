"""Laws of random small graphs: they verify, print, read back and run the same."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.dim import evaluate as evaluate_dim
from graphwright.ir.dim import symbol
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.parser import parse
from graphwright.ir.types import TensorType
from graphwright.ir.verify import verify

SIZES = {"n": 3, "m": 1, "k": 0}
DIMS = (*map(symbol, SIZES), 1, 2)
Draw = Callable[[st.SearchStrategy[Any]], Any]
Step = Callable[[Builder, Draw, Value, list[Value]], Value]


def axis_of(draw: Draw, x: Value) -> int:
    return int(draw(st.integers(0, x.rank - 1)))


def unary(b: Builder, draw: Draw, x: Value, _: list[Value]) -> Value:
    return b.unary(draw(st.sampled_from(["neg", "abs", "exp", "tanh", "floor"])), x)


def binary(b: Builder, draw: Draw, x: Value, values: list[Value]) -> Value:
    alike = [v for v in values if v.shape == x.shape]
    name = draw(st.sampled_from(["add", "sub", "mul", "max", "div"]))
    return b.emit(name, x, draw(st.sampled_from(alike)))


def scalar(b: Builder, draw: Draw, x: Value, _: list[Value]) -> Value:
    return b.mul(x, draw(st.sampled_from([0.0, -0.0, 0.1, float("nan"), 1e30])))


def select(b: Builder, draw: Draw, x: Value, values: list[Value]) -> Value:
    alike = [v for v in values if v.shape == x.shape]
    return b.where(b.lt(x, draw(st.sampled_from(alike))), x, 1.5)


def reduce(b: Builder, draw: Draw, x: Value, _: list[Value]) -> Value:
    kind = draw(st.sampled_from(["sum", "prod"]))
    return b.reduce(kind, x, [axis_of(draw, x)], keepdims=draw(st.booleans()))


def transpose(b: Builder, draw: Draw, x: Value, _: list[Value]) -> Value:
    return b.transpose(x, draw(st.permutations(range(x.rank))))


def flatten(b: Builder, _: Draw, x: Value, __: list[Value]) -> Value:
    return b.reshape(x, (x.tensor.size,))


def expand(b: Builder, draw: Draw, x: Value, _: list[Value]) -> Value:
    return b.broadcast_to(x, (draw(st.sampled_from(DIMS)), *x.shape))


def join(b: Builder, draw: Draw, x: Value, _: list[Value]) -> Value:
    return b.concat([x, b.neg(x)], axis_of(draw, x))


def flip(b: Builder, draw: Draw, x: Value, _: list[Value]) -> Value:
    return b.flip(x, [axis_of(draw, x)])


def square(b: Builder, _: Draw, x: Value, __: list[Value]) -> Value:
    rows = b.reshape(x, (x.tensor.size, 1))
    return b.dot(b.transpose(rows, (1, 0)), rows)


ANY_RANK: tuple[Step, ...] = (unary, binary, scalar, select, expand, flatten, square)
STEPS: tuple[Step, ...] = (*ANY_RANK, reduce, transpose, join, flip)


@st.composite
def graphs(draw: Draw) -> Graph:
    b = Builder("random")
    shapes = st.lists(st.sampled_from(DIMS), max_size=3).map(tuple)
    values = [
        b.input(f"x{i}", TensorType(dt.float32, draw(shapes)))
        for i in range(draw(st.integers(1, 3)))
    ]
    values.append(b.input("sizes", TensorType(dt.float32, tuple(map(symbol, SIZES)))))
    for _ in range(draw(st.integers(0, 8))):
        x = draw(st.sampled_from(values))
        step = draw(st.sampled_from(STEPS if x.rank else ANY_RANK))
        if x.rank < 6:
            values.append(step(b, draw, x, values))
    return b.finish(draw(st.lists(st.sampled_from(values), min_size=1, max_size=3)))


def feeds_of(graph: Graph) -> list[Any]:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for v in graph.inputs:
        shape = tuple(evaluate_dim(d, SIZES) for d in v.shape)
        found.append(rng.standard_normal(shape).astype(np.float32))
    return found


@given(graphs())
@settings(max_examples=150, deadline=None)
def test_random_graphs_verify_print_parse_and_run(graph: Graph) -> None:
    verify(graph)
    again = parse(str(graph))
    assert again == graph
    assert str(again) == str(graph)
    feeds = feeds_of(graph)
    found, wanted = evaluate(again, feeds), evaluate(graph, feeds)
    for x, y, v in zip(found, wanted, graph.outputs, strict=True):
        assert x.dtype == v.dtype.numpy
        assert x.shape == tuple(evaluate_dim(d, SIZES) for d in v.shape)
        np.testing.assert_array_equal(x, y)


@given(graphs())
@settings(max_examples=50, deadline=None)
def test_binding_symbols_changes_no_result(graph: Graph) -> None:
    feeds = feeds_of(graph)
    fixed = graph.bind(SIZES)
    for x, y in zip(evaluate(fixed, feeds), evaluate(graph, feeds), strict=True):
        np.testing.assert_array_equal(x, y)
