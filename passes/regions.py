"""Regions: neighbouring ops that a backend takes together, as one node."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from graphwright.ir.constant import Constant
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op, Trait
from graphwright.ir.types import type_symbols

Claims: TypeAlias = Callable[[Node], bool]
Wrap: TypeAlias = Callable[[Graph], Op]


def claim_regions(graph: Graph, claims: Claims, wrap: Wrap) -> Graph:
    """The graph with all that is claimed in as few nodes as can be.

    Nodes run in turns: in turn 0 those claimed ones that need no other, then the
    others that need only these, in turn 1 the next claimed ones, and so on. What is
    claimed in one turn is one region. What defines symbols stays outside. Views of
    constants are in each region that reads them, if nothing else does.

    Args:
        graph: What is divided.
        claims: Whether a node goes into a region.
        wrap: The op that a region's body becomes.
    """
    turns = _Turns(graph, claims)
    if not any(turns.claimed):
        return graph
    views = _views(graph, turns.claimed)
    rows: dict[tuple[int, bool], dict[Node, None]] = {}
    for node, turn, inside in zip(graph.nodes, turns.turns, turns.claimed, strict=True):
        if node.results[:1] and node.results[0] in views:
            continue
        row = rows.setdefault((turn, not inside), {})
        row |= {views[v]: None for v in node.operands if v in views}
        row[node] = None
    users = _Users(graph, rows, views)
    nodes: list[Node] = []
    for key in sorted(rows):
        nodes += rows[key] if key[1] else [users.region(key, wrap)]
    return replace(graph, nodes=tuple(nodes))


def _views(graph: Graph, claimed: Sequence[bool]) -> dict[Value, Node]:
    """Claimed views of constants that only claimed nodes read."""
    read = {*graph.outputs}
    for node, inside in zip(graph.nodes, claimed, strict=True):
        if not inside:
            read.update(node.operands)
    return {
        node.results[0]: node
        for node, inside in zip(graph.nodes, claimed, strict=True)
        if inside and Trait.VIEW in node.op.traits and node.results[0] not in read
        if all(v in graph.constants for v in node.operands)
    }


class _Turns:
    """For each node whether it is claimed, and its turn."""

    def __init__(self, graph: Graph, claims: Claims) -> None:
        self.claimed: list[bool] = []
        self.turns: list[int] = []
        self._after: dict[Value | str, int] = {}
        for node in graph.nodes:
            inside = not node.op.defined_symbols() and bool(node.results)
            self._note(node, inside and claims(node))

    def _note(self, node: Node, inside: bool) -> None:
        needs: set[Value | str] = {*node.operands, *node.op.used_symbols()}
        for v in node.results:
            needs |= type_symbols(v.type)
        # Twice the turn of what is needed, plus one where that is not claimed.
        last = max((self._after.get(need, 0) for need in needs), default=0)
        turn = (last + 1) // 2 if inside else last // 2
        made = 2 * turn + (not inside)
        self._after.update(
            dict.fromkeys([*node.results, *node.op.defined_symbols()], made)
        )
        self.claimed.append(inside)
        self.turns.append(turn)


class _Users:
    """Makes regions of nodes, with what nodes elsewhere read as results."""

    def __init__(
        self,
        graph: Graph,
        rows: Mapping[tuple[int, bool], Collection[Node]],
        views: Collection[Value],
    ) -> None:
        self._constants: Mapping[Value, Constant] = graph.constants
        self._origins, self._rows = graph.origins, rows
        self._homes: dict[Value, set[tuple[int, bool] | None]] = {}
        for key, nodes in rows.items():
            for v in (v for node in nodes for v in node.operands if v not in views):
                self._homes.setdefault(v, set()).add(key)
        for v in graph.outputs:
            self._homes.setdefault(v, set()).add(None)

    def region(self, key: tuple[int, bool], wrap: Wrap) -> Node:
        """The node that runs one row."""
        nodes = list(self._rows[key])
        made = [v for node in nodes for v in node.results]
        inside = {v: Value(v.type) for v in made}
        constants: dict[Value, Constant] = {}
        outer: dict[Value, Value] = {}
        for v in dict.fromkeys(v for node in nodes for v in node.operands):
            if v in inside:
                continue
            inside[v] = Value(v.type)
            if v in self._constants:
                constants[inside[v]] = self._constants[v]
            else:
                outer[v] = inside[v]
        results = [v for v in made if self._homes.get(v, set()) - {key}]
        body = Graph(
            "region",
            tuple(outer.values()),
            tuple(inside[v] for v in results),
            tuple(_renamed(node, inside) for node in nodes),
            constants,
            tuple(f"in{i}" for i in range(len(outer))),
            tuple(f"out{i}" for i in range(len(results))),
            origins={inside[v]: self._origins[v] for v in made if v in self._origins},
        )
        return Node(wrap(body), tuple(outer), tuple(results), nodes[-1].source)


def _renamed(node: Node, names: Mapping[Value, Value]) -> Node:
    operands = tuple(names[v] for v in node.operands)
    results = tuple(names[v] for v in node.results)
    return Node(node.op, operands, results, node.source)
