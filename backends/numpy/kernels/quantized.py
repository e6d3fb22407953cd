"""Integers of 8 bits through a product or a sum, and back, in blocks on all cores.

NumPy multiplies no matrices of integers, so products are formed in floats that hold
every partial sum exactly: float32 up to 2**24. Beyond, two halves are exact, and their
sum is the exact one rounded once, as a float32 of it must be. Else it is float64.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.numpy.kernels import scratch, threads
from graphwright.ir.record import record

Array = NDArray[Any]
Stage = Callable[[], object]

_BLOCK = 1 << 15


@record(frozen=True, slots=True)
class Term:
    """``factor * (source - zero)``.

    Attributes:
        source: Index of an operand, or -1 for the product.
        factor: A number, or one for each channel.
        zero: The zero point.
        divides: Whether the factor is a divisor.
    """

    source: int
    factor: Array
    zero: int = 0
    divides: bool = False


@record(frozen=True, slots=True)
class Finish:
    """``clip(round(sum of terms + shift) + zero)``, or without rounding.

    Attributes:
        terms: What is added up.
        shift: A number, or one for each channel; None for 0.
        rounds: Whether the result is an integer.
        zero: What is added after rounding.
        low, high: Bounds of the result; None for none.
    """

    terms: tuple[Term, ...]
    shift: Array | None = None
    rounds: bool = True
    zero: int = 0
    low: float | None = None
    high: float | None = None

    def apply(self, blocks: Sequence[Array], out: Array, room: Array) -> None:
        """Compute a block ``[rows, channels]`` from blocks of the terms' sources.

        ``room`` has two float32 blocks to spoil; a product's block is spoilt too.
        """
        total = self._term(0, blocks[0], room[0])
        for number in range(1, len(self.terms)):
            np.add(total, self._term(number, blocks[number], room[1]), out=total)
        if self.shift is not None:
            np.add(total, self.shift, out=total)
        if self.rounds:
            np.rint(total, out=total)
        if self.zero:
            np.add(total, np.float32(self.zero), out=total)
        if self.low is not None or self.high is not None:
            low = -np.inf if self.low is None else self.low
            high = np.inf if self.high is None else self.high
            np.clip(total, np.float32(low), np.float32(high), out=total)
        np.copyto(out, total, casting="unsafe")

    def _term(self, number: int, block: Array, room: Array) -> Array:
        term = self.terms[number]
        if term.source >= 0 or block.dtype != np.float32:
            np.copyto(room, block, casting="unsafe")
            block = room
        if term.zero:
            np.subtract(block, np.float32(term.zero), out=block)
        function = np.divide if term.divides else np.multiply
        function(block, term.factor, out=block)
        return block


@record(frozen=True, slots=True)
class Exact:
    """A float that holds all sums of a product, and how the summed axis is cut."""

    dtype: "np.dtype[Any]"
    cuts: tuple[tuple[int, int], ...]


def exact_sums(reach: int, weights: Array, result: int, summed: int) -> Exact:
    """How to sum integers up to ``reach`` times weights exactly.

    ``result`` is the axis of the weights' results, ``summed`` one that is summed up,
    which may be cut in two.
    """
    others = tuple(i for i in range(weights.ndim) if i not in (result, summed))
    sizes = np.abs(weights.astype(np.int64)).sum(axis=others)
    sizes = sizes if result < summed else sizes.T
    length = sizes.shape[1]
    for parts in (1, 2):
        cuts = threads.ranges(length, -(-length // parts))
        sums = [
            int(sizes[:, low:high].sum(axis=1).max(initial=0)) for low, high in cuts
        ]
        if reach * max(sums, default=0) <= 1 << 24:
            return Exact(np.dtype(np.float32), tuple(cuts))
    return Exact(np.dtype(np.float64), ((0, length),))


def bind_load(source: Array, target: Array, zero: int) -> Stage:
    """What writes integers less their zero point as floats, views included."""
    flat = source.ndim == 0 or not target.flags.c_contiguous
    if flat or not source.flags.c_contiguous:

        def whole() -> None:
            np.copyto(target, source, casting="unsafe")
            if zero:
                np.subtract(target, target.dtype.type(zero), out=target)

        return whole
    x, y = source.reshape(-1), target.reshape(-1)
    cuts = threads.ranges(x.size, _BLOCK)

    def make(index: int, _slot: int) -> Stage:
        given, into = (array[slice(*cuts[index])] for array in (x, y))
        number = into.dtype.type(zero)

        def run() -> None:
            np.copyto(into, given, casting="unsafe")
            if zero:
                np.subtract(into, number, out=into)

        return run

    return threads.Prepared(make, len(cuts))


def finish_bytes(channels: int) -> int:
    """Bytes of scratch that ``bind_finish`` takes."""
    return threads.get_num_threads() * _slot_bytes(channels)


def _rows(channels: int) -> int:
    return max(1, _BLOCK // max(1, channels))


def _slot_bytes(channels: int) -> int:
    return scratch.nbytes((2, _rows(channels), channels), np.float32)


def bind_finish(
    finish: Finish, sources: Sequence[Array], out: Array, arena: scratch.Arena
) -> Stage:
    """What computes all of ``out`` from its terms' sources, all of one shape."""
    channels = out.shape[-1] if out.ndim else 1
    target = out.reshape(-1, channels)
    flat = [source.reshape(-1, channels) for source in sources]
    cuts = threads.ranges(len(target), _rows(channels))
    slots = threads.get_num_threads()
    size = (2, _rows(channels), channels)
    rooms = [arena.array(size, np.float32) for _ in range(slots)]

    def make(index: int, slot: int) -> Stage:
        part = slice(*cuts[index])
        blocks = [source[part] for source in flat]
        room = rooms[slot][:, : part.stop - part.start]
        into = target[part]
        return lambda: finish.apply(blocks, into, room)

    return threads.Prepared(make, len(cuts), slots)
