"""Small tensors: functions run at once, by recipes that hold for all values."""

from typing import Any, ClassVar

import numpy as np
import pytest

import graphwright as gw
from graphwright.frontends.tracing import lazy, small, storage


def waiting(t: Any) -> bool:
    """Whether a tensor's value is still to be found."""
    return t._cell.value.call is not None


def big() -> Any:
    return gw.asarray(np.ones(storage.SMALL // 8 + 1))


def test_small_tensors_do_not_wait() -> None:
    x = gw.asarray([1.0, 2.0])
    assert not waiting(x + x)
    assert not waiting(np.exp(x) * 2)
    assert waiting(big() + 1)


def test_the_second_call_runs_what_the_first_one_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def first(x: Any) -> Any:
        return np.hypot(x, 3.0)

    assert first(gw.asarray([4.0, 0.0])).tolist() == [5.0, 3.0]
    monkeypatch.setattr(lazy.LazyEmitter, "emit_all", None)
    assert first(gw.asarray([0.0, 4.0])).tolist() == [3.0, 5.0]


def test_numbers_are_told_apart_by_their_bits_and_types() -> None:
    x = gw.asarray([0.0, 1.0], dtype="float32")
    assert np.signbit(np.asarray(x * 0.0)).tolist() == [False, False]
    assert np.signbit(np.asarray(x * -0.0)).tolist() == [True, True]
    i = gw.asarray([1, 2], dtype="int8")
    assert [(i * n).dtype.name for n in (1, 1.0, True)] == ["int8", "float64", "int8"]
    assert np.isnan(np.asarray(x + float("nan"))).all()


def test_results_are_read_only_and_no_view_of_operands() -> None:
    x = gw.asarray([1.0, 2.0])
    y = x + 0
    y[0] = 7.0
    assert x.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(x * 2)[0] = 1


def test_a_write_is_seen_by_the_next_call() -> None:
    x = gw.asarray([1.0, 2.0, 3.0])
    tail = x[1:]
    assert (tail + 1).tolist() == [3.0, 4.0]
    x[1] = 10.0
    assert (tail + 1).tolist() == [11.0, 4.0]
    x += x
    assert (tail + 1).tolist() == [21.0, 7.0]


def test_what_looks_at_values_has_no_recipe() -> None:
    for values in ([3.0, 1.0, 2.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]):
        x = gw.asarray(values)
        assert np.unique(x).tolist() == np.unique(values).tolist()
        assert np.argwhere(x).tolist() == np.argwhere(values).tolist()
        repeats = np.array(values, np.int64)
        found = np.repeat(x, gw.asarray(repeats))
        assert found.tolist() == np.repeat(values, repeats).tolist()


def test_only_small_arrays_of_numpys_backend_run_at_once() -> None:
    class Other(gw.TableBackend):
        """Doubles what it adds, to be told apart."""

        name = "doubling"
        table: ClassVar[Any] = {"add": lambda op, x, y: 2 * (x + y)}

    x = gw.asarray([1.0, 2.0])
    assert (x + x).tolist() == [2.0, 4.0]
    with gw.default_backend(Other()):
        assert (gw.asarray([1.0, 2.0]) + 1).tolist() == [4.0, 6.0]


def test_recipes_of_a_function_are_not_kept_without_end() -> None:
    x = gw.asarray([1.0])
    for i in range(2 * small.MAX_RECIPES + 2):
        assert float((x + float(i))[0]) == 1.0 + i


def test_errors_name_the_line_each_time() -> None:
    x, y = gw.asarray([1.0, 2.0]), gw.asarray([1.0, 2.0, 3.0])
    for _ in range(3):
        with pytest.raises(gw.ShapeError, match=r"test_small\.py:\d+"):
            x + y


# Parts --------------------------------------------------------------------------------

INDICES: list[Any] = [
    2,
    -1,
    slice(1, None),
    slice(None, None, -2),
    (slice(1, -1), slice(1, -1)),
    (1, slice(None, 3)),
    (1, 2),
    (1, 2, ...),
    ...,
    (None, 1),
    (..., 0),
]


@pytest.mark.parametrize("index", INDICES)
def test_parts_are_read_and_written_as_numpys(index: Any) -> None:
    mine, theirs = gw.asarray(np.arange(20.0).reshape(4, 5)), np.empty((4, 5))
    theirs[...] = mine
    for turn in range(3):  # the first looks, the others know
        part, want = mine[index], theirs[index]
        np.testing.assert_array_equal(part, want)
        mine[index] = part * 2 + turn
        theirs[index] = want * 2 + turn
        np.testing.assert_array_equal(mine, theirs)
        mine[index] += 1
        theirs[index] += 1
        np.testing.assert_array_equal(mine, theirs)
        if want.ndim:  # a view sees what is written, and writes
            np.testing.assert_array_equal(part, theirs[index])
            part -= 0.5
            want -= 0.5
        np.testing.assert_array_equal(mine, theirs)


def test_parts_of_parts_write_to_the_storage() -> None:
    def program(x: Any) -> Any:
        for _ in range(3):
            turned = x.T[1:]
            turned[0] = turned[1, ::-1]
            x.reshape(2, 10)[1, 3:5] *= 2
            x[1:][0][2:][1] = 7
        return x

    want = program(np.arange(20.0).reshape(4, 5))
    np.testing.assert_array_equal(
        program(gw.asarray(np.arange(20.0).reshape(4, 5))), want
    )


def test_bad_parts_are_refused_each_time() -> None:
    x = gw.asarray(np.zeros((2, 3), np.uint8))
    for _ in range(3):
        with pytest.raises(IndexError):
            x[2]
        with pytest.raises((ValueError, gw.ShapeError)):
            x[0] = np.ones(2, np.uint8)
        with pytest.raises(OverflowError):
            x[0, 0] = 300
        with pytest.raises(ValueError, match="read-only"):
            np.broadcast_to(x[0], (2, 3))[0] = 1
    assert not np.asarray(x).any()
    x[0] = 2.7
    assert np.asarray(x).tolist() == [[2, 2, 2], [0, 0, 0]]


def test_numbers_are_repeated_by_numpy_itself() -> None:
    x = gw.asarray(np.arange(6.0).reshape(2, 3))
    for _ in range(3):
        found = x * 2.0 + x[0] - x[:, :1]
        want = np.asarray(x) * 2.0 + np.asarray(x)[0] - np.asarray(x)[:, :1]
        np.testing.assert_array_equal(found, want)
        outer = x[:, :1] + x[:1]
        np.testing.assert_array_equal(outer, np.asarray(x)[:, :1] + np.asarray(x)[:1])
