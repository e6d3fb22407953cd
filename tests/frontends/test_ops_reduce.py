"""Reductions: axes in every form, empty sets, precision, indices and running sums."""

from typing import Any

import numpy as np
import pytest
from onnx_graphs import model_of, node_model, node_same_as_ort, output_types, run

import graphwright as gw

NAMES = [
    f"Reduce{kind}"
    for kind in [
        "Sum",
        "Prod",
        "Max",
        "Min",
        "Mean",
        "L1",
        "L2",
        "SumSquare",
        "LogSum",
        "LogSumExp",
    ]
]
X = np.random.default_rng(0).uniform(0.1, 2, (2, 3, 4)).astype(np.float32)


def node(op_type: str, *inputs: Any, **how: Any) -> Any:
    """The first result of one node."""
    return run(*node_model(op_type, inputs, **how))[0]


def ints(*values: int) -> Any:
    """An int64 vector."""
    return np.array(values, np.int64)


@pytest.mark.parametrize("op_type", NAMES)
@pytest.mark.parametrize("keepdims", [0, 1])
def test_axes_as_attribute_or_input(op_type: str, keepdims: int) -> None:
    for axes in ([1], [-1, 0], [0, 1, 2]):
        node_same_as_ort(op_type, (X,), opset=11, axes=axes, keepdims=keepdims)
        where: dict[str, Any] = {"constants": (1,), "keepdims": keepdims}
        node_same_as_ort(op_type, (X, ints(*axes)), opset=18, **where)
    node_same_as_ort(op_type, (X,), opset=18, keepdims=keepdims)


@pytest.mark.parametrize("op_type", NAMES)
def test_axes_known_at_run_time_only(op_type: str) -> None:
    node_same_as_ort(op_type, (X, ints(0, -1)), opset=18)


@pytest.mark.parametrize("op_type", NAMES)
def test_no_axes(op_type: str) -> None:
    node_same_as_ort(op_type, (X, ints()), opset=18, constants=(1,))
    noop = node(op_type, X, ints(), opset=18, noop_with_empty_axes=1)
    elementwise = {
        "ReduceL2": np.abs,
        "ReduceSumSquare": np.square,
        "ReduceLogSum": np.log,
    }
    want = elementwise.get(op_type, np.asarray)(X)
    np.testing.assert_allclose(noop, want, rtol=1e-6)


@pytest.mark.parametrize("op_type", NAMES)
def test_empty_sets(op_type: str) -> None:
    got = node(op_type, np.zeros((2, 0), np.float32), ints(1), opset=18, keepdims=0)
    want = {
        "ReduceProd": 1,
        "ReduceMax": -np.inf,
        "ReduceMin": np.inf,
        "ReduceMean": np.nan,
        "ReduceLogSum": -np.inf,
        "ReduceLogSumExp": -np.inf,
    }.get(op_type, 0)
    np.testing.assert_array_equal(got, np.full(2, want, np.float32))


def test_empty_sets_of_integers() -> None:
    empty = np.zeros((0,), np.int32)
    assert node("ReduceMax", empty, keepdims=0) == -(2**31)
    assert node("ReduceMin", empty, keepdims=0) == 2**31 - 1
    assert node("ReduceMean", empty, keepdims=0) == 0


@pytest.mark.parametrize("op_type", NAMES)
def test_integers(op_type: str) -> None:
    x = np.array([[1, 2, 3], [4, 9, 7]], np.int32)
    got = node(op_type, x, ints(1), opset=18, keepdims=0)
    real = node(op_type, x.astype(np.float64), ints(1), opset=18, keepdims=0)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, np.trunc(real))


def test_bools() -> None:
    x = np.array([[True, False], [False, False]])
    np.testing.assert_array_equal(node("ReduceMax", x, ints(1), opset=20), [[1], [0]])
    np.testing.assert_array_equal(node("ReduceMin", x, ints(0), opset=20), [[0, 0]])


@pytest.mark.parametrize("op_type", ["ReduceMax", "ReduceMin", "ReduceSum"])
def test_special_values(op_type: str) -> None:
    x = np.array([[1, np.nan, 2], [np.inf, -np.inf, 0], [-np.inf, -np.inf, -1]])
    got = node(op_type, x, ints(1), opset=18, keepdims=0)
    name = op_type.removeprefix("Reduce").lower()
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(got, getattr(np, name)(x, axis=1))


def test_log_sum_exp_is_stable() -> None:
    x = np.array([[1000, 1001], [-1000, -1001], [np.inf, 0], [-np.inf, -np.inf]])
    got = node("ReduceLogSumExp", x, ints(1), opset=18, keepdims=0)
    more = np.log1p(np.exp(-1))
    np.testing.assert_allclose(got, [1001 + more, -1000 + more, np.inf, -np.inf])


def test_half_precision_does_not_overflow_on_the_way() -> None:
    x = np.full(70000, 2, np.float16)
    assert node("ReduceMean", x, keepdims=0) == 2
    y = np.full(4, 300, np.float16)
    assert node("ReduceL2", y, keepdims=0) == 600


@pytest.mark.parametrize("op_type", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_arg_extreme(op_type: str, last: int, keepdims: int) -> None:
    x = np.array([[2, 1, 2, 1], [3, 3, 3, 3]], np.float32)
    for axis in (0, 1, -1):
        how = {"axis": axis, "select_last_index": last, "keepdims": keepdims}
        node_same_as_ort(op_type, (x,), **how)
        node_same_as_ort(op_type, (x.astype(np.uint8),), **how)
    node_same_as_ort(op_type, (x,), opset=11)


def test_no_extreme_of_nothing() -> None:
    exe = gw.compile(model_of("g (float[n] x) => (int64[k] y) { y = ArgMax (x) }"))
    assert exe.run(None, {"x": np.ones(1, np.float32)})[0].tolist() == [0]
    with pytest.raises(gw.ShapeError, match="ArgMax: n = 0 breaks 1 <= n"):
        exe.run(None, {"x": np.ones(0, np.float32)})


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_running_sums(exclusive: int, reverse: int, dtype: Any) -> None:
    x = np.arange(12).reshape(3, 4).astype(dtype)
    for axis in (0, -1):
        how = {"exclusive": exclusive, "reverse": reverse}
        node_same_as_ort("CumSum", (x, np.array(axis, np.int32)), **how)
    product = node("CumProd", x[1:], np.array(0), opset=26, exclusive=1)
    np.testing.assert_array_equal(product, [[1] * 4, x[1]])


def test_running_sums_of_an_empty_axis() -> None:
    empty = np.zeros((2, 0), np.float32)
    assert node("CumSum", empty, np.array(1), exclusive=1).shape == (2, 0)


def test_dynamic_dims() -> None:
    text = """g (float[N, M, 4] x) => (float[A, B] y) {
        axes = Constant <value_ints = [1]> ()
        y = ReduceMean <keepdims = 0> (x, axes)
    }"""
    assert output_types(text) == "float32[N, 4]"
    (y,) = run(model_of(text), {"x": X})
    np.testing.assert_allclose(y, X.mean(axis=1), rtol=1e-6)


def test_sizes_are_followed_through_reductions() -> None:
    text = """g (float[N, M] x) => (float[A] y) {
        shape = Shape (x)
        size = ReduceProd <keepdims = 1> (shape)
        y = Reshape (x, size)
    }"""
    assert output_types(text) == "float32[M*N]"
