"""How ONNX's elementwise operators line up their operands and choose a precision."""

from collections.abc import Callable

from graphwright.frontends.onnx.context import Context
from graphwright.ir.dim import equal
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ModelError


def aligned(c: Context) -> list[Value]:
    """The two operands in one shape; before opset 7 by ``broadcast`` and ``axis``."""
    x, y = c[0], c[1]
    if c.version < 7:
        broadcast = c.integer("broadcast", 0)
        axis: int = c.integer("axis", x.rank - y.rank)
        y = along_axis(c, y, x.rank, axis) if broadcast else y
    return c.b.align(x, y)


def along_axis(c: Context, y: Value, rank: int, axis: int) -> Value:
    """``y`` as a tensor of this rank, its first axis at ``axis``.

    Raises:
        ModelError: If it reaches beyond the last axis.
    """
    sizes = list(y.shape)
    while sizes and axis + len(sizes) > rank and equal(sizes[-1], 1):
        sizes.pop()  # trailing axes of size 1 do not count
    axis = c.axis(axis, rank) if sizes else 0
    after = rank - axis - len(sizes)
    if after < 0:
        raise ModelError(
            f"{c.op_type}: {y.type} does not fit rank {rank} at axis {axis}"
        )
    return c.b.reshape(y, (*(1,) * axis, *sizes, *(1,) * after))


def widened(b: Emitter, x: Value, rule: Callable[[Value], Value]) -> Value:
    """``rule`` in float32 where ``x`` is a narrower float, rounded once at the end."""
    return b.cast(rule(b.cast(x, x.dtype.accumulate)), x.dtype)
