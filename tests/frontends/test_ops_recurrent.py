"""RNN, GRU and LSTM of ONNX, by ONNX Runtime."""

from typing import Any

import numpy as np
import pytest
from composites import same_decomposed
from onnx_graphs import model_of, node_model, output_types, run, same_as_ort

from graphwright.ir.errors import GraphwrightError

RNG = np.random.default_rng(17)
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
STEPS, BATCH, WIDTH, HIDDEN = 5, 3, 4, 2


def draw(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def operands(kind: str, directions: int = 1, given: str = "") -> list[Any]:
    """The operands; ``given`` names those of the optional ones that are there."""
    gates = GATES[kind] * HIDDEN
    state = (directions, BATCH, HIDDEN)
    rows: list[Any] = [
        draw(STEPS, BATCH, WIDTH),
        draw(directions, gates, WIDTH),
        draw(directions, gates, HIDDEN),
        draw(directions, 2 * gates) if "b" in given else None,
        np.array([5, 1, 3], np.int32) if "l" in given else None,
        draw(*state) if "h" in given else None,
    ]
    if kind == "LSTM":
        rows.append(draw(*state) if "c" in given else None)
        rows.append(draw(directions, 3 * HIDDEN) if "p" in given else None)
    return rows


def check(kind: str, inputs: list[Any], **how: Any) -> None:
    outputs = 3 if kind == "LSTM" else 2
    model = node_model(kind, inputs, outputs=outputs, hidden_size=HIDDEN, **how)
    same_as_ort(*model, rtol=1e-4)
    same_decomposed(*model)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("given", ["", "b", "bh", "bhc", "bl", "blhcp"])
def test_layers(kind: str, direction: str, given: str) -> None:
    directions = 2 if direction == "bidirectional" else 1
    check(kind, operands(kind, directions, given), direction=direction)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_clip(kind: str) -> None:
    check(kind, operands(kind, 1, "bhcp"), clip=0.3)


@pytest.mark.parametrize("reset", [0, 1])
@pytest.mark.parametrize("given", ["bh", "blh"])
def test_gru_reset(reset: int, given: str) -> None:
    how: dict[str, Any] = {"linear_before_reset": reset, "direction": "bidirectional"}
    check("GRU", operands("GRU", 2, given), **how)


def test_lstm_with_coupled_gates() -> None:
    check("LSTM", operands("LSTM", 1, "bhc"), input_forget=1)


@pytest.mark.parametrize(
    ("name", "alpha", "beta"),
    [
        ("Relu", None, None),
        ("Tanh", None, None),
        ("Sigmoid", None, None),
        ("Affine", 0.4, 0.2),
        ("LeakyRelu", 0.1, None),
        ("LeakyRelu", None, None),
        ("ThresholdedRelu", 0.3, None),
        ("ScaledTanh", 0.7, 1.3),
        ("HardSigmoid", 0.3, 0.4),
        ("HardSigmoid", None, None),
        ("Elu", 0.5, None),
        ("Softsign", None, None),
        ("Softplus", None, None),
    ],
)
def test_activations(name: str, alpha: float | None, beta: float | None) -> None:
    how: dict[str, Any] = {"activations": [name]}
    if alpha is not None:
        how["activation_alpha"] = [alpha]
    if beta is not None:
        how["activation_beta"] = [beta]
    check("RNN", operands("RNN", 1, "bh"), **how)


def test_parameters_go_to_the_functions_that_have_them() -> None:
    names = ["Sigmoid", "LeakyRelu", "Elu", "HardSigmoid", "Affine", "Tanh"]
    how: dict[str, Any] = {
        "direction": "bidirectional",
        "activations": names,
        "activation_alpha": [0.1, 0.6, 0.3, 0.8],
        "activation_beta": [0.4, 0.05],
    }
    check("LSTM", operands("LSTM", 2, "bhc"), **how)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_batch_first(kind: str) -> None:
    inputs = operands(kind, 2, "bhc")
    how: dict[str, Any] = {"direction": "bidirectional", "hidden_size": HIDDEN}
    how["outputs"] = 3 if kind == "LSTM" else 2
    y, *states = run(*node_model(kind, inputs, **how))
    turned = list(inputs)
    for i in (0, 5, 6):
        if i < len(inputs) and inputs[i] is not None:
            turned[i] = np.swapaxes(inputs[i], 0, 1)
    first, *others = run(*node_model(kind, turned, layout=1, **how))
    np.testing.assert_allclose(first, y.transpose(2, 0, 1, 3), rtol=1e-6)
    for a, b in zip(others, states, strict=True):
        np.testing.assert_allclose(a, b.transpose(1, 0, 2), rtol=1e-6)


def test_no_steps_leave_the_state() -> None:
    inputs = operands("GRU", 1, "h")
    inputs[0] = inputs[0][:0]
    y, h = run(*node_model("GRU", inputs, outputs=2, hidden_size=HIDDEN))
    assert y.shape == (0, 1, BATCH, HIDDEN)
    np.testing.assert_array_equal(h, inputs[5])


def test_symbolic_sizes() -> None:
    text = """g (float[t, n, 4] x) => (float[a, b, c, d] y, float[e, f, g] h) {
        y, h = GRU<hidden_size=2, direction="bidirectional">(x, w, r) }"""
    weights = {"w": draw(2, 6, 4), "r": draw(2, 6, 2)}
    assert output_types(text, **weights) == "float32[t, 2, n, 2], float32[2, n, 2]"
    same_as_ort(model_of(text, **weights), {"x": draw(5, 3, 4)})


def test_unknown_activation() -> None:
    with pytest.raises(GraphwrightError, match="RNN"):
        run(
            *node_model("RNN", operands("RNN"), hidden_size=HIDDEN, activations=["Sin"])
        )
