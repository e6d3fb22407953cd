"""Smaller graphs and inputs that still show a fault.

Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing
Input", 2002) over outputs, nodes, sizes, fields and numbers. A node that goes leaves an
input behind, which is fed with what the node gave; types are found anew each time, so
that every candidate is a valid graph.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, TypeAlias

import numpy as np

from graphwright.ir.arguments import checked
from graphwright.ir.constant import Constant
from graphwright.ir.emitter import Value
from graphwright.ir.errors import GraphwrightError
from graphwright.ir.evaluate import Env, Evaluator
from graphwright.ir.graph import Graph, Node
from graphwright.ir.types import TensorType
from graphwright.testing.rebuild import (
    Case,
    bypassed,
    folded,
    kept,
    resized,
    sizes_of,
    with_fields,
    with_number,
)

__all__ = ["shrink"]

_FEW = 4096
"""Elements of a constant that is looked into."""

Fails: TypeAlias = Callable[[Graph, Sequence[Any]], bool]


@checked
def shrink(
    graph: Graph,
    inputs: Sequence[Any],
    fails: Fails,
    *,
    seconds: float = 30.0,
) -> tuple[Graph, list[Any]]:
    """A graph and inputs as small as can be found in the time for which ``fails``.

    Args:
        graph: A graph.
        inputs: One value for each of its inputs.
        fails: Whether a graph and inputs show the fault. A call that raises says no:
            who looks for an error catches it.
        seconds: How long to try.

    Returns:
        The graph and its inputs; those given if ``fails`` does not hold of them.
    """
    search = _Search((graph, list(inputs)), fails, time.monotonic() + seconds)
    if search.fails(search.best):
        search.run()
    return search.best


class _Search:
    """The smallest case so far, and the way on from it."""

    def __init__(self, case: Case, fails: Fails, deadline: float) -> None:
        self.best, self._fails, self.deadline = case, fails, deadline

    def fails(self, case: Case) -> bool:
        """Whether a case shows the fault."""
        try:
            return bool(self._fails(*case))
        except Exception:
            return False

    def take(self, case: Case | None) -> bool:
        """Goes on from a case if it is smaller and shows the fault; whether so."""
        if case is None or time.monotonic() > self.deadline:
            return False
        if _weight(case) >= _weight(self.best) or not self.fails(case):
            return False
        self.best = case
        return True

    def run(self) -> None:
        """Tries everything until nothing makes the case smaller."""
        numbered = _concrete(self.best)
        if numbered is not None and self.fails(numbered):
            self.best = numbered
        before = None
        while before != (before := _weight(self.best)):
            self._outputs()
            self._nodes()
            for steps in (_bypasses, _sizes, _fields, _numbers, _folded):
                self._each(steps)

    def _each(self, candidates: Callable[[Case], Iterator[Case | None]]) -> None:
        """Takes all candidates that show the fault, each on top of those before."""
        passed = 0  # candidates that did not, which a later one rarely changes
        found = True
        while found and time.monotonic() < self.deadline:
            found = False
            for case in islice(candidates(self.best), passed, None):
                found = self.take(case)
                if found:
                    break
                passed += 1

    def _outputs(self) -> None:
        graph, inputs = self.best
        for v in graph.outputs if len(graph.outputs) > 1 else ():
            if self.take(kept((graph, inputs), graph.nodes, {}, [v])):
                return

    def _nodes(self) -> None:
        """Leaves out runs of nodes, half of them first, then shorter ones."""
        length = (len(self.best[0].nodes) + 1) // 2
        while length and time.monotonic() < self.deadline:
            start = 0
            values = _values(self.best)
            while start < len(self.best[0].nodes):
                nodes = self.best[0].nodes
                rest = [*nodes[:start], *nodes[start + length :]]
                parts = (nodes[start : start + length], rest)
                smaller = (p for p in parts if len(p) < len(nodes))
                if any(self.take(kept(self.best, p, values)) for p in smaller):
                    values = _values(self.best)
                else:
                    start += length
            length //= 2


def _weight(case: Case) -> tuple[float, ...]:
    """What ought to be small, the most important first."""
    graph, inputs = case
    nodes = list(graph.walk())
    constants = [c.array() for c in graph.constants.values() if c.size <= _FEW]
    numbers = [x for x in (*inputs, *constants) if _is_number(x)]
    return (
        *(len(nodes), len(inputs), len(graph.outputs)),
        sum(int(np.size(x)) for x in (*inputs, *constants)),
        sum(_size(v) for n in nodes for v in n.op.fields.values()),
        sum(int(np.count_nonzero(x)) for x in numbers),
        sum(int((x != np.trunc(x)).sum()) for x in numbers if x.dtype.kind == "f"),
        sum(len(np.unique(x)) for x in numbers),
    )


def _size(value: Any) -> float:
    """How far from plain a field is."""
    match value:
        case int() | float():
            return abs(value) + (value < 0)
        case tuple():
            return sum(map(_size, value))
        case _:
            return 0


def _is_number(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind in "biufc"


class _Recorder(Evaluator):
    """Keeps what every node of the outermost graph gives, and the symbols' values."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(np)
        self.outer = frozenset(map(id, graph.nodes))
        self.values: dict[Value, Any] = {}
        self.env: Env = {}

    def step(self, node: Node, operands: list[Any], env: Env) -> Sequence[Any]:
        results = super().step(node, operands, env)
        if id(node) in self.outer:
            self.values.update(zip(node.results, results, strict=True))
            self.env.update(env)
        return results


