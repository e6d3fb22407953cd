"""TensorProtos and dtypes of ONNX, to and from constants."""

import math
import sys
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from graphwright.frontends.onnx.external import ExternalData
from graphwright.frontends.onnx.wire import TOKEN_BYTES, Weights
from graphwright.ir import dtype as dt
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DType
from graphwright.ir.errors import BudgetError, DTypeError, ModelError

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
    "FLOAT6E2M3": dt.float6_e2m3fn,
    "FLOAT6E3M2": dt.float6_e3m2fn,
    "UINT4": dt.uint4,
    "INT4": dt.int4,
    "UINT2": dt.uint2,
    "INT2": dt.int2,
}
_OF = {TensorProto.DataType.Value(name): dtype for name, dtype in _NAMES.items()}
_TO: dict[DType, int] = {dtype: number for number, dtype in _OF.items()}

_MAX_SPARSE_BYTES = 1 << 30


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


class TensorReader:
    """Makes constants of the TensorProtos of one model.

    Args:
        weights: What a scan cut out of the model's bytes.
        external: Where external data may lie.
        copy: Read data into memory instead of mapping it.
    """

    def __init__(
        self,
        weights: Weights | None = None,
        external: ExternalData | None = None,
        *,
        copy: bool = False,
    ) -> None:
        self._weights = weights
        self._external = external or ExternalData(None)
        self._copy = copy

    def __call__(self, proto: Any) -> Constant:
        """The constant of a TensorProto or a SparseTensorProto.

        Raises:
            ModelError: If data and shape do not fit together.
        """
        if isinstance(proto, onnx.SparseTensorProto):
            return self._dense(proto)
        if proto.HasField("segment"):
            raise ModelError(
                f"tensor {proto.name!r} is stored in segments: load it whole"
            )
        dtype = dtype_of(proto.data_type)
        shape = tuple(proto.dims)
        if min(shape, default=0) < 0:
            raise ModelError(f"tensor {proto.name!r} has the shape {list(shape)}")
        if proto.data_location == TensorProto.EXTERNAL:
            return self._outside(proto, dtype, shape)
        raw = proto.raw_data
        weights = self._weights
        if weights is not None and len(raw) == TOKEN_BYTES:
            span = weights.span(raw)
            if span is not None:
                name, buffer, path = proto.name, weights.buffer, weights.path
                return self._lying(name, dtype, shape, buffer, path, span)
        return _parsed(proto, dtype, shape, raw)

    def _outside(self, proto: Any, dtype: DType, shape: tuple[int, ...]) -> Constant:
        info = {e.key: e.value for e in proto.external_data}
        try:
            offset = int(info.get("offset", "0") or 0)
            length = int(info["length"]) if info.get("length") else None
        except ValueError:
            raise ModelError(
                f"tensor {proto.name!r}: offset and length are no numbers"
            ) from None
        length = _stored_bytes(dtype, shape) if length is None else length
        location = info.get("location", "")
        buffer, path, at, size = self._external.read(location, offset, length)
        return self._lying(proto.name, dtype, shape, buffer, path, (at, size))

    def _lying(
        self,
        name: str,
        dtype: DType,
        shape: tuple[int, ...],
        buffer: Any,
        path: str | None,
        span: tuple[int, int],
    ) -> Constant:
        """A constant whose bytes lie in a buffer."""
        start, length = span
        if length != _stored_bytes(dtype, shape):
            raise _wrong_length(name, dtype, shape, length)

        def read() -> Any:
            piece = memoryview(buffer)[start : start + length]
            return _from_raw(bytes(piece) if self._copy else piece, dtype, shape)

        if self._copy or path is None:
            return Constant.of(read(), dtype)
        return Constant.mapped(dtype, shape, read, (path, start, length))

    def _dense(self, proto: Any) -> Constant:
        values, indices = self(proto.values), self(proto.indices)
        shape = tuple(proto.dims)
        size = math.prod(shape) if all(d >= 0 for d in shape) else -1
        if size < 0 or size * values.dtype.itemsize > _MAX_SPARSE_BYTES:
            raise BudgetError(
                f"sparse tensor {proto.values.name!r} of shape {list(shape)}"
            )
        dense = np.zeros(size, values.dtype.numpy)
        flat = _flat_indices(indices.array(), shape, proto.values.name)
        if flat.shape != values.shape or (
            flat.size and not 0 <= flat.min() <= flat.max() < size
        ):
            raise ModelError(f"sparse tensor {proto.values.name!r}: indices do not fit")
        dense[flat] = values.array()
        return Constant.of(dense.reshape(shape), values.dtype)


