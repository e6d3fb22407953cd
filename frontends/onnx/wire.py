"""Finds large weights in a model's bytes, so that they are mapped instead of parsed.

A scan of protobuf's wire format (protobuf.dev/programming-guides/encoding) cuts the
``raw_data`` of large tensors out and leaves a short token in their place; onnx parses
what remains.
"""

import mmap
import os
import secrets
from collections.abc import Iterator
from typing import Any, TypeAlias

from graphwright.ir.errors import ModelError

Buffer: TypeAlias = "bytes | mmap.mmap | memoryview"

MIN_BYTES = 4096
"""Tensors below this many bytes stay in the parsed model."""

TOKEN_BYTES = 24
"""Length of what stands for a span in the parsed model."""

_RAW_DATA = 9
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_MAX_DEPTH = 100


class _Malformed(Exception):
    pass


class Weights:
    """The data that a scan cut out of a model's bytes.

    Attributes:
        path: The file they lie in, or None for bytes in memory.
    """

    def __init__(self, buffer: Buffer, path: str | None) -> None:
        self.buffer, self.path = buffer, path
        self._secret = secrets.token_bytes(16)
        self._spans: list[tuple[int, int]] = []

    def token(self, start: int, length: int) -> bytes:
        """What stands for a span in the parsed model."""
        self._spans.append((start, length))
        return self._secret + len(self._spans).to_bytes(8, "little")

    def span(self, raw: bytes) -> tuple[int, int] | None:
        """Offset and length that a token stands for, or None if it is data."""
        if len(raw) != TOKEN_BYTES or not raw.startswith(self._secret):
            return None
        return self._spans[int.from_bytes(raw[16:], "little") - 1]


def open_model(path: "str | os.PathLike[str]") -> Buffer:
    """The bytes of a model file, mapped.

    Raises:
        ModelError: If there is no such file, or it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise ModelError(f"{os.fspath(path)!r} is empty, not an ONNX model")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelError(f"cannot read model {os.fspath(path)!r}: {reason}") from None


def cut_weights(buffer: Buffer, path: str | None) -> tuple[bytes, Weights]:
    """The model's bytes without large weights, and the weights.

    Bytes that are not well formed come back whole, for protobuf to judge.
    """
    weights = Weights(buffer, path)
    if len(buffer) < 2 * MIN_BYTES:
        return bytes(buffer), weights
    try:
        reduced = b"".join(_rewrite(buffer, 0, len(buffer), "model", weights, 0))
    except _Malformed:
        return bytes(buffer), Weights(buffer, path)
    _let_go(buffer)
    return reduced, weights


def _let_go(buffer: Buffer) -> None:
    """Drops the mapped pages that the scan touched: they come back when needed."""
    if isinstance(buffer, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        buffer.madvise(mmap.MADV_DONTNEED)


def _rewrite(
    buf: Any, start: int, end: int, kind: str, weights: Weights, depth: int
) -> list[bytes]:
    """The pieces of a message with large weights replaced by tokens."""
    if depth > _MAX_DEPTH:
        raise _Malformed
    children = _CHILDREN[kind]
    pieces: list[bytes] = []
    copied = start
    for number, at, body, stop in _fields(buf, start, end):
        if stop - body < MIN_BYTES:
            continue
        if number in children:
            inner = _rewrite(buf, body, stop, children[number], weights, depth + 1)
        elif kind == "tensor" and number == _RAW_DATA:
            inner = [weights.token(body, stop - body)]
        else:
            continue
        size = sum(map(len, inner))
        pieces += [buf[copied:at], _varint(number << 3 | 2), _varint(size), *inner]
        copied = stop
    pieces.append(buf[copied:end])
    return pieces


def _fields(buf: Any, pos: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, start of tag, start and end of body of each length-delimited field."""
    while pos < end:
        at = pos
        tag = buf[pos]
        pos += 1
        if tag > 127:
            tag, pos = _read_varint(buf, at, end)
        wire = tag & 7
        if wire == 2:
            if pos >= end:
                raise _Malformed
            length = buf[pos]
            pos += 1
            if length > 127:
                length, pos = _read_varint(buf, pos - 1, end)
            stop = pos + length
            if stop > end:
                raise _Malformed
            yield tag >> 3, at, pos, stop
            pos = stop
        elif wire == 0:
            _, pos = _read_varint(buf, pos, end)
        elif wire in (1, 5):
            pos += 8 if wire == 1 else 4
        else:
            raise _Malformed
    if pos != end:
        raise _Malformed


def _read_varint(buf: Any, pos: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while pos < end and shift < 70:
        byte = buf[pos]
        pos += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, pos
        shift += 7
    raise _Malformed


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
