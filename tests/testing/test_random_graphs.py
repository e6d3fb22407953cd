"""Random graphs: laws, optimised and decomposed against the reference."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from laws import PRIMITIVES, check_results, check_text

from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.op import OPS
from graphwright.testing import (
    assert_accurate,
    assert_agree,
    graphs,
    inputs_for,
    random_graph,
)
from graphwright.testing.registry import ALONE
from graphwright.testing.values import sizes_for

BLOCK = 100

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def check(graph: Graph, seed: int) -> None:
    """All that a random graph has to do."""
    check_text(graph)
    inputs = inputs_for(graph, seed)
    check_results(graph, inputs)
    assert_accurate(graph, inputs)
    assert_agree(graph, inputs)
    assert_agree(graph, inputs, backend=PRIMITIVES)


def check_block(block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        try:
            check(random_graph(seed), seed)
        except Exception as error:
            error.add_note(f"random_graph({seed})")
            raise


@pytest.mark.parametrize("block", range(3))
def test_random_graphs(block: int) -> None:
    check_block(block)


@pytest.mark.full
@pytest.mark.parametrize("block", range(3, 100))
def test_many_random_graphs(block: int) -> None:
    check_block(block)


@given(graphs(max_nodes=8))
@settings(max_examples=60, deadline=None, suppress_health_check=SLOW, derandomize=True)
def test_drawn_graphs(graph: Graph) -> None:
    check(graph, 0)


@given(graphs(max_nodes=8))
@settings(max_examples=30, deadline=None, suppress_health_check=SLOW, derandomize=True)
def test_binding_symbols_changes_no_result(graph: Graph) -> None:
    feeds = inputs_for(graph)
    fixed = graph.bind(sizes_for(graph, 0))
    for x, y in zip(evaluate(fixed, feeds), evaluate(graph, feeds), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_seed_always_gives_the_same_graph_and_inputs() -> None:
    assert str(random_graph(7)) == str(random_graph(7))
    graph = random_graph(7)
    for x, y in zip(inputs_for(graph, 3), inputs_for(graph, 3), strict=True):
        np.testing.assert_array_equal(x, y)


def test_random_graphs_hold_every_op() -> None:
    found: Counter[str] = Counter()
    for seed in range(200):
        graph = random_graph(seed, max_nodes=40)
        found.update(node.op.name for node in graph.walk())
    library = {n for n, c in OPS.items() if c.__module__.startswith("graphwright.ir")}
    assert library - ALONE - found.keys() == set()


def test_graphs_have_the_sizes_and_ops_asked_for() -> None:
    for seed in range(20):
        graph = random_graph(seed, max_nodes=3, ops=["add", "reshape"])
        helpers = {"min", "max", "mul", "broadcast_to"}
        assert {n.op.name for n in graph.nodes} <= {"add", "reshape"} | helpers


def test_graphs_shrink() -> None:
    smallest = find(
        graphs(max_nodes=6, ops=["sort", "concat", "reduce", "transpose"]),
        lambda g: any(n.op.name == "reduce" for n in g.nodes),
        settings=settings(
            max_examples=500,
            phases=[Phase.generate, Phase.shrink],
            database=None,
            derandomize=True,
            suppress_health_check=SLOW,
        ),
    )
    assert len(smallest.nodes) <= 2


def test_sizes_can_be_given() -> None:
    graph = next(g for g in map(random_graph, range(99)) if len(g.input_symbols()) > 1)
    found = sizes_for(graph, 0)
    name, *_ = found
    inputs = inputs_for(graph, 0, {name: found[name]})
    check_results(graph, inputs)
