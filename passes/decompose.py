"""Composite and some host ops in simpler terms, where a target does not run them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.emitter import Value
from graphwright.ir.errors import UnsupportedOpError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op
from graphwright.ir.types import Guard, Type

Supports: TypeAlias = Callable[[Op, Sequence[Type]], bool]


def decompose_unsupported(graph: Graph, supports: Supports) -> Graph:
    """The graph with what is unsupported decomposed, again and again.

    These are composites, and host ops that have parts. What has none stays: the
    executor runs it on the host.
    """
    if all(_stays(node, supports) for node in graph.nodes):
        return graph
    nodes: list[Node] = []
    constants = dict(graph.constants)
    guards: dict[Guard, None] = dict.fromkeys(graph.guards)
    names: dict[Value, Value] = {}
    for node in graph.nodes:
        nodes += _expanded(node, supports, constants, names, guards)
    outputs = tuple(_current(v, names) for v in graph.outputs)
    origins = dict(graph.origins)
    for old in names:
        new = _current(old, names)
        if old in origins:
            origins[new] = (*origins.get(new, ()), *origins.pop(old))
    return replace(
        graph,
        nodes=tuple(nodes),
        outputs=outputs,
        constants=constants,
        guards=tuple(guards),
        origins=origins,
    )


def decompose_all(graph: Graph) -> Graph:
    """The graph in primitive ops, as far as decompositions go."""
    return decompose_unsupported(graph, lambda op, types: False)


def _stays(node: Node, supports: Supports) -> bool:
    if not node.op.has_parts():
        return True
    return supports(node.op, [v.type for v in node.operands])


def _expanded(
    node: Node,
    supports: Supports,
    constants: dict[Value, Constant],
    names: dict[Value, Value],
    guards: dict[Guard, None],
) -> list[Node]:
    """A node, or what it decomposes into, in order; iterative, as it may nest."""
    done: list[Node] = []
    work = [node]
    while work:
        top = work.pop()
        before, operands = top, tuple(_current(v, names) for v in top.operands)
        top = Node(top.op, operands, top.results, top.source)
        if _stays(top, supports):
            done.append(_typed(top, before, names, guards))
            continue
        builder = Builder("decompose")
        builder.source = top.source
        builder.constants.update({v: constants[v] for v in operands if v in constants})
        try:
            found = top.op.decompose(builder, *operands)
        except UnsupportedOpError:
            done.append(_typed(top, before, names, guards))
            continue
        results = found if isinstance(found, tuple) else (found,)
        constants.update(builder.constants)
        guards.update(dict.fromkeys(builder.finish(results).guards))
        names.update(zip(top.results, results, strict=True))
        work.extend(reversed(builder.nodes))
    return done


def _current(v: Value, names: dict[Value, Value]) -> Value:
    """What stands for a value in the end."""
    while v in names:
        v = names[v]
    return v


def _typed(
    node: Node, before: Node, names: dict[Value, Value], guards: dict[Guard, None]
) -> Node:
    """A node whose result types are found anew where its operands' types changed.

    What a decomposition gives may say more of its elements than the composite did.
    """
    types = [v.type for v in node.operands]
    if types == [v.type for v in before.operands]:
        return node
    builder = Builder("decompose")
    builder.source = node.source
    found = builder.infer(node.op, types)
    guards.update(dict.fromkeys(builder.finish(()).guards))
    results = tuple(
        v if v.type == t else names.setdefault(v, Value(t))
        for v, t in zip(node.results, found, strict=True)
    )
    return Node(node.op, node.operands, results, node.source)
