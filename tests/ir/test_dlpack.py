"""DLPack's structure, read where NumPy does not know the dtype."""

import ctypes
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import graphwright as gw
from graphwright.ir.dlpack import _Tensor, from_dlpack

_new = ctypes.pythonapi.PyCapsule_New
_new.restype = ctypes.py_object
_new.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


class Exporter:
    """An object that speaks DLPack of memory that a numpy array owns."""

    def __init__(self, array: Any, code: int, device: int = 1, plain: bool = False):
        self.array, self.tensor = array, _Tensor()
        rank, size = array.ndim, array.itemsize
        self.shape = (ctypes.c_int64 * rank)(*array.shape)
        self.steps = (ctypes.c_int64 * rank)(*(s // size for s in array.strides))
        self.tensor.data = array.ctypes.data - 8
        self.tensor.byte_offset = 8
        self.tensor.device_type, self.tensor.ndim = device, rank
        self.tensor.code, self.tensor.bits, self.tensor.lanes = code, 8 * size, 1
        self.tensor.shape = self.shape
        self.tensor.strides = None if plain else self.steps

    def __dlpack__(self, **_: Any) -> Any:
        return _new(ctypes.addressof(self.tensor), b"dltensor", None)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.tensor.device_type, 0


CASES = [
    (ml_dtypes.bfloat16, 4),
    (ml_dtypes.float8_e4m3fn, 10),
    (ml_dtypes.float8_e4m3fnuz, 11),
    (ml_dtypes.float8_e5m2, 12),
    (ml_dtypes.float8_e5m2fnuz, 13),
    (ml_dtypes.float8_e8m0fnu, 14),
]


@pytest.mark.parametrize(("dtype", "code"), CASES)
def test_dtypes_that_numpy_lacks(dtype: Any, code: int) -> None:
    whole = (2.0 ** np.arange(-6, 6)).reshape(3, 4).astype(dtype)
    for array in (whole, whole.T, whole[::-1, 1:], whole[:0], whole[1, 1:2]):
        found = from_dlpack(Exporter(array, code))
        assert found.dtype == dtype
        assert found.tolist() == array.tolist()
    plain = from_dlpack(Exporter(whole, code, plain=True))
    assert plain.tolist() == whole.tolist()
    assert np.shares_memory(plain, whole)
    assert not plain.flags.writeable


def test_tensors_are_made_of_them() -> None:
    x = np.array([1, 2, 3], ml_dtypes.bfloat16)
    doubled = gw.jit(lambda t: t * 2)
    for make in (gw.asarray, gw.numpy.from_dlpack, lambda t: doubled(t) / 2):
        found = make(Exporter(x, 4))
        assert found.dtype == x.dtype
        assert found.tolist() == x.tolist()


def test_what_has_no_counterpart_is_refused() -> None:
    x = np.zeros(2, np.uint8)
    with pytest.raises(BufferError, match="dtype 17 of 8 bits"):
        from_dlpack(Exporter(x, 17))
    with pytest.raises((BufferError, RuntimeError), match=r"[Dd]evice"):
        from_dlpack(Exporter(x.astype(ml_dtypes.bfloat16), 4, device=2))
