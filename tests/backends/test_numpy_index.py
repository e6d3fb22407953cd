"""Gathers, scatters, running sums and searches of the numpy backend."""

from typing import Any

import numpy as np
import pytest

import graphwright as gw
from graphwright.backends.numpy.kernels import index
from graphwright.ir.builder import Builder
from graphwright.ir.dtype import int64
from graphwright.ir.errors import IndexBoundsError
from graphwright.ir.ops.fused import Fused
from graphwright.ir.types import TensorType

RNG = np.random.default_rng(11)


def regions(function: Any) -> list[str]:
    """Kinds of the regions that a jitted function runs."""
    (entry,) = function._entries.values()
    ops = (step.node.op for step in entry.executable.plan_for().steps)
    return [op.kind for op in ops if isinstance(op, Fused)]


@pytest.mark.parametrize("dtype", ["float64", "float32", "int8", "bool"])
@pytest.mark.parametrize("axis", [0, 1])
def test_indices_count_from_the_end(dtype: str, axis: int) -> None:
    take = gw.jit(lambda x, i: np.take(x, i, axis=axis), backend="numpy")
    x = RNG.integers(0, 2, (7, 5)).astype(dtype)
    for i in (RNG.integers(-5, 5, (3, 4)), np.array([-5, 4]), np.array([], np.int64)):
        found = np.asarray(take(x, i))
        assert found.dtype == x.dtype
        np.testing.assert_array_equal(found, np.take(x, i, axis))


def test_a_vector_at_positions_that_it_holds_itself() -> None:
    take = gw.jit(lambda i: np.take(i, i), backend="numpy")
    for i in (np.array([3, 1, 2, 0, 4]), np.array([-1, 0])):
        np.testing.assert_array_equal(np.asarray(take(i)), np.take(i, i))


def test_negative_indices_are_the_kernels_matter() -> None:
    rows = gw.jit(lambda x, i: x[i], backend="numpy")
    x, i = RNG.standard_normal(90_000), RNG.integers(-90_000, 90_000, 100_000)
    np.testing.assert_array_equal(np.asarray(rows(x, i)), x[i])
    assert regions(rows) == ["gather"]


@pytest.mark.parametrize("bad", [7, -8, 2**40])
def test_an_index_out_of_range_is_named_with_its_line(bad: int) -> None:
    rows = gw.jit(lambda x, i: x[i] * 2, backend="numpy")
    rows(np.zeros(7), np.array([-7, 6]))
    with pytest.raises(IndexBoundsError, match=r"test_numpy_index.*axis of size 7"):
        rows(np.zeros(7), np.array([0, bad]))


@pytest.mark.parametrize("dtype", ["int64", "int32", "float64", "float32"])
def test_sums_at_positions(dtype: str) -> None:
    def count(places: Any, weights: Any) -> Any:
        out = np.zeros(9, dtype)
        np.add.at(out, places, weights)
        np.add.at(out, places, 3)
        return out

    places = RNG.integers(0, 9, 1000)
    weights = RNG.integers(-4, 5, 1000).astype(dtype)
    found = gw.jit(count, backend="numpy")(places, weights)
    np.testing.assert_array_equal(np.asarray(found), count(places, weights))


@pytest.mark.parametrize("bad", [9, -1, 2**40, 2**62])
@pytest.mark.parametrize("counts", [False, True])
def test_a_sum_out_of_range_is_refused(counts: bool, bad: int) -> None:
    places = np.array([3, bad, 3])
    updates = np.broadcast_to(np.int64(2), 3) if counts else np.array([1, 2, 3])
    out = np.arange(9)
    assert not index.add_at(out, places, updates)
    np.testing.assert_array_equal(out, np.arange(9))

    b = Builder("sums")
    x, i, u = (
        b.input(name, TensorType(int64, (size,)))
        for name, size in (("x", 9), ("i", 3), ("u", 1 if counts else 3))
    )
    added = b.emit("scatter", x, i, b.broadcast_to(u, (3,)), axis=0, mode="add")
    run = gw.compile(b.finish([added], ["y"]), backend="numpy")
    with pytest.raises(IndexBoundsError, match=rf"index {bad} .*axis of size 9"):
        run(out, places, updates[:1] if counts else updates)


@pytest.mark.parametrize("dtype", ["int32", "uint64", "int64"])
def test_counts_wrap_around_and_take_unsigned_places(dtype: str) -> None:
    most = np.iinfo(dtype).max
    out, places = np.array([most, 5], dtype), np.array([0, 0, 1], np.uint64)
    for number in (1, most):
        update = np.asarray(number, dtype)
        wanted = out.copy()
        np.add.at(wanted, places, update)
        assert index.add_at(out, places, np.broadcast_to(update, 3))
        np.testing.assert_array_equal(out, wanted)


@pytest.mark.parametrize("dtype", [np.int64, np.int8])
@pytest.mark.parametrize("size", [5, 200_000])
@pytest.mark.parametrize("function", [np.add, np.maximum])
def test_running_values(size: int, function: Any, dtype: Any) -> None:
    x, out = RNG.integers(-9, 9, size).astype(dtype), np.empty(size, dtype)
    index.accumulate(function, x, 0, out)
    np.testing.assert_array_equal(out, function.accumulate(x, dtype=dtype))


def test_running_sums_of_parts_are_no_less_exact() -> None:
    x = RNG.random(1 << 18, np.float32)
    out = np.empty_like(x)
    index.accumulate(np.add, x, 0, out)
    wanted = np.cumsum(x, dtype=np.float64)
    plain = np.abs(np.cumsum(x) - wanted).max()
    assert np.abs(out - wanted).max() <= plain


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("name", ["argmin", "argmax"])
def test_positions_of_extremes(name: str, axis: int) -> None:
    function = getattr(np, name)
    x = RNG.integers(0, 9, (400, 30, 10)).astype(float)
    x[3, 4, 5] = np.nan
    found = gw.jit(lambda a: function(a, axis=axis), backend="numpy")(x)
    np.testing.assert_array_equal(np.asarray(found), function(x, axis=axis))