def _flat_indices(indices: Any, shape: tuple[int, ...], name: str) -> Any:
    """Linear positions from linear ones ([n]) or coordinates ([n, rank])."""
    if indices.ndim == 1:
        return indices
    if indices.ndim != 2 or indices.shape[1] != len(shape):
        raise ModelError(f"sparse tensor {name!r}: indices of shape {indices.shape}")
    if indices.size and ((indices < 0) | (indices >= np.array(shape))).any():
        raise ModelError(f"sparse tensor {name!r}: an index lies outside {list(shape)}")
    strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    return indices @ np.array(strides, np.int64)


def _stored_bytes(dtype: DType, shape: tuple[int, ...]) -> int:
    return -(-math.prod(shape) * (dtype.bits if dtype.kind != "b" else 8) // 8)


def _wrong_length(
    name: str, dtype: DType, shape: tuple[int, ...], length: int
) -> ModelError:
    want = _stored_bytes(dtype, shape)
    kind = f"{dtype.name}{list(shape)}"
    return ModelError(f"tensor {name!r} of {kind} needs {want} bytes, it has {length}")


def _from_raw(raw: Any, dtype: DType, shape: tuple[int, ...]) -> Any:
    if dtype.bits < 8:
        return _unpacked(np.frombuffer(raw, np.uint8), dtype, shape)
    held: Any = np.uint8 if dtype.kind == "b" else dtype.numpy
    array: Any = np.ndarray(shape, held, raw)
    if dtype.kind == "b":
        array = array != 0
    elif sys.byteorder == "big":
        array = array.byteswap()
    return array


def _unpacked(octets: Any, dtype: DType, shape: tuple[int, ...]) -> Any:
    """Elements of 2, 4 or 6 bits, first in the low bits of each byte."""
    if dtype.bits == 6:
        bits = np.unpackbits(octets, bitorder="little")[: 6 * math.prod(shape)]
        flat = np.packbits(bits.reshape(-1, 6), 1, "little")[:, 0]
    else:
        per = 8 // dtype.bits
        shifts = np.arange(per, dtype=np.uint8) * np.uint8(dtype.bits)
        mask = np.uint8((1 << dtype.bits) - 1)
        flat = ((octets[:, None] >> shifts) & mask).reshape(-1)[: math.prod(shape)]
    if dtype.kind == "i":
        sign = np.uint8(1 << (dtype.bits - 1))
        signed = (flat ^ sign).astype(np.int8) - np.int8(sign)
        return signed.astype(dtype.numpy).reshape(shape)
    if dtype.kind == "u":
        return flat.astype(dtype.numpy).reshape(shape)
    return flat.view(dtype.numpy).reshape(shape)


def _parsed(proto: Any, dtype: DType, shape: tuple[int, ...], raw: bytes) -> Constant:
    if proto.HasField("raw_data") and dtype is not dt.string:
        if len(raw) != _stored_bytes(dtype, shape):
            raise _wrong_length(proto.name, dtype, shape, len(raw))
        array = _from_raw(raw, dtype, shape)
        if array.base is raw:  # which cannot be written to
            return Constant(dtype, shape, array)
        return Constant.of(array, dtype)
    _check_count(proto, dtype, shape)
    try:
        array = onnx.numpy_helper.to_array(proto)
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise ModelError(f"tensor {proto.name!r} cannot be read: {error}") from None
    if dtype is dt.string:
        words = [_word(s) for s in proto.string_data]
        array = np.empty(len(words), object)
        array[:] = words
        array = array.reshape(shape)
    if array.shape != shape:
        raise ModelError(
            f"tensor {proto.name!r} has {array.size} elements, not {list(shape)}"
        )
    return Constant.of(array, dtype)


_FIELDS = (
    "float_data",
    "double_data",
    "int64_data",
    "uint64_data",
    "int32_data",
    "string_data",
)


def _check_count(proto: Any, dtype: DType, shape: tuple[int, ...]) -> None:
    """Typed data has one entry an element (complex: two; below a byte: packed)."""
    want = math.prod(shape)
    if dtype.bits in (2, 4):
        want = -(-want * dtype.bits // 8)
    have = sum(len(getattr(proto, field)) for field in _FIELDS)
    if dtype.kind == "c":
        want *= 2
    if have != want:
        kind = f"{dtype.name}{list(shape)}"
        raise ModelError(
            f"tensor {proto.name!r} of {kind} needs {want} entries, it has {have}"
        )


def _word(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


constant_of_proto = TensorReader()
"""The constant of a TensorProto that lies in no file."""
