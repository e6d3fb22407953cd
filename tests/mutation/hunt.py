"""Looks for a graph whose result a change moves, then asks ``bisect`` what is guilty.

Graphs run through the passes with the change and without it; what both leave alike is
not evaluated, which takes most of the time.
"""

from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import Any

import numpy as np
from random_loops import SOON, random_loop
from rewrite_examples import EXAMPLES

import graphwright as gw
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.passes import roll
from graphwright.passes.manager import PASSES, PassManager
from graphwright.passes.rules import EXACT, UNSAFE, RuleSet
from graphwright.testing import inputs_for
from graphwright.testing.passcheck import Schedule, check_schedule, schedules
from graphwright.testing.random_graphs import aimed_graph, aims
from mutation.operators import Mutant, guilty
from mutation.twin import Twin, changed

FIRST_SEED = 1_000_000
"""Seeds that the tests do not use."""

LOOPS = 40
"""How many unrolled loops are tried: they take ten times as long as other graphs."""

Case = tuple[Graph, Sequence[Any]]
"""A graph and its inputs."""


def graphs(names: set[str], twin: Twin | None = None) -> Iterator[Case]:
    """Graphs in which what may be guilty does something, and their inputs.

    Without ``twin`` none is grown from changed patterns.
    """
    if "roll_loops" in names:
        yield from _unrolled(twin)
    for graph, seed in _aimed(names, twin):
        yield graph, inputs_for(graph, seed)


def _unrolled(twin: Twin | None) -> Iterator[Case]:
    """Traces of loops, of which few turns are enough to roll them up."""
    for module in (roll, *([] if twin is None else [twin.roll])):
        for name, value in SOON.items():
            setattr(module, name, value)
    for seed in range(FIRST_SEED, FIRST_SEED + LOOPS):
        rng = np.random.default_rng(seed)
        arrays = rng.normal(size=7), rng.normal(size=7)
        specs = [gw.spec(x.dtype.name, x.shape) for x in arrays]
        yield gw.trace(random_loop(seed)[1], *specs), arrays


def _aimed(names: set[str], twin: Twin | None) -> Iterator[tuple[Graph, int]]:
    """Examples, then random graphs with the seeds of their inputs.

    Every other one is grown from changed patterns.
    """
    aimed = [name for name in aims() if name in names] or list(aims())
    yield from ((graph, 0) for name, graph in EXAMPLES.items() if name in aimed)
    for seed in count(FIRST_SEED):
        yield aimed_graph(seed, max_nodes=4, rewrites=aimed), seed
        graph = None if twin is None else _grown(twin, seed, aimed)
        if graph is not None:
            yield graph, seed


def _grown(twin: Twin, seed: int, aimed: list[str]) -> Graph | None:
    try:
        found: Graph = twin.random_graphs.aimed_graph(seed, max_nodes=2, rewrites=aimed)
    except Exception:  # a pattern that nothing fits
        return None
    return found


def wanted(names: set[str]) -> list[Schedule]:
    """Schedules that run what may be guilty: what has no name suits a backend."""
    passes = {n for n, step in PASSES.items() if n in names or _rules(step) & names}
    whole = "default" if passes else "lowered"
    return [s for s in schedules(0) if s.label == whole or passes.issuperset(s.passes)]


def _rules(step: Any) -> set[str]:
    return {r.name for r in step.rewrites} if isinstance(step, RuleSet) else set()


def hunt(mutant: Mutant, tries: int) -> dict[str, Any]:
    """What was found: how far results moved, and whom ``bisect`` blames.

    Args:
        mutant: The change.
        tries: How many graphs are tried.
    """
    names = guilty(mutant)
    try:
        twin = changed(mutant)
    except Exception as error:
        return {"fault": False, "message": f"not imported: {error}"}
    theirs = {s.label: s for s in twin.passcheck.schedules(0)}
    plans = [(s, theirs[s.label]) for s in wanted(names)]
    for number, (graph, inputs) in enumerate(islice(graphs(names, twin), tries)):
        for mine, plan in plans:
            message = difference_made(twin, graph, inputs, mine, plan)
            if message:
                return {
                    "fault": True,
                    "graphs": number,
                    "message": message[:300],
                    "moved": _moved(twin, graph, inputs, plan),
                    "blamed": _blamed(twin, graph, inputs, plan),
                    "plan": plan.label,
                }
    return {"fault": False, "graphs": tries}


def difference_made(
    twin: Twin, graph: Graph, inputs: Sequence[Any], mine: Schedule, plan: Schedule
) -> str:
    """What is wrong with a graph after the changed passes, not after the others.

    Args:
        twin: The changed passes.
        graph: The graph.
        inputs: Its inputs.
        mine: Unchanged passes.
        plan: The same ones, of ``twin``.
    """
    after = PassManager(mine.passes, mine.allowed, verify=False)(graph)
    try:
        manager = twin.manager.PassManager(plan.passes, plan.allowed, verify=False)
        if _alike(manager(graph), after):
            return ""
        message = str(twin.passcheck.check_schedule(graph, inputs, plan) or "")
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
    if message and check_schedule(graph, inputs, mine) is not None:
        return ""
    return message


def _alike(a: Graph, b: Graph) -> bool:
    return a is b or a == b


def _moved(twin: Twin, graph: Graph, inputs: Sequence[Any], plan: Schedule) -> float:
    """By how much of its largest element an output moved; infinity if it broke."""
    try:
        after = twin.manager.PassManager(plan.passes, plan.allowed, verify=True)(graph)
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


def _blamed(
    twin: Twin, graph: Graph, inputs: Sequence[Any], plan: Schedule
) -> str | None:
    report = twin.bisection.bisect(
        graph,
        inputs,
        pipeline=plan.passes,
        fast_math=plan.allowed is UNSAFE,
        strict_float=plan.allowed is EXACT,
        seconds=0.0,  # a name is asked for, no small graph
    )
    found: str | None = report.rewrite
    return found
