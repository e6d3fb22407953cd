"""Removing what does nothing: dead nodes, repeated nodes."""

from dataclasses import replace

from graphwright.ir.dim import symbols
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node, Origin
from graphwright.ir.op import Op, Trait
from graphwright.ir.types import type_symbols
from graphwright.passes.steps import exhausted, note

_ONCE = frozenset({Trait.EFFECT, Trait.RANDOM})


def remove_dead(graph: Graph) -> Graph:
    """The graph without nodes whose results nobody reads.

    Effects stay, and what defines a symbol that a live node uses.
    """
    live: set[Value] = set(graph.outputs)
    watched = any(node.op.defined_symbols() for node in graph.nodes)
    sizes = _symbols_of_ends(graph) if watched else set[str]()
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        defined = node.op.defined_symbols()
        needed = Trait.EFFECT in node.op.traits or not sizes.isdisjoint(defined)
        if needed or not live.isdisjoint(node.results):
            kept.append(node)
            live.update(node.operands)
            if watched:
                sizes |= _symbols(node)
    constants = {v: c for v, c in graph.constants.items() if v in live}
    if len(kept) == len(graph.nodes) and len(constants) == len(graph.constants):
        return graph
    return replace(graph, nodes=tuple(reversed(kept)), constants=constants)


def _symbols_of_ends(graph: Graph) -> set[str]:
    """Symbols in the types of outputs, and in guards."""
    dims = [d for guard in graph.guards for d in (guard.left, guard.right)]
    types = map(type_symbols, graph.output_types)
    return set().union(*types, *map(symbols, dims))


def _symbols(node: Node) -> set[str]:
    """Symbols that a node's fields, types and sub-graphs mention."""
    inner = (sub.symbols() for sub in node.op.subgraphs())
    types = (type_symbols(v.type) for v in (*node.operands, *node.results))
    return set(node.op.used_symbols()).union(*types, *inner)


def merge_common(graph: Graph) -> Graph:
    """Equal ops on equal operands become one: exact."""
    seen: dict[tuple[Op, tuple[Value, ...]], tuple[Value, ...]] = {}
    names: dict[Value, Value] = _equal_constants(graph)
    nodes: list[Node] = []
    for node in graph.nodes:
        if names and not names.keys().isdisjoint(node.operands):
            operands = tuple(names.get(v, v) for v in node.operands)
            node = Node(node.op, operands, node.results, node.source)  # noqa: PLW2901
        if _mergeable(node.op) and not exhausted():
            key = (node.op, node.operands)
            first = seen.setdefault(key, node.results)
            if first is not node.results:
                names.update(zip(node.results, first, strict=True))
                note("merge_common", node)
                continue
        nodes.append(node)
    return renamed(graph, nodes, names)


def _mergeable(op: Op) -> bool:
    return not (op.traits & _ONCE or op.defined_symbols() or op.subgraphs())


def _equal_constants(graph: Graph) -> dict[Value, Value]:
    """Small constants that another one equals, with that one."""
    first: dict[tuple[str, tuple[int, ...], bytes], Value] = {}
    names: dict[Value, Value] = {}
    for v, constant in graph.constants.items():
        if constant.size <= 1 and constant.dtype.kind != "S":
            key = (constant.dtype.name, constant.shape, constant.array().tobytes())
            kept = first.setdefault(key, v)
            if kept is not v:
                names[v] = kept
    return names


def renamed(graph: Graph, nodes: list[Node], names: dict[Value, Value]) -> Graph:
    """A graph of these nodes, which read new values already; outputs follow."""
    if not names:
        return graph
    outputs = tuple(names.get(v, v) for v in graph.outputs)
    origins: dict[Value, tuple[Origin, ...]] = dict(graph.origins)
    for old, new in names.items():
        if old in origins:
            origins[new] = (*origins.get(new, ()), *origins.pop(old))
    constants = {v: c for v, c in graph.constants.items() if v not in names}
    return replace(
        graph, nodes=tuple(nodes), outputs=outputs, constants=constants, origins=origins
    )
