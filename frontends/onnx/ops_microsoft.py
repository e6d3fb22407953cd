"""com.microsoft: elementwise functions, products, movement and words.

These operators of ONNX Runtime are not standardised; their meaning is that of its
"Contrib Operators" page. docs/com.microsoft.md lists them.
"""

import math
from collections.abc import Sequence

import numpy as np

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.registry import converter
from graphwright.frontends.onnx.standard import activated, standard, standard_all
from graphwright.ir.dim import floordiv
from graphwright.ir.dtype import int32, int64, string, uint32
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError
from graphwright.ir.types import TensorType

MS = "com.microsoft"


@converter("Gelu", "GatherND", "Trilu", "Range", "GridSample", domain=MS)
def alike(c: Context) -> Value:
    """Operators that were standardised later, as they are."""
    version = 16 if c.op_type == "GridSample" else 24
    return standard(c, c.op_type, *c.inputs, version=version, keep=True)


@converter("CausalConvWithState", "LinearAttention", domain=MS)
def alike_with_state(c: Context) -> Sequence[Value]:
    """Operators with a state that were standardised later, as they are."""
    return standard_all(c, c.op_type, c.inputs, results=2, version=27, keep=True)


@converter("Unique", domain=MS)
def unique(c: Context) -> Sequence[Value]:
    """Distinct elements, the place of each element among them, and counts."""
    distinct, _, places, counts = standard_all(
        c, "Unique", c.inputs, results=4, sorted=0
    )
    return distinct, places, counts


# Activations --------------------------------------------------------------------------


@converter("BiasGelu", domain=MS)
def bias_gelu(c: Context) -> Value:
    """Gelu of the sum of both operands."""
    return standard(c, "Gelu", c.b.add(c[0], c[1]))


@converter("FastGelu", domain=MS)
def fast_gelu(c: Context) -> Value:
    """Gelu by tanh, of the operand plus a bias if there is one."""
    bias = c.optional(1)
    x = c[0] if bias is None else c.b.add(c[0], bias)
    return standard(c, "Gelu", x, approximate="tanh")


@converter("QuickGelu", domain=MS)
def quick_gelu(c: Context) -> Value:
    """``x * sigmoid(alpha * x)``."""
    x = c[0]
    return c.b.mul(x, c.b.emit("sigmoid", c.b.mul(x, c.real("alpha", 1.702))))


@converter("BiasSplitGelu", domain=MS)
def bias_split_gelu(c: Context) -> Value:
    """``left * gelu(right)`` of the two halves of ``x + bias``."""
    x = c.b.add(c[0], c[1])
    half = floordiv(x.shape[-1], 2)
    left, right = c.b.split(x, [half, half], x.rank - 1)
    return c.b.mul(left, standard(c, "Gelu", right))


@converter("BiasAdd", domain=MS)
def bias_add(c: Context) -> Value:
    """``x + bias + skip``."""
    return c.b.add(c.b.add(c[0], c[1]), c[2])


@converter("BiasSoftmax", domain=MS)
def bias_softmax(c: Context) -> Value:
    """Softmax of ``x + bias`` over all axes from ``axis`` on."""
    x, axis = c[0], c.axis(c.integer("axis", 1), c[0].rank)
    bias = c[1]
    if not c.integer("is_inner_broadcast", 1):
        lead = (1,) * (x.rank - bias.rank)
        bias = c.b.reshape(bias, (*lead, *bias.shape))
    return standard(c, "Softmax", c.b.add(x, bias), version=11, axis=axis)


# Products -----------------------------------------------------------------------------


def _batch_moved(c: Context, x: Value, moved: int, swapped: int) -> Value:
    """A factor of FusedMatMul: its first axis before the last, its last two swapped."""
    order = list(range(x.rank))
    if moved and x.rank > 2:
        order = [*order[1:-1], 0, order[-1]]
    if swapped and x.rank > 1:
        order[-2], order[-1] = order[-1], order[-2]
    return c.b.transpose(x, order)


