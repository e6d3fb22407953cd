"""What a register tile adds up: products of floats, or of bytes, four at a time.

Panels of float32 that were 16 bits wide may lie in memory so, and are widened when they
are read: where few rows are multiplied, memory is all that is waited for.

Bytes are read as *words* of four neighbours along the depth. Some processors multiply
the unsigned bytes of a word by the signed ones of another and add all four products to
a sum of 32 bits, in the time in which they multiply and add one float: x86's
``vpdpbusd`` (Intel, "Architecture Instruction Set Extensions", AVX512_VNNI). Signed
ones on the left are made unsigned by adding 128, which is one bit. Zero points, and
those 128, need no work in the loop: a sum begins with what they will have added too
much, ``-zero * sum(weights)``. Whole sums are exact modulo 2**32, on every device.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graphwright.ir.dtype import DType, bfloat16, float16
from graphwright.ir.record import record

WORD, LINE = 4, 16
"""Bytes of a word, and words of a line of cache."""


@record(frozen=True, slots=True)
class Floats:
    """Products of float32.

    Attributes:
        word: The type of an element.
        panel: The type of an element of a panel.
        line: How many of these a line of cache has.
        vector: The type of a vector of them, or of sums.
        load: Reads such a vector.
        store: Writes one.
        dtype: Of an element of a panel.
        space: Where panels of them are.
        head: Whether a panel has a row more, before the others: where sums begin.
        border: What an element outside of an image is.
    """

    word: ClassVar = "float"
    panel: ClassVar = "float"
    line: ClassVar = LINE
    vector: ClassVar = "vec"
    load: ClassVar = "LOAD"
    store: ClassVar = "STORE"
    dtype: ClassVar["np.dtype[Any]"] = np.dtype(np.float32)
    space: ClassVar = "__global"
    head: ClassVar = False
    border: ClassVar = 0

    def spread(self, x: str) -> str:
        """An element in all lanes."""
        return f"SPLAT({x})"

    def step(self, c: str, x: str, w: str) -> str:
        """The statement that adds products to sums."""
        return f"{c} = {x} * {w} + {c};"

    def rows(self, weights: NDArray[Any]) -> NDArray[Any]:
        """Matrices ``[..., rows, n]`` of weights ``[..., taps, depth, n]``."""
        *lead, taps, depth, n = weights.shape
        return weights.reshape(*lead, taps * depth, n)


@record(frozen=True, slots=True)
class Near(Floats):
    """The same, by panels in local memory."""

    load: ClassVar = "NEAR_LOAD"
    store: ClassVar = "NEAR_STORE"
    space: ClassVar = "__local"


@record(frozen=True, slots=True)
class _Narrow(Floats):
    """The same, by panels of 16 bits."""

    panel: ClassVar = "ushort"
    line: ClassVar = 2 * LINE
    dtype: ClassVar["np.dtype[Any]"] = np.dtype(np.uint16)


@record(frozen=True, slots=True)
class HighHalves(_Narrow):
    """The same, by panels of what were bfloat16 numbers."""

    load: ClassVar = "LOAD_BFLOAT16"

    def rows(self, weights: NDArray[Any]) -> NDArray[np.uint16]:
        """The upper halves of weights."""
        rows = np.ascontiguousarray(Floats.rows(self, weights))
        return (rows.view(np.uint32) >> 16).astype(np.uint16)


@record(frozen=True, slots=True)
class Halves(_Narrow):
    """The same, by panels of what were float16 numbers."""

    load: ClassVar = "LOAD_FLOAT16"

    def rows(self, weights: NDArray[Any]) -> NDArray[np.uint16]:
        """Weights as they were."""
        return Floats.rows(self, weights).astype(np.float16).view(np.uint16)


@record(frozen=True, slots=True)
class Bytes:
    """Products of bytes, less a zero point, by signed ones.

    Attributes:
        signed: Whether those on the left are signed.
        zero: Their zero point.
        fast: Whether the device has an instruction for it.
        word: The type of four bytes; else as of `Floats`.
    """

    word: ClassVar = "int"
    panel: ClassVar = "int"
    line: ClassVar = LINE
    vector: ClassVar = "ivec"
    load: ClassVar = "WORDS"
    store: ClassVar = "WORDS_STORE"
    dtype: ClassVar["np.dtype[Any]"] = np.dtype(np.int32)
    space: ClassVar = "__global"
    head: ClassVar = True
    signed: bool
    zero: int
    fast: bool

    @property
    def border(self) -> int:
        """Four zero points, as they lie in an image, as bits."""
        return int.from_bytes([self.zero & 255] * WORD, "little", signed=True)

    def spread(self, x: str) -> str:
        """Four bytes in all lanes, unsigned."""
        return f"(ivec)({x} ^ (int)0x80808080)" if self.signed else f"(ivec)({x})"

    def step(self, c: str, x: str, w: str) -> str:
        """The statement that adds four products to each sum."""
        if self.fast:
            return f"DOT4({c}, {x}, {w})"
        return f"{c} = dot4({c}, {x}, {w});"

    def rows(self, weights: NDArray[Any]) -> NDArray[np.int32]:
        """Matrices ``[..., rows, n]`` of weights ``[..., taps, depth, n]``.

        Taps are filled up with zeros to words; before them is where sums begin.
        """
        *lead, taps, depth, n = weights.shape
        zero = self.zero + 128 * self.signed
        begin = -zero * weights.sum(axis=(-3, -2), dtype=np.int32, keepdims=True)
        words = -(-depth // WORD)
        found = np.zeros((*lead, taps, words * WORD, n), np.int8)
        found[..., :depth, :] = weights
        fours = found.reshape(*lead, taps * words, WORD, n)
        rows = np.ascontiguousarray(np.moveaxis(fours, -2, -1)).view(np.int32)[..., 0]
        return np.concatenate([begin[..., 0, :, :], rows], axis=-2)


DOTS = """\
KERNEL(1, 1, 1) void dots(__global int *restrict out ITEM_ARGUMENTS) {
  ivec c = (ivec)(0), x = WORDS(out), w = WORDS(out + 16);
  DOT4(c, x, w)
  WORDS_STORE(out, c)
}
"""
"""A kernel that builds where the compiler knows the instruction."""

Sums: TypeAlias = Floats | Bytes

NARROW: Mapping[DType, Sums] = {bfloat16: HighHalves(), float16: Halves()}
"""By the dtype that panels were of."""

FLOATS = Floats()
NEAR = Near()
