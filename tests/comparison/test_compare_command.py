"""``graphwright compare``: its first line, its exit codes, its files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faulty_backend import Faulty, scaled

import graphwright as gw
from graphwright.backends import registry
from graphwright.cli import main
from graphwright.comparison import compare as comparing
from graphwright.comparison.judge import Judge
from graphwright.display import seconds_text

DIGITS = str(Path(str(gw.__file__)).parent / "data" / "digits.onnx")

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in ("_factories", "_instances"):
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))
    gw.register_backend("faulty", lambda: Faulty("conv", scaled(1e-3)))


def run(capsys: Capture, *words: str, code: int = 0) -> str:
    found = main(["compare", DIGITS, *words])
    out, err = capsys.readouterr()
    assert found == code, err
    return out


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize("option", ["--html", "--save", "--bisect"])
def test_what_cannot_be_written(capsys: Capture, tmp_path: Path, option: str) -> None:
    (tmp_path / "file").write_text("")
    path = str(tmp_path / "file" / "x")
    backends = ["--backends", "faulty"] if option == "--bisect" else []
    assert main(["compare", DIGITS, *backends, option, path]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_the_first_line_is_the_answer(capsys: Capture) -> None:
    out = run(capsys, "--backends", "numpy,reference,onnxruntime", "--per-node")
    first = out.splitlines()[0]
    assert first.startswith("numpy, reference, onnxruntime and onnxruntime (all")
    assert "inside a" in out


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((1.0, "1.00 s"), (0.9996, "1.00 s"), (0.99949, "999 ms"), (0.0034, "3.4 ms")),
        *((9.996e-4, "1 ms"), (9.994e-4, "999 µs"), (1.5e-6, "1.5 µs")),
    ],
)
def test_times_are_short(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_tables_fit_into_eighty_columns(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = run(
        capsys, "--backends", "numpy,onnxruntime,openvino,reference", "--per-node"
    )
    _, *lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines if line.startswith("  reference ")]
    outputs, times, values = rows
    assert outputs[4] == "1.000000"
    assert len(outputs) == 8
    assert times[2] in ("s", "ms", "µs")
    assert values[1] == "33"


@pytest.mark.usefixtures("faulty")
def test_where_two_part(capsys: Capture, tmp_path: Path) -> None:
    page, folder = tmp_path / "report.html", tmp_path / "case"
    words = ["--backends", "faulty,numpy", "--html", str(page), "--bisect", str(folder)]
    out = run(capsys, *words, code=1)
    assert out.startswith("faulty and numpy part at Relu")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (folder / "reproduce.py").exists()


def test_an_interrupt_leaves_no_files(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Judge, "__call__", interrupted)
    files = ["--save", str(tmp_path / "g.npz"), "--html", str(tmp_path / "r.html")]
    assert main(["compare", DIGITS, *files]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("faulty")
def test_what_cannot_be_shrunk_is_said(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(comparing, "minimal", lambda *_: None)
    words = ["--backends", "faulty", "--samples", "1", "--bisect", str(tmp_path / "x")]
    assert "nothing was written to" in run(capsys, *words, code=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("faulty")
def test_json(capsys: Capture) -> None:
    words = ["--backends", "faulty,numpy", "--json", "--samples", "1"]
    data = json.loads(run(capsys, *words, code=1))
    assert data["findings"][0]["runner"] == "faulty"
    assert "kernel of faulty" in data["findings"][0]["guilty"]


def test_files_in_and_out(capsys: Capture, tmp_path: Path) -> None:
    image = np.zeros((3, 1, 32, 32), np.float32)
    np.save(tmp_path / "x.npy", image)
    golden = str(tmp_path / "golden.npz")
    given = f"image={tmp_path / 'x.npy'}"
    run(capsys, "--backends", "numpy", "--input", given, "--save", golden)
    out = run(capsys, "--backends", "reference", "--golden", golden)
    assert "reference and golden agree" in out


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--samples", "odd"], "say random, special or LOW:HIGH"),
        (["--backends", "numpy,nothing", "--strict"], "no backend 'nothing'"),
        (["--golden", "nothing.npz"], "there is no golden run"),
        (["--dtype", "int8"], "dtype 'int8' is none of"),
    ],
)
def test_refuses(capsys: Capture, words: list[str], problem: Any) -> None:
    assert main(["compare", DIGITS, *words]) == 2
    assert problem in capsys.readouterr().err
