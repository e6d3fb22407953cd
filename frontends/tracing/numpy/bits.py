"""Bits of integers and of floats, and divisors."""

import numpy as np

from graphwright.frontends.tracing.numpy.support import (
    along_axis,
    float_of,
    floats,
    lanes_of,
    need_kinds,
    truth,
    zeros,
)
from graphwright.frontends.tracing.wrap import Operand, array_function, promote
from graphwright.ir.dim import ceildiv, maximum
from graphwright.ir.dtype import DTYPES, bool_, float32, float64, int32, uint8, uint64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import DTypeError

__all__ = [
    "bitwise_count",
    "copysign",
    "frexp",
    "gcd",
    "lcm",
    "ldexp",
    "nextafter",
    "packbits",
    "signbit",
    "spacing",
    "unpackbits",
]


def _integers(b: Emitter, name: str, x1: Operand, x2: Operand) -> list[Value]:
    x, y = promote(b, x1, x2)
    need_kinds(name, x, "biu")
    return [x, y]


_MASKS = (
    (1, 0x5555555555555555),
    (2, 0x3333333333333333),
    (4, 0x0F0F0F0F0F0F0F0F),
)


@array_function
def bitwise_count(b: Emitter, x: Value, /) -> Value:
    """How many bits of the magnitude are set: sums of neighbours, then of bytes."""
    need_kinds("bitwise_count", x, "biu")
    y = b.cast(b.abs(x) if x.dtype.kind == "i" else x, uint64)
    if (
        x.dtype.kind == "i" and x.dtype.bits < 64
    ):  # the least integer is its own negative
        y = b.and_(y, b.full((), (1 << x.dtype.bits) - 1, uint64))
    for shift, mask in _MASKS:
        low = b.full((), mask, uint64)
        upper = b.shr(y, b.full((), shift, uint64))
        y = b.add(b.and_(y, low), b.and_(upper, low))
    y = b.mul(y, b.full((), 0x0101010101010101, uint64))
    return b.cast(b.shr(y, b.full((), 56, uint64)), uint8)


