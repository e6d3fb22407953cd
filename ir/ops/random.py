"""Random numbers from a key: the same bits on every backend.

A key is uint32[2]; the bits are those of ``random_bits``, word i for element i.
"""

from typing import Any, ClassVar

import numpy as np

from graphwright.ir.dim import Dim
from graphwright.ir.dtype import DType, float64, uint32
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import DTypeError
from graphwright.ir.op import Cotangents, Op, Tier, Trait
from graphwright.ir.ops.create import RandomBits
from graphwright.ir.rules import need, need_sizes
from graphwright.ir.types import TensorType

_DIGITS = {"bfloat16": 8, "float16": 11, "float32": 24}


class Random(Op):
    """A composite of ``shape`` and a float ``dtype`` that takes a key."""

    tier: ClassVar[Tier] = Tier.COMPOSITE
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.RANDOM})
    shape: tuple[Dim, ...]
    dtype: DType

    def result_type(self, key: TensorType) -> TensorType:
        fits = key.dtype is uint32 and key.shape == (2,)
        need(fits, f"{self.name} takes a uint32[2] key, got {key}")
        if self.dtype is not float64 and self.dtype.name not in _DIGITS:
            raise DTypeError(
                f"{self.name} draws floats of 16 to 64 bits, not {self.dtype}"
            )
        need_sizes(self.name, self.shape)
        return TensorType(self.dtype, self.shape)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        return (None,)


def _bits(xp: Any, key: Any, shape: tuple[Dim, ...]) -> Any:
    return RandomBits(shape=shape).compute(xp, key)


def _unit(b: Emitter, key: Value, shape: tuple[Dim, ...], dtype: DType) -> Value:
    """Multiples of ``2 ** -p`` in [0, 1) with as many bits as the dtype has."""
    if dtype is float64:
        return _unit64(b, key, shape)
    bits = b.emit("random_bits", key, shape=shape)
    digits = _DIGITS[dtype.name]
    whole = b.cast(b.emit("shr", *b.align(bits, 32 - digits)), dtype)
    return b.mul(whole, 2.0**-digits)


def _unit64(b: Emitter, key: Value, shape: tuple[Dim, ...]) -> Value:
    bits = b.emit("random_bits", key, shape=(2, *shape))
    high, low = (
        b.cast(b.squeeze(b.slice_axis(bits, 0, i, i + 1), [0]), float64) for i in (0, 1)
    )
    high = b.floor(b.mul(high, 2.0**-5))
    low = b.floor(b.mul(low, 2.0**-6))
    return b.mul(b.add(b.mul(high, 2.0**26), low), 2.0**-53)


def _unit_array(xp: Any, key: Any, shape: tuple[Dim, ...], dtype: DType) -> Any:
    """``_unit`` on arrays."""
    if dtype is float64:
        high, low = _bits(xp, key, (2, *shape)).astype(np.float64)
        return (xp.floor(high * 2.0**-5) * 2.0**26 + xp.floor(low * 2.0**-6)) * 2.0**-53
    digits = _DIGITS[dtype.name]
    whole = _bits(xp, key, shape) >> np.uint32(32 - digits)
    return whole.astype(dtype.numpy) * dtype.numpy.type(2.0**-digits)


class RandomUniform(Random):
    """Floats of equal probability in [0, 1): multiples of ``2 ** -p`` below 1.

    ``p`` is the number of bits of the dtype's significand.
    """

    name = "random_uniform"

    def compute(self, xp: Any, key: Any) -> Any:
        return _unit_array(xp, key, self.shape, self.dtype)

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        return _unit(b, operands[0], self.shape, self.dtype)


class RandomNormal(Random):
    """Normally distributed floats of mean 0 and deviation 1, by Box and Muller (1958).

    ``sqrt(-2 log(1 - u)) * cos(2 pi v)`` of two uniforms, in float32 at least.
    """

    name = "random_normal"

    def compute(self, xp: Any, key: Any) -> Any:
        wide = self.dtype.accumulate
        u, v = _unit_array(xp, key, (2, *self.shape), wide)
        two_pi, one = wide.numpy.type(2 * np.pi), wide.numpy.type(1)
        radius = xp.sqrt(xp.log(one - u) * wide.numpy.type(-2))
        return (radius * xp.cos(v * two_pi)).astype(self.dtype.numpy, copy=False)

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        wide = self.dtype.accumulate
        pair = _unit(b, operands[0], (2, *self.shape), wide)
        u, v = (b.squeeze(b.slice_axis(pair, 0, i, i + 1), [0]) for i in (0, 1))
        radius = b.sqrt(b.mul(b.log(b.sub(1, u)), -2.0))
        return b.cast(b.mul(radius, b.unary("cos", b.mul(v, 2 * np.pi))), self.dtype)


class MersenneTwisterUniform(Op):
    """float64 in [0, 1) from MT19937 (Matsumoto, Nishimura 1998), from a seed.

    The stream of ``numpy.random.RandomState(seed).uniform``, which NumPy keeps fixed.
    """

    name = "mersenne_twister_uniform"
    tier: ClassVar[Tier] = Tier.HOST
    seed: int
    shape: tuple[Dim, ...]

    def result_type(self) -> TensorType:
        return TensorType(float64, self.shape)

    def compute(self, xp: Any) -> Any:
        state = np.random.RandomState(self.seed % 2**32)
        return state.uniform(0.0, 1.0, self.shape)  # type: ignore[arg-type]

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        return ()
