"""Weights of few bits as kernels read them: codes in words, a scale for each block.

A weight is ``(code + middle) * scale``. Codes are signed, of 4 bits or 8, and lie in
words of 32 along the depth, those of a panel of neighbouring columns beside one
another. So a vector of words has the codes of its columns for as many steps of depth as
a word holds, each by two shifts. Blocks, and the middles of their ranges, are found in
the numbers: no format is known here.
"""

from collections.abc import Iterator
from math import gcd
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.mapped import forget
from graphwright.ir.constant import Constant, Factors
from graphwright.ir.dtype import float32, int32
from graphwright.ir.record import record

_WORD = 32
_LEAST = 16
"""Weights of a block: where there are more scales, little would be saved."""
_NEAR = 64
"""Columns that are turned at once, if they have to be."""


@record(frozen=True, eq=False, slots=True)
class Coded:
    """A matrix ``[depth, columns]``.

    Attributes:
        depth, columns: Its sizes.
        bits: Bits of a code.
        block: Weights of a block, along the depth.
        wide: Columns of a panel.
        words: ``[panels, depth * bits / 32, wide]``.
        scales: ``[panels, blocks, wide]``.
        middles: What is added to codes, ``[panels, blocks, wide]``, or one for all.
    """

    depth: int
    columns: int
    bits: int
    block: int
    wide: int
    words: Constant
    scales: Constant
    middles: "Constant | float"

    @property
    def steps(self) -> int:
        """Codes of a word."""
        return _WORD // self.bits


_KNOWN: WeakKeyDictionary[Factors, dict[int, Coded | None]] = WeakKeyDictionary()


def coded(factors: Factors, wide: int) -> Coded | None:
    """A product of codes and scales in few bits; None where that takes more.

    It is made once, and kept as long as the factors are.

    Args:
        factors: What is multiplied.
        wide: Columns of a panel.
    """
    known = _KNOWN.setdefault(factors, {})
    if wide not in known:
        known[wide] = _made(factors, wide)
    return known[wide]


def _made(factors: Factors, wide: int) -> Coded | None:
    if len(factors.codes.shape) != 2 or not factors.codes.size:
        return None
    scales = np.asarray(factors.scales.array(), np.float32)
    block = _block(scales)
    scales = np.ascontiguousarray(scales[::block])
    codes = _integers(factors.codes.array()) if block >= _LEAST else None
    if codes is None:
        return None
    for constant in (factors.codes, factors.scales):
        forget(constant)
    bits, lows = _range(codes, block)
    steps = _WORD // max(bits, 1)
    if not bits or block % steps or len(codes) % steps:
        return None
    spread = lows if lows.ndim == 0 else np.repeat(lows, block, axis=0)[: len(codes)]
    own = np.asarray(lows, np.float32) + np.float32(1 << (bits - 1))
    depth, columns = codes.shape
    return Coded(
        depth,
        columns,
        bits,
        block,
        wide,
        Constant.of(_panels(_words(codes, spread, bits), wide), int32),
        Constant.of(_panels(scales, wide), float32),
        float(own) if own.ndim == 0 else Constant.of(_panels(own, wide), float32),
    )


def _parts(columns: int) -> Iterator[slice]:
    """Columns of which some rows stay in cache."""
    for start in range(0, columns, _NEAR):
        yield slice(start, start + _NEAR)


def _integers(codes: NDArray[Any]) -> NDArray[np.int16] | None:
    """Codes as integers by rows, in whatever order they lie; None if they are none."""
    found = np.empty(codes.shape, np.int16)
    for part in _parts(codes.shape[1]):
        own = codes[:, part]
        with np.errstate(invalid="ignore"):
            found[:, part] = own
        if not (found[:, part] == own).all():  # NaN too is not what it becomes
            return None
    return found


def _range(codes: NDArray[np.int16], block: int) -> tuple[int, NDArray[np.int16]]:
    """Bits of codes, 0 if they are too many; what is added to them: one, or blocks'."""
    cuts = [codes[start : start + block] for start in range(0, len(codes), block)]
    low, high = (np.stack([f(cut, axis=0) for cut in cuts]) for f in (np.min, np.max))
    least = low.min()
    for bits in (4, 8):
        if int(high.max()) - int(least) < 1 << bits:
            return bits, np.asarray(least)
        if (high.astype(int) - low).max() < 1 << bits:
            return bits, low
    return 0, np.asarray(least)


def _block(scales: NDArray[Any]) -> int:
    """Rows after which scales may change; all of them, if they never do."""
    changes = np.zeros(len(scales) - 1, bool)
    for part in _parts(scales.shape[1]):
        own = np.ascontiguousarray(scales[:, part])
        changes |= (own[1:] != own[:-1]).any(axis=1)
    return gcd(len(scales) if not changes.any() else 0, *(np.flatnonzero(changes) + 1))


def _panels(rows: NDArray[Any], wide: int) -> NDArray[Any]:
    """``[panels, rows, wide]`` of ``[rows, columns]``, filled up with zeros."""
    depth, columns = rows.shape
    found = np.pad(rows, ((0, 0), (0, -columns % wide)))
    cut = found.reshape(depth, -1, wide)
    return np.ascontiguousarray(cut.swapaxes(0, 1))


def _words(
    codes: NDArray[np.int16], lows: NDArray[np.int16], bits: int
) -> NDArray[np.int32]:
    """Words of each column, the first step of depth in the lowest bits."""
    steps = _WORD // bits
    found = np.zeros((len(codes) // steps, codes.shape[1]), np.uint32)
    for i in range(steps):
        own = lows if lows.ndim == 0 else lows[i::steps]
        found |= (codes[i::steps] - own).astype(np.uint32) << np.uint32(bits * i)
    ones = sum(1 << (bits * i) for i in range(steps))
    found ^= np.uint32(ones << (bits - 1))  # from the middle on, not from 0
    return found.view(np.int32)