@array_function
def gcd(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """Greatest common divisor."""
    return b.emit("gcd", *b.align(*_integers(b, "gcd", x1, x2)))


@array_function
def lcm(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """Least common multiple."""
    x, y = b.align(*_integers(b, "lcm", x1, x2))
    found = b.mul(b.div(x, b.emit("gcd", x, y)), y)
    return found if x.dtype.kind == "u" else b.abs(found)


# Bytes --------------------------------------------------------------------------------


def _places(b: Emitter, bitorder: str) -> Value:
    if bitorder not in ("big", "little"):
        raise ValueError("'bitorder' argument must be 'big' or 'little'")
    places = range(8) if bitorder == "little" else range(7, -1, -1)
    return b.constant(np.array(places, np.uint8), uint8)


@array_function
def packbits(
    b: Emitter, a: Value, /, axis: int | None = None, bitorder: str = "big"
) -> Value:
    """Eight booleans along an axis as the bits of a byte; missing ones are 0."""
    need_kinds("packbits", a, "biu")
    x, place = lanes_of(b, truth(b, a), axis)

    def pack(line: Value) -> Value:
        *lead, n = line.shape
        missing = ceildiv(n, 8) * 8 - n
        long = b.pad(b.cast(line, uint8), [0] * line.rank, [0] * len(lead) + [missing])
        rows = b.reshape(long, (*lead, ceildiv(n, 8), 8))
        placed = b.shl(*b.align(rows, _places(b, bitorder)))
        return b.sum(placed, [placed.rank - 1])

    return along_axis(b, x, place, pack)


@array_function
def unpackbits(
    b: Emitter,
    a: Value,
    /,
    axis: int | None = None,
    count: int | None = None,
    bitorder: str = "big",
) -> Value:
    """The bits of bytes along an axis, the first ``count`` of them."""
    if a.dtype is not uint8:
        raise DTypeError(f"unpackbits takes uint8, got {a.dtype.name}")
    x, place = lanes_of(b, a, axis)

    def unpack(line: Value) -> Value:
        *lead, n = line.shape
        bits = b.shr(*b.align(b.expand_dims(line, [line.rank]), _places(b, bitorder)))
        ones = b.reshape(b.and_(bits, 1), (*lead, n * 8))
        if count is None:
            return ones
        size = n * 8
        if count < 0:
            return b.slice_axis(ones, ones.rank - 1, 0, size + count)
        more = maximum(count - size, 0)
        ones = b.pad(ones, [0] * ones.rank, [0] * len(lead) + [more])
        return b.slice_axis(ones, ones.rank - 1, 0, count)

    return along_axis(b, x, place, unpack)


# Floats -------------------------------------------------------------------------------


@array_function
def signbit(b: Emitter, x: Value, /) -> Value:
    """Whether the sign bit is set, of -0.0 and NaN too."""
    if x.dtype.kind in "bu":
        return b.full(x.shape, False, bool_)
    if x.dtype.is_float and x.dtype.bits >= 16:
        x = b.emit("bitcast", x, dtype=DTYPES[f"int{x.dtype.bits}"])
    elif x.dtype.is_float:
        ones = b.full(x.shape, 1, x.dtype)
        x = b.emit("copysign", ones, x)
    return b.lt(x, 0)


@array_function
def copysign(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """The magnitude of ``x1`` with the sign of ``x2``."""
    return b.emit("copysign", *b.align(*floats(b, x1, x2)))


@array_function
def nextafter(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """The neighbour of ``x1`` in the direction of ``x2``."""
    return b.emit("nextafter", *b.align(*floats(b, x1, x2)))


@array_function
def spacing(b: Emitter, x: Value, /) -> Value:
    """Distance to the neighbour that is farther from 0."""
    y = b.cast(x, float_of(x.dtype))
    far = b.emit("copysign", b.full(y.shape, float("inf"), y.dtype), y)
    return b.sub(b.emit("nextafter", y, far), y)


_MANTISSA = {16: 10, 32: 23, 64: 52}


def _raised(b: Emitter, x: Value, exponent: Value) -> Value:
    """``x * 2 ** exponent`` in three steps, each a normal power of two."""
    bits = x.dtype.bits
    limit = (1 << (bits - 2 - _MANTISSA[bits])) - 2
    left = exponent
    for _ in range(3):
        step = b.max(b.min(left, limit), -limit)
        x = b.mul(x, b.pow(b.full((), 2, x.dtype), b.cast(step, x.dtype)))
        left = b.sub(left, step)
    return x


@array_function
def ldexp(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """``x1 * 2 ** x2``."""
    (x,) = floats(b, x1)
    (exponent,) = promote(b, x2)
    need_kinds("ldexp's exponent", exponent, "biu")
    wide = b.cast(exponent, int32)
    if x.dtype.bits < 32 or x.dtype.name not in ("float32", "float64"):
        return b.cast(_raised(b, b.cast(x, float32), wide), x.dtype)
    return _raised(b, x, wide)


@array_function
def frexp(b: Emitter, x: Value, /) -> tuple[Value, Value]:
    """Mantissa in [0.5, 1) and exponent (int32), ``x = m * 2 ** e``."""
    if x.dtype.kind == "c":
        raise DTypeError(f"frexp does not take {x.dtype.name}")
    own = float_of(x.dtype)
    y = b.mul(b.cast(x, float64), 1.0)
    tiny = b.lt(b.abs(y), 2.0**-1021)
    grown = b.where(tiny, b.mul(y, 2.0**54), y)
    held = b.emit("bitcast", grown, dtype=DTYPES["int64"])
    power = b.and_(b.shr(held, 52), 0x7FF)
    shift = b.where(tiny, b.full((), 1022 + 54, power.dtype), 1022)
    kept = b.or_(b.and_(held, ~(0x7FF << 52)), 1022 << 52)
    mantissa = b.emit("bitcast", kept, dtype=float64)
    plain = b.or_(b.eq(y, 0), b.not_(b.lt(b.abs(y), float("inf"))))
    exponent = b.cast(b.sub(power, shift), int32)
    return b.cast(b.where(plain, y, mantissa), own), b.where(
        plain, zeros(b, exponent), exponent
    )
