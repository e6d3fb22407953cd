"""Every model of ONNX's backend suite: its graph verifies, and its text reads back."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx.backend.test.loader import load_model_tests

from graphwright.frontends.onnx.load import load
from graphwright.ir.parser import parse
from graphwright.ir.verify import verify

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator", "real")
LEAST = 2_030
"""Models that the suite holds at least: fewer were found means the list is broken."""


def source_of(case: Any) -> Any:
    """The model of a test: a proto, or where it lies in onnx's wheel."""
    if case.model is not None:
        return case.model
    if case.model_dir is not None:
        return Path(case.model_dir) / "model.onnx"
    return Path(onnx.__file__).parent.parent / case.url


def models(kind: str) -> Iterator[tuple[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = load_model_tests(kind=kind)
    for case in cases:
        yield case.name, source_of(case)


def problem(source: Any) -> str | None:
    """What goes wrong with a model, if anything does."""
    try:
        graph = load(source)
        verify(graph)
        text = str(graph)
        again = parse(text, graph.all_constants())
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if again != graph:
        return "the graph read back differs"
    return None if str(again) == text else "the text of the graph read back differs"


def test_every_model_of_the_suite_reads_back() -> None:
    found = [each for kind in KINDS for each in models(kind)]
    assert len(found) >= LEAST
    problems = {name: problem(source) for name, source in found}
    wrong = [f"{name}: {text}" for name, text in problems.items() if text]
    if wrong:
        pytest.fail("\n  ".join([f"{len(wrong)} models:", *wrong[:40]]), pytrace=False)
