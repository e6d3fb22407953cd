"""The examples run, each in a process of its own, and stay short."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

SAYS = {
    "build_a_graph": ("n = 100: y is (100, 3)", "refused: input 'x' has size 5"),
    "custom_op": (
        "squash.1(%1) {width=2.0}",
        "([0. , 0.8, 1. ]",
        "([0.  , 0.48, 0.  ]",
    ),
    "inspect_values": ("probabilities  (1, 10)",),
    "read_digits": ("7.png: 7, 9", "ms"),
    "write_a_backend": ("largest difference", "1 decomposed", "fell back: "),
}
"""What each prints, among other things."""

APART = {"train_digits"}
"""It trains the shipped model, in minutes: tests read what it wrote."""


def test_every_example_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == SAYS.keys() | APART


@pytest.mark.parametrize("name", sorted(SAYS))
def test_example(name: str, tmp_path: Path) -> None:
    path = EXAMPLES / f"{name}.py"
    run = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    for text in SAYS[name]:
        assert text in run.stdout


@pytest.mark.parametrize("name", sorted(SAYS))
def test_example_is_short_and_says_what_it_shows(name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    assert f"python examples/{name}.py" in (ast.get_docstring(ast.parse(text)) or "")
