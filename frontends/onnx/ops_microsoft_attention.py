"""com.microsoft: attention."""

import math
from dataclasses import dataclass
from typing import Any

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.ops_attention import (
    default_scale,
    merge_heads,
    split_heads,
)
from graphwright.frontends.onnx.ops_microsoft import MS
from graphwright.frontends.onnx.registry import converter
from graphwright.frontends.onnx.standard import refuse, standard
from graphwright.ir.dim import Dim, equal, floordiv, maximum
from graphwright.ir.dtype import int64
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError, UnsupportedOpError


@dataclass
class Projected:
    """Queries, keys and values by head, ``[N, heads, S, D]``, and what bounds them."""

    q: Value
    k: Value
    v: Value
    offset: Dim = 0
    bias: Value | None = None
    causal: bool = False


def _attend(c: Context, p: Projected, softcap: float = 0.0) -> Value:
    """Attention of all heads, merged: ``[N, S, heads * D]``."""
    scale = c.real("scale", 0.0) or default_scale(c, p.q.shape[3])
    fields: dict[str, Any] = {
        "scale": scale,
        "softcap": softcap,
        "causal": p.causal,
        "offset": p.offset,
        "masked": p.bias is not None,
    }
    rest = [] if p.bias is None else [p.bias]
    return merge_heads(c.b, c.b.emit("attention", p.q, p.k, p.v, *rest, **fields))


def _mask_bias(c: Context, mask: Value | None, p: Projected) -> Value | None:
    """What a mask adds to scores; it is lengths, ends and starts, or 0 and 1.

    Raises:
        UnsupportedOpError: If it has another form.
    """
    if mask is None:
        return None
    b, batch, columns = c.b, p.q.shape[0], p.k.shape[2]
    keys = b.iota((columns,), 0, int64)
    if mask.rank == 1 and equal(mask.shape[0], batch) is not False:
        allowed = b.lt(keys, b.cast(b.expand_dims(mask, [1]), int64))
    elif mask.rank == 1 and equal(mask.shape[0], batch * 2) is not False:
        ends, starts = (b.cast(v, int64) for v in b.split(mask, [batch, batch], 0))
        allowed = b.lt(keys, b.expand_dims(ends, [1]))
        allowed = b.and_(allowed, b.ge(keys, b.expand_dims(starts, [1])))
    elif mask.rank in (2, 3):
        allowed = b.ne(mask, b.zeros_like(mask))
    else:
        raise UnsupportedOpError(f"{c.op_type}: a mask of type {mask.type}")
    rows = mask.shape[1] if mask.rank == 3 else 1
    fill = b.scalar(c.real("mask_filter_value", -10000.0), p.q.dtype)
    allowed = b.reshape(allowed, (batch, 1, rows, columns))
    return b.where(allowed, b.scalar(0, fill.dtype), fill)


def _with_bias(
    c: Context, p: Projected, mask: Value | None, bias: Value | None
) -> Projected:
    found = _mask_bias(c, mask, p)
    if bias is not None:
        found = bias if found is None else c.b.add(found, bias)
    p.bias = found
    return p


def _thirds(c: Context, x: Value, sizes: list[int]) -> list[Value]:
    """Queries, keys and values side by side, taken apart, by head."""
    heads = c.integer("num_heads")
    parts: list[Dim] = list(sizes) or [floordiv(x.shape[2], 3)] * 3
    return [split_heads(c.b, v, heads) for v in c.b.split(x, parts, 2)]


def self_attention(
    c: Context,
    projected: Value,
    mask: Value | None,
    past: Value | None,
    bias: Value | None,
) -> list[Value | None]:
    """Attention over ``[N, S, q + k + v]``, and the keys and values so far."""
    b = c.b
    q, k, v = _thirds(c, projected, c.integers("qkv_hidden_sizes", []))
    if c.integer("do_rotary", 0):
        raise UnsupportedOpError(f"{c.op_type} with do_rotary")
    offset: Dim = 0
    if past is not None:
        offset = past.shape[3]
        before = [b.squeeze(part, [0]) for part in b.split(past, [1, 1], 0)]
        k, v = b.concat([before[0], k], 2), b.concat([before[1], v], 2)
    present = b.stack([k, v], 0) if c.wants(1) else None
    causal = bool(c.integer("unidirectional", 0))
    p = _with_bias(c, Projected(q, k, v, offset, causal=causal), mask, bias)
    return [_attend(c, p), present]


