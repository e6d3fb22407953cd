"""Softmax and normalization along the last axis, rows in blocks, on all cores."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.numpy.kernels import precision, scratch, threads
from graphwright.backends.numpy.kernels.fold import row_sums
from graphwright.ir.record import record

Array = NDArray[Any]
Call = Callable[[], object]
_Lines = Callable[[Array, Array, scratch.Arena], list[Call]]
"""Given lines, where their results go (which may be the same) and memory: the calls."""

SECONDS_A_BYTE = 3e-10
"""What softmax takes for a byte of its operand."""
_CALLS = 8
_BLOCK = 1 << 17
_SHORT = 32


@record(frozen=True, slots=True)
class ByRows:
    """What computes each row of an array by itself.

    16-bit floats are computed in float32 and rounded once. Many short rows are turned,
    for a loop takes long to begin.

    Attributes:
        rows: Makes the calls for rows ``[P, M]``.
        columns: Makes them for turned rows ``[M, P]``; None if rows are never turned.
        copies: How many arrays as large as its lines a function takes of its memory.
    """

    rows: _Lines
    columns: _Lines | None = None
    copies: int = 0

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Return the function of ``x``, any shape, in `out` if it is given."""
        if out is None:
            out = np.empty(x.shape, x.dtype)
        memory = scratch.take(self.scratch_bytes(x.shape, x.dtype))
        with np.errstate(all="ignore"):
            if x.flags.c_contiguous and out.flags.c_contiguous:
                self.bind(memory, x, out)()
            else:
                dense = np.ascontiguousarray(x)
                whole = np.empty(x.shape, out.dtype)
                self.bind(memory, dense, whole)()
                np.copyto(out, whole)
        scratch.give(memory)
        return out

    def scratch_bytes(self, shape: Sequence[int], dtype: precision.DType) -> int:
        """Bytes of memory that `bind` needs."""
        blocks = _Blocks(tuple(shape), dtype)
        return blocks.slots * self._bytes(blocks)

    def bind(self, memory: NDArray[np.uint8], x: Array, out: Array) -> Call:
        """Return what computes contiguous ``x`` into ``out`` as often as it is called.

        They may be the same array.
        """
        blocks = _Blocks(x.shape, x.dtype)
        source, target = x.reshape(blocks.shape), out.reshape(blocks.shape)
        size = self._bytes(blocks)

        def make(index: int, slot: int) -> Call:
            part = slice(*blocks.cuts[index])
            arena = scratch.Arena(memory[slot * size : (slot + 1) * size])
            calls = self._block(source[part], target[part], arena, blocks)
            return threads.in_turn(calls)

        count, seconds = len(blocks.cuts), blocks.seconds
        if count == 1:
            return make(0, 0)
        return threads.Prepared(make, count, blocks.slots, seconds, _CALLS, blas=False)

    def _turns(self, blocks: "_Blocks") -> bool:
        return self.columns is not None and blocks.shape[1] <= _SHORT < blocks.shape[0]

    def _bytes(self, blocks: "_Blocks") -> int:
        """Memory of a block: its sums, and copies of its lines."""
        copies = self.copies
        copies += self._turns(blocks) or blocks.wide != blocks.dtype
        lines = scratch.nbytes((blocks.tallest, blocks.shape[1]), blocks.wide)
        return copies * lines + scratch.nbytes((blocks.tallest,), blocks.wide)

    def _block(
        self, source: Array, target: Array, arena: scratch.Arena, blocks: "_Blocks"
    ) -> list[Call]:
        if self.columns is not None and self._turns(blocks):
            lines = arena.array(source.shape[::-1], blocks.wide)
            calls = self.columns(lines, lines, arena)
            turn, back = (lines, source.T), (target.T, lines)
        elif blocks.wide == blocks.dtype:
            return self.rows(source, target, arena)
        else:
            lines = arena.array(source.shape, blocks.wide)
            calls = self.rows(lines, lines, arena)
            turn, back = (lines, source), (target, lines)
        last = partial(np.copyto, *back, casting="unsafe")
        return [partial(np.copyto, *turn), *calls, last]


