"""Kernels of loops on OpenCL with vectors of both widths."""

from typing import Any

import numpy as np
import pytest
from widths import of_width

import graphwright as gw
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.ir.builder import Builder
from graphwright.ir.dtype import dtype as as_dtype
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType

MISSING = OpenCLBackend().unavailable()
pytestmark = [
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.parametrize("lanes", [8, 16]),
]
RNG = np.random.default_rng(0)


def _agree(graph: Graph, feeds: list[Any], backend: Any) -> None:
    found = gw.compile(graph, backend=backend, strict=True)(*feeds)
    (want,) = evaluate(graph, feeds)
    np.testing.assert_allclose(np.asarray(found), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_whose_operands_are_read_in_steps(
    dtype: str, lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = of_width(monkeypatch, lanes)
    for m, k, n in ((7, 9, 8), (13, 20, 16), (5, 8, 33), (6, 11, 64)):
        b = Builder("dot")
        x = b.input("x", TensorType(as_dtype(dtype), (2 * m, k)))
        w = b.input("w", TensorType(as_dtype(dtype), (n, k)))
        left = b.slice(x, (0, 0), (m, k), (2, 1))
        graph = b.finish([b.dot(left, b.transpose(w, (1, 0)))])
        shapes = (2 * m, k), (n, k)
        feeds = [RNG.standard_normal(shape).astype(dtype) for shape in shapes]
        _agree(graph, feeds, backend)


@pytest.mark.parametrize("mode", ["set", "add"])
def test_updates_of_long_rows(
    mode: str, lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = of_width(monkeypatch, lanes)
    for width in (15, 35):
        b = Builder("scatter")
        x = b.input("x", TensorType(as_dtype("float32"), (50, width)))
        at = b.input("at", TensorType(as_dtype("int64"), (20,)))
        new = b.input("new", TensorType(as_dtype("float32"), (20, width)))
        graph = b.finish([b.scatter(x, at, new, 0, mode)])
        feeds = [
            RNG.standard_normal((50, width), np.float32),
            RNG.integers(0, 50, 20),
            RNG.standard_normal((20, width), np.float32),
        ]
        _agree(graph, feeds, backend)


def _agree_reduced(
    kind: str, shape: tuple[int, int], axis: int, backend: OpenCLBackend
) -> None:
    """A matrix with a NaN in it, reduced along an axis."""
    b = Builder("reduce")
    x = b.input("x", TensorType(as_dtype("float32"), shape))
    graph = b.finish([b.reduce(kind, x, [axis])])
    matrix = RNG.standard_normal(shape, np.float32)
    matrix[shape[0] // 3, shape[1] // 3] = np.nan
    _agree(graph, [matrix], backend)


@pytest.mark.parametrize("kind", ["sum", "max", "min"])
def test_reductions_of_long_rows(
    kind: str, lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several vectors in each turn, some turns of one, and a last one that overlaps."""
    backend = of_width(monkeypatch, lanes)
    for width in (63, 64, 128, 200, 1023):
        _agree_reduced(kind, (3, width), 1, backend)


@pytest.mark.parametrize("kind", ["sum", "max"])
def test_reductions_of_long_columns(
    kind: str, lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors side by side, single ones, and a last one that overlaps."""
    backend = of_width(monkeypatch, lanes)
    for width in (1023, 1024, 1024 + 256 + 37):
        _agree_reduced(kind, (9, width), 0, backend)


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_squares_of_what_lies_the_other_way_round(
    dtype: str, lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole ones, rows and columns that are left, beside what lies as results do."""
    backend = of_width(monkeypatch, lanes)
    for rows, columns in ((19, 37), (50, 64), (16, 24)):
        b = Builder("turned")
        x = b.input("x", TensorType(as_dtype(dtype), (2, columns, rows)))
        y = b.input("y", TensorType(as_dtype(dtype), (2, rows, columns)))
        graph = b.finish([b.sub(b.transpose(x, (0, 2, 1)), y)])
        feeds = [
            RNG.integers(0, 1000, shape).astype(dtype)
            for shape in ((2, columns, rows), (2, rows, columns))
        ]
        _agree(graph, feeds, backend)


def test_long_chains(lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four vectors abreast, some turns of one, and a last one that overlaps."""
    backend = of_width(monkeypatch, lanes)
    for rows, width in ((3, 1024), (2, 1024 + 37)):
        b = Builder("chain")
        x = b.input("x", TensorType(as_dtype("float32"), (rows, width)))
        y = b.input("y", TensorType(as_dtype("float32"), (width,)))
        bent = b.mul(b.emit("tanh", x), y)
        graph = b.finish([b.where(b.lt(x, y), bent, b.neg(bent))])
        feeds = [RNG.standard_normal(s, np.float32) for s in ((rows, width), width)]
        feeds[0][1, 5:9] = np.nan, np.inf, -np.inf, -0.0
        _agree(graph, feeds, backend)


def test_angles_far_beyond_others(lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = of_width(monkeypatch, lanes)
    b = Builder("angles")
    x = b.input("x", TensorType(as_dtype("float32"), (4, 40)))
    graph = b.finish([b.sub(b.emit("sin", x), b.emit("cos", x))])
    angles = RNG.standard_normal((4, 40), np.float32) * 1000
    angles[1, 3], angles[2, 39] = 1e6, -3e20
    _agree(graph, [angles], backend)