@converter("Attention", domain=MS)
def attention(c: Context) -> list[Value | None]:
    """Self-attention with its projections."""
    refuse(c, 6)
    bias = c.optional(2)
    x = c.b.matmul(c[0], c[1])
    x = x if bias is None else c.b.add(x, bias)
    return self_attention(c, x, c.optional(3), c.optional(4), c.optional(5))


@converter("QAttention", domain=MS)
def q_attention(c: Context) -> list[Value | None]:
    """Attention whose projections are products of integers."""
    b = c.b
    whole = standard(c, "MatMulInteger", c[0], c[1], c.optional(6), c.optional(7))
    x = b.mul(b.cast(whole, c[3].dtype), b.mul(c[3], c[4]))
    return self_attention(c, b.add(x, c[2]), c.optional(5), c.optional(8), None)


@converter("MultiHeadAttention", domain=MS)
def multi_head_attention(c: Context) -> list[Value | None]:
    """Attention of projected queries, keys and values, with a cache."""
    refuse(c, 8, 9)
    b, heads = c.b, c.integer("num_heads")
    q, k, v = _given_heads(c, heads)
    offset: Dim = 0
    past, more = c.optional(6), c.optional(7)
    if past is not None and more is not None:
        offset = past.shape[2]
        k, v = b.concat([past, k], 2), b.concat([more, v], 2)
    causal = bool(c.integer("unidirectional", 0))
    p = Projected(q, k, v, offset, causal=causal)
    return [_attend(c, _with_bias(c, p, c.optional(4), c.optional(5))), k, v]


def _given_heads(c: Context, heads: int) -> tuple[Value, Value, Value]:
    b, q, k, v = c.b, c[0], c.optional(1), c.optional(2)
    if q.rank == 5:
        query, key, value = _unpacked(c, q, 3)
        return query, key, value
    bias = c.optional(3)
    parts: list[Value | None] = [None] * 3
    if bias is not None:
        size = q.shape[2]
        parts = list(b.split(bias, [size, size, bias.shape[0] - size * 2], 0))
    query = _headed(c, q, parts[0], heads)
    if k is None:
        raise ModelError("MultiHeadAttention lacks keys")
    if k.rank == 5:
        key, value = _unpacked(c, k, 2)
        return query, key, value
    if v is None:
        raise ModelError("MultiHeadAttention lacks values")
    return query, _headed(c, k, parts[1], heads), _headed(c, v, parts[2], heads)


def _headed(c: Context, x: Value, bias: Value | None, heads: int) -> Value:
    if x.rank == 4:
        return x
    return split_heads(c.b, x if bias is None else c.b.add(x, bias), heads)


def _unpacked(c: Context, x: Value, count: int) -> list[Value]:
    """``[N, S, heads, count, D]`` as ``count`` tensors ``[N, heads, S, D]``."""
    parts = c.b.split(x, [1] * count, 3)
    return [c.b.transpose(c.b.squeeze(p, [3]), (0, 2, 1, 3)) for p in parts]


# Rotary embedding and grouped queries -------------------------------------------------


@converter("RotaryEmbedding", domain=MS)
def rotary_embedding(c: Context) -> Value:
    """RotaryEmbedding; one position is that of the first word."""
    b, x, ids = c.b, c[0], c[1]
    rows = x.shape[2] if x.rank == 4 else x.shape[1]
    if ids.rank == 1:
        steps = b.add(b.iota((rows,), 0, int64), b.cast(ids, int64))
        ids = b.broadcast_to(b.expand_dims(steps, [0]), (x.shape[0], rows))
    heads = c.integer("num_heads", 0)
    if x.rank == 3 and not heads:
        width = floordiv(x.shape[2], c[2].shape[1] * 2)
        if not isinstance(width, int):
            raise UnsupportedOpError("RotaryEmbedding: num_heads is not known")
        heads = width
    y = standard(
        c,
        "RotaryEmbedding",
        x,
        c[2],
        c[3],
        ids,
        interleaved=c.integer("interleaved", 0),
        num_heads=heads or None,
        rotary_embedding_dim=c.integer("rotary_embedding_dim", 0),
    )
    return y if c.real("scale", 1.0) == 1 else b.mul(y, c.real("scale"))


