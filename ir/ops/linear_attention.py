"""Attention as a linear recurrence over a state for each head."""

from collections.abc import Sequence
from typing import Any, ClassVar

from graphwright.ir.dim import Dim, product
from graphwright.ir.dtype import dtype
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.op import Op, Tier, Trait
from graphwright.ir.ops.recurrent import Arrays, scan
from graphwright.ir.rules import need, need_kind, ranked
from graphwright.ir.types import TensorType, agree


class LinearAttention(Op):
    """``S' = e^g S + k (beta (v - e^g S^T k))^T`` and ``y = scale * q^T S'``.

    Operands, of T steps: ``q [T, N, H, D]``, ``k [T, N, G, D]``, ``v [T, N, G, E]``,
    the state ``S [N, G, D, E]``, then, as the flags say, the decay
    ``g [T, N, G, D or 1]`` and the rate ``beta [T, N, G or 1, 1]``, without which what
    is written is ``k v^T``. ``H / G`` consecutive heads of ``q`` share a state.
    Results: ``[T, N, H, E]`` of ``q``'s dtype, and the last state.

    Katharopoulos et al. (2020); with the delta rule, Yang et al. (2024).
    """

    name = "linear_attention"
    tier = Tier.COMPOSITE
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.REDUCTION})
    scale: float
    decays: bool = False
    delta: bool = False

    def result_type(
        self,
        q: TensorType,
        k: TensorType,
        v: TensorType,
        state: TensorType,
        *rest: TensorType,
    ) -> tuple[TensorType, TensorType]:
        ranked(self.name, q, k, v, state, *rest)
        need_kind(self.name, q, "f")
        four = all(t.rank == 4 for t in (q, k, v, state, *rest))
        need(four and len(rest) == self.decays + self.delta, f"{self.name}: operands")
        pairs = [(q.dims[0], k.dims[0]), (q.dims[3], k.dims[3])]
        wanted = (*k.dims[1:], v.dims[3])
        pairs += [*zip(state.dims, wanted, strict=True)]
        fits = all(agree(a, b) is not None for a, b in pairs)
        heads, shared = q.dims[2], k.dims[2]
        if isinstance(heads, int) and isinstance(shared, int):
            fits = fits and shared > 0 and heads % shared == 0
        need(fits, f"{self.name} of {q}, {k}, {v} with state {state}: sizes do not fit")
        y = TensorType(q.dtype, (*q.dims[:3], v.dims[3]))
        return y, TensorType(state.dtype, state.shape)

    def flops(self, operands: Any, results: Any) -> Dim:
        q, v = operands[0], operands[2]
        return product((6, *q.dims, v.dims[3]))

    def compute(self, xp: Any, q: Any, k: Any, v: Any, state: Any, *rest: Any) -> Any:
        wide = dtype(q.dtype).accumulate.numpy
        lines = [x.astype(wide, copy=False) for x in (q, k, v, *rest)]
        memory = state.astype(wide, copy=False)
        y, m = xp.zeros((*q.shape[:3], v.shape[3]), wide), Arrays(xp)
        for t in range(len(q)):
            (memory,), (y[t],) = self._step(m, [memory], [x[t] for x in lines], ())
        return y.astype(q.dtype, copy=False), memory.astype(state.dtype, copy=False)

    def decompose(self, b: Emitter, *operands: Value) -> tuple[Value, ...]:
        q, k, v, state, *rest = operands
        wide = q.dtype.accumulate
        lines = [b.cast(x, wide) for x in (q, k, v, *rest)]
        memory, y = scan(b, self._step, [b.cast(state, wide)], lines, ())
        return b.cast(y, q.dtype), b.cast(memory, state.dtype)

    def _step(
        self, m: Any, state: Sequence[Any], items: Sequence[Any], fixed: Any
    ) -> tuple[list[Any], list[Any]]:
        (memory,), (q, k, v, *rest) = state, items
        if self.decays:
            memory = m.mul(memory, m.expand_dims(m.exp(rest[0]), [3]))
        column, row = m.expand_dims(k, [3]), m.expand_dims(v, [2])
        if self.delta:
            stored = m.matmul(m.expand_dims(k, [2]), memory)
            row = m.mul(m.sub(row, stored), m.expand_dims(rest[-1], [3]))
        memory = m.add(memory, m.mul(column, row))
        shared = (q.shape[0], k.shape[1], _share(q, k), q.shape[2])
        y = m.matmul(m.reshape(q, shared), memory)
        y = m.reshape(m.mul(y, self.scale), (*q.shape[:2], v.shape[2]))
        return [memory], [y]


def _share(q: Any, k: Any) -> Dim:
    """How many heads of ``q`` have one state."""
    count: Dim = q.shape[1] // k.shape[1]
    return count
