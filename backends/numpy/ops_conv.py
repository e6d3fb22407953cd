"""Kernels of convolutions and matrix products, alone and with their epilogue."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from graphwright.backends.contract import Kernel, Request
from graphwright.backends.mapped import forget
from graphwright.backends.numpy.kernels.conv import (
    ConvPlan,
    plan_conv,
    plan_separable,
)
from graphwright.backends.numpy.kernels.epilogue import Clip, Epilogue
from graphwright.backends.numpy.kernels.matmul import Product, matmul
from graphwright.backends.numpy.region import Region, read_region
from graphwright.backends.numpy.table import kernel_for, writing
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DType, float32, float64
from graphwright.ir.graph import Node
from graphwright.ir.ops.fused import Fused
from graphwright.ir.ops.linalg import Conv, Dot
from graphwright.ir.types import TensorType

_FEW_ROWS = 16
_SMALL_FLOPS = 1 << 22


class _Declined(Exception):
    pass


@kernel_for("conv")
def conv(request: Request) -> Kernel | None:
    """A convolution, its weights packed once where they are constant."""
    assert isinstance(request.op, Conv)
    return _conv(request.op, request, (0, 1), None)


@kernel_for("dot")
def dot(request: Request) -> Kernel | None:
    """A matrix product, its right operand packed once where it is constant."""
    assert isinstance(request.op, Dot)
    return _dot(request.op, request, (0, 1), None)


def region_kernel(op: Fused, request: Request) -> Kernel | None:
    """A convolution or product with bias, residual and clamp."""
    region = read_region(op.body)
    if region is None:
        return None
    root = region.root.op
    try:
        if isinstance(root, Conv):
            return _conv(root, request, region.operands, region)
        assert isinstance(root, Dot)
        return _dot(root, request, region.operands, region)
    except _Declined:
        return None


def _clip(region: Region | None) -> Clip | None:
    if region is None or (region.low is None and region.high is None):
        return None
    low = -np.inf if region.low is None else region.low
    return Clip(low, np.inf if region.high is None else region.high)


def _bias(region: Region | None, request: Request, channels: int) -> Any:
    """The sum of the biases a channel, or None where there is none."""
    if region is None or not region.biases:
        return None
    parts: list[Any] = []
    for bias in region.biases:
        constant = bias if isinstance(bias, Constant) else request.constants[bias]
        if constant is None:
            raise _Declined
        parts.append(constant.array().reshape(-1))
    return np.ascontiguousarray(np.broadcast_to(reduce(np.add, parts), (channels,)))


def separable_region(op: Fused, request: Request) -> Kernel | None:
    """A depthwise convolution with the pointwise ones around it."""
    body = op.body
    held = dict(zip(body.inputs, request.constants, strict=True)) | body.constants
    plans: list[ConvPlan] = []
    residual: int | None = None
    for node in body.nodes:
        types = tuple(v.type for v in node.operands)
        results = tuple(v.type for v in node.results)
        constants = tuple(held.get(v) for v in node.operands)
        inner = Request(node.op, types, constants, results, request.strict_float)
        region = read_region(node.op.body)
        try:
            plan = None if region is None else _conv_plan(inner, region)
        except _Declined:
            return None
        if region is None or plan is None or residual is not None:
            return None
        plans.append(plan)
        if region.residual is not None:  # the last one's, or none
            added = node.operands[region.residual]
            if added not in body.inputs:
                return None
            residual = body.inputs.index(added)
    whole = plan_separable(plans)
    if whole is None:
        return _one_by_one(request, plans, residual)
    return _planned(request, whole, 0, residual)


def _one_by_one(
    request: Request, plans: Sequence[ConvPlan], residual: int | None
) -> Kernel:
    """Convolutions that read each other's results, and only that."""

    def run(out: Any, *operands: Any) -> None:
        x = operands[0]
        for plan in plans[:-1]:
            x = plan(x)
        plans[-1](x, out, None, None if residual is None else operands[residual])

    return writing(request, run, unread=_unread(request, 0, residual))


def _conv(
    op: Conv, request: Request, operands: tuple[int, int], region: Region | None
) -> Kernel | None:
    found = region or Region(Node(op, (), ()), operands)
    plan = _conv_plan(request, found)
    if plan is None:
        return None
    return _planned(request, plan, operands[0], found.residual)


def _conv_plan(request: Request, region: Region) -> ConvPlan | None:
    op: Any = region.root.op
    x, w = region.operands
    weights, data = request.constants[w], request.types[x]
    if weights is None or op.batch_groups != 1 or not isinstance(data, TensorType):
        return None
    if not data.dtype.is_float or 0 in data.dims:
        return None
    plan = plan_conv(
        data.dims,  # type: ignore[arg-type]
        weights.array(),
        strides=op.strides,
        pads=op.padding,
        dilations=op.rhs_dilation,
        lhs_dilations=op.lhs_dilation,
        groups=op.groups,
        bias=_bias(region, request, weights.shape[0]),
        clip=_clip(region),
        out_dtype=_result(op.dtype, data.dtype).numpy,
        layout="NHWC" if region.last else "NCHW",
        shuffle=region.shuffle,
        rearranged=not request.strict_float,
        again=weights.array,
    )
    forget(weights)
    return plan


