"""Floats of 16 and 8 bits on OpenCL: each number, and each number between two."""

from pathlib import Path
from typing import Any

import library_runs
import ml_dtypes
import numpy as np
import pytest

import graphwright as gw
from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.kernels.finish import Affine
from graphwright.backends.codegen.kernels.gemm import GemmShape, gemm
from graphwright.backends.codegen.kernels.sums import FLOATS, NARROW
from graphwright.backends.codegen.kernels.text import prelude
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.dtype import DType, float32
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType

MISSING = OpenCLBackend().unavailable()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

KINDS = [
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


@pytest.mark.parametrize("narrow", KINDS, ids=str)
def test_each_number_is_read_as_it_is(narrow: DType) -> None:
    x = every(narrow)
    graph = gw.trace(lambda x: x.astype("float32"), gw.spec(narrow.name, x.shape))
    same(gw.compile(graph, backend="opencl", strict=True)(x), x.astype(np.float32))


@pytest.mark.parametrize("narrow", KINDS, ids=str)
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


TWO = [dt.float16, dt.bfloat16]
PRODUCTS = [
    GemmShape(1, 1, 70, 300),
    GemmShape(1, 3, 1030, 37),
    GemmShape(2, 4, 33, 130),
    GemmShape(1, 6, 40, 9),
]


def weights(narrow: DType, *shape: int) -> Any:
    """Normal and subnormal numbers, as float32."""
    rng = np.random.default_rng(1)
    found = rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 2, shape)
    return found.astype(narrow.numpy).astype(np.float32)


@pytest.mark.parametrize("lanes", [8, 16])
@pytest.mark.parametrize(
    ("shape", "known"),
    [*((shape, True) for shape in PRODUCTS), (PRODUCTS[0], False)],
    ids=str,
)
@pytest.mark.parametrize("narrow", TWO, ids=str)
def test_panels_of_16_bits_have_the_same_products(
    narrow: DType,
    shape: GemmShape,
    known: bool,
    lanes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If the instruction is known, and if not."""
    if not known:
        words = prelude(OPENCL, lanes).replace("__F16C__", "__NOTHING__")
        monkeypatch.setattr(library_runs, "prelude", lambda *_: words)
        library_runs.program.cache_clear()
    x = np.ones((shape.batch, shape.rows, shape.depth), np.float32)
    x += weights(float32, *x.shape)
    w = weights(narrow, shape.batch, shape.depth, shape.columns)
    size, machine = (
        (shape.batch, shape.rows, shape.columns),
        Cpu(2, 1 << 20, lanes=lanes),
    )

    def product(sums: Any) -> Any:
        library = gemm(shape, True, Affine(), machine, OPENCL, sums)
        return library_runs.run(library, {"x": x}, size, w, lanes)

    np.testing.assert_array_equal(product(NARROW[narrow]), product(FLOATS))
    library_runs.program.cache_clear()


@pytest.mark.parametrize("narrow", TWO, ids=str)
def test_weights_of_few_rows_stay_narrow(narrow: DType, tmp_path: Path) -> None:
    x, w = weights(narrow, 1, 300), weights(narrow, 300, 256).astype(narrow.numpy)
    graph = gw.trace(lambda x: x @ w, gw.spec(narrow.name, (1, 300)))
    exe = gw.compile(graph, backend="opencl", strict=True, dump=tmp_path)
    found = np.asarray(exe(x.astype(narrow.numpy))).astype(np.float64)
    want = x.astype(np.float64) @ w.astype(np.float64)
    np.testing.assert_allclose(found, want, rtol=2.0**-7, atol=0.1)
    files = [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".npy"]
    texts = [text for p in files if "void gemm" in (text := p.read_text())]
    assert texts
    assert all(f"LOAD_{narrow.name.upper()}(b" in text for text in texts)
