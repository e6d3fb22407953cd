"""Columns that become vectors early: what follows a product by a vector."""

from dataclasses import replace
from typing import Any

import numpy as np

import graphwright as gw
from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph, Origin
from graphwright.ir.types import TensorType
from graphwright.ir.verify import verify
from graphwright.passes.cleanup import remove_dead
from graphwright.passes.squeeze import raise_squeezes

RNG = np.random.default_rng(4)


def product(rows: int, columns: int) -> tuple[Builder, Any]:
    b = Builder("product")
    x = b.input("x", TensorType(dt.float64, (rows, 5)))
    return b, b.dot(x, b.input("w", TensorType(dt.float64, (5, columns))))


def names(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes]


def checked(graph: Graph) -> Graph:
    """The graph after the pass, with the same results, bit for bit."""
    found = remove_dead(raise_squeezes(graph))
    verify(found)
    shapes: list[Any] = [v.shape for v in graph.inputs]
    feeds = [RNG.standard_normal(shape) for shape in shapes]
    for got, want in zip(evaluate(found, feeds), evaluate(graph, feeds), strict=True):
        assert got.tobytes() == want.tobytes()
        assert got.shape == want.shape
    return found


def test_what_follows_a_product_works_on_vectors() -> None:
    b, y = product(7, 1)
    z = b.add(b.exp(b.neg(y)), 1.0)
    v = b.input("v", TensorType(dt.float64, (7,)))
    found = checked(b.finish([b.mul(b.reshape(z, (7,)), v)]))
    want = ["add", "broadcast_to", "dot", "exp", "mul", "neg", "reshape"]
    assert sorted(names(found)) == want
    assert all(n.results[0].rank == 1 for n in found.nodes if n.op.name != "dot")


def test_who_reads_the_matrix_gets_it_back() -> None:
    b, y = product(1, 6)
    z = b.exp(y)
    found = checked(b.finish([b.reshape(z, (6,)), b.neg(z), z]))
    assert names(found).count("exp") == 1


def test_what_does_not_change() -> None:
    b, y = product(3, 4)
    wide = b.finish([b.reshape(b.exp(y), (12,))])
    assert raise_squeezes(wide) is wide
    b, y = product(3, 1)
    matrix = b.finish([b.exp(y)])
    assert raise_squeezes(matrix) is matrix


def test_values_keep_their_names() -> None:
    b, y = product(7, 1)
    z = b.exp(y)
    graph = b.finish([b.reshape(b.neg(z), (7,))])
    graph = replace(graph, origins={z: (Origin("model", "z"),)})
    found = raise_squeezes(graph)
    (exp,) = (n for n in found.nodes if n.op.name == "exp")
    (origin,) = found.origins[exp.results[0]]
    assert (origin.value, origin.view) == ("z", "reshape [7]")


def test_a_gradient_step_is_few_steps() -> None:
    def step(x: Any, y: Any, w: Any) -> Any:
        p = 1 / (1 + np.exp(-(x @ w)))
        return -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum(), p - y

    graph = gw.trace(step, *(gw.spec("float64", s) for s in ((50, 5), (50,), (5,))))
    lowered = gw.compile(graph, backend="numpy")
    kinds = names(lowered.program.graph)
    assert kinds.count("fused") + kinds.count("sub") <= 2
