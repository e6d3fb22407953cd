"""What takes part in a comparison: our backends, the reference, callables, files."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphwright.backends.arrays import as_host_array
from graphwright.backends.compile import lower
from graphwright.backends.contract import Backend
from graphwright.backends.executable import Executable, StepTime
from graphwright.backends.numpy.kernels.threads import in_parts
from graphwright.backends.observe import Reading
from graphwright.comparison.alignment import (
    Account,
    Alignment,
    Fate,
    Watcher,
    original_form,
)
from graphwright.comparison.labels import Labelled
from graphwright.ir.emitter import Value
from graphwright.ir.errors import FeedError
from graphwright.ir.evaluate import Env, Evaluator, bind_inputs
from graphwright.ir.graph import Graph, Node, Origin
from graphwright.ir.types import TensorType, bind_type

Feeds = Mapping[str, Any]

_PART = 1 << 16
"""Elements that are worth a thread's while to copy."""


@dataclass
class Outcome:
    """What one run gave.

    Attributes:
        outputs: Values of the graph's outputs, in order.
        values: Values inside, by label; the runner's next run may overwrite them.
        seconds: Wall time, read-out included.
    """

    outputs: list[Any]
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    seconds: float = 0.0


class Runner(ABC):
    """Runs the graph that is compared.

    Attributes:
        name: What the report calls it.
        note: What the reader should know of it, if anything.
    """

    name: str = ""
    note: str = ""

    @abstractmethod
    def run(self, feeds: Feeds) -> Outcome:
        """Outputs and inner values for inputs by name."""

    def plain(self, feeds: Feeds) -> list[Any]:
        """Outputs alone, as fast as it goes; what is timed."""
        return self.run(feeds).outputs

    def accounts(self) -> Mapping[str, Account]:
        """What became of each value of the graph; nothing where that is not known."""
        return {}

    def fallbacks(self) -> list[str]:
        """What ran elsewhere than asked for."""
        return []

    def digest(self, feeds: Feeds) -> str:
        """What tells its plan from others; nothing where it does not say."""
        return ""

    def profile(self, feeds: Feeds) -> list[StepTime]:
        """Times of its steps; nothing where it does not say."""
        return []

    def peak_bytes(self, feeds: Feeds) -> int | None:
        """Bytes of results alive at once and of constants, where it says."""
        return None


class GraphwrightRunner(Runner):
    """A backend of this library, read out while it runs, plan unchanged.

    Args:
        name: What the report calls it.
        original: The graph.
        backend: A name, or a backend.
        options: For compilation: ``optimize``, ``strict_float``, ``strict``.
    """

    def __init__(
        self, name: str, original: Labelled, backend: "str | Backend", **options: Any
    ) -> None:
        self.name, self.original = name, original
        watcher = Watcher(original)
        lowered, chosen = lower(
            original.graph, backend=backend, watch=watcher, **options
        )
        self.backend, self.options = chosen.backend, options
        self.exe = Executable(original.graph, lowered, chosen)
        self.alignment = Alignment(original, lowered, watcher.removed)
        self._again = True
        self._copies: list[Any] = []

    def run(self, feeds: Feeds) -> Outcome:
        sizes = _sizes_of(self.original.graph, feeds)
        values = self._unmade(feeds, sizes)
        copies, self._copies = iter(self._copies), []

        def note(reading: Reading) -> None:
            copied = _copy(reading.array, next(copies, None))
            self._copies.append(copied)
            self._keep(values, reading.origins, copied, sizes)

        start = time.perf_counter()
        with self.exe.observe(note, named=True, copy=False):
            outputs = self.exe.run(None, feeds)
        seconds = time.perf_counter() - start
        if self._again:  # once, what a run gives while nobody looks
            self._again, outputs = False, self.plain(feeds)
        return Outcome(outputs, values, seconds)

    def _keep(
        self,
        values: dict[str, Any],
        origins: Sequence[Origin],
        array: Any,
        sizes: Mapping[str, int],
    ) -> None:
        """Notes an array for the values that it equals, in their own form."""
        for origin in origins:
            if origin.path or origin.value in values:
                continue
            shape = _shape_of(self.original.labels[origin.value].type, sizes)
            found = original_form(array, origin.view, shape)
            if found is not None or origin.view == "identity":
                values[origin.value] = found

    def _unmade(self, feeds: Feeds, sizes: Mapping[str, int]) -> dict[str, Any]:
        """What no step makes: values that are an input, or folded to a constant."""
        lowered = self.exe.program.graph
        constants, found = lowered.constants, dict[str, Any]()
        for v, name in zip(lowered.inputs, lowered.input_names, strict=True):
            self._keep(found, lowered.origins.get(v, ()), feeds[name], sizes)
        for name, (v, origin) in self.alignment.folded.items():
            if self.alignment.accounts[name].fate is not Fate.FOLDED:
                continue
            type_ = self.original.labels[name].type
            shape = _shape_of(type_, {})
            array = original_form(constants[v].array(), origin.view, shape)
            if array is not None and (shape is None or np.shape(array) == shape):
                found[name] = array
        return found

    def readings(self, feeds: Feeds) -> dict[Value, Any]:
        """Every value that a run makes, by its handle in the compiled graph."""
        found: dict[Value, Any] = {}

        def note(reading: Reading) -> None:
            found[reading.node.results[reading.index]] = reading.array

        with self.exe.observe(note):
            self.exe.run(None, feeds)
        return found

    def plain(self, feeds: Feeds) -> list[Any]:
        return self.exe.run(None, feeds)

    def accounts(self) -> Mapping[str, Account]:
        return self.alignment.accounts

    def fallbacks(self) -> list[str]:
        return list(map(str, self.exe.fallbacks))

    def digest(self, feeds: Feeds) -> str:
        return self.exe.digest(**_sizes_of(self.original.graph, feeds))

    def profile(self, feeds: Feeds) -> list[StepTime]:
        return self.exe.profile(feeds)

    def peak_bytes(self, feeds: Feeds) -> int | None:
        sizes = _sizes_of(self.original.graph, feeds)
        return sum(self.exe.memory_analysis(**sizes).values())


