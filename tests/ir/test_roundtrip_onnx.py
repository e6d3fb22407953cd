"""Every model of ONNX's backend suite: its graph verifies, and its text reads back."""

from typing import Any

import pytest
from onnx_suite_models import LEAST, suite_models

from graphwright.frontends.onnx.load import load
from graphwright.ir.parser import parse
from graphwright.ir.verify import verify


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
    found = list(suite_models())
    assert len(found) >= LEAST
    problems = {name: problem(source) for name, source in found}
    wrong = [f"{name}: {text}" for name, text in problems.items() if text]
    if wrong:
        pytest.fail("\n  ".join([f"{len(wrong)} models:", *wrong[:40]]), pytrace=False)
