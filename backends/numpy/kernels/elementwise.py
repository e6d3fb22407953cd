"""Functions that numpy lacks or spells in many passes, evaluated block by block.

`-expm1(-t * q(t)) = erf(t)` for t >= 0, where q is smooth: one polynomial serves the
whole axis with a small relative error.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev, polynomial
from numpy.typing import NDArray

from graphwright.backends.numpy.kernels import precision, scratch, threads

Array = NDArray[Any]
_Kernel = Callable[[Array, Array, Array], None]
"""Called with a block, the result's block and a third one to spoil; the first two may
be the same."""

_BLOCK = 1 << 14


def blockwise(kernel: _Kernel, x: Array, out: Array | None = None) -> Array:
    """Apply `kernel` to blocks of `x` on all cores; 16-bit floats via float32."""
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


# q's powers of t for float32: weighted least squares over [0, 4], error 4e-9 of erf.
_SINGLE_END = 4.0
_SINGLE = (
    -9.256348675990012e-06,
    1.1764197552111e-04,
    -6.328392191790044e-04,
    1.667031436227262e-03,
    -1.6039979527704418e-04,
    -1.9153062254190445e-02,
    1.0277783125638962e-01,
    6.366193890571594e-01,
    1.128379225730896,
)
_DOUBLE_END = 6.0


@functools.cache
def _far_series() -> Array:
    """Return q's Chebyshev series of `t / 3 - 1`; past 6, erf rounds to 1."""

    def q(u: NDArray[np.float64]) -> NDArray[np.float64]:
        points = [3 * (float(v) + 1) for v in u]
        return np.array([-math.log(math.erfc(t)) / t for t in points])

    interpolate: Any = chebyshev.chebinterpolate
    return np.asarray(interpolate(q, 56))


# Taylor's series of erf(t) / t in powers of t * t, lowest first: exact to 1 on [0, 1].
_NEAR = [
    2 / math.sqrt(math.pi) * (-1) ** n / (math.factorial(n) * (2 * n + 1))
    for n in range(19)
]


def _erf_double(x: Array, out: Array, spare: Array) -> None:
    np.clip(np.abs(x), 0, _DOUBLE_END, out=spare)
    small = spare < 1
    q = np.asarray(chebyshev.chebval(spare / 3 - 1, _far_series()))
    far = np.copysign(-np.expm1(-spare * q), x)
    inside = np.where(small, spare, 0.0)
    slope = np.asarray(polynomial.polyval(inside * inside, _NEAR))
    out[...] = np.where(small, x * slope, far)


def _q_single(t: Array, out: Array) -> None:
    np.multiply(t, np.float32(_SINGLE[0]), out=out)
    for power in _SINGLE[1:-1]:
        np.add(out, np.float32(power), out=out)
        np.multiply(out, t, out=out)
    np.add(out, np.float32(_SINGLE[-1]), out=out)


def _erf_block(x: Array, out: Array, spare: Array) -> None:
    if x.dtype != np.float32:
        _erf_double(x, out, spare)
        return
    np.abs(x, out=spare)
    # np.clip is three times as fast as np.minimum with a scalar.
    np.clip(spare, np.float32(0), np.float32(_SINGLE_END), out=spare)
    _q_single(spare, out)
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
    half = x * number(0.5)
    _erf_block(x * number(math.sqrt(0.5)), out, spare)
    np.add(out, number(1), out=out)
    np.multiply(out, half, out=out)  # by x / 2, not x: the product cannot overflow


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


def erf_block(x: Array, out: Array) -> None:
    """Write the error function of a block; `out` may be `x`."""
    _erf_block(x.copy(), out, np.empty_like(x))


def gelu_block(x: Array, out: Array) -> None:
    """Write `gelu` of a block; `out` may be `x`."""
    _gelu_block(x, out, np.empty_like(x))


def sigmoid_block(x: Array, out: Array) -> None:
    """Write `sigmoid` of a block; `out` may be `x`."""
    _sigmoid_block(x, out, np.empty_like(x))
