"""Activations at special values, in half precision and in old opsets."""

from typing import Any

import numpy as np
import pytest
from onnx_graphs import model_of, node_model, node_same_as_ort, output_types, run

from graphwright.ir.errors import ModelError

SPECIAL = np.array(
    [np.nan, np.inf, 0.0, -0.0, 1e-30, 0.5, -0.5, 1, -1, 3, -3, 20, -20, 100, -100],
    np.float32,
)


def node(op_type: str, *inputs: Any, **how: Any) -> Any:
    """The first result of one node."""
    return run(*node_model(op_type, inputs, **how))[0]


@pytest.mark.parametrize(
    "op_type",
    [
        "Relu",
        "LeakyRelu",
        "Elu",
        "Selu",
        "Celu",
        "HardSigmoid",
        "HardSwish",
        "Softplus",
        "Softsign",
        "Sigmoid",
        "Mish",
    ],
)
def test_default_attributes(op_type: str) -> None:
    node_same_as_ort(op_type, [SPECIAL])
    node_same_as_ort(op_type, [np.linspace(-9, 9, 61, dtype=np.float32)])


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("LeakyRelu", {"alpha": 0.3}),
        ("Elu", {"alpha": 2.0}),
        ("Selu", {"alpha": 2.0, "gamma": 3.0}),
        ("Celu", {"alpha": 2.5}),
        ("ThresholdedRelu", {"alpha": 0.7}),
        ("HardSigmoid", {"alpha": 0.1, "beta": 0.4}),
        ("Gelu", {}),
        ("Gelu", {"approximate": "tanh"}),
        ("Shrink", {"lambd": 0.7, "bias": 0.2}),
    ],
)
def test_given_attributes(op_type: str, attributes: dict[str, Any]) -> None:
    node_same_as_ort(op_type, [SPECIAL[3:]], **attributes)


@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_swish(alpha: float) -> None:
    x = SPECIAL[2:].astype(np.float64)
    got = node("Swish", SPECIAL[2:], opset=24, alpha=alpha)
    np.testing.assert_allclose(got, x / (1 + np.exp(-alpha * x)), 1e-6, 1e-40)


def test_sigmoid_has_a_small_relative_error_far_below_zero() -> None:
    x = np.linspace(-80, 80, 999).astype(np.float32)
    want = 1 / (1 + np.exp(-x.astype(np.float64)))
    np.testing.assert_allclose(node("Sigmoid", x), want, rtol=5e-7)


@pytest.mark.parametrize("op_type", ["Sigmoid", "Softplus", "Gelu", "Mish", "Elu"])
def test_half_precision_is_computed_in_float32(op_type: str) -> None:
    x = np.linspace(-8, 8, 333).astype(np.float16)
    want = node(op_type, x.astype(np.float32)).astype(np.float16)
    np.testing.assert_array_equal(node(op_type, x), want)


def test_shrink_of_integers() -> None:
    x = np.array([-3, -1, 0, 1, 3], np.int32)
    np.testing.assert_array_equal(
        node("Shrink", x, lambd=1.5, bias=1.0), [-2, 0, 0, 0, 2]
    )


def test_prelu() -> None:
    x = np.linspace(-3, 3, 24, dtype=np.float32).reshape(2, 3, 4)
    slope = np.array([0.1, 0.2, 0.3], np.float32)
    node_same_as_ort("PRelu", (x, slope[:, None]))
    want = np.where(x < 0, x * slope[:, None], x)
    np.testing.assert_array_equal(node("PRelu", x, slope, opset=6), want)
    want = np.where(x < 0, x * slope[0], x)
    np.testing.assert_array_equal(node("PRelu", x, slope[:1], opset=1), want)


AXES = [
    ("Softmax", -1),
    ("Softmax", 0),
    ("LogSoftmax", 1),
    ("Hardmax", 2),
    ("Hardmax", 0),
]


@pytest.mark.parametrize(("op_type", "axis"), AXES)
@pytest.mark.parametrize("opset", [11, 13])
def test_along_an_axis(op_type: str, axis: int, opset: int) -> None:
    x = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)
    x[0, 1, 2], x[1, 0] = np.inf, -100
    if op_type == "Hardmax":
        x[2, 3] = 1.0
    node_same_as_ort(op_type, (x,), opset=opset, axis=axis)


def test_softmax_of_large_numbers_and_of_nothing() -> None:
    x = np.array([[1e4, 1e4 + 1], [-3e38, 3e38]], np.float32)
    node_same_as_ort("Softmax", (x,))
    node_same_as_ort("LogSoftmax", (x,))
    assert node("Softmax", np.zeros((2, 0), np.float32)).shape == (2, 0)
    assert node("Hardmax", np.zeros((2, 0), np.float32)).shape == (2, 0)
    assert np.isnan(node("Softmax", np.full((1, 2), -np.inf, np.float32))).all()


def test_dynamic_dims_flatten() -> None:
    text = "g (float[N, M, 4] x) => (float[A, B, C] y) { y = Softmax <axis = 1> (x) }"
    assert output_types(text, opset=9) == "float32[N, M, 4]"
    x = np.random.default_rng(1).standard_normal((2, 3, 4)).astype(np.float32)
    (y,) = run(model_of(text, opset=9), {"x": x})
    np.testing.assert_allclose(y.sum(axis=(1, 2)), [1, 1], rtol=1e-6)


def test_unknown_approximation() -> None:
    with pytest.raises(ModelError, match="approximation"):
        node("Gelu", SPECIAL, approximate="cubic")
