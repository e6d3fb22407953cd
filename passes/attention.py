"""Attention that exporters wrote out: with and without mask, causal, grouped queries.

``softmax(q k^T * scale + mask) v`` becomes one op: of the rounding class, as the scale
goes into ``q`` and ``k``. A row that a mask of ``-inf`` leaves without keys is NaN when
written out and zeros in the op. Of narrow floats the softmax is one of float32.
"""

from functools import reduce
from typing import Any

import numpy as np

from graphwright.ir.dim import product
from graphwright.ir.dtype import DType, bool_
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.passes.pattern import P, splat_under
from graphwright.passes.recognize import peel
from graphwright.passes.rewriter import Rewriter
from graphwright.passes.rules import ROUNDING, RuleSet

ATTENTION = RuleSet("recognize_attention")
NARROW_ATTENTION = RuleSet("recognize_narrow_attention")
"""The same of narrow floats, for backends that compute it in float32."""

_rule = ATTENTION.rewrite

_SCORES = P.softmax("s").once.named("soft")
_ON_THE_WAY = ("dot", "add", "mul", "div")
_LOW = -1e30
"""Scores at and below it, or the lowest number of their dtype, are of keys that may not
be attended: they get no weight."""

_MOST = 1 << 22
"""Elements of a mask that is looked into."""

_CLEAN = P.where(P.eq("w", "w"), "w", 0)


@_rule(P.dot(_SCORES, "v"), ROUNDING)
def attend(b: Rewriter, s: Value, v: Value, soft: Node) -> Value | None:
    """``softmax(q @ k^T * scale + mask) @ v = attention(q, k, v, mask)``."""
    return None if _is_narrow(v) else _attention(b, s, v, soft)


@NARROW_ATTENTION.rewrite(P.dot(_SCORES, "v"), ROUNDING)
def attend_narrow(b: Rewriter, s: Value, v: Value, soft: Node) -> Value | None:
    """``softmax(q @ k^T * scale + mask) @ v = attention(q, k, v, mask)``."""
    return _attention(b, s, v, soft) if _is_narrow(v) else None


@_rule(P.dot(_CLEAN, "v"), ROUNDING)
def attend_without_nan(b: Rewriter, w: Value, v: Value) -> Value | None:
    """``where(isnan(w), 0, w) @ v`` of weights ``w`` is attention too."""
    soft = b.made_by(w, "softmax")
    if soft is None or b.counts.get(w) != 3 or _is_narrow(v):
        return None
    return _attention(b, soft.operands[0], v, soft)


def _is_narrow(v: Value) -> bool:
    return v.dtype.accumulate is not v.dtype


def _attention(b: Rewriter, s: Value, v: Value, soft: Node) -> Value | None:
    op: Any = soft.op
    last = op.axis == s.rank - 1 and s.rank in (3, 4)
    if not last or v.dtype is not s.dtype:
        return None
    if s.shape[-3] == 0:
        return None  # attention has heads
    scores, mask = _mask(b, s)
    scores, scale = _unscaled(b, scores)
    product_ = b.made_by(scores, "dot")
    if product_ is None or b.counts.get(scores) != 1:
        return None
    q, left = _unscaled(b, product_.operands[0])
    turned, right = _unscaled(b, product_.operands[1])
    swap = (*range(s.rank - 2), s.rank - 1, s.rank - 2)
    return _emit(b, (q, b.transpose(turned, swap), v), mask, scale * left * right)


def _emit(
    b: Rewriter, operands: tuple[Value, Value, Value], mask: Value | None, scale: float
) -> Value:
    fields: dict[str, Any] = {"scale": scale, "causal": False}
    rank = operands[0].rank
    q, k, v = operands
    if _is_narrow(v):
        fields["precision"] = v.dtype.accumulate
    if mask is not None and _causal(b, mask):
        mask, fields["causal"] = None, True
    if rank == 3:
        q, k, v = (b.expand_dims(x, [0]) for x in (q, k, v))
    else:
        k, v = _ungrouped(b, k, v)
    rest = () if mask is None else (_ranked(b, mask, rank),)
    y = b.emit("attention", q, k, v, *rest, masked=bool(rest), **fields)
    return b.squeeze(y, [0]) if rank == 3 else y


def _ranked(b: Rewriter, mask: Value, rank: int) -> Value:
    """A mask with an axis for each of the scores, those in front of size 1."""
    lead = rank - mask.rank + (rank == 3)
    return b.expand_dims(mask, list(range(lead))) if lead > 0 else mask


def _mask(b: Rewriter, s: Value) -> tuple[Value, Value | None]:
    """Scores and what is added to them, or the condition under which they count."""
    masks: list[Value] = []
    while (
        (node := b.made_by(s, "add")) is not None and b.only_use(s) and len(masks) < 3
    ):
        x, m = node.operands
        if not _leads_to_dot(b, x):
            x, m = m, x
        if not _leads_to_dot(b, x):
            break
        if splat_under(b, m) != 0:  # only the sign of zero scores would change
            masks.append(b.spread(m))
        s = x
    node = b.made_by(s, "where")
    if node is not None and b.only_use(s) and not masks:
        c, x, y = node.operands
        condition = b.spread(c)
        if _leads_to_dot(b, y):
            x, y, condition = y, x, _negated(b, condition)
        low = splat_under(b, y)
        if _leads_to_dot(b, x) and _forbids(low, s.dtype):
            if low == -np.inf or _causal(b, condition):
                return x, condition
            return x, b.where(condition, 0.0, b.full(condition.shape, low, s.dtype))
    if len(masks) < 2:
        return s, _allowed(b, masks[0]) if masks else None
    return s, reduce(b.add, masks)


