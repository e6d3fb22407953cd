"""``graphwright bench``: what it measures, writes and refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

import graphwright as gw
from graphwright.benchmark import Spent, bench
from graphwright.cli import main
from graphwright.ir.dim import UnboundSymbolError

DIGITS = str(Path(str(gw.__file__)).parent / "data" / "digits.onnx")
SHORT = ["--blocks", "2", "--seconds", "0.01", "--rest", "0"]

Capture = pytest.CaptureFixture[str]


def test_batches_threads_and_peers(capsys: Capture) -> None:
    words = ["--backends", "numpy,onnxruntime", "--batch", "1,4", "--threads", "1,2"]
    assert main(["bench", DIGITS, *words, *SHORT, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    found = {(r["backend"], r["batch"], r["threads"]) for r in data["rows"]}
    names = ("numpy", "onnxruntime")
    assert found == {(n, b, t) for n in names for b in (1, 4) for t in (1, 2)}
    row = data["rows"][0]
    times = row["percentiles"]
    assert 0 < times["5"] <= times["50"] <= times["95"] <= times["99"]
    assert len(row["blocks"]) == 2
    assert row["throughput"] == pytest.approx(row["batch"] / times["50"])


@pytest.mark.parametrize("more", [[], ["--batch", "1,8", "--threads", "1,2"]])
def test_tables_fit_into_eighty_columns(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    words = ["--backends", "numpy,reference", *SHORT, *more]
    assert main(["bench", DIGITS, *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line for line in lines if line.startswith(("  numpy ", "  reference "))]
    assert len(rows) == (8 if more else 2)
    assert len([line for line in lines if line.strip()]) == len(rows) + 3


def test_profile_by_source_and_trace(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "trace.json"
    assert main(["bench", DIGITS, *SHORT, "--profile", "--trace", str(path)]) == 0
    assert "Softmax" in capsys.readouterr().out
    events = json.loads(path.read_text())["traceEvents"]
    assert {"name", "ts", "dur", "args"} <= events[0].keys()
    assert any(
        "Conv" in e["args"]["source"] or "Relu" in e["args"]["source"] for e in events
    )


def test_a_profile_tells_rates_of_source_nodes() -> None:
    x, w = gw.spec("float32", ("n", 128)), np.ones((128, 64), np.float32)
    graph = gw.trace(lambda x: gw.numpy.tanh(x @ w), x)
    exe = gw.compile(graph)
    rows = exe.profile([np.ones((32, 128), np.float32)])
    flops = 2 * 32 * 128 * 64
    assert flops <= sum(row.flops for row in rows) <= flops + 32 * 64
    assert sum(row.nbytes for row in rows) >= 4 * (32 * 128 + 128 * 64 + 32 * 64)
    assert exe.cost_analysis(n=32)["flops"] == sum(row.flops for row in rows)
    with pytest.raises(UnboundSymbolError):
        exe.cost_analysis()
    spent = Spent("MatMul 'y'", 2e-3, 1, 4_000_000, 3_000_000)
    assert spent.cells() == ("MatMul 'y'", "2 ms", "1", "2", "1.5")
    assert Spent("Reshape", 1e-3, 1, 0, 0).cells()[-2:] == ("", "")


def test_what_cannot_run_is_left_out() -> None:
    report = bench(DIGITS, ["numpy", "nothing"], blocks=1, seconds=0.01, rest=0)
    assert "no backend 'nothing'" in report.left_out["nothing"]
    assert [row.backend for row in report.rows] == ["numpy"]
    with pytest.raises(gw.BackendUnavailable, match="no backend could run"):
        bench(DIGITS, ["nothing"])


def test_threads_are_as_before() -> None:
    before = gw.get_num_threads()
    bench(DIGITS, threads=[1], blocks=1, seconds=0.01, rest=0)
    assert gw.get_num_threads() == before


def test_plots(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib, of the extra report")
    path = tmp_path / "plot.png"
    report = bench(DIGITS, batches=[1, 2], blocks=1, seconds=0.01, rest=0)
    report.plot(path)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--batch", "x"], "is not a list of numbers"),
        (["--batch", "2", "--batch-dim", "no"], "no dim is called 'no'"),
    ],
)
def test_refuses(capsys: Capture, words: list[str], problem: str) -> None:
    assert main(["bench", DIGITS, *words]) == 2
    assert problem in capsys.readouterr().err
