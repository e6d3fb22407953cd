"""The conformance kit: its plugin, its report, the skeleton and the tutorial."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphwright as gw
from graphwright.ir.op import Op
from graphwright.ir.types import Type, type_symbols
from graphwright.testing import RecordingBackend, RecordingGraphBackend, conform
from graphwright.testing.conformance import FIRST
from graphwright.testing.kit_checks import all_checks
from graphwright.testing.report import Finding, KitReport

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "write-a-backend.md").read_text(encoding="utf-8")


def run(*words: str, folder: Path, path: Path | None = None) -> str:
    """What a command of this Python writes; it must succeed."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    env |= {"PYTHONPATH": str(path)} if path else {}
    found = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=env,
    )
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-2000:]
    return found.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages in which a new backend is installed."""
    folder = tmp_path_factory.mktemp("new")
    run("graphwright", "new-backend", "mine", folder=folder)
    options = ["--no-deps", "--no-build-isolation", "--target", "site"]
    run("pip", "install", "-q", *options, "./graphwright-mine", folder=folder)
    return folder


def test_a_new_backend_passes_the_first_stage(site: Path) -> None:
    project = site / "graphwright-mine"
    options = ["--graphwright-backend=mine", "--graphwright-stage=first", "-W", "error"]
    options += ["--graphwright-report=kit.json", "-p", "no:cacheprovider"]
    shown = run("pytest", *options, folder=project, path=site / "site")
    assert f"{len(FIRST)} passed" in shown
    assert "conformance of mine" in shown
    report = json.loads((project / "kit.json").read_text(encoding="utf-8"))
    assert report["ok"]
    assert report["score"] == 100
    assert report["counts"]["passes"] > 40


def test_its_own_tests_pass(site: Path) -> None:
    options = ["tests", "-q", "-W", "error", "-p", "no:cacheprovider"]
    shown = run(
        "pytest", *options, folder=site / "graphwright-mine", path=site / "site"
    )
    assert "1 passed" in shown


def test_a_folder_that_is_not_empty_is_left_alone(site: Path) -> None:
    with pytest.raises(AssertionError, match="not empty"):
        run("graphwright", "new-backend", "mine", folder=site)


@pytest.mark.parametrize("name", ["numpy", "Mine", "my-own", "../x"])
def test_names_that_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"no name of a backend|already"):
        run("graphwright", "new-backend", "--", name, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_first_stage_takes_under_60_lines() -> None:
    section = PAGE.split("## Level one")[1].split("## What runs where")[0]
    blocks = re.findall(r"^```python\n(.*?)^```$", section, re.M | re.S)
    written = [line for block in blocks[:-1] for line in block.splitlines()]
    assert 30 < len([line for line in written if line.strip()]) < 60
    assert "report.ok" in blocks[-1]


def test_the_plugin_loads_nothing() -> None:
    code = (
        "import sys, graphwright.pytest_plugin as p\n"
        "heavy = {'numpy', 'onnx', 'hypothesis', 'graphwright.testing'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class Empty(gw.TableBackend):
    name = "empty"


def test_an_empty_table_fails() -> None:
    report = conform(Empty(), "primitives", parts=["first", "primitives"], every=40)
    assert not report.ok
    assert not report.counts()["wrong"]
    assert report.counts("first")["passes"] == 0
    assert report.counts("first")["declined"] > 40


MOST = ["first", "primitives", "executables", "random graphs"]


@pytest.mark.parametrize(
    ("backend", "parts"),
    [
        (RecordingBackend(), [*MOST, "gradients"]),
        (RecordingGraphBackend(), MOST),
        pytest.param(RecordingGraphBackend(), ["gradients"], marks=pytest.mark.full),
    ],
)
def test_clean_backends_pass(backend: gw.Backend, parts: list[str]) -> None:
    report = conform(backend, every=40, parts=parts)
    assert report.ok, report
    assert set(report.parts) == set(parts)


def test_a_wrong_kernel_is_named() -> None:
    class Off(Empty):
        table = {"exp": lambda op, x: np.exp(x) * np.float32(1.001)}  # noqa: RUF012
        dtypes = frozenset({"float32"})

    report = conform(Off(), "first")
    assert not report.ok
    assert {f.subject for f in report.findings if f.status == "wrong"} == {"exp"}
    assert "exp" in str(report)


def test_what_is_not_as_foretold_is_wrong() -> None:
    class Fickle(Empty):
        """Takes all sizes while they are symbols, and none when they are known."""

        table = {"add": lambda op, x, y: x + y}  # noqa: RUF012

        def accepts(self, op: Op, types: Sequence[Type]) -> bool:
            return any(type_symbols(t) for t in types)

    (check,) = [c for c in all_checks() if c.name == "primitives-add"]
    wrong = [f for f in check.run(Fickle(), 40) if f.status == "wrong"]
    assert wrong
    assert all("dynamic" in f.case and "not foretold" in f.detail for f in wrong)


def test_names_of_checks_are_unique() -> None:
    names = [check.name for check in all_checks()]
    assert len(set(names)) == len(names)


def test_the_report_counts() -> None:
    rows: list[Any] = [("a", "passes"), ("a", "declined"), ("b", "wrong")]
    found = tuple(Finding("first", s, s, status) for s, status in rows)
    report = KitReport("mine", found)
    assert report.counts() == {"passes": 1, "declined": 1, "falls back": 0, "wrong": 1}
    assert report.to_dict()["score"] == pytest.approx(33.33)
    assert json.loads(report.to_json())["findings"][2]["status"] == "wrong"
    assert not report.ok
