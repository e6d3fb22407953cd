"""What a loop only reads, and is a constant, becomes one of the loop's body."""

from dataclasses import replace
from typing import Any

from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.ops.control import Scan, WhileLoop
from graphwright.ir.types import TensorType


def first_invariant(op: Any) -> int:
    """The first operand of a loop that its body only reads."""
    return int(op.carried + (2 if isinstance(op, WhileLoop) else op.scanned))


def sink_constants(graph: Graph) -> Graph:
    """Loops' bodies have constants of their own: backends pack weights once.

    That is exact.
    """
    if graph.op_classes.isdisjoint((WhileLoop, Scan)):
        return graph
    nodes = tuple(_sunk(graph, node) for node in graph.nodes)
    same = all(x is y for x, y in zip(nodes, graph.nodes, strict=True))
    return graph if same else replace(graph, nodes=nodes)


def _sunk(graph: Graph, node: Node) -> Node:
    """The loop without invariants that are constants."""
    op: Any = node.op
    if not isinstance(op, WhileLoop | Scan):
        return node
    body: Graph = op.body
    first = first_invariant(op)
    rows = list(zip(body.inputs, node.operands, body.input_names, strict=True))
    gone = {
        inner: graph.constants[v]
        for inner, v, _ in rows[first:]
        if v in graph.constants and _is_sized(inner)
    }
    if not gone:
        return node
    kept = [row for row in rows if row[0] not in gone]
    slim = replace(
        body,
        inputs=tuple(inner for inner, *_ in kept),
        input_names=tuple(name for *_, name in kept),
        constants={**body.constants, **gone},
    )
    operands = tuple(v for _, v, _ in kept)
    return Node(op.replace(body=slim), operands, node.results, node.source)


def _is_sized(v: Value) -> bool:
    return isinstance(v.type, TensorType) and all(
        isinstance(d, int) for d in v.type.dims
    )
