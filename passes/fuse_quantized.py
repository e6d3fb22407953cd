"""Products of integers and sums of quantised tensors become regions, ends included.

A region begins with integers of 8 bits, goes through a product in int32 or a sum of
reals, and ends where the result is quantised again: nothing wider leaves it.
"""

from dataclasses import dataclass, field, replace

from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.ops.fused import Fused
from graphwright.passes.fuse import Region
from graphwright.passes.walk import Walk

_ROOTS = ("conv", "dot")
_BEFORE = ("cast", "sub", "transpose", "reshape")
_AFTER = ("add", "sub", "mul", "div", "max", "min", "dequantize", "cast")
_END = "quantize"
_MOST = 16


def fuse_quantized(graph: Graph) -> Graph:
    """Integer products with what leads there and back to integers: exact."""
    if not any(map(_is_root, graph.nodes)) and not _ends(graph):
        return graph
    groups = _Groups(graph)
    for node in graph.nodes:
        groups.visit(node)
    return groups.fused()


def _ends(graph: Graph) -> bool:
    return any(node.op.name == _END for node in graph.nodes)


def _is_root(node: Node) -> bool:
    """Whether a node is a product of small integers."""
    inner = node.op.body.nodes if isinstance(node.op, Fused) else (node,)
    products = [n for n in inner if n.op.name in _ROOTS]
    return len(products) == 1 and all(
        v.dtype.is_int and v.dtype.bits <= 16 for v in products[0].operands
    )


@dataclass
class _Group:
    """Nodes of a region in order, the last one giving the result."""

    nodes: list[Node] = field(default_factory=list[Node])
    product: bool = False


class _Groups:
    """One walk: products and dequantised tensors gather what reads them alone."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.uses, self.producers = graph.use_counts(), graph.producers()
        self.open: dict[Value, _Group] = {}
        self.closed: dict[Node, _Group] = {}

    def visit(self, node: Node) -> None:
        """Begins a region, lets it grow, or ends it."""
        if _is_root(node):
            before = self._leading(node)
            self._keep(_Group([*before, node], product=True), node)
            return
        groups = [g for v in node.operands if (g := self._taken(v)) is not None]
        if node.op.name == "dequantize" and not groups:
            if node.operands[0].dtype.bits == 8:
                self.open[node.results[0]] = _Group([node])
            return
        if not groups or node.op.name not in (*_AFTER, _END):
            return
        several = len(groups) > 1 and node.op.name not in ("add", "sub")
        if (
            several
            or sum(g.product for g in groups) > 1
            or not self._fits(node, groups)
        ):
            return
        nodes = [n for g in groups for n in g.nodes]
        group = _Group([*dict.fromkeys(nodes), node], any(g.product for g in groups))
        self._keep(group, node)

    def _keep(self, group: _Group, node: Node) -> None:
        (result,) = node.results
        if node.op.name != _END and len(group.nodes) < _MOST:
            self.open[result] = group
        if node.op.name == _END or group.product:
            self.closed[node] = group

    def _taken(self, v: Value) -> _Group | None:
        """The region that ends in a value which nothing else reads."""
        group = self.open.get(v)
        if group is None or self.uses.get(v) == 1:
            return group
        return None if group.product or len(group.nodes) > 1 else group  # cheap twice

    def _fits(self, node: Node, groups: list[_Group]) -> bool:
        """Whether all other operands are constants, repeated or not."""
        inside = {v for g in groups for v in g.nodes[-1].results}
        return all(v in inside or self._fixed(v) for v in node.operands)

    def _fixed(self, v: Value) -> bool:
        maker = self.producers.get(v)
        if maker is not None and maker.op.name == "broadcast_to":
            v = maker.operands[0]
        return v in self.graph.constants

    def _leading(self, node: Node) -> list[Node]:
        """What makes 16-bit operands of 8-bit integers."""
        found: list[Node] = []
        work = list(node.operands)
        while work:
            v = work.pop()
            maker = self.producers.get(v)
            if maker is None or maker.op.name not in _BEFORE or v.dtype.bits < 16:
                continue
            if maker.op.name == "sub" and not self._fixed(maker.operands[1]):
                continue
            found.append(maker)
            work.append(maker.operands[0])
        return list(dict.fromkeys(reversed(found)))

    # The graph ------------------------------------------------------------------------

    def fused(self) -> Graph:
        """The graph with each region as a node, the widest ones first."""
        inside: set[Node] = set()
        ends: dict[Node, _Group] = {}
        for node in reversed(self.graph.nodes):
            group = self.closed.get(node)
            if group is not None and node not in inside and len(group.nodes) > 1:
                ends[node] = group
                inside.update(group.nodes)
        if not ends:
            return self.graph
        w = Walk(self.graph)
        nodes = [
            self._region(w, node, ends[node]) if node in ends else node
            for node in self.graph.nodes
        ]
        return replace(self.graph, nodes=tuple(nodes))

    def _region(self, w: Walk, end: Node, group: _Group) -> Node:
        region = Region(w)
        own = {v for n in group.nodes for v in n.results}
        for node in group.nodes:
            for v in node.operands:
                maker = self.producers.get(v)
                spread = maker is not None and maker.op.name == "broadcast_to"
                if maker is not None and spread and v not in own:
                    region.add(maker)
            region.splice(node)
        body = region.body.finish([region.value(end.results[0])])
        op = Fused(kind="quantized", body=body)
        return Node(op, tuple(region.outside), end.results, end.source)