@converter("FusedMatMul", "TransposeMatMul", "FusedMatMulActivation", domain=MS)
def fused_matmul(c: Context) -> Value:
    """``alpha`` times the product of factors that may be transposed."""
    x, y = (
        _batch_moved(c, c[i], c.integer(f"transBatch{n}", 0), c.integer(f"trans{n}", 0))
        for i, n in enumerate("AB")
    )
    z, alpha = c.b.matmul(x, y), c.real("alpha", 1.0)
    return activated(c, z if alpha == 1 else c.b.mul(z, alpha))


@converter("FusedGemm", domain=MS)
def fused_gemm(c: Context) -> Value:
    """Gemm and an activation."""
    y = standard(c, "Gemm", *c.inputs, keep=True)
    name = c.string("activation", "")
    if name in ("LeakyRelu", "Elu", "ThresholdedRelu"):
        return standard(c, name, y, alpha=c.real("activation_alpha", None))
    return activated(c, y)


@converter("FusedConv", domain=MS)
def fused_conv(c: Context) -> Value:
    """Convolution, the sum with a fourth operand, and an activation."""
    y = standard(c, "Conv", *c.inputs[:3], keep=True)
    other = c.optional(3)
    return activated(c, y if other is None else c.b.add(y, other))


def to_front(c: Context, x: Value) -> Value:
    """Channels from the last axis to the second."""
    return c.b.transpose(x, (0, x.rank - 1, *range(1, x.rank - 1)))


def to_back(c: Context, x: Value) -> Value:
    """Channels from the second axis to the last."""
    return c.b.transpose(x, (0, *range(2, x.rank), 1))


@converter("NhwcFusedConv", domain=MS)
def nhwc_fused_conv(c: Context) -> Value:
    """FusedConv with channels in the last axis."""
    y = standard(c, "Conv", to_front(c, c[0]), *c.inputs[1:3], keep=True)
    other = c.optional(3)
    y = to_back(c, y)
    return activated(c, y if other is None else c.b.add(y, other))


@converter("NhwcMaxPool", domain=MS)
def nhwc_max_pool(c: Context) -> Value:
    """MaxPool with channels in the last axis."""
    return to_back(c, standard(c, "MaxPool", to_front(c, c[0]), keep=True))


@converter("ConvTransposeWithDynamicPads", domain=MS)
def conv_transpose_pads(c: Context) -> Value:
    """ConvTranspose whose padding is an operand."""
    pads = c.optional(2)
    given = None if pads is None else c.int_list(pads)
    attributes = {} if given is None else {"pads": given}
    return standard(
        c, "ConvTranspose", c[0], c[1], c.optional(3), keep=True, **attributes
    )


@converter("Inverse", domain=MS)
def inverse(c: Context) -> Value:
    """The inverse of each square matrix."""
    return c.b.emit("inverse", c[0])


@converter("CDist", domain=MS)
def cdist(c: Context) -> Value:
    """Distances of each row of one matrix to each of the other."""
    b = c.b
    gap = b.sub(b.expand_dims(c[0], [1]), b.expand_dims(c[1], [0]))
    squares = b.sum(b.mul(gap, gap), [2])
    match c.string("metric", "sqeuclidean"):
        case "euclidean":
            return b.sqrt(squares)
        case "sqeuclidean":
            return squares
        case metric:
            raise ModelError(f"CDist has no metric {metric!r}")


# Movement -----------------------------------------------------------------------------


@converter("Pad", domain=MS)
def pad(c: Context) -> Value:
    """Pad whose sizes are an operand."""
    sizes = c.b.reshape(c[1], (c[1].tensor.size,))
    return standard(
        c, "Pad", c[0], sizes, c.optional(2), mode=c.string("mode", "constant")
    )


@converter("ExpandDims", domain=MS)
def expand_dims(c: Context) -> Value:
    """A new axis of size 1 at the position that the second operand says."""
    axis = c.axis(int(c.scalar(c[1])), c[0].rank + 1)
    return c.b.expand_dims(c[0], [axis])


@converter("UnfoldTensor", domain=MS)
def unfold_tensor(c: Context) -> Value:
    """Windows of an axis, ``step`` apart, along a new last axis."""
    b, x, size = c.b, c[0], c.integer("size")
    axis, step = c.axis(c.integer("dim", -1), x.rank), c.integer("step", 1)
    count = floordiv(x.shape[axis] - size, step) + 1
    starts = b.mul(b.iota((count, size), 0, int64), step)
    taken = b.gather(x, b.add(starts, b.iota((count, size), 1, int64)), axis)
    order = [i for i in range(taken.rank) if i != axis + 1]
    return b.transpose(taken, (*order, axis + 1))


