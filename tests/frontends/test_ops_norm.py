"""Normalisations of ONNX, by ONNX Runtime and by hand."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from composites import same_decomposed
from onnx_graphs import (
    imported,
    model_of,
    node_model,
    node_same_as_ort,
    output_types,
    run,
    same_as_ort,
)

RNG = np.random.default_rng(13)


def draw(*shape: int, dtype: Any = np.float32) -> Any:
    return RNG.standard_normal(shape).astype(dtype)


def statistics(channels: int) -> list[Any]:
    """Scale, bias, mean and variance."""
    return [
        draw(channels),
        draw(channels),
        draw(channels),
        np.abs(draw(channels)) + 0.1,
    ]


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 5), (1, 3, 4, 5), (2, 3, 2, 3, 4)])
@pytest.mark.parametrize("constants", [(), (1, 2, 3, 4)])
def test_batch_norm(
    opset: int, shape: tuple[int, ...], constants: tuple[int, ...]
) -> None:
    inputs = [draw(*shape), *statistics(3)]
    how: dict[str, Any] = {"opset": opset, "epsilon": 1e-3, "constants": constants}
    node_same_as_ort("BatchNormalization", inputs, **how)


def test_batch_norm_of_known_statistics_is_two_ops() -> None:
    inputs = [draw(2, 3, 4, 5), *statistics(3)]
    model, _ = node_model("BatchNormalization", inputs, constants=(1, 2, 3, 4))
    names = [n.op.name for n in imported(model).nodes]
    assert [n for n in names if n not in ("reshape", "broadcast_to")] == ["mul", "add"]


def test_batch_norm_of_halves_is_rounded_once() -> None:
    inputs = [draw(2, 3, 4, 5).astype(np.float16), *statistics(3)]
    (got,) = run(*node_model("BatchNormalization", inputs, opset=15))
    x, scale, bias, mean, var = (v.astype(np.float64) for v in inputs)
    column = (3, 1, 1)
    want = (x - mean.reshape(column)) / np.sqrt(var.reshape(column) + 1e-5)
    want = want * scale.reshape(column) + bias.reshape(column)
    assert got.dtype == np.float16
    np.testing.assert_allclose(got, want.astype(np.float16), rtol=1e-3)


def test_batch_norm_in_training() -> None:
    inputs = [draw(4, 3, 5), *statistics(3)]
    how: dict[str, Any] = {
        "opset": 15,
        "training_mode": 1,
        "momentum": 0.8,
        "outputs": 3,
    }
    y, mean, variance = run(*node_model("BatchNormalization", inputs, **how))
    x, scale, bias, old_mean, old_variance = inputs
    batch, spread = x.mean((0, 2)), x.var((0, 2))
    np.testing.assert_allclose(mean, 0.8 * old_mean + 0.2 * batch, rtol=1e-5)
    np.testing.assert_allclose(variance, 0.8 * old_variance + 0.2 * spread, rtol=1e-5)
    column = (3, 1)
    want = (x - batch.reshape(column)) / np.sqrt(spread.reshape(column) + 1e-5)
    want = want * scale.reshape(column) + bias.reshape(column)
    np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5)


def test_batch_norm_of_each_position() -> None:
    x, shape = draw(2, 3, 4), (3, 4)
    parts = [draw(*shape), draw(*shape), draw(*shape), np.abs(draw(*shape)) + 0.1]
    (got,) = run(*node_model("BatchNormalization", [x, *parts], opset=7, spatial=0))
    scale, bias, mean, variance = parts
    want = (x - mean) / np.sqrt(variance + 1e-5) * scale + bias
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 3, 5), (1, 3, 4, 5), (2, 3, 2, 3, 4)])
def test_instance_norm(shape: tuple[int, ...]) -> None:
    inputs = [draw(*shape), draw(3), draw(3)]
    same_as_ort(*node_model("InstanceNormalization", inputs, epsilon=1e-2), rtol=1e-4)


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_group_norm(groups: int) -> None:
    x, scale, bias = draw(2, 6, 4, 3), draw(6), draw(6)
    how: dict[str, Any] = {"num_groups": groups, "epsilon": 1e-3}
    (got,) = same_as_ort(
        *node_model("GroupNormalization", [x, scale, bias], opset=21, **how), rtol=1e-4
    )
    same_decomposed(
        *node_model("GroupNormalization", [x, scale, bias], opset=21, **how)
    )
    shared = [np.repeat(draw(groups), 6 // groups) for _ in range(2)]
    few = [s[:: 6 // groups] for s in shared]
    (old,) = run(*node_model("GroupNormalization", [x, *few], opset=18, **how))
    (new,) = run(*node_model("GroupNormalization", [x, *shared], opset=21, **how))
    np.testing.assert_allclose(old, new, rtol=1e-5)
    assert got.shape == x.shape


@pytest.mark.parametrize("axis", [-1, 1, 2, 0])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("outputs", [1, 3])
def test_layer_norm(axis: int, biased: bool, outputs: int) -> None:
    x = draw(3, 4, 5)
    shape = x.shape[axis:]
    inputs = [x, draw(*shape), *([draw(*shape)] if biased else [])]
    how: dict[str, Any] = {"axis": axis, "outputs": outputs, "epsilon": 1e-3}
    same_as_ort(*node_model("LayerNormalization", inputs, **how), rtol=1e-4)
    same_decomposed(*node_model("LayerNormalization", inputs, **how))


def test_layer_norm_of_halves_has_float_statistics() -> None:
    x, scale = draw(2, 8).astype(np.float16), draw(8).astype(np.float16)
    y, mean, inverse = run(*node_model("LayerNormalization", [x, scale], outputs=3))
    assert (y.dtype, mean.dtype, inverse.dtype) == (np.float16, np.float32, np.float32)
    assert mean.shape == inverse.shape == (2, 1)
    (brain,) = run(
        *node_model(
            "LayerNormalization",
            [x.astype(ml_dtypes.bfloat16), scale.astype(ml_dtypes.bfloat16)],
        )
    )
    np.testing.assert_allclose(brain.astype(np.float32), y, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("scale", [(1,), (5,), (4, 1), (3, 1, 1), (1, 4, 5)])
def test_layer_norm_by_a_scale_that_broadcasts(scale: tuple[int, ...]) -> None:
    x, factor = draw(3, 4, 5), draw(*scale)
    (got,) = run(*node_model("LayerNormalization", [x, factor], axis=1))
    centred = x - x.mean((1, 2), keepdims=True)
    want = centred / np.sqrt((centred**2).mean((1, 2), keepdims=True) + 1e-5) * factor
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", [-1, 1])
def test_rms_norm(axis: int) -> None:
    x = draw(3, 4, 5)
    inputs = [x, draw(*x.shape[axis:])]
    same_as_ort(*node_model("RMSNormalization", inputs, opset=23, axis=axis), rtol=1e-4)
    same_decomposed(*node_model("RMSNormalization", inputs, opset=23, axis=axis))


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_lp_norm(p: int, axis: int) -> None:
    x = draw(3, 4, 5)
    node_same_as_ort("LpNormalization", [x], p=p, axis=axis)
    x[:] = 0
    (zeros,) = run(*node_model("LpNormalization", [x], p=p, axis=axis))
    np.testing.assert_array_equal(zeros, x)


def test_mean_variance_norm() -> None:
    x = draw(2, 3, 4, 5)
    same_as_ort(*node_model("MeanVarianceNormalization", [x], opset=13), rtol=1e-4)
    same_as_ort(
        *node_model("MeanVarianceNormalization", [x], opset=13, axes=[0, 1, 2, 3]),
        rtol=1e-4,
    )


@pytest.mark.parametrize(
    "body",
    [
        "BatchNormalization(x, s, s, s, v)",
        "InstanceNormalization(x, s, s)",
        "GroupNormalization<num_groups=2>(x, s, s)",
    ],
)
def test_symbolic_sizes(body: str) -> None:
    text = f"g (float[n, 4, h, w] x) => (float[a, b, c, d] y) {{ y = {body} }}"
    parts = {"s": draw(4), "v": np.abs(draw(4))}
    assert output_types(text, **parts) == "float32[n, 4, h, w]"
    same_as_ort(model_of(text, **parts), {"x": draw(2, 4, 3, 5)}, rtol=1e-4)


@pytest.mark.parametrize("opset", [1, 6])
def test_batch_norm_with_a_test_flag(opset: int) -> None:
    inputs = [draw(2, 3, 4), *statistics(3)]
    how: dict[str, Any] = {"epsilon": 1e-3}
    extra: dict[str, Any] = {"consumed_inputs": [0, 0, 0, 1, 1]} if opset == 1 else {}
    (new,) = run(*node_model("BatchNormalization", inputs, opset=15, **how))
    old = node_model(
        "BatchNormalization", inputs, opset=opset, is_test=1, **how, **extra
    )
    np.testing.assert_array_equal(run(*old)[0], new)
