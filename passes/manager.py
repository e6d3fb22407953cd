"""Running passes by name: timed, verified if asked, with a report of what changed.

A pass is a function from graph to graph. Those of this package are known by name, those
of others by ``register_pass`` or by an entry point of the group ``graphwright.passes``.
A ``RuleSet`` is a pass whose rewrites are counted; a pass manager runs those of them
that its class of rewrites allows.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from importlib.metadata import EntryPoint, entry_points
from typing import TypeAlias

from graphwright.ir.arguments import check_fields, checked
from graphwright.ir.collector import collector_paused
from graphwright.ir.errors import GraphwrightError, ModelError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Tier
from graphwright.ir.ops.fused import Fused
from graphwright.ir.record import record
from graphwright.ir.verify import verify
from graphwright.passes import steps
from graphwright.passes.rules import ROUNDING, RewriteClass, RuleSet

Pass: TypeAlias = Callable[[Graph], Graph]
GROUP = "graphwright.passes"
VERIFY = "GRAPHWRIGHT_VERIFY_PASSES"
"""Environment variable that turns verification on where nobody says."""

PASSES: dict[str, Pass] = {}
"""Passes by name."""


@checked
def register_pass(name: str, function: Pass) -> Pass:
    """Lets pass managers find a pass by name; returns it.

    Raises:
        ModelError: If another pass has the name.
    """
    if PASSES.setdefault(name, function) is not function:
        raise ModelError(f"there is a pass {name!r} already: choose another name")
    return function


def find_pass(name: str) -> Pass:
    """The pass of a name, from entry points too.

    Raises:
        ModelError: If there is none, or its package does not load.
    """
    if name not in PASSES:
        for entry in entry_points(group=GROUP, name=name):
            return register_pass(name, _loaded(entry))
        known = ", ".join(sorted(PASSES))
        raise ModelError(f"there is no pass {name!r}; there are {known}")
    return PASSES[name]


def _loaded(entry: EntryPoint) -> Pass:
    try:
        found: Pass = entry.load()
    except Exception as error:  # another package's: it may raise anything
        problem = f"{type(error).__name__}: {error}"
        raise ModelError(
            f"pass {entry.name!r} cannot be loaded from {entry.value!r}: {problem}"
        ) from error
    return found


@record(frozen=True, slots=True)
class Change:
    """What one pass did.

    Attributes:
        name: Name of the pass.
        seconds: How long it took, without verification.
        before, after: Numbers of nodes, those of sub-graphs included.
        rewrites: How often each rewrite applied.
        changed: Whether the graph is another one.
    """

    name: str
    seconds: float
    before: int
    after: int
    rewrites: Mapping[str, int]
    changed: bool

    def __str__(self) -> str:
        head = f"{self.name:<20} {1e3 * self.seconds:8.2f} ms"
        head += f"  {self.before} -> {self.after}"
        words = [f"{name} {n}" for name, n in self.rewrites.items()]
        return f"{head}  {', '.join(words)}".rstrip()


@record(frozen=True, slots=True)
class Report:
    """What each pass did, in order; ``str`` is a table."""

    changes: tuple[Change, ...]

    @property
    def seconds(self) -> float:
        """How long all passes took."""
        return sum(change.seconds for change in self.changes)

    @property
    def rewrites(self) -> Counter[str]:
        """How often each rewrite applied."""
        total: Counter[str] = Counter()
        for change in self.changes:
            total.update(change.rewrites)
        return total

    def __str__(self) -> str:
        return "\n".join(map(str, self.changes))


@record(frozen=True)
class PassManager:
    """Runs passes one after the other.

    Attributes:
        passes: Names, or passes themselves.
        allowed: How far rewrites may move results.
        verify: Whether the graph is checked before the first and after each pass; by
            default if ``$GRAPHWRIGHT_VERIFY_PASSES`` is set.
        observe: Called with a pass's name and the graph after it.
    """

    passes: Sequence["str | Pass"]
    allowed: RewriteClass = ROUNDING
    verify: bool | None = None
    observe: Callable[[str, Graph], None] | None = None
    _steps: list[tuple[str, Pass]] = field(
        default_factory=list[tuple[str, Pass]], init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        check_fields(self)
        for each in self.passes:
            step = find_pass(each) if isinstance(each, str) else each
            name = each if isinstance(each, str) else _name_of(step)
            if isinstance(step, RuleSet):
                step = step.allowing(self.allowed)
            self._steps.append((name, step))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the passes, in order."""
        return tuple(name for name, _ in self._steps)

    def __call__(self, graph: Graph) -> Graph:
        """The graph after all passes."""
        return self.run(graph)[0]

    @checked
    def run(self, graph: Graph) -> tuple[Graph, Report]:
        """The graph after all passes, and what each did.

        Raises:
            ModelError: If a pass breaks a rule of the IR, naming it and those before.
        """
        with collector_paused():
            return self._run(graph)

    def _run(self, graph: Graph) -> tuple[Graph, Report]:
        checks = bool(os.environ.get(VERIFY)) if self.verify is None else self.verify
        if checks:
            verify(graph)
        changes: list[Change] = []
        done: dict[str | Pass, Graph] = {}
        count = _size(graph)
        for name, step in self._steps:
            rewrites: Counter[str] = Counter()
            start = time.perf_counter()
            key = name if isinstance(step, RuleSet) else step
            settled = done.get(key) is graph  # nothing is left to do
            after = graph if settled else _run(name, step, graph, rewrites)
            if after is graph or isinstance(step, RuleSet):
                done[key] = after
            seconds = time.perf_counter() - start
            size = count if after is graph else _size(after)
            changes.append(
                Change(name, seconds, count, size, rewrites, after is not graph)
            )
            if checks and after is not graph:
                _verify(after, [c.name for c in changes])
            graph, count = after, size
            if self.observe is not None:
                self.observe(name, graph)
        return graph, Report(tuple(changes))


