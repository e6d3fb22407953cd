"""Floats of 16 and 8 bits on OpenCL: each number, and each number between two."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import graphwright as gw
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.dtype import DType, float32
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType

MISSING = OpenCLBackend().unavailable()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

NARROW = [
    *(dt.float16, dt.bfloat16),
    *(
        pytest.param(dtype, marks=pytest.mark.full)
        for dtype in (
            *(dt.float8_e4m3fn, dt.float8_e4m3fnuz),
            *(dt.float8_e5m2, dt.float8_e5m2fnuz),
        )
    ),
]


def same(found: Any, want: Any) -> None:
    """Equal bits, but for those of NaN."""
    assert found.dtype == want.dtype
    odd = np.isnan(want)
    np.testing.assert_array_equal(np.isnan(found), odd)
    bits = f"u{want.dtype.itemsize}"
    np.testing.assert_array_equal(found[~odd].view(bits), want[~odd].view(bits))


def every(dtype: DType) -> Any:
    size = dtype.itemsize
    return np.arange(1 << 8 * size).astype(f"u{size}").view(dtype.numpy)


def around(dtype: DType) -> Any:
    """Numbers of a dtype, their neighbours of float32, and what is half-way."""
    with np.errstate(invalid="ignore"):
        wide = np.unique(every(dtype).astype(np.float32))
        wide = wide[np.isfinite(wide)]
        halves = wide[:-1] + (wide[1:] - wide[:-1]) / 2
    points = np.concatenate([wide, halves])
    sides = [np.nextafter(points, np.float32(x)) for x in (-np.inf, np.inf)]
    special = np.array([0.0, -0.0, 3e38, -3e38, np.inf, -np.inf, np.nan, 1e-40], "f4")
    return np.concatenate([points, *sides, special])


@pytest.mark.parametrize("narrow", NARROW, ids=str)
def test_each_number_is_read_as_it_is(narrow: DType) -> None:
    x = every(narrow)
    graph = gw.trace(lambda x: x.astype("float32"), gw.spec(narrow.name, x.shape))
    same(gw.compile(graph, backend="opencl", strict=True)(x), x.astype(np.float32))


@pytest.mark.parametrize("narrow", NARROW, ids=str)
def test_numbers_are_rounded_to_the_nearest_one(narrow: DType) -> None:
    x = around(narrow)

    def rounded(x: Any) -> Any:
        y = x.astype(narrow.name)
        return y, y.astype("float32")

    graph = gw.trace(rounded, gw.spec("float32", x.shape))
    stored, read = gw.compile(graph, backend="opencl", strict=True)(x)
    with np.errstate(over="ignore", invalid="ignore"):
        want = x.astype(narrow.numpy)
    same(stored, want)
    same(read, want.astype(np.float32))


def attention(narrow: DType, mask: Any) -> Graph:
    """Attention as exporters write it out."""
    b = Builder("g")
    q, k, v = (b.input(x, TensorType(narrow, (1, 2, 40, 16))) for x in "qkv")
    scores = b.dot(q, b.transpose(k, (0, 1, 3, 2)))
    scores = b.mul(scores, 0.25)
    if mask is not None:
        scores = b.add(scores, b.constant(mask.astype(narrow.numpy)))
    return b.finish([b.dot(b.emit("softmax", scores, axis=3), v)])


@pytest.mark.parametrize("narrow", [dt.float16, dt.bfloat16], ids=str)
@pytest.mark.parametrize("kind", ["plain", "causal", "added"])
def test_attention_of_narrow_floats_is_one_kernel(narrow: DType, kind: str) -> None:
    rng = np.random.default_rng(0)
    xs = [rng.standard_normal((1, 2, 40, 16)).astype(narrow.numpy) for _ in "qkv"]
    low = float(ml_dtypes.finfo(narrow.numpy).min)  # type: ignore[no-untyped-call]
    mask = {
        "plain": None,
        "causal": np.triu(np.full((40, 40), low), 1),
        "added": rng.standard_normal((40, 40)),
    }[kind]
    graph = attention(narrow, mask)
    exe = gw.compile(graph, backend="opencl", strict=True)
    found = np.asarray(exe(*xs))
    assert found.dtype == narrow.numpy
    assert [row.op for row in exe.profile(xs)].count("attention") == 1
    rounded = None if mask is None else mask.astype(narrow.numpy).astype(np.float32)
    wide = [x.astype(np.float32) for x in xs]
    (exact,) = evaluate(attention(float32, rounded), wide)
    unit = 2.0 ** -(10 if narrow is dt.float16 else 7)
    np.testing.assert_allclose(found.astype(np.float32), exact, atol=2 * unit)
    assert np.abs(found.astype(np.float32)).max() > 0.5
