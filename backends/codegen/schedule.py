"""Schedules: how loops are divided among the work-items of a device."""

from collections.abc import Mapping, Sequence

from graphwright.backends.codegen import schedule_cpu, schedule_gpu
from graphwright.backends.codegen.device import Gpu, Target
from graphwright.backends.codegen.elements import Array, Coordinates
from graphwright.backends.codegen.expr import Expr
from graphwright.backends.codegen.index import Axis
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.stages import Loops
from graphwright.ir.emitter import Value


def scheduled(stage: Loops, arrays: Mapping[Value, Array], target: Target) -> Kernel:
    """The kernel of a stage."""
    outputs = [arrays[v] for v, _ in stage.results]
    exprs = [expr for _, expr in stage.results]
    return looped(stage.axes, exprs, outputs, target)


def looped(
    axes: Sequence[Axis],
    exprs: Sequence[Expr],
    outputs: Sequence[Array],
    target: Target,
    at: Coordinates | None = None,
) -> Kernel:
    """A kernel that computes expressions over axes and writes them to arrays.

    ``at`` are their coordinates in the arrays, by default the axes themselves.
    """
    if isinstance(target, Gpu):
        return schedule_gpu.looped(axes, exprs, outputs, target, at)
    return schedule_cpu.looped(axes, exprs, outputs, target, at)


def parts_of(whole: Expr, axes: Sequence[Axis], target: Target) -> int:
    """In how many parts a reduction over axes is worth being computed; 1 if it is not.

    Args:
        whole: The reduction.
        axes: Those of its results.
        target: The device.
    """
    if isinstance(target, Gpu):
        return schedule_gpu.parts_of(whole, axes, target)
    return schedule_cpu.parts_of(whole, axes, target)
