"""Kernels of convolutions, alone and with their epilogue."""

from collections.abc import Callable
from typing import Any

import numpy as np

from graphwright.backends.contract import Kernel, Request
from graphwright.backends.numpy.kernels.conv import plan_conv
from graphwright.backends.numpy.kernels.epilogue import Clip
from graphwright.backends.numpy.kernels.matmul import matmul
from graphwright.backends.numpy.region import Region, read_region
from graphwright.backends.numpy.table import kernel_for
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DType
from graphwright.ir.ops.fused import Fused
from graphwright.ir.ops.linalg import Conv, Dot
from graphwright.ir.types import TensorType


@kernel_for("conv")
def conv(request: Request) -> Kernel | None:
    """A convolution, its weights packed once where they are constant."""
    assert isinstance(request.op, Conv)
    return _conv(request.op, request, 0, 1, None)


@kernel_for("dot")
def dot(request: Request) -> Kernel | None:
    """A matrix product."""
    assert isinstance(request.op, Dot)
    if not _plain_dot(request.op, request):
        return None
    out = request.op.dtype

    def run(x: Any, y: Any) -> Any:
        return matmul(x, y, out_dtype=None if out is None else out.numpy)

    return run


@kernel_for("fused")
def fused(request: Request) -> Kernel | None:
    """A convolution or product with bias, residual and clamp."""
    assert isinstance(request.op, Fused)
    region = read_region(request.op.body)
    if region is None:
        return None
    inputs = request.op.body.inputs
    x, w = (inputs.index(v) for v in region.root.operands)
    if isinstance(region.root.op, Conv):
        return _conv(region.root.op, request, x, w, region)
    assert isinstance(region.root.op, Dot)
    return _fused_dot(region.root.op, request, x, w, region)


def _plain_dot(op: Dot, request: Request) -> bool:
    dtypes = {t.dtype for t in request.types if isinstance(t, TensorType)}
    return len(dtypes) == 1 or op.dtype is not None


def _clip(region: Region | None) -> Clip | None:
    if region is None or (region.low is None and region.high is None):
        return None
    low = -np.inf if region.low is None else region.low
    return Clip(low, np.inf if region.high is None else region.high)


def _bias(region: Region | None, request: Request) -> "Callable[[Any], Any] | None":
    """Reads the bias from a run's operands, or None where there is none."""
    if region is None or region.bias is None:
        return None
    if isinstance(region.bias, Constant):
        array = region.bias.array().reshape(-1)
        return lambda _: array
    index = region.bias
    constant = request.constants[index]
    if constant is not None:
        fixed = constant.array().reshape(-1)
        return lambda _: fixed
    return lambda operands: operands[index].reshape(-1)


def _conv(
    op: Conv, request: Request, x: int, w: int, region: Region | None
) -> Kernel | None:
    weights = request.constants[w]
    data = request.types[x]
    if weights is None or op.batch_groups != 1 or not isinstance(data, TensorType):
        return None
    if not data.dtype.is_float or 0 in data.dims:
        return None
    bias = _bias(region, request)
    if bias is not None and not _constant_bias(region, request):
        return None
    filters = weights.shape[0]
    fixed = None if bias is None else np.broadcast_to(bias(()), (filters,))
    plan = plan_conv(
        data.dims,  # type: ignore[arg-type]
        weights.array(),
        strides=op.strides,
        pads=op.padding,  # type: ignore[arg-type]
        dilations=op.rhs_dilation,
        lhs_dilations=op.lhs_dilation,
        groups=op.groups,
        bias=fixed,
        clip=_clip(region),
        out_dtype=_result(op.dtype, data.dtype).numpy,
    )
    residual = None if region is None else region.residual

    def run(*operands: Any) -> Any:
        added = None if residual is None else operands[residual]
        return plan(operands[x], residual=added)

    return run


def _constant_bias(region: Region | None, request: Request) -> bool:
    if region is None or isinstance(region.bias, Constant) or region.bias is None:
        return True
    return request.constants[region.bias] is not None


def _result(wanted: DType | None, own: DType) -> DType:
    return own if wanted is None else wanted


def _fused_dot(
    op: Dot, request: Request, x: int, w: int, region: Region
) -> Kernel | None:
    if not _plain_dot(op, request):
        return None
    bias, clip, residual = _bias(region, request), _clip(region), region.residual
    out = None if op.dtype is None else op.dtype.numpy

    def run(*operands: Any) -> Any:
        added = None if residual is None else operands[residual]
        row = None if bias is None else bias(operands)
        return matmul(
            operands[x], operands[w], out_dtype=out, bias=row, residual=added, clip=clip
        )

    return run
