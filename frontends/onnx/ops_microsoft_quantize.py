"""com.microsoft: quantized operators."""

from collections.abc import Callable, Sequence

import numpy as np

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.ops_microsoft import MS, to_back, to_front
from graphwright.frontends.onnx.ops_microsoft_norm import embedded
from graphwright.frontends.onnx.registry import converter
from graphwright.frontends.onnx.standard import refuse, standard, standard_all
from graphwright.ir.dim import Dim, ceildiv, product
from graphwright.ir.dtype import float32, int64, uint8
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError


@converter("QuantizeLinear", "DequantizeLinear", domain=MS)
def linear(c: Context) -> Value:
    """The standard operators, which take 16 bits too."""
    return standard(c, c.op_type, *c.inputs, axis=c.integer("axis", 1))


def _real(c: Context, first: int) -> Value:
    """The real numbers that operands ``first``, its scale and zero point stand for."""
    return standard(
        c, "DequantizeLinear", c[first], c[first + 1], c.optional(first + 2)
    )


def _rounded(
    c: Context, y: Value, scale: Value, zero: Value | None, like: Value
) -> Value:
    """Real numbers in a scale; without a zero point of the dtype of ``like``."""
    if zero is None:
        zero = c.b.scalar(0, like.dtype)
    return standard(c, "QuantizeLinear", y, scale, zero)


@converter("QLinearAdd", "QLinearMul", domain=MS)
def qlinear_binary(c: Context) -> Value:
    """Addition or product of quantized tensors."""
    x, y = _real(c, 0), _real(c, 3)
    z = c.b.add(x, y) if c.op_type == "QLinearAdd" else c.b.mul(x, y)
    return _rounded(c, z, c[6], c.optional(7), c[0])


@converter(
    "QLinearSigmoid",
    "QLinearLeakyRelu",
    "QLinearSoftmax",
    "QLinearGlobalAveragePool",
    "QLinearAveragePool",
    "QLinearReduceMean",
    domain=MS,
)
def qlinear_unary(c: Context) -> Value:
    """An operator between quantized tensors, computed on the real numbers."""
    last = bool(c.integer("channels_last", 0))
    x = _real(c, 0)
    x = to_front(c, x) if last else x
    y = _UNARY[c.op_type](c, x)
    y = to_back(c, y) if last else y
    return _rounded(c, y, c[3], c.optional(4), c[0])


def _q_softmax(c: Context, x: Value) -> Value:
    version = c.integer("opset", 13)
    return standard(c, "Softmax", x, version=version, axis=c.integer("axis", -1))


def _q_mean(c: Context, x: Value) -> Value:
    return standard(c, "ReduceMean", x, version=13, keep=True)


_UNARY: dict[str, Callable[[Context, Value], Value]] = {
    "QLinearSigmoid": lambda c, x: c.b.emit("sigmoid", x),
    "QLinearLeakyRelu": lambda c, x: standard(c, "LeakyRelu", x, keep=True),
    "QLinearSoftmax": _q_softmax,
    "QLinearGlobalAveragePool": lambda c, x: standard(c, "GlobalAveragePool", x),
    "QLinearAveragePool": lambda c, x: standard(c, "AveragePool", x, keep=True),
    "QLinearReduceMean": _q_mean,
}


@converter("QLinearConcat", domain=MS)
def qlinear_concat(c: Context) -> Value:
    """Quantized tensors one after the other, in one scale."""
    parts = [_real(c, i) for i in range(2, len(c.inputs), 3)]
    axis = c.axis(c.integer("axis"), parts[0].rank)
    return _rounded(c, c.b.concat(parts, axis), c[0], c[1], c[2])


@converter("QLinearWhere", domain=MS)
def qlinear_where(c: Context) -> Value:
    """Where over quantized tensors."""
    y = c.b.where(c[0], _real(c, 1), _real(c, 4))
    return _rounded(c, y, c[7], c.optional(8), c[1])


# Products of integers -----------------------------------------------------------------


def _by_column(c: Context, scale: Value) -> Value:
    return c.b.reshape(scale, ()) if scale.shape == (1,) else scale


