"""A function compiled for one kind of arguments."""

from collections.abc import Iterator, Sequence
from itertools import combinations, repeat
from typing import Any

import numpy as np

from graphwright.backends.executable import Executable
from graphwright.frontends.tracing import state
from graphwright.frontends.tracing.lazy import Deferred, leaf, materialise
from graphwright.frontends.tracing.storage import Cell, Handle
from graphwright.frontends.tracing.trace import Leaf, Traced, plain
from graphwright.ir.dlpack import from_dlpack
from graphwright.ir.errors import TraceError
from graphwright.ir.types import type_symbols


class Entry:
    """A traced function with what runs it.

    Attributes:
        traced: The function's graph, and what it does besides.
        executable: The graph, compiled.
        inputs: Which leaves of the arguments the graph takes.
        home: The backend.
        reads: What the trace read from outside; None if that is nothing.
    """

    def __init__(
        self,
        traced: Traced,
        leaves: Sequence[Leaf],
        names: Sequence[str],
        executable: Executable,
    ) -> None:
        self.traced, self.executable, self.names = traced, executable, names
        self.inputs = [i for i, kind in enumerate(leaves) if kind.type is not None]
        self.count = len(leaves)
        self._all = len(self.inputs) == self.count
        self.reads = traced.reads if traced.reads else None
        self.home = executable.options.backend
        self._results = sum(o is None for o in traced.outputs)
        replaced = executable.writes.values()
        self._writes = list(zip(replaced, traced.written, strict=True))
        outputs = traced.graph.outputs[: self._results]
        self._put_together = traced.maker()
        fixed = not any(type_symbols(v.type) for v in outputs)
        self._types = [plain(v) for v in outputs] if fixed else None
        self._checked = not traced.graph.input_symbols()
        hidden = range(self.count, self.count + len(traced.hidden))
        self._pairs = [
            pair
            for pair in combinations([*self.inputs, *hidden], 2)
            if not set(traced.written).isdisjoint(pair)
        ]

    def feeds(self, values: Sequence[Any]) -> list[Any]:
        """The graph's inputs for the leaves of the arguments.

        Raises:
            TraceError: If what the function writes to shares memory with another one.
        """
        if self._pairs:
            self._check_apart(values)
        taken = values if self._all else [values[i] for i in self.inputs]
        found = [x if type(x) is np.ndarray else self._feed(x) for x in taken]
        if self.traced.hidden:
            found += [self._feed(h.origin) for h in self.traced.hidden]
        return found

    def on_host(self, x: Any) -> Any:
        """A feed as a numpy array."""
        return x if isinstance(x, np.ndarray) else np.asarray(self.home.to_host(x))

    def call(self, values: Sequence[Any]) -> Any:
        """The result for the leaves of the arguments; what it writes to is written."""
        feeds = self.feeds(values)
        if self._checked:  # the signature says that they fit
            lent = self._lent(values, feeds) if self._writes else ()
            there = list(map(self.home.to_device, feeds))
            found = self.executable.run_arrays(there, lent=lent)
        else:
            found = self.executable.execute(feeds)
        if self.traced.written:
            n = self._results
            for i, array in zip(self.traced.written, found[n:], strict=True):
                self._store(self._target(values, i), array)
            del found[n:]
        return self._put_together(self._tensors(found))

    def _lent(self, values: Sequence[Any], feeds: Sequence[Any]) -> list[int]:
        """Positions of the feeds that are what the function writes to."""
        return [j for j, i in self._writes if feeds[j] is self._target(values, i)]

    def _target(self, values: Sequence[Any], i: int) -> Any:
        """A leaf, or (from their count on) a captured array or cell."""
        return (
            values[i] if i < self.count else self.traced.hidden[i - self.count].origin
        )

    def _tensors(self, arrays: list[Any]) -> list[Handle]:
        home = self.home
        if self._types is None:
            return [Handle.known(a, home) for a in arrays]
        return list(map(Handle.typed, arrays, self._types, repeat(home)))

    def _feed(self, x: Any) -> Any:
        if type(x) is float:
            return np.asarray(x)
        if isinstance(x, np.ndarray):
            return x
        if isinstance(x, Cell):
            x = Handle.concrete.on(x)
        if isinstance(x, Handle):
            value = x.read()
            assert isinstance(value, Deferred)
            if value.call is not None:
                materialise((value,))
            if value.home is None or value.home is self.home:
                return value.data
            return value.home.to_host(value.data)
        if isinstance(x, (float, complex, np.generic)):
            return np.asarray(x)
        return x if hasattr(x, "flags") else _host(x)

    def _store(self, target: Any, array: Any) -> None:
        if array is target:
            return
        if isinstance(target, np.ndarray):
            np.copyto(target, self.home.to_host(array))
        elif isinstance(target, Cell):
            target.set(leaf(array, target.value.type, self.home))
        elif isinstance(target, Handle):
            target.write(leaf(array, target.read().type, self.home))

    # Memory that is written -----------------------------------------------------------

    def _check_apart(self, values: Sequence[Any]) -> None:
        targets = [*values, *(h.origin for h in self.traced.hidden)]
        for i, j in self._pairs:
            if _overlap(targets[i], targets[j]):
                self._refuse(i, j, i if i in self.traced.written else j)

    def _refuse(self, i: int, j: int, written: int) -> None:
        first, second = (self._name(k) for k in (i, j))
        raise TraceError(
            f"{state.where()}: {first} and {second} share memory, and"
            f" {self.traced.graph.name} writes to {self._name(written)}: pass a copy"
        )

    def _name(self, i: int) -> str:
        return self.names[i] if i < self.count else "a captured array"


def written_inputs(traced: Traced, leaves: Sequence[Leaf]) -> list[tuple[int, int]]:
    """Positions of the graph's outputs that replace inputs, and of these inputs."""
    inputs = [i for i, kind in enumerate(leaves) if kind.type is not None]
    inputs += range(len(leaves), len(leaves) + len(traced.hidden))
    first = sum(o is None for o in traced.outputs)
    return [(first + k, inputs.index(i)) for k, i in enumerate(traced.written)]


def _host(x: Any) -> Any:
    """Another library's array as numpy's."""
    try:
        return from_dlpack(x)
    except (BufferError, RuntimeError, TypeError):
        return np.asarray(x)


def _cell(x: Any) -> Cell | None:
    if isinstance(x, Handle):
        return x._cell
    return x if isinstance(x, Cell) else None


def _overlap(x: Any, y: Any) -> bool:
    """Whether two arrays have an element in common, or are too hard to tell."""
    if type(x) is type(y) is np.ndarray and not np.may_share_memory(x, y):
        return False
    if _cell(x) is not None or _cell(y) is not None:
        return _cell(x) is _cell(y)
    if not isinstance(x, np.ndarray) or not isinstance(y, np.ndarray):
        return False
    if not np.may_share_memory(x, y):
        return False
    try:
        return bool(np.shares_memory(x, y, max_work=10_000))  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def same_arrays(values: Sequence[Any]) -> dict[int, int]:
    """Leaves that are the same array as an earlier one: their numbers, and its."""
    first: dict[Any, int] = {}
    found: dict[int, int] = {}
    for i, identity in _identities(values):
        j = first.setdefault(identity, i)
        if j != i:
            found[i] = j
    return found


def _identities(values: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    for i, x in enumerate(values):
        if isinstance(x, np.ndarray):
            yield i, id(x)
        elif isinstance(x, Handle):
            yield i, (id(x._cell), x._path)
