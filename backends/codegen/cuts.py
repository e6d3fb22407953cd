"""Loops cut to boxes, in each of which less is to be decided.

Joined arrays are cut where one ends and the next begins: within a piece it is known
which operand an element comes from. Results of windows are cut where these begin to
reach out of their operand: all but the borders asks nothing. Vectors are plain loads
then, where else each lane would have to choose.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import TypeAlias

from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.elements import (
    Array,
    Elements,
    product,
    sizes_of,
)
from graphwright.backends.codegen.index import Axis, of
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.schedule_cpu import looped
from graphwright.backends.codegen.stages import Loops
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.ir.ops.movement import Concat
from graphwright.ir.ops.reduce import ReduceWindow

_MOST_PIECES = 16
"""Each piece is a kernel to launch."""
_LEAST = 1 << 14
"""Elements of a result whose borders are worth kernels of their own."""

Range: TypeAlias = tuple[int, int]
Box: TypeAlias = tuple[Range, ...]
"""First and last position in each direction, the last one not included."""


def pieces(
    stage: Loops, arrays: Mapping[Value, Array], target: Cpu
) -> Sequence[Kernel] | None:
    """A kernel for each piece; None where nothing is cut."""
    shape = tuple(axis.extent for axis in stage.axes)
    boxes = _boxes(stage, arrays, shape)
    if boxes is None or len(boxes) > _MOST_PIECES:
        return None
    inside = {v for v, _ in stage.results}
    known = {v: a for v, a in arrays.items() if v not in inside}
    elements = Elements(stage.graph, known)
    outputs = [arrays[v] for v, _ in stage.results]
    kernels: list[Kernel] = []
    for box in boxes:
        axes = [Axis(high - low) for low, high in box]
        at = tuple(of(a) + low for a, (low, _) in zip(axes, box, strict=True))
        exprs = [elements.at(v, at) for v, _ in stage.results]
        kernels.append(looped(axes, exprs, outputs, target, at))
    return kernels


def _boxes(
    stage: Loops, arrays: Mapping[Value, Array], shape: tuple[int, ...]
) -> list[Box] | None:
    """What is to be computed of the results; None where nothing is to be cut."""
    for node in stage.nodes:
        if sizes_of(node.results[0].type) == shape:
            if isinstance(node.op, Concat):
                there = {v for v in node.operands if _is_placed(v, node, arrays)}
                found = list(_joints(node, node.op, shape, there))
                return found if there or len(found) > 1 else None
            if isinstance(node.op, ReduceWindow):
                found = list(_borders(node, node.op, shape))
                return found if len(found) > 1 else None
    return None


def _is_placed(v: Value, node: Node, arrays: Mapping[Value, Array]) -> bool:
    """Whether an operand was computed where it is joined."""
    own, whole = arrays.get(v), arrays.get(node.results[0])
    if own is None or whole is None:
        return False
    return own is not whole and own.root is whole.root


def _joints(
    node: Node, op: Concat, shape: tuple[int, ...], there: set[Value]
) -> Iterator[Box]:
    """Operands, but for those that are there already."""
    sizes = [sizes_of(x.type)[op.axis] for x in node.operands]
    whole = [(0, n) for n in shape]
    ends = pairwise(accumulate(sizes, initial=0))
    for v, (low, high) in zip(node.operands, ends, strict=True):
        if high > low and v not in there:
            yield (*whole[: op.axis], (low, high), *whole[op.axis + 1 :])


def _borders(node: Node, op: ReduceWindow, shape: tuple[int, ...]) -> Iterator[Box]:
    """What lies within, after the borders in one direction after the other."""
    box = [(0, n) for n in shape]
    if product(shape) < _LEAST:
        return
    sizes = sizes_of(node.operands[0].type)
    lead = len(shape) - len(op.window)
    for i, n in enumerate(shape[lead:]):
        stride, pad = op.strides[i], op.padding[i][0]
        assert isinstance(pad, int)
        reach = (op.window[i] - 1) * op.dilations[i]
        low = min(n, max(0, -(-pad // stride)))
        last = (sizes[lead + i] - 1 - reach + pad) // stride
        high = max(low, min(n, last + 1))
        for border in ((0, low), (high, n)):
            if border[0] < border[1]:
                yield (*box[: lead + i], border, *box[lead + i + 1 :])
        box[lead + i] = (low, high)
    if product([high - low for low, high in box]):
        yield tuple(box)
