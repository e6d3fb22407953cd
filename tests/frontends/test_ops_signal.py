"""Fourier transforms, windows, the mel scale; determinants and distinct elements."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx_graphs import (
    imported,
    node_model,
    node_same_as_ort,
    output_types,
    run,
)

from graphwright.ir.errors import ModelError, ShapeError

RNG = np.random.default_rng(0)


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


def normal(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def pairs(z: Any) -> Any:
    return np.stack([z.real, z.imag], -1)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("axis", [1, 2, -2])
@pytest.mark.parametrize("length", [None, 4, 9])
@pytest.mark.parametrize("inverse", [0, 1])
def test_dft(parts: int, axis: int, length: int | None, inverse: int) -> None:
    x = normal(2, 5, 6, parts)
    z = x[..., 0] + (1j * x[..., 1] if parts == 2 else 0)
    transform = np.fft.ifft if inverse else np.fft.fft
    want = pairs(transform(z, length, axis if axis > 0 else axis + 1))
    size = None if length is None else np.array(length)
    model, feeds = node_model("DFT", [x, size, np.array(axis)], inverse=inverse)
    old: dict[str, Any] = {"opset": 17, "axis": axis, "inverse": inverse}
    for found in (
        run(model, feeds),
        run(*node_model("DFT", [x] if size is None else [x, size], **old)),
    ):
        assert found[0].dtype == np.float32
        np.testing.assert_allclose(found[0], want, atol=1e-5)


@pytest.mark.parametrize("n", [4, 5])
def test_onesided_dft_and_back(n: int) -> None:
    x = normal(2, n, 1)
    model, feeds = node_model("DFT", [x], onesided=1)
    (y,) = run(model, feeds)
    np.testing.assert_allclose(y, pairs(np.fft.rfft(x[..., 0])), atol=1e-5)
    back = [y, np.array(n)]
    model, feeds = node_model("DFT", back, onesided=1, inverse=1)
    np.testing.assert_allclose(run(model, feeds)[0], x, atol=1e-5)


def test_dft_of_other_types() -> None:
    text = "g (float16[n,t,1] x) => (y) { y = DFT<onesided = 1>(x) }"
    assert output_types(text) == "float16[n, t//2 + 1, 2]"
    model, feeds = node_model("DFT", [np.ones((1, 4, 1), np.float64)])
    assert run(model, feeds)[0].tolist() == [[[4, 0], [0, 0], [0, 0], [0, 0]]]


def test_dft_along_the_parts() -> None:
    model, _ = node_model("DFT", [normal(2, 4, 2), None, ints(-1)], constants=[2])
    with pytest.raises(ModelError, match="parts"):
        imported(model)


@pytest.mark.parametrize("window", [True, False])
@pytest.mark.parametrize("onesided", [0, 1])
def test_stft(window: bool, onesided: int) -> None:
    x, step = normal(2, 20, 1), np.array(3)
    w = np.hanning(8).astype(np.float32) if window else None
    inputs = [x, step, w, np.array(8)]
    node_same_as_ort("STFT", inputs, opset=17, onesided=onesided, constants=[1, 3])
    model, feeds = node_model("STFT", inputs, opset=17, onesided=onesided)
    starts = range(0, 20 - 8 + 1, 3)
    frames = np.stack([x[:, s : s + 8, 0] * (1 if w is None else w) for s in starts], 1)
    want = np.fft.rfft(frames) if onesided else np.fft.fft(frames)
    np.testing.assert_allclose(run(model, feeds)[0], pairs(want), atol=1e-5)


@pytest.mark.parametrize("name", ["HannWindow", "HammingWindow", "BlackmanWindow"])
@pytest.mark.parametrize("periodic", [0, 1])
@pytest.mark.parametrize("known", [True, False])
def test_windows(name: str, periodic: int, known: bool) -> None:
    constants = [0] if known else []
    for n in (2, 10):
        inputs = [np.array(n)]
        node_same_as_ort(name, inputs, opset=17, constants=constants, periodic=periodic)


def test_mel_weights() -> None:
    inputs = [
        np.array(8),
        np.array(16),
        np.array(8192),
        np.float32(0),
        np.float32(8192 / 2),
    ]
    node_same_as_ort("MelWeightMatrix", inputs, opset=17)
    (y,) = node_same_as_ort("MelWeightMatrix", inputs, opset=17, constants=[0, 1, 2])
    assert y.shape == (9, 8)


# On the host --------------------------------------------------------------------------


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_unique(order: int, axis: int | None, dtype: Any) -> None:
    how: dict[str, Any] = {} if axis is None else {"axis": axis}
    x = RNG.integers(0, 2, (4, 3)).astype(dtype)
    for value in (x, x[:, :1]):
        node_same_as_ort("Unique", [value], outputs=4, opset=11, sorted=order, **how)


def test_unique_of_nothing_strings_and_narrow_floats() -> None:
    model, feeds = node_model("Unique", [np.zeros(0, np.float32)], 4)
    assert [y.shape for y in run(model, feeds)] == [(0,)] * 4
    words = np.array([["b", "a"], ["b", "a"], ["a", "c"]], object)
    model, feeds = node_model("Unique", [words], 4, axis=0)
    y, first, inverse, counts = run(model, feeds)
    assert y.tolist() == [["a", "c"], ["b", "a"]]
    rows = (first.tolist(), inverse.tolist(), counts.tolist())
    assert rows == ([2, 0], [1, 1, 0], [1, 2])
    x = np.array([2, 1, 2], ml_dtypes.bfloat16)
    model, feeds = node_model("Unique", [x], 1, opset=28)
    assert run(model, feeds)[0].astype(int).tolist() == [1, 2]


def test_det() -> None:
    node_same_as_ort("Det", [normal(3, 3)], opset=11)
    node_same_as_ort("Det", [normal(2, 4, 3, 3)], opset=11, rtol=1e-4)
    with pytest.raises(ShapeError, match="square"):
        imported(node_model("Det", [normal(2, 3)])[0])