def _values(case: Case) -> dict[Value, Any]:
    """What each node gives, as far as the reference evaluator comes."""
    recorder = _Recorder(case[0])
    with suppress(GraphwrightError):
        recorder.run(*case)
    return recorder.values


def _concrete(case: Case) -> Case | None:
    """The case with numbers for symbols."""
    graph, inputs = case
    if not graph.symbols():
        return None
    recorder = _Recorder(graph)
    recorder.run(graph, inputs)
    return graph.bind(recorder.env), inputs


# What to try --------------------------------------------------------------------------


def _folded(case: Case) -> Iterator[Case | None]:
    """What a node of constants gives in its place."""
    graph, values = case[0], _values(case)
    for node in graph.nodes:
        known = bool(node.operands) and graph.constants.keys() >= {*node.operands}
        tensors = all(isinstance(v.type, TensorType) for v in node.results)
        if known and tensors and values.keys() >= {*node.results}:
            yield folded(case, node, values)


def _bypasses(case: Case) -> Iterator[Case | None]:
    """A node's operand in place of its result; one input in place of another."""
    graph = case[0]
    for node in reversed(graph.nodes):
        for result in node.results:
            for v in dict.fromkeys(node.operands):
                if v.type == result.type:
                    yield bypassed(case, {result: v})
    for i, later in enumerate(graph.inputs):
        for v in graph.inputs[:i]:
            if v.type == later.type:
                yield bypassed(case, {later: v})


def _sizes(case: Case) -> Iterator[Case | None]:
    for size in sizes_of(case):
        for smaller in dict.fromkeys((1, 2, size // 2, size - 1)):
            if 0 < smaller < size:
                yield resized(case, size, smaller)


def _fields(case: Case) -> Iterator[Case | None]:
    for node in case[0].nodes:
        for name, value in node.op.fields.items():
            for plain in _plainer(value):
                yield with_fields(case, node, {name: plain})


def _plainer(value: Any) -> Iterator[Any]:
    """Simpler values of a field."""
    match value:
        case bool():
            if value:
                yield False
        case int():
            yield from (n for n in (0, 1) if n < abs(value) or value == -1 == -n)
        case float():
            yield from (x for x in (0.0, 1.0) if abs(x) < abs(value))
        case tuple():
            for i, item in enumerate(value):
                for plain in _plainer(item):
                    yield (*value[:i], plain, *value[i + 1 :])
        case Graph():
            for node in value.nodes:
                yield from _inner(value, node)
        case _:
            return


def _inner(body: Graph, node: Node) -> Iterator[Graph]:
    """A body with one node bypassed."""
    for result in node.results:
        for v in dict.fromkeys(node.operands):
            if v.type == result.type:
                found = bypassed((body, []), {result: v}, inputs=True)
                if found is not None:
                    yield found[0]


def _numbers(case: Case) -> Iterator[Case | None]:
    """Inputs and constants of zeros, of ones, of whole numbers; or one element."""
    graph, inputs = case
    arrays: dict[Value, Any] = dict(zip(graph.inputs, inputs, strict=True))
    arrays.update({v: c.array() for v, c in graph.constants.items() if c.size <= _FEW})
    for v, x in arrays.items():
        if not _is_number(x) or not isinstance(v.type, TensorType):
            continue
        for plain in _plain_arrays(x):
            yield with_number(case, v, plain, Constant.of(plain, v.dtype))


def _plain_arrays(x: Any) -> Iterator[Any]:
    yield np.zeros_like(x)
    yield np.ones_like(x)
    if x.dtype.kind == "f":
        yield np.round(x)
