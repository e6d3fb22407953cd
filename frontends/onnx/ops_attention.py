"""Attention of ONNX."""

import math
from typing import Any

from graphwright.frontends.onnx.context import Context, NeedsValue
from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.registry import converter, exporter
from graphwright.frontends.onnx.tensors import dtype_of, element_of
from graphwright.ir.dim import Dim, equal, floordiv
from graphwright.ir.dtype import bool_, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ModelError
from graphwright.ir.ops.attention import Attention


def split_heads(b: Emitter, x: Value, heads: int) -> Value:
    """``[N, S, heads * D]`` as ``[N, heads, S, D]``."""
    n, rows, size = x.shape
    split = b.reshape(x, (n, rows, heads, floordiv(size, heads)))
    return b.transpose(split, (0, 2, 1, 3))


def merge_heads(b: Emitter, x: Value) -> Value:
    """``[N, heads, S, D]`` as ``[N, S, heads * D]``."""
    n, heads, rows, size = x.shape
    return b.reshape(b.transpose(x, (0, 2, 1, 3)), (n, rows, heads * size))


def default_scale(c: Context, size: Dim) -> float:
    """``1 / sqrt(size)``.

    Raises:
        NeedsValue: If the size is not known.
    """
    if not isinstance(size, int):
        raise NeedsValue(c[0])
    return 1 / math.sqrt(max(size, 1))


def _heads(c: Context) -> tuple[Value, Value, Value]:
    q, k, v = c[0], c[1], c[2]
    if q.rank == 4:
        return q, k, v
    own, shared = c.integer("q_num_heads"), c.integer("kv_num_heads")
    if min(own, shared) < 1:
        raise ModelError(f"Attention with {own} and {shared} heads")
    b = c.b
    return split_heads(b, q, own), split_heads(b, k, shared), split_heads(b, v, shared)


@converter("Attention", since=23)
def attention(c: Context) -> tuple[Value, ...]:
    """Scaled dot-product attention with a cache."""
    b = c.b
    q, k, v = _heads(c)
    offset: Dim = 0
    past = c.optional(4)
    if past is not None:
        offset = past.shape[2]
        k, v = b.concat([past, k], 2), b.concat([c[5], v], 2)
    rest: list[Value] = []
    mask, lengths = c.optional(3), c.optional(6)
    if mask is not None:
        rest.append(_padded(b, mask, k.shape[2]))
    if lengths is not None:
        rest.append(lengths)
    op = _attention_op(c, q.shape[3], offset)
    if not c.wants(3):
        y = b.emit(op.name, q, k, v, *rest, **op.fields)
        return (_out(c, y), k, v)
    *scores, weights = op.stages(b, q, k, *rest)
    mode = c.integer("qk_matmul_output_mode", 0)
    if not 0 <= mode <= 3:
        raise ModelError(f"Attention has no qk_matmul_output_mode {mode}")
    y = op.combine(b, weights, v)
    return _out(c, y), k, v, b.cast([*scores, weights][mode], q.dtype)


def _out(c: Context, y: Value) -> Value:
    return y if c[0].rank == 4 else merge_heads(c.b, y)


def _attention_op(c: Context, size: Dim, offset: Dim) -> Attention:
    scale = c.real("scale", None)
    precision = c.integer("softmax_precision", 0)
    fields: dict[str, Any] = {
        "scale": default_scale(c, size) if scale is None else scale,
        "softcap": c.real("softcap", 0.0),
        "causal": c.integer("is_causal", 0) != 0,
        "left": c.integer("left_window_size", -1),
        "right": c.integer("right_window_size", -1),
        "offset": offset,
        "masked": c.optional(3) is not None,
        "lengths": c.optional(6) is not None,
        "precision": dtype_of(precision) if precision else None,
    }
    return Attention(**fields)


def _padded(b: Emitter, mask: Value, columns: Dim) -> Value:
    """A mask that ends early forbids what follows."""
    short = columns - mask.shape[-1]
    if mask.shape[-1] == columns or equal(mask.shape[-1], columns):
        return mask
    fill: bool | float = False if mask.dtype is bool_ else -math.inf
    return b.pad(mask, [0] * mask.rank, [0] * (mask.rank - 1) + [short], fill)


@converter("RotaryEmbedding", since=23)
def rotary_embedding(c: Context) -> Value:
    """Pairs of numbers turned by angles that grow with position (Su et al., 2021)."""
    b, x = c.b, c[0]
    flat = x.rank == 3
    x = split_heads(b, x, c.integer("num_heads")) if flat else x
    angles = [_angles(c, c[i]) for i in (1, 2)]
    pairs = {"interleaved": c.integer("interleaved", 0) != 0}
    size = c.integer("rotary_embedding_dim", 0) or x.shape[3]
    part = b.slice_axis(x, 3, 0, size)
    turned = b.emit("rotary_embedding", part, *angles, **pairs)
    if size != x.shape[3]:
        turned = b.concat([turned, b.slice_axis(x, 3, size, x.shape[3])], 3)
    return merge_heads(b, turned) if flat else turned


def _angles(c: Context, cache: Value) -> Value:
    """``[N, 1, S, D / 2]``, of the positions if they are given."""
    b, ids = c.b, c.optional(3)
    if ids is not None:
        ids = b.cast(ids, int64)
        count = b.dim_scalar(cache.shape[0], int64)
        cache = b.gather(cache, b.where(b.lt(ids, 0), b.add(ids, count), ids), 0)
    return b.expand_dims(cache, [1])