def _negated(b: Rewriter, condition: Value) -> Value:
    constant = b.constants.get(condition)
    if constant is None or constant.size > _MOST:
        return b.not_(condition)
    return b.constant(~constant.array(), bool_)


def _forbids(low: Any, dtype: DType) -> bool:
    """Whether scores of a number get no weight, whatever is added to it.

    Where it is finite, a row of nothing else has equal weights.
    """
    return low is not None and low <= _lowest(dtype)


def _lowest(dtype: DType) -> float:
    return float(max(_LOW, dtype.limits[0]))


def _leads_to_dot(b: Rewriter, v: Value) -> bool:
    """Whether a value is a product, scaled or with something added."""
    while (node := b.made_by(v, "add", "mul", "div")) is not None and b.only_use(v):
        x, y = node.operands
        v = x if b.kind(x) in _ON_THE_WAY else y
    return b.kind(v) == "dot" and b.only_use(v)


def _allowed(b: Rewriter, mask: Value) -> Value:
    """The condition of ``where(condition, 0, -inf)``, else the mask."""
    node = b.made_by(mask, "where")
    if node is None:
        return mask
    c, x, y = node.operands
    plain = splat_under(b, x) == 0 and splat_under(b, y) == -np.inf
    return b.spread(c) if plain else mask


def _unscaled(b: Rewriter, v: Value) -> tuple[Value, float]:
    """A value without the number that it is multiplied with, and that number."""
    views: list[Node] = []
    x = v
    while (node := b.made_by(x, "reshape", "transpose")) is not None and b.only_use(x):
        views.append(node)
        x = node.operands[0]
    node = b.made_by(x, "mul", "div")
    if node is None or not b.only_use(x):
        return v, 1.0
    y, c = node.operands
    number = splat_under(b, c)
    if number is None and node.op.name == "mul":
        y, number = c, splat_under(b, y)
    if not number or not np.isfinite(number):
        return v, 1.0
    for view in reversed(views):
        (y,) = b.apply(view.op, (y,))
    return y, number if node.op.name == "mul" else 1 / number


def _ungrouped(b: Rewriter, k: Value, v: Value) -> tuple[Value, Value]:
    """Keys and values before each was repeated for a group of queries."""
    few = [_unrepeated(b, x) for x in (k, v)]
    if few[0] is None or few[1] is None or few[0].shape[:3] != few[1].shape[:3]:
        return k, v
    return few[0], few[1]


def _unrepeated(b: Rewriter, x: Value) -> Value | None:
    """``[N, G, T, D]`` that is repeated to ``[N, G, r, T, D]`` and reshaped.

    On the way the last two axes may be swapped an even number of times.
    """
    shape, v, swapped = x.shape, x, False
    while (node := b.made_by(v, "transpose", "reshape")) is not None:
        v = node.operands[0]
        op: Any = node.op
        rank = node.results[0].rank
        if node.op.name == "transpose":
            if op.perm != (*range(rank - 2), rank - 1, rank - 2):
                return None
            swapped = not swapped
        elif v.rank < 2 or v.shape[-2:] != node.results[0].shape[-2:]:
            return None
    wide = b.made_by(v, "broadcast_to")
    if wide is None or swapped or v.rank != 5:
        return None
    n, g, r, t, d = v.shape
    source = wide.operands[0]
    if shape != (n, product((g, r)), t, d) or source.shape != (n, g, 1, t, d):
        return None
    return b.reshape(source, (n, g, t, d))


def _causal(b: Rewriter, mask: Value) -> bool:
    """Whether a mask lets each query attend the keys up to its own position."""
    constant = b.constants.get(mask)
    if constant is not None:
        return _triangle(constant.array(), mask.dtype)
    node = b.made_by(peel(b, mask), "or")
    if node is None:
        return False
    kinds = {b.kind(v): v for v in node.operands}
    if set(kinds) != {"lt", "eq"}:
        return False
    below = b.made_by(kinds["lt"], "lt")
    same = b.made_by(kinds["eq"], "eq")
    assert below is not None
    assert same is not None
    key, query = below.operands
    axes = [_counted(b, x) for x in (key, query)]
    return set(same.operands) == {key, query} and axes == [1, 2]


def _counted(b: Rewriter, v: Value) -> int | None:
    """Along which axis from the end a value counts 0, 1, ...; None if it does not."""
    node = b.made_by(b.spread(v), "iota")
    if node is None:
        return None
    op: Any = node.op
    axis: int = len(op.shape) - op.axis
    return axis


def _triangle(array: Any, dtype: DType) -> bool:
    """Whether matrices are true, or 0 and not very low, just up to the diagonal.

    The first key is left to each query, so that no row is low as a whole.
    """
    if array.ndim < 2 or array.size > _MOST or array.size == 0:
        return False
    rows, columns = array.shape[-2:]
    low = np.tri(rows, columns, dtype=bool)
    if dtype is bool_:
        return bool((array == low).all())
    wide = array.astype(np.float64)
    return bool(np.where(low, wide == 0, wide <= _lowest(dtype)).all())
