"""Looks for a graph whose result a change moves, then asks ``bisect`` what is guilty.

Run as ``python -m mutation.hunt NAMES SECONDS`` with the change in the environment; it
prints one line of JSON.
"""

import base64
import json
import pickle
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import mutation.hook  # isort: skip
import numpy as np
from rewrite_examples import EXAMPLES

import graphwright as gw
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.passes.manager import PASSES, PassManager
from graphwright.passes.rules import EXACT, UNSAFE, RuleSet
from graphwright.testing import inputs_for
from graphwright.testing.passcheck import Schedule, check_schedule, schedules
from graphwright.testing.random_graphs import aimed_graph, aims

FIRST_SEED = 1_000_000
"""Seeds that the tests do not use."""


def graphs(names: set[str]) -> Iterator[tuple[Graph, list[Any]]]:
    """Examples, then random graphs aimed at what may be guilty."""
    for graph in EXAMPLES.values():
        yield graph, inputs_for(graph, 0)
    aimed = [name for name in aims() if name in names] or list(aims())
    seed = FIRST_SEED
    while True:
        graph = aimed_graph(seed, max_nodes=4, rewrites=aimed)
        yield graph, inputs_for(graph, seed)
        seed += 1


def wanted(names: set[str]) -> list[Schedule]:
    """Schedules that run what may be guilty."""
    passes = {n for n, step in PASSES.items() if n in names or _rules(step) & names}
    return [
        s for s in schedules(0) if s.label == "default" or passes.issuperset(s.passes)
    ]


def _rules(step: Any) -> set[str]:
    return {r.name for r in step.rewrites} if isinstance(step, RuleSet) else set()


def hunt(names: set[str], seconds: float) -> dict[str, Any]:
    """What was found: how far results moved, and whom ``bisect`` blames."""
    start = time.process_time()
    plans = wanted(names)
    for count, (graph, inputs) in enumerate(graphs(names)):
        for plan in plans:
            if time.process_time() - start > seconds:
                return {"fault": False, "graphs": count}
            try:
                found = str(check_schedule(graph, inputs, plan) or "")
            except Exception as error:
                found = f"{type(error).__name__}: {error}"
            if found:
                moved = _moved(graph, inputs, plan)
                blamed = _blamed(graph, inputs, plan)
                return {
                    "fault": True,
                    "graphs": count,
                    "message": found[:300],
                    "moved": moved,
                    "blamed": blamed,
                    "plan": plan.label,
                    "case": packed(graph, inputs, plan),
                }

    raise AssertionError("graphs do not end")


def packed(graph: Graph, inputs: Sequence[Any], plan: Schedule) -> str:
    """What a fault showed in, for another process."""
    return base64.b64encode(pickle.dumps((graph, list(inputs), plan))).decode()


def is_fault_of_its_own(case: str) -> bool:
    """Whether what was packed is right here, where nothing was changed."""
    graph, inputs, plan = pickle.loads(base64.b64decode(case))
    try:
        return check_schedule(graph, inputs, plan) is None
    except Exception:
        return False


def _moved(graph: Graph, inputs: Sequence[Any], plan: Schedule) -> float:
    """By how much of its largest element an output moved; infinity if it broke."""
    try:
        after = PassManager(plan.passes, plan.allowed)(graph)
        pairs = list(zip(evaluate(graph, inputs), evaluate(after, inputs), strict=True))
        return max(_distance(a, b) for a, b in pairs)
    except Exception:
        return float("inf")


def _distance(a: Any, b: Any) -> float:
    if np.shape(a) != np.shape(b) or a.dtype != b.dtype:
        return float("inf")
    x, y = (np.asarray(v).astype(np.float64) for v in (a, b))
    size = float(np.max(np.abs(x), initial=1e-30))
    gap = float(np.max(np.abs(x - y), initial=0.0))
    return gap / size if np.isfinite(gap) else float("inf")


def _blamed(graph: Graph, inputs: Sequence[Any], plan: Schedule) -> str | None:
    report = gw.bisect(
        graph,
        inputs,
        pipeline=plan.passes,
        fast_math=plan.allowed is UNSAFE,
        strict_float=plan.allowed is EXACT,
        seconds=0.0,  # a name is asked for, no small graph
    )
    return report.rewrite


if __name__ == "__main__":
    assert mutation.hook
    limit = round(3 * float(sys.argv[2]) + 30)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    line = json.dumps(hunt(set(sys.argv[1].split(",")), float(sys.argv[2])))
    sys.stdout.write(f"{line}\n")
