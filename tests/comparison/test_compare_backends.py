"""Comparing backends: nothing is missed, nothing is invented, every value counts."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from faulty_backend import Fault, Faulty, scaled, stale

import graphwright as gw
import graphwright.numpy as gnp
from graphwright.backends.numpy.kernels.threads import use_threads
from graphwright.comparison.alignment import Fate
from graphwright.comparison.compare import worse
from graphwright.comparison.labels import labelled
from graphwright.comparison.metrics import Metrics, measure
from graphwright.comparison.peers import PEERS, OnnxReferenceRunner
from graphwright.comparison.precision import with_float
from graphwright.comparison.runners import Feeds, GraphwrightRunner
from graphwright.ir.builder import Builder
from graphwright.ir.dtype import bfloat16, float16, float32
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType, TokenType
from graphwright.passes import manager, pipeline
from graphwright.passes.rules import RuleSet
from graphwright.testing import random_graph
from graphwright.testing.random_graphs import aimed_graph
from graphwright.testing.shadow import Bound
from graphwright.testing.values import inputs_for

DIGITS = Path(str(gw.__file__)).parent / "data" / "digits.onnx"

# Verdicts -----------------------------------------------------------------------------


def test_backends_that_agree() -> None:
    report = gw.compare(DIGITS, ["numpy", "reference", "onnxruntime", "onnx"])
    assert report.ok
    assert report.verdict.startswith("numpy, reference, onnxruntime and onnx agree")
    assert str(report).startswith(report.verdict)
    assert not report.left_out
    assert set(report.end_to_end["probabilities"]) == {
        *("numpy", "reference", "onnxruntime", "onnx")
    }


FAULTS: list[tuple[str, Fault]] = [
    ("conv", scaled(1e-3)),
    ("conv", scaled(1e-4)),
    ("softmax", scaled(2e-4)),
    ("dot", scaled(1e-4)),
    ("reduce_window", lambda y, *_: np.roll(y, 1, -1)),
    ("softmax", lambda y, *_: y.astype(np.float64)),
    ("softmax", lambda y, *_: y.astype(np.float16).astype(np.float32)),
    ("softmax", stale()),
]


@pytest.mark.parametrize(("op", "fault"), FAULTS)
def test_a_wrong_kernel_is_named(op: str, fault: Fault) -> None:
    report = gw.compare(DIGITS, [Faulty(op, fault), "reference"])
    assert not report.ok
    first = report.verdict
    assert first.startswith("faulty and reference part at ")
    assert f"the kernel of faulty for {op}(" in first


def test_a_copy_is_equal_to_what_it_is_of() -> None:
    def one_ulp_off(y: Any, *_: Any) -> Any:
        return (y.view(np.uint16) ^ np.uint16(1)).view(y.dtype)

    def turned(x: Any) -> Any:
        return gnp.take(x, np.array([2, 0, 1]))

    graph = gw.trace(turned, gw.spec("bfloat16", (3,)))
    feeds = [np.array([1.5, -2.25, 0.125], ml_dtypes.bfloat16)]
    assert gw.compare(graph, ["numpy", "reference"], feeds).ok
    report = gw.compare(graph, [Faulty("gather", one_ulp_off)], feeds)
    assert "the kernel of faulty for gather(" in report.verdict
    assert "times its bound" not in report.verdict


def test_only_the_guilty_node_is_charged() -> None:
    report = gw.compare(DIGITS, [Faulty("reduce_window", scaled(1e-2))], samples=1)
    assert {f.value for f in report.findings} == {"p1", "p2"}


def test_a_wrong_rewrite_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """``x + -0 = x`` becomes ``x + -0 = x + x / 4096``."""

    def wrong(b: Any, x: Value) -> Any:
        return b.add(
            x, b.mul(x, b.broadcast_to(b.constant(2.0**-12, float32), x.shape))
        )

    rewrites = [
        r if r.name != "add_nothing" else replace(r, function=wrong, wants=("x",))
        for r in pipeline.CANONICALIZE.rewrites
    ]
    rules = RuleSet("canonicalize", rewrites)
    monkeypatch.setitem(manager.PASSES, "canonicalize", rules)
    report = gw.compare(graph_with_nothing_added(), ["numpy"])
    assert "guilty: the rewrite add_nothing in canonicalize" in report.verdict


def graph_with_nothing_added() -> Graph:
    b = Builder()
    x = b.input("x", TensorType(float32, (3, 4)))
    zero = b.broadcast_to(b.constant(-0.0, float32), (3, 4))
    return b.finish([b.neg(b.exp(b.add(b.tanh(x), zero)))])


# Provenance ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_every_value_is_accounted_for(seed: int) -> None:
    graph = random_graph(seed)
    original = labelled(graph)
    made = sum(len(node.results) for node in graph.walk()) + len(graph.inputs)
    assert len(original.labels) == made
    runner = GraphwrightRunner("numpy", original, "numpy")
    assert set(runner.accounts()) == set(original.labels)


def test_counts_add_up_and_fusions_list_what_is_inside() -> None:
    report = gw.compare(DIGITS, ["numpy"], samples=1)
    counts = report.accounting("numpy")
    assert sum(counts.values()) == len(report.original.labels)
    fusions = report.fusions("numpy")
    assert "c1" in fusions["r1"]
    assert sum(map(len, fusions.values())) == counts[Fate.FUSED.value]
    gone = [a for a in report.runners[0].accounts.values() if a.fate is Fate.GONE]
    assert gone
    assert all(a.where for a in gone)


@pytest.mark.parametrize("seed", range(24))
def test_each_value_is_shown_or_in_a_fusion_or_gone(seed: int) -> None:
    """Of random graphs, and of graphs aimed at rewrites."""
    graph = random_graph(seed) if seed % 2 else aimed_graph(seed)
    original = labelled(graph)
    runner = GraphwrightRunner("numpy", original, "numpy")
    feeds = dict(zip(graph.input_names, inputs_for(graph, seed), strict=True))
    shown, accounts = runner.run(feeds).values, runner.accounts()
    assert list(accounts) == list(original.labels)
    for name, account in accounts.items():
        label = original.labels[name]
        if account.fate in (Fate.KEPT, Fate.FOLDED):
            is_token = isinstance(label.type, TokenType)
            assert name in shown or is_token or label.node < 0, name
        else:
            assert name not in shown, name
            assert account.where, name


def test_the_plan_is_the_same_with_and_without_comparing() -> None:
    report = gw.compare(DIGITS, ["numpy"], samples=1)
    exe = gw.compile(DIGITS, backend="numpy")
    assert report.runners[0].digest == exe.digest(batch=1)
    assert exe.digest(batch=1) != exe.digest(batch=2)


def test_values_of_channels_last_layouts_are_brought_back() -> None:
    report = gw.compare(DIGITS, ["numpy"], samples=1)
    views = {n: a.view for n, a in report.runners[0].accounts.items()}
    assert views["r1"] == "transpose [0, 2, 3, 1]"
    assert report.values["r1"]["numpy"].ok


@pytest.mark.parametrize("seed", range(40))
def test_no_false_alarm_over_random_graphs(seed: int) -> None:
    graph = random_graph(seed)
    report = gw.compare(graph, ["numpy"], inputs_for(graph, seed))
    assert report.ok, report.verdict


# Inputs -------------------------------------------------------------------------------


def test_functions_of_python() -> None:
    def f(x: Any, w: Any) -> Any:
        return np.tanh(x @ w) + 1

    x, w = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)
    report = gw.compare(f, ["numpy", "python"], inputs=(x, w))
    assert report.ok
    assert [r.name for r in report.runners] == ["numpy", "python"]


def test_a_callable_that_is_wrong() -> None:
    graph = graph_with_nothing_added()

    def mine(x: Any) -> Any:
        return -np.exp(np.tanh(x)) * np.float32(1.001)

    report = gw.compare(graph, ["reference", mine])
    assert report.verdict.startswith("mine and reference part at output 'out0'")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("kind", ["random", "special", "-1:1"])
def test_other_floats_and_kinds_of_samples(dtype: str, kind: str) -> None:
    report = gw.compare(DIGITS, ["numpy"], samples=[kind], dtype=dtype, search=2)
    assert report.ok, report.verdict
    assert report.original.graph.input_types[0].dtype.name == dtype  # type: ignore[union-attr]
    assert report.samples == [f"{kind} 0", f"searched near {kind} 0"]


def test_ops_without_a_dtype_keep_theirs_between_casts() -> None:
    def f(x: Any) -> Any:
        return gnp.abs(gnp.fft.rfft(x * 2)) + 1

    graph = gw.trace(f, gw.spec("float32", (16,)))
    narrow = with_float(graph, "float16")
    assert [v.dtype.name for v in narrow.outputs] == ["float16"]
    assert {n.op.name for n in narrow.nodes} == {
        *("cast", *(n.op.name for n in graph.nodes))
    }
    assert gw.compare(graph, ["numpy", "reference"], dtype="float16").ok


def test_what_cannot_take_part_is_left_out() -> None:
    report = gw.compare(DIGITS, ["numpy", "nothing"], samples=1)
    assert "no backend 'nothing'" in report.left_out["nothing"]
    assert report.verdict.endswith("on 1 sample; nothing left out")
    assert report.ok
    with pytest.raises(gw.BackendUnavailable, match="nothing"):
        gw.compare(DIGITS, ["numpy", "nothing"], strict=True)
    graph = graph_with_nothing_added()

    def two(x: Any) -> Any:
        return x, x

    report = gw.compare(graph, ["numpy", two])
    assert "two gave 2 outputs" in report.left_out["two"]
    with pytest.raises(gw.FeedError, match="two gave 2 outputs"):
        gw.compare(graph, ["numpy", two], strict=True)


class Crashing(OnnxReferenceRunner):
    """A system that brings the process down."""

    name = "crashing"

    def plain(self, feeds: Feeds) -> list[Any]:
        os.abort()


def test_a_system_that_crashes_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PEERS, "crashing", Crashing)
    report = gw.compare(DIGITS, ["numpy", "crashing", "onnx"], dtype="float16")
    assert "crashing crashes on this model" in report.left_out["crashing"]
    assert [r.name for r in report.runners] == ["numpy", "onnx"]


def test_inputs_that_do_not_fit() -> None:
    with pytest.raises(gw.FeedError, match="no input is called 'y'"):
        gw.compare(DIGITS, ["numpy"], {"y": 1})
    with pytest.raises(gw.FeedError, match="say random, special or LOW:HIGH"):
        gw.compare(DIGITS, ["numpy"], samples=["odd"])
    with pytest.raises(gw.FeedError, match="give its arguments"):
        gw.compare(lambda x: x, ["numpy"])
    with pytest.raises(gw.FeedError, match="got int"):
        gw.compare(lambda x: x, ["numpy"], 5)
    with pytest.raises(gw.FeedError, match="got int"):
        gw.compare(DIGITS, ["numpy"], 5)
    with pytest.raises(gw.FeedError, match="not negative"):
        gw.compare(DIGITS, ["numpy"], samples=-1)
    with pytest.raises(gw.FeedError, match="none may be negative"):
        gw.compare(DIGITS, ["numpy"], rounds=-1)
    backends: Any = ["numpy", 7]
    with pytest.raises(gw.ArgumentError, match=r"backends must be .*, got .*7"):
        gw.compare(DIGITS, backends)


# Golden runs, files -------------------------------------------------------------------


def test_a_folder_that_is_missing_is_said_before_anything_runs(tmp_path: Path) -> None:
    path = str(tmp_path / "none" / "golden.npz")
    with pytest.raises(gw.ModelError, match=r"there is no folder .* make it first"):
        gw.compare("no such model", ["numpy"], save=path)
    report = gw.compare(DIGITS, ["numpy"])
    with pytest.raises(gw.ModelError, match="there is no folder"):
        report.to_html(str(tmp_path / "none" / "report.html"))


def test_each_backend_runs_once_a_sample_and_once_unobserved() -> None:
    runs: list[int] = []

    def counted(y: Any, *_: Any) -> Any:
        runs.append(1)
        return y

    backend = Faulty("conv", counted)
    convolutions = 2
    assert gw.compare(DIGITS, [backend], samples=3).ok
    assert len(runs) == convolutions * 4


def test_later_runs_copy_into_memory_that_is_there() -> None:
    original = labelled(gw.load(DIGITS))
    runner = GraphwrightRunner("numpy", original, "numpy")
    rows = [
        {"image": np.full((n, 1, 32, 32), i, np.float32)}
        for i, n in enumerate((2, 2, 3))
    ]
    first, second, larger = (runner.run(row).values["r1"] for row in rows)
    assert np.shares_memory(first, second)
    assert not np.shares_memory(second, larger)


def test_golden_runs(tmp_path: Path) -> None:
    path = str(tmp_path / "golden.npz")
    saved = gw.compare(DIGITS, ["numpy"], dtype="bfloat16", save=path)
    assert saved.written == {"golden": path}
    again = gw.compare(DIGITS, ["reference"], dtype="bfloat16", golden=path)
    assert again.ok
    assert [r.name for r in again.runners] == ["reference", "golden"]
    wrong = gw.compare(
        DIGITS, [Faulty("conv", scaled(0.1))], golden=path, dtype="bfloat16"
    )
    assert wrong.verdict.startswith("faulty and golden part at ")
    with pytest.raises(gw.ModelError, match="are other ones"):
        gw.compare(graph_with_nothing_added(), ["numpy"], golden=path)
    (tmp_path / "bad.npz").write_bytes(b"no")
    with pytest.raises(gw.ModelError, match="is no golden run"):
        gw.compare(DIGITS, ["numpy"], golden=str(tmp_path / "bad.npz"))


def test_reports_as_json() -> None:
    report = gw.compare(DIGITS, [Faulty("conv", scaled(0.1)), "reference"], rounds=2)
    data = json.loads(report.to_json())
    assert data["ok"] is False
    assert data["findings"][0]["text"] == data["verdict"]
    assert data["runners"][0]["times"]["runs"] == 2
    assert len(data["values"]) == len(report.original.labels)


def test_a_case_is_shrunk_and_written(tmp_path: Path) -> None:
    folder = tmp_path / "case"
    backend = Faulty("conv", scaled(1e-4))
    report = gw.compare(DIGITS, [backend, "reference"], bisect=str(folder))
    assert report.reproducer is not None
    assert len(report.reproducer.graph.nodes) <= 5
    names = {path.name for path in folder.iterdir()}
    assert names == {"case.json", "data.npz", "model.onnx", "reproduce.py"}
    again = gw.compare(folder / "model.onnx", [backend], report.reproducer.inputs)
    assert not again.ok


def test_terms_of_a_transform_cancel() -> None:
    """Of a constant, all frequencies but the first are 0, and off by roundings."""

    def direct(x: Any) -> Any:
        k = np.arange(33)[:, None] * np.arange(64)
        turns = np.exp(-2j * np.pi * k / 64).astype(np.complex64)
        return (x[:, None, :].astype(np.complex64) * turns).sum(-1).astype(np.complex64)

    b = Builder("transform")
    x = b.input("x", TensorType(float32, (2, 64)))
    y = b.emit("fft", x, kind="rfft", axis=1, n=64)
    graph = b.finish([y], ["y"])
    inputs = np.full((2, 64), 1 / 3, np.float32)
    report = gw.compare(graph, ["numpy", "reference", direct], [inputs])
    assert report.ok, report.verdict


# Metrics ------------------------------------------------------------------------------


def test_metrics_of_known_differences() -> None:
    want = np.array([[1.0, 2.0, 4.0]])
    have = np.array([[1.0, 2.0, 4.0 + 2**-20]], np.float32)
    m = measure(have, want, float32)
    assert m.max_abs == 2**-20
    assert m.max_rel == 2**-22
    assert m.max_ulp == 2.0
    assert m.argmax == 1.0
    assert m.snr == pytest.approx(10 * np.log10(21 / 2**-40))
    assert m.ok


def test_metrics_of_many_elements_whoever_takes_them() -> None:
    rng = np.random.default_rng(3)
    want = rng.normal(size=(50, 4001))
    have = (want + 1e-7 * rng.normal(size=want.shape)).astype(np.float32)
    have[40, 1234] += 2.0
    bound = Bound(want, np.full(want.shape, 1e-3))
    found = []
    for count in (1, 3):
        with use_threads(count):
            found.append(measure(have, want, float32, bound))
    assert found[0] == found[1]
    away = np.abs(have - want)
    assert found[0].at == (40, 1234)
    assert found[0].excess == pytest.approx(1e3 * away.max())
    assert found[0].mean_abs == pytest.approx(away.mean())
    assert found[0].max_rel == pytest.approx((away / np.abs(want)).max())
    norms = np.linalg.norm(have) * np.linalg.norm(want)
    assert found[0].cosine == pytest.approx(np.vdot(have, want) / norms)
    assert found[0].size == want.size


def test_metrics_of_what_is_no_number() -> None:
    have = np.array([np.nan, np.inf, 1.0], np.float32)
    want = np.array([0.0, 0.0, 1.0])
    m = measure(have, want, float32, Bound(want, np.full(3, 1e-3)))
    assert (m.nan, m.inf, m.excess) == (1, 1, np.inf)
    same = measure(have, have.astype(np.float64), float32)
    assert (same.nan, same.inf) == (0, 0)


def test_metrics_count_in_the_dtype_given() -> None:
    want = np.array([1.0])
    for dtype, eps in ((float16, 2**-10), (bfloat16, 2**-7), (float32, 2**-23)):
        have = np.array([1 + eps]).astype(dtype.numpy)
        assert measure(have, want, dtype).max_ulp == 1.0
    assert have.dtype != ml_dtypes.bfloat16


def test_an_error_everywhere_is_seen_below_the_bound() -> None:
    want = np.linspace(1, 2, 1000)
    bound = Bound(want, np.full(1000, 1e-3))
    biased = measure((want + 5e-4).astype(np.float32), want, float32, bound)
    assert biased.excess < 1
    assert not biased.ok
    alone = want.copy()
    alone[0] += 5e-4
    assert measure(alone.astype(np.float32), want, float32, bound).ok


def test_the_worst_of_two() -> None:
    a, b = (
        Metrics(max_abs=1.0, excess=0.5, cosine=0.9),
        Metrics(max_abs=0.5, excess=2.0),
    )
    assert worse(a, b) == worse(b, a)
    assert (worse(a, b).max_abs, worse(a, b).excess, worse(a, b).cosine) == (1, 2, 0.9)
