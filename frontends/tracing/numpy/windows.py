"""Window functions of signal processing, and sliding windows over an array."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from graphwright.frontends.tracing.numpy.missing import CURES, Missing
from graphwright.frontends.tracing.wrap import array_function, axes_of
from graphwright.ir.dim import Dim
from graphwright.ir.dtype import float64, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ShapeError

__all__ = ["bartlett", "blackman", "hamming", "hanning", "kaiser", "lib"]


def _cosines(b: Emitter, m: Dim, *weights: float) -> Value:
    """Sum of ``w_k cos(pi k n / (m - 1))`` for every other n from ``1 - m``."""
    if isinstance(m, int) and m == 1:
        return b.full((1,), 1, float64)
    line = b.iota((m,), 0, float64)
    last = b.dim_scalar(m - 1, float64)
    place = b.div(b.sub(b.mul(line, 2.0), last), last)
    total = b.full((m,), weights[0], float64)
    for k, weight in enumerate(weights[1:], 1):
        wave = b.unary("cos", b.mul(place, math.pi * k))
        total = b.add(total, b.mul(wave, weight))
    return total


@array_function
def hanning(b: Emitter, M: Any) -> Value:  # noqa: N803
    """Hann's window, ``0.5 + 0.5 cos``."""
    return _cosines(b, M, 0.5, 0.5)


@array_function
def hamming(b: Emitter, M: Any) -> Value:  # noqa: N803
    """Hamming's window, ``0.54 + 0.46 cos``."""
    return _cosines(b, M, 0.54, 0.46)


@array_function
def blackman(b: Emitter, M: Any) -> Value:  # noqa: N803
    """Blackman's window, ``0.42 + 0.5 cos + 0.08 cos`` of twice the angle."""
    return _cosines(b, M, 0.42, 0.5, 0.08)


@array_function
def bartlett(b: Emitter, M: Any) -> Value:  # noqa: N803
    """The triangular window that is 0 at both ends."""
    if isinstance(M, int) and M == 1:
        return b.full((1,), 1, float64)
    line = b.iota((M,), 0, float64)
    last = b.dim_scalar(M - 1, float64)
    rising = b.div(b.mul(line, 2.0), last)
    return b.min(rising, b.sub(2.0, rising))


@array_function
def kaiser(b: Emitter, M: int, beta: float) -> Value:  # noqa: N803
    """Kaiser's window, of a known size and shape."""
    return b.constant(np.kaiser(int(M), float(beta)), float64)


@array_function
def sliding_window_view(
    b: Emitter,
    x: Value,
    window_shape: Any,
    axis: Any = None,
    *,
    subok: bool = False,
    writeable: bool = False,
) -> Value:
    """All windows of a shape, each at its place along axes and on new last axes."""
    many = isinstance(window_shape, (tuple, list))
    sizes = tuple(window_shape) if many else (window_shape,)
    axes = axes_of(axis, x.rank)
    if len(sizes) != len(axes):
        raise ShapeError(f"windows of {len(sizes)} axes over {len(axes)} axes")
    for place, size in zip(axes, sizes, strict=True):
        shape = (x.shape[place] - size + 1, size)
        index = b.add(b.iota(shape, 0, int64), b.iota(shape, 1, int64))
        taken = b.gather(x, index, place)
        order = [i for i in range(taken.rank) if i != place + 1]
        x = b.transpose(taken, [*order, place + 1])
    return x


_STRIDED = "lib.stride_tricks.as_strided"

lib = SimpleNamespace(
    stride_tricks=SimpleNamespace(
        as_strided=Missing(_STRIDED, CURES[_STRIDED]),
        sliding_window_view=sliding_window_view,
    )
)
"""The parts of ``numpy.lib`` that make tensors."""
