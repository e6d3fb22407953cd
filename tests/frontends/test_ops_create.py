"""Operators that make tensors."""

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx_graphs import (
    imported,
    model_of,
    node_model,
    node_same_as_ort,
    output_types,
    run,
    same_as_ort,
)

from graphwright.ir.errors import ModelError


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


CONSTANTS: list[tuple[str, Any, Any]] = [
    ("value_int", 3, np.array(3, np.int64)),
    ("value_ints", [1, 2], np.array([1, 2], np.int64)),
    ("value_float", 1.5, np.array(1.5, np.float32)),
    ("value_floats", [1.5], np.array([1.5], np.float32)),
    ("value_string", "ab", np.array("ab", object)),
    ("value_strings", ["a", "b"], np.array(["a", "b"], object)),
]


@pytest.mark.parametrize(("name", "value", "want"), CONSTANTS)
def test_constant(name: str, value: Any, want: Any) -> None:
    model, feeds = node_model("Constant", [], **{name: value})
    (y,) = run(model, feeds)
    assert y.dtype == want.dtype
    assert y.tolist() == want.tolist()


def test_sparse_constant() -> None:
    values = onnx.helper.make_tensor("v", onnx.TensorProto.FLOAT, [2], [5.0, 7.0])
    for at, shape in (([1, 3], [2]), ([0, 1, 1, 0], [2, 2])):
        places = onnx.helper.make_tensor("i", onnx.TensorProto.INT64, shape, at)
        sparse = onnx.helper.make_sparse_tensor(values, places, [2, 2])
        model, feeds = node_model("Constant", [], sparse_value=sparse)
        want = [[0, 5], [0, 7]] if len(shape) == 1 else [[0, 5], [7, 0]]
        assert run(model, feeds)[0].tolist() == want


def test_constant_of_nothing() -> None:
    with pytest.raises(ModelError, match="no value"):
        imported(node_model("Constant", [])[0])


@pytest.mark.parametrize("shape", [(2, 3), (0,), ()])
@pytest.mark.parametrize("known", [True, False])
def test_constant_of_shape(shape: tuple[int, ...], known: bool) -> None:
    constants = [0] if known else []
    inputs = [ints(*shape)]
    node_same_as_ort("ConstantOfShape", inputs, constants=constants)
    seven = onnx.numpy_helper.from_array(np.array([7], np.int32))
    node_same_as_ort("ConstantOfShape", inputs, constants=constants, value=seven)


@pytest.mark.parametrize("start", [0, 1, -1, -9, 9])
@pytest.mark.parametrize("end", [None, 2, -1, 9, -9])
def test_shape(start: int, end: int | None) -> None:
    how: dict[str, Any] = {} if end is None else {"end": end}
    x = np.zeros((2, 0, 4), np.float32)
    node_same_as_ort("Shape", [x], start=start, **how)


def test_size() -> None:
    node_same_as_ort("Size", [np.zeros((2, 3), np.float32)])
    node_same_as_ort("Size", [np.zeros((2, 0), np.float32)])
    node_same_as_ort("Size", [np.float32(1)])


RANGES = [
    (0, 5, 1),
    (1, 10, 3),
    (10, 1, -3),
    (5, 5, 1),
    (5, 1, 1),
    (-3, 4, 2),
    (0, -7, -2),
]


@pytest.mark.parametrize(("start", "limit", "delta"), RANGES)
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("known", [True, False])
def test_range(start: int, limit: int, delta: int, dtype: Any, known: bool) -> None:
    inputs = [np.array(v, dtype) for v in (start, limit, delta)]
    constants = [0, 1, 2] if known else []
    node_same_as_ort("Range", inputs, constants=constants)
    if known:
        model, _ = node_model("Range", inputs, constants=constants)
        want = len(np.arange(start, limit, delta))
        assert (
            str(imported(model).output_types[0]).partition("{")[0].endswith(f"[{want}]")
        )


def test_range_of_fractions() -> None:
    for start, limit, delta in ((0, 1, 0.25), (0.5, 2.1, 0.4), (1, 0, -0.3)):
        inputs = [np.float32(v) for v in (start, limit, delta)]
        node_same_as_ort("Range", inputs)
    halves = [np.float16(v) for v in (0, 2, 0.5)]
    model, feeds = node_model("Range", halves, opset=27)
    assert run(model, feeds)[0].tolist() == [0, 0.5, 1, 1.5]


@pytest.mark.parametrize("k", [0, 1, -2, 9])
@pytest.mark.parametrize("shape", [(3, 4), (4, 2), (0, 3)])
def test_eye_like(k: int, shape: tuple[int, int]) -> None:
    node_same_as_ort("EyeLike", [np.zeros(shape, np.float32)], k=k)
    node_same_as_ort("EyeLike", [np.zeros(shape, np.int32)], k=k, dtype=11)


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("k", [None, 0, 1, -2, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_])
def test_trilu(upper: int, k: int | None, dtype: Any) -> None:
    for shape in ((3, 4), (2, 3, 3), (2, 0, 3)):
        x = np.ones(shape, dtype)
        inputs = [x] if k is None else [x, np.array(k)]
        node_same_as_ort("Trilu", inputs, upper=upper)


def test_trilu_keeps_symbols() -> None:
    text = "g (bfloat16[n,h,q,k] x) => (y) { y = Trilu(x) }"
    assert output_types(text) == "bfloat16[n, h, q, k]"
    x = np.ones((1, 1, 2, 2), ml_dtypes.bfloat16)
    (y,) = run(model_of(text), {"x": x})
    assert y.astype(int).tolist() == [[[[1, 1], [0, 1]]]]


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("known", [True, False])
def test_one_hot(axis: int, known: bool) -> None:
    values = np.array([2, 5], np.float32)
    constants = [1] if known else []
    rows: list[list[list[int]]] = [[[0, -1, 7], [3, -4, -9]], [[], []]]
    for indices in rows:
        inputs = [np.array(indices, np.int64), np.array(4, np.int64), values]
        node_same_as_ort("OneHot", inputs, constants=constants, axis=axis)


def test_one_hot_of_floats_and_a_depth_by_shape() -> None:
    inputs = [
        np.array([1.0, -1.0], np.float32),
        np.array([3], np.int64),
        np.array([0, 1], np.int64),
    ]
    node_same_as_ort("OneHot", inputs)
    text = """g (int64[n] i, float[d] x) => (y) { s = Shape(x)
      y = OneHot(i, s, values) }"""
    values = np.array([0, 1], np.float32)
    assert output_types(text, values=values) == "float32[n, d]"
    feeds = {"i": ints(0, 2), "x": np.zeros(4, np.float32)}
    same_as_ort(model_of(text, values=values), feeds)