def _run(name: str, step: Pass, graph: Graph, rewrites: Counter[str]) -> Graph:
    """One pass, its changes counted; all of them as one where it notes none."""
    if steps.exhausted():
        return graph
    with steps.running(name):
        before = steps.count()
        try:
            after = run_inside(graph, step, rewrites)
        except Exception as error:
            error.add_note(f"in pass {name!r}")
            raise
        if not isinstance(after, Graph):
            raise ModelError(f"pass {name!r} gave {type(after).__name__}, not a graph")
        if after is not graph and steps.count() == before:
            steps.note(name)
    return after


def _name_of(step: Pass) -> str:
    return str(getattr(step, "name", "") or getattr(step, "__name__", "pass"))


def _size(graph: Graph) -> int:
    if not _has_control(graph):
        return len(graph.nodes)
    inner = (g for node in graph.nodes for g in node.op.subgraphs())
    return len(graph.nodes) + sum(map(_size, inner))


def _verify(graph: Graph, names: Sequence[str]) -> None:
    try:
        verify(graph)
    except GraphwrightError as error:
        before = f" after {', '.join(names[:-1])}" if len(names) > 1 else ""
        raise ModelError(
            f"pass {names[-1]!r}{before} broke the graph: {error}"
        ) from error


def _has_control(graph: Graph) -> bool:
    return any(cls.tier is Tier.CONTROL for cls in graph.op_classes)


def run_inside(graph: Graph, step: Pass, rewrites: Counter[str]) -> Graph:
    """A pass run on all sub-graphs of control flow, then on the graph."""
    nodes: list[Node] = []
    changed = False
    for node in graph.nodes if _has_control(graph) else ():
        if node.op.tier is Tier.CONTROL and not isinstance(node.op, Fused):
            fields = node.op.fields
            new = {
                name: run_inside(fields[name], step, rewrites)
                for name in fields
                if isinstance(fields[name], Graph)
            }
            if any(new[name] is not fields[name] for name in new):
                changed = True
                node = Node(  # noqa: PLW2901
                    node.op.replace(**new), node.operands, node.results, node.source
                )
        nodes.append(node)
    if changed:
        graph = replace(graph, nodes=tuple(nodes))
    return step.run(graph, rewrites) if isinstance(step, RuleSet) else step(graph)
