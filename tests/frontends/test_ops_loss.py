"""Losses of ONNX, by ONNX Runtime and by hand."""

from typing import Any

import numpy as np
import pytest
from onnx_graphs import model_of, node_model, output_types, run, same_as_ort

RNG = np.random.default_rng(31)
SHAPES = [(4, 5), (2, 5, 3), (2, 5, 3, 2)]


def operands(shape: tuple[int, ...], weighted: bool) -> list[Any]:
    x = RNG.standard_normal(shape).astype(np.float32)
    target = RNG.integers(0, shape[1], (shape[0], *shape[2:]))
    weight = (RNG.random(shape[1]) + 0.1).astype(np.float32)
    return [x, target.astype(np.int64), *([weight] if weighted else [])]


@pytest.mark.parametrize("op", ["NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignore", [None, 2])
def test_losses(
    op: str, shape: tuple[int, ...], reduction: str, weighted: bool, ignore: int | None
) -> None:
    how: dict[str, Any] = {"reduction": reduction, "opset": 13}
    if ignore is not None:
        how["ignore_index"] = ignore
    model = node_model(op, operands(shape, weighted), **how)
    if op.startswith("Softmax"):
        same_as_ort(*model, rtol=1e-4)
        return
    x, target, *rest = operands(shape, weighted)
    (got,) = run(*node_model(op, [x, target, *rest], **how))
    share = rest[0][target] if weighted else np.ones(target.shape)
    share = np.where(target == ignore, 0, share) if ignore is not None else share
    loss = -np.take_along_axis(x, target[:, None], 1)[:, 0] * share
    want = {"none": loss, "sum": loss.sum(), "mean": loss.sum() / share.sum()}[
        reduction
    ]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    assert got.dtype == np.float32


def test_an_ignored_class_need_not_be_one() -> None:
    x, target = operands((4, 5), False)
    target[1] = -100
    (loss, log_prob) = run(
        *node_model(
            "SoftmaxCrossEntropyLoss", [x, target], outputs=2, ignore_index=-100
        )
    )
    np.testing.assert_allclose(np.exp(log_prob).sum(1), 1, rtol=1e-5)
    rows = [0, 2, 3]
    want = -log_prob[rows, target[rows]].mean()
    np.testing.assert_allclose(loss, want, rtol=1e-5)


def test_large_scores_do_not_overflow() -> None:
    x = np.array([[1e4, -1e4]], np.float32)
    (loss,) = run(*node_model("SoftmaxCrossEntropyLoss", [x, np.array([1])]))
    assert loss == 2e4


def test_symbolic_sizes() -> None:
    text = """g (float[n, c, h] x, int64[n, h] t) => (float l, float[p, q, r] y) {
        l, y = SoftmaxCrossEntropyLoss(x, t) }"""
    assert output_types(text) == "float32[], float32[n, c, h]"
    x, target = operands((2, 5, 3), False)
    same_as_ort(model_of(text), {"x": x, "t": target}, rtol=1e-4)
