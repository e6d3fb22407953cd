"""Counting, gathering, transforming."""

from typing import Any

import numpy as np

from array_programs.case import Case, generator, normal, side, uniform


def histogram(x: Any, bins: int) -> Any:
    """How many numbers fall into each of equal intervals."""
    low, high = x.min(), x.max()
    place = ((x - low) * (bins / (high - low))).astype(np.int64)
    return np.bincount(np.minimum(place, bins - 1), minlength=bins)


def fft_convolution(x: Any, kernel: Any) -> Any:
    """A long filter by Fourier transforms."""
    n = x.shape[-1]
    product = np.fft.rfft(x, axis=-1) * np.fft.rfft(kernel, n, axis=-1)
    return np.fft.irfft(product, n, axis=-1)


def spmv(values: Any, columns: Any, x: Any) -> Any:
    """A sparse matrix of equally long rows times a vector."""
    return (values * x[columns]).sum(axis=1)


def moving_average(x: Any, width: int) -> Any:
    """Means of windows, by a running sum."""
    total = np.cumsum(x)
    return (total[width:] - total[:-width]) / width


def masked_statistics(x: Any, weight: Any) -> Any:
    """Mean and variance of what is not masked, and the clipped data."""
    good = (x > -1.0) & (weight > 0.25)
    count = good.sum()
    mean = np.where(good, x, 0.0).sum() / count
    var = np.where(good, (x - mean) ** 2, 0.0).sum() / count
    x[~good] = mean
    return mean, var, np.clip((x - mean) / np.sqrt(var), -2.0, 2.0)


def _numbers(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    return uniform((side(nbytes, dtype, 2, 1),), dtype), 64


def _signals(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = 1 << (side(nbytes, dtype, 4, 1).bit_length() - 1)
    rows = max(1, n // 4096)
    return normal((rows, n // rows), dtype), normal((min(64, n // rows),), dtype)


def _sparse(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n, k = side(nbytes, dtype, 3 * 8, 1), 8
    return (
        normal((n, k), dtype),
        generator().integers(0, n, (n, k)),
        normal((n,), dtype),
    )


def _series(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    return normal((side(nbytes, dtype, 3, 1),), dtype), 5


def _weighted(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 4, 1)
    return normal((n,), dtype), uniform((n,), dtype)


CASES = [
    Case(histogram, _numbers),
    Case(fft_convolution, _signals),
    Case(spmv, _sparse, both=True),
    Case(moving_average, _series),
    Case(masked_statistics, _weighted, functional=False),
]
