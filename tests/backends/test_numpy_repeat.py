"""Short rows run several at a time, with what they have in common repeated."""

from typing import Any

import numpy as np
import pytest

import graphwright as gw
from graphwright.backends.numpy.kernels import program as programs
from graphwright.backends.numpy.kernels.program import (
    Instruction,
    Operand,
    Program,
    Result,
    Source,
)
from graphwright.backends.numpy.kernels.repeat import Repeat, repeat_of

F8 = np.dtype("f8")
RNG = np.random.default_rng(5)


def rows_of(x: Any, count: int) -> Any:
    return np.broadcast_to(x, (count, x.size))


def bound(x: Any, row: Any, outs: list[Any], results: list[Result]) -> Any:
    """A program that subtracts a row from all rows and squares, bound to arrays."""
    apart = Instruction(np.subtract, (Operand(0, F8), Operand(1, F8)), F8)
    square = Instruction(np.multiply, (Operand(-1, F8), Operand(-1, F8)), F8)
    made = Program(x.shape, [Source(0), Source(1)], [apart, square], results)
    buffer = np.empty(made.scratch_bytes, np.uint8)
    return programs._Bound(made, buffer, [*outs, x, row])


@pytest.mark.parametrize("block", [1 << 13, 1 << 14, 1 << 18])
@pytest.mark.parametrize(
    ("count", "size"), [(1365, 32), (1000, 3), (1021, 17), (4, 200), (64, 255)]
)
def test_rows_run_together(
    count: int, size: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_BLOCK_BYTES", block)
    x, row = RNG.standard_normal((count, size)), RNG.standard_normal(size)
    square, below, beside = np.empty_like(x), np.empty(size), np.empty(count)
    value = Operand(-2, F8)
    results = [
        Result(value),
        Result(value, reduce=np.add, axes=(0,)),
        Result(value, reduce=np.maximum, axes=(1,)),
    ]
    found = bound(x, row, [square, below, beside], results)
    assert found.repeat is not None
    assert all(b.size <= found.program.room for b in found.blocks)
    for _ in range(2):  # the row is read anew in each run
        found.call()()
        want = (x - row) ** 2
        np.testing.assert_array_equal(square, want)
        np.testing.assert_allclose(below, want.sum(axis=0), rtol=1e-13)
        np.testing.assert_array_equal(beside, want.max(axis=1))
        row += 1


def test_blocks_hold_whole_long_rows_but_for_the_last() -> None:
    found = Repeat(4, []).blocks((30, 5), 45)
    rows = [b.box[0].stop - b.box[0].start for b in found]
    assert rows == [4, 8, 8, 8, 2]
    assert (found[0].start, found[-1].stop) == (0, 150)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (np.ones((300, 1)), "a column"),
        (np.ones((8, 300)).T, "not dense"),
        (np.ones((300, 16))[:, ::2], "with gaps"),
    ],
)
def test_others_keep_their_rows(source: Any, reason: str) -> None:
    shape = (300, 8)
    views = [np.broadcast_to(source, shape), rows_of(np.ones(8), 300)]
    assert repeat_of(shape, views, [], 4096) is None, reason
    assert repeat_of(shape, views[1:], [np.ones((300, 9))[:, :8]], 4096) is None


def test_long_rows_and_few_rows_run_by_themselves() -> None:
    for shape in ((300, 300), (3, 8)):
        views = [np.ones(shape), rows_of(np.ones(shape[1]), shape[0])]
        assert repeat_of(shape, views, [], 1 << 15) is None


def test_a_number_that_is_an_array_stays_one() -> None:
    views = [np.broadcast_to(np.float64(2), (300, 8)), rows_of(np.arange(8.0), 300)]
    found = repeat_of((300, 8), views, [], 1 << 15)
    assert found is not None
    shape = found.shape(found.times * 2, 8)
    assert shape == (2, found.times * 8)
    for before in found.before:
        before()
    for i, x in enumerate(views):
        got = found.view(i, x[: found.times * 2], shape)
        np.testing.assert_array_equal(got.reshape(-1, 8), x[: found.times * 2])


def standardised(x: Any) -> Any:
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    return z, np.abs(z).max(axis=1)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(1365, 32), (997, 7), (50, 2)])
def test_columns_are_standardised(dtype: Any, shape: tuple[int, int]) -> None:
    x = RNG.standard_normal(shape).astype(dtype)
    f = gw.jit(standardised, backend="numpy")
    tolerance = 1e-12 if dtype == "float64" else 3e-5
    for _ in range(3):
        for got, want in zip(f(x), standardised(x), strict=True):
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
        x += 1
