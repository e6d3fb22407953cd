"""OpenCL: long reductions, running ones, and scattered updates."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

import graphwright as gw
import graphwright.numpy as gnp
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.ir.errors import IndexBoundsError
from graphwright.ir.graph import Graph

MISSING = OpenCLBackend().unavailable()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

RNG = np.random.default_rng(3)
LONG = 300_000
"""Elements that several work-items share."""


def pairs(graph: Graph, *arrays: Any) -> Iterator[tuple[Any, Any]]:
    """What the device and numpy compute, the former without fallback."""
    found = gw.compile(graph, backend="opencl", strict=True)(*arrays)
    want = gw.compile(graph, backend="numpy")(*arrays)
    rows = zip(found, want, strict=True) if len(graph.outputs) > 1 else [(found, want)]
    yield from ((np.asarray(x), np.asarray(y)) for x, y in rows)


def traced(function: Callable[..., Any], *arrays: Any) -> Graph:
    return gw.trace(function, *[gw.spec(str(x.dtype), x.shape) for x in arrays])


def near(found: Any, want: Any, tolerance: float) -> None:
    assert found.dtype == want.dtype
    wide = want.astype(np.float64)
    scale = float(np.abs(wide[np.isfinite(wide)]).max(initial=0))
    np.testing.assert_allclose(
        found.astype(np.float64), wide, rtol=tolerance, atol=tolerance * scale
    )


TOLERANCE = {"float16": 3e-3, "float32": 1e-4, "float64": 1e-11}
"""What orders of sums may differ by; else results are exact."""


def input_of(b: gw.Builder, x: Any, name: str = "x") -> Any:
    return b.input(name, traced(lambda v: v, x).inputs[0].type)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32"])
@pytest.mark.parametrize("shape", [(LONG,), (3, LONG // 3), (LONG // 8, 8)])
def test_long_reductions(dtype: str, shape: tuple[int, ...]) -> None:
    x = RNG.standard_normal(shape)
    rare = np.where(np.abs(x) > 3.5, 1 + x / 8, 1)  # hardly any product is rounded
    x, rare = (x / 9 if dtype == "float16" else x * 9).astype(dtype), rare.astype(dtype)
    b = gw.Builder("long")
    v, w = input_of(b, x), input_of(b, rare, "rare")
    axes = range(len(shape))
    ends = [b.reduce(kind, v, [a]) for kind in ("sum", "max", "min") for a in axes]
    ends += [b.reduce(kind, v, axes) for kind in ("sum", "max", "min")]
    for found, want in pairs(b.finish([*ends, b.reduce("prod", w, axes)]), x, rare):
        near(found, want, TOLERANCE.get(dtype, 0.0))


def test_long_reductions_are_shared_and_one_result_is_not_computed_alone() -> None:
    x = RNG.standard_normal(LONG)
    graph = traced(lambda x: gnp.sum(x * x) + 1.0, x)
    exe = gw.compile(graph, backend="opencl", strict=True)
    assert len(exe.profile((x,))) == 2
    first = np.asarray(exe(x))
    assert all(np.array_equal(np.asarray(exe(x)), first) for _ in range(20))


def test_reductions_of_reductions_are_shared() -> None:
    x = RNG.standard_normal((2, LONG // 2)).astype(np.float32)

    def function(x: Any) -> Any:
        e = gnp.exp(x - gnp.max(x))
        return gnp.sum(e) + gnp.argmax(x[1]) + gnp.any(x > 3)

    graph = traced(function, x)
    for row in (x, np.where(x > 4, np.nan, x).astype(np.float32)):
        for found, want in pairs(graph, row):
            near(found, want, 1e-4)


RUNNING = [(LONG,), (2, LONG // 2), (LONG // 8, 9), (40, 33), (17, 18, 19), (70, 3)]


def running(x: Any, kind: str) -> Graph:
    """All running reductions of a kind, with an addition behind."""
    b = gw.Builder("running")
    v = input_of(b, x)
    ways = product(range(x.ndim), (False, True), (False, True))
    ends = [b.cumulative(kind, v, a, exclusive=e, reverse=r) for a, e, r in ways]
    return b.finish([b.add(end, v) for end in ends])


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("shape", RUNNING)
def test_running_sums_of_long_axes(dtype: str, shape: tuple[int, ...]) -> None:
    x = (RNG.standard_normal(shape) * 9).astype(dtype)
    for found, want in pairs(running(x, "sum"), x):
        near(found, want, TOLERANCE.get(dtype, 0.0))


@pytest.mark.parametrize("kind", ["prod", "max", "min"])
def test_other_running_reductions(kind: str) -> None:
    x = 1 + RNG.standard_normal((LONG // 9, 9)) * 1e-4
    for found, want in pairs(running(x, kind), x):
        near(found, want, 1e-11)


def test_running_extremes_keep_nan() -> None:
    x = RNG.standard_normal(LONG)
    x[LONG // 3] = np.nan
    for found, want in pairs(running(x, "max"), x):
        near(found, want, 0.0)


# x, indices, axis, batch: several copies, ranges of places, columns, rows apart
SCATTERED: list[tuple[tuple[int, ...], tuple[int, ...], int, int]] = [
    ((64,), (100_000,), 0, 0),
    ((100_000,), (5_000,), 0, 0),
    ((50, 33), (4_000,), 0, 0),
    ((3, 40), (500,), 1, 0),
    ((4, 7, 9), (4, 20, 3), 1, 1),
    ((20, 5), (9,), 0, 0),
]


MODES = ("set", "add", "mul", "min", "max")


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("case", SCATTERED)
def test_scattered_updates(
    dtype: str, case: tuple[tuple[int, ...], tuple[int, ...], int, int]
) -> None:
    shape, places, axis, batch = case
    x = (RNG.standard_normal(shape) * 3).astype(dtype)
    updates = RNG.standard_normal((*shape[:axis], *places[batch:], *shape[axis + 1 :]))
    factors = (1 + updates * 1e-3).astype(dtype)
    updates = (updates * 3).astype(dtype)
    at = RNG.integers(0, shape[axis], places)
    arrays = x, at, updates, factors
    b = gw.Builder("scatter")
    into, where, new, by = (input_of(b, a, f"x{i}") for i, a in enumerate(arrays))
    news = [by if mode == "mul" else new for mode in MODES]
    ends = [
        b.scatter(into, where, v, axis, mode, batch_dims=batch)
        for v, mode in zip(news, MODES, strict=True)
    ]
    graph = b.finish(ends)
    for mode, (found, want) in zip(MODES, pairs(graph, *arrays), strict=True):
        rounds = mode in ("add", "mul")
        near(found, want, TOLERANCE.get(dtype, 0.0) if rounds else 0.0)
    exe = gw.compile(graph, backend="opencl", strict=True)
    first, again = exe(*arrays), exe(*arrays)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    at.reshape(-1)[-1] = shape[axis]
    with pytest.raises(IndexBoundsError):
        exe(*arrays)


def test_counts_are_exact() -> None:
    x = RNG.integers(0, 50, 200_000)

    def count(x: Any) -> Any:
        return np.bincount(x, minlength=50)

    found = np.asarray(gw.jit(count, backend="opencl")(x))
    np.testing.assert_array_equal(found, np.bincount(x, minlength=50))
