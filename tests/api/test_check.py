"""``check`` says what compiling and running then do; ``inspect`` what is there."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_graphs import model_of

import graphwright as gw
from graphwright import config
from graphwright.backends.numpy.backend import NumpyBackend
from graphwright.checks import DECOMPOSED, DEFERRED, FALLS_BACK
from graphwright.ir.op import Op, Tier
from graphwright.ir.types import Type

ROOT = Path(__file__).resolve().parents[2]
DIGITS = Path(str(gw.__file__)).parent / "data" / "digits.onnx"


class Picky(NumpyBackend):
    """Runs what numpy runs, but no op whose name it is told, and no control flow."""

    name = "picky"

    def __init__(self, *without: str) -> None:
        self.without = without

    def supports(self, op: Op, types: Sequence[Type]) -> bool:
        return op.tier is not Tier.CONTROL and op.name not in self.without


def outcomes(report: gw.CheckReport) -> set[tuple[str, str]]:
    return {(f.op, f.outcome) for f in report.findings}


def test_numpy_runs_the_digits() -> None:
    report = gw.check(DIGITS, "numpy")
    assert report.ok
    assert report.findings == ()
    assert report.nodes > 0
    assert "runs all" in str(report)


def test_composites_are_decomposed() -> None:
    report = gw.check(DIGITS, backend=Picky("softmax"))
    assert report.ok
    assert outcomes(report) == {("softmax", DECOMPOSED)}
    exe = gw.compile(DIGITS, backend=Picky("softmax"), strict=True)
    assert exe.run(None, {"image": np.zeros((1, 1, 32, 32), np.float32)})
    assert exe.fallbacks == []


@pytest.mark.parametrize("without", [("exp", "softmax"), ("conv",), ("dot", "max"), ()])
def test_what_is_said_is_what_happens(without: tuple[str, ...]) -> None:
    report = gw.check(DIGITS, backend=Picky(*without))
    feeds = {"image": np.zeros((2, 1, 32, 32), np.float32)}
    exe = gw.compile(DIGITS, backend=Picky(*without))
    exe.run(None, feeds)
    said = {(f.op, f.source) for f in report.findings if f.outcome == FALLS_BACK}
    assert said == {(f.op, f.source) for f in exe.fallbacks}
    assert report.ok == (not exe.fallbacks)
    if without:
        with pytest.raises(gw.UnsupportedOpError, match="picky"):
            gw.compile(DIGITS, backend=Picky(*without), strict=True).run(None, feeds)


BRANCHES = """g (float[n] x, bool b) => (float[n] y) { y = If(b) <
then_branch = t () => (float[n] a) { a = Exp(x) },
else_branch = e () => (float[n] c) { c = Sin(x) }> }"""


def test_sub_graphs_are_looked_into() -> None:
    model = model_of(BRANCHES)
    assert outcomes(gw.check(model, backend=Picky("sin"))) == {("sin", FALLS_BACK)}
    report = gw.check(model, backend=Picky())
    assert report.ok
    assert report.nodes >= 2


def test_what_waits_for_values_is_named() -> None:
    text = "g (float[n, 3] x, int64[1] axes) => (float[*] y) { y = ReduceSum(x, axes) }"
    model = model_of(text.replace("float[*] y", "float y"))
    model.graph.output[0].ClearField("type")
    report = gw.check(model, backend="numpy")
    assert outcomes(report) == {("ReduceSum", DEFERRED)}
    assert report.ok


def test_reports_are_frozen_and_readable() -> None:
    report = gw.check(gw.load(DIGITS), backend=Picky("conv"))
    with pytest.raises(AttributeError):
        report.backend = "other"  # type: ignore[misc]
    found = json.loads(report.to_json())
    assert found["ok"] is False
    names = {"op", "source", "types", "attributes", "outcome"}
    assert names == set(found["findings"][0])
    assert "strides=[1, 1]" in found["findings"][0]["attributes"]
    assert found["findings"][0]["types"].startswith("float32[batch, 1, 32, 32]")
    assert FALLS_BACK in str(report)
    assert "\x1b" not in str(report)
    assert repr(report).startswith("<check of 'digits' on picky: ")
    assert "<pre" in report._repr_html_()


def test_no_device_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Absent(Picky):
        name = "absent"

        def unavailable(self) -> str | None:
            return "it has no device"

    monkeypatch.setattr("graphwright.backends.registry._factories", {"absent": Absent})
    monkeypatch.setattr("graphwright.backends.registry._instances", {})
    assert gw.check(DIGITS, backend="absent").ok
    with pytest.raises(gw.BackendUnavailable, match="it has no device"):
        gw.compile(DIGITS, backend="absent")


# --- inspect --------------------------------------------------------------------------


def test_inspect() -> None:
    found = gw.inspect(DIGITS)
    assert found.graph == gw.load(DIGITS)
    assert str(found.inputs["image"]) == "float32[batch, 1, 32, 32]"
    assert list(found.outputs) == ["probabilities"]
    assert found.dims == ("batch",)
    assert found.operators["Conv"] == 2
    assert found.operators["Gemm"] == 3
    assert found.nodes == sum(found.ops.values())
    assert found.parameters == 61_706
    assert found.parameter_bytes == 4 * 61_706
    assert found.opsets == ("ai.onnx 18",)
    assert json.loads(found.to_json())["metadata"]["labels"].startswith("[")
    assert "image" in found._repr_html_()
    with pytest.raises(gw.FeedError, match="'n'"):
        gw.inspect(DIGITS, dims={"n": 1})


def test_inspect_counts_operations() -> None:
    text = "g (float[n, 5] x, float[5, 7] w) => (float[n, 7] y) { y = MatMul(x, w) }"
    model = model_of(text)
    assert gw.inspect(model, dims={"n": 3}).flops == 2 * 3 * 5 * 7
    assert str(gw.inspect(model).flops) == "70*n"
    assert gw.inspect(gw.load(model)).header is None
    assert "70*n" in str(gw.inspect(model))


# --- notebooks, settings --------------------------------------------------------------


def test_graphs_show_in_notebooks() -> None:
    model: Any = model_of("g (float[n] x) => (float[n] y) { y = Relu(x) }")
    model.graph.name = "<script>"
    html = gw.load(model)._repr_html_()
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert "float32[n]" in html


def test_every_setting_is_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for variable in config.VARIABLES:
        assert (
            f"| `{variable.name}` | {variable.default} | {variable.meaning} |" in page
        )
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("api", "backends", "frontends", "ir", "passes")
        for path in (ROOT / folder).rglob("*.py")
    )
    named = set(re.findall(r"\bGRAPHWRIGHT_[A-Z_]+", code))
    assert named == {variable.name for variable in config.VARIABLES}
    monkeypatch.setenv("GRAPHWRIGHT_BACKEND", "abacus, numpy")
    assert gw.compile(DIGITS).options.backend.name == "numpy"
    monkeypatch.setenv("GRAPHWRIGHT_BACKEND", "abacus")
    with pytest.raises(gw.BackendUnavailable, match="abacus"):
        gw.compile(DIGITS)
