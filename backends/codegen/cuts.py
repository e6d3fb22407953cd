"""Loops over joined arrays, cut where one ends and the next begins.

Within a piece it is known which operand an element comes from: vectors of it are loads,
where else each lane would have to choose.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise

from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.elements import Array, Elements, sizes_of
from graphwright.backends.codegen.index import Axis, linear, of
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.schedule_cpu import looped
from graphwright.backends.codegen.stages import Loops
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.ir.ops.movement import Concat

_MOST_PIECES = 16
"""Each piece is a kernel to launch."""


def pieces(
    stage: Loops, arrays: Mapping[Value, Array], target: Cpu
) -> Sequence[Kernel] | None:
    """A kernel for each piece; None where nothing is joined."""
    shape = tuple(axis.extent for axis in stage.axes)
    node = next((n for n in stage.nodes if _joins(n, shape)), None)
    if node is None or not isinstance(node.op, Concat):
        return None
    sizes = [sizes_of(x.type)[node.op.axis] for x in node.operands]
    ends = list(accumulate(sizes, initial=0))
    cuts = [(low, high) for low, high in pairwise(ends) if high > low]
    if not 1 < len(cuts) <= _MOST_PIECES:
        return None
    inside = {v for v, _ in stage.results}
    known = {v: a for v, a in arrays.items() if v not in inside}
    elements = Elements(stage.graph, known)
    outputs = [arrays[v] for v, _ in stage.results]
    kernels: list[Kernel] = []
    for low, high in cuts:
        axes = list(map(Axis, shape))
        axes[node.op.axis] = Axis(high - low)
        at = [of(axis) for axis in axes]
        at[node.op.axis] = at[node.op.axis] + low
        exprs = [elements.at(v, tuple(at)) for v, _ in stage.results]
        kernels.append(looped(axes, exprs, outputs, target, linear(tuple(at), shape)))
    return kernels


def _joins(node: Node, shape: tuple[int, ...]) -> bool:
    return isinstance(node.op, Concat) and sizes_of(node.results[0].type) == shape
