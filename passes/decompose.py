"""Composite ops in simpler terms, where a target does not run them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.emitter import Value
from graphwright.ir.errors import UnsupportedOpError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op, Tier
from graphwright.ir.types import Guard, Type

Supports: TypeAlias = Callable[[Op, Sequence[Type]], bool]


def decompose_unsupported(graph: Graph, supports: Supports) -> Graph:
    """The graph with unsupported composites decomposed, again and again.

    What has no decomposition stays: the executor runs it on the host.
    """
    if all(_stays(node, supports) for node in graph.nodes):
        return graph
    nodes: list[Node] = []
    constants = dict(graph.constants)
    guards: dict[Guard, None] = dict.fromkeys(graph.guards)
    names: dict[Value, Value] = {}
    for node in graph.nodes:
        operands = tuple(names.get(v, v) for v in node.operands)
        renamed = Node(node.op, operands, node.results, node.source)
        for step in _expanded(renamed, supports, constants, names, guards):
            nodes.append(step)
    outputs = tuple(names.get(v, v) for v in graph.outputs)
    origins = dict(graph.origins)
    for old, new in names.items():
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


def _stays(node: Node, supports: Supports) -> bool:
    if node.op.tier is not Tier.COMPOSITE:
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
        operands = tuple(names.get(v, v) for v in top.operands)
        top = Node(top.op, operands, top.results, top.source)
        if _stays(top, supports):
            done.append(top)
            continue
        builder = Builder("decompose")
        builder.source = top.source
        builder.constants.update({v: constants[v] for v in operands if v in constants})
        try:
            found = top.op.decompose(builder, *operands)
        except UnsupportedOpError:
            done.append(top)
            continue
        results = found if isinstance(found, tuple) else (found,)
        constants.update(builder.constants)
        guards.update(dict.fromkeys(builder.finish(results).guards))
        names.update(zip(top.results, results, strict=True))
        work.extend(reversed(builder.nodes))
    return done
