"""``diff``: what differs between two graphs, node by node and weight by weight."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher
from html import escape
from typing import Any

import numpy as np

from graphwright.comparison.labels import Labelled, labelled
from graphwright.display import stacked, styled, table
from graphwright.frontends.onnx.load import load
from graphwright.ir.constant import Constant
from graphwright.ir.emitter import Value
from graphwright.ir.errors import printable
from graphwright.ir.graph import Graph, Node
from graphwright.report.layout import layered
from graphwright.report.page import (
    GRAPH,
    NODES,
    Paged,
    page,
    section,
)
from graphwright.report.page import table as html_table

SHOWN = 40


@dataclass(frozen=True, slots=True)
class NodeChange:
    """A node that one graph has and the other has not, or has otherwise.

    Attributes:
        kind: ``added``, ``removed`` or ``changed``.
        name: Label of its first result.
        op: Name of its op.
        source: Where it comes from.
        what: What of it changed.
    """

    kind: str
    name: str
    op: str
    source: str
    what: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = f" from {self.source}" if self.source else ""
        words = f": {'; '.join(self.what)}" if self.what else ""
        return printable(f"{self.kind} {self.op} {self.name!r}{place}{words}")


@dataclass(frozen=True, slots=True)
class WeightChange:
    """A constant whose contents differ.

    Attributes:
        name: What it is called, or where it is read.
        before: Its type in the first graph.
        after: Its type in the second.
        max_abs: Largest difference of elements; infinite where the types differ.
        relative: Norm of the difference over the norm of the first.
        elements: How many elements differ.
    """

    name: str
    before: str
    after: str
    max_abs: float = math.inf
    relative: float = math.inf
    elements: int = 0

    def __str__(self) -> str:
        if self.before != self.after:
            return printable(f"{self.name}: {self.before} became {self.after}")
        far = f"by up to {self.max_abs:.3g}, {self.relative:.2g} of its norm"
        return printable(f"{self.name}: {self.elements} of its elements differ, {far}")


@dataclass(repr=False)
class DiffReport(Paged):
    """What differs between two graphs.

    Attributes:
        before: The first graph, labelled.
        after: The second.
        nodes: Nodes that were added, removed or changed.
        weights: Constants whose contents differ.
        ends: Inputs, outputs, guards and variables that differ, in words.
        pairs: Numbers of matching nodes, of the first and the second graph.
    """

    before: Labelled
    after: Labelled
    nodes: list[NodeChange]
    weights: list[WeightChange]
    ends: list[str]
    pairs: dict[int, int] = field(default_factory=dict[int, int], repr=False)

    @property
    def same(self) -> bool:
        """Whether nothing differs but names inside."""
        return not (self.nodes or self.weights or self.ends)

    @property
    def verdict(self) -> str:
        """The answer in a line."""
        if self.same:
            return "the graphs are the same"
        kinds = [change.kind for change in self.nodes]
        words = [f"{kinds.count(k)} {k}" for k in ("added", "removed", "changed")]
        nodes = f"nodes: {', '.join(w for w in words if w[0] != '0') or 'the same'}"
        return f"{nodes}; weights changed: {len(self.weights)}; ends: {len(self.ends)}"

    def to_dict(self) -> dict[str, Any]:
        """The report as plain dictionaries and lists."""
        return {
            "same": self.same,
            "verdict": self.verdict,
            "nodes": list(map(asdict, self.nodes)),
            "weights": [
                {k: str(v) if v == math.inf else v for k, v in asdict(w).items()}
                for w in self.weights
            ],
            "ends": list(self.ends),
        }

    def page(self) -> str:
        """The report as one HTML page."""
        return _page(self)

    def __repr__(self) -> str:
        return f"<diff of {self.before.graph.name!r}: {self.verdict}>"

    def __rich__(self) -> Any:
        style = "bold green" if self.same else "bold red"
        colours = {"added": "green", "removed": "red", "changed": "yellow"}
        parts = [styled(self.verdict, style)]
        parts += [styled(printable(text), "yellow") for text in self.ends]
        parts += [styled(str(c), colours[c.kind]) for c in self.nodes[:SHOWN]]
        if len(self.nodes) > SHOWN:
            parts.append(styled(f"and {len(self.nodes) - SHOWN} more nodes", "dim"))
        if self.weights:
            rows = [(str(w),) for w in self.weights[:SHOWN]]
            parts.append(table("Weights", ("what differs",), rows))
        return stacked(*parts)


def diff(
    before: "Graph | str | os.PathLike[str] | bytes | Any",
    after: "Graph | str | os.PathLike[str] | bytes | Any",
) -> DiffReport:
    """What differs between two graphs, or what ``load`` takes.

    Nodes match by what their results are called in the model, then by what they read,
    then by their order. A graph before and after a pass keeps its names.

    Raises:
        ModelError: If a model is not valid.
    """
    graphs = [g if isinstance(g, Graph) else load(g) for g in (before, after)]
    a, b = map(labelled, graphs)
    names = tuple(_own_names(g) for g in graphs)
    return _Difference(a, b, names).report()


def _own_names(graph: Graph) -> dict[Value, frozenset[str]]:
    """What the model calls values; what it equals in another form does not count."""
    return {
        v: frozenset(o.value for o in origins if o.view == "identity")
        for v, origins in graph.origins.items()
    }


class _Difference:
    """Matches nodes of two graphs."""

    def __init__(
        self,
        a: Labelled,
        b: Labelled,
        names: tuple[Mapping[Value, frozenset[str]], ...],
    ) -> None:
        self.a, self.b, self.names = a, b, names
        self.pairs: dict[int, int] = {}
        self.taken: set[int] = set()
        self.values: dict[Value, Value] = {}
        rows = zip(b.graph.inputs, b.graph.input_names, strict=True)
        known = dict(zip(a.graph.input_names, a.graph.inputs, strict=True))
        self.values.update((v, known[n]) for v, n in rows if n in known)

    def report(self) -> DiffReport:
        """What differs."""
        self._by_name()
        self._by_operands()
        self._by_order()
        weights: dict[str, WeightChange] = {}
        nodes = list(self._removed())
        back = {j: i for i, j in self.pairs.items()}
        for j, node in enumerate(self.b.graph.nodes):
            i = back.get(j)
            if i is None:
                nodes.append(_change("added", self.b, node))
                continue
            old = self.a.graph.nodes[i]
            what = tuple(self._changes(old, node))
            if what:
                nodes.append(_change("changed", self.b, node, what))
            for weight in self._weights(old, node):
                weights.setdefault(weight.name, weight)
        ends = list(_ends(self.a.graph, self.b.graph))
        found = list(weights.values())
        return DiffReport(self.a, self.b, nodes, found, ends, self.pairs)

    def _pair(self, i: int, j: int) -> None:
        self.pairs[i] = j
        self.taken.add(j)
        old, new = self.a.graph.nodes[i], self.b.graph.nodes[j]
        self.values.update(zip(new.results, old.results, strict=False))

    def _by_name(self) -> None:
        known: dict[str, int] = {}
        for number, node in enumerate(self.a.graph.nodes):
            for v in node.results:
                known.update(dict.fromkeys(self.names[0].get(v, ()), number))
        for j, node in enumerate(self.b.graph.nodes):
            mine = (n for v in node.results for n in self.names[1].get(v, ()))
            i = next((known[n] for n in mine if n in known), -1)
            alike = i >= 0 and self.a.graph.nodes[i].op.name == node.op.name
            if alike and i not in self.pairs:
                self._pair(i, j)

    def _by_operands(self) -> None:
        """Nodes with the same op on operands that match."""
        left: dict[Any, list[int]] = {}
        for i, node in enumerate(self.a.graph.nodes):
            if i not in self.pairs:
                left.setdefault(self._key(node, self.a, {}), []).append(i)
        for j, node in enumerate(self.b.graph.nodes):
            if j not in self.taken:
                rows = left.get(self._key(node, self.b, self.values))
                if rows:
                    self._pair(rows.pop(0), j)

    def _key(self, node: Node, side: Labelled, names: Mapping[Value, Value]) -> Any:
        constants = side.graph.constants
        reads = tuple(
            str(constants[v].type) if v in constants else names.get(v, v)
            for v in node.operands
        )
        return node.op.name, str(node.op.fields), reads

    def _by_order(self) -> None:
        """What is left, in order, by op and type."""
        rows = [
            [i for i in range(len(self.a.graph.nodes)) if i not in self.pairs],
            [j for j in range(len(self.b.graph.nodes)) if j not in self.taken],
        ]
        words = [
            [_sort_of(side.graph.nodes[i]) for i in row]
            for side, row in zip((self.a, self.b), rows, strict=True)
        ]
        matcher = SequenceMatcher(None, words[0], words[1], autojunk=False)
        for block in matcher.get_matching_blocks():
            for k in range(block.size):
                self._pair(rows[0][block.a + k], rows[1][block.b + k])

    def _removed(self) -> Iterator[NodeChange]:
        for i, node in enumerate(self.a.graph.nodes):
            if i not in self.pairs:
                yield _change("removed", self.a, node)

    def _changes(self, old: Node, new: Node) -> Iterator[str]:
        """What differs between nodes that match, in words."""
        before, after = old.op.fields, new.op.fields
        for name in dict.fromkeys((*before, *after)):
            x, y = before.get(name), after.get(name)
            if isinstance(x, Graph) or isinstance(y, Graph):
                if x != y:
                    yield f"its {name} differs"
            elif str(x) != str(y):
                yield f"{name} {x} became {y}"
        constants = self.a.graph.constants, self.b.graph.constants
        if len(old.operands) != len(new.operands):
            yield f"{len(old.operands)} operands became {len(new.operands)}"
        rows = zip(old.operands, new.operands, strict=False)
        for number, (x, y) in enumerate(rows):
            both = x in constants[0] and y in constants[1]
            if not both and self.values.get(y) is not x:
                names = self._called(x, self.a), self._called(y, self.b)
                yield f"operand {number} {names[0]} became {names[1]}"
        for x, y in zip(old.results, new.results, strict=False):
            if str(x.type) != str(y.type):
                yield f"type {x.type} became {y.type}"

    def _called(self, v: Value, side: Labelled) -> str:
        return side.values.get(v) or f"a constant {v.type}"

    def _weights(self, old: Node, new: Node) -> Iterator[WeightChange]:
        rows = zip(old.operands, new.operands, strict=False)
        for number, (v, w) in enumerate(rows):
            x, y = self.a.graph.constants.get(v), self.b.graph.constants.get(w)
            if x is None or y is None or x is y or x == y:
                continue
            known = sorted(self.names[0].get(v, ()))
            first = self.b.values.get(new.results[0], "") if new.results else ""
            yield _weight(known[0] if known else f"operand {number} of {first}", x, y)


def _sort_of(node: Node) -> str:
    return f"{node.op.name} {[str(v.type) for v in node.results]}"


def _change(
    kind: str, side: Labelled, node: Node, what: tuple[str, ...] = ()
) -> NodeChange:
    name = side.values.get(node.results[0], "") if node.results else ""
    return NodeChange(kind, name, node.op.name, str(node.source or ""), what)


def _weight(name: str, x: Constant, y: Constant) -> WeightChange:
    before, after = (f"{c.dtype.name}{list(c.shape)}" for c in (x, y))
    if before != after or x.dtype.kind not in "fiub":
        return WeightChange(name, before, after)
    a, b = (c.array().astype(np.float64) for c in (x, y))
    with np.errstate(all="ignore"):
        away = np.abs(a - b)
        norm = float(np.linalg.norm(a)) or 1.0
        far = float(np.nan_to_num(away, nan=math.inf).max())
        relative = float(np.linalg.norm(np.nan_to_num(away))) / norm
    return WeightChange(name, before, after, far, relative, int((a != b).sum()))


def _ends(a: Graph, b: Graph) -> Iterator[str]:
    for kind, old, new in (
        ("input", _signature(a, "input"), _signature(b, "input")),
        ("output", _signature(a, "output"), _signature(b, "output")),
    ):
        for name in dict.fromkeys((*old, *new)):
            if name not in new:
                yield f"{kind} {name!r} is gone"
            elif name not in old:
                yield f"{kind} {name!r} is new"
            elif old[name] != new[name]:
                yield f"{kind} {name!r}: {old[name]} became {new[name]}"
        if list(old) != list(new) and sorted(old) == sorted(new):
            yield f"{kind}s are in another order"
    if {str(g) for g in a.guards} != {str(g) for g in b.guards}:
        yield "guards differ"
    if dict(a.variables) != dict(b.variables):
        yield "variables differ"


def _signature(graph: Graph, kind: str) -> dict[str, str]:
    names = graph.input_names if kind == "input" else graph.output_names
    types = graph.input_types if kind == "input" else graph.output_types
    return {n: str(t) for n, t in zip(names, types, strict=True)}


# Page -------------------------------------------------------------------------------

_STATES = {"same": 0, "changed": 1, "added": 2, "removed": 3}


def _page(report: DiffReport) -> str:
    kind = "verdict" if report.same else "verdict bad"
    name = report.after.graph.name
    nodes = [(c.kind, c.name, c.op, c.source, "; ".join(c.what)) for c in report.nodes]
    weights = [(str(w),) for w in report.weights]
    columns = ("", "value", "op", "source", "what changed")
    data = _data(report)
    parts = [
        f"<h1>{escape(report.before.graph.name)} and {escape(name)}</h1>",
        f'<div class="{kind}" role="status">{escape(report.verdict)}</div>',
        section("Ends", html_table(("what",), [(e,) for e in report.ends]))
        if report.ends
        else "",
        section("Nodes that differ", html_table(columns, nodes[:500]) if nodes else ""),
        section("Weights", html_table(("what differs",), weights) if weights else ""),
        section("Both graphs in one", GRAPH if data else ""),
        section("Nodes", NODES if data else ""),
    ]
    return page(f"Difference of {name}", "\n".join(parts), data)


def _data(report: DiffReport) -> dict[str, Any]:
    """Both graphs in one: what matches once, the rest beside it."""
    a, b = report.before, report.after
    back = {j: i for i, j in report.pairs.items()}
    rows: list[tuple[str, Labelled, Node]] = []
    changed = {c.name for c in report.nodes if c.kind == "changed"}
    place: dict[Value, int] = {}
    for side, nodes in ((a, a.graph.nodes), (b, b.graph.nodes)):
        for number, node in enumerate(nodes):
            if not node.results or (side is a and number in report.pairs):
                continue
            state = "removed" if side is a else "added"
            if side is b and number in back:
                name = b.values.get(node.results[0], "")
                state = "changed" if name in changed else "same"
                twin = a.graph.nodes[back[number]]
                place.update(dict.fromkeys(twin.results, len(rows)))
            place.update(dict.fromkeys(node.results, len(rows)))
            rows.append((state, side, node))
    if not rows:
        return {}
    edges = {
        (place[v], i)
        for i, (_, _, node) in enumerate(rows)
        for v in node.operands
        if v in place and place[v] != i
    }
    order, forward = _sorted(len(rows), sorted(edges))
    x, y = layered(len(rows), forward)
    rows = [rows[i] for i in order]
    states = [_STATES[state] for state, _, _ in rows]
    words = [state for state, _, _ in rows]
    return {
        "nodes": {
            "name": [side.values.get(n.results[0], "") for _, side, n in rows],
            "op": [n.op.name for _, _, n in rows],
            "source": [str(n.source or "") for _, _, n in rows],
            "x": [round(v, 2) for v in x],
            "y": y,
        },
        "edges": [i for pair in forward for i in pair],
        "columns": [{"title": "difference", "kind": "text", "values": words}],
        "colours": [{"title": "difference", "kind": "state", "values": states}],
        "chosen": next((i for i, s in enumerate(states) if s), -1),
    }


def _sorted(
    count: int, edges: Sequence[tuple[int, int]]
) -> tuple[list[int], list[tuple[int, int]]]:
    """A topological order of both graphs; an edge that would close a circle goes."""
    after: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for i, j in edges:
        after[i].append(j)
        waiting[j] += 1
    ready = [i for i in reversed(range(count)) if not waiting[i]]
    order: list[int] = []
    seen = [False] * count
    for start in range(count):
        while ready or not seen[start]:
            i = ready.pop() if ready else start
            if seen[i]:
                continue
            seen[i] = True
            order.append(i)
            for j in after[i]:
                waiting[j] -= 1
                if not waiting[j] and not seen[j]:
                    ready.append(j)
    where = {i: k for k, i in enumerate(order)}
    forward = [(where[i], where[j]) for i, j in edges if where[i] < where[j]]
    return order, forward
