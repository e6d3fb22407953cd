"""com.microsoft: normalisation and embedding."""

from collections.abc import Sequence

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.ops_microsoft import MS, to_back, to_front
from graphwright.frontends.onnx.registry import converter
from graphwright.frontends.onnx.standard import standard
from graphwright.ir.dtype import int32, int64
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError


def _normed(c: Context, x: Value, gamma: Value, beta: Value | None, rms: bool) -> Value:
    epsilon = c.real("epsilon", 1e-5 if rms else 1e-12)
    if rms:
        y = standard(c, "RMSNormalization", x, gamma, epsilon=epsilon)
        return y if beta is None else c.b.add(y, beta)
    return standard(c, "LayerNormalization", x, gamma, beta, epsilon=epsilon)


@converter("SimplifiedLayerNormalization")
@converter("SimplifiedLayerNormalization", domain=MS)
def simplified_layer_norm(c: Context) -> Sequence[Value]:
    """RMSNormalization, and the inverse root mean square if it is wanted."""
    b, x = c.b, c[0]
    axis = c.axis(c.integer("axis", -1), x.rank)
    epsilon = c.real("epsilon", 1e-5)
    y = standard(c, "RMSNormalization", x, c[1], axis=axis, epsilon=epsilon)
    if not c.wants(1):
        return (y,)
    wide = b.cast(x, x.dtype.accumulate)
    mean = b.mean(b.mul(wide, wide), range(axis, x.rank), keepdims=True)
    return y, b.div(b.full(mean.shape, 1, wide.dtype), b.sqrt(b.add(mean, epsilon)))


@converter("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", domain=MS)
def skip_layer_norm(c: Context) -> list[Value | None]:
    """A norm of ``x + skip + bias``, and that sum."""
    b, rms = c.b, c.op_type == "SkipSimplifiedLayerNormalization"
    beta, bias = (None, c.optional(3)) if rms else (c.optional(3), c.optional(4))
    total = b.add(c[0], c[1])
    total = total if bias is None else b.add(total, bias)
    y = _normed(c, total, c[2], beta, rms)
    if not (c.wants(1) or c.wants(2)):
        return [y, None, None, total]
    wide = b.cast(total, total.dtype.accumulate)
    axes = [total.rank - 1]
    mean = b.mean(wide, axes, keepdims=True)
    gap = wide if rms else b.sub(wide, mean)
    variance = b.mean(b.mul(gap, gap), axes, keepdims=True)
    root = b.sqrt(b.add(variance, c.real("epsilon", 1e-5 if rms else 1e-12)))
    return [y, mean, b.div(b.full(root.shape, 1, root.dtype), root), total]


@converter("GroupNorm", domain=MS)
def group_norm(c: Context) -> Value:
    """GroupNormalization with channels in the last axis, and perhaps SiLU."""
    b, x = c.b, c[0]
    last = bool(c.integer("channels_last", 1))
    x = to_front(c, x) if last else x
    y = standard(
        c,
        "GroupNormalization",
        x,
        b.cast(c[1], x.dtype),
        b.cast(c[2], x.dtype),
        num_groups=c.integer("groups"),
        epsilon=c.real("epsilon", 1e-5),
    )
    y = to_back(c, y) if last else y
    return b.mul(y, b.emit("sigmoid", y)) if c.integer("activation") else y


@converter("EmbedLayerNormalization", domain=MS)
def embed_layer_norm(c: Context) -> list[Value]:
    """A layer norm of the sum of word, position and segment embeddings.

    Further results: how many words of each row the mask lets through, and the sum.
    """
    return embedded(c, [c.optional(i) for i in range(9)])


def embedded(c: Context, parts: Sequence[Value | None]) -> list[Value]:
    """The results of EmbedLayerNormalization for its nine operands."""
    b = c.b
    ids, segments, words, places, kinds, gamma, beta, mask, positions = parts
    if ids is None or words is None or places is None or gamma is None:
        raise ModelError(f"{c.op_type} lacks an input")
    rows, length = ids.shape
    total = _looked_up(c, words, ids)
    spots = b.iota((length,), 0, int64) if positions is None else positions
    spot = _looked_up(c, places, spots)
    total = b.add(total, spot)
    if segments is not None and kinds is not None:
        total = b.add(total, _looked_up(c, kinds, segments))
    y = _normed(c, total, gamma, beta, rms=False)
    if mask is None:
        count = b.full((rows,), 0, int32)
    else:
        count = b.cast(b.sum(b.cast(b.eq(mask, 1), int32), [1]), int32)
    return [y, count, total]


def _looked_up(c: Context, table: Value, ids: Value) -> Value:
    return standard(c, "Gather", table, ids, axis=0)


@converter("SkipGroupNorm", domain=MS)
def skip_group_norm(c: Context) -> list[Value]:
    """GroupNorm of ``x + skip + bias``, and that sum."""
    b, x = c.b, c[0]
    skip = c[3]
    if skip.rank == 2:
        skip = b.reshape(skip, (skip.shape[0], 1, 1, skip.shape[1]))
    total = b.add(x, skip)
    bias = c.optional(4)
    total = total if bias is None else b.add(total, bias)
    inner = Context(b, c.node, c.version, [total, c[1], c[2]], c.importer)
    return [group_norm(inner), total]
