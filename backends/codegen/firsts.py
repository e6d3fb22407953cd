"""Sorts of which only the first elements are read: those are all that is stored."""

from dataclasses import replace
from typing import Any

from graphwright.backends.codegen.elements import sizes_of
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.ops.index import Sort
from graphwright.ir.types import TensorType


def only_first(graph: Graph) -> Graph:
    """The graph with sorts whose results are their first elements where that is all.

    Such a node's results are shorter than its op says.
    """
    if Sort not in graph.op_classes:
        return graph
    users: dict[Value, list[Node]] = {}
    for node in graph.nodes:
        for v in node.operands:
            users.setdefault(v, []).append(node)
    short: dict[Node, Node] = {}
    gone: set[Node] = set()
    for node in graph.nodes:
        cut = _cut(graph, node, users) if isinstance(node.op, Sort) else None
        if cut is not None:
            short[node] = _shorter(node, cut)
            gone.update(cut.values())
    if not short:
        return graph
    nodes = tuple(short.get(node, node) for node in graph.nodes if node not in gone)
    return replace(graph, nodes=nodes)


def _cut(
    graph: Graph, node: Node, users: dict[Value, list[Node]]
) -> dict[Value, Node] | None:
    """What cuts each result that is read; None where they are not cut alike."""
    found: dict[Value, Node] = {}
    for v in node.results:
        readers = users.get(v, [])
        if v in graph.outputs or len(readers) > 1:
            return None
        found.update(dict.fromkeys([v] if readers else [], *readers))
    op: Any = node.op
    counts = {_count(cut, op.axis) for cut in found.values()}
    return found if len(counts) == 1 and None not in counts else None


def _count(node: Node, axis: int) -> int | None:
    """How many of the first elements along an axis a node gives; None of others."""
    op: Any = node.op
    if op.name != "slice" or any(op.start) or any(step != 1 for step in op.step):
        return None
    whole, left = (list(sizes_of(v.type)) for v in (*node.operands, *node.results))
    count = whole[axis] = left[axis]
    return count if whole == left else None


def _shorter(node: Node, cut: dict[Value, Node]) -> Node:
    (some, *_) = cut.values()
    dims = sizes_of(some.results[0].type)
    results = (
        cut[v].results[0] if v in cut else Value(TensorType(v.dtype, dims))
        for v in node.results
    )
    return Node(node.op, node.operands, tuple(results), node.source)
