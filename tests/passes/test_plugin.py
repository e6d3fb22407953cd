"""A package that adds a pass by an entry point, found as if it were installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import graphwright as gw

DIGITS = Path(str(gw.__file__)).parent / "data" / "digits.onnx"

MODULE = '''
from graphwright.passes.pattern import P
from graphwright.passes.rules import EXACT, RuleSet

RULES = RuleSet("gentle")


@RULES.rewrite(P.max("x", 0), EXACT)
def no_relu(b, x):
    """``max(x, 0) = x``, for the sake of a test."""
    return x


def nothing(graph):
    """The graph as it is."""
    return graph
'''

ENTRY_POINTS = """
[graphwright.passes]
gentle = gentle_passes:RULES
nothing = gentle_passes:nothing
absent = gentle_passes:absent
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A folder in which a package lies as an installer leaves it."""
    folder = tmp_path / "site"
    about = folder / "gentle_passes-1.0.dist-info"
    about.mkdir(parents=True)
    (folder / "gentle_passes.py").write_text(MODULE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: gentle-passes\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


def run(plugin: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join([str(plugin), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_its_passes_run_by_name(plugin: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    words = ("--passes", "fold_constants,gentle,nothing", "--print-after", "gentle")
    done = run(plugin, "-m", "graphwright", "optimize", str(DIGITS), str(out), *words)
    assert done.returncode == 0, done.stderr
    assert "no_relu 4" in done.stdout
    assert done.stderr.startswith("# after gentle\ngraphwright.ir 1\n")
    assert " max.1(" not in done.stderr
    ops = {node.op.name for node in gw.load(out).nodes}
    assert "max" not in ops


def test_they_run_in_python_too(plugin: Path) -> None:
    code = (
        "import graphwright as gw\n"
        f"graph = gw.load({str(DIGITS)!r})\n"
        "after = gw.optimize(graph, ['gentle'])\n"
        "inputs = gw.testing.inputs_for(after, 0)\n"
        "print(gw.bisect(after, inputs, pipeline=['gentle']))\n"
        "gw.optimize(graph, ['unknown'])\n"
    )
    done = run(plugin, "-c", code)
    assert "within bounds after all 0 changes" in done.stdout
    assert "there is no pass 'unknown'" in done.stderr


def test_a_name_that_leads_nowhere_is_an_error(plugin: Path, tmp_path: Path) -> None:
    words = (str(DIGITS), str(tmp_path / "out.onnx"), "--passes", "absent")
    done = run(plugin, "-m", "graphwright", "optimize", *words)
    assert done.returncode == 2, done.stderr
    assert "absent" in done.stderr
    assert "Traceback" not in done.stderr
