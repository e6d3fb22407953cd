"""Kernels of reductions over windows and axes."""

import math
from typing import Any

from graphwright.backends.contract import Kernel, Request
from graphwright.backends.numpy.kernels.pool import PoolPlan, plan_pool
from graphwright.backends.numpy.table import kernel_for, writing
from graphwright.ir.ops.reduce import ReduceWindow
from graphwright.ir.types import TensorType

_Row = tuple[int, int, int, tuple[int, int]]
_PLAIN: _Row = (1, 1, 1, (0, 0))


@kernel_for("reduce_window")
def reduce_window(request: Request) -> Kernel | None:
    """Maxima, minima and sums over windows of neighbouring axes."""
    op, (x,) = request.op, request.types
    assert isinstance(op, ReduceWindow)
    assert isinstance(x, TensorType)
    if not x.dtype.is_float or 0 in x.dims or op.kind not in ("max", "min", "sum"):
        return None
    rows = _rows(op, x.rank)
    axes = [i for i, row in enumerate(rows) if row != _PLAIN]
    if not axes or any(low < 0 or high < 0 for *_, (low, high) in rows):
        return None
    plan, shape = _plan(op, x, rows[axes[0] : axes[-1] + 1], axes[0], axes[-1] + 1)

    def run(out: Any, array: Any) -> None:
        plan(array.reshape(shape), out=out.reshape(plan.out_shape))

    def bind(scratch: Any, out: Any, array: Any) -> Any:
        return plan.bind(scratch, array.reshape(shape), out.reshape(plan.out_shape))

    size = plan.scratch_bytes
    return writing(request, run, bind=bind, scratch_bytes=size, pins=True)


def _rows(op: ReduceWindow, rank: int) -> list[_Row]:
    """Window, stride, dilation and padding of each axis."""
    fields = zip(op.window, op.strides, op.dilations, op.padding, strict=True)
    rows: Any = [_PLAIN] * (rank - len(op.window)) + list(fields)
    return list(rows)


def _plan(
    op: ReduceWindow, x: TensorType, rows: list[_Row], first: int, stop: int
) -> tuple[PoolPlan, tuple[int, ...]]:
    """The pooling over axes ``first`` to ``stop``, and the shape that it takes.

    What lies behind these axes are channels that come last, what lies before are
    images; or channels that come first, if nothing lies behind.
    """
    dims: Any = x.dims
    before, after = math.prod(dims[:first]), math.prod(dims[stop:])
    spatial = tuple(dims[first:stop])
    shape = (before, *spatial, after) if after > 1 else (1, before, *spatial)
    window, strides, dilations, pads = (
        list(column) for column in zip(*rows, strict=True)
    )
    plan = plan_pool(
        shape,
        window,
        kind=op.kind,  # type: ignore[arg-type]
        dtype=x.dtype.numpy,
        strides=strides,
        pads=pads,
        dilations=dilations,
        layout="NHWC" if after > 1 else "NCHW",
    )
    return plan, shape
