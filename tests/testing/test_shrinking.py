"""The shrinker: what it leaves shows the fault, is valid, and is small."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from graphwright.ir.builder import Builder
from graphwright.ir.dtype import bool_, float32, int64
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType
from graphwright.ir.verify import verify
from graphwright.passes.cleanup import remove_dead
from graphwright.testing import inputs_for, random_graph, shrink


def holds(name: str) -> Callable[[Graph, Sequence[Any]], bool]:
    """Whether a graph that runs has an op of this name that an output needs."""

    def fails(graph: Graph, inputs: Sequence[Any]) -> bool:
        evaluate(graph, inputs)
        return any(n.op.name == name for n in remove_dead(graph).walk())

    return fails


OPS = ["reduce", "concat", "where", "dot", "cast", "sort", "transpose", "add", "exp"]


@pytest.mark.parametrize("name", OPS)
def test_random_graphs_shrink_to_one_op(name: str) -> None:
    fails = holds(name)
    count = 0
    for seed in range(60):
        graph = random_graph(seed, max_nodes=20, ops=OPS)
        inputs = inputs_for(graph, seed)
        if not fails(graph, inputs):
            continue
        small, feeds = shrink(graph, inputs, fails, seconds=5)
        verify(small)
        assert fails(small, feeds)
        assert [n.op.name for n in small.nodes] == [name] or len(small.nodes) <= 2
        assert sum(np.size(x) for x in feeds) <= 8
        count += 1
        if count == 3:
            return
    assert count


def chain(length: int) -> tuple[Graph, list[Any]]:
    b = Builder("chain")
    x = b.input("x", TensorType(float32, (8, 6)))
    for i in range(length):
        x = b.exp(x) if i == 2 * length // 3 else b.tanh(x)
    graph = b.finish([x, b.neg(x)])
    return graph, inputs_for(graph, 0)


def test_one_node_of_many_is_found() -> None:
    graph, inputs = chain(300)
    small, feeds = shrink(graph, inputs, holds("exp"))
    assert [n.op.name for n in small.nodes] == ["exp"]
    assert feeds[0].shape == (1, 1)
    assert feeds[0].tolist() == [[0]]


def test_what_is_needed_stays() -> None:
    b = Builder("g")
    x = b.input("x", TensorType(float32, (4, 6)))
    y = b.reshape(b.exp(b.reshape(b.neg(x), (24,))), (2, 12))
    graph = b.finish([b.sum(y, [0])])

    def fails(graph: Graph, inputs: Sequence[Any]) -> bool:
        (found,) = evaluate(graph, inputs)
        names = [n.op.name for n in graph.nodes]
        return "exp" in names and "reduce" in names and found.sum() > 3

    small, feeds = shrink(graph, inputs_for(graph, 1), fails)
    assert fails(small, feeds)
    assert len(small.nodes) <= 4
    assert feeds[0].size <= 4


def test_what_does_not_fail_comes_back() -> None:
    graph, inputs = chain(3)
    assert shrink(graph, inputs, lambda g, xs: False) == (graph, inputs)


def test_a_predicate_that_raises_says_no() -> None:
    graph, inputs = chain(3)

    def fails(small: Graph, feeds: Sequence[Any]) -> bool:
        if small is not graph:
            raise RuntimeError
        return True

    assert shrink(graph, inputs, fails)[0] is graph


def test_bodies_of_loops_shrink() -> None:
    b = Builder("loop")
    x = b.input("x", TensorType(float32, (4,)))
    body = b.subgraph("body")
    body.input("i", TensorType(int64, ()))
    going = body.input("going", TensorType(bool_, ()))
    c = body.input("c", x.type)
    op = body.finish([going, body.exp(body.neg(body.tanh(c)))])
    trips, always = b.scalar(3, int64), b.scalar(True, bool_)
    fields: dict[str, Any] = {"body": op, "carried": 1, "types": (x.type,)}
    graph = b.finish([b.emit("while_loop", trips, always, b.neg(x), **fields)])
    small, _ = shrink(graph, inputs_for(graph, 0), holds("exp"))
    assert [n.op.name for n in small.walk()] == ["while_loop", "exp"]


def test_symbols_become_numbers() -> None:
    fails = holds("reduce")
    graph, inputs = next(
        (g, xs)
        for g in (random_graph(seed, ops=OPS) for seed in range(99))
        if g.input_symbols() and fails(g, xs := inputs_for(g, 3))
    )
    small, _ = shrink(graph, inputs, fails)
    assert not small.symbols()


def test_fields_become_plain() -> None:
    b = Builder("g")
    x = b.input("x", TensorType(float32, (9, 9)))
    graph = b.finish([b.slice(x, (5, 2), (2, 3), (2, -1))])
    small, _ = shrink(graph, inputs_for(graph, 0), holds("slice"))
    op: Any = small.nodes[0].op
    assert set(op.start) | set(op.size) <= {0, 1}


def named(*names: str) -> tuple[Graph, list[Any]]:
    b = Builder("g")
    xs: list[Value] = [b.input(n, TensorType(float32, (2,))) for n in names]
    graph = b.finish([b.exp(b.add(b.neg(xs[0]), xs[1]))])
    return graph, inputs_for(graph, 0)


def test_names_of_inputs_stay_apart() -> None:
    graph, inputs = named("v0", "v1")
    small, _ = shrink(graph, inputs, holds("add"))
    assert len(set(small.input_names)) == len(small.input_names)
