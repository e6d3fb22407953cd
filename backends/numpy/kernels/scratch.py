"""Scratch memory: one byte buffer, carved into aligned arrays."""

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]
_ALIGN = 64
_KEEP = 8
_free: list[NDArray[np.uint8]] = []


def nbytes(shape: tuple[int, ...], dtype: DTypeLike) -> int:
    """Bytes which `Arena.array` takes for such an array."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    return -(-size // _ALIGN) * _ALIGN


class Arena:
    """Hands out arrays from a buffer, one after another."""

    def __init__(self, buffer: NDArray[np.uint8]) -> None:
        self._buffer, self._used = buffer, 0

    def array(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """Return the next array of this shape and dtype, its contents undefined."""
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        part = self._buffer[self._used : self._used + size]
        self._used += nbytes(shape, dtype)
        return part.view(dtype).reshape(shape)


def take(size: int) -> NDArray[np.uint8]:
    """Return an aligned buffer of at least `size` bytes; hand it back by `give`."""
    for index in range(len(_free)):
        try:
            buffer = _free.pop(index)
        except IndexError:  # another thread took it
            break
        if buffer.nbytes >= size:
            return buffer
        _free.append(buffer)
    raw = np.empty(size + _ALIGN, np.uint8)
    return raw[-raw.ctypes.data % _ALIGN :]


def give(buffer: NDArray[np.uint8]) -> None:
    """Keep a buffer for the next `take`; the smallest ones are dropped."""
    _free.append(buffer)
    if len(_free) > _KEEP:
        _free.sort(key=lambda kept: -kept.nbytes)
        del _free[_KEEP:]
