"""Channel shuffles become part of the pointwise convolution before them.

Its epilogue writes each channel once anyhow, so it may as well write it elsewhere.
"""

from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.ops.fused import Fused
from graphwright.ir.ops.linalg import Conv
from graphwright.ir.ops.movement import Transpose
from graphwright.passes.fuse import Region
from graphwright.passes.walk import Walk


def fuse_shuffles(graph: Graph) -> Graph:
    """Channels that are cut in groups and interleaved join a convolution: exact."""
    if not any(node.op.name == "fused" for node in graph.nodes):
        return graph
    return Walk(graph).rebuild({"reshape": [_shuffle]})


def shuffle(w: Walk, node: Node) -> tuple[Node, Node] | None:
    """The nodes before a reshape which cut channels in groups and swap the axes.

    ``reshape(swap(reshape(x, [.., g, n])), [.., g * n])``, channels last, each read
    once.
    """
    swap = w.made_by(node.operands[0], "transpose")
    cut = w.made_by(swap.operands[0], "reshape") if swap else None
    if swap is None or cut is None:
        return None
    x, parts, y = cut.operands[0], cut.results[0], node.results[0]
    if not all(map(w.only_use, (parts, swap.results[0]))):
        return None
    assert isinstance(swap.op, Transpose)
    *lead, last, first = swap.op.perm
    swaps = lead == list(range(x.rank - 1)) and last == first + 1
    if not swaps or y.shape != x.shape or parts.shape[:-2] != x.shape[:-1]:
        return None
    return cut, swap


def _shuffle(w: Walk, node: Node) -> list[Value] | None:
    """``reshape(swap(reshape(fused(...), [.., g, n])), [.., g * n]) = fused'(...)``."""
    found = shuffle(w, node)
    if found is None:
        return None
    cut, swap = found
    root = w.made_by(cut.operands[0], "fused")
    if root is None or not _pointwise(root) or not w.only_use(root.results[0]):
        return None
    region = Region(w)
    region.splice(root)
    region.add(cut)
    region.add(swap)
    results = region.add(node)
    op = Fused(kind="conv", body=region.body.finish(results))
    return list(w.add_node(op, region.outside, tuple(Value(v.type) for v in results)))


def _pointwise(root: Node) -> bool:
    """Whether a region ends with channels of windows of one, which come last."""
    assert isinstance(root.op, Fused)
    inner = root.op.body.nodes
    if root.op.kind != "conv" or inner[0].op.name != "transpose" or len(inner) < 3:
        return False
    conv = inner[1]
    single = all(d == 1 for d in conv.operands[1].shape[2:])
    return isinstance(conv.op, Conv) and single and inner[-1].op.name != "reshape"
