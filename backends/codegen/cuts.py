"""Loops cut to boxes, in each of which less is to be decided.

Joined arrays are cut where one ends and the next begins: within a piece it is known
which operand an element comes from. Elsewhere, cuts are where indices begin to reach
out of an operand: of what a window reads, of padding, of a part that is written into
an array. All but the borders asks nothing then: vectors are plain loads, where else
each lane would have to choose.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import TypeAlias

from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.elements import (
    Array,
    Elements,
    Within,
    product,
    sizes_of,
)
from graphwright.backends.codegen.index import Axis, of
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.schedule import looped
from graphwright.backends.codegen.stages import Loops
from graphwright.backends.codegen.walk import ordered
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.ir.ops.movement import Concat

_MOST_PIECES = 16
"""Each piece is a kernel to launch."""
_LEAST = 1 << 12
"""Elements of a result whose borders are worth kernels of their own."""
_SHORT = 8
"""A part of an axis is short that is less than such a fraction of it."""

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
    elements = Elements(stage.graph, arrays, inside)
    outputs = [arrays[v] for v, _ in stage.results]
    kernels: list[Kernel] = []
    for box in boxes:
        axes = [Axis(high - low) for low, high in box]
        at = tuple(of(a) + low for a, (low, _) in zip(axes, box, strict=True))
        exprs = [elements.at(v, at) for v, _ in stage.results]
        kernels.append(looped(axes, exprs, outputs, target, at))
    return [replace(kernel, whole=stage) for kernel in kernels]


def _boxes(
    stage: Loops, arrays: Mapping[Value, Array], shape: tuple[int, ...]
) -> list[Box] | None:
    """What is to be computed of the results; None where nothing is to be cut."""
    for node in stage.nodes:
        if sizes_of(node.results[0].type) == shape and isinstance(node.op, Concat):
            there = {v for v in node.operands if _is_placed(v, node, arrays)}
            found = list(_joints(node, node.op, shape, there))
            return found if there or len(found) > 1 else None
    if product(shape) < _LEAST:
        return None
    found = list(_around(list(map(_parts, shape, _ends(stage)))))
    return found if len(found) > 1 else None


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


def _ends(stage: Loops) -> list[set[int]]:
    """For each axis, where what is to be asked of an index is another thing."""
    found: dict[Axis, set[int]] = {axis: set() for axis in stage.axes}
    for expr in ordered([expr for _, expr in stage.results]):
        for guard in expr.value.guards if expr.op == "read" else ():
            terms = dict(guard.index.terms)
            if not all(isinstance(term, Axis) for term in terms):
                continue
            mine = [axis for axis in stage.axes if axis in terms]
            if len(mine) == 1 and terms[mine[0]] > 0:
                found[mine[0]].update(_certain(guard, mine[0]))
    return [found[axis] for axis in stage.axes]


def _certain(guard: Within, axis: Axis) -> Range:
    """Where along an axis a condition holds whatever the other axes are."""
    factor = guard.index.factor(axis)
    low, high = (guard.index + of(axis) * -factor).bounds
    return -((low - guard.low) // factor), (guard.high - 1 - high) // factor + 1


def _parts(n: int, ends: set[int]) -> list[Range]:
    """An axis in parts; short ones that follow on one another are one."""
    found: list[Range] = []
    for part in pairwise(sorted({0, n} | {x for x in ends if 0 < x < n})):
        if found and all((high - low) * _SHORT < n for low, high in (part, found[-1])):
            part = (found.pop()[0], part[1])  # noqa: PLW2901
        found.append(part)
    return found


def _around(parts: Sequence[Sequence[Range]]) -> Iterator[Box]:
    """The box of the longest parts, after what lies before and behind it."""
    box = [(row[0][0], row[-1][1]) for row in parts]
    for i, row in enumerate(parts):
        longest = max(row, key=lambda part: part[1] - part[0])
        for part in row:
            if part is not longest:
                yield (*box[:i], part, *box[i + 1 :])
        box[i] = longest
    yield tuple(box)
