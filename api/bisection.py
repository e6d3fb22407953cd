"""``bisect``: which rewrite makes a graph mean something else."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from graphwright.backends.contract import Backend
from graphwright.backends.registry import choose_backends
from graphwright.compiled import compile as compile_graph
from graphwright.ir.arguments import checked
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph, Source
from graphwright.passes.manager import Pass
from graphwright.passes.pipeline import manager
from graphwright.passes.steps import Step, limited
from graphwright.testing.compare import Bound, Difference, bounds_of, difference
from graphwright.testing.shrinking import shrink

_logger = logging.getLogger("graphwright.bisect")

Outcome: TypeAlias = tuple[list[Any] | Exception, list[Step]]
"""What a graph gives, or raises, and the changes made to it."""

Run: TypeAlias = Callable[[Graph, Sequence[Any], int | None], Outcome]
"""Runs a graph after at most so many changes."""


@dataclass(frozen=True)
class BisectReport:
    """What ``bisect`` found.

    Attributes:
        rewrite: Name of the first rewrite after which the result is out of bounds; None
            if the optimised graph is right, or wrong before any rewrite.
        pass_name: The pass that it belongs to.
        source: Where the node that it replaced comes from.
        graph: A graph, as small as was found, that shows the fault.
        inputs: What to feed it with.
        error: How far the worst element is off.
        bound: How far it may be off.
        step: The number of the change at fault, from 1; 0 if there is none.
        steps: How many changes the passes make.
        message: What differs, in the shrunk graph.
    """

    rewrite: str | None
    pass_name: str = ""
    source: Source | None = None
    graph: Graph | None = None
    inputs: Sequence[Any] = field(default_factory=tuple[Any, ...], repr=False)
    error: float = 0.0
    bound: float = 0.0
    step: int = 0
    steps: int = 0
    message: str = ""

    @property
    def ok(self) -> bool:
        """Whether the optimised graph is right."""
        return not self.message

    @property
    def verdict(self) -> str:
        """What is at fault, in one line."""
        if self.ok:
            return f"within bounds after all {self.steps} changes"
        if self.rewrite is None:
            return "out of bounds before any rewrite: the backend's own result"
        place = f", at {self.source}" if self.source else ""
        name = f"{self.rewrite} in {self.pass_name}{place}"
        return f"{name} (change {self.step} of {self.steps})"

    def __str__(self) -> str:
        parts = (self.verdict, self.message, str(self.graph))
        return self.verdict if self.ok else "\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """The report without its arrays, and without numbers that JSON lacks."""
        error = self.error if math.isfinite(self.error) else str(self.error)
        return {
            "ok": self.ok,
            "verdict": self.verdict,
            "rewrite": self.rewrite,
            "pass": self.pass_name,
            "source": str(self.source) if self.source else None,
            "step": self.step,
            "steps": self.steps,
            "error": error,
            "bound": self.bound,
            "message": self.message,
            "graph": str(self.graph) if self.graph is not None else None,
        }


@checked
def bisect(
    graph: Graph,
    inputs: Sequence[Any],
    backend: "str | Backend | Sequence[str] | None" = None,
    *,
    pipeline: "str | Sequence[str | Pass]" = "default",
    fast_math: bool = False,
    strict_float: bool = False,
    seconds: float = 30.0,
) -> BisectReport:
    """The first rewrite after which a graph's result is out of its derived bounds.

    Passes run again and again, each time up to another number of changes, in a binary
    search. Results are compared with those of the unoptimised graph in the reference
    evaluator, within ``graphwright.testing.bounds_of``. Then the graph and its inputs
    are made smaller as long as the same rewrite is at fault.

    Args:
        graph: The graph.
        inputs: One array for each input.
        backend: What runs the optimised graph, with the passes that it asks for; the
            reference evaluator if None.
        pipeline: The passes, as for ``optimize``; a backend runs its own.
        fast_math: As for ``optimize``.
        strict_float: As for ``optimize``.
        seconds: How long to look for a smaller graph.

    Raises:
        FeedError: If the inputs do not fit.
        ModelError: If there is no such pipeline or backend.
    """
    if backend is None:
        run = _on_reference(pipeline, fast_math, strict_float)
    else:
        choose_backends(backend)  # what is not there is no fault of a rewrite
        run = _on_backend(backend, fast_math, strict_float)
    found = _find(run, graph, inputs)
    if found.fault is None:
        return BisectReport(None, steps=found.total)
    name = found.step.rewrite if found.step else None
    _logger.debug("change %d of %d: %s", found.number, found.total, found.step)

    def fails(small: Graph, feeds: Sequence[Any]) -> bool:
        again = _find(run, small, feeds)
        same = again.step.rewrite if again.step else None
        return again.fault is not None and same == name

    small, feeds = shrink(graph, inputs, fails, seconds=seconds)
    last = _find(run, small, feeds)
    fault = last.fault or found.fault
    step = last.step or found.step
    return BisectReport(
        name,
        step.pass_name if step else "",
        found.step.source if found.step else None,
        small,
        feeds,
        fault.error,
        fault.bound,
        found.number,
        found.total,
        str(fault),
    )


@dataclass(frozen=True)
class _Found:
    """The change at fault, and its number."""

    fault: Difference | None
    total: int
    number: int = 0
    step: Step | None = None


def _find(run: Run, graph: Graph, inputs: Sequence[Any]) -> _Found:
    """A change before which the result is right, and after which it is not."""
    judge = _Judge(run, graph, inputs)
    fault, taken = judge(None)
    if fault is None:
        return _Found(None, len(taken))
    total = len(taken)
    first, _ = judge(0)
    if first is not None:
        return _Found(first, total)
    right, wrong, step = 0, total, taken[-1] if taken else None
    while wrong - right > 1:
        middle = (right + wrong) // 2
        found, taken = judge(middle)
        if found is None:
            right = middle
        else:
            wrong, fault, step = middle, found, taken[-1]
    return _Found(fault, total, wrong, step)


class _Judge:
    """Whether a graph's result is right after some number of changes."""

    def __init__(self, run: Run, graph: Graph, inputs: Sequence[Any]) -> None:
        self.run, self.graph, self.inputs = run, graph, inputs
        self.want = evaluate(graph, inputs)
        self._bounds: list[Bound] = []

    def __call__(self, limit: int | None) -> tuple[Difference | None, list[Step]]:
        got, taken = self.run(self.graph, self.inputs, limit)
        if isinstance(got, Exception):
            return Difference(f"{type(got).__name__}: {got}"), taken
        self._bounds = self._bounds or bounds_of(self.graph, self.inputs)
        found = difference(self.graph, self.inputs, self.want, got, self._bounds)
        return found, taken


def _on_reference(
    pipeline: "str | Sequence[str | Pass]", fast_math: bool, strict_float: bool
) -> Run:
    passes = manager(
        pipeline, fast_math=fast_math, strict_float=strict_float, verify=True
    )

    def run(graph: Graph, inputs: Sequence[Any]) -> list[Any]:
        return evaluate(passes(graph), inputs)

    return _counted(run)


def _on_backend(
    backend: "str | Backend | Sequence[str]", fast_math: bool, strict_float: bool
) -> Run:

    def run(graph: Graph, inputs: Sequence[Any]) -> list[Any]:
        exe = compile_graph(
            graph, backend=backend, fast_math=fast_math, strict_float=strict_float
        )
        return exe.run(None, dict(zip(graph.input_names, inputs, strict=True)))

    return _counted(run)


def _counted(run: Callable[[Graph, Sequence[Any]], list[Any]]) -> Run:
    """What runs a graph after so many changes; an error is a result too."""

    def counted(graph: Graph, inputs: Sequence[Any], limit: int | None) -> Outcome:
        with limited(limit) as steps:
            try:
                return run(graph, inputs), steps.taken
            except Exception as error:
                return error, steps.taken

    return counted
