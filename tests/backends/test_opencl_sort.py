"""Sorts on OpenCL: stable, NaN last, for all that kernels store."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

import graphwright as gw
from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.loops import Written
from graphwright.backends.codegen.lower import lowered
from graphwright.backends.compile import arrange
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.ir.builder import Builder
from graphwright.ir.dtype import dtype as as_dtype
from graphwright.ir.ops.fused import Fused
from graphwright.ir.types import TensorType

MISSING = OpenCLBackend().unavailable()
device = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

DTYPES = [
    *("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
    *("float16", "bfloat16", "float32", "float64"),
]


def _graph(x: NDArray[Any], axis: int, descending: bool) -> gw.Graph:
    b = Builder("sort")
    v = b.input("x", TensorType(as_dtype(x.dtype), x.shape))
    return b.finish(list(b.sort(v, axis, descending=descending)))


def _agree(x: NDArray[Any], axis: int, descending: bool) -> None:
    graph = _graph(x, axis, descending)
    values, order = gw.compile(graph, backend="opencl", strict=True).run(None, {"x": x})
    plain = gw.compile(graph, backend="numpy", optimize=False)
    want, wanted = plain.run(None, {"x": x})
    assert np.array_equal(order, wanted)
    assert values.dtype == want.dtype
    wide = np.float64 if values.dtype.kind == "V" else values.dtype
    assert np.array_equal(
        values.astype(wide), want.astype(wide), equal_nan=wide != np.bool_
    )


def _numbers(n: int, dtype: str) -> NDArray[Any]:
    """Many that are equal; zeros of both signs, infinities and NaN of floats."""
    rng = np.random.default_rng(n)
    kind: Any = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    if dtype.startswith(("int", "uint")):
        low, high = np.iinfo(kind).min, np.iinfo(kind).max
        found = rng.integers(low, high, n, kind, endpoint=True)
        found[: n // 2] = rng.integers(0, 5, n // 2)
        return rng.permutation(found)
    found = rng.standard_normal(n) * 50
    for start, odd in enumerate([np.nan, -0.0, 0.0, np.inf, -np.inf, -1.0]):
        found[start::11] = odd
    return (found > 0 if dtype == "bool" else found).astype(kind)


@device
@pytest.mark.parametrize("dtype", DTYPES)
def test_all_dtypes_are_sorted_as_by_the_reference(dtype: str) -> None:
    for n in (30, 1000):
        _agree(_numbers(n, dtype), 0, descending=False)


@device
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float64"])
def test_descending_sorts_are_stable_too(dtype: str) -> None:
    for n in (30, 1000):
        _agree(_numbers(n, dtype), 0, descending=True)


SHORT = ["bool", "int8", "uint32", "int64", "bfloat16", "float32", "float64"]


@device
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dtype", SHORT)
def test_short_rows_of_values_or_places_alone(dtype: str, descending: bool) -> None:
    """Some rows have what only places settle, others do not; all bits are kept."""
    for number, rows, n in ((0, 17, 33), (1, 9, 2), (0, 3, 256), (1, 1, 255)):
        x = np.stack([_numbers(n, dtype), *[_few(n, dtype)] * (rows - 1)])
        b = Builder("short")
        v = b.input("x", TensorType(as_dtype(x.dtype), x.shape))
        graph = b.finish([b.sort(v, 1, descending=descending)[number]])
        (found,) = gw.compile(graph, backend="opencl", strict=True).run(None, {"x": x})
        (want,) = gw.compile(graph, backend="numpy", optimize=False).run(None, {"x": x})
        assert found.tobytes() == want.tobytes()


def _few(n: int, dtype: str) -> NDArray[Any]:
    """Numbers that have one form each."""
    kind: Any = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    return (np.arange(n) * 7 % 5 + 1).astype(kind)


@device
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [32, 33, 129, 8191, 8192, 20_001])
def test_long_rows_are_sorted_in_blocks_and_merged(n: int, dtype: str) -> None:
    _agree(_numbers(n, dtype), 0, descending=n == 8192)


@device
@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        *(((3, 100, 5), 1), ((40, 30), 0), ((40, 30), 1), ((2, 9000), 1)),
        *(((0, 5), 0), ((5, 0), 1), ((0, 5), 1), ((1, 1, 1), 2)),
    ],
)
def test_any_axis_is_sorted(shape: tuple[int, ...], axis: int) -> None:
    count = int(np.prod(shape))
    _agree(_numbers(count, "float32").reshape(shape), axis, descending=axis == 0)


@device
def test_what_lies_around_a_sort_is_computed_with_it() -> None:
    def run(x: Any) -> Any:
        y = gw.numpy.sort(x * 2 + 1, axis=0)
        return gw.numpy.cumulative_sum(y, axis=0)[::-1].T

    graph = gw.trace(run, gw.spec("float64", (50, 7)))
    x = np.random.default_rng(0).standard_normal((50, 7))
    found = np.asarray(gw.compile(graph, backend="opencl", strict=True)(x))
    want = np.cumsum(np.sort(x * 2 + 1, axis=0), axis=0)[::-1].T
    assert np.allclose(found, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("n", "cores", "kernels"), [(8191, 2, 3), (8192, 2, 4), (1 << 20, 8, 6)]
)
def test_blocks_are_for_cores_that_would_have_no_row(
    n: int, cores: int, kernels: int
) -> None:
    graph = _graph(np.zeros(n, np.float32), 0, False)
    found, _ = arrange(graph, [OpenCLBackend()])
    (body,) = [node.op.body for node in found.nodes if isinstance(node.op, Fused)]
    assert len(lowered(body, Cpu(cores)).steps) == kernels
    many = _graph(np.zeros((cores, n), np.float32), 1, False)
    found, _ = arrange(many, [OpenCLBackend()])
    (body,) = [node.op.body for node in found.nodes if isinstance(node.op, Fused)]
    assert len(lowered(body, Cpu(cores)).steps) == 3


FIRST = [((3, 100, 5), 1, 7), ((40, 300), 0, 1), ((2, 9000), 1, 128), ((9000,), 0, 3)]


@device
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    "dtype",
    ["float32", *(pytest.param(n, marks=pytest.mark.full) for n in ("bool", "int64"))],
)
def test_few_of_the_first_are_picked_out(dtype: str, descending: bool) -> None:
    """As a sort has them, with what is equal in order, of blocks of a row, too."""
    for (shape, axis, k), reads in zip(
        FIRST, ((0, 1), (0,), (1,), (0, 1)), strict=True
    ):
        x = _numbers(int(np.prod(shape)), dtype).reshape(shape)
        b = Builder("first")
        v = b.input("x", TensorType(as_dtype(x.dtype), x.shape))
        found = b.sort(v, axis, descending=descending)
        graph = b.finish([b.slice_axis(found[i], axis, 0, k) for i in reads])
        own = gw.compile(graph, backend="opencl", strict=True).run(None, {"x": x})
        plain = gw.compile(graph, backend="numpy", optimize=False).run(None, {"x": x})
        for got, want in zip(own, plain, strict=True):
            assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize(("k", "whole"), [(8, False), (90, False), (8, True)])
def test_what_else_is_read_of_a_sort_is_all_sorted(k: int, whole: bool) -> None:
    b = Builder("first")
    v = b.input("x", TensorType(as_dtype("float32"), (1000,)))
    values, order = b.sort(v, 0)
    rest = [values] if whole else []
    graph = b.finish(
        [b.slice_axis(order, 0, 0, k), b.slice_axis(values, 0, 0, 8), *rest]
    )
    found, _ = arrange(graph, [OpenCLBackend()])
    (body,) = [node.op.body for node in found.nodes if isinstance(node.op, Fused)]
    kernels = [step.kernel for step in lowered(body, Cpu(2)).steps]
    names = [kernel.name for kernel in kernels if isinstance(kernel, Written)]
    picked = any(name.startswith("select") for name in names)
    assert picked == (k == 8 and not whole)
