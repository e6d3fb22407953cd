"""Tensors from nothing or from dims, and dims from tensors, on their way to ONNX."""

import numpy as np

from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.kernels import holder
from graphwright.frontends.onnx.registry import exporter
from graphwright.ir.dim import ceildiv, product, symbols
from graphwright.ir.dtype import int64, uint32, uint64
from graphwright.ir.emitter import Emitter, Value

_STORED = 1024
"""Up to how many elements a range is stored."""


@exporter("iota")
def iota(e: Export) -> Exported:
    """A range, repeated along the other axes."""
    b, op = e.b, e.op
    if len(op.shape) > 1:
        line = b.iota((op.shape[op.axis],), 0, op.dtype)
        column = [d if i == op.axis else 1 for i, d in enumerate(op.shape)]
        return b.broadcast_to(b.reshape(line, column), op.shape)
    (n,) = op.shape
    if isinstance(n, int) and n <= _STORED:
        return b.constant(np.arange(n).astype(op.dtype.numpy), op.dtype)
    wide = holder("Range", op.dtype, e.version)
    if wide.is_float and wide.bits < 32:
        wide = int64
    limit = e.dim(n) if wide is int64 else e.cast(e.dim(n), wide)
    line_name = e.add("Range", e.constant(0, wide), limit, e.constant(1, wide))
    return line_name if wide is op.dtype else e.cast(line_name, op.dtype)


@exporter("size_of")
def size_of(e: Export) -> str:
    """The dims as a vector."""
    return e.dims(e.op.dims)


@exporter("bind_dims")
def bind_dims(e: Export) -> Exported:
    """Nothing to write: the symbols are elements of the operand from here on."""
    x = e.b.cast(e.operands[0], int64)
    for i, dim in enumerate(e.op.dims):
        for word in symbols(dim):
            e.writer.define_from(word, e.name(x), i)
    return []


_M = (0xD2511F53, 0xCD9E8D57)
_W = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF


@exporter("random_bits")
def random_bits(e: Export) -> Value:
    """Philox4x32-10 in 64-bit integers."""
    b, shape = e.b, e.op.shape
    size = product(shape)
    blocks = ceildiv(size, 4)
    key = b.cast(e.operands[0], uint64)
    keys = [b.slice_axis(key, 0, i, i + 1) for i in (0, 1)]
    counter = b.cast(b.iota((blocks,), 0, int64), uint64)
    words = [b.and_(counter, _LOW), b.emit("shr", *b.align(counter, 32))]
    words += [b.zeros_like(counter)] * 2
    for turn in range(10):
        words = _round(
            b, words, [_turned(b, k, w, turn) for k, w in zip(keys, _W, strict=True)]
        )
    flat = b.reshape(b.stack(words, 1), (blocks * 4,))
    return b.reshape(b.cast(b.slice_axis(flat, 0, 0, size), uint32), shape)


def _turned(b: Emitter, key: Value, by: int, turn: int) -> Value:
    return b.and_(b.add(key, turn * by & _LOW), _LOW)


def _round(b: Emitter, c: list[Value], k: list[Value]) -> list[Value]:
    first, second = b.mul(c[0], _M[0]), b.mul(c[2], _M[1])
    high = [b.emit("shr", *b.align(p, 32)) for p in (second, first)]
    low = [b.and_(p, _LOW) for p in (second, first)]
    mixed = [
        b.xor(b.xor(h, other), b.broadcast_to(key, h.shape))
        for h, other, key in zip(high, (c[1], c[3]), k, strict=True)
    ]
    return [mixed[0], low[0], mixed[1], low[1]]
