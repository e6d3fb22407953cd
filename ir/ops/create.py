"""Tensors from nothing or from dims, and dims from tensors."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from graphwright.ir.dim import Dim, Expr, ceildiv, product, symbols
from graphwright.ir.dtype import DType, int64, uint32, uint64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.op import Op, Rows, Trait
from graphwright.ir.philox import MULTIPLIERS, WEYL, philox4x32
from graphwright.ir.rules import (
    check_axes,
    ints,
    need,
    need_kind,
    need_sizes,
    small_size,
    typed,
)
from graphwright.ir.types import Contents, TensorType


class Iota(Op):
    """0, 1, 2, ... along ``axis``, repeated along the others."""

    name = "iota"
    ulps = 0.0
    shape: tuple[Dim, ...]
    axis: int
    dtype: DType

    def result_type(self) -> TensorType:
        need_sizes("iota", self.shape)
        check_axes("iota", [self.axis], len(self.shape))
        size = small_size(self.shape)
        known: Contents | None = None
        if size is not None and len(self.shape) == 1:
            known = tuple(range(size))
        return typed(self.dtype, self.shape, known)

    def compute(self, xp: Any) -> Any:
        shape = ints(self.shape)
        line = xp.arange(shape[self.axis]).astype(self.dtype.numpy)
        column = [1] * len(shape)
        column[self.axis] = -1
        return xp.broadcast_to(line.reshape(column), shape)

    def vjp(self, b: Any, operands: Any, results: Any, cotangents: Any) -> Any:
        return ()


class SizeOf(Op):
    """The values of dims, as an int64 vector."""

    name = "size_of"
    ulps = 0.0
    dims: tuple[Dim, ...]

    def result_type(self) -> TensorType:
        return typed(int64, (len(self.dims),), self.dims)

    def compute(self, xp: Any) -> Any:
        return xp.asarray(np.array(self.dims, np.int64))

    def vjp(self, b: Any, operands: Any, results: Any, cotangents: Any) -> Any:
        return ()


class BindDims(Op):
    """Defines symbols as the elements of an integer vector; it has no results."""

    name = "bind_dims"
    ulps = 0.0
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.EFFECT})
    dims: tuple[Dim, ...]

    def result_type(self, x: TensorType) -> tuple[TensorType, ...]:
        need_kind("bind_dims", x, "iu")
        need(
            x.shape == (len(self.dims),),
            f"bind_dims of {x} to {len(self.dims)} symbols",
        )
        return ()

    def defined_symbols(self) -> tuple[str, ...]:
        return tuple(n for d in self.dims if isinstance(d, Expr) for n in symbols(d))

    def compute(self, xp: Any, x: Any) -> Any:
        return ()

    def vjp(self, b: Any, operands: Any, results: Any, cotangents: Any) -> Any:
        return (None,)


class RandomBits(Op):
    """uint32 bits of Philox4x32-10 (Salmon et al., SC 2011).

    The operand is a key, uint32[2]; element i is word ``i % 4`` of the block whose
    counter is ``i // 4``.
    """

    name = "random_bits"
    ulps = 0.0
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.RANDOM})
    shape: tuple[Dim, ...]

    def result_type(self, key: TensorType) -> TensorType:
        fits = key.dtype is uint32 and key.shape == (2,)
        need(fits, f"random_bits takes a uint32[2] key, got {key}")
        need_sizes("random_bits", self.shape)
        return TensorType(uint32, self.shape)

    def compute(self, xp: Any, key: Any) -> Any:
        shape = ints(self.shape)
        size = math.prod(shape)
        bits = philox4x32(key, -(-size // 4), xp=xp).ravel()[:size]
        return bits.reshape(shape)

    def vjp(self, b: Any, operands: Any, results: Any, cotangents: Any) -> Any:
        return (None,)

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Any:
        (keys,), n = operands, rows.size
        count = product(self.shape)
        blocks = ceildiv(count, 4)
        key = [b.cast(b.slice_axis(keys, 1, i, i + 1), uint64) for i in (0, 1)]
        words = philox_words(b, key, b.iota((n, blocks), 1, uint64))
        line = b.reshape(b.stack(words, 2), (n, blocks * 4))
        bits = b.cast(b.slice_axis(line, 1, 0, count), uint32)
        return (b.reshape(bits, (n, *self.shape)),)


def philox_words(b: Emitter, key: Sequence[Value], counter: Value) -> list[Value]:
    """``philox4x32`` in 64-bit integers: the four words of the blocks of counters.

    Args:
        b: Where the operations are added.
        key: The two words of the key, uint64, which broadcast to the counters.
        counter: Numbers of the blocks, uint64.
    """
    low = 0xFFFFFFFF

    def rounds(word: Value, multiplier: int) -> tuple[Value, Value]:
        whole = b.mul(word, multiplier)
        return b.shr(whole, 32), b.and_(whole, low)

    zero = b.zeros_like(counter)
    c0, c1, c2, c3 = b.and_(counter, low), b.shr(counter, 32), zero, zero
    k0, k1 = key
    for _ in range(10):
        high0, low0 = rounds(c0, MULTIPLIERS[0])
        high1, low1 = rounds(c2, MULTIPLIERS[1])
        c0, c1 = b.xor(b.xor(high1, c1), k0), low1
        c2, c3 = b.xor(b.xor(high0, c3), k1), low0
        k0, k1 = (b.and_(b.add(k, w), low) for k, w in zip((k0, k1), WEYL, strict=True))
    return [c0, c1, c2, c3]