class _Blocks:
    """Blocks of rows, at least one a thread where that pays."""

    def __init__(self, shape: tuple[int, ...], dtype: precision.DType) -> None:
        self.dtype, self.wide = dtype, precision.accumulator(dtype, 1)
        size = int(np.prod(shape))
        width = shape[-1] if shape else 1
        self.shape = (size // max(1, width), width)
        self.seconds = size * self.wide.itemsize * SECONDS_A_BYTE
        count = -(-size // _BLOCK)
        shared = threads.joins(self.seconds, (count + 1) * _CALLS)
        self.slots = threads.slots() if shared else 1
        count = max(count, self.slots)
        rows = self.shape[0]
        self.cuts = threads.ranges(rows, max(1, -(-rows // max(1, count))))
        self.tallest = max((high - low for low, high in self.cuts), default=0)


def _total(x: Array, axis: int, out: Array) -> Call:
    """What sums lines into ``out``, which keeps the axis."""
    if axis:
        return row_sums(x, out[:, 0])
    return partial(np.add.reduce, x, 0, None, out, True)


def _shifted(axis: int, x: Array, out: Array, sums: Array) -> list[Call]:
    """What subtracts the largest of each line."""
    return [
        partial(np.maximum.reduce, x, axis, None, sums, True),
        partial(np.subtract, x, sums, out),
    ]


def _sums(axis: int, x: Array, arena: scratch.Arena) -> Array:
    """Memory of a number a line."""
    count = x.shape[1 - axis]
    return arena.array((count, 1) if axis else (1, count), x.dtype)


def _softmax(axis: int, x: Array, out: Array, arena: scratch.Arena) -> list[Call]:
    sums = _sums(axis, out, arena)
    return [
        *_shifted(axis, x, out, sums),
        partial(np.exp, out, out),
        _total(out, axis, sums),
        partial(np.reciprocal, sums, sums),
        partial(np.multiply, out, sums, out),
    ]


def _log_softmax(axis: int, x: Array, out: Array, arena: scratch.Arena) -> list[Call]:
    powers = arena.array(out.shape, out.dtype)
    sums = _sums(axis, out, arena)
    return [
        *_shifted(axis, x, out, sums),
        partial(np.exp, out, powers),
        _total(powers, axis, sums),
        partial(np.log, sums, sums),
        partial(np.subtract, out, sums, out),
    ]


SOFTMAX = ByRows(partial(_softmax, 1), partial(_softmax, 0))
"""``exp(x) / sum(exp(x))`` along the last axis."""
LOG_SOFTMAX = ByRows(partial(_log_softmax, 1), partial(_log_softmax, 0), 1)
"""``x - log(sum(exp(x)))`` along the last axis."""


def layer_norm(
    scale: Array | None = None, bias: Array | None = None, epsilon: float = 1e-5
) -> ByRows:
    """``(x - mean) / sqrt(variance + epsilon) * scale + bias`` by the last axis.

    `scale` and `bias` have the last axis' extent.
    """

    def rows(x: Array, out: Array, arena: scratch.Arena) -> list[Call]:
        sums, width = _sums(1, out, arena), out.dtype.type(out.shape[1])
        return [
            _total(x, 1, sums),
            partial(np.divide, sums, width, sums),
            partial(np.subtract, x, sums, out),
            *_divided(out, out, sums, epsilon),
            *_affine(out, scale, bias),
        ]

    return ByRows(rows)


def rms_norm(scale: Array | None = None, epsilon: float = 1e-5) -> ByRows:
    """``x / sqrt(mean(x * x) + epsilon) * scale`` along the last axis."""

    def rows(x: Array, out: Array, arena: scratch.Arena) -> list[Call]:
        sums = _sums(1, out, arena)
        return [*_divided(x, out, sums, epsilon), *_affine(out, scale, None)]

    return ByRows(rows)


def _divided(x: Array, out: Array, sums: Array, epsilon: float) -> list[Call]:
    """What divides rows by the root of their mean square."""
    number = out.dtype.type
    return [
        partial(np.einsum, "ij,ij->i", x, x, out=sums[:, 0]),
        partial(np.divide, sums, number(x.shape[1]), sums),
        partial(np.add, sums, number(epsilon), sums),
        partial(np.sqrt, sums, sums),
        partial(np.divide, number(1), sums, sums),
        partial(np.multiply, x, sums, out),
    ]


def _affine(out: Array, scale: Array | None, bias: Array | None) -> list[Call]:
    calls: list[Call] = []
    if scale is not None:
        calls.append(partial(np.multiply, out, scale, out))
    if bias is not None:
        calls.append(partial(np.add, out, bias, out))
    return calls
