"""Philox4x32-10, the counter-based generator of Salmon et al., SC 2011."""

from typing import Any

import numpy as np

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
_M0, _M1 = map(np.uint64, MULTIPLIERS)
_W0, _W1 = WEYL
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


def philox4x32(key: Any, blocks: int, first: int = 0, xp: Any = np) -> Any:
    """uint32[blocks, 4] for counters ``first, first + 1, ...`` and a uint32[2] key.

    Arrays are those of ``xp``, numpy or a library of the same interface.
    """
    counter = xp.arange(first, first + blocks, dtype=np.uint64)
    c0, c1 = counter & _LOW, counter >> _SHIFT
    c2, c3 = xp.zeros_like(c0), xp.zeros_like(c0)
    k0, k1 = int(key[0]), int(key[1])
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c2 = (
            (p1 >> _SHIFT) ^ c1 ^ np.uint64(k0),
            (p0 >> _SHIFT) ^ c3 ^ np.uint64(k1),
        )
        c1, c3 = p1 & _LOW, p0 & _LOW
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return xp.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)
