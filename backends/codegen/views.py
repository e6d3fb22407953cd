"""Views around an op that reads and writes its operands and results as they lie."""

from collections.abc import Iterable

from graphwright.backends.codegen.elements import MOVES, Coordinates, sizes_of
from graphwright.backends.codegen.index import linear, unravelled
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.ops.movement import Reshape, Transpose


def source(graph: Graph, v: Value) -> Value:
    """What a value is a view of."""
    while (node := graph.makers.get(v)) is not None and node.op.name in MOVES:
        (v,) = node.operands
    return v


def is_turned(graph: Graph, v: Value) -> bool:
    """Whether neighbours in a row of a value lie apart in what it is a view of."""
    while (node := graph.makers.get(v)) is not None and node.op.name in MOVES:
        if isinstance(node.op, Transpose) and node.op.perm[-1] != len(node.op.perm) - 1:
            return sizes_of(v.type)[-1] > 1
        (v,) = node.operands
    return False


def placed(
    nodes: Iterable[Node], v: Value, at: Coordinates
) -> tuple[Value, Coordinates]:
    """The last one of the views of a value among nodes, and where an element is there.

    Args:
        nodes: In order; each value has one view at most.
        v: The value.
        at: Where the element is in it.
    """
    for node in nodes:
        if node.operands[:1] != (v,) or not isinstance(node.op, Reshape | Transpose):
            continue
        (end,) = node.results
        if isinstance(node.op, Transpose):
            at = tuple(at[axis] for axis in node.op.perm)
        else:
            at = unravelled(linear(at, sizes_of(v.type)), sizes_of(end.type))
        v = end
    return v, at
