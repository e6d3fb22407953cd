"""Products of quantized tensors in ONNX.

Differences from a zero point take one bit more than their operands: 16-bit integers
hold them, and products are summed in 32 bits.
"""

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.registry import converter
from graphwright.frontends.onnx.windows import windows_of
from graphwright.ir.dtype import DType, float32, int16, int32
from graphwright.ir.emitter import Value


def _rows(c: Context, part: Value) -> Value:
    """One number, or one for each row of a matrix."""
    if part.shape == (1,):
        return c.b.reshape(part, ())
    return c.b.expand_dims(part, [1]) if part.rank == 1 else part


def _columns(c: Context, part: Value) -> Value:
    """One number, or one for each column of a matrix."""
    return c.b.reshape(part, ()) if part.shape == (1,) else part


def _filters(c: Context, part: Value, rank: int) -> Value:
    """One number, or one for each filter of a convolution's weights."""
    if part.rank == 0 or part.shape == (1,):
        return c.b.reshape(part, ())
    return c.b.reshape(part, (part.shape[0], *(1,) * (rank - 1)))


def _centred(c: Context, x: Value, zero: Value | None) -> Value:
    """``x`` less its zero point."""
    wide = int16 if x.dtype.is_int else float32
    x = c.b.cast(x, wide)
    return x if zero is None else c.b.sub(x, c.b.cast(zero, wide))


def _sum_dtype(x: Value) -> DType:
    return int32 if x.dtype.is_int else x.dtype


def _requantized(
    c: Context, total: Value, factor: Value, scale: Value, zero: Value
) -> Value:
    """``round(total * (factor / scale)) + zero``, saturated to the dtype of ``zero``.

    One factor, in float32, as the standard's reference and ONNX Runtime have it: two
    roundings may end at a half that is none.
    """
    factor, scale = (c.b.cast(v, float32) for v in (factor, scale))
    real = c.b.emit("dequantize", total, c.b.div(factor, scale), dtype=float32)
    return c.b.emit("quantize", real, c.b.scalar(1.0, float32), zero, dtype=zero.dtype)


@converter("MatMulInteger")
def matmul_integer(c: Context) -> Value:
    """``(a - a_zero) @ (b - b_zero)`` in int32."""
    zeros = c.optional(2), c.optional(3)
    x = _centred(c, c[0], zeros[0] and _rows(c, zeros[0]))
    y = _centred(c, c[1], zeros[1] and _columns(c, zeros[1]))
    return c.b.matmul(x, y, int32)


@converter("QLinearMatMul")
def qlinear_matmul(c: Context) -> Value:
    """The product of two quantized matrices, quantized again."""
    x = _centred(c, c[0], _rows(c, c[2]))
    y = _centred(c, c[3], _columns(c, c[5]))
    total = c.b.matmul(x, y, _sum_dtype(x))
    factor = c.b.mul(_rows(c, c[1]), _columns(c, c[4]))
    return _requantized(c, total, factor, _rows(c, c[6]), _rows(c, c[7]))


def _convolved(c: Context, x: Value, w: Value) -> Value:
    windows = windows_of(c, x.shape[2:], w.shape[2:])
    return c.b.emit(
        "conv",
        x,
        w,
        strides=windows.strides,
        padding=windows.padding,
        lhs_dilation=(1,) * len(windows.strides),
        rhs_dilation=windows.dilations,
        groups=c.integer("group", 1),
        dtype=int32,
    )


@converter("ConvInteger")
def conv_integer(c: Context) -> Value:
    """The convolution of ``x - x_zero`` with ``w - w_zero`` in int32."""
    zeros = c.optional(2), c.optional(3)
    x = _centred(c, c[0], zeros[0] and _columns(c, zeros[0]))
    w = _centred(c, c[1], zeros[1] and _filters(c, zeros[1], c[1].rank))
    return _convolved(c, x, w)


@converter("QLinearConv")
def qlinear_conv(c: Context) -> Value:
    """The convolution of quantized tensors, with an int32 bias, quantized again."""
    b, rank = c.b, c[3].rank
    x = _centred(c, c[0], _columns(c, c[2]))
    w = _centred(c, c[3], _filters(c, c[5], rank))
    total = _convolved(c, x, w)
    bias = c.optional(8)
    if bias is not None:
        total = b.add(total, _filters(c, bias, rank - 1))
    factor = b.mul(_columns(c, c[1]), _filters(c, c[4], rank - 1))
    return _requantized(c, total, factor, _columns(c, c[6]), _columns(c, c[7]))
