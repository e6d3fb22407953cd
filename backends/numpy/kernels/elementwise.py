"""Functions that numpy lacks or spells in many passes, evaluated block by block.

`-expm1(-t * q(t)) = erf(t)` for t >= 0, where q is smooth: one polynomial serves the
whole axis with a small relative error.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev, polynomial
from numpy.typing import NDArray

from graphwright.backends.numpy.kernels import precision, scratch, threads

Array = NDArray[Any]
_Kernel = Callable[[Array, Array, Array], None]
"""Called with a block, the result's block and a third one to spoil: separate arrays."""

_BLOCK = 1 << 15
"""Elements: three such arrays stay in cache, and calls cost little beside them."""


def blockwise(kernel: _Kernel, x: Array, out: Array | None = None) -> Array:
    """Apply `kernel` to blocks of `x` on all cores; 16-bit floats via float32."""
    wide = precision.accumulator(x.dtype, 1)
    if x.dtype.kind not in "fV" and not precision.is_narrow_float(x.dtype):
        raise TypeError(f"floats are needed, got {x.dtype}")
    if out is None:
        out = np.empty(x.shape, x.dtype)
    source, target = np.ascontiguousarray(x).reshape(-1), out.reshape(-1)
    cuts = threads.ranges(source.size, _BLOCK)
    apart = target.dtype == wide and not np.may_share_memory(source, target)
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
        if apart:
            kernel(given, target[low:high], spare)
            return
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


# Of g(x) / x, where e ** -g(x) is (1 - erf(x / sqrt(2))) / (1 + erf(x / sqrt(2))), in
# powers of x * x for float32: least squares over [0, 6.5], weighted for an error of
# 7e-8 in gelu. The highest power keeps its sign, so that the far ends saturate.
_LOGIT = (
    3.61136746e-09,
    -2.66899093e-07,
    7.93832546e-06,
    -1.10481139e-04,
    -6.62570679e-05,
    7.26685628e-02,
    1.59576843,
)


def _logistic_block(
    x: Array, out: Array, spare: Array, powers: Sequence[float]
) -> None:
    """Write `x / (1 + exp(-x * p(x * x)))`; three separate arrays."""
    number = x.dtype.type
    np.multiply(x, x, out=spare)
    np.multiply(spare, number(-powers[0]), out=out)
    for power in powers[1:-1]:
        np.add(out, number(-power), out=out)
        np.multiply(out, spare, out=out)
    np.add(out, number(-powers[-1]), out=out)
    np.multiply(out, x, out=out)
    np.exp(out, out=out)
    np.add(out, number(1), out=out)
    np.divide(x, out, out=out)


def _gelu_block(x: Array, out: Array, spare: Array) -> None:
    if x.dtype == np.float32:
        _logistic_block(x, out, spare, _LOGIT)
        return
    half = x * 0.5
    _erf_block(x * math.sqrt(0.5), out, spare)
    np.add(out, 1, out=out)
    np.multiply(out, half, out=out)  # by x / 2, not x: the product cannot overflow


def gelu(x: Array, out: Array | None = None) -> Array:
    """Return `x / 2 * (1 + erf(x / sqrt(2)))`."""
    return blockwise(_gelu_block, x, out)


# Of the tanh in gelu's approximation: (1 + tanh(z)) / 2 = 1 / (1 + exp(-2 * z)).
_BENT = (0.044715 * math.sqrt(8 / math.pi), math.sqrt(8 / math.pi))


def _gelu_tanh_block(x: Array, out: Array, spare: Array) -> None:
    _logistic_block(x, out, spare, _BENT)


def gelu_tanh(x: Array, out: Array | None = None) -> Array:
    """Return `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))`."""
    return blockwise(_gelu_tanh_block, x, out)


def _sigmoid_block(x: Array, out: Array, spare: Array) -> None:
    np.negative(x, out=spare)
    np.exp(spare, out=spare)
    np.add(spare, x.dtype.type(1), out=spare)
    np.divide(x.dtype.type(1), spare, out=out)


def sigmoid(x: Array, out: Array | None = None) -> Array:
    """Return `1 / (1 + exp(-x))`."""
    return blockwise(_sigmoid_block, x, out)


def erf_block(x: Array, out: Array) -> None:
    """Write the error function of a block; `out` may be `x`."""
    _erf_block(x.copy(), out, np.empty_like(x))


def _apart(kernel: _Kernel, x: Array, out: Array) -> None:
    result, spare = np.empty((2, *x.shape), x.dtype)
    kernel(x, result, spare)
    np.copyto(out, result)


def gelu_block(x: Array, out: Array) -> None:
    """Write `gelu` of a block; `out` may be `x`."""
    _apart(_gelu_block, x, out)


def gelu_tanh_block(x: Array, out: Array) -> None:
    """Write `gelu_tanh` of a block; `out` may be `x`."""
    _apart(_gelu_tanh_block, x, out)
