"""``graphwright bisect``: what it prints, writes and refuses."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faulty_rewrites import faulty

import graphwright as gw
from graphwright.cli import main
from graphwright.ir.dim import symbol
from graphwright.ir.dtype import float32
from graphwright.ir.types import TensorType

Capture = pytest.CaptureFixture[str]


def swapped(b: Any, x: Any, y: Any) -> Any:
    return b.sub(y, x)


@pytest.fixture
def model(tmp_path: Path) -> str:
    b = gw.Builder("sample")
    x, y = (b.input(n, TensorType(float32, (symbol("n"), 5))) for n in "xy")
    graph = b.finish([b.exp(b.add(b.tanh(x), b.neg(y)))], ["z"])
    path = tmp_path / "model.onnx"
    gw.export(graph, path)
    return str(path)


def run(capsys: Capture, *words: str, code: int) -> str:
    found = main(["bisect", *words])
    out, err = capsys.readouterr()
    assert found == code, err
    return out


def test_what_is_right(capsys: Capture, model: str) -> None:
    out = run(capsys, model, "--dim", "n=2", code=0)
    assert out == "within bounds after all 1 changes\n"
    data = json.loads(run(capsys, model, "--passes", "remove_dead", "--json", code=0))
    assert (data["ok"], data["steps"], data["graph"]) == (True, 0, None)


@pytest.mark.parametrize("backend", [(), ("--backend", "numpy")])
def test_what_is_wrong_is_named_and_written(
    capsys: Capture, model: str, tmp_path: Path, backend: tuple[str, ...]
) -> None:
    x = np.arange(10, dtype=np.float32).reshape(2, 5)
    np.save(tmp_path / "x.npy", x)
    words = ["--input", f"x={tmp_path / 'x.npy'}", "--save", str(tmp_path / "case")]
    with faulty("add_negative", swapped):
        out = run(capsys, model, *backend, *words, code=1)
        data = json.loads(run(capsys, model, *backend, "--json", code=1))
    assert out.startswith("add_negative in canonicalize, at Add")
    assert "= neg.1(" in out
    assert out.endswith(f"reproduced by {tmp_path / 'case' / 'reproduce.py'}\n")
    assert (data["rewrite"], data["pass"]) == ("add_negative", "canonicalize")
    assert data["error"] > data["bound"]
    script = [sys.executable, str(tmp_path / "case" / "reproduce.py")]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0].endswith(out.splitlines()[0])


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--passes", "nothing"], "there is no pass 'nothing'"),
        (["--backend", "nothing"], "no backend 'nothing'"),
        (["--backend", "numpy", "--passes", "simplify"], "runs its own passes"),
        (["--fast-math", "--strict-float"], "exclude each other"),
    ],
)
def test_refuses(capsys: Capture, model: str, words: list[str], problem: str) -> None:
    assert main(["bisect", model, *words]) == 2
    assert problem in capsys.readouterr().err
