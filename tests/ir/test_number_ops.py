"""Functions of numbers and factorisations: meaning, parts and gradients agree."""

from typing import Any

import numpy as np
import pytest

from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DTYPES, dtype
from graphwright.ir.errors import ShapeError
from graphwright.ir.evaluate import evaluate
from graphwright.ir.ops.factor import MatrixError
from graphwright.ir.types import TensorType
from graphwright.passes.decompose import decompose_unsupported
from graphwright.passes.gradients import gradient

RNG = np.random.default_rng(0)
WIDE = np.concatenate([np.linspace(-12, 12, 49), [1e-9, -1e-9, 1e9, -1e9, 300, -300]])
UNIT = np.concatenate([np.linspace(-0.99, 0.99, 50), [1e-12]])
ABOVE = np.concatenate([np.linspace(1.001, 20, 50), [1e12]])
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0])

DOMAINS = {
    "tan": WIDE,
    "asin": UNIT,
    "acos": UNIT,
    "atan": WIDE,
    "sinh": WIDE,
    "cosh": WIDE,
    "asinh": WIDE,
    "acosh": ABOVE,
    "atanh": UNIT,
    "log2": ABOVE,
    "log10": ABOVE,
    "cbrt": WIDE,
}
PAIRS = ("hypot", "copysign", "nextafter")


def graph_of(name: str, *arrays: Any, **fields: Any) -> Any:
    """A graph of one op on inputs like these arrays, all its results as outputs."""
    b = Builder()
    inputs = [
        b.input(f"x{i}", TensorType(dtype(x.dtype), x.shape))
        for i, x in enumerate(arrays)
    ]
    return b.finish(b.emit_all(name, *inputs, **fields))


def both(name: str, *arrays: Any, **fields: Any) -> tuple[Any, Any]:
    """The op's result by ``compute`` and by its decomposition."""
    graph = graph_of(name, *arrays, **fields)
    simple = decompose_unsupported(graph, lambda op, types: False)
    assert name not in {node.op.name for node in simple.nodes}
    return evaluate(graph, arrays)[0], evaluate(simple, arrays)[0]


@pytest.mark.parametrize("name", DOMAINS)
@pytest.mark.parametrize("kind", ["float64", "float32", "float16"])
def test_functions_decompose(name: str, kind: str) -> None:
    x = (
        DOMAINS[name][np.abs(DOMAINS[name]) < 6e4]
        if kind == "float16"
        else DOMAINS[name]
    )
    x = x.astype(kind)
    with np.errstate(all="ignore"):
        whole, parts = both(name, x)
    close = {"float64": 1e-12, "float32": 1e-5, "float16": 2e-3}[kind]
    np.testing.assert_allclose(parts, whole, rtol=close, atol=close * 1e-3)


@pytest.mark.parametrize("name", DOMAINS)
def test_functions_of_special_values(name: str) -> None:
    whole, parts = both(name, SPECIAL)
    np.testing.assert_allclose(parts, whole, rtol=1e-12)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("kind", ["float64", "float32", "float16"])
def test_pairs_decompose(name: str, kind: str) -> None:
    line = np.concatenate([SPECIAL, [2.5, -1e-4, 6e4]]).astype(kind)
    x, y = (v.ravel() for v in np.meshgrid(line, line))
    whole, parts = both(name, x, y)
    np.testing.assert_allclose(parts, whole, rtol=2e-3 if kind == "float16" else 1e-6)
    np.testing.assert_array_equal(np.isnan(parts), np.isnan(whole))


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("n", [0, 1, 6, 33])
def test_search_decomposes(n: int, right: bool) -> None:
    line = np.sort(RNG.integers(0, 9, n).astype(np.float64))
    if n > 6:
        line[-2:] = np.nan
    values = np.array([-1, 0, 3, 3.5, 8, 100, np.nan, np.inf])
    whole, parts = both("search_sorted", line, values, right=right)
    np.testing.assert_array_equal(whole, parts)


def slope_error(name: str, result: int, *arrays: Any, **fields: Any) -> float:
    """The largest error of the first operand's gradient against differences."""
    b = Builder()
    inputs = [
        b.input(f"x{i}", TensorType(DTYPES["float64"], x.shape))
        for i, x in enumerate(arrays)
    ]
    y = b.emit_all(name, *inputs, **fields)[result]
    shape: Any = y.shape
    spread = np.cos(np.arange(np.prod(shape))).reshape(shape)
    weights = b.constant_of(Constant.of(spread))
    graph = b.finish([b.sum(b.mul(y, weights), range(y.rank))])
    got = evaluate(gradient(graph, wrt=["x0"]), arrays)[-1]
    x, worst = arrays[0], 0.0
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = 1e-6
        (up,) = evaluate(graph, [x + step, *arrays[1:]])
        (down,) = evaluate(graph, [x - step, *arrays[1:]])
        worst = max(worst, abs((up - down) / 2e-6 - got[index]))
    return float(worst)


@pytest.mark.parametrize("name", DOMAINS)
def test_slopes(name: str) -> None:
    x = np.array([1.3, 2.1]) if DOMAINS[name] is ABOVE else np.array([0.3, -0.7])
    assert slope_error(name, 0, x) < 1e-6


def test_slopes_of_factors() -> None:
    a = RNG.standard_normal((3, 3))
    spd = a @ a.T + 3 * np.eye(3)
    y = RNG.standard_normal((3, 2))
    assert slope_error("solve", 0, a + 3 * np.eye(3), y) < 1e-6
    assert slope_error("slogdet", 1, spd) < 1e-6
    assert slope_error("singular_values", 0, RNG.standard_normal((3, 2))) < 1e-5
    assert slope_error("hypot", 0, np.array([1.0, -2.0]), np.array([0.5, 3.0])) < 1e-6


def test_factors_multiply_to_the_matrix() -> None:
    a = RNG.standard_normal((2, 4, 3))
    q, r = evaluate(graph_of("qr", a), [a])
    np.testing.assert_allclose(q @ r, a)
    u, s, vh = evaluate(graph_of("svd", a, full=True), [a])
    assert (u.shape, vh.shape) == ((2, 4, 4), (2, 3, 3))
    np.testing.assert_allclose((u[..., :3] * s[:, None]) @ vh, a)
    square = a[:, :3]
    values, vectors = evaluate(graph_of("eig", square), [square])
    np.testing.assert_allclose(square @ vectors, vectors * values[:, None], atol=1e-12)


def test_matrices_without_a_factor() -> None:
    bad = -np.eye(2)
    with pytest.raises(MatrixError):
        evaluate(graph_of("cholesky", bad), [bad])
    with pytest.raises(ShapeError):
        graph_of("cholesky", np.ones((2, 3)))
