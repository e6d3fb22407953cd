"""Negative indices count from the end inside the kernel that gathers by them."""

from collections.abc import Sequence

from graphwright.ir.constant import Constant
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.ops.fused import Fused
from graphwright.passes.fuse import Region
from graphwright.passes.walk import Walk


def fuse_indices(graph: Graph) -> Graph:
    """Gathers by indices that count from the end where they are negative: exact."""
    if not any(node.op.name == "gather" for node in graph.nodes):
        return graph
    return Walk(graph).rebuild({"gather": [_from_the_end]})


def _from_the_end(w: Walk, node: Node) -> Sequence[Value] | None:
    """``gather(x, where(i < 0, i + n, i)) = fused(x, i)`` for an axis of size n."""
    x, index = node.operands
    size = x.shape[node.op.axis]  # type: ignore[attr-defined]
    chosen = w.made_by(index, "where")
    if chosen is None or x in w.constants:
        return None
    below, behind, i = chosen.operands
    test, sum_ = w.made_by(below, "lt"), w.made_by(behind, "add")
    if test is None or sum_ is None or not isinstance(size, int):
        return None
    whole = test.operands[0] is i and sum_.operands[0] is i and i not in w.constants
    zero, count = _number(w, test.operands[1]), _number(w, sum_.operands[1])
    if not whole or zero is None or count is None:
        return None
    if _value(zero) != 0 or _value(count) != size:
        return None
    region = Region(w)
    region.value(x)
    region.value(i)
    for inner, number in ((test, zero), (sum_, count)):
        region.body.source = inner.source
        v = region.body.constant_of(number)
        v = region.body.broadcast_to(v, i.shape) if i.rank else v
        region.inside[inner.operands[1]] = v
        region.add(inner)
    region.add(chosen)
    results = region.add(node)
    op = Fused(kind="gather", body=region.body.finish(results))
    return list(w.add_node(op, region.outside, tuple(Value(v.type) for v in results)))


def _number(w: Walk, v: Value) -> Constant | None:
    """The one number that a value consists of, None if there is none."""
    spread = w.made_by(v, "broadcast_to")
    constant = w.constants.get(v if spread is None else spread.operands[0])
    return None if constant is None else constant.uniform()


def _value(number: Constant) -> int:
    return int(number.array().reshape(()))
