"""Regions that a backend runs as one kernel: epilogues and elementwise chains."""

from collections.abc import Sequence
from dataclasses import replace

from graphwright.ir.builder import Builder
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.ops.fused import Fused
from graphwright.passes.steps import exhausted, note
from graphwright.passes.walk import Walk

_ROOTS = ("conv", "dot")
_EPILOGUE = ("add", "max", "min")


def fuse_epilogues(graph: Graph) -> Graph:
    """Sums, maxima and minima after a convolution or product join it: exact."""
    return Walk(graph).rebuild({name: [_absorb] for name in _EPILOGUE})


def _absorb(w: Walk, node: Node) -> list[Value] | None:
    """``op(fused(...), y) = fused'(..., y)`` where only ``op`` reads the region."""
    for x in node.operands:
        root = w.made_by(x, "fused", *_ROOTS)
        if root is None or not w.only_use(x) or len(root.results) != 1:
            continue
        if node.operands[0] is node.operands[1]:
            continue
        if isinstance(root.op, Fused) and root.op.kind not in _ROOTS:
            continue
        if not x.dtype.is_float or x.dtype.accumulate is not x.dtype:
            continue  # a kernel would round once where the ops round at each step
        return _extended(w, root, x, node)
    return None


class Region:
    """The body of a fused node under construction."""

    def __init__(self, w: Walk) -> None:
        self.w, self.body = w, Builder("region")
        self.inside: dict[Value, Value] = {}
        self.outside: list[Value] = []

    def value(self, v: Value) -> Value:
        """A value as the body knows it: a small constant, or an input."""
        if v not in self.inside:
            constant = self.w.constants.get(v)
            if constant is not None and constant.size == 1:
                self.inside[v] = self.body.constant_of(constant)
            else:
                self.inside[v] = self.body.input(f"in{len(self.outside)}", v.type)
                self.outside.append(v)
        return self.inside[v]

    def add(self, node: Node) -> tuple[Value, ...]:
        """A node of the outer graph, computed inside."""
        self.body.source = node.source
        results = self.body.apply(node.op, [self.value(v) for v in node.operands])
        self.inside.update(zip(node.results, results, strict=True))
        return results

    def splice(self, node: Node) -> tuple[Value, ...]:
        """A node, or what a fused one holds, computed inside."""
        if not isinstance(node.op, Fused):
            return self.add(node)
        results = self.body.splice(node.op.body, [self.value(v) for v in node.operands])
        self.inside.update(zip(node.results, results, strict=True))
        return results


def _extended(w: Walk, root: Node, x: Value, node: Node) -> list[Value]:
    region = Region(w)
    region.splice(root)
    for v in node.operands:
        spread = None if v is x else w.made_by(v, "broadcast_to")
        if spread is not None and spread.operands[0] in w.constants:
            region.add(spread)
    results = region.add(node)
    kind = root.op.kind if isinstance(root.op, Fused) else root.op.name
    op = Fused(kind=kind, body=region.body.finish(results))
    return list(w.add_node(op, region.outside, tuple(Value(v.type) for v in results)))


_MOST = 24
"""Ops of a region: more would only add registers."""


def fuse_elementwise(graph: Graph, names: frozenset[str]) -> Graph:
    """Chains of ops of these names become one region each: exact.

    A region grows along values that are read once; what it broadcasts comes with it.
    """
    groups = _Groups(graph, names)
    chosen: dict[int, list[Node]] = {}
    for group in filter(groups.worthwhile, groups.found()):
        if not exhausted():
            note("fuse_elementwise", group[-1])
            chosen[id(group[-1])] = group
    inside = {id(node) for g in chosen.values() for node in g}
    if not chosen:
        return graph
    nodes: list[Node] = []
    for node in graph.nodes:
        if id(node) in chosen:
            nodes.append(_region(graph, groups.producers, chosen[id(node)]))
        elif id(node) not in inside:
            nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


class _Groups:
    """Elementwise nodes put together with the only readers of their results."""

    def __init__(self, graph: Graph, names: frozenset[str]) -> None:
        self.graph, self.names = graph, names
        self.uses, self.producers = graph.use_counts(), graph.producers()
        self._of: dict[int, list[Node]] = {}

    def found(self) -> list[list[Node]]:
        """All groups, nodes in the graph's order; the last one gives the result."""
        for node in self.graph.nodes:
            if self._fits(node):
                self._of[id(node)] = self._joined(node)
        return list({id(g): g for g in self._of.values()}.values())

    def _fits(self, node: Node) -> bool:
        if node.op.name not in self.names:
            return False
        dtype = node.results[0].dtype
        plain = dtype.is_float and dtype.accumulate is dtype
        return plain and all(v.dtype is dtype for v in node.operands)

    def _joined(self, node: Node) -> list[Node]:
        """The groups of the node's operands, as far as they may join, and the node."""
        group: list[Node] = []
        shape = node.results[0].shape
        for v in dict.fromkeys(node.operands):
            maker = self.producers.get(v)
            other = self._of.get(id(maker)) if maker is not None else None
            if other is None or self.uses[v] != 1 or v.shape != shape:
                continue
            if len(group) + len(other) < _MOST:
                group += other
        for member in group:
            self._of[id(member)] = group
        group.append(node)
        return group

    def worthwhile(self, group: Sequence[Node]) -> bool:
        """Whether a region saves anything: two steps at least."""
        spread = any(
            (maker := self.producers.get(v)) and maker.op.name == "broadcast_to"
            for node in group
            for v in node.operands
        )
        return len(group) + spread > 1


def _region(
    graph: Graph, producers: "dict[Value, Node]", group: Sequence[Node]
) -> Node:
    """The node that computes a group; it defines the last one's result."""
    body = Builder("region")
    inside: dict[Value, Value] = {}
    outside: list[Value] = []

    def outer(v: Value) -> Value:
        constant = graph.constants.get(v)
        if constant is not None and constant.size == 1:
            return body.constant_of(constant)
        outside.append(v)
        return body.input(f"in{len(outside) - 1}", v.type)

    def use(v: Value) -> Value:
        if v not in inside:
            maker = producers.get(v)
            spread = maker is not None and maker.op.name == "broadcast_to"
            if maker is not None and spread:
                inside[v] = body.apply(maker.op, [use(maker.operands[0])])[0]
            else:
                inside[v] = outer(v)
        return inside[v]

    for node in group:
        body.source = node.source
        result = body.apply(node.op, [use(v) for v in node.operands])[0]
        inside[node.results[0]] = result
    op = Fused(kind="elementwise", body=body.finish([inside[group[-1].results[0]]]))
    last = group[-1]
    return Node(op, tuple(outside), last.results, last.source)
