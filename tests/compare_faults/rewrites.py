"""Looks for a graph that a change of a pass makes wrong, and compares it.

Run as ``python -m compare_faults.rewrites NAMES SECONDS`` with the change in the
environment; it prints one line of JSON.
"""

import json
import re
import sys
import time
from collections.abc import Sequence
from typing import Any

import mutation.hook  # isort: skip
from mutation.hunt import graphs

import graphwright as gw
from compare_faults.kernels import relative
from graphwright.backends.numpy.backend import NumpyBackend
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.testing.compare import difference


def outcome(graph: Graph, inputs: Sequence[Any]) -> float | None:
    """How far outputs are off where they are out of bounds; None if it raises."""
    feeds = dict(zip(graph.input_names, inputs, strict=True))
    try:
        got = gw.compile(graph, backend=NumpyBackend()).run(None, feeds)
        want = evaluate(graph, inputs)
        wrong = difference(graph, inputs, want, got)
    except Exception:
        return None
    if wrong is None:
        return None
    rows = zip(want, got, strict=True)
    return max((relative(a, b) for a, b in rows), default=0.0)


def hunt(names: set[str], seconds: float) -> dict[str, Any]:
    """What was found: how far results moved, and what a comparison says."""
    start = time.process_time()
    for count, (graph, inputs) in enumerate(graphs(names)):
        if time.process_time() - start > seconds:
            return {"fault": False, "graphs": count}
        moved = outcome(graph, inputs)
        if moved is None:
            continue
        feeds = dict(zip(graph.input_names, inputs, strict=True))
        report = gw.compare(graph, [NumpyBackend()], [feeds])
        return {
            "fault": True,
            "graphs": count,
            "moved": moved,
            "found": not report.ok,
            "verdict": report.verdict,
        }
    raise AssertionError("graphs do not end")


def blamed(verdict: str) -> set[str]:
    """Rewrite and pass that a verdict names."""
    found = re.search(r"guilty: the rewrite (\S+)(?: in (\S+))?", verdict)
    return {word for word in found.groups() if word} if found else set()


if __name__ == "__main__":
    assert mutation.hook
    line = json.dumps(hunt(set(sys.argv[1].split(",")), float(sys.argv[2])))
    sys.stdout.write(f"{line}\n")
