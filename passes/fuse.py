"""Epilogues: what follows a convolution or product becomes part of its kernel."""

from collections.abc import Mapping, Sequence

from graphwright.ir.builder import Builder
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node, Origin
from graphwright.ir.ops.fused import Fused
from graphwright.passes.walk import Walk

_ROOTS = ("conv", "dot")
_EPILOGUE = ("add", "max", "min")


def keep_origins(
    body: Builder,
    origins: Mapping[Value, tuple[Origin, ...]],
    outer: Sequence[Value],
    inner: Sequence[Value],
) -> None:
    """Notes for values of a region which values of the original graph they equal."""
    for old, new in zip(outer, inner, strict=True):
        if old in origins:
            body.origins[new] = origins[old]


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
        if not _fits(w, root, x, node):
            continue
        if not x.dtype.is_float or x.dtype.accumulate is not x.dtype:
            continue  # a kernel would round once where the ops round at each step
        return _extended(w, root, x, node)
    return None


def _fits(w: Walk, root: Node, x: Value, node: Node) -> bool:
    """Whether an op continues ``clip(root + biases + residual, low, high)``."""
    (other,) = [v for v in node.operands if v is not x]
    spread = w.made_by(other, "broadcast_to")
    source = other if spread is None else spread.operands[0]
    if node.op.name != "add":
        constant = w.constants.get(source)
        return constant is not None and constant.size == 1
    if not isinstance(root.op, Fused):
        return True
    makers = root.op.body.producers()
    for inner in root.op.body.nodes:
        kinds = [makers[v].op.name for v in inner.operands if v in makers]
        residual = inner.op.name == "add" and "broadcast_to" not in kinds
        if inner.op.name in ("max", "min") or (residual and spread is None):
            return False
    return True


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
        keep_origins(self.body, self.w.origins, node.results, results)
        return results

    def splice(self, node: Node) -> tuple[Value, ...]:
        """A node, or what a fused one holds, computed inside."""
        if not isinstance(node.op, Fused):
            return self.add(node)
        results = self.body.splice(node.op.body, [self.value(v) for v in node.operands])
        self.inside.update(zip(node.results, results, strict=True))
        keep_origins(self.body, self.w.origins, node.results, results)
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
