"""Elementwise ops of one shape become regions, with windows and reductions at the end.

One walk over the nodes keeps a region open for each shape. A node joins the region of
its shape; a node of another kind that reads what is inside closes it. So what is inside
a region never waits for what needs it, and a region ends where it is closed. Before it
ends, nodes to come join it that need nothing else, if less has to be kept for that.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from graphwright.ir.builder import Builder
from graphwright.ir.dim import Dim
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op, Trait, is_elementwise
from graphwright.ir.ops.fused import Fused
from graphwright.ir.ops.movement import Slice
from graphwright.ir.ops.reduce import Reduce
from graphwright.ir.ops.slicing import UpdateSlice
from graphwright.ir.types import TensorType, Type
from graphwright.passes.fuse import keep_origins
from graphwright.passes.steps import exhausted, note

Fuses: TypeAlias = Callable[[Op, Sequence[Type]], bool]
"""Whether a backend takes an op on operands of these types into a region."""

_MOST = 256
"""Ops of a region: more would only take longer to plan."""


def fuse_elementwise(graph: Graph, fuses: Fuses) -> Graph:
    """Elementwise ops become regions, each with all results read outside: exact.

    What a region broadcasts comes with it, as do writes of its values to windows
    (``update_slice``) and reductions of them, where the backend takes these.
    """
    return _Fuser(graph, fuses).graph_with_regions()


@dataclass(eq=False, slots=True)
class _Open:
    """A region that more nodes may join.

    Attributes:
        shape: The shape of its elementwise values.
        nodes: What is inside.
        inner: How often its values are read inside.
        reads: What it reads from outside, with what these values are views of.
    """

    shape: tuple[Dim, ...]
    nodes: list[Node] = field(default_factory=list)
    inner: dict[Value, int] = field(default_factory=dict)
    reads: set[Value] = field(default_factory=set)


class _Fuser:
    def __init__(self, graph: Graph, fuses: Fuses) -> None:
        self.graph, self.fuses = graph, fuses
        self.uses, self.producers = graph.use_counts(), graph.producers()
        self.readers: dict[Value, dict[Node, None]] = {}
        for node in graph.nodes:
            for v in node.operands:
                self.readers.setdefault(v, {})[node] = None
        self.seen: set[Value] = {*graph.inputs, *graph.constants}
        self.early: set[Node] = set()
        self.open: dict[tuple[Dim, ...], _Open] = {}
        self.owner: dict[Value, _Open] = {}
        self.roots: dict[Value, Value] = {}
        self.nodes: list[Node] = []
        self.changed = False

    def graph_with_regions(self) -> Graph:
        """The graph; the same one if no region is worth it."""
        for node in self.graph.nodes:
            if node not in self.early:
                self._visit(node)
            self.seen.update(node.results)
        for region in list(self.open.values()):
            self._close(region)
        if not self.changed:
            return self.graph
        return replace(self.graph, nodes=tuple(self.nodes))

    def _visit(self, node: Node) -> None:
        if Trait.VIEW in node.op.traits and len(node.operands) == 1:
            (x,) = node.operands
            self.roots[node.results[0]] = self.roots.get(x, x)
        region = self._region_for(node)
        for v in node.operands:
            owner = self.owner.get(v)
            if owner is not None and owner is not region:
                self._close(owner)
        if isinstance(node.op, UpdateSlice):
            self._before_write(node.operands[0], region)
        if region is None:
            self.nodes.append(node)
        else:
            self._join(region, node)

    def _region_for(self, node: Node) -> _Open | None:
        """The region that a node joins, a new one if need be."""
        op = node.op
        if isinstance(op, UpdateSlice | Reduce):
            return self._ending_for(node)
        if not is_elementwise(op) or not self._taken(node):
            return None
        shape = node.results[0].shape
        region = self.open.get(shape)
        if region is not None and len(region.nodes) >= _MOST:
            self._close(region)
            region = None
        if region is None:
            region = self.open[shape] = _Open(shape)
        return region

    def _ending_for(self, node: Node) -> _Open | None:
        """The region whose value a node writes to a window, or reduces."""
        value = node.operands[-1]
        region = self.owner.get(value)
        if region is None or value.shape != region.shape or not self._taken(node):
            return None
        outside = all(self.owner.get(v) is not region for v in node.operands[:-1])
        return region if outside else None

    def _taken(self, node: Node) -> bool:
        return self.fuses(node.op, [v.type for v in node.operands])

    def _before_write(self, base: Value, writer: _Open | None) -> None:
        """Closes regions that read what is about to be written over."""
        root = self.roots.get(base, base)
        for region in list(self.open.values()):
            if region is not writer and root in region.reads:
                self._close(region)

    def _join(self, region: _Open, node: Node) -> None:
        region.nodes.append(node)
        for v in node.operands:
            if self.owner.get(v) is region:
                region.inner[v] = region.inner.get(v, 0) + 1
            else:
                spread = self._spread(v)
                source = v if spread is None else spread.operands[0]
                region.reads.add(self.roots.get(source, source))
        for v in node.results:
            self.owner[v] = region

    def _spread(self, v: Value) -> Node | None:
        """The node that broadcasts to a value, if one does."""
        node = self.producers.get(v)
        return node if node is not None and node.op.name == "broadcast_to" else None

    def _close(self, region: _Open) -> None:
        """Puts a region, or its one node, behind what it may depend on."""
        self._gather(region)
        if self.open.get(region.shape) is region:
            del self.open[region.shape]
        for node in region.nodes:
            for v in node.results:
                del self.owner[v]
        if not self._worthwhile(region) or exhausted():
            self.nodes += region.nodes
            return
        note("fuse_elementwise", region.nodes[-1])
        self.changed = True
        self.nodes.append(_Body(self, region).node())

    def _gather(self, region: _Open) -> None:
        """Lets nodes to come join a region where that leaves no more to be kept.

        These are its reductions, and the only readers left of a value inside.
        """
        made = [v for node in region.nodes for v in node.results]
        for v in made:
            if len(region.nodes) >= _MOST:
                return
            for node in self.readers.get(v, ()):
                if self._comes_early(node, v, region):
                    self.early.add(node)
                    self.seen.update(node.results)
                    self._join(region, node)
                    made += node.results

    def _comes_early(self, node: Node, v: Value, region: _Open) -> bool:
        known = all(x in self.seen for x in node.results)
        if known or not self._taken(node):
            return False
        if isinstance(node.op, Reduce):
            return v.shape == region.shape
        left = self.uses[v] - region.inner.get(v, 0) - node.operands.count(v)
        if left or not is_elementwise(node.op) or node.results[0].shape != region.shape:
            return False
        return all(self._is_there(x, region) for x in node.operands)

    def _is_there(self, v: Value, region: _Open) -> bool:
        """Whether a value is in a region, or known without any that is open."""
        owner = self.owner.get(v)
        if owner is not None:
            return owner is region
        spread = self._spread(v)
        source = v if spread is None else spread.operands[0]
        return source in self.seen and self.owner.get(source) is None

    def _worthwhile(self, region: _Open) -> bool:
        """Whether a region saves anything: two steps at least."""
        spread = any(self._spread(v) for node in region.nodes for v in node.operands)
        return len(region.nodes) + spread > 1


class _Body:
    """The node of a region under construction."""

    def __init__(self, fuser: _Fuser, region: _Open) -> None:
        self.fuser, self.region = fuser, region
        self.body = Builder("region")
        self.inside: dict[Value, Value] = {}
        self.outside: list[Value] = []
        writes = [n for n in region.nodes if isinstance(n.op, UpdateSlice)]
        self.bases = {n.operands[0] for n in writes}
        self.windows = [
            (n.operands[0], n.op.window(n.operands[1].shape))
            for n in writes
            if isinstance(n.op, UpdateSlice)
        ]

    def node(self) -> Node:
        """A node that defines all of the region's values that are read outside."""
        for node in self.region.nodes:
            self.body.source = node.source
            results = self.body.apply(node.op, self._all(node.operands))
            self.inside.update(zip(node.results, results, strict=True))
            keep_origins(self.body, self.fuser.graph.origins, node.results, results)
        uses, inner = self.fuser.uses, self.region.inner
        results = tuple(
            v
            for node in self.region.nodes
            for v in node.results
            if uses.get(v, 0) > inner.get(v, 0)
        )
        op = Fused(
            kind="elementwise", body=self.body.finish([self.inside[v] for v in results])
        )
        source = self.region.nodes[-1].source
        return Node(op, tuple(self.outside), results, source)

    def _all(self, values: Iterable[Value]) -> list[Value]:
        return [self._use(v) for v in values]

    def _use(self, v: Value) -> Value:
        """A value inside: with what broadcasts it, or reads a window to be written."""
        if v not in self.inside:
            maker = self.fuser.producers.get(v)
            spread = v not in self.bases and self.fuser._spread(v) is not None
            taken = maker is not None and (spread or self._window(maker))
            if maker is not None and taken:
                operands = self._all(maker.operands)
                self.inside[v] = self.body.apply(maker.op, operands)[0]
                keep_origins(self.body, self.fuser.graph.origins, [v], [self.inside[v]])
            else:
                self.inside[v] = self._outer(v)
        return self.inside[v]

    def _window(self, node: Node) -> bool:
        """Whether a node reads the window that the region writes, or one beside it.

        What is read inside does not keep the region from writing in place.
        """
        op = node.op
        if not isinstance(op, Slice) or op.size != self.region.shape:
            return False
        written = [window for base, window in self.windows if base is node.operands[0]]
        if not written:
            return False
        return op in written or all(op.apart(window) for window in written)

    def _outer(self, v: Value) -> Value:
        constant = self.fuser.graph.constants.get(v)
        if v in self.bases:  # a window is written into an array
            constant = None
        if constant is not None and constant.size == 1:
            return self.body.constant_of(constant)
        same = None if constant is None else constant.uniform()
        if same is not None:
            return self.body.broadcast_to(self.body.constant_of(same), v.shape)
        self.outside.append(v)
        return self.body.input(f"in{len(self.outside) - 1}", v.type)


def fuse_all(graph: Graph) -> Graph:
    """Elementwise ops of floats become regions, whatever a backend takes: exact."""
    return fuse_elementwise(graph, _plain)


def _plain(op: Op, types: Sequence[Type]) -> bool:
    """Whether an op is elementwise, on floats that round as they are."""
    found = [t for t in types if isinstance(t, TensorType)]
    same = all(t.dtype is found[0].dtype for t in found)
    wide = all(t.dtype.is_float and t.dtype.accumulate is t.dtype for t in found)
    return is_elementwise(op) and len(found) == len(types) > 0 and same and wide
