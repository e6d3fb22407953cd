"""Tensors: lazy values, storage that views share, and what reads them."""

import copy
import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import graphwright as gw
from graphwright.backends.numpy.backend import NumpyBackend
from graphwright.frontends.tracing import lazy
from graphwright.ir.verify import verify


def tensor(*shape: int) -> Any:
    n = int(np.prod(shape))
    return gw.asarray(np.arange(float(n)).reshape(shape))


def test_a_structure_runs_op_by_op_then_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Any] = []
    compiled = lazy._compiled

    def counted(*args: Any) -> Any:
        made.append(args)
        return compiled(*args)

    monkeypatch.setattr(lazy, "_compiled", counted)
    for i in range(4):
        x = gw.asarray(np.full(5000, float(i)))
        assert float(((x * 3 - 1) * x)[5]) == (i * 3 - 1) * i
    assert len(made) == 1


def test_what_is_held_is_computed_once() -> None:
    x = tensor(4)
    y = x + 1
    z = y * 2
    np.asarray(z)
    assert y._cell.value.call is None
    assert y.tolist() == [1, 2, 3, 4]


def test_long_chains_are_cut() -> None:
    x = tensor(2)
    for _ in range(9000):
        x = x + 1
    assert x.tolist() == [9000, 9001]


def test_asarray_copies() -> None:
    source = np.zeros(3)
    x = gw.asarray(source)
    y = x + 1
    source[:] = 7
    assert y.tolist() == [1, 1, 1]
    assert x.tolist() == [0, 0, 0]


def test_numpy_operands_are_copied_when_they_are_met() -> None:
    other = np.ones(3)
    y = tensor(3) + other
    other[:] = 50
    assert y.tolist() == [1, 2, 3]


def test_views_share_storage() -> None:
    x = tensor(3, 4)
    row, turned, flat = x[1], x.T, x.reshape(-1)
    row[:2] = -1
    turned[3, 0] = -5
    flat[::5] += 100
    expected = np.arange(12.0).reshape(3, 4)
    expected[1, :2], expected[0, 3] = -1, -5
    expected.reshape(-1)[::5] += 100
    np.testing.assert_array_equal(x, expected)
    np.testing.assert_array_equal(row, expected[1])


def test_a_reshape_that_cannot_be_a_view_is_a_copy() -> None:
    x = tensor(3, 4)
    y = x.T.reshape(-1)
    y[0] = 99
    assert x[0, 0].item() == 0


def test_broadcast_views_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        np.broadcast_to(tensor(3), (2, 3))[0] = 1


def test_scalars_are_replaced_and_arrays_written() -> None:
    x = tensor(3)
    total = x.sum()
    before = total
    total += 1
    assert (before.item(), total.item()) == (3, 4)
    item = x[1]
    item += 5
    assert x.tolist() == [0, 1, 2]


def test_out_writes_through_views() -> None:
    x = tensor(4)
    found = np.add(x[:2], 10, out=x[2:])
    assert x.tolist() == [0, 1, 10, 11]
    assert found.tolist() == [10, 11]
    target: Any = gw.asarray(np.zeros(4, np.int64))
    with pytest.raises(gw.DTypeError, match="same_kind"):
        np.add(x, 1, out=target)


@pytest.mark.parametrize(
    "index",
    [
        np.s_[..., [2, 0]],
        np.s_[[0, 2], :, [1, 0]],
        np.s_[:, [[0], [1]], [1, 0]],
        np.s_[1, :, [0, 1, 2]],
        np.s_[None, [1], ..., None],
        np.s_[np.array([[True, False], [False, True], [True, True]])],
        np.s_[:, np.array([True, False])],
        np.s_[np.array([True, False, True]), 0],
        np.s_[True],
        np.s_[False, 1],
        np.s_[::-2, -1, ::2],
        np.s_[[], 1],
    ],
    ids=str,
)
def test_reading_and_writing_at_an_index(index: Any) -> None:
    source = np.arange(24.0).reshape(3, 2, 4)
    x = gw.asarray(source)
    np.testing.assert_array_equal(x[index], source[index])
    x[index] = source[index] + 100
    source[index] += 100
    np.testing.assert_array_equal(x, source)


@pytest.mark.parametrize("index", [5, -4, (0, 9), [3], (0, 0, 0, 0)])
def test_an_index_outside_is_an_error(index: Any) -> None:
    with pytest.raises(IndexError):
        np.asarray(tensor(3, 2, 4)[index])


def test_dynamic_indices_outside_are_found() -> None:
    x, i = tensor(3, 4), gw.asarray(np.array([1, 2])) + 1
    with pytest.raises(IndexError):
        np.asarray(x[i, i])


def test_integers_that_do_not_fit() -> None:
    x = gw.asarray(np.array([1, 2], np.uint8))
    with pytest.raises(OverflowError):
        x + 300
    assert (x < 300).tolist() == [True, True]
    assert (x == -1).tolist() == [False, False]


def test_values_survive_copies() -> None:
    x = tensor(2, 3)
    for other in (copy.deepcopy(x), copy.copy(x), pickle.loads(pickle.dumps(x))):
        np.testing.assert_array_equal(other, x)
        other[0] = -1
    assert x[0].tolist() == [0, 1, 2]