@converter("LinearAttention", since=27)
def linear_attention(c: Context) -> tuple[Value, Value]:
    """Attention as a recurrence: ``linear``, ``gated``, ``delta``, ``gated_delta``."""
    b, q, k, v = c.b, c[0], c[1], c[2]
    own, shared = c.integer("q_num_heads"), c.integer("kv_num_heads")
    rule = c.string("update_rule", "gated_delta")
    decays, delta = "gated" in rule, "delta" in rule
    if rule not in ("linear", "gated", "delta", "gated_delta") or min(own, shared) < 1:
        raise ModelError(f"LinearAttention by {rule!r} with {own} and {shared} heads")
    lines = [_by_step(b, q, own), _by_step(b, k, shared), _by_step(b, v, shared)]
    state = c.optional(3)
    if state is None:
        shape = (q.shape[0], shared, lines[1].shape[3], lines[2].shape[3])
        state = b.full(shape, 0, q.dtype)
    rest = [_by_step(b, c[4], shared)] if decays else []
    if delta:
        rest.append(_by_step(b, c[5], 1 if c[5].shape[2] == 1 else shared))
    scale = c.real("scale", 0.0) or default_scale(c, lines[0].shape[3])
    fields = {"scale": scale, "decays": decays, "delta": delta}
    y, final = b.emit_all("linear_attention", *lines, state, *rest, **fields)
    merged = b.reshape(y, (*y.shape[:2], own * y.shape[3]))
    return b.transpose(merged, (1, 0, 2)), final


def _by_step(b: Emitter, x: Value, heads: int) -> Value:
    """``[N, T, heads * D]`` as ``[T, N, heads, D]``."""
    n, steps, size = x.shape
    split = b.reshape(x, (n, steps, heads, floordiv(size, heads)))
    return b.transpose(split, (1, 0, 2, 3))


@converter("FlexAttention", domain="ai.onnx.preview")
def flex_attention(c: Context) -> Value:
    """Attention whose scores and weights the model's own sub-graphs change."""
    b, q, k, v = c.b, c[0], c[1], c[2]
    precision = c.integer("softmax_precision", 0)
    wide = dtype_of(precision) if precision else q.dtype.accumulate
    scale = c.real("scale", None)
    scale = default_scale(c, q.shape[3]) if scale is None else scale
    op = Attention(scale=scale, precision=wide)
    if not (c.has("score_mod") or c.has("prob_mod")) and wide is q.dtype:
        return b.emit(op.name, q, k, v, **op.fields)
    scores = b.cast(op.stages(b, q, k)[0], wide)
    scores = _modified(c, "score_mod", scores)
    shifted = b.sub(scores, b.reduce("max", scores, [3], keepdims=True))
    powers = b.exp(shifted)
    weights = b.div(powers, b.sum(powers, [3], keepdims=True))
    weights = _modified(c, "prob_mod", weights)
    return b.cast(op.combine(b, weights, v), v.dtype)


def _modified(c: Context, name: str, x: Value) -> Value:
    """``x`` through the sub-graph of an attribute, if there is one."""
    if not c.has(name):
        return x
    proto = c.graph(name)
    captured = c.importer.captured(proto)
    body = c.importer.import_subgraph(proto, [x.type], captured)
    operands = c.importer.capture_operands(captured)
    return c.b.emit("call", x, *operands, types=body.output_types, graph=body)


# Export -------------------------------------------------------------------------------


@exporter("attention")
def export_attention(e: Export) -> Exported:
    """``Attention`` since opset 23, where all it does can be said there."""
    op, operands = e.op, e.operands
    q = operands[0]
    aligned = not op.causal or op.offset == 0
    plain = op.left < 0 and op.right < 0 and not op.lengths and aligned
    if not plain or e.version < 23 or q.dtype.bits > 32:
        return op.decompose(e.b, *operands)  # type: ignore[no-any-return]
    given = [e.name(v) for v in operands[:3]]
    if op.masked:
        given.append(e.name(_matrix(e, operands[3], q.shape[2], operands[1].shape[2])))
    fields: dict[str, Any] = {"scale": float(op.scale), "is_causal": int(op.causal)}
    if op.softcap:
        fields["softcap"] = float(op.softcap)
    if op.precision is not None:
        fields["softmax_precision"] = element_of(op.precision)
    return e.add("Attention", *given, **fields)


def _matrix(e: Export, mask: Value, rows: Dim, columns: Dim) -> Value:
    """A mask with all rows and columns, which not every runtime repeats."""
    return e.b.broadcast_to(mask, (*mask.shape[:-2], rows, columns))


@exporter("rotary_embedding")
def export_rotary_embedding(e: Export) -> Exported:
    """``RotaryEmbedding`` since opset 23, where its angles can be said there."""
    (x, *angles), b = e.operands, e.b
    plain = x.rank == 4 and all(
        v.rank in (2, 3) or (v.rank == 4 and v.shape[1] == 1) for v in angles
    )
    if e.version < 23 or not plain or angles[0].shape[-1] == x.shape[-1]:
        return e.op.decompose(b, *e.operands)  # type: ignore[no-any-return]
    n, _, rows, _ = x.shape
    shape = (n, rows, angles[0].shape[-1])
    flat = [b.squeeze(v, [1]) if v.rank == 4 else v for v in angles]
    caches = [e.name(b.broadcast_to(v, shape)) for v in flat]
    interleaved = int(e.op.interleaved)
    return e.add("RotaryEmbedding", e.name(x), *caches, interleaved=interleaved)
