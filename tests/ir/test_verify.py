"""Every rule of the verifier: what breaks it is refused, and the place named."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.dim import symbol
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import OPS
from graphwright.ir.types import Guard, TensorType, Type
from graphwright.ir.verify import check_guard, verify

N = symbol("n")
F32 = TensorType(dt.float32, (N, 3))


def small() -> Graph:
    """``exp(x) + exp(x)`` and a constant output."""
    b = Builder("g")
    x = b.input("x", F32)
    y = b.exp(x)
    return b.finish([b.add(y, y), b.constant(np.ones(2, np.float32))])


def with_node(graph: Graph, index: int, **parts: Any) -> Graph:
    node = graph.nodes[index]
    made = Node(
        parts.get("op", node.op),
        parts.get("operands", node.operands),
        parts.get("results", node.results),
    )
    nodes = (*graph.nodes[:index], made, *graph.nodes[index + 1 :])
    return replace(graph, nodes=nodes)


def refused(graph: Graph, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        verify(graph)
    assert message in str(caught.value)


def typed_as(type_: Type) -> Graph:
    g = small()
    return with_node(g, 0, results=(Value(type_),))


BROKEN: Mapping[str, tuple[Callable[[Graph], Graph], str]] = {
    "names of inputs": (
        lambda g: replace(g, input_names=()),
        "graph 'g': inputs and their names differ in number",
    ),
    "names of outputs": (
        lambda g: replace(g, output_names=("y",)),
        "graph 'g': outputs and their names differ in number",
    ),
    "one name twice": (
        lambda g: replace(g, inputs=(*g.inputs, Value(F32)), input_names=("x", "x")),
        "two inputs have one name",
    ),
    "input twice": (
        lambda g: replace(g, inputs=g.inputs * 2, input_names=("x", "z")),
        "an input or constant is defined a second time",
    ),
    "input is a constant": (
        lambda g: replace(g, constants={g.inputs[0]: Constant.of(np.float32(1))}),
        "an input or constant is defined a second time",
    ),
    "result twice": (
        lambda g: with_node(g, 1, results=g.nodes[0].results),
        "node 1 (add) of graph 'g' defines a value a second time",
    ),
    "result is an input": (
        lambda g: with_node(g, 0, results=g.inputs),
        "node 0 (exp) of graph 'g' defines a value a second time",
    ),
    "order": (
        lambda g: replace(g, nodes=g.nodes[::-1]),
        "node 0 (add) of graph 'g' reads a value before it is defined",
    ),
    "own result": (
        lambda g: with_node(g, 0, operands=g.nodes[0].results),
        "node 0 (exp) of graph 'g' reads a value before it is defined",
    ),
    "undefined output": (
        lambda g: replace(g, outputs=(Value(F32), g.outputs[1])),
        "output 'out0' is never defined",
    ),
    "type": (
        lambda _: typed_as(TensorType(dt.float64, (N, 3))),
        "node 0 (exp) of graph 'g' has type float64[n, 3], its rule says float32[n, 3]",
    ),
    "more results": (
        lambda g: with_node(g, 0, results=(*g.nodes[0].results, Value(F32))),
        "has type float32[n, 3], float32[n, 3], its rule says float32[n, 3]",
    ),
    "rule": (
        lambda g: with_node(g, 0, operands=g.inputs * 2, op=OPS["and"]()),
        "node 0 (and) of graph 'g' has no type",
    ),
    "count of operands": (
        lambda g: with_node(g, 0, op=OPS["dot"]()),
        "node 0 (dot) of graph 'g' has no type",
    ),
    "symbol of a type": (
        lambda _: typed_as(TensorType(dt.float32, (symbol("m"), 3))),
        "uses undefined symbols m",
    ),
    "symbol of a guard": (
        lambda g: replace(g, guards=(Guard(N, "<=", symbol("m")),)),
        "guard n <= m uses undefined symbols m",
    ),
    "constant": (
        lambda g: replace(
            g, constants={v: Constant.of(np.float32(1)) for v in g.constants}
        ),
        "a value float32[2] stands for a constant float32[]",
    ),
    "contents": (
        lambda g: replace(
            g,
            inputs=(*g.inputs, Value(TensorType(dt.int64, (2,), (1,)))),
            input_names=("x", "z"),
        ),
        "contents do not fit the shape",
    ),
}


def test_a_good_graph_passes() -> None:
    verify(small())


@pytest.mark.parametrize("rule", BROKEN)
def test_broken_rules_are_found(rule: str) -> None:
    change, message = BROKEN[rule]
    refused(change(small()), message)


def test_symbols_are_defined_before_use() -> None:
    b = Builder("g")
    x = b.input("x", F32)
    sizes = b.input("sizes", TensorType(dt.int64, (1,)))
    (k,) = b.bind_dims(sizes)
    b.full((k,), 1.0, dt.float32)
    graph = b.finish([x])
    verify(graph)
    late = replace(graph, nodes=(*graph.nodes[1:], graph.nodes[0]))
    refused(late, f"uses undefined symbols {k}")


def branches(**parts: Any) -> Graph:
    """A ``cond`` whose branches are ``exp``; ``parts`` changes the first one."""
    b = Builder("outer")
    flag, v = b.input("flag", TensorType(dt.bool_, ())), b.input("x", F32)
    inner = b.subgraph("inner")
    branch = inner.finish([inner.exp(inner.input("v", F32))])
    parts = {name: change(branch) for name, change in parts.items()}
    fields = {"then_graph": replace(branch, **parts), "else_graph": branch}
    return b.finish(b.emit_all("cond", flag, v, **fields, types=(F32,)))


def test_sub_graphs_see_the_symbols_around_them_and_no_values() -> None:
    verify(branches())
    outside = small().outputs[:1]
    wrong = branches(outputs=lambda _: outside)
    refused(wrong, "graph 'inner': output 'out0' is never defined")


def test_broken_sub_graphs_are_found() -> None:
    refused(
        branches(nodes=lambda inner: inner.nodes * 2),
        "node 1 (exp) of graph 'inner' defines a value a second time",
    )


def test_variables_are_declared() -> None:
    b = Builder("g")
    b.variables["w"] = Constant.of(np.float32(1))
    (token,) = b.emit_all("token")
    w, token = b.emit_all("read", token, variable="w", type=TensorType(dt.float32, ()))
    b.emit_all("write", token, w, variable="w")
    graph = b.finish([w])
    verify(graph)
    refused(
        replace(graph, variables={}), "node 1 (read) of graph 'g' names no variable"
    )


def test_a_guard_that_breaks_says_where() -> None:
    guard = Guard(N, "<=", 4, "Slice 'crop'")
    assert check_guard(guard, 4, 4) is None
    assert check_guard(guard, 5, 4) == "Slice 'crop': n = 5 breaks n <= 4"
    assert check_guard(Guard(3, "divides", N), 3, 6) is None
    assert check_guard(Guard(3, "divides", N), 3, 7) is not None
    assert check_guard(Guard(N, "divides", 7), 0, 7) is not None
