"""``graphwright optimize``: what it writes, prints and refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

import graphwright as gw
from graphwright.cli import main

DIGITS = Path(str(gw.__file__)).parent / "data" / "digits.onnx"

Capture = pytest.CaptureFixture[str]


def test_writes_a_smaller_model_that_means_the_same(
    capsys: Capture, tmp_path: Path
) -> None:
    out = tmp_path / "out.onnx"
    assert main(["optimize", str(DIGITS), str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    names = [row["name"] for row in report["passes"]]
    assert names[:2] == ["roll_loops", "integer_kernels"]
    assert "simplify" in names
    assert report["passes"][-1]["after"] < report["passes"][0]["before"]
    image = np.random.default_rng(0).random((1, 1, 32, 32), np.float32)
    feeds = {"image": image}
    before, after = (gw.compile(path).run(None, feeds) for path in (DIGITS, out))
    np.testing.assert_allclose(after[0], before[0], atol=1e-5)


def test_prints_the_graph_after_a_pass(capsys: Capture, tmp_path: Path) -> None:
    words = ["--passes", "simplify,remove_dead", "--print-after", "simplify"]
    assert main(["optimize", str(DIGITS), str(tmp_path / "o.onnx"), *words]) == 0
    out, err = capsys.readouterr()
    assert "remove_dead" in out
    assert err.startswith("# after simplify\ngraphwright.ir 1\n")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--passes", "nothing"], "there is no pass 'nothing'"),
        (["--print-after", "nothing"], "--print-after 'nothing'"),
        (["--fast-math", "--strict-float"], "exclude each other"),
        (["--pipeline", "nothing"], "nothing"),
    ],
)
def test_refuses(
    capsys: Capture, tmp_path: Path, words: list[str], problem: str
) -> None:
    assert main(["optimize", str(DIGITS), str(tmp_path / "o.onnx"), *words]) == 2
    assert problem in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
