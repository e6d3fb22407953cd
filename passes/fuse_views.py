"""Views around ops that take strided operands become part of their kernels."""

from collections.abc import Sequence
from functools import partial

from graphwright.ir.dim import Dim
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.ops.fused import Fused
from graphwright.passes.fuse import Region
from graphwright.passes.walk import Rule, Walk

_TURNED, _SHAPED = "transpose", "reshape"


def fuse_views(graph: Graph, names: frozenset[str]) -> Graph:
    """Views before and after ops of these names join them: exact.

    Before an op these are slices, transpositions, and reshapes that come first or only
    split axes; after it transpositions, then reshapes. So each operand and the result
    are strided views of what is contiguous.
    """
    if names.isdisjoint(cls.name for cls in graph.op_classes):
        return graph
    rules: dict[str, Sequence[Rule]] = {name: [_before] for name in names}
    after = partial(_after, names)
    return Walk(graph).rebuild({**rules, _TURNED: [after], _SHAPED: [after]})


def _views(w: Walk, v: Value) -> list[Node]:
    """The views that make a value, the first one first."""
    found: list[Node] = []
    wanted = (_SHAPED, _TURNED, "slice")
    while (node := w.made_by(v, *wanted)) is not None:
        if node.op.name == _SHAPED and not _splits(node):
            wanted = (_SHAPED, _SHAPED, _SHAPED)
        found.append(node)
        v = node.operands[0]
    return found[::-1]


def _splits(reshape: Node) -> bool:
    """Whether a reshape makes of each axis one or more: a view of any strides."""
    new = iter(reshape.results[0].shape)
    for size in reshape.operands[0].shape:
        total: Dim = 1
        while total != size:
            part = next(new, None)
            if part is None:
                return False
            total = total * part
    return all(d == 1 for d in new)


def _before(w: Walk, node: Node) -> list[Value] | None:
    """``op(view(x), ...) = fused(x, ...)``."""
    chains = [_views(w, v) for v in dict.fromkeys(node.operands)]
    if not any(chains):
        return None
    region = Region(w)
    for chain in chains:
        for view in chain:
            region.add(view)
    results = region.add(node)
    op = Fused(kind=node.op.name, body=region.body.finish(results))
    return list(w.add_node(op, region.outside, tuple(Value(v.type) for v in results)))


def _after(names: frozenset[str], w: Walk, node: Node) -> list[Value] | None:
    """``view(fused(x, ...)) = fused'(x, ...)`` where only the view reads the region."""
    (x,) = node.operands
    root = w.made_by(x, "fused", *names)
    if root is None or not w.only_use(x):
        return None
    fused = isinstance(root.op, Fused)
    kind = root.op.kind if isinstance(root.op, Fused) else root.op.name
    shaped = fused and root.op.body.nodes[-1].op.name == _SHAPED  # type: ignore[attr-defined]
    if kind not in names or (shaped and node.op.name == _TURNED):
        return None
    region = Region(w)
    region.splice(root)
    results = region.add(node)
    op = Fused(kind=kind, body=region.body.finish(results))
    return list(w.add_node(op, region.outside, tuple(Value(v.type) for v in results)))
