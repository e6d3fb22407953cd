"""Random numbers: by seed, from the session's state, and in Dropout."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx_graphs import imported, model_of, node_model, node_same_as_ort, run

from graphwright.frontends.onnx.backend import GraphwrightBackend
from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.evaluate import evaluate
from graphwright.ir.ops.random import RandomNormal, RandomUniform
from graphwright.ir.types import TensorType

FLOAT, FLOAT16, DOUBLE, INT64 = 1, 10, 11, 7


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
@pytest.mark.parametrize("op", [RandomUniform, RandomNormal])
def test_decompositions_draw_the_same(op: Any, dtype: str) -> None:
    b = Builder()
    key = b.input("key", TensorType(dt.uint32, (2,)))
    made = op(shape=(50, 3), dtype=dt.DTYPES[dtype])
    graph = b.finish([*b.apply(made, [key]), made.decompose(b, key)])
    x, y = evaluate(graph, [np.array([7, 1], np.uint32)])
    assert x.dtype == y.dtype == dt.DTYPES[dtype].numpy
    wide = (x.astype(np.float64), y.astype(np.float64))
    np.testing.assert_allclose(*wide, rtol=1e-6)
    if op is RandomUniform:
        assert wide[0].min() >= 0
        assert wide[0].max() < 1


def test_moments() -> None:
    how: dict[str, Any] = {"shape": [200, 500], "seed": 3.0}
    (u,) = run(*node_model("RandomUniform", [], low=-1.0, high=3.0, **how))
    assert u.min() >= -1
    assert u.max() < 3
    assert abs(u.mean() - 1) < 0.02
    (z,) = run(*node_model("RandomNormal", [], mean=2.0, scale=0.5, **how))
    assert abs(z.mean() - 2) < 0.01
    assert abs(z.std() - 0.5) < 0.01
    assert np.isfinite(z).all()


def test_a_seed_repeats_and_another_does_not() -> None:
    def draw(seed: float) -> Any:
        return run(*node_model("RandomUniform", [], shape=[5], seed=seed))[0].tolist()

    assert draw(1.0) == draw(1.0)
    assert draw(1.0) != draw(2.0)


def test_without_a_seed_each_draw_of_a_session_differs() -> None:
    text = """g (float[n] x) => (a, b) { a = RandomUniformLike(x)
      b = RandomUniformLike(x) }"""
    graph = imported(model_of(text))
    state: dict[str, Any] = {}
    x = np.zeros(4, np.float32)
    rows = [y.tolist() for _ in range(3) for y in evaluate(graph, [x], state)]
    assert len({tuple(row) for row in rows}) == 6
    again = evaluate(graph, [x], {})
    assert [y.tolist() for y in again] == rows[:2]


@pytest.mark.parametrize("name", ["RandomUniformLike", "RandomNormalLike"])
def test_like_an_operand(name: str) -> None:
    x = np.zeros((2, 0, 3), np.float64)
    assert run(*node_model(name, [x]))[0].dtype == np.float64
    (y,) = run(*node_model(name, [x], dtype=FLOAT16))
    assert y.dtype == np.float16
    assert y.shape == (2, 0, 3)


def test_bernoulli() -> None:
    p = np.array([[0.0, 1.0, 0.25]], np.float32).repeat(4000, 0)
    (y,) = run(*node_model("Bernoulli", [p], seed=1.0, dtype=INT64))
    assert y.dtype == np.int64
    assert y[:, 0].max() == 0
    assert y[:, 1].min() == 1
    assert abs(y[:, 2].mean() - 0.25) < 0.03


def test_multinomial() -> None:
    p = np.array([[0.1, 0.0, 0.6, 0.3], [1, 0, 0, 0]])
    with np.errstate(divide="ignore"):
        x = np.log(p).astype(np.float32)
    how: dict[str, Any] = {"sample_size": 5000, "seed": 1.0, "dtype": INT64}
    (y,) = run(*node_model("Multinomial", [x], **how))
    assert y.shape == (2, 5000)
    found = np.bincount(y[0], minlength=4) / 5000
    np.testing.assert_allclose(found, p[0], atol=0.03)
    assert found[1] == 0
    assert y[1].max() == 0


# Dropout ------------------------------------------------------------------------------


@pytest.mark.parametrize("opset", [7, 10, 12, 13])
def test_dropout_does_nothing_in_inference(opset: int) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    node_same_as_ort("Dropout", [x], opset=opset)
    y, mask = run(*node_model("Dropout", [x], 2, opset=opset))
    assert y.tolist() == x.tolist()
    assert mask.dtype == (np.float32 if opset < 10 else np.bool_)
    assert mask.all()


def test_dropout_of_first_opsets() -> None:
    x = np.ones((40, 50), np.float32)
    y, mask = run(*node_model("Dropout", [x], 2, opset=6, is_test=1))
    assert mask.dtype == np.float32
    assert y.tolist() == x.tolist()
    y, mask = run(*node_model("Dropout", [x], 2, opset=1, ratio=0.25))
    assert set(np.unique(y).tolist()) == {0.0, np.float32(4 / 3)}
    assert abs(mask.mean() - 0.75) < 0.05
    assert (mask == (y != 0)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("known", [True, False])
def test_dropout_in_training_is_numpy_s_stream(dtype: Any, known: bool) -> None:
    x = np.linspace(1, 2, 24).reshape(4, 6).astype(dtype)
    inputs = [x, np.float32(0.75), np.bool_(True)]
    constants = [1, 2] if known else []
    model, feeds = node_model("Dropout", inputs, 2, constants=constants, seed=5)
    y, mask = run(model, feeds)
    keep = np.random.RandomState(5).uniform(size=x.shape) >= 0.75
    assert mask.tolist() == keep.tolist()
    want = np.where(keep, x.astype(np.float32) * 4, 0)
    assert y.dtype == x.dtype
    np.testing.assert_allclose(y.astype(np.float32), want, rtol=1e-2)


def test_dropout_that_is_told_at_run_time_not_to_train() -> None:
    x = np.ones(5, np.float32)
    model, feeds = node_model("Dropout", [x, np.float32(0.5), np.bool_(False)], 2)
    y, mask = run(model, feeds)
    assert y.tolist() == x.tolist()
    assert mask.all()
    assert str(imported(model).output_types[0]) == "float32[5]"


def test_draws_in_branches_and_for_operands_of_unknown_rank() -> None:
    text = """g (float x) => (y) { y = RandomUniformLike(x) }"""
    model = model_of(text)
    model.graph.input[0].type.tensor_type.ClearField("shape")
    prepared = GraphwrightBackend.prepare(model)
    feeds = [np.zeros(4, np.float32)]
    assert prepared.run(feeds)[0].tolist() != prepared.run(feeds)[0].tolist()
    branch = "() => (float[3] r) { r = RandomUniform<shape = [3]>() }"
    text = f"""g (bool c, float[3] x) => (float[3] y, float[3] z) {{
      z = RandomUniformLike(x)
      y = If (c) <then_branch = a {branch}, else_branch = b {branch}> }}"""
    prepared = GraphwrightBackend.prepare(model_of(text))
    rows = [prepared.run([np.array(c), feeds[0][:3]]) for c in (True, False, True)]
    assert len({tuple(y.tolist()) for row in rows for y in row}) == 6
