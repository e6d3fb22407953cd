"""Attention in blocks of queries: scores stay in cache, heads go to all cores.

The rows of a block are normalised after the second product, which is narrower than the
scores. Operands may be strided views, so that nothing is transposed in memory.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.numpy.kernels import scratch, threads
from graphwright.backends.numpy.kernels.fold import row_sums
from graphwright.backends.numpy.kernels.matmul import BYTES_MULTIPLIED
from graphwright.backends.numpy.kernels.norm import SECONDS_A_BYTE
from graphwright.ir.record import record

Array = NDArray[Any]
Stage = Callable[[], object]

_BLOCK_BYTES = 1 << 19
_FEWEST_ROWS = 16
_CALLS = 7


@record(frozen=True, slots=True, kw_only=True)
class AttentionPlan:
    """``softmax(q k^T * scale + mask) v`` for these sizes.

    Attributes:
        batch, heads, groups: Images; heads of the queries; heads of keys and values.
        rows, columns: Queries and keys.
        depth, width: Sizes of a key and of a value.
        dtype: That of all operands and the result.
        scale: Factor of the scores.
        softcap: If not 0, scores become ``softcap * tanh(score / softcap)``.
        below, above: How many keys before and after its own position a query attends;
            None for all.
        offset: Position of the first query.
    """

    batch: int
    heads: int
    groups: int
    rows: int
    columns: int
    depth: int
    width: int
    dtype: "np.dtype[Any]"
    scale: float
    softcap: float = 0.0
    below: int | None = None
    above: int | None = None
    offset: int = 0

    @property
    def share(self) -> int:
        """Heads of the queries for one of the keys."""
        return self.heads // self.groups

    @property
    def tile(self) -> tuple[int, int]:
        """Groups and queries of a block: many, for calls that last."""
        row = self.share * self.columns * self.dtype.itemsize
        size = max(1, _BLOCK_BYTES // max(1, row))
        if size < self.rows:
            cuts = threads.ranges(self.rows, max(_FEWEST_ROWS, size))
            return 1, max(high - low for low, high in cuts)
        fair = -(-self.batch * self.groups // threads.get_num_threads())
        return max(1, min(size // self.rows, fair, self.groups)), self.rows

    @property
    def seconds(self) -> float:
        """About what it takes on one thread."""
        scores = self.batch * self.heads * self.rows * self.columns
        products = 2.0 * scores * (self.depth + self.width) / BYTES_MULTIPLIED
        return (products + scores * SECONDS_A_BYTE) * self.dtype.itemsize

    @property
    def _slot_bytes(self) -> int:
        groups, rows = self.tile
        parts = (self.columns, self.depth, 1)
        sizes = ((groups, self.share, rows, part) for part in parts)
        return sum(scratch.nbytes(size, self.dtype) for size in sizes)

    @property
    def scratch_bytes(self) -> int:
        """Bytes of scratch: the scores, queries and sums of a block, for each slot."""
        return self._slot_bytes * threads.get_num_threads()

    def bind(
        self,
        memory: NDArray[np.uint8],
        out: Array,
        q: Array,
        k: Array,
        v: Array,
        mask: Array | None = None,
    ) -> threads.Prepared:
        """Return what attends as often as it is called.

        ``out [N, H, S, E]``, ``q [N, H, S, D]``, ``k [N, G, T, D]``, ``v [N, G, T, E]``
        may be strided; ``mask`` broadcasts to ``[N, H, S, T]``: bool, or added.
        """
        slots, size = threads.get_num_threads(), self._slot_bytes
        if mask is not None:
            shape = (self.batch, self.heads, self.rows, self.columns)
            mask = self._grouped(np.broadcast_to(mask, shape))
        q, out = self._grouped(q), self._grouped(out)
        k, v = k[:, :, None], v[:, :, None]
        deep, tall = self.tile
        blocks = [
            (image, slice(*some), slice(*cut))
            for image in range(self.batch)
            for some in threads.ranges(self.groups, deep)
            for cut in threads.ranges(self.rows, tall)
        ]

        def make(index: int, slot: int) -> Stage:
            image, groups, rows = blocks[index]
            arena = scratch.Arena(memory[slot * size : (slot + 1) * size])
            here = (image, groups, slice(None), rows)
            bias = None if mask is None else mask[here]
            block = _Block(self, arena, rows, out[here], bias)
            return block.bind(q[here], k[image, groups], v[image, groups])

        return threads.Prepared(make, len(blocks), slots, self.seconds, _CALLS)

    def _grouped(self, x: Array) -> Array:
        """View ``[N, H, S, D]`` as ``[N, G, H / G, S, D]``."""
        return x.reshape(self.batch, self.groups, self.share, *x.shape[2:])

    def span(self, low: int, high: int) -> tuple[int, int]:
        """The keys that queries ``low`` to ``high`` may attend by position."""
        first, stop = 0, self.columns
        if self.below is not None:
            first = max(0, low + self.offset - self.below)
        if self.above is not None:
            stop = min(stop, high + self.offset + self.above)
        return min(first, self.columns), max(stop, 0)

    def forbidden(self, low: int, high: int, first: int, stop: int) -> Array:
        """Which of these keys each of these queries may not attend, by position."""
        key = np.arange(first, stop)
        place = np.arange(low, high)[:, None] + self.offset
        found = np.zeros((high - low, stop - first), bool)
        if self.below is not None:
            found |= key < place - self.below
        if self.above is not None:
            found |= key > place + self.above
        return found


class _Block:
    """Some queries of some heads, and the keys which they may attend."""

    def __init__(
        self,
        plan: AttentionPlan,
        arena: scratch.Arena,
        rows: slice,
        out: Array,
        bias: Array | None,
    ) -> None:
        self.plan, self.out, self.bias = plan, out, bias
        self.first, self.stop = first, stop = plan.span(rows.start, rows.stop)
        lead = out.shape[:-1]
        self.scores = arena.array((*lead, max(0, stop - first)), plan.dtype)
        self.queries = arena.array((*lead, plan.depth), plan.dtype)
        self.sums = arena.array((*lead, 1), plan.dtype)
        self.barred: Array | None = None
        self.edge = self.scores
        if first < stop:
            self._bar(plan.forbidden(rows.start, rows.stop, first, stop))

    def _bar(self, barred: Array) -> None:
        """Keeps what of the scores positions forbid, and where."""
        columns = np.flatnonzero(barred.any(axis=0))
        if columns.size:
            some = slice(int(columns[0]), int(columns[-1]) + 1)
            self.barred = np.ascontiguousarray(barred[:, some])
            self.edge = self.scores[..., some]

    def bind(self, q: Array, k: Array, v: Array) -> Stage:
        """Return what computes the block."""
        if self.first >= self.stop:
            return lambda: self.out.fill(0)
        k, v = (x[..., self.first : self.stop, :] for x in (k, v))
        stages = [*self._scored(q, k.swapaxes(-1, -2)), *self._masked()]
        return threads.in_turn([*stages, self._weighted(v)])

    def _scored(self, q: Array, turned: Array) -> list[Stage]:
        scores, queries, plan = self.scores, self.queries, self.plan
        scale = plan.dtype.type(plan.scale)

        def product() -> None:
            np.multiply(q, scale, out=queries)
            np.matmul(queries, turned, out=scores)

        if not plan.softcap:
            return [product]
        cap, inverse = plan.dtype.type(plan.softcap), plan.dtype.type(1 / plan.softcap)

        def capped() -> None:
            np.multiply(scores, inverse, out=scores)
            np.tanh(scores, out=scores)
            np.multiply(scores, cap, out=scores)

        return [product, capped]

    def _masked(self) -> list[Stage]:
        scores, low = self.scores, self.plan.dtype.type(-np.inf)
        stages: list[Stage] = []
        if self.bias is not None:
            bias = self.bias[..., self.first : self.stop]
            if bias.dtype == np.bool_:
                stages.append(lambda: np.copyto(scores, low, where=~bias))
            else:
                stages.append(lambda: np.add(scores, bias, out=scores))
        if self.barred is not None:
            edge, barred = self.edge, self.barred
            stages.append(lambda: np.copyto(edge, low, where=barred))
        return stages

    def _weighted(self, v: Array) -> Stage:
        scores, sums, out = self.scores, self.sums, self.out
        partial = self.bias is not None or self.barred is not None
        zero, one = self.plan.dtype.type(0), self.plan.dtype.type(1)
        rows, total = scores.reshape(-1, scores.shape[-1]), sums.reshape(-1)
        add_up = row_sums(rows, total)

        def run() -> None:
            np.maximum.reduce(rows, 1, out=total)
            if partial:  # a query that may attend no key: zeros
                np.copyto(sums, zero, where=np.isneginf(sums))
            np.subtract(scores, sums, out=scores)
            np.exp(scores, out=scores)
            add_up()
            if partial:
                np.copyto(sums, one, where=sums == zero)
            np.matmul(scores, v, out=out)
            np.divide(out, sums, out=out)

        return run