@converter("CropAndResize", domain=MS)
def crop_and_resize(c: Context) -> Value:
    """Boxes (in parts of the image) of images, resized bilinearly or to the nearest."""
    b, x, boxes = c.b, c[0], c[1]
    rows, columns = (int(v) for v in c.array(c[3]).ravel())
    image = b.gather(x, b.cast(c[2], int64), 0)
    ys = _positions(c, boxes, 0, rows, image.shape[2])
    xs = _positions(c, boxes, 1, columns, image.shape[3])
    count = boxes.shape[0]
    spot = (count, rows, columns)
    grid = b.stack(
        [
            b.broadcast_to(b.expand_dims(xs, [1]), spot),
            b.broadcast_to(b.expand_dims(ys, [2]), spot),
        ],
        3,
    )
    outside = b.or_(b.lt(grid, -1), b.gt(grid, 1))
    lost = b.reduce("max", outside, [3])
    mode = "nearest" if c.string("mode", "bilinear") == "nearest" else "bilinear"
    y = standard(
        c,
        "GridSample",
        image,
        grid,
        version=16,
        mode=mode,
        padding_mode="border",
        align_corners=1,
    )
    fill = b.scalar(c.real("extrapolation_value", 0.0), x.dtype)
    return b.where(b.expand_dims(lost, [1]), fill, y)


def _positions(c: Context, boxes: Value, first: int, count: int, size: object) -> Value:
    """Where in [-1, 1] of an axis the ``count`` samples of each box lie."""
    b = c.b
    low, high = (b.slice_axis(boxes, 1, k, k + 1) for k in (first, first + 2))
    if count == 1:
        return b.sub(b.add(low, high), 1)
    part = b.constant((np.arange(count) / (count - 1)).astype(boxes.dtype.numpy)[None])
    return b.sub(b.mul(b.add(low, b.mul(b.sub(high, low), part)), 2), 1)


# Words --------------------------------------------------------------------------------


@converter("Tokenizer", domain=MS)
def tokenizer(c: Context) -> Value:
    """Words of strings along a new last axis, filled up with a pad word."""
    x, rest = c[0], c.b.fresh_symbol()
    return c.b.emit(
        "tokenize",
        x,
        separators=tuple(c.strings("separators", [])),
        expression=c.string("tokenexp", ""),
        shortest=c.integer("mincharnum"),
        marks=bool(c.integer("mark")),
        pad=c.string("pad_value"),
        types=(TensorType(string, (*x.shape, rest)),),
        fresh=(str(rest),),
    )


@converter("MurmurHash3", domain=MS)
def murmur_hash(c: Context) -> Value:
    """MurmurHash3 (Appleby), 32 bits, of each element's bytes."""
    dtype = uint32 if c.integer("positive", 1) else int32
    return c.b.emit("murmur_hash", c[0], seed=c.integer("seed", 0), dtype=dtype)


@converter("NGramRepeatBlock", domain=MS)
def ngram_repeat_block(c: Context) -> Value:
    """Scores in which words that would repeat an n-gram are minus infinity."""
    b, ids, scores, n = c.b, c[0], c[1], c.integer("ngram_size")
    rows, length = ids.shape
    count = length - n + 1
    same = b.full((rows, count), True, b.constant(True).dtype)
    for k in range(n - 1):
        last = b.slice_axis(ids, 1, length - n + 1 + k, length - n + 2 + k)
        same = b.and_(same, b.eq(b.slice_axis(ids, 1, k, k + count), last))
    following = b.slice_axis(ids, 1, n - 1, n - 1 + count)
    words = b.reshape(b.iota((scores.shape[1],), 0, ids.dtype), (1, 1, scores.shape[1]))
    hits = b.and_(b.eq(b.expand_dims(following, [2]), words), b.expand_dims(same, [2]))
    banned = b.gt(b.sum(b.cast(hits, int64), [1]), 0)
    return b.where(banned, b.scalar(-math.inf, scores.dtype), scores)
