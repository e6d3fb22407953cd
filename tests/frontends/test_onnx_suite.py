"""ONNX's own backend suite: every test passes but those that no backend can pass."""

import subprocess
import sys
import unittest
import warnings
from pathlib import Path
from typing import Any

import pytest
from onnx.backend.test.runner import Runner

from graphwright.frontends.onnx.suite import CANNOT_PASS
from graphwright.onnx_backend import GraphwrightBackend


def suite() -> dict[str, Any]:
    """Every test for the CPU, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runner = Runner(GraphwrightBackend, __name__)
    items = [i for group in runner._test_items.values() for i in group.items()]
    return {name: item.func for name, item in items if name.endswith("_cpu")}


SUITE = suite()


def run(name: str) -> None:
    """Runs one test past the wrapper that takes a declined test for a passed one."""
    function = getattr(SUITE[name], "__wrapped__", SUITE[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        function(None, "CPU")


def test_the_suite_is_whole() -> None:
    assert len(SUITE) == 2033
    assert set(CANNOT_PASS) <= set(SUITE)


@pytest.mark.parametrize("name", sorted(set(SUITE) - set(CANNOT_PASS)))
def test_passes(name: str) -> None:
    try:
        run(name)
    except unittest.SkipTest as reason:
        pytest.fail(f"declined: {reason}")


@pytest.mark.parametrize("name", sorted(CANNOT_PASS))
def test_cannot_pass(name: str) -> None:
    with pytest.raises((AssertionError, TypeError)):
        run(name)


ALONE = """
import sys
import test_onnx_suite as t  # making the suite's data takes onnx.reference
for name in [n for n in sys.modules if n.startswith("onnx.reference")]:
    sys.modules[name] = None
sys.modules["onnxruntime"] = None
failed = []
names = [*t.SUITE][::step]
for name in names:
    try:
        t.run(name)
    except BaseException as error:
        failed.append(name)
expected = set(t.CANNOT_PASS) & set(names)
assert set(failed) == expected, sorted(set(failed) ^ expected)
"""


@pytest.mark.parametrize("step", [8, pytest.param(1, marks=pytest.mark.full)])
def test_passes_without_other_runtimes(step: int) -> None:
    folder = str(Path(__file__).parent)
    code = f"import sys; sys.path.insert(0, {folder!r}); step = {step}\n{ALONE}"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr[-2000:]
