"""Kernels of reductions over windows and axes."""

import math
from typing import Any

import numpy as np

from graphwright.backends.contract import Kernel, Request
from graphwright.backends.numpy.kernels.geometry import make_axes
from graphwright.backends.numpy.kernels.pool import PoolPlan, plan_pool
from graphwright.backends.numpy.table import kernel_for, writing
from graphwright.ir.ops.fused import Fused
from graphwright.ir.ops.reduce import ReduceWindow
from graphwright.ir.types import TensorType

_Row = tuple[int, int, int, tuple[int, int]]
_PLAIN: _Row = (1, 1, 1, (0, 0))


@kernel_for("reduce_window")
def reduce_window(request: Request) -> Kernel | None:
    """Maxima, minima and sums over windows of neighbouring axes."""
    assert isinstance(request.op, ReduceWindow)
    return _pooling(request.op, request, None)


def mean_region(op: Fused, request: Request) -> Kernel | None:
    """Sums over windows, divided by a constant for each position."""
    root, *_, division = op.body.nodes
    assert isinstance(root.op, ReduceWindow)
    held = [*request.constants[1:], *op.body.constants.values()]
    if division.op.name != "div" or len(held) != 1 or held[0] is None:
        return None
    return _pooling(root.op, request, held[0].array())


def _pooling(op: ReduceWindow, request: Request, divisor: Any) -> Kernel | None:
    x = request.types[0]
    assert isinstance(x, TensorType)
    if not x.dtype.is_float or 0 in x.dims or op.kind not in ("max", "min", "sum"):
        return None
    rows = _rows(op, x.rank)
    axes = [i for i, row in enumerate(rows) if row != _PLAIN]
    if not axes or any(low < 0 or high < 0 for *_, (low, high) in rows):
        return None
    plan, shape = _plan(op, x, rows, slice(axes[0], axes[-1] + 1), divisor)

    def run(out: Any, array: Any, *_counts: Any) -> None:
        plan(array.reshape(shape), out=out.reshape(plan.out_shape))

    def bind(scratch: Any, out: Any, array: Any, *_counts: Any) -> Any:
        return plan.bind(scratch, array.reshape(shape), out.reshape(plan.out_shape))

    more: Any = {"unread": tuple(range(1, len(request.types))), "pins": True}
    size = plan.scratch_bytes
    return writing(request, run, bind=bind, scratch_bytes=size, **more)


def _rows(op: ReduceWindow, rank: int) -> list[_Row]:
    """Window, stride, dilation and padding of each axis."""
    fields = zip(op.window, op.strides, op.dilations, op.padding, strict=True)
    rows: Any = [_PLAIN] * (rank - len(op.window)) + list(fields)
    return list(rows)


def _plan(
    op: ReduceWindow, x: TensorType, rows: list[_Row], cut: slice, divisor: Any
) -> tuple[PoolPlan, tuple[int, ...]]:
    """The pooling over some axes, and the shape that it takes.

    What lies behind these axes are channels that come last, what lies before are
    images; or channels that come first, if nothing lies behind.
    """
    dims: Any = x.dims
    before, after = math.prod(dims[: cut.start]), math.prod(dims[cut.stop :])
    spatial = tuple(dims[cut])
    shape = (before, *spatial, after) if after > 1 else (1, before, *spatial)
    window, strides, dilations, pads = (
        list(column) for column in zip(*rows[cut], strict=True)
    )
    if divisor is not None:
        outs = [
            axis.out for axis in make_axes(spatial, window, strides, pads, dilations)
        ]
        own = divisor.shape[cut] if divisor.ndim else ()
        divisor = np.broadcast_to(divisor.reshape(own), outs)
    plan = plan_pool(
        shape,
        window,
        kind=op.kind,  # type: ignore[arg-type]
        dtype=x.dtype.numpy,
        strides=strides,
        pads=pads,
        dilations=dilations,
        divisor=divisor,
        layout="NHWC" if after > 1 else "NCHW",
    )
    return plan, shape
