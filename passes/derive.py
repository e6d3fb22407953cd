"""Weights that are computed of constants alone, such as dequantised ones: made once."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from graphwright.ir.constant import Constant
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import Evaluator
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Tier, Trait
from graphwright.ir.types import TensorType

_WEIGHTED = frozenset({"dot", "conv"})
"""Ops that pack a constant operand in an order of their own."""


def derive_weights(graph: Graph) -> Graph:
    """The graph with weights that hang on constants alone as constants.

    They are computed when they are packed; what was only needed for them is dropped.
    """
    fixed = _fixed(graph)
    read = (v for node in graph.nodes if _is_weighted(node) for v in node.operands[1:])
    wanted = [v for v in dict.fromkeys(read) if v in fixed and _is_sized(v)]
    if not wanted:
        return graph
    made = {v: _derived(graph, v, fixed) for v in wanted}
    needed, nodes = {*graph.outputs}, list[Node]()
    for node in reversed(graph.nodes):
        pure = not node.op.defined_symbols() and Trait.EFFECT not in node.op.traits
        if pure and not any(v in needed and v not in made for v in node.results):
            continue
        needed.update(node.operands)
        nodes.append(node)
    constants = {**graph.constants, **made}
    return replace(graph, nodes=tuple(nodes[::-1]), constants=constants)


def _is_weighted(node: Node) -> bool:
    return node.op.name in _WEIGHTED


def _is_sized(v: Value) -> bool:
    return all(isinstance(d, int) for d in v.shape)


def _fixed(graph: Graph) -> dict[Value, Node]:
    """What nodes compute of constants alone, with the node."""
    found: dict[Value, Node] = {}
    for node in graph.nodes:
        pure = node.op.tier is Tier.PRIMITIVE and Trait.RANDOM not in node.op.traits
        known = all(v in found or v in graph.constants for v in node.operands)
        if pure and known and node.operands and len(node.results) == 1:
            found[node.results[0]] = node
    return found


def _derived(graph: Graph, v: Value, fixed: dict[Value, Node]) -> Constant:
    """A value as a constant that is computed each time it is read."""
    inside, wanted = dict[Value, Node](), [v]
    while wanted:
        node = fixed.get(wanted.pop())
        if node is not None and node.results[0] not in inside:
            inside[node.results[0]] = node
            wanted += node.operands
    nodes = tuple(n for n in graph.nodes if n.results and n.results[0] in inside)
    own = Graph("weights", (), (v,), nodes, graph.constants)
    assert isinstance(v.type, TensorType)
    shape = tuple(d for d in v.type.dims if isinstance(d, int))
    return Constant.derived(v.type.dtype, shape, partial(_computed, own))


def _computed(graph: Graph) -> Any:
    feeds: Sequence[Any] = ()
    with np.errstate(all="ignore"):
        (found,) = Evaluator(np).run(graph, feeds)
    return np.ascontiguousarray(found)
