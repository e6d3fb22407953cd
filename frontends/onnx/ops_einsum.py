"""Einstein summation of ONNX."""

from graphwright.frontends.einsum import einsum as contract
from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.registry import converter
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError, ShapeError


@converter("Einsum")
def einsum(c: Context) -> Value:
    """Products of elements with equal labels, summed over labels not in the output."""
    try:
        return contract(c.b, c.string("equation"), c.values())
    except ShapeError as error:
        raise ModelError(f"Einsum: {error}") from None