def test_reading() -> None:
    x = tensor(2, 3)
    assert len(x) == 2
    assert [row.tolist() for row in x] == x.tolist()
    assert (int(x[0, 1]), float(x[0, 2]), bool(x[0, 0])) == (1, 2.0, False)
    assert list(range(gw.asarray(3)))[-1] == 2
    assert x.dtype == np.float64
    assert np.from_dlpack(x).tolist() == x.tolist()
    assert "float64[2, 3]" in repr(x)
    assert "<pre>" in x._repr_html_()
    with pytest.raises(TypeError, match="unhashable"):
        hash(x)


def test_unsupported_functions_are_named() -> None:
    with pytest.raises(
        gw.TraceError, match=r"test_tensor\.py:\d+: numpy\.busday_count"
    ):
        np.busday_count(tensor(3), tensor(3))


class Counting(NumpyBackend):
    """NumPy under another name."""

    name = "counting"


def test_placement() -> None:
    counting = Counting()
    x = tensor(3)
    moved = x.to(counting)
    assert moved.backend == counting.name
    assert (moved + 1).tolist() == [1, 2, 3]
    with gw.default_backend(counting):
        y = x * 2
        assert y.tolist() == [0, 2, 4]
        assert y.backend == counting.name
    z = x * 3
    z.tolist()
    assert z.backend != counting.name


def test_ravel_copies_what_has_gaps() -> None:
    x = tensor(6)
    x[::2].ravel()[0] = 9
    assert x[0].item() == 0
    x[2:4].ravel()[0] = 9
    assert x[2].item() == 9


def test_memory_is_given_away_if_nothing_shares_it() -> None:
    x = tensor(2, 3)
    given = np.from_dlpack(_Old(x))
    assert np.shares_memory(given, x.array)
    given = np.from_dlpack(_Old(x.T[1:]))
    assert given.tolist() == [[1, 4], [2, 5]]
    assert np.shares_memory(given, x.array)


def test_dtypes_without_dlpack_say_what_to_give() -> None:
    x = gw.asarray(np.array([1, 2], ml_dtypes.bfloat16))
    with pytest.raises(
        BufferError, match=r"DLPack of bfloat16: give t\.view\('uint16'\)"
    ):
        np.from_dlpack(x)
    with pytest.raises(BufferError, match=r"DLPack of string$"):
        np.from_dlpack(gw.asarray(["a"]))
    assert np.from_dlpack(x.view("uint16")).tolist() == [0x3F80, 0x4000]


class _Old:
    """What a consumer of DLPack before 1.0 sees, that wants no copy."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __dlpack__(self, **_: Any) -> Any:
        return self.x.__dlpack__(copy=False)

    def __dlpack_device__(self) -> Any:
        return self.x.__dlpack_device__()


def test_masks_may_be_empty_along_an_axis() -> None:
    x = tensor(3, 2)
    assert x[np.zeros((0,), bool)].shape == (0, 2)
    assert x[np.zeros((3, 0), bool)].shape == (0,)
    with pytest.raises(IndexError):
        x[np.zeros(2, bool)]


def test_lists_are_constants_of_a_trace() -> None:
    def f(x: Any) -> Any:
        return x[[0, -1]] + [1, 2]

    graph = gw.trace(f, gw.spec("float64", (4,)))
    assert len(graph.inputs) == 1
    assert gw.jit(f)(np.arange(4.0)).tolist() == [1, 5]
    names = gw.jit(f).lower(np.arange(4.0)).graph.input_names
    assert names == ("x",)


INDEX = np.array([2, -3])


def test_captured_constants_tell_their_contents() -> None:
    graph = gw.trace(lambda x: x[INDEX], gw.spec("float64", (4,)))
    verify(graph)
    assert "slice" in str(gw.optimize(graph))
    assert gw.compile(graph)(np.arange(4.0)).tolist() == [2, 1]


def test_squeeze_says_that_it_needs_an_axis() -> None:
    with pytest.raises(gw.ShapeError, match="batch is 1: give axis="):
        gw.trace(lambda x: x.squeeze(), gw.spec("float32", ("batch", 4)))


def test_shapes_are_set_where_a_view_has_them() -> None:
    def program(x: Any) -> Any:
        y = x * 2
        y.shape = (3, 2)
        row = y[0]
        y.shape = 6
        y[1] = 7
        return y, row

    x = np.arange(6.0).reshape(2, 3)
    for run in (program, gw.jit(program), lambda v: program(gw.asarray(v))):
        for found, want in zip(run(x), program(x), strict=True):
            np.testing.assert_array_equal(found, want)
    turned = gw.asarray(x).T
    with pytest.raises(AttributeError, match="use reshape"):
        turned.shape = (6,)


def test_arrays_from_outside_keep_their_shape() -> None:
    def flattened(x: Any) -> Any:
        x.shape = (6,)
        return x

    with pytest.raises(gw.TraceError, match=r":\d+: an array from outside would keep"):
        gw.jit(flattened)(np.ones((2, 3)))


def test_ndarray_makes_tensors_and_is_their_type() -> None:
    def program(x: Any) -> Any:
        y = np.ndarray((2, 3), dtype=x.dtype)
        y[...] = x
        assert isinstance(y, np.ndarray)
        assert issubclass(type(y), np.ndarray)
        assert not isinstance(3, np.ndarray)
        return np.ndarray.sum(y, axis=0)

    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(gw.jit(program)(x), program(x))
    assert isinstance(gw.asarray(x), gw.numpy.ndarray)
    with pytest.raises(gw.TraceError, match="ndarray of a buffer is not supported"):
        gw.numpy.ndarray((2,), buffer=b"0" * 16)
