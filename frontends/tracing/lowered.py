"""Functions traced for arguments, and compiled, by hand: ``f.lower(...).compile()``."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from graphwright.backends.compile import lower
from graphwright.backends.contract import Backend
from graphwright.backends.executable import Executable
from graphwright.frontends.tracing import state
from graphwright.frontends.tracing.entry import Entry, written_inputs
from graphwright.frontends.tracing.pytree import Structure, flatten
from graphwright.frontends.tracing.trace import (
    Leaf,
    Traced,
    array_type,
    is_array,
    with_constants,
)
from graphwright.ir.errors import FeedError
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType

Flatten: TypeAlias = Callable[
    [tuple[Any, ...], dict[str, Any]], tuple[list[Any], Structure]
]
"""Leaves and structure of a call's arguments."""


class Lowered:
    """A function traced for some arguments.

    Attributes:
        graph: Its graph, with captured arrays as constants.
    """

    def __init__(
        self,
        traced: Traced,
        leaves: Sequence[Leaf],
        structure: Structure,
        names: Sequence[str],
        backend: Backend,
        *,
        flatten: Flatten,
        options: Mapping[str, Any],
    ) -> None:
        self.graph: Graph = with_constants(traced)
        self._traced, self._leaves = traced, leaves
        self._structure, self._names, self._backend = structure, names, backend
        self._flatten, self._options = flatten, options

    def as_text(self) -> str:
        """The graph's text."""
        return str(self.graph)

    def compile(self) -> "Compiled":
        """The function made ready to run with such arguments."""
        traced = self._traced
        lowered, options = lower(traced.graph, backend=self._backend, **self._options)
        writes = written_inputs(traced, self._leaves)
        executable = Executable(traced.graph, lowered, options, writes)
        entry = Entry(traced, self._leaves, self._names, executable)
        return Compiled(entry, self._leaves, self._structure, self._flatten)

    def cost_analysis(self, **sizes: int) -> dict[str, float]:
        """FLOPs and bytes of a run, for sizes of the named dims."""
        return self.compile().cost_analysis(**sizes)


class Compiled:
    """A function compiled for some arguments, called with such arguments.

    Static arguments may be left out. Nothing is traced any more: what does not fit is
    an error.

    Attributes:
        executable: What runs.
    """

    def __init__(
        self,
        entry: Entry,
        leaves: Sequence[Leaf],
        structure: Structure,
        flatten: Flatten,
    ) -> None:
        self.executable = entry.executable
        self._entry, self._leaves, self._structure = entry, leaves, structure
        self._flatten = flatten

    def __call__(self, *args: Any, **options: Any) -> Any:
        """The function's result; what it writes to is written.

        Raises:
            FeedError: If arguments are not such as it was lowered for.
        """
        try:
            values, structure = self._flatten(args, options)
        except TypeError:  # arguments are missing: the static ones
            values, structure = flatten((args, options))
        if structure != self._structure:
            values = self._without_static(values)
        for leaf, x, name in zip(self._leaves, values, self._entry.names, strict=True):
            _check(leaf, x, name)
        return self._entry.call(values)

    def _without_static(self, values: Sequence[Any]) -> list[Any]:
        """Leaves for a call that leaves static arguments out."""
        arrays = [x for x in values if is_array(x) or isinstance(x, (float, complex))]
        if len(arrays) != len(self._entry.inputs) or len(arrays) != len(values):
            names = ", ".join(self._entry.names[i] for i in self._entry.inputs)
            raise FeedError(
                f"{state.where()}: {self.executable.graph.name} was compiled for"
                f" {names}: arguments are not built as those"
            )
        found = [leaf.value for leaf in self._leaves]
        for i, x in zip(self._entry.inputs, arrays, strict=True):
            found[i] = x
        return found

    def as_text(self) -> str:
        """The text of the graph after the passes."""
        return str(self.executable.program.graph)

    def cost_analysis(self, **sizes: int) -> dict[str, float]:
        """FLOPs and bytes of a run, for sizes of the named dims."""
        return self.executable.cost_analysis(**sizes)

    def memory_analysis(self, **sizes: int) -> dict[str, int]:
        """Bytes of constants, and the peak of results alive, of a run."""
        return self.executable.memory_analysis(**sizes)


def _check(leaf: Leaf, x: Any, name: str) -> None:
    """Raises FeedError if a leaf is not such as it was when it was traced."""
    if leaf.type is None:
        value = getattr(x, "value", x)
        if leaf.alias is None and value is not leaf.value and value != leaf.value:
            raise FeedError(
                f"{state.where()}: {name} is {value!r}, and was compiled as the static"
                f" value {leaf.value!r}"
            )
        return
    have = array_type(x) if is_array(x) else None
    if have is None and not (leaf.weak and isinstance(x, (int, float, complex))):
        raise FeedError(f"{state.where()}: {name} takes {leaf.type}, got {x!r}")
    if have is not None and not _fits(leaf.type, have):
        raise FeedError(f"{state.where()}: {name} takes {leaf.type}, got {have}")


def _fits(want: TensorType, have: TensorType) -> bool:
    pairs = zip(want.dims, have.dims, strict=False)
    return (
        want.dtype is have.dtype
        and len(want.dims) == len(have.dims)
        and all(not isinstance(w, int) or w == h for w, h in pairs)
    )
