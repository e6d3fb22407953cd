"""Removing what does nothing: dead nodes, repeated nodes."""

from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Trait
from dataclasses import replace

_KEEP = frozenset({Trait.EFFECT})
_ONCE = frozenset({Trait.EFFECT, Trait.RANDOM})


def remove_dead(graph: Graph) -> Graph:
    """The graph without nodes whose results nobody reads.

    Effects stay, and what defines a symbol that a live node uses.
    """
    live: set[Value] = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        needed = node.op.traits & _KEEP or node.op.defined_symbols()
        if needed or any(v in live for v in node.results):
            kept.append(node)
            live.update(node.operands)
    constants = {v: c for v, c in graph.constants.items() if v in live}
    if len(kept) == len(graph.nodes) and len(constants) == len(graph.constants):
        return graph
    return replace(graph, nodes=tuple(reversed(kept)), constants=constants)
