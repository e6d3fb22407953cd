"""Small tensors: functions run at once, by recipes that hold for all values."""

from typing import Any, ClassVar

import numpy as np
import pytest

import graphwright as gw
from graphwright.frontends.tracing import lazy, small


def waiting(t: Any) -> bool:
    """Whether a tensor's value is still to be found."""
    return t._cell.value.call is not None


def big() -> Any:
    return gw.asarray(np.ones(small.SMALL // 8 + 1))


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
