"""Ops applied by hand: what no function of the namespace is, custom ones above all."""

from typing import Any

from graphwright.frontends.tracing import state
from graphwright.frontends.tracing.promotion import strong
from graphwright.frontends.tracing.storage import Handle, operand_of
from graphwright.ir.arguments import checked
from graphwright.ir.op import Op


@checked
def apply(op: Op, *operands: Any) -> Any:
    """The results of an op on tensors: a tensor, or a tuple of them.

    Works eagerly, under ``jit``, ``trace`` and ``vmap``. Nothing is promoted: operands
    have the dtypes that the op's ``result_type`` takes.

    Args:
        op: The op, such as ``Squash(width=2.0)``.
        operands: Tensors or arrays.

    Raises:
        ShapeError, DTypeError: If the operands do not fit the op.
    """
    b = state.emitter(op.name)
    values = [strong(b, operand_of(b, x)) for x in operands]
    results = tuple(map(Handle.make, b.emit_all(op.name, *values, **op.fields)))
    return results[0] if len(results) == 1 else results
