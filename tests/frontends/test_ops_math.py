"""Elementwise arithmetic, comparisons and bits, at special values and in old opsets."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx_graphs import model_of, node_model, node_same_as_ort, output_types, run

from graphwright.ir.errors import ModelError

SPECIAL = np.array(
    [
        np.nan,
        np.inf,
        -np.inf,
        0.0,
        -0.0,
        1,
        -1,
        0.5,
        -0.5,
        2.5,
        -3.5,
        1e-30,
        1e30,
        -1e30,
    ],
    np.float32,
)
INTS = np.array([-(2**31), -7, -3, -1, 0, 1, 2, 3, 7, 2**31 - 1], np.int32)


def node(op_type: str, *inputs: Any, **how: Any) -> Any:
    """The first result of one node."""
    return run(*node_model(op_type, inputs, **how))[0]


def grid(values: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """All pairs of values."""
    return values[:, None], values[None, :]


@pytest.mark.parametrize(
    "op_type",
    [
        "Abs",
        "Neg",
        "Sign",
        "Floor",
        "Ceil",
        "Round",
        "Sqrt",
        "Exp",
        "Log",
        "Erf",
        "Sin",
        "Cos",
        "Tan",
        "Reciprocal",
        "Asin",
        "Acos",
        "Atan",
        "Sinh",
        "Cosh",
        "Tanh",
        "Asinh",
        "Acosh",
        "Atanh",
        "IsNaN",
        "IsInf",
    ],
)
def test_unary_at_special_values(op_type: str) -> None:
    x = SPECIAL if op_type not in ("Sin", "Cos", "Tan") else SPECIAL[:-2]
    node_same_as_ort(op_type, [x])


@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Div", "Pow", "Min", "Max"])
def test_binary_at_special_values(op_type: str) -> None:
    node_same_as_ort(op_type, grid(SPECIAL))


@pytest.mark.parametrize(
    "op_type", ["Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"]
)
def test_comparisons(op_type: str) -> None:
    node_same_as_ort(op_type, grid(SPECIAL))
    node_same_as_ort(op_type, grid(INTS))


RANGES: dict[str, tuple[float, float]] = {
    "Tan": (-1.5, 1.5),
    "Asin": (-1, 1),
    "Acos": (-1, 1),
    "Atan": (-50, 50),
    "Sinh": (-89.4, 89.4),
    "Cosh": (-89.4, 89.4),
    "Asinh": (-1e20, 1e20),
    "Acosh": (1, 1e20),
    "Atanh": (-1, 1),
}
NAMES = {"Asin": "arcsin", "Acos": "arccos", "Atan": "arctan", "Asinh": "arcsinh"}
NAMES |= {"Acosh": "arccosh", "Atanh": "arctanh"}


@pytest.mark.parametrize("op_type", RANGES)
def test_relative_error_is_below_1e_6(op_type: str) -> None:
    low, high = RANGES[op_type]
    small = np.geomspace(1e-30, min(high, 1.0), 2000)
    x = np.concatenate([np.linspace(low, high, 4001), small, -small, 1 - small])
    x = np.concatenate([x, np.geomspace(1, max(high, 1.0), 500)]).astype(np.float32)
    x = x[(x >= low) & (x <= high)]
    function = getattr(np, NAMES.get(op_type, op_type.lower()))
    with np.errstate(divide="ignore"):
        want = function(x.astype(np.float64))
    got = node(op_type, x).astype(np.float64)
    np.testing.assert_allclose(got, want.astype(np.float32), rtol=1e-6, atol=0)


@pytest.mark.parametrize("op_type", ["Asin", "Sinh", "Asinh", "Atanh", "Tan", "Sign"])
def test_odd_functions_keep_the_sign_of_zero(op_type: str) -> None:
    assert np.signbit(node(op_type, np.array([-0.0], np.float32)))[0]


def test_half_precision_rounds_once() -> None:
    x = np.linspace(-0.999, 0.999, 500).astype(np.float16)
    want = np.arctanh(x.astype(np.float64)).astype(np.float16)
    np.testing.assert_array_equal(node("Atanh", x), want)
    y = x.astype(ml_dtypes.bfloat16)
    got = node("Sinh", y, opset=22)
    wide = np.sinh(y.astype(np.float64)).astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(got, wide)


def test_integer_division_never_traps() -> None:
    x, y = grid(INTS)
    got = node("Div", x, y)
    assert (got[:, 4] == 0).all()
    assert got[0, 3] == -(2**31)
    assert got[1, 6] == -3


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.uint8, np.uint64])
def test_mod_of_integers(dtype: Any) -> None:
    signed = np.issubdtype(dtype, np.signedinteger)
    values = np.array([-7, -3, -1, 1, 2, 3, 7] if signed else [1, 2, 3, 7, 200], dtype)
    node_same_as_ort("Mod", grid(values))
    node_same_as_ort("Mod", grid(values), fmod=1)


def test_mod_of_floats_has_the_sign_of_the_divisor() -> None:
    x, y = grid(np.array([np.inf, -0.0, 0.0, 3.5, -3.5, np.nan], np.float32))
    got = node("Mod", x, y)
    with np.errstate(invalid="ignore"):
        want = np.remainder(x, y)
    np.testing.assert_array_equal(got, want)
    zero = ~np.isnan(want) & (want == 0)
    np.testing.assert_array_equal(np.signbit(got)[zero], np.signbit(want)[zero])
    node_same_as_ort("Mod", (x, y), fmod=1)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.array([2, 3], np.float32), np.array([3, -2], np.int64)),
        (np.array([2, 9], np.int32), np.array([3, 0.5], np.float32)),
        (np.array([2, 3], np.int64), np.array([5, 3], np.int32)),
        (np.array([2, 3], np.float64), np.array([0.5, 3], np.float32)),
    ],
)
def test_pow_has_the_dtype_of_its_base(x: Any, y: Any) -> None:
    node_same_as_ort("Pow", (x, y))


def test_pow_of_integers_with_negative_exponents() -> None:
    x = np.array([1, -1, -1, 2, -3], np.int32)
    y = np.array([-3, -3, -2, -1, -2], np.int32)
    np.testing.assert_array_equal(node("Pow", x, y), [1, -1, 1, 0, 0])


def test_pow_exponents_do_not_wrap_around() -> None:
    got = node("Pow", np.array([1], np.int32), np.array([2**40 + 1], np.int64))
    np.testing.assert_array_equal(got, np.array([1], np.int32))


@pytest.mark.parametrize("op_type", ["Min", "Max", "Sum", "Mean"])
def test_variadic(op_type: str) -> None:
    x, y = grid(SPECIAL[4:12])
    node_same_as_ort(op_type, (x,))
    node_same_as_ort(op_type, (x, y, np.array(2, np.float32)))


def test_mean_of_half_does_not_overflow() -> None:
    x = np.full(3, 60000, np.float16)
    np.testing.assert_array_equal(node("Mean", x, x), x)


def test_no_operands_is_an_error() -> None:
    with pytest.raises(ModelError, match="at least one"):
        node("Sum")


class TestOldForms:
    """Opsets before 7 say by attributes how the second operand lines up."""

    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)

    def test_suffix(self) -> None:
        y = np.arange(12, dtype=np.float32).reshape(3, 4)
        got = node("Add", self.x, y, opset=6, broadcast=1)
        np.testing.assert_array_equal(got, self.x + y)

    def test_axis(self) -> None:
        y = np.array([1, 2, 3], np.float32)
        got = node("Sub", self.x, y, opset=1, broadcast=1, axis=1)
        np.testing.assert_array_equal(got, self.x - y[:, None])
        got = node("Mul", self.x, y[:2, None], opset=6, broadcast=1, axis=0)
        np.testing.assert_array_equal(got, self.x * y[:2, None, None])

    def test_scalar(self) -> None:
        got = node("Pow", self.x, np.array([2], np.float32), opset=1, broadcast=1)
        np.testing.assert_array_equal(got, self.x**2)

    def test_logic(self) -> None:
        flags = np.array([True, False, True])
        got = node("And", self.x > 5, flags, opset=6, broadcast=1, axis=1)
        np.testing.assert_array_equal(got, (self.x > 5) & flags[:, None])

    def test_too_long(self) -> None:
        y = np.ones((3, 4), np.float32)
        with pytest.raises(ModelError, match="does not fit"):
            node("Add", self.x, y, opset=6, broadcast=1, axis=2)

    def test_clip(self) -> None:
        got = node("Clip", SPECIAL, opset=6, min=-1.0, max=2.0)
        np.testing.assert_array_equal(got, np.clip(SPECIAL, -1, 2))
        np.testing.assert_array_equal(node("Clip", SPECIAL, opset=6), SPECIAL)


@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.uint64])
def test_clip(dtype: Any) -> None:
    x = np.array([0, 1, 5, 9], dtype)
    node_same_as_ort("Clip", (x, np.array(2, dtype), np.array(6, dtype)))
    node_same_as_ort("Clip", (x, None, np.array(6, dtype)))
    node_same_as_ort("Clip", (x, np.array(2, dtype)))
    np.testing.assert_array_equal(node("Clip", x, dtype(6), dtype(2)), [2, 2, 2, 2])


@pytest.mark.parametrize(("positive", "negative"), [(0, 1), (1, 0), (0, 0)])
def test_is_inf_of_one_sign(positive: int, negative: int) -> None:
    how = {"detect_positive": positive, "detect_negative": negative}
    node_same_as_ort("IsInf", (SPECIAL,), **how)


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz"])
def test_is_nan_and_is_inf_of_float8(name: str) -> None:
    x = np.array([np.nan, 1, np.inf, -np.inf]).astype(getattr(ml_dtypes, name))
    wide = x.astype(np.float32)
    np.testing.assert_array_equal(node("IsNaN", x, opset=20), np.isnan(wide))
    np.testing.assert_array_equal(node("IsInf", x, opset=20), np.isinf(wide))


def test_bit_shift() -> None:
    x, y = np.array([[1], [128], [255]], np.uint8), np.array([0, 1, 7], np.uint8)
    node_same_as_ort("BitShift", (x, y), direction="LEFT")
    node_same_as_ort("BitShift", (x, y), direction="RIGHT")
    signed = np.array([[-128], [100]], np.int8), np.array([1, 8, -1], np.int8)
    right = node("BitShift", *signed, opset=28, direction="RIGHT")
    np.testing.assert_array_equal(right, [[-64, -1, -1], [50, 0, 0]])
    left = node("BitShift", *signed, opset=28, direction="LEFT")
    np.testing.assert_array_equal(left, [[0, 0, 0], [-56, 0, 0]])


def test_strings_and_bools_compare_equal() -> None:
    x, y = np.array(["a", "ß", ""], object), np.array(["a", "s", ""], object)
    np.testing.assert_array_equal(node("Equal", x, y), [True, False, True])
    flags = np.array([True, False])
    np.testing.assert_array_equal(node("Equal", *grid(flags)), np.eye(2, dtype=bool))
    got = node("Where", np.array([True, False, True]), x, y)
    assert got.tolist() == ["a", "s", ""]


def test_dynamic_dims_broadcast() -> None:
    text = "g (float[N, 1] x, float[M] y) => (float[A, B] z) { z = Add(x, y) }"
    assert output_types(text) == "float32[N, M]"
    model = model_of(text)
    feeds = {"x": np.ones((2, 1), np.float32), "y": np.arange(3, dtype=np.float32)}
    assert run(model, feeds)[0].shape == (2, 3)


def test_empty_operands() -> None:
    empty = np.zeros((0, 3), np.float32)
    assert node("Add", empty, np.ones(3, np.float32)).shape == (0, 3)
    assert node("Mod", empty, empty, fmod=1).shape == (0, 3)
