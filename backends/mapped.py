"""Arrays mapped from files: giving their pages back once they are packed."""

import mmap
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.typing import NDArray

from graphwright.ir.constant import Constant

_CHUNK = 8 << 20


def _mapping(array: NDArray[Any]) -> mmap.mmap | None:
    """Return the read-only mapping that an array lies in, if it lies in one."""
    base: Any = array
    while isinstance(base, (np.ndarray, memoryview)):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if not isinstance(base, mmap.mmap) or not memoryview(base).readonly:
        return None
    return base


def release(array: NDArray[Any]) -> None:
    """Drop an array's pages from memory; reading it again reads the file again."""
    advice = getattr(mmap, "MADV_DONTNEED", None)
    found = None if advice is None else _mapping(array)
    if found is None or advice is None:
        return
    start = np.frombuffer(found, np.uint8).ctypes.data
    low, high = (end - start for end in byte_bounds(array))
    page = mmap.PAGESIZE
    low, high = -(-low // page) * page, high // page * page
    if low < high:
        found.madvise(advice, low, high - low)


def release_part(part: NDArray[Any]) -> None:
    """Drop a part's pages if it lies in one piece, so that no others need them."""
    low, high = byte_bounds(part)
    if high - low == part.nbytes:
        release(part)


def forget(weights: Constant) -> None:
    """Drop the pages of a constant that is packed, and of those it was made of."""
    found: Constant | None = weights
    while found is not None:
        if found.is_held:
            release(found.array())
        found = found.source


def copied(array: NDArray[Any]) -> NDArray[Any]:
    """Return an aligned copy in the same order; pages are dropped as it goes on.

    So a large array is never in memory twice.
    """
    target = np.empty_like(array)
    if array.ndim == 0 or array.nbytes <= _CHUNK:
        target[...] = array
        release(array)
        return target
    axis = max(range(array.ndim), key=lambda i: abs(array.strides[i]))
    source, room = np.moveaxis(array, axis, 0), np.moveaxis(target, axis, 0)
    step = max(1, _CHUNK * len(source) // array.nbytes)
    for low in range(0, len(source), step):
        room[low : low + step] = source[low : low + step]
        release(source[low : low + step])
    return target
