"""Kernels of fused regions, by kind."""

from graphwright.backends.contract import Kernel, Request
from graphwright.backends.numpy.ops_attention import attention_region
from graphwright.backends.numpy.ops_conv import region_kernel, separable_region
from graphwright.backends.numpy.ops_elementwise import elementwise_kernel
from graphwright.backends.numpy.ops_index import gather_region
from graphwright.backends.numpy.ops_pool import mean_region
from graphwright.backends.numpy.ops_quantized import quantized_region
from graphwright.backends.numpy.table import kernel_for
from graphwright.ir.ops.fused import Fused


@kernel_for("fused")
def fused(request: Request) -> Kernel | None:
    """The kernel of a region, or None where its form is unknown."""
    assert isinstance(request.op, Fused)
    if request.op.kind == "elementwise":
        return elementwise_kernel(request.op, request)
    if request.op.kind == "attention":
        return attention_region(request.op, request)
    if request.op.kind == "gather":
        return gather_region(request.op, request)
    if request.op.kind == "quantized":
        return quantized_region(request.op, request)
    if request.op.kind == "reduce_window":
        return mean_region(request.op, request)
    if request.op.kind == "separable":
        return separable_region(request.op, request)
    if request.op.kind in ("conv", "dot"):
        return region_kernel(request.op, request)
    return None
