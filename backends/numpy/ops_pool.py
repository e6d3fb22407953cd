"""Kernels of reductions over windows."""

from typing import Any

from graphwright.backends.contract import Kernel, Request
from graphwright.backends.numpy.kernels.pool import plan_pool
from graphwright.backends.numpy.table import kernel_for
from graphwright.ir.ops.reduce import ReduceWindow
from graphwright.ir.types import TensorType


@kernel_for("reduce_window")
def reduce_window(request: Request) -> Kernel | None:
    """Maxima, minima and sums over windows of [N, C, *spatial]."""
    op, (x,) = request.op, request.types
    assert isinstance(op, ReduceWindow)
    assert isinstance(x, TensorType)
    if x.rank != len(op.window) + 2 or not x.dtype.is_float or 0 in x.dims:
        return None
    if op.kind not in ("max", "min", "sum"):
        return None
    if any(low < 0 or high < 0 for low, high in op.padding):  # type: ignore[operator]
        return None
    plan = plan_pool(
        x.dims,  # type: ignore[arg-type]
        op.window,
        kind=op.kind,  # type: ignore[arg-type]
        dtype=x.dtype.numpy,
        strides=op.strides,
        pads=op.padding,  # type: ignore[arg-type]
        dilations=op.dilations,
    )

    def run(array: Any) -> Any:
        return plan(array)

    return run
