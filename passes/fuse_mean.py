"""Sums over windows, divided by how many they are of, become one region."""

from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.ops.fused import Fused
from graphwright.ir.ops.reduce import ReduceWindow
from graphwright.passes.fuse import Region
from graphwright.passes.walk import Walk


def fuse_means(graph: Graph) -> Graph:
    """Divisions of sums over windows by constants join them: exact."""
    if not any(node.op.name == "reduce_window" for node in graph.nodes):
        return graph
    return Walk(graph).rebuild({"div": [_mean]})


def _mean(w: Walk, node: Node) -> list[Value] | None:
    """``reduce_window(x) / counts = fused(x, counts)``."""
    total, divisor = node.operands
    root = w.made_by(total, "reduce_window")
    spread = w.made_by(divisor, "broadcast_to")
    counts = divisor if spread is None else spread.operands[0]
    if root is None or not w.only_use(total) or counts not in w.constants:
        return None
    if not total.dtype.is_float or total.dtype.accumulate is not total.dtype:
        return None
    assert isinstance(root.op, ReduceWindow)
    if root.op.kind != "sum" or not _of_windows(root.op, counts, total.rank):
        return None
    region = Region(w)
    region.splice(root)
    if spread is not None:
        region.add(spread)
    results = region.add(node)
    op = Fused(kind="reduce_window", body=region.body.finish(results))
    return list(w.add_node(op, region.outside, tuple(Value(v.type) for v in results)))


def _of_windows(op: ReduceWindow, counts: Value, rank: int) -> bool:
    """Whether numbers depend on positions of windows alone."""
    if counts.rank == 0:
        return True
    plain = (1,) * (rank - len(op.window)) + tuple(op.window)
    pairs = zip(counts.shape, plain, strict=False)
    return counts.rank == rank and all(d == 1 or n != 1 for d, n in pairs)
