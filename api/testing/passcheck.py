"""Passes against the reference evaluator: each alone, in order, in random order.

What differs from the unoptimised graph's result is in one of a few classes, each with
its reason (``DIFFERENCES``); whatever is in none of them is a fault.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from graphwright.backends.numpy.backend import NumpyBackend
from graphwright.ir.errors import GraphwrightError
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.verify import verify
from graphwright.passes.lower import lowering_passes
from graphwright.passes.manager import PASSES, Pass, PassManager
from graphwright.passes.pipeline import DEFAULT
from graphwright.passes.precision import PRECISIONS
from graphwright.passes.rules import EXACT, ROUNDING, UNSAFE, RewriteClass, RuleSet
from graphwright.passes.steps import Step, limited
from graphwright.testing.compare import (
    Bound,
    Difference,
    bounds_of,
    difference,
    is_identical,
)


@dataclass(frozen=True)
class Schedule:
    """Passes in some order.

    Attributes:
        label: What it is called in reports.
        passes: The passes, most by name.
        allowed: How far rewrites may move results.
    """

    label: str
    passes: tuple[str | Pass, ...]
    allowed: RewriteClass = ROUNDING


def schedules(seed: int) -> Iterator[Schedule]:
    """Each pass alone, the pipelines, what suits numpy, all passes in a random order.

    Passes that another precision was asked for by move results farther.
    """
    kept = {n: step for n, step in PASSES.items() if n not in PRECISIONS}
    for name, step in sorted(kept.items()):
        yield Schedule(name, (name,))
        kinds = {r.kind for r in step.rewrites} if isinstance(step, RuleSet) else {0}
        if UNSAFE in kinds:
            yield Schedule(f"{name}, fast_math", (name,), UNSAFE)
    yield Schedule("default", DEFAULT)
    yield Schedule("strict_float", DEFAULT, EXACT)
    yield Schedule("lowered", (*DEFAULT, *lowering()))
    names = sorted(kept)
    random.Random(seed).shuffle(names)
    yield Schedule("random order", (*names, *names[: len(names) // 2]))


@cache
def lowering() -> tuple[Pass, ...]:
    """The passes that make a graph suit numpy, which asks for all there are."""
    backend = NumpyBackend()
    return tuple(lowering_passes(backend.layout(), backend.fuses))


@dataclass
class Checked:
    """What passes did to graphs.

    Attributes:
        fired: How often each rewrite applied.
        known: How often results differed for a known reason.
        faults: What is out of bounds for no known reason: schedule and difference.
        graphs: How many graphs were checked.
    """

    fired: Counter[str] = field(default_factory=Counter[str])
    known: Counter[str] = field(default_factory=Counter[str])
    faults: list[tuple[Schedule, Difference]] = field(
        default_factory=list[tuple[Schedule, Difference]]
    )
    graphs: int = 0


def check_passes(
    graph: Graph, inputs: Sequence[Any], seed: int, total: Checked | None = None
) -> Checked:
    """Runs all schedules of a seed on a graph; what they did is added to ``total``."""
    checked = Checked() if total is None else total
    checked.graphs += 1
    want = evaluate(graph, inputs)
    bounds: list[Bound] = []
    seen: list[Graph] = [graph]
    for each in schedules(seed):
        after, taken = _run(each, graph)
        checked.fired.update(n for step in taken for n in _names(step))
        if any(after is g or after == g for g in seen):
            continue
        seen.append(after)
        got = evaluate(after, inputs)
        bounds = bounds or bounds_of(graph, inputs)
        found = difference(graph, inputs, want, got, bounds)
        if found is None:
            continue
        reason = _reason(each, Rewritten(after, taken), inputs, want, got, bounds)
        if reason:
            checked.known[reason] += 1
        else:
            checked.faults.append((each, found))
    return checked


class Rewritten(NamedTuple):
    """A graph after passes, and the changes that they made."""

    graph: Graph
    taken: list[Step]


def _run(schedule: Schedule, graph: Graph) -> Rewritten:
    """The graph after the passes, verified; if it breaks, after each of them."""
    with limited() as steps:
        after = PassManager(schedule.passes, schedule.allowed, verify=False)(graph)
    if after is graph:
        return Rewritten(after, steps.taken)
    try:
        verify(after)
    except GraphwrightError:
        PassManager(schedule.passes, schedule.allowed, verify=True)(graph)
        raise
    return Rewritten(after, steps.taken)


def check_schedule(
    graph: Graph, inputs: Sequence[Any], schedule: Schedule
) -> Difference | None:
    """What one schedule makes differ for no known reason.

    Raises:
        GraphwrightError: If a pass breaks the graph.
    """
    after = _run(schedule, graph)
    if after.graph is graph:
        return None
    want, got = evaluate(graph, inputs), evaluate(after.graph, inputs)
    bounds = bounds_of(graph, inputs)
    found = difference(graph, inputs, want, got, bounds)
    known = found and _reason(schedule, after, inputs, want, got, bounds)
    return None if known else found


def _names(step: Step) -> set[str]:
    """What a change counts for: its rewrite and its pass."""
    inner = isinstance(PASSES.get(step.pass_name), RuleSet)
    full = step.rewrite if inner else f"{step.pass_name}.{step.rewrite}"
    return {step.pass_name} | ({full} if step.rewrite != step.pass_name else set())


DIFFERENCES: dict[str, str] = {
    "overflow": "a part overflows in its dtype, the whole does not: the rewritten graph"
    " gives the number that the reals do",
    "clipped": "a convolution of nothing but a lower bound is exact: where the bound"
    " moves before a scale, it is rounded as the others are",
    "unsafe": "fast_math is wrong where an operand is not finite, by its definition",
}
"""Classes of differences that are no faults, each with its reason."""


def _reason(
    schedule: Schedule,
    after: Rewritten,
    inputs: Sequence[Any],
    want: Sequence[Any],
    got: Sequence[Any],
    bounds: Sequence[Bound],
) -> str:
    """The class of a difference, or nothing for a fault."""
    rows = list(zip(want, got, bounds, strict=True))
    if any(np.shape(w) != np.shape(g) for w, g, _ in rows):
        return ""
    if all(_overflows(*row) for row in rows):
        return "overflow"
    if any(step.rewrite == "bound_before_scale" for step in after.taken):
        own = bounds_of(after.graph, inputs)
        if all(_rounded(*row) for row in zip(got, bounds, own, strict=True)):
            return "clipped"
    unsafe = schedule.allowed is UNSAFE and all(_is_unsafe(*row) for row in rows)
    return "unsafe" if unsafe else ""


def _rounded(got: Any, bound: Bound, own: Bound) -> bool:
    """Whether a result is as near the reals as the rewritten graph's own rounding."""
    if bound.tolerance is None or own.tolerance is None:
        return bool(np.array_equal(got, bound.value))
    with np.errstate(all="ignore"):
        gap = np.abs(got.astype(bound.value.dtype) - bound.value)
    return bool((gap <= np.maximum(bound.tolerance, own.tolerance)).all())


def _overflows(want: Any, got: Any, bound: Bound) -> bool:
    """Whether what differs is near the reals, where the reference is not finite."""
    if bound.tolerance is None:
        return is_identical(want, got)
    a, b, near = _widened(want, got, bound)
    fine = near | (a == b) | (np.isnan(a) & np.isnan(b))
    fine |= ~np.isfinite(bound.tolerance)
    return bool((fine | (np.isfinite(a) & near)).all())


def _is_unsafe(want: Any, got: Any, bound: Bound) -> bool:
    """Whether what differs does so where the reference is not finite."""
    if bound.tolerance is None:
        return is_identical(want, got)
    a, _, near = _widened(want, got, bound)
    return bool((near | ~np.isfinite(a) | ~np.isfinite(bound.tolerance)).all())


def _widened(want: Any, got: Any, bound: Bound) -> tuple[Any, Any, Any]:
    """What is compared as float64, and what of it is near the reals."""
    wide = np.complex128 if want.dtype.kind == "c" else np.float64
    a, b = want.astype(wide), got.astype(wide)
    with np.errstate(all="ignore"):
        return a, b, np.abs(b - bound.value) <= bound.tolerance
