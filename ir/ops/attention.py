"""Scaled dot-product attention, and attention as a linear recurrence."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from graphwright.ir.dim import Dim, equal, floordiv, product
from graphwright.ir.dtype import DType, bool_, dtype, int64
from graphwright.ir.emitter import Emitter, Value, broadcast_shape
from graphwright.ir.op import Narrowing, Op, Rows, Tier, Trait
from graphwright.ir.rules import need, need_kind, ranked
from graphwright.ir.types import TensorType, agree, agree_shapes

_REDUCTION = frozenset({Trait.REDUCTION})


class Attention(Op):
    """``softmax(q k^T * scale + mask) v`` for each head (Vaswani et al., 2017).

    Operands: ``q [N, H, S, D]``, ``k [N, G, T, D]``, ``v [N, G, T, E]``, then, as the
    flags say, a mask that broadcasts to ``[N, H, S, T]`` (bool: who may attend; float:
    added) and int64 ``lengths [N]``: how many of the T keys are there. ``H / G``
    consecutive heads of ``q`` share one of ``k`` and ``v``. A query that may attend no
    key gives zeros.

    Attributes:
        scale: Factor of the scores.
        softcap: If not 0, scores become ``softcap * tanh(score / softcap)``.
        causal: Whether a query attends keys up to its own position only.
        left: How many keys before its own position it attends; -1 for all.
        right: How many after it.
        offset: Position of the first query; with ``lengths`` it is those minus S.
        masked: Whether there is a mask.
        lengths: Whether there are lengths.
        precision: Dtype of the softmax; None for that of ``q``.
    """

    name = "attention"
    narrow = Narrowing.GAINS
    tier = Tier.COMPOSITE
    traits: ClassVar[frozenset[Trait]] = _REDUCTION
    scale: float
    softcap: float = 0.0
    causal: bool = False
    left: int = -1
    right: int = -1
    offset: Dim = 0
    masked: bool = False
    lengths: bool = False
    precision: DType | None = None

    def result_type(
        self, q: TensorType, k: TensorType, v: TensorType, *rest: TensorType
    ) -> TensorType:
        ranked(self.name, q, k, v, *rest)
        need_kind(self.name, q, "f")
        need(q.rank == k.rank == v.rank == 4, f"attention of {q}, {k}, {v}")
        need(len(rest) == self.masked + self.lengths, "attention: operands and flags")
        pairs = [(q.dims[0], k.dims[0]), (q.dims[3], k.dims[3])]
        pairs += zip(k.dims[:3], v.dims[:3], strict=True)
        fits = all(agree(a, b) is not None for a, b in pairs)
        heads, shared = q.dims[1], k.dims[1]
        if isinstance(heads, int) and isinstance(shared, int):
            fits = fits and shared > 0 and heads % shared == 0
        need(fits, f"attention of {q}, {k}, {v}: sizes do not fit")
        if self.masked:
            broadcast_shape((*q.dims[:3], k.dims[2]), rest[0].dims)
        return TensorType(q.dtype, (*q.dims[:3], v.dims[3]))

    def _split(self, rest: Any) -> tuple[Any, Any]:
        mask = rest[0] if self.masked else None
        return mask, rest[-1] if self.lengths else None

    def _factors(self) -> tuple[float, float]:
        """Factors of ``q`` and ``k``, equal but for the sign: no product overflows."""
        root = math.sqrt(abs(self.scale))
        return math.copysign(root, self.scale), root

    def flops(self, operands: Any, results: Any) -> Dim:
        q, k, v = operands[:3]
        both = q.dims[3] + v.dims[3]
        return product((2, *q.dims[:3], k.dims[2], both))

    # In NumPy -------------------------------------------------------------------------

    def compute(self, xp: Any, q: Any, k: Any, v: Any, *rest: Any) -> Any:
        mask, lengths = self._split(rest)
        n, heads, rows, _ = q.shape
        folded = (n, k.shape[1], heads // max(k.shape[1], 1) * rows)
        left, right = (q.dtype.type(f) for f in self._factors())
        turned = xp.swapaxes(k * right, 2, 3)
        scores = _matmul(xp, (q * left).reshape(*folded, q.shape[3]), turned)
        scores = scores.reshape(n, heads, rows, k.shape[2])
        if self.softcap:
            cap = scores.dtype.type(self.softcap)
            scores = xp.tanh(scores / cap) * cap
        allowed = self._allowed(xp, rows, k.shape[2], lengths)
        weights = self._softmax(xp, scores, allowed, mask).astype(q.dtype, copy=False)
        weights = weights.reshape(*folded, k.shape[2])
        y = _matmul(xp, weights, v.astype(q.dtype, copy=False))
        return y.reshape(n, heads, rows, v.shape[3])

    def _allowed(self, xp: Any, rows: int, columns: int, lengths: Any) -> Any:
        """Which keys the fields let each query attend; None for all."""
        key = xp.arange(columns)
        place = xp.arange(rows)[:, None]
        if lengths is None:
            place = place + self.offset
        else:
            lengths = lengths.reshape(-1, 1, 1, 1)
            place = place + lengths - rows
        tests = [key < lengths] if lengths is not None else []
        if self.causal:
            tests.append(key <= place)
        if self.left >= 0:
            tests.append(key >= place - self.left)
        if self.right >= 0:
            tests.append(key <= place + self.right)
        allowed: Any = None
        for test in tests:
            allowed = test if allowed is None else allowed & test
        return allowed

    def _softmax(self, xp: Any, scores: Any, allowed: Any, mask: Any) -> Any:
        low = scores.dtype.type(-np.inf)
        if mask is not None and mask.dtype == np.bool_:
            allowed, mask = (mask if allowed is None else allowed & mask), None
        bias = None if mask is None else mask.astype(scores.dtype)
        if allowed is not None:
            bias = xp.where(
                allowed, scores.dtype.type(0) if bias is None else bias, low
            )
        if bias is not None:
            scores = scores + bias
        if self.precision is not None:
            scores = scores.astype(self.precision.numpy)
        high = xp.max(scores, axis=-1, keepdims=True, initial=-np.inf)
        scores = xp.exp(
            scores - xp.where(xp.isneginf(high), scores.dtype.type(0), high)
        )
        total = xp.sum(scores, axis=-1, keepdims=True, dtype=scores.dtype)
        weights = scores / xp.where(total == 0, scores.dtype.type(1), total)
        if bias is None:
            return weights
        dead = xp.max(bias, axis=-1, keepdims=True, initial=-np.inf) == low
        return xp.where(dead, weights.dtype.type(0), weights)

    # In terms of simpler ops ----------------------------------------------------------

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        q, k, v, *rest = operands
        *_, weights = self.stages(b, q, k, *rest)
        return self.combine(b, weights, v)

    def combine(self, b: Emitter, weights: Value, v: Value) -> Value:
        """``weights v``."""
        n, heads, rows, columns = weights.shape
        folded = (n, v.shape[1], _grouped(heads, v.shape[1], rows), columns)
        y = b.dot(b.reshape(weights, folded), b.cast(v, weights.dtype))
        return b.reshape(y, (n, heads, rows, v.shape[3]))

    def stages(
        self, b: Emitter, q: Value, k: Value, *rest: Value
    ) -> tuple[Value, Value, Value, Value]:
        """Scores as they are, capped, and with the mask; and the weights."""
        mask, lengths = self._split(rest)
        n, heads, rows, size = q.shape
        folded = (n, k.shape[1], _grouped(heads, k.shape[1], rows), size)
        left, right = self._factors()
        turned = b.transpose(b.mul(k, right), (0, 1, 3, 2))
        raw = b.dot(b.reshape(b.mul(q, left), folded), turned)
        raw = b.reshape(raw, (n, heads, rows, k.shape[2]))
        capped = raw
        if self.softcap:
            capped = b.mul(b.tanh(b.div(raw, self.softcap)), self.softcap)
        bias = self._bias(b, (rows, k.shape[2]), q.dtype, mask, lengths)
        biased = capped if bias is None else b.add(capped, bias)
        weights = self._weights(b, biased, bias)
        return raw, capped, biased, b.cast(weights, q.dtype)

    def _bias(
        self, b: Emitter, shape: tuple[Dim, Dim], wide: DType, mask: Any, lengths: Any
    ) -> Value | None:
        allowed = self._emit_allowed(b, shape, lengths)
        if mask is not None and mask.dtype is bool_:
            allowed, mask = (mask if allowed is None else b.and_(allowed, mask)), None
        bias = None if mask is None else b.cast(mask, wide)
        if allowed is None:
            return bias
        zero = b.scalar(0, wide) if bias is None else bias
        return b.where(allowed, zero, b.scalar(-math.inf, wide))

    def _emit_allowed(
        self, b: Emitter, shape: tuple[Dim, Dim], lengths: Value | None
    ) -> Value | None:
        key = b.iota(shape, 1, int64)
        place = b.iota(shape, 0, int64)
        tests: list[Value] = []
        if lengths is None:
            place = b.add(place, b.dim_scalar(self.offset, int64))
        else:
            count = b.reshape(b.cast(lengths, int64), (lengths.tensor.size, 1, 1, 1))
            place = b.add(place, b.sub(count, b.dim_scalar(shape[0], int64)))
            tests.append(b.lt(key, count))
        if self.causal:
            tests.append(b.le(key, place))
        if self.left >= 0:
            tests.append(b.le(b.sub(place, self.left), key))
        if self.right >= 0:
            tests.append(b.le(key, b.add(place, self.right)))
        allowed: Value | None = None
        for test in tests:
            allowed = test if allowed is None else b.and_(allowed, test)
        return allowed

    def _weights(self, b: Emitter, scores: Value, bias: Value | None) -> Value:
        if self.precision is not None:
            scores = b.cast(scores, self.precision)
        last, zero = [scores.rank - 1], b.scalar(0, scores.dtype)
        high = b.reduce("max", scores, last, keepdims=True)
        high = b.where(b.eq(high, -math.inf), zero, high)
        powers = b.exp(b.sub(scores, high))
        total = b.sum(powers, last, keepdims=True)
        total = b.where(b.eq(total, zero), b.scalar(1, scores.dtype), total)
        weights = b.div(powers, total)
        if bias is None:
            return weights
        best = b.reduce("max", bias, [bias.rank - 1], keepdims=True)
        return b.where(b.eq(best, -math.inf), zero, weights)


def _grouped(heads: Dim, groups: Dim, rows: Dim) -> Dim:
    """Rows of all heads of a group; there may be no groups if each has one head."""
    return rows if equal(heads, groups) else product((floordiv(heads, groups), rows))


def _matmul(xp: Any, x: Any, y: Any) -> Any:
    """A product summed in ``dtype.accumulate`` and rounded once."""
    wide = dtype(x.dtype).accumulate.numpy
    z = xp.matmul(x.astype(wide, copy=False), y.astype(wide, copy=False))
    return z.astype(x.dtype, copy=False)


class RotaryEmbedding(Op):
    """Pairs of numbers, each turned by an angle (Su et al., "RoFormer", 2021).

    Operands: ``x [..., R]``, then ``cos`` and ``sin`` of the angles, which broadcast to
    ``x`` but for their last axis: it has one angle for each of the ``R / 2`` pairs, or
    one for each of the R elements. A pair ``(u, v)`` becomes ``(u cos - v sin, v cos +
    u sin)``. It is made of an element of the first half and the one as far into the
    second half, or of neighbours.

    Attributes:
        interleaved: Whether pairs are neighbours.
    """

    name = "rotary_embedding"
    tier = Tier.COMPOSITE
    traits: ClassVar[frozenset[Trait]] = frozenset()
    interleaved: bool = False

    def result_type(
        self, x: TensorType, cos: TensorType, sin: TensorType
    ) -> TensorType:
        ranked(self.name, x, cos, sin)
        need_kind(self.name, x, "f")
        words = f"{self.name} of {x} by {cos}, {sin}"
        need(min(t.rank for t in (x, cos, sin)) > 0, words)
        size, *angles = (t.dims[-1] for t in (x, cos, sin))
        need(not isinstance(size, int) or size % 2 == 0, f"{words}: an odd size")
        need(angles[0] == angles[1] in (size, floordiv(size, 2)), words)
        need(cos.dtype is sin.dtype is x.dtype, f"{words}: the dtypes differ")
        lead = broadcast_shape(*(t.dims[:-1] for t in (x, cos, sin)))
        need(agree_shapes(lead, x.dims[:-1]) is not None, words)
        return x

    def compute(self, xp: Any, x: Any, cos: Any, sin: Any) -> Any:
        wide = dtype(x.dtype).accumulate.numpy
        pairs = [self._pair(v.astype(wide, copy=False), x) for v in (x, cos, sin)]
        (u, v), (c, d), (s, t) = pairs
        turned = [u * c - v * s, v * d + u * t]
        if self.interleaved:
            y = xp.stack(turned, axis=-1).reshape(x.shape)
        else:
            y = xp.concatenate(turned, axis=-1)
        return y.astype(x.dtype, copy=False)

    def _pair(self, v: Any, x: Any) -> tuple[Any, Any]:
        """Firsts and seconds of the pairs; angles of pairs are both."""
        if v.shape[-1] != x.shape[-1]:
            return v, v
        if self.interleaved:
            return v[..., ::2], v[..., 1::2]
        half = x.shape[-1] // 2
        return v[..., :half], v[..., half:]

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        x = operands[0]
        wide = [b.cast(v, x.dtype.accumulate) for v in operands]
        (u, v), (c, d), (s, t) = (self._emit_pair(b, w, x) for w in wide)
        turned = [b.sub(b.mul(u, c), b.mul(v, s)), b.add(b.mul(v, d), b.mul(u, t))]
        axis = x.rank - 1
        if self.interleaved:
            y = b.reshape(b.stack(turned, axis + 1), x.shape)
        else:
            y = b.concat(turned, axis)
        return b.cast(y, x.dtype)

    def _emit_pair(self, b: Emitter, v: Value, x: Value) -> tuple[Value, Value]:
        size, axis = x.shape[-1], v.rank - 1
        half = floordiv(size, 2)
        if v.shape[-1] != size:
            return v, v
        if not self.interleaved:
            first = b.slice_axis(v, axis, 0, half)
            return first, b.slice_axis(v, axis, half, half * 2)
        split = b.reshape(v, (*v.shape[:-1], half, 2))
        halves = (b.slice_axis(split, axis + 1, i, i + 1) for i in (0, 1))
        first, second = (b.reshape(h, (*v.shape[:-1], half)) for h in halves)
        return first, second

    def flops(self, operands: Any, results: Any) -> Dim:
        size: Dim = operands[0].size
        return size * 3

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        return self.again(b, rows.aligned(b, operands))
