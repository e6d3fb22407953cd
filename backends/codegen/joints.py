"""What lies in other arrays: operands of a concat and of a reshape in their results.

What a product, a convolution, a window or a reduction computes, and what follows it
element by element, is stored into its part of the joined array. Parts of parts are
parts, so a chain of concats is one array that fills up. What a heavy op makes and only
another shape of which is stored has its memory, too.
"""

from collections.abc import Iterator, Mapping

from graphwright.backends.codegen.elements import (
    HEAVY,
    REDUCING,
    VIEWED,
    is_pulled,
    product,
    sizes_of,
)
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Trait
from graphwright.ir.ops.movement import Concat, Reshape
from graphwright.ir.record import record

_LEAST = 1 << 12
"""Elements of a result that are worth it."""
_MOST_COPIED = 16
"""Other operands, each of which is copied by a kernel of its own."""


@record(frozen=True, eq=False, slots=True)
class Part:
    """Where a value lies: in another one, from ``start`` on along an axis.

    Without an axis its elements are all of that, in another shape.
    """

    whole: Value
    axis: int | None
    start: int = 0


def parts(graph: Graph) -> dict[Value, Part]:
    """Values that are computed where a joined array has them."""
    return _Joints(graph).found


class _Joints:
    def __init__(self, graph: Graph) -> None:
        self.producers = graph.producers()
        self.found: dict[Value, Part] = {}
        self.outputs = set(graph.outputs)
        for node in reversed(graph.nodes):
            if isinstance(node.op, Reshape):
                self._reshape(node)
            if isinstance(node.op, Concat) and _is_even(node, node.op):
                placed = {
                    v: part
                    for v, part in _parts(node, node.op)
                    if v not in self.outputs
                }
                self._place(node, placed)

    def _reshape(self, node: Node) -> None:
        """Notes what a heavy op makes only to be an output in another shape."""
        (v,), (end,) = node.operands, node.results
        if end not in self.outputs or v in self.outputs or v in self.found:
            return
        if self._is_made(v, HEAVY - VIEWED):
            self.found[v] = Part(end, None)

    def _place(self, node: Node, placed: Mapping[Value, Part]) -> None:
        """Notes those operands that are made by loops worth sharing with nothing."""
        fit = {v: p for v, p in placed.items() if self._is_made(v)}
        fit = {v: p for v, p in fit.items() if v not in self.found}
        if fit and len(set(node.operands) - set(fit)) <= _MOST_COPIED:
            self.found |= fit

    def _is_made(self, v: Value, by: frozenset[str] = HEAVY | REDUCING) -> bool:
        """Whether a heavy op or a reduction makes it, with an elementwise end."""
        seen, shape, left = {v}, sizes_of(v.type), [v]
        while left:
            node = self.producers.get(left.pop())
            if node is None or not is_pulled(node.op):
                continue
            if node.op.name in by:
                return True
            if isinstance(node.op, Concat):
                return any(map(self._is_made, node.operands))
            if Trait.ELEMENTWISE in node.op.traits:
                fresh = {x for x in node.operands if sizes_of(x.type) == shape} - seen
                seen |= fresh
                left += fresh
        return False


def _is_even(node: Node, op: Concat) -> bool:
    """Whether operands are contiguous, or rows as even as those of the result."""
    shape = sizes_of(node.results[0].type)
    first = product(shape[: op.axis]) == 1
    return product(shape) >= _LEAST and (first or op.axis == len(shape) - 1)


def _parts(node: Node, op: Concat) -> Iterator[tuple[Value, Part]]:
    """Operands that occur once, with their places."""
    start = 0
    for v in node.operands:
        if node.operands.count(v) == 1:
            yield v, Part(node.results[0], op.axis, start)
        start += sizes_of(v.type)[op.axis]