@converter("MatMulIntegerToFloat", domain=MS)
def matmul_integer_to_float(c: Context) -> Value:
    """A product of integers in the scale of its factors."""
    b = c.b
    whole = standard(c, "MatMulInteger", c[0], c[1], c.optional(4), c.optional(5))
    scale = b.mul(_by_column(c, c[2]), _by_column(c, c[3]))
    y, bias = b.mul(b.cast(whole, scale.dtype), scale), c.optional(6)
    return y if bias is None else b.add(y, bias)


@converter("DynamicQuantizeMatMul", domain=MS)
def dynamic_quantize_matmul(c: Context) -> Value:
    """A product of integers whose first factor is quantized now."""
    b = c.b
    x, scale, zero = standard_all(c, "DynamicQuantizeLinear", [c[0]], results=3)
    whole = standard(c, "MatMulInteger", x, c[1], zero, c.optional(3))
    y = b.mul(b.cast(whole, scale.dtype), b.mul(_by_column(c, c[2]), scale))
    bias = c.optional(4)
    return y if bias is None else b.add(y, bias)


@converter("QGemm", domain=MS)
def qgemm(c: Context) -> Value:
    """Gemm of quantized factors; real numbers where no scale of the result is given."""
    b = c.b
    x = b.transpose(c[0], (1, 0)) if c.integer("transA", 0) else c[0]
    y = b.transpose(c[3], (1, 0)) if c.integer("transB", 0) else c[3]
    whole, bias = standard(c, "MatMulInteger", x, y, c[2], c[5]), c.optional(6)
    whole = whole if bias is None else b.add(whole, bias)
    scale = b.mul(b.mul(_by_column(c, c[1]), _by_column(c, c[4])), c.real("alpha", 1.0))
    z, to = b.mul(b.cast(whole, scale.dtype), scale), c.optional(7)
    return z if to is None else _rounded(c, z, to, c.optional(8), c[0])


@converter("QEmbedLayerNormalization", domain=MS)
def q_embed_layer_norm(c: Context) -> Sequence[Value]:
    """EmbedLayerNormalization of quantized tables."""
    parts: list[Value | None] = [c[0], c.optional(1)]
    for i in range(2, 7):
        table, scale, zero = c.optional(i), c.optional(i + 6), c.optional(i + 11)
        if table is None or scale is None:
            parts.append(None)
        else:
            parts.append(standard(c, "DequantizeLinear", table, scale, zero))
    return embedded(c, [*parts, c.optional(7), None])


# Weights of a few bits ----------------------------------------------------------------


def unpacked(c: Context, x: Value, bits: int) -> Value:
    """Fields of ``bits`` bits of bytes, low ones first, along the last axis."""
    b = c.b
    if bits == 8:
        return x
    if bits not in (2, 4):
        raise ModelError(f"{c.op_type} with {bits} bits")
    shifts = b.constant(np.arange(0, 8, bits, dtype=x.dtype.numpy))
    count = shifts.shape[0]
    # first repeated, so that bytes of a file are not folded to as many others
    wide = b.broadcast_to(b.expand_dims(x, [x.rank]), (*x.shape, count))
    fields = b.and_(b.emit("shr", *b.align(wide, shifts)), (1 << bits) - 1)
    return b.reshape(fields, (*x.shape[:-1], x.shape[-1] * count))


def block_weights(
    c: Context,
    packed: Value,
    scales: Value,
    zeros: Value | None,
    bits: int,
    shape: Sequence[Dim],
) -> Value:
    """Weights ``[rows, blocks, size]`` of packed fields, ``(q - zero) * scale``.

    Args:
        c: The node.
        packed: The fields, in bytes.
        scales: One a block.
        zeros: One a block: packed too, or numbers; the middle of the range by default.
        bits: Bits of a field.
        shape: Rows, blocks, and fields of a block.
    """
    b, (rows, blocks, size) = c.b, shape
    fields = unpacked(
        c, b.reshape(packed, (rows, blocks, ceildiv(size * bits, 8))), bits
    )
    q = b.cast(fields, scales.dtype)
    if zeros is None:
        centre = b.scalar(1 << (bits - 1), scales.dtype)
    elif zeros.dtype is uint8:
        each = unpacked(c, b.reshape(zeros, (rows, ceildiv(blocks * bits, 8))), bits)
        each = b.slice_axis(each, 1, 0, blocks)
        centre = b.expand_dims(b.cast(each, scales.dtype), [2])
    else:
        centre = b.cast(b.reshape(zeros, (rows, blocks, 1)), scales.dtype)
    return b.mul(b.sub(q, centre), b.reshape(scales, (rows, blocks, 1)))