@converter("GroupQueryAttention", domain=MS)
def group_query_attention(c: Context) -> list[Value | None]:
    """Causal attention in which groups of heads share keys, with a cache.

    ``seqlens_k`` is one less than how many keys each row has after this step.
    """
    b = c.b
    q, k, v = _grouped_heads(c)
    batch, rows = q.shape[0], q.shape[2]
    ends = b.add(b.cast(b.reshape(c[5], (batch, 1)), int64), 1)
    before = b.max(b.sub(ends, b.dim_scalar(rows, int64)), 0)
    places = b.add(before, b.iota((rows,), 0, int64))
    if c.integer("do_rotary", 0):
        q, k = (_turned(c, x, places) for x in (q, k))
    (total,) = c.dims(c[6], 0)
    past, more = c.optional(3), c.optional(4)
    if past is not None and more is not None:
        total = maximum(total, past.shape[2])
        k = _appended(c, past, k, (before, ends), total)
        v = _appended(c, more, v, (before, ends), total)
    keys = b.iota((k.shape[2],), 0, int64)
    spot = b.reshape(places, (batch, 1, rows, 1))
    allowed = b.le(keys, spot)
    window = c.integer("local_window_size", -1)
    if window >= 0:
        allowed = b.and_(allowed, b.gt(keys, b.sub(spot, window)))
    bias = c.optional(10)
    p = Projected(q, k, v)
    if bias is None:
        p.bias = allowed
    else:
        p.bias = b.where(allowed, bias, b.scalar(-math.inf, bias.dtype))
    if c.integer("smooth_softmax", 0) or c.optional(11) is not None:
        raise UnsupportedOpError("GroupQueryAttention with a sink")
    return [_attend(c, p, c.real("softcap", 0.0)), k, v]


def _grouped_heads(c: Context) -> tuple[Value, Value, Value]:
    b, own, shared = c.b, c.integer("num_heads"), c.integer("kv_num_heads")
    k, v = c.optional(1), c.optional(2)
    if k is not None and v is not None:
        return (
            split_heads(b, c[0], own),
            split_heads(b, k, shared),
            split_heads(b, v, shared),
        )
    size = floordiv(c[0].shape[2], own + 2 * shared)
    parts = b.split(c[0], [size * own, size * shared, size * shared], 2)
    heads = (own, shared, shared)
    q, k, v = (split_heads(b, x, n) for x, n in zip(parts, heads, strict=True))
    return q, k, v


def _turned(c: Context, x: Value, places: Value) -> Value:
    given = c.optional(9)
    return standard(
        c,
        "RotaryEmbedding",
        x,
        c[7],
        c[8],
        places if given is None else given,
        interleaved=c.integer("rotary_interleaved", 0),
        rotary_embedding_dim=_rotary_size(c, x),
    )


def _rotary_size(c: Context, x: Value) -> int:
    size = c[7].shape[1] * 2
    return size if isinstance(size, int) and size != x.shape[3] else 0


def _appended(
    c: Context, past: Value, new: Value, span: tuple[Value, Value], total: Dim
) -> Value:
    """Of each row what was there before, then what is new, then zeros."""
    b, (batch, heads, _, size) = c.b, new.shape
    keys, (before, ends) = b.iota((total,), 0, int64), span
    index = b.min(b.max(b.sub(keys, before), 0), b.dim_scalar(new.shape[2] - 1, int64))
    spot = (batch, 1, total, 1)
    index = b.broadcast_to(b.reshape(index, spot), (batch, heads, total, size))
    fresh = b.take_along_axis(new, index, 2)
    fresh = b.where(b.reshape(b.lt(keys, ends), spot), fresh, 0.0)
    old = b.pad(past, (0,) * 4, (0, 0, total - past.shape[2], 0))
    return b.where(b.reshape(b.lt(keys, before), spot), old, fresh)
