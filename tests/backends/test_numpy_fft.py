"""Fourier transforms of the numpy backend, whole and in parts."""

from typing import Any

import numpy as np
import pytest

import graphwright as gw

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [(3, 8), (150, 1000)])
def test_there_and_back(shape: tuple[int, int], axis: int, dtype: str) -> None:
    def filtered(x: Any) -> Any:
        terms = np.fft.rfft(x, axis=axis)
        both = np.fft.ifft(np.fft.fft(x * 1j, 16, axis=axis), axis=axis)
        return terms, np.fft.irfft(terms, x.shape[axis], axis=axis), both

    x = RNG.standard_normal(shape).astype(dtype)
    found = gw.jit(filtered, backend="numpy")(x)
    for y, want in zip(found, filtered(x), strict=True):
        got = np.asarray(y)
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)