def _planned(request: Request, plan: ConvPlan, x: int, residual: int | None) -> Kernel:
    def run(out: Any, *operands: Any) -> None:
        added = None if residual is None else operands[residual]
        plan(operands[x], out=out, residual=added)

    def bind(scratch: Any, out: Any, *operands: Any) -> Any:
        added = None if residual is None else operands[residual]
        return plan.bind(scratch, operands[x], out, added)

    return _packed(request, plan, run, bind, x, residual)


def _result(wanted: DType | None, own: DType) -> DType:
    return own if wanted is None else wanted


def _float_dot(
    request: Request,
    operands: tuple[int, int],
    residual: int | None,
    finish: Epilogue,
) -> Kernel:
    """A product of floats by BLAS, of any strides; large ones on all cores."""
    x, w = operands

    def run(out: Any, *arrays: Any) -> None:
        added = None if residual is None else arrays[residual]
        options: Any = {"bias": finish.bias, "clip": finish.clip, "residual": added}
        matmul(arrays[x], arrays[w], out=out, **options)

    def bind(scratch: Any, out: Any, *arrays: Any) -> Callable[[], object]:
        added = None if residual is None else arrays[residual]
        return Product(arrays[x], arrays[w], out, finish, added).bind()

    strided = tuple(range(len(request.types)))
    return writing(request, run, bind=bind, strided=strided)


def _dot(
    op: Dot, request: Request, operands: tuple[int, int], region: Region | None
) -> Kernel | None:
    x, w = operands
    data, right = request.types[x], request.types[w]
    assert isinstance(data, TensorType)
    assert isinstance(right, TensorType)
    if data.dtype is not right.dtype and op.dtype is None:
        return None
    columns: Any = right.dims[-1]
    bias, clip = _bias(region, request, columns), _clip(region)
    residual = None if region is None else region.residual
    weights = request.constants[w]
    if weights is not None and _packs(op, data, right):
        plan = _pointwise(data, weights, bias, clip)
        return _planned_rows(request, plan, x, residual)
    if data.dtype in (float32, float64) and op.dtype is None:
        return _float_dot(request, operands, residual, Epilogue(None, bias, clip))
    out = (op.dtype or data.dtype).numpy

    def run(*arrays: Any) -> Any:
        added = None if residual is None else arrays[residual]
        options: Any = {"bias": bias, "residual": added, "clip": clip}
        return matmul(arrays[x], arrays[w], out_dtype=out, **options)

    return run


def _packs(op: Dot, x: TensorType, y: TensorType) -> bool:
    """Whether packing the right operand pays: it is read more than once a run."""
    rows: Any = x.dims[0]
    return (
        x.rank == y.rank == 2
        and rows >= _FEW_ROWS
        and x.dtype is float32
        and op.dtype is None
        and 0 not in (*x.dims, *y.dims)
    )


def _pointwise(
    x: TensorType, weights: Constant, bias: Any, clip: Clip | None
) -> ConvPlan:
    """A product with a constant matrix is a convolution with windows of one."""
    rows, depth = x.dims
    filters = weights.array().T[:, :, None]
    shape: Any = (1, rows, depth)
    plan = plan_conv(shape, filters, bias=bias, clip=clip, layout="NHWC")
    forget(weights)
    return plan


def _planned_rows(
    request: Request, plan: ConvPlan, x: int, residual: int | None
) -> Kernel:
    def run(out: Any, *operands: Any) -> None:
        added = None if residual is None else operands[residual][None]
        plan(operands[x][None], out=out[None], residual=added)

    def bind(scratch: Any, out: Any, *operands: Any) -> Any:
        added = None if residual is None else operands[residual][None]
        return plan.bind(scratch, operands[x][None], out[None], added)

    return _packed(request, plan, run, bind, x, residual)


def _packed(
    request: Request, plan: ConvPlan, run: Any, bind: Any, x: int, rest: int | None
) -> Kernel:
    """A kernel that has packed all operands but ``x`` and ``rest``."""
    unread = _unread(request, x, rest)
    more: dict[str, Any] = {"scratch_bytes": plan.scratch_bytes, "pins": True}
    strided = (x,) if plan.strided else ()
    return writing(request, run, unread=unread, bind=bind, strided=strided, **more)


def _unread(request: Request, x: int, rest: int | None) -> tuple[int, ...]:
    """The operands that are packed."""
    return tuple(i for i in range(len(request.types)) if i not in (x, rest))
