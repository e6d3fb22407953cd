"""ONNX's suite and real exporters' models: exported, they give the same results."""

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx_exports import (
    ExportedToOnnxRuntime,
    OnnxRuntime,
    RoundTrip,
    Suite,
    assert_same,
    by_reason,
    taken_back,
)

import graphwright as gw
from graphwright.ir.evaluate import evaluate

SUITE = Suite()

CANNOT_AGREE = {
    **dict.fromkeys(
        [
            "test_bernoulli_cpu",
            "test_bernoulli_double_cpu",
            "test_bernoulli_double_expanded_cpu",
            "test_bernoulli_expanded_cpu",
            "test_bernoulli_seed_cpu",
            "test_bernoulli_seed_expanded_cpu",
        ],
        "wants the numbers of one particular generator that ONNX does not name",
    ),
    "test_loop16_seq_none_cpu": "what a loop carries is an optional here and a sequence"
    " there, which strict shape inference refuses",
}

FOLDER = Path(__file__).parent.parent / "data" / "exporters"
MODELS: list[dict[str, Any]] = json.loads((FOLDER / "manifest.json").read_text())[
    "models"
]

RUNTIME_CRASHES = {
    "torch_dynamo/half_encoder.onnx": "ONNX Runtime 1.31 crashes on a float16 Transpose"
    " followed by MatMul"
}


RUNTIME_LACKS = {
    "test_einsum_batch_matmul_bfloat16_cpu": "ONNX Runtime 1.32 runs Einsum of"
    " bfloat16, but not the MatMul that it is in the exported model",
    "test_einsum_sum_bfloat16_cpu": "likewise the ReduceSum",
}


def complain(problems: dict[str, str]) -> None:
    if problems:
        pytest.fail(by_reason(problems), pytrace=False)


@pytest.mark.parametrize("part", range(8))
def test_every_model_of_the_suite_round_trips(part: int) -> None:
    problems: dict[str, str] = {}
    for name in SUITE.names()[part::8]:
        problem = SUITE.problem(RoundTrip, name)
        if problem and name not in CANNOT_AGREE:
            problems[name] = problem
        assert problem or name not in CANNOT_AGREE, f"{name} agrees after all"
    complain(problems)


def disagreements(names: list[str]) -> tuple[int, dict[str, str]]:
    """How many models ONNX Runtime runs as they are; those of them that it does not
    run, or not to the same results, once they were exported."""
    fair = [n for n in names if n not in RUNTIME_LACKS]
    runs = [n for n in fair if SUITE.problem(OnnxRuntime, n) is None]
    problems = {n: SUITE.problem(ExportedToOnnxRuntime, n) for n in runs}
    return len(runs), {n: p for n, p in problems.items() if p}


def test_onnx_runtime_agrees_on_a_sample() -> None:
    ran, problems = disagreements(SUITE.names()[::8])
    complain(problems)
    assert ran > 180


@pytest.mark.full
@pytest.mark.parametrize("part", range(8))
def test_onnx_runtime_agrees(part: int) -> None:
    ran, problems = disagreements(SUITE.names()[part::8])
    complain(problems)
    assert ran > 180


# Models that exporters wrote ----------------------------------------------------------


def feed(array: Any, declared: Any) -> Any:
    """A stored input as the model takes it."""
    if declared.numpy == np.dtype(object):
        return array.astype(object)
    own = declared.numpy
    if array.dtype != own and array.dtype.itemsize == own.itemsize:
        return array.view(own)
    return array


def stored_feeds(row: dict[str, Any], graph: Any) -> list[dict[str, Any]]:
    """The inputs of each case of a model."""
    types = dict(zip(graph.input_names, graph.input_types, strict=True))
    with np.load((FOLDER / row["file"]).with_suffix(".npz")) as data:
        return [
            {n: feed(data[f"case{i}/in/{n}"], types[n].dtype) for n in types}
            for i in range(row["cases"])
        ]


def id_of(row: dict[str, Any]) -> str:
    return str(row["file"]).removesuffix(".onnx")


@pytest.mark.parametrize("row", MODELS, ids=id_of)
def test_models_of_exporters(row: dict[str, Any]) -> None:
    graph = gw.load(FOLDER / row["file"])
    model, again = taken_back(graph)
    session = None
    if row["onnxruntime_ran"] and row["file"] not in RUNTIME_CRASHES:
        session = OnnxRuntime.prepare(model)
    for feeds in stored_feeds(row, graph)[:2]:
        values = [feeds[n] for n in graph.input_names]
        want = evaluate(graph, values)
        assert_same(evaluate(again, values), want)
        if session is not None:
            assert_agrees(session.run(values), want, row)


def assert_agrees(got: Any, want: Any, row: dict[str, Any]) -> None:
    """As near as the model's oracle was to the model; quantized products vary more."""
    loose = 0.2 if "4bit" in row["file"] else 1e-3
    for x, y in zip(got, want, strict=True):
        if not isinstance(y, np.ndarray) or y.dtype.kind in "OUS":
            continue
        wide = [np.asarray(v).astype(np.float64) for v in (x, y)]
        narrow = y.dtype in (np.float16, ml_dtypes.bfloat16)
        rtol = max(row["rtol"], 2e-2 if narrow else loose)
        size = np.abs(wide[1][np.isfinite(wide[1])]).max(initial=0)
        atol = max(row["atol"], rtol * size)
        np.testing.assert_allclose(wide[0], wide[1], rtol=rtol, atol=atol)
