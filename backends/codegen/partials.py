"""Long reductions to few results, shared: each work-item reduces a part of them.

A sum over all of an array would keep one core busy. So a kernel before reduces parts,
whose results lie in memory, and what is left to do is to reduce these. How many parts
there are hangs on the device alone, not on who happens to be idle: the same order, and
so the same bits, in each run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from graphwright.backends.codegen.device import Target
from graphwright.backends.codegen.elements import Array, Reduction, read
from graphwright.backends.codegen.expr import Expr
from graphwright.backends.codegen.index import Axis, of
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.schedule import looped, parts_of, scheduled
from graphwright.backends.codegen.stages import Loops
from graphwright.backends.codegen.walk import (
    free_axes,
    reductions_of,
    substituted,
)
from graphwright.ir.emitter import Value


def shared(
    stage: Loops, arrays: Mapping[Value, Array], target: Target
) -> Sequence[Kernel]:
    """The kernels of a stage: those that reduce parts, and its own."""
    kernels: list[Kernel] = []
    found = dict[Expr, Expr]()
    exprs = [expr for _, expr in stage.results]
    for reduction in reductions_of(exprs):
        (whole,) = substituted([reduction], found)
        axes = [axis for axis in stage.axes if axis in free_axes(whole)]
        inside = free_axes(whole) - set(stage.axes)  # it is a part of another one
        parts = 1 if inside else parts_of(whole, axes, target)
        if parts > 1:
            part = Axis(parts)
            row = (part, *axes)
            array = Array(whole.dtype, tuple(axis.extent for axis in row))
            kernels.append(looped(row, [_part(whole, part)], [array], target))
            found[reduction] = _whole(whole, array, axes)
        elif whole is not reduction:
            found[reduction] = whole
    if not kernels:
        return [scheduled(stage, arrays, target)]
    outputs = [arrays[v] for v, _ in stage.results]
    return [*kernels, looped(stage.axes, substituted(exprs, found), outputs, target)]


def _part(whole: Expr, part: Axis) -> Expr:
    """A part of a reduction."""
    return replace(whole, value=replace(whole.value, part=of(part), parts=part.extent))


def _whole(whole: Expr, array: Array, axes: Sequence[Axis]) -> Expr:
    """A reduction by its parts."""
    again = Axis(array.shape[0])
    element = read(array, array.index((of(again), *map(of, axes))))
    return replace(whole, args=(element,), value=Reduction(whole.value.kind, (again,)))
