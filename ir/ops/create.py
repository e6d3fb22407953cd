"""Tensors from nothing or from dims, and dims from tensors."""

import math
from typing import Any, ClassVar

import numpy as np

from graphwright.ir.dim import Dim, Expr, symbols
from graphwright.ir.dtype import DType, int64, uint32
from graphwright.ir.op import Op, Trait
from graphwright.ir.philox import philox4x32
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
        bits = philox4x32(np.asarray(key), -(-size // 4)).ravel()[:size]
        return xp.asarray(bits.reshape(shape))

    def vjp(self, b: Any, operands: Any, results: Any, cotangents: Any) -> Any:
        return (None,)
