"""Depthwise convolutions and the pointwise ones around them become one region.

What lies between them is as wide as the network gets, and nothing else reads it: a
backend that runs all three for some rows at a time need not keep it.
"""

from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.ops.fused import Fused
from graphwright.ir.ops.linalg import Conv
from graphwright.passes.fuse import Region
from graphwright.passes.walk import Walk

_RANK = 4


def fuse_separable(graph: Graph) -> Graph:
    """A depthwise convolution joins the pointwise ones before and after it: exact."""
    if Fused not in graph.op_classes:
        return graph
    return Walk(graph).rebuild({"fused": [_after, _before]})


def _after(w: Walk, node: Node) -> list[Value] | None:
    """``pointwise(depthwise(x)) = fused(x)``, ``pointwise(fused(x)) = fused'(x)``."""
    if not _pointwise(node):
        return None
    middle = _sole(w, node)
    if middle is None:
        return None
    if _depthwise(middle):
        return _joined(w, [middle, node])
    op = middle.op
    nested = isinstance(op, Fused) and op.kind == "separable"
    inner = op.fields["body"].nodes if nested else ()
    return _joined(w, [middle, node]) if inner and _depthwise(inner[-1]) else None


def _before(w: Walk, node: Node) -> list[Value] | None:
    """``depthwise(pointwise(x)) = fused(x)``."""
    first = _sole(w, node) if _depthwise(node) else None
    return (
        _joined(w, [first, node]) if first is not None and _pointwise(first) else None
    )


def _joined(w: Walk, parts: list[Node]) -> list[Value]:
    region = Region(w)
    results: tuple[Value, ...] = ()
    for part in parts:
        nested = _kind(part) == "separable"
        results = region.splice(part) if nested else region.add(part)
    op = Fused(kind="separable", body=region.body.finish(results))
    return list(w.add_node(op, region.outside, tuple(Value(v.type) for v in results)))


def _sole(w: Walk, node: Node) -> Node | None:
    """The region that makes what a convolution reads, if nothing else does.

    All its other operands are constants: it runs for a few rows at a time.
    """
    made = w.made_by(node.operands[0], "fused")
    if made is None or not w.only_use(node.operands[0]):
        return None
    return made if all(v in w.constants for v in made.operands[1:]) else None


def _kind(node: Node) -> str:
    return node.op.kind if isinstance(node.op, Fused) else ""


def _conv(node: Node) -> tuple[Conv, Node] | None:
    """The convolution of a region of its own, channels last."""
    if _kind(node) != "conv":
        return None
    inner = node.op.fields["body"].nodes
    if len(inner) < _RANK - 1 or inner[0].op.name != "transpose":
        return None
    root = inner[1]
    float_ = root.results[0].dtype
    plain = float_.is_float and float_.accumulate is float_
    fits = isinstance(root.op, Conv) and plain and inner[-1].op.name != "reshape"
    return (root.op, root) if fits and root.results[0].rank == _RANK else None


def _pointwise(node: Node) -> bool:
    """Whether a region multiplies the channels of each position."""
    found = _conv(node)
    if found is None:
        return False
    op, root = found
    padded = any(side != 0 for pair in op.padding for side in pair)
    single = all(d == 1 for d in root.operands[1].shape[2:])
    steps = (*op.strides, *op.lhs_dilation)
    return single and op.groups == 1 and not padded and all(s == 1 for s in steps)


def _depthwise(node: Node) -> bool:
    """Whether a region takes windows of each channel apart."""
    found = _conv(node)
    if found is None:
        return False
    op, root = found
    filters, depth = root.operands[1].shape[:2]
    apart = depth == 1 and op.groups == filters and op.groups > 1
    return apart and all(s == 1 for s in op.lhs_dilation)
