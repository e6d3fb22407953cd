"""Fourier transforms as nodes on real and imaginary parts, with their tables.

A row of ``n`` real numbers, ``n`` even, is a row of ``n / 2`` complex ones. Rows whose
length has a prime factor above 13 are convolved with a chirp, by transforms of a power
of two (L. I. Bluestein, 1970). Tables are computed once, in float64.
"""

from typing import Any

import numpy as np

from graphwright.backends.codegen.elements import sizes_of
from graphwright.ir.builder import Builder
from graphwright.ir.dtype import DTYPES, int32
from graphwright.ir.emitter import Value
from graphwright.ir.ops.signal import Fft
from graphwright.ir.record import record
from graphwright.ir.types import TensorType

RADICES = (13, 11, 7, 5, 3, 8, 4, 2)
"""In the order of the passes. Halves come last: then the term of the highest frequency
is a difference of sums that were turned by nothing, of real numbers a real one."""


@record(frozen=True, slots=True)
class Lengths:
    """Of a transform of rows.

    Attributes:
        n: Elements of a row, as asked for.
        core: Complex numbers that are transformed.
        passed: The same, or the power of two by which a chirp is convolved.
        factors: Of that, in the order of the passes.
    """

    n: int
    core: int
    passed: int
    factors: tuple[int, ...]

    @property
    def is_half(self) -> bool:
        """Whether pairs of real numbers are complex ones."""
        return self.core != self.n

    @property
    def is_chirped(self) -> bool:
        """Whether a chirp is convolved."""
        return self.core != self.passed


def lengths(op: Fft) -> Lengths:
    """What a transform comes to; its length is known."""
    n: Any = op.n
    real = op.kind in ("rfft", "irfft")
    core = n // 2 if real and n % 2 == 0 else n
    factors = _factors(core)
    if factors is not None:
        return Lengths(n, core, core, factors)
    passed = 1 << (2 * core - 2).bit_length()
    factors = _factors(passed)
    assert factors is not None
    return Lengths(n, core, passed, factors)


def _factors(n: int) -> tuple[int, ...] | None:
    found: list[int] = []
    for radix in RADICES:
        while n % radix == 0 and n > 1:
            found.append(radix)
            n //= radix
    return tuple(found) if n == 1 else None


def transformed(b: Builder, op: Fft, x: tuple[Value, ...]) -> tuple[Value, ...]:
    """A transform's node: of parts and tables, with parts of the result."""
    dtype, shape = x[0].dtype, list(sizes_of(x[0].type))
    found = lengths(op)
    table = b.constant(_table(found))
    numbers = (*(found.factors or (1,)), 0)  # equal ones would not lie in memory
    factors = b.constant(np.array(numbers, np.int32), int32)
    n: Any = op.n
    shape[op.axis] = n // 2 + 1 if op.kind == "rfft" else n
    type_ = TensorType(DTYPES[dtype.name], tuple(shape))
    count = 1 if op.kind == "irfft" else 2
    results = tuple(Value(type_) for _ in range(count))
    return b.add_node(op, (*x, table, factors), results)


def _table(found: Lengths) -> Any:
    """Cosines and sines by rows: of the passes, then those of pairs or of a chirp."""
    first = found.factors[0] if found.factors else 1
    part = found.passed // first
    powers = np.outer(np.arange(1, first), np.arange(part)).reshape(-1)
    rows = [_circle(np.arange(found.passed), found.passed)]
    rows.append(_circle(powers, found.passed))
    if found.is_half:
        rows.append(_circle(np.arange(found.core + 1), found.n))
    if found.is_chirped:
        rows += _chirp(found)
    return np.concatenate([part for row in rows for part in row])


def _circle(k: Any, n: int) -> tuple[Any, Any]:
    angle = 2 * np.pi / n * (k % n)
    return np.cos(angle), np.sin(angle)


def _chirp(found: Lengths) -> list[tuple[Any, Any]]:
    """``exp(i pi k^2 / n)``, and the spectrum of what is convolved, over its length."""
    n, m = found.core, found.passed
    k = np.arange(n, dtype=np.int64)
    cosine, sine = _circle(k * k % (2 * n), 2 * n)
    wave = np.zeros(m, np.complex128)
    wave[:n] = cosine + 1j * sine
    wave[m - n + 1 :] = wave[1:n][::-1]
    spectrum = np.fft.fft(wave) / m
    return [(cosine, sine), (spectrum.real, spectrum.imag)]