class EvaluatedRunner(GraphwrightRunner):
    """What compilation makes of a graph, in the reference evaluator: no kernels."""

    def run(self, feeds: Feeds) -> Outcome:
        sizes = _sizes_of(self.original.graph, feeds)
        values = self._unmade(feeds, sizes)
        lowered, keep = self.exe.program.graph, self._keep

        class Reader(Evaluator):
            def step(self, node: Node, operands: list[Any], env: Env) -> Sequence[Any]:
                found = super().step(node, operands, env)
                for v, x in zip(node.results, found, strict=True):
                    if v in lowered.origins:
                        keep(values, lowered.origins[v], x, sizes)
                return found

        outputs = Reader().run(lowered, [feeds[n] for n in lowered.input_names])
        return Outcome(outputs, values)


def _copy(x: Any, into: Any) -> Any:
    """A copy, in the memory of an earlier one that has its form: that is there."""
    if not isinstance(x, np.ndarray):
        return x
    if not isinstance(into, np.ndarray) or (into.shape, into.dtype) != (
        x.shape,
        x.dtype,
    ):
        into = np.empty_like(x)
    if not (x.flags.c_contiguous and into.flags.c_contiguous):
        np.copyto(into, x)
        return into
    source, target = x.reshape(-1), into.reshape(-1)

    def copy(low: int, high: int) -> None:
        np.copyto(target[low:high], source[low:high])

    in_parts(copy, x.size, _PART)
    return into


def _sizes_of(graph: Graph, feeds: Feeds) -> dict[str, int]:
    env: Env = {}
    bind_inputs(graph, [feeds[n] for n in graph.input_names], env)
    return env


def _shape_of(type_: Any, sizes: Mapping[str, int]) -> tuple[int, ...] | None:
    """A type's shape where all is known."""
    bound = bind_type(type_, sizes)
    if not isinstance(bound, TensorType) or bound.shape is None:
        return None
    dims = bound.shape
    if not all(isinstance(d, int) for d in dims):
        return None
    return tuple(int(d) for d in dims if isinstance(d, int))


class ReferenceRunner(Runner):
    """The reference evaluator: each op's definition, one after the other."""

    name = "reference"

    def __init__(self, original: Labelled) -> None:
        self.original = original
        self._evaluator = Evaluator(np)

    def run(self, feeds: Feeds) -> Outcome:
        names = self.original.values
        values: dict[str, Any] = {}

        class Reader(Evaluator):
            def step(self, node: Node, operands: list[Any], env: Env) -> Sequence[Any]:
                found = super().step(node, operands, env)
                for v, x in zip(node.results, found, strict=True):
                    if v in names:
                        values[names[v]] = x
                return found

        start = time.perf_counter()
        outputs = Reader(np, self._evaluator.state).run(
            self.original.graph, self._positional(feeds)
        )
        return Outcome(outputs, values, time.perf_counter() - start)

    def plain(self, feeds: Feeds) -> list[Any]:
        return self._evaluator.run(self.original.graph, self._positional(feeds))

    def _positional(self, feeds: Feeds) -> list[Any]:
        return [feeds[n] for n in self.original.graph.input_names]

    def accounts(self) -> Mapping[str, Account]:
        return {
            name: Account(Fate.CONTROL if label.path else Fate.KEPT)
            for name, label in self.original.labels.items()
        }


class CallableRunner(Runner):
    """A user's function: inputs by position or name in, outputs out.

    It gives one array, a sequence of them, or a dictionary by name, in which inner
    values may be, too.
    """

    def __init__(
        self, name: str, original: Labelled, function: Callable[..., Any]
    ) -> None:
        self.name, self.original, self.function = name, original, function

    def run(self, feeds: Feeds) -> Outcome:
        graph = self.original.graph
        start = time.perf_counter()
        found = self.function(*(feeds[n] for n in graph.input_names))
        seconds = time.perf_counter() - start
        values: dict[str, Any] = {}
        if isinstance(found, Mapping):
            named: Mapping[str, Any] = found
            known = self.original.labels
            for name, x in named.items():
                label = self.original.aliases.get(name, name)
                if label in known and name not in graph.output_names:
                    values[label] = _host(x, known[label].type, name)
            found = [named[n] for n in graph.output_names]
        outputs = list(found) if isinstance(found, list | tuple) else [found]
        if len(outputs) != len(graph.outputs):
            raise FeedError(
                f"{self.name} gave {len(outputs)} outputs,"
                f" {graph.name} has {len(graph.outputs)}"
            )
        rows = zip(outputs, graph.output_types, graph.output_names, strict=True)
        return Outcome([_host(x, t, n) for x, t, n in rows], values, seconds)


def _host(x: Any, type_: Any, name: str) -> Any:
    """A value on the host, as it is: whether it fits is for the verdict to say."""
    if isinstance(x, np.ndarray) or not isinstance(type_, TensorType):
        return x
    try:
        return as_host_array(x, TensorType(type_.dtype, None), name)
    except FeedError:
        return np.asarray(x)
