"""Tools to test backends, passes and ops: random graphs, cases per op, comparison."""

import importlib
from typing import TYPE_CHECKING, Any

from graphwright.testing.cases import Case as Case
from graphwright.testing.cases import cases as cases
from graphwright.testing.compare import assert_accurate as assert_accurate
from graphwright.testing.compare import assert_agree as assert_agree
from graphwright.testing.compare import bounds_of as bounds_of
from graphwright.testing.kit_checks import conform as conform
from graphwright.testing.random_graphs import random_graph as random_graph
from graphwright.testing.recording import RecordingBackend as RecordingBackend
from graphwright.testing.recording import RecordingGraphBackend as RecordingGraphBackend
from graphwright.testing.shrinking import shrink as shrink
from graphwright.testing.values import inputs_for as inputs_for

if TYPE_CHECKING:
    from graphwright.testing.strategies import graphs as graphs

__all__ = [
    "Case",
    "RecordingBackend",
    "RecordingGraphBackend",
    "assert_accurate",
    "assert_agree",
    "bounds_of",
    "cases",
    "conform",
    "graphs",
    "inputs_for",
    "random_graph",
    "shrink",
]


def __getattr__(name: str) -> Any:
    if name != "graphs":  # alone needs hypothesis
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module("graphwright.testing.strategies").graphs
