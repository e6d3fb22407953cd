"""Functions that numpy lacks or spells in many passes, evaluated block by block.

`-expm1(-t * q(t)) = erf(t)` for t >= 0, where q is smooth: one polynomial, fitted once
to `math.erfc` at Chebyshev points, serves the whole axis with small relative error.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from . import precision, scratch, threads

Array = NDArray[Any]
_Kernel = Callable[[Array, Array, Array], None]
"""Called with a block, the result's block and a third one to spoil; the first two may
be the same."""

_BLOCK = 1 << 15


def blockwise(kernel: _Kernel, x: Array, out: Array | None = None) -> Array:
    """Apply `kernel` to blocks of `x` on all cores; 16-bit floats go through float32."""
    wide = precision.accumulator(x.dtype, 1)
    if x.dtype.kind not in "fV" and not precision.is_narrow_float(x.dtype):
        raise TypeError(f"floats are needed, got {x.dtype}")
    if out is None:
        out = np.empty(x.shape, x.dtype)
    source, target = np.ascontiguousarray(x).reshape(-1), out.reshape(-1)
    cuts = threads.ranges(source.size, _BLOCK)
    slots = threads.slots()
    room = scratch.nbytes((3, _BLOCK), wide)
    buffer = scratch.take(room * slots)

    def task(index: int, slot: int) -> None:
        low, high = cuts[index]
        arena = scratch.Arena(buffer[slot * room : (slot + 1) * room])
        given, result, spare = arena.array((3, _BLOCK), wide)[:, : high - low]
        if source.dtype == wide:
            given = source[low:high]
        else:
            np.copyto(given, source[low:high], casting="unsafe")
        kernel(given, result, spare)
        target[low:high] = result

    threads.parallel(task, len(cuts), slots)
    scratch.give(buffer)
    if not np.may_share_memory(target, out):
        np.copyto(out, target.reshape(out.shape))
    return out


@functools.cache
def _erf_polynomial(single: bool) -> tuple[float, tuple[float, ...]]:
    """Return the end of the range, and q as powers of `2 * t / end - 1`, highest first.

    Past the end erf rounds to 1.
    """
    end, degree = (4.0, 14) if single else (6.0, 38)

    def q(u: NDArray[np.float64]) -> NDArray[np.float64]:
        points = [(float(v) + 1) * end / 2 for v in u]
        return np.array([_log_ratio(t) for t in points])

    series = chebyshev.chebinterpolate(q, degree)
    powers = chebyshev.cheb2poly(series)
    return end, tuple(float(c) for c in powers[::-1])


def _log_ratio(t: float) -> float:
    """Return `-log(1 - erf(t)) / t`."""
    if t < 1e-8:
        return 2 / math.sqrt(math.pi) + 2 * t / math.pi
    return -(math.log1p(-math.erf(t)) if t < 0.5 else math.log(math.erfc(t))) / t


def _erf_block(x: Array, out: Array, spare: Array) -> None:
    end, powers = _erf_polynomial(x.dtype == np.float32)
    number = x.dtype.type
    u = np.empty_like(out)
    np.abs(x, out=spare)
    np.minimum(spare, np.broadcast_to(number(end), spare.shape), out=spare)
    np.multiply(spare, number(2 / end), out=u)
    np.subtract(u, number(1), out=u)
    np.multiply(u, number(powers[0]), out=out)
    for power in powers[1:-1]:
        np.add(out, number(power), out=out)
        np.multiply(out, u, out=out)
    np.add(out, number(powers[-1]), out=out)
    np.multiply(out, spare, out=out)
    np.negative(out, out=out)
    np.expm1(out, out=out)
    np.negative(out, out=out)
    np.copysign(out, x, out=out)


def erf(x: Array, out: Array | None = None) -> Array:
    """Return the error function."""
    return blockwise(_erf_block, x, out)


def _gelu_block(x: Array, out: Array, spare: Array) -> None:
    number = x.dtype.type
    scaled = x * number(math.sqrt(0.5))
    _erf_block(scaled, out, spare)
    np.add(out, number(1), out=out)
    np.multiply(x, number(0.5), out=spare)
    np.multiply(out, spare, out=out)


def gelu(x: Array, out: Array | None = None) -> Array:
    """Return `x / 2 * (1 + erf(x / sqrt(2)))`."""
    return blockwise(_gelu_block, x, out)


def _sigmoid_block(x: Array, out: Array, spare: Array) -> None:
    np.negative(x, out=spare)
    np.exp(spare, out=spare)
    np.add(spare, x.dtype.type(1), out=spare)
    np.reciprocal(spare, out=out)


def sigmoid(x: Array, out: Array | None = None) -> Array:
    """Return `1 / (1 + exp(-x))`."""
    return blockwise(_sigmoid_block, x, out)


def _silu_block(x: Array, out: Array, spare: Array) -> None:
    _sigmoid_block(x, out, spare)
    np.multiply(out, x, out=out)


def silu(x: Array, out: Array | None = None) -> Array:
    """Return `x * sigmoid(x)`."""
    return blockwise(_silu_block, x, out)
