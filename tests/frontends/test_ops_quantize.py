"""Quantization: per tensor, axis and block, every target type, integer products."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx_graphs import imported, node_model, node_same_as_ort, run

from graphwright.frontends.onnx.tensors import element_of
from graphwright.ir.dtype import DTYPES
from graphwright.ir.errors import ModelError

RNG = np.random.default_rng(0)
X = np.array([0, 0.5, 1.5, 2.5, -0.5, -1.5, 1e9, -1e9, np.inf, -np.inf], np.float32)


def node(op_type: str, *inputs: Any, **how: Any) -> Any:
    """The first result of one node."""
    return run(*node_model(op_type, inputs, **how))[0]


def scalar(value: float, dtype: Any = np.float32) -> Any:
    """A 0-d tensor."""
    return np.array(value, dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_quantize_rounds_to_even_and_saturates(dtype: Any) -> None:
    x = X[:6]
    node_same_as_ort("QuantizeLinear", (x, scalar(1), scalar(3, dtype)))
    got = node("QuantizeLinear", X, scalar(1), scalar(3, dtype))
    info = np.iinfo(dtype)
    assert got[6:].tolist() == [info.max, info.min] * 2
    node_same_as_ort("DequantizeLinear", (got, scalar(0.3), scalar(3, dtype)))


def test_quantize_without_zero_point() -> None:
    node_same_as_ort("QuantizeLinear", (X[:6], scalar(0.25)))
    got = node("QuantizeLinear", X[:3], scalar(0.25), output_dtype=3)
    assert got.dtype == np.int8


def test_nan_is_the_zero_of_integers() -> None:
    got = node("QuantizeLinear", np.array([np.nan], np.float32), scalar(1))
    assert got.tolist() == [0]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_per_axis(axis: int) -> None:
    x = RNG.standard_normal((3, 3, 3)).astype(np.float32)
    scale = np.array([0.1, 0.2, 0.5], np.float32)
    zero = np.array([1, 2, 3], np.uint8)
    (q,) = node_same_as_ort("QuantizeLinear", (x, scale, zero), axis=axis)
    node_same_as_ort("DequantizeLinear", (q, scale, zero), axis=axis)


@pytest.mark.parametrize("axis", [0, 1])
def test_blocks_whose_last_is_short(axis: int) -> None:
    x = RNG.standard_normal((5, 5)).astype(np.float32)
    shape = [5, 5]
    shape[axis] = 3
    scale = RNG.uniform(0.1, 1, shape).astype(np.float32)
    zero = RNG.integers(0, 9, shape).astype(np.int8)
    how: dict[str, Any] = {"axis": axis, "block_size": 2}
    q = node("QuantizeLinear", x, scale, zero, **how)
    full: list[Any] = [np.repeat(v, 2, axis)[:5, :5] for v in (scale, zero)]
    want = np.clip(np.rint(x / full[0]) + full[1], -128, 127)
    np.testing.assert_array_equal(q, want)
    back = node("DequantizeLinear", q, scale, zero, **how)
    np.testing.assert_allclose(back, (want - full[1]) * full[0], rtol=1e-6)


@pytest.mark.parametrize("name", ["int4", "uint4", "int2", "uint2"])
def test_narrow_integers(name: str) -> None:
    to = DTYPES[name]
    q = node("QuantizeLinear", X, scalar(1), output_dtype=element_of(to))
    low, high = to.limits
    assert q.dtype == to.numpy
    want = np.clip(np.rint(X), low, high)
    np.testing.assert_array_equal(q.astype(np.float32), want)
    back = node("DequantizeLinear", q, scalar(2))
    np.testing.assert_array_equal(back, 2 * want)


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "float4_e2m1fn"])
@pytest.mark.parametrize("saturate", [0, 1])
def test_narrow_floats(name: str, saturate: int) -> None:
    to = DTYPES[name]
    q = node(
        "QuantizeLinear",
        X,
        scalar(2),
        np.zeros((), to.numpy),
        saturate=saturate,
    )
    top = to.limits[1]
    small = np.array(X[:6] / 2).astype(to.numpy)
    np.testing.assert_array_equal(q[:6].astype(float), small.astype(float))
    if saturate:
        assert q[6:].astype(float).tolist() == [top, -top] * 2


def test_precision_of_the_division() -> None:
    x = np.array([1000.5], np.float32)
    scale = scalar(3, np.float16)
    zero = scalar(0, np.int16)
    how: dict[str, Any] = {"opset": 23}
    half = node("QuantizeLinear", x, scale, zero, **how)
    single = node("QuantizeLinear", x, scale, zero, precision=1, **how)
    assert half.tolist() == [int(np.rint(np.float16(1000.5) / np.float16(3)))]
    assert single.tolist() == [334]


def test_output_dtype_of_dequantize() -> None:
    q = np.array([1, 2, 3], np.int8)
    got = node("DequantizeLinear", q, scalar(0.5), opset=23, output_dtype=10)
    assert got.dtype == np.float16
    scale = np.array(2, np.float32).astype(ml_dtypes.float8_e8m0fnu)
    wide = node("DequantizeLinear", q, scale, opset=24, output_dtype=1)
    np.testing.assert_array_equal(wide, np.array([2, 4, 6], np.float32))


def test_int32_without_zero_point() -> None:
    q = np.array([-5, 0, 1000], np.int32)
    node_same_as_ort("DequantizeLinear", (q, scalar(0.5)))


def test_difference_does_not_wrap() -> None:
    q = np.array([-128, 127], np.int8)
    got = node("DequantizeLinear", q, scalar(1), scalar(127, np.int8))
    assert got.tolist() == [-255, 0]


def test_errors() -> None:
    with pytest.raises(ModelError, match="zero point"):
        node("QuantizeLinear", X, scalar(1), scalar(0, np.int8), output_dtype=2)
    with pytest.raises(ModelError, match="blocks"):
        node("QuantizeLinear", X[None], np.ones((1, 5), np.float32))


@pytest.mark.parametrize("values", [[0, 2, -3, -2.5, 1.34], [1, 2], [-1, -2], [0, 0]])
def test_dynamic(values: list[float]) -> None:
    x = np.array(values, np.float32)
    node_same_as_ort("DynamicQuantizeLinear", (x,), outputs=3)


def test_graphs_hold_composites() -> None:
    model, _ = node_model("QuantizeLinear", (X, scalar(1)))
    assert [n.op.name for n in imported(model).nodes] == ["quantize"]


A = RNG.integers(0, 255, (2, 4, 3)).astype(np.uint8)
B = RNG.integers(-128, 127, (3, 5)).astype(np.int8)


def test_matmul_integer() -> None:
    a, b = A[0], B
    node_same_as_ort("MatMulInteger", (a, b))
    node_same_as_ort("MatMulInteger", (A, b, scalar(12, np.uint8), scalar(-3, np.int8)))
    columns = np.arange(5, dtype=np.int8)
    node_same_as_ort("MatMulInteger", (a, b, scalar(12, np.uint8), columns))
    rows = np.arange(4, dtype=np.uint8)
    got = node("MatMulInteger", a, b, rows)
    want = (a.astype(int) - rows[:, None]) @ b.astype(int)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("per_column", [False, True])
def test_qlinear_matmul(per_column: bool) -> None:
    scale = np.linspace(0.01, 0.05, 5, dtype=np.float32) if per_column else scalar(0.02)
    zero = np.zeros(5, np.int8) if per_column else scalar(0, np.int8)
    ends = scalar(0.7), scalar(100, np.uint8)
    inputs = (A, scalar(0.1), scalar(9, np.uint8), B, scale, zero, *ends)
    node_same_as_ort("QLinearMatMul", inputs)


def test_qlinear_matmul_rounds_once_before_it_rounds_to_integers() -> None:
    """9375 * 0.02 * 0.01 / 0.05 is below a half; 1.875 / 0.05, in float32, is one."""
    a, b = np.array([[125]], np.uint8), np.array([[75]], np.uint8)
    zero, ends = scalar(0, np.uint8), (scalar(0.05), scalar(0, np.uint8))
    inputs = (a, scalar(0.02), zero, b, scalar(0.01), zero, *ends)
    (got,) = node_same_as_ort("QLinearMatMul", inputs)
    assert got.tolist() == [[37]]


IMAGE = RNG.integers(0, 255, (2, 4, 6, 5)).astype(np.uint8)
FILTERS = RNG.integers(0, 255, (6, 2, 3, 3)).astype(np.uint8)


def test_conv_integer() -> None:
    how: dict[str, Any] = {"group": 2, "pads": [1, 0, 1, 0], "strides": [2, 1]}
    node_same_as_ort("ConvInteger", (IMAGE, FILTERS), **how)
    zeros = scalar(7, np.uint8), scalar(3, np.uint8)
    node_same_as_ort("ConvInteger", (IMAGE, FILTERS, *zeros), **how)


@pytest.mark.parametrize("per_filter", [False, True])
def test_qlinear_conv(per_filter: bool) -> None:
    n = 6
    scale = (
        np.linspace(0.001, 0.004, n, dtype=np.float32) if per_filter else scalar(0.002)
    )
    zero = np.full(n, 120, np.uint8) if per_filter else scalar(120, np.uint8)
    bias = RNG.integers(-5000, 5000, n).astype(np.int32)
    ends = scalar(0.3), scalar(128, np.uint8)
    inputs = (IMAGE, scalar(0.05), scalar(111, np.uint8), FILTERS, scale, zero, *ends)
    how: dict[str, Any] = {"group": 2, "auto_pad": "SAME_UPPER"}
    node_same_as_ort("QLinearConv", inputs, **how)
    node_same_as_ort("QLinearConv", (*inputs, bias), **how)
