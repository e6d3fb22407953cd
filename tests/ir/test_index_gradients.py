"""Gradients of indexing, Fourier transforms and linear algebra, by differences."""

from typing import Any

import numpy as np
import pytest

from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.evaluate import evaluate
from graphwright.ir.op import OPS
from graphwright.ir.types import TensorType

RNG = np.random.default_rng(1)


def gradient(name: str, fields: dict[str, Any], operands: list[Any], at: int) -> Any:
    """Gradient of the sum of results times weights by the op's own rule."""
    b = Builder()
    inputs = [
        b.input(str(i), TensorType(dt.dtype(x.dtype), x.shape))
        for i, x in enumerate(operands)
    ]
    op = OPS[name](**fields)
    results = b.apply(op, inputs)
    weights = [b.constant(weight(r.shape), r.dtype) for r in results]
    found = op.vjp(b, inputs, results, weights)[at]
    assert found is not None
    (y,) = evaluate(b.finish([found]), operands)
    return y


def weight(shape: Any) -> Any:
    return np.cos(np.arange(np.prod(shape, dtype=int)) * 1.3).reshape(shape)


def loss(name: str, fields: dict[str, Any], operands: list[Any]) -> float:
    """The sum of the (first) result times its weights."""
    found = OPS[name](**fields).compute(np, *operands)
    y = found[0] if isinstance(found, tuple) else found
    return float((y * weight(y.shape)).sum().real)


def check(name: str, operands: list[Any], at: int = 0, **fields: Any) -> None:
    got = gradient(name, fields, operands, at)
    x, step = operands[at], 1e-6
    want = np.zeros(x.shape, x.dtype)
    for i in np.ndindex(*x.shape):
        for part in (1, 1j) if x.dtype.kind == "c" else (1,):
            ends = []
            for sign in (step, -step):
                moved = x.copy()
                moved[i] += sign * part
                ends.append(
                    loss(name, fields, [*operands[:at], moved, *operands[at + 1 :]])
                )
            slope = (ends[0] - ends[1]) / (2 * step)
            want[i] += slope if part == 1 else -1j * slope
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def normal(*shape: int) -> Any:
    return RNG.standard_normal(shape)


AT = np.array([[0, 2, 1], [1, 0, 2]])


def test_gather_and_scatter() -> None:
    x, u = normal(2, 3, 2), normal(2, 2, 2)
    at = np.array([[0, 2], [1, 1]])
    check("gather", [x, at], axis=1, batch_dims=1)
    check("gather", [x, at], axis=1)
    for i in (0, 2):
        check("scatter", [x, at, u], i, axis=1, mode="add", batch_dims=1)
    for i in (0, 2):
        spots = np.array([[0, 2], [1, 0]])
        check("scatter", [x, spots, u], i, axis=1, mode="set", batch_dims=1)


def test_along_an_axis() -> None:
    x = normal(2, 3)
    check("take_along_axis", [x, AT], axis=1)
    for mode in ("set", "add"):
        for i in (0, 2):
            check("scatter_along_axis", [x, AT, normal(2, 3)], i, axis=1, mode=mode)


def test_sort() -> None:
    check("sort", [normal(3, 4)], axis=1, descending=True)


@pytest.mark.parametrize("n", [3, 4, 6, 7])
@pytest.mark.parametrize("kind", ["fft", "ifft", "rfft", "irfft"])
def test_fft(kind: str, n: int) -> None:
    x = normal(2, 5)
    x = x if kind == "rfft" else x + 1j * normal(2, 5)
    check("fft", [x], kind=kind, axis=1, n=n)


def test_det_and_inverse() -> None:
    x = normal(2, 3, 3) + 2 * np.eye(3)
    check("det", [x])
    check("inverse", [x])


def test_padding_and_strides() -> None:
    x = normal(3, 4)
    fields: dict[str, Any] = {"start": (2, 0), "size": (2, 2), "step": (-1, 2)}
    check("slice", [x], **fields)
    fields = {"low": (1, -1), "high": (0, 2), "interior": (0, 1)}
    for i in (0, 1):
        check("pad", [x, np.array(0.5)], i, **fields)
