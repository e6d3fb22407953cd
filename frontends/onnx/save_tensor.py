"""TensorProtos of constants, and what their data looks like in a file."""

import math
import sys
from typing import Any

import numpy as np
from onnx import TensorProto

from graphwright.frontends.onnx.tensors import element_of
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DType, string


def header(name: str, constant: Constant) -> Any:
    """A TensorProto without data."""
    return TensorProto(
        name=name, dims=constant.shape, data_type=element_of(constant.dtype)
    )


def tensor_proto(name: str, constant: Constant) -> Any:
    """A TensorProto that holds the data of a constant."""
    proto = header(name, constant)
    array = constant.array()
    if constant.dtype is string:
        words = (str(v).encode("utf-8", "surrogateescape") for v in array.ravel())
        proto.string_data.extend(words)
    else:
        proto.raw_data = bytes(octets_of(array, constant.dtype))
    return proto


def stored_bytes(constant: Constant) -> int:
    """Bytes that the data takes in a file."""
    return -(-math.prod(constant.shape) * constant.dtype.bits // 8)


def octets_of(array: Any, dtype: DType) -> Any:
    """The elements in C order, little endian, those below a byte packed."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if dtype.bits < 8:
        return _packed(flat.view(np.uint8), dtype.bits)
    if sys.byteorder == "big":
        flat = flat.byteswap()
    return flat.view(np.uint8).data


def _packed(octets: Any, bits: int) -> Any:
    """Elements of 2 or 4 bits, first in the low bits of each byte."""
    per = 8 // bits
    rows = np.zeros(-(-len(octets) // per) * per, np.uint8)
    rows[: len(octets)] = octets & np.uint8((1 << bits) - 1)
    shifts = np.arange(per, dtype=np.uint8) * np.uint8(bits)
    shifted = rows.reshape(-1, per) << shifts
    return np.bitwise_or.reduce(shifted, axis=1).astype(np.uint8).data
