"""A depthwise convolution between pointwise ones, each thread with rows of its own.

Threads meet once instead of three times, and what the first convolution makes is not
kept: rows at the border of two blocks are computed for both.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.numpy.kernels import scratch, threads
from graphwright.backends.numpy.kernels.conv_depthwise import DepthwiseConv, by_rows
from graphwright.backends.numpy.kernels.conv_gemm import GemmConv
from graphwright.backends.numpy.kernels.conv_spec import Stage

Array = NDArray[Any]
Cut = tuple[int, int]

_LARGE = 4 << 20
_SMALL_SECONDS = 1e-4
_CALLS = 14


class SeparableConv:
    """`after(middle(before(x)))`; `before` or `after` may be missing."""

    def __init__(
        self, before: GemmConv | None, middle: DepthwiseConv, after: GemmConv | None
    ) -> None:
        """Keep the parts, whose weights are packed, and choose the rows of a block."""
        self.before, self.middle, self.after = before, middle, after
        parts = (before, middle, after)
        self.seconds = sum(part.seconds for part in parts if part is not None)
        self.cuts = self._cuts()
        self.slots = threads.get_num_threads()

    @classmethod
    def of(cls, parts: Sequence[Any], depthwise: int) -> "SeparableConv | None":
        """These parts as one, or None where one of them is of another kind."""
        around = [parts[i] for i in range(len(parts)) if i != depthwise]
        if depthwise > 1 or len(parts) > depthwise + 2:
            return None
        if not all(isinstance(p, GemmConv) and p.by_rows for p in around):
            return None
        middle, dtype = parts[depthwise], parts[depthwise].spec.acc
        specs = [part.spec for part in parts]
        plain = all(s.last and s.dtype == s.acc == s.out_dtype == dtype for s in specs)
        if not plain or len(middle.spec.axes) != 2:
            return None
        before = parts[0] if depthwise else None
        return cls(before, middle, parts[-1] if parts[-1] is not middle else None)

    def _cuts(self) -> list[Cut]:
        """Rows of the output: two blocks, more where these are large, or one."""
        rows = self.middle.spec.axes[0].out
        if self.seconds < _SMALL_SECONDS:
            return [(0, rows)]
        for parts in range(2, rows, 2):
            cuts = threads.ranges(rows, -(-rows // parts))
            if max(map(self._block_bytes, cuts)) <= _LARGE:
                return cuts
        return threads.ranges(rows, 1)

    def _expanded(self, cut: Cut) -> tuple[int, ...]:
        """Shape of what the first convolution makes for some rows."""
        if self.before is None:
            return (0,)
        spec, taken = self.middle.spec, self.middle.taken(cut)
        return (taken.stop - taken.start, spec.axes[1].size, spec.channels)

    def _block_bytes(self, cut: Cut) -> int:
        expanded = scratch.nbytes(self._expanded(cut), self.middle.spec.acc)
        return expanded + self.middle.block_bytes(cut)

    @property
    def _slot_bytes(self) -> int:
        return max(map(self._block_bytes, self.cuts))

    @property
    def scratch_bytes(self) -> int:
        """Bytes of scratch: a block for each slot."""
        return self._slot_bytes * self.slots

    def bind(
        self, x: Array, out: Array, residual: Array | None, arena: scratch.Arena
    ) -> Stage:
        """Return what computes all of `out`; see `Algorithm`."""
        rooms = [arena.array((self._slot_bytes,), np.uint8) for _ in range(self.slots)]
        arrays = x, out, residual
        make = by_rows(self.cuts, self.middle.taken, self._block, arrays, rooms)
        total = len(self.cuts) * len(x)
        return threads.Prepared(make, total, self.slots, self.seconds, _CALLS)

    def _block(
        self,
        x: Array,
        out: Array,
        residual: Array | None,
        cut: Cut,
        room: scratch.Arena,
    ) -> Stage:
        """Return what computes some rows of one image's output from those they read."""
        stages: list[Stage] = []
        acc = self.middle.spec.acc
        if self.before is not None:
            expanded = room.array(self._expanded(cut), acc)
            stages.append(self.before.bind_rows(_rows(x), _rows(expanded), None))
            x = expanded
        if self.after is None:
            return threads.in_turn(
                [*stages, self.middle.block(x, out, residual, cut, room)]
            )
        sums = room.array(self.middle.sums(cut), acc)
        stages.append(self.middle.block(x, sums, None, cut, room))
        rest = None if residual is None else _rows(residual)
        stages.append(self.after.bind_rows(_rows(sums), _rows(out), rest))
        return threads.in_turn(stages)


def _rows(image: Array) -> Array:
    """View [H, W, C] as [positions, C]."""
    return image.reshape(-1, image.shape[-1])