@converter("MatMulNBits", domain=MS)
def matmul_nbits(c: Context) -> Value:
    """The product with weights of a few bits, quantized in blocks of rows."""
    refuse(c, 4)
    b, rows, size = c.b, c.integer("N"), c.integer("K")
    block, bits = c.integer("block_size"), c.integer("bits", 4)
    if block < 1 or rows < 1 or size < 1:
        raise ModelError(f"MatMulNBits of {rows} by {size} in blocks of {block}")
    blocks = -(-size // block)
    scales = c[2]
    weights = block_weights(c, c[1], scales, c.optional(3), bits, (rows, blocks, block))
    weights = b.slice_axis(b.reshape(weights, (rows, blocks * block)), 1, 0, size)
    weights, bias = b.cast(weights, c[0].dtype), c.optional(5)
    y = b.matmul(c[0], b.transpose(weights, (1, 0)))
    return y if bias is None else b.add(y, bias)


_NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
    -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
    0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
_FP4 = (0.0, 1 / 192, 2 / 3, 1.0, 1 / 3, 0.5, 1 / 6, 0.25)


@converter("MatMulBnb4", domain=MS)
def matmul_bnb4(c: Context) -> Value:
    """The product with weights of 4 bits by bitsandbytes' tables: FP4 or NF4."""
    b, rows, size = c.b, c.integer("N"), c.integer("K")
    block = c.integer("block_size")
    levels = _NF4 if c.integer("quant_type") == 1 else (*_FP4, *(-v for v in _FP4))
    total = rows * size
    blocks = -(-total // block)
    pairs = c.b.reshape(c[1], (c[1].tensor.size,))
    first, second = b.emit("shr", *b.align(pairs, 4)), b.and_(pairs, 15)
    codes = b.reshape(b.stack([first, second], 1), (pairs.shape[0] * 2,))
    table = b.constant(np.array(levels, c[2].dtype.numpy))
    values = b.gather(table, b.cast(codes, int64), 0)
    values = b.pad(values, (0,), (blocks * block - values.shape[0],))
    weights = b.mul(b.reshape(values, (blocks, block)), b.reshape(c[2], (blocks, 1)))
    flat = b.slice_axis(b.reshape(weights, (blocks * block,)), 0, 0, total)
    matrix = b.cast(b.reshape(flat, (rows, size)), c[0].dtype)
    return b.matmul(c[0], b.transpose(matrix, (1, 0)))


@converter("GatherBlockQuantized", domain=MS)
def gather_block_quantized(c: Context) -> Value:
    """Rows of a table that is quantized in blocks."""
    b, data, scales, zeros = c.b, c[0], c[2], c.optional(3)
    bits = c.integer("bits", 4)
    axis = c.axis(c.integer("gather_axis", 0), data.rank)
    along = c.axis(c.integer("quantize_axis", 1), data.rank)
    if data.dtype is uint8:
        data = unpacked(c, data, bits)
        zeros = None if zeros is None else unpacked(c, zeros, bits)
        centre: Value | None = b.scalar(1 << (bits - 1), uint8)
    else:
        centre = None
    block = c.integer("block_size", 128)
    if zeros is not None:
        zeros = b.slice_axis(zeros, along, 0, scales.shape[along])
    elif centre is not None:
        zeros = b.broadcast_to(centre, scales.shape)
    table = standard(
        c, "DequantizeLinear", data, scales, zeros, axis=along, block_size=block
    )
    return standard(c, "Gather", table, c[1], axis=axis)


# Mixtures of experts ------------------------------------------------------------------


@converter("MoE", domain=MS)
def moe(c: Context) -> Value:
    """The ``k`` experts (two layers each) that a router prefers, weighted."""
    gate = c.optional(6)
    return _experts(c, c[2], c.optional(3), c[4], c.optional(5), gate, c.optional(7))


@converter("QMoE", domain=MS)
def q_moe(c: Context) -> Value:
    """MoE with weights of a few bits, a scale for each row."""
    bits = c.integer("expert_weight_bits", 4)
    one, two = (_expert_weights(c, c[i], c[i + 1], bits) for i in (2, 5))
    gate, scales = c.optional(8), c.optional(9)
    third = (
        None
        if gate is None or scales is None
        else _expert_weights(c, gate, scales, bits)
    )
    return _experts(c, one, c.optional(4), two, c.optional(7), third, c.optional(10))


def _expert_weights(c: Context, packed: Value, scales: Value, bits: int) -> Value:
    b = c.b
    fields = b.cast(unpacked(c, packed, bits), scales.dtype)
    middle = b.sub(fields, float(1 << (bits - 1)))
    if scales.rank == 2:
        scales = b.expand_dims(scales, [2])
    count, rows, size = middle.shape
    blocks = scales.shape[2]
    split = b.reshape(middle, (count, rows, blocks, ceildiv(size, blocks)))
    return b.reshape(b.mul(split, b.expand_dims(scales, [3])), middle.shape)


def _experts(
    c: Context,
    one: Value,
    one_bias: Value | None,
    two: Value,
    two_bias: Value | None,
    gate: Value | None,
    gate_bias: Value | None,
) -> Value:
    b, x = c.b, c[0]
    size = x.shape[-1]
    rows = b.reshape(x, (1, product(x.shape[:-1]), size))
    hidden = _activation(c, _layer(c, rows, one, one_bias))
    if gate is not None:
        hidden = b.mul(hidden, _layer(c, rows, gate, gate_bias))
    y = _layer(c, hidden, two, two_bias)
    shares = b.expand_dims(b.transpose(_shares(c, c[1]), (1, 0)), [2])
    return b.reshape(b.sum(b.mul(y, b.cast(shares, y.dtype)), [0]), x.shape)


def _layer(c: Context, x: Value, weights: Value, bias: Value | None) -> Value:
    """``x @ weights.T + bias`` of each expert, ``[experts, rows, out]``."""
    y = c.b.matmul(x, c.b.transpose(c.b.cast(weights, x.dtype), (0, 2, 1)))
    return y if bias is None else c.b.add(y, c.b.expand_dims(bias, [1]))


def _activation(c: Context, x: Value) -> Value:
    match c.string("activation_type", "relu"):
        case "relu":
            return c.b.max(x, 0)
        case "gelu":
            return standard(c, "Gelu", x, approximate="tanh")
        case "silu":
            return c.b.mul(x, c.b.emit("sigmoid", x))
        case "identity":
            return x
        case kind:
            raise ModelError(f"{c.op_type} has no activation {kind!r}")


def _shares(c: Context, scores: Value) -> Value:
    """How much each expert counts for each row: 0 but for the best ``k``."""
    b, k = c.b, c.integer("k", 1)
    wide = b.cast(scores, float32)
    shares = b.emit("softmax", wide, axis=1)
    _, order = b.sort(shares, 1, descending=True)
    _, ranks = b.sort(order, 1)
    chosen = b.where(b.lt(ranks, k), shares, 0.0)
    if not c.integer("normalize_routing_weights", 0):
        return chosen
    return b.div(chosen, b.sum(chosen, [1], keepdims=True))


@converter("DynamicQuantizeLSTM", domain=MS)
def dynamic_quantize_lstm(c: Context) -> Sequence[Value]:
    """LSTM with quantized weights; its inputs and states are not quantized here."""
    weights = [
        _lstm_weights(c, c[i], c[j], c.optional(j + 1)) for i, j in ((1, 8), (2, 10))
    ]
    inputs = [c[0], *weights, *(c.optional(i) for i in range(3, 8))]
    return standard_all(c, "LSTM", inputs, results=3, version=14, keep=True)


def _lstm_weights(c: Context, x: Value, scale: Value, zero: Value | None) -> Value:
    """Real weights, gates before features, of quantized ones the other way round."""
    parts = [v for v in (scale, zero) if v is not None]
    wide = [
        c.b.expand_dims(v, range(v.rank, 3)) if v.rank < 2 else c.b.expand_dims(v, [1])
        for v in parts
    ]
    y = c.b.emit("dequantize", x, *wide, dtype=scale.dtype)
    return c.b.transpose(y, (0, 2, 1))
