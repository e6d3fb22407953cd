"""``check_nans``: where a NaN or an infinity comes from."""

from collections.abc import Callable, Mapping, Sequence
from functools import update_wrapper
from typing import Any

import numpy as np

from graphwright.backends.observe import Reading
from graphwright.frontends.tracing.entry import Entry
from graphwright.frontends.tracing.jit import Jit, jit
from graphwright.ir.arguments import checked
from graphwright.ir.emitter import Value
from graphwright.ir.errors import NonFiniteError
from graphwright.ir.evaluate import Evaluator
from graphwright.ir.graph import Graph, Node, Source


@checked
def check_nans(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that finds the first operation that makes a NaN or an infinity.

    It traces ``function`` and runs its operations one by one, in the order of the
    program; then as ``gw.jit`` does, with all passes. A NaN that an operand holds
    already is not the operation's fault, and neither is an infinity (such as that of a
    mask): arguments may hold both. Called with arguments it gives what the function
    gives.

    Raises:
        NonFiniteError: When called: naming the operation, file and line.
    """
    jitted = function if isinstance(function, Jit) else jit(function)

    def checked(*args: Any, **options: Any) -> Any:
        entry, values = jitted.entry_for(args, options, jitted.home())
        feeds = [entry.on_host(x) for x in entry.feeds(values)]
        try:
            _Checker().run(entry.traced.graph, feeds)
        except _Made as made:
            raise made.error() from None
        return _run_observed(entry, values)

    update_wrapper(checked, function)
    return checked


class _Made(Exception):
    """A value that holds what no operand of its operation held."""

    def __init__(self, source: Source | None, op: str, what: str) -> None:
        super().__init__(op)
        self.source, self.op, self.what = source, op, what

    def error(self) -> NonFiniteError:
        source = self.source
        place = f"{source.name}: {source.kind}" if source is not None else self.op
        return NonFiniteError(f"{place} makes {self.what}, of operands that hold none")


class _Checker(Evaluator):
    """Runs a graph and stops where a user's operation makes a NaN or an infinity.

    What one call of an array function adds to the graph counts as one operation: only
    what leaves it matters.
    """

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[Value, _Made] = {}

    def run(
        self, graph: Graph, feeds: Sequence[Any], env: Mapping[str, int] | None = None
    ) -> list[Any]:
        """As ``Evaluator.run``; raises ``_Made`` at the operation that is sought."""
        before, self._made = self._made, {}
        results = super().run(graph, feeds, env)
        for v in graph.outputs:
            if v in self._made:
                raise self._made[v]
        self._made = before
        return results

    def step(self, node: Node, operands: list[Any], env: dict[str, int]) -> Any:
        held = [self._made[v] for v in node.operands if v in self._made]
        for made in held:
            if made.source != node.source:
                raise made
        results = super().step(node, operands, env)
        for v, x in zip(node.results, results, strict=True):
            what = _makes(x, operands)
            if what is not None:
                self._made[v] = _Made(node.source, node.op.name, what)
            elif held and _worst(x) is not None:
                self._made[v] = held[0]
        return results


def _numbers(x: Any) -> Any:
    """An array of floats as numpy's own kind; None of anything else."""
    if not isinstance(x, (np.ndarray, np.generic)) or x.dtype.kind not in "fcV":
        return None
    if x.dtype.names is not None:
        return None
    return np.asarray(x, np.float32) if x.dtype.kind == "V" else x


def _worst(x: Any) -> str | None:
    """Whether an array holds a NaN or an infinity."""
    x = _numbers(x)
    if x is None or np.isfinite(x).all():
        return None
    return "NaN" if np.isnan(x).any() else "infinity"


def _makes(x: Any, operands: Sequence[Any]) -> str | None:
    """What an array holds that no operand holds, and where, in words."""
    worst = _worst(x)
    if worst is None:
        return None
    had = {_worst(o) for o in operands}
    if worst in had or (worst == "infinity" and "NaN" in had):
        return None
    numbers = _numbers(x)
    bad = np.isnan(numbers) if worst == "NaN" else np.isinf(numbers)
    first = ", ".join(map(str, np.argwhere(bad)[0]))
    count = int(bad.sum())
    where = f" at [{first}]" if bad.ndim else ""
    return f"{worst}{where} ({count} of {bad.size} elements)" if where else worst


def _run_observed(entry: Entry, values: Sequence[Any]) -> Any:
    """The result by the plan of every day; an error if only that makes a NaN."""
    seen: list[tuple[Node, str]] = []

    def note(reading: Reading) -> None:
        worst = _worst(reading.array)
        if worst is not None:
            seen.append((reading.node, worst))

    clean = all(_worst(entry.on_host(x)) is None for x in entry.feeds(values))
    if not clean or _constants(entry.traced.graph):
        return entry.call(values)
    with entry.executable.observe(note):
        result = entry.call(values)
    if seen:
        node, worst = seen[0]
        raise _Made(node.source, node.op.name, worst).error()
    return result


def _constants(graph: Graph) -> bool:
    return any(_worst(c.array()) is not None for c in graph.all_constants())
