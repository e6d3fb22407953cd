"""Large windows as one of each axis, after one another."""

from graphwright.ir.dim import product
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op
from graphwright.ir.ops.reduce import ReduceWindow
from graphwright.passes.walk import Walk

_LARGE = 25
"""Elements of a window that is worth being written once more."""


def windows_apart(graph: Graph) -> Graph:
    """Large windows of which extremes are taken, one axis after another: exact."""
    if ReduceWindow not in graph.op_classes:
        return graph
    return Walk(graph).rebuild({"reduce_window": [_apart]})


def _apart(w: Walk, node: Node) -> list[Value] | None:
    """``max(x[i, j])`` over windows of both axes is that over ``j``, then ``i``."""
    op, (x,) = node.op, node.operands
    assert isinstance(op, ReduceWindow)
    wide = [i for i, size in enumerate(op.window) if size > 1]
    large = product(op.window)
    known = isinstance(large, int) and large >= _LARGE
    if op.kind not in ("max", "min") or len(wide) < 2 or not known:
        return None
    rest = [i for i in range(len(op.window)) if i not in wide[1:]]
    for axes in (*([i] for i in reversed(wide[1:])), rest):
        (x,) = w.apply(_along(op, axes), (x,))
    return [x]


def _along(op: ReduceWindow, axes: list[int]) -> Op:
    """The window along some axes alone."""
    rows = zip(op.window, op.strides, op.dilations, op.padding, strict=True)
    none = (1, 1, 1, (0, 0))
    own = [row if i in axes else none for i, row in enumerate(rows)]
    window, strides, dilations, padding = zip(*own, strict=True)
    return op.replace(
        window=window, strides=strides, dilations=dilations, padding=padding
    )
