"""Arrays of other libraries through DLPack, in dtypes that NumPy cannot take too.

``numpy.from_dlpack`` knows NumPy's own dtypes. For bfloat16 and the 8-bit floats the
structure is read here: ``DLTensor`` of DLPack's header ``dlpack.h``, version 1.
"""

import ctypes
from typing import Any

import numpy as np

from graphwright.ir.dtype import DTYPES

_CODES = {
    4: "bfloat16",
    10: "float8_e4m3fn",
    11: "float8_e4m3fnuz",
    12: "float8_e5m2",
    13: "float8_e5m2fnuz",
    14: "float8_e8m0fnu",
}
"""Dtypes that NumPy lacks, by ``DLDataTypeCode``."""

_HOST_DEVICES = (1, 3, 11)
"""``kDLCPU``, ``kDLCUDAHost`` and ``kDLROCMHost``."""


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype = ctypes.c_void_p
_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)


class _Memory:
    """A capsule's memory as unsigned integers; it lives as long as an array of it."""

    def __init__(self, capsule: Any, tensor: _Tensor) -> None:
        self._capsule = capsule
        rank, size = tensor.ndim, tensor.bits // 8
        steps = tuple(size * tensor.strides[i] for i in range(rank) if tensor.strides)
        self.__array_interface__ = {
            "version": 3,
            "typestr": f"<u{size}",
            "shape": tuple(tensor.shape[i] for i in range(rank)),
            "strides": steps if tensor.strides else None,
            "data": ((tensor.data or 0) + tensor.byte_offset, True),
        }


def from_dlpack(x: Any) -> "np.ndarray[Any, Any]":
    """An array that shares its memory with any object that speaks DLPack.

    Args:
        x: An object with ``__dlpack__`` whose memory the host can read.

    Returns:
        The array; read-only where DLPack says so, or NumPy does not know the dtype.

    Raises:
        BufferError, RuntimeError: If it is on a device, or of a dtype with no
            counterpart here, or its library refuses.
    """
    try:
        return np.from_dlpack(x)
    except RuntimeError:
        return _read(x.__dlpack__())


def _read(capsule: Any) -> "np.ndarray[Any, Any]":
    tensor = _Tensor.from_address(_pointer(capsule, b"dltensor"))
    if tensor.device_type not in _HOST_DEVICES:
        raise BufferError(f"memory of DLPack's device type {tensor.device_type}")
    name = _CODES.get(tensor.code)
    if name is None or tensor.lanes != 1 or tensor.bits != DTYPES[name].bits:
        raise BufferError(f"DLPack's dtype {tensor.code} of {tensor.bits} bits")
    return np.asarray(_Memory(capsule, tensor)).view(DTYPES[name].numpy)
