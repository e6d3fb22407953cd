"""In which dtype to multiply and accumulate, so that results are right and fast."""

from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
DType = np.dtype[Any]

BFLOAT16: DType = np.dtype(ml_dtypes.bfloat16)
_FLOAT32: DType = np.dtype(np.float32)
_FLOAT64: DType = np.dtype(np.float64)
_WIDE = ("f", "c")


def is_narrow_float(dtype: DType) -> bool:
    """Whether sums of this dtype are kept in float32 (16 bits and below)."""
    return dtype.kind not in "biufc" or (dtype.kind == "f" and dtype.itemsize < 4)


def result_dtype(dtype: DType) -> DType:
    """Return the dtype of a sum of products: floats keep theirs, small ints int32."""
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        return np.dtype(np.int32)
    return dtype


def largest(array: Array) -> int:
    """Return the largest magnitude among an integer array's elements."""
    if array.size == 0:
        return 0
    return max(abs(int(array.min())), abs(int(array.max())))


def type_bound(dtype: DType) -> int:
    """Return the largest magnitude which an integer dtype holds."""
    info = np.iinfo(dtype)
    return max(abs(int(info.min)), int(info.max))


def accumulator(dtype: DType, terms: int, bound: int = 0) -> DType:
    """Return the dtype for sums of `terms` products.

    `bound` is the largest magnitude of one product of integers. BLAS is exact for them
    while sums stay within the float's integers; beyond, numpy's integer loops serve.
    """
    if is_narrow_float(dtype):
        return _FLOAT32
    if dtype.kind in _WIDE:
        return dtype
    reach = max(1, terms) * bound
    if reach <= 1 << 24:
        return _FLOAT32
    return _FLOAT64 if reach <= 1 << 53 else result_dtype(dtype)
