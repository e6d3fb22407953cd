"""Graphs divided between backends: a region for each stay, a copy for each crossing."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node, Origin
from graphwright.ir.op import Tier
from graphwright.ir.ops.effects import CopyTo
from graphwright.ir.ops.fused import Placed
from graphwright.passes.regions import claim_regions

Where: TypeAlias = Callable[[Node], str | None]
"""Name of the device that runs a node; None for the graph's own."""


def partition(graph: Graph, where: Where, own: str) -> Graph:
    """The graph with what other devices run in ``placed`` nodes, copies between them.

    Control flow, effects and what defines symbols stay on the graph's own device.
    Copies that are there already stand where a value crosses, or go.

    Args:
        graph: What is divided, sub-graphs aside.
        where: Who runs a node.
        own: Name of the graph's own device.
    """
    homes = {id(node): _home(node, where) for node in graph.nodes}
    others = dict.fromkeys(h for h in homes.values() if h not in (None, own))
    for device in filter(None, others):
        graph = _claimed(graph, homes, device)
    divided = any(isinstance(node.op, Placed) for node in graph.nodes)
    return _Crossings(graph, own).graph() if divided else graph


def _home(node: Node, where: Where) -> str | None:
    stays = node.op.tier is Tier.CONTROL or isinstance(node.op, CopyTo)
    return None if stays else where(node)


def _claimed(graph: Graph, homes: Mapping[int, str | None], device: str) -> Graph:
    def claims(node: Node) -> bool:
        return homes.get(id(node)) == device

    def wrap(body: Graph) -> Placed:
        return Placed(kind="placed", body=body, device=device)

    return claim_regions(graph, claims, wrap)


class _Crossings:
    """Copies of values where they are read on another device than they lie on."""

    def __init__(self, graph: Graph, own: str) -> None:
        self._graph, self._own = graph, own
        self._homes: dict[Value, str] = {}
        self._copies: dict[tuple[Value, str], Value] = {}
        self._same: dict[Value, Value] = {}
        self._nodes: list[Node] = []
        self._origins: dict[Value, tuple[Origin, ...]] = dict(graph.origins)

    def graph(self) -> Graph:
        """The graph with its copies."""
        for node in self._graph.nodes:
            op = node.op
            if isinstance(op, CopyTo):
                self._take(node, op.device)
                continue
            device = op.device if isinstance(op, Placed) else self._own
            operands = tuple(self._on(v, device) for v in node.operands)
            self._nodes.append(Node(op, operands, node.results, node.source))
            self._homes.update(dict.fromkeys(node.results, device))
        outputs = tuple(self._on(v, self._own) for v in self._graph.outputs)
        return replace(
            self._graph,
            nodes=tuple(self._nodes),
            outputs=outputs,
            origins=self._origins,
        )

    def _take(self, node: Node, device: str) -> None:
        """What is copied already is the value itself, on that device."""
        (v,) = node.results
        found = self._same[v] = self._on(node.operands[0], device)
        if v in self._origins:
            self._origins[found] = (*self._origins.get(found, ()), *self._origins[v])

    def _on(self, v: Value, device: str) -> Value:
        """A value where a device can read it."""
        v = self._same.get(v, v)
        if self._homes.get(v, self._own) == device:
            return v
        if (v, device) not in self._copies:
            copied = self._copies[v, device] = Value(v.type)
            self._nodes.append(Node(CopyTo(device=device), (v,), (copied,)))
            self._homes[copied] = device
            if v in self._origins:
                self._origins[copied] = self._origins[v]
        return self._copies[v, device]


def annotated(graph: Graph) -> Where:
    """Who runs what, by the ``copy_to`` nodes that the graph's author wrote.

    What reads a copied value runs where it was copied to, by the first such operand.
    """
    homes: dict[Value, str] = {}
    for node in graph.nodes:
        device = next((homes[v] for v in node.operands if v in homes), None)
        if isinstance(node.op, CopyTo):
            device = node.op.device
        if device is not None and node.op.tier is not Tier.CONTROL:
            homes.update(dict.fromkeys(node.results, device))

    def where(node: Node) -> str | None:
        return homes.get(node.results[0]) if node.results else None

    return where
