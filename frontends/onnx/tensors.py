"""TensorProtos and dtypes of ONNX, to and from constants."""

from typing import Any

import onnx
from onnx import TensorProto

from graphwright.ir import dtype as dt
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DType
from graphwright.ir.errors import DTypeError

_NAMES = {
    "FLOAT": dt.float32,
    "UINT8": dt.uint8,
    "INT8": dt.int8,
    "UINT16": dt.uint16,
    "INT16": dt.int16,
    "INT32": dt.int32,
    "INT64": dt.int64,
    "STRING": dt.string,
    "BOOL": dt.bool_,
    "FLOAT16": dt.float16,
    "DOUBLE": dt.float64,
    "UINT32": dt.uint32,
    "UINT64": dt.uint64,
    "COMPLEX64": dt.complex64,
    "COMPLEX128": dt.complex128,
    "BFLOAT16": dt.bfloat16,
    "FLOAT8E4M3FN": dt.float8_e4m3fn,
    "FLOAT8E4M3FNUZ": dt.float8_e4m3fnuz,
    "FLOAT8E5M2": dt.float8_e5m2,
    "FLOAT8E5M2FNUZ": dt.float8_e5m2fnuz,
    "FLOAT8E8M0": dt.float8_e8m0fnu,
    "FLOAT4E2M1": dt.float4_e2m1fn,
    "UINT4": dt.uint4,
    "INT4": dt.int4,
    "UINT2": dt.uint2,
    "INT2": dt.int2,
}
_OF = {TensorProto.DataType.Value(name): dtype for name, dtype in _NAMES.items()}
_TO = {dtype: number for number, dtype in _OF.items()}


def dtype_of(element: int) -> DType:
    """The dtype of an ONNX element type.

    Raises:
        DTypeError: If it is unknown.
    """
    found = _OF.get(element)
    if found is None:
        raise DTypeError(f"ONNX element type {element} is not known")
    return found


def element_of(dtype: DType) -> int:
    """The ONNX element type of a dtype."""
    return _TO[dtype]


def constant_of_proto(proto: Any) -> Constant:
    """The constant that a TensorProto holds."""
    dtype = dtype_of(proto.data_type)
    array = onnx.numpy_helper.to_array(proto)
    return Constant.of(array, dtype)
