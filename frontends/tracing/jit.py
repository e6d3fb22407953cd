"""``jit``: functions traced once for each kind of arguments, and then compiled."""

from collections.abc import Callable, Mapping, Sequence
from functools import update_wrapper
from inspect import signature
from threading import RLock
from types import MethodType
from typing import Any, overload

import numpy as np

from graphwright.backends.compile import lower
from graphwright.backends.contract import Backend
from graphwright.backends.executable import Executable
from graphwright.backends.registry import choose_backend
from graphwright.frontends.tracing import state
from graphwright.frontends.tracing.lazy import Deferred, leaf, materialise
from graphwright.frontends.tracing.placement import default
from graphwright.frontends.tracing.pytree import Structure, flatten
from graphwright.frontends.tracing.rewire import rewired
from graphwright.frontends.tracing.spec import Spec
from graphwright.frontends.tracing.storage import Cell, Handle
from graphwright.frontends.tracing.trace import (
    Leaf,
    Traced,
    argument_names,
    array_type,
    is_array,
    leaf_of,
    name_of,
    plain,
    traced_with_numbers,
    with_constants,
)
from graphwright.ir.errors import TraceError
from graphwright.ir.graph import Graph
from graphwright.ir.types import type_symbols

_MAX_ENTRIES = 128


class Static:
    """An argument that counts by its value, by the user's word."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash(self.value)


class Entry:
    """A function compiled for one kind of arguments."""

    def __init__(
        self, traced: Traced, leaves: Sequence[Leaf], executable: Executable
    ) -> None:
        self.traced, self.executable = traced, executable
        self.inputs = [i for i, kind in enumerate(leaves) if kind.type is not None]
        self.count = len(leaves)
        self.home = executable.options.backend
        self._results = sum(o is None for o in traced.outputs)
        outputs = traced.graph.outputs[: self._results]
        fixed = not any(type_symbols(v.type) for v in outputs)
        self._types = [plain(v) for v in outputs] if fixed else None
        self._checked = not traced.graph.input_symbols()

    def call(self, values: Sequence[Any]) -> Any:
        """The result for the leaves of the arguments; what it writes to is written."""
        traced = self.traced
        feeds = [self._feed(values[i]) for i in self.inputs]
        feeds += [self._feed(h.origin) for h in traced.hidden]
        if self._checked:  # the signature says that they fit
            device = self.home.to_device
            found = self.executable.run_arrays([device(x) for x in feeds])
        else:
            found = self.executable.execute(feeds)
        n = self._results
        for i, array in zip(traced.written, found[n:], strict=True):
            hidden = i - self.count
            self._store(
                values[i] if hidden < 0 else traced.hidden[hidden].origin, array
            )
        tensors = self._tensors(found[:n])
        if traced.structure is None and n == 1:
            return tensors[0]
        return traced.result(tensors)

    def _tensors(self, arrays: list[Any]) -> list[Handle]:
        home = self.home
        if self._types is None:
            return [Handle.known(a, home) for a in arrays]
        typed = Handle.typed
        return [typed(a, t, home) for a, t in zip(arrays, self._types, strict=True)]

    def _feed(self, x: Any) -> Any:
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
        return np.asarray(x) if isinstance(x, (float, complex)) else x

    def _store(self, target: Any, array: Any) -> None:
        if isinstance(target, np.ndarray):
            np.copyto(target, self.home.to_host(array))
        elif isinstance(target, Cell):
            target.set(leaf(array, target.value.type, self.home))
        elif isinstance(target, Handle):
            target.write(leaf(array, target.read().type, self.home))


class Lowered:
    """A function traced for some arguments: its graph, before or after the passes."""

    def __init__(self, graph: Graph, backend: Backend) -> None:
        self.graph, self.backend = graph, backend

    def as_text(self) -> str:
        """The graph's text."""
        return str(self.graph)

    def compile(self) -> "Compiled":
        """The graph made ready to run."""
        lowered, options = lower(self.graph, backend=self.backend)
        return Compiled(Executable(self.graph, lowered, options))

    def cost_analysis(self, **sizes: int) -> dict[str, float]:
        """FLOPs and bytes of a run, for sizes of the named dims."""
        return self.compile().cost_analysis(**sizes)


class Compiled:
    """A lowered function made ready: called with the arrays it was lowered for."""

    def __init__(self, executable: Executable) -> None:
        self.executable = executable

    def __call__(self, *arrays: Any) -> Any:
        """Runs it: one tensor, or a tuple of them."""
        home = self.executable.options.backend
        found = [Handle.known(a, home) for a in self.executable.execute(arrays)]
        return found[0] if len(found) == 1 else tuple(found)

    def as_text(self) -> str:
        """The text of the graph after the passes."""
        return str(self.executable.program.graph)

    def cost_analysis(self, **sizes: int) -> dict[str, float]:
        """FLOPs and bytes of a run, for sizes of the named dims."""
        return self.executable.cost_analysis(**sizes)

    def memory_analysis(self, **sizes: int) -> dict[str, int]:
        """Bytes of constants, and the peak of results alive, of a run."""
        return self.executable.memory_analysis(**sizes)


class Jit:
    """A function that compiles itself; made by ``jit``."""

    def __init__(
        self,
        function: Callable[..., Any],
        backend: "str | Backend | Sequence[str] | None",
        static: frozenset[str],
        specs: Mapping[str, Any],
    ) -> None:
        update_wrapper(self, function)
        self._function, self._backend = function, backend
        self._static, self._specs = static, specs
        self._entries: dict[Any, Entry] = {}
        self._quick: dict[Any, Entry] = {}
        self._numbers: dict[Structure, set[int]] = {}
        self._history: list[tuple[Any, list[str], str]] = []
        self._lock = RLock()

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """The function's result, of a graph that was traced for such arguments."""
        if state.current.get() is not None:  # inside another trace: part of it
            return rewired(self._function)(*args, **options)
        home = self._home()
        quick = None if options or self._specs else self._quick_key(args, home)
        entry = self._quick.get(quick) if quick is not None else None
        if entry is not None and entry.traced.reads.changed() is None:
            return entry.call(args)
        values, structure = self._flatten(args, options)
        key = self._key(values, structure, home)
        entry = self._entries.get(key)
        if entry is None or entry.traced.reads.changed() is not None:
            with self._lock:
                entry = self._traced(key, values, structure, home)
        if quick is not None and not self._static:
            self._quick[quick] = entry
        return entry.call(values)

    def _quick_key(self, args: tuple[Any, ...], home: Backend) -> Any:
        """What tells calls of nothing but arrays apart; None for other calls."""
        kinds: list[Any] = [home]
        for x in args:
            if type(x) is np.ndarray:
                kinds += (x.dtype, x.shape)
            elif type(x) is Handle.concrete:
                type_ = x.type_of()
                kinds += (type_.dtype.numpy, type_.shape)
            else:
                return None
        return tuple(kinds)

    def _home(self) -> Backend:
        return default() if self._backend is None else choose_backend(self._backend)

    def _flatten(
        self, args: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[list[Any], Structure]:
        if self._static or self._specs:
            bound = signature(self._function).bind(*args, **options)
            for name in self._static & bound.arguments.keys():
                bound.arguments[name] = Static(bound.arguments[name])
            args, options = bound.args, bound.kwargs
        return flatten((args, options))

    # Signatures -----------------------------------------------------------------------

    def _key(self, values: Sequence[Any], structure: Structure, home: Backend) -> Any:
        numbers = self._numbers.get(structure, ())
        kinds = [
            self._kind(x) if i not in numbers else (type(x), x)
            for i, x in enumerate(values)
        ]
        if self._specs:
            self._declared(kinds, values, structure)
        try:
            key = (structure, tuple(kinds), home)
            hash(key)
        except TypeError:
            bad = next(x for x in values if not is_array(x) and not _hashable(x))
            raise TraceError(
                f"{state.where()}: {name_of(self._function)} got a"
                f" {type(bad).__name__}, which is no array and cannot be a static"
                " argument: it has no hash"
            ) from None
        return key

    def _kind(self, x: Any) -> Any:
        if isinstance(x, np.ndarray):
            return x.dtype, x.shape
        if isinstance(x, Handle):
            type_ = x.type_of()
            return type_.dtype.numpy, type_.dims
        if type(x) is float or type(x) is complex:
            return type(x)
        if is_array(x):
            type_ = array_type(x)
            return type_.dtype.numpy, type_.dims
        return type(x), x

    def _declared(
        self, kinds: list[Any], values: Sequence[Any], structure: Structure
    ) -> None:
        """Puts declared types in place of those of the arguments that they fit."""
        names = argument_names(self._function, structure, len(values))
        for i, (name, x) in enumerate(zip(names, values, strict=True)):
            spec = self._specs.get(name)
            if isinstance(spec, Spec) and is_array(x):
                spec.check(name, array_type(x))
                kinds[i] = spec

    # Traces ---------------------------------------------------------------------------

    def _traced(
        self, key: Any, values: Sequence[Any], structure: Structure, home: Backend
    ) -> Entry:
        names = argument_names(self._function, structure, len(values))
        reason = self._reason(key, names)
        leaves = self._leaves(key, values)
        traced = self._trace(values, leaves, structure, names)
        numbers = [i for i, kind in enumerate(key[1]) if kind in (float, complex)]
        read = {i for i in numbers if leaves[i].type is None}
        if read:
            self._numbers.setdefault(structure, set()).update(read)
            key = self._key(values, structure, home)
        lowered, options = lower(traced.graph, backend=home)
        entry = Entry(traced, leaves, Executable(traced.graph, lowered, options))
        if len(self._entries) >= _MAX_ENTRIES:
            self._entries.pop(next(iter(self._entries)))
            self._quick.clear()
        self._entries[key] = entry
        self._history.append((key, names, reason))
        return entry

    def _leaves(self, key: Any, values: Sequence[Any]) -> list[Leaf]:
        leaves: list[Leaf] = []
        for kind, x in zip(key[1], values, strict=True):
            if isinstance(kind, Spec):
                leaves.append(Leaf(kind.type))
            elif isinstance(x, Static):
                leaves.append(Leaf(None, value=x.value))
            elif type(x) in (float, complex) and kind is not type(x):
                leaves.append(Leaf(None, value=x))
            else:
                leaves.append(leaf_of(x))
        return leaves

    def _trace(
        self,
        values: Sequence[Any],
        leaves: list[Leaf],
        structure: Structure,
        names: list[str],
    ) -> Traced:
        function, name = self._function, name_of(self._function)
        return traced_with_numbers(function, values, leaves, structure, names, name)

    def _reason(self, key: Any, names: list[str]) -> str:
        """Why this call needs a trace, compared with the traces so far."""
        if not self._history:
            return "it is the first call"
        if key in self._entries:
            changed = self._entries[key].traced.reads.changed()
            return f"{changed} is no longer what the function read"
        differences = [_difference(old, key, names) for old, _, _ in self._history]
        return min(differences, key=len)

    # What was done --------------------------------------------------------------------

    def explain(self) -> str:
        """How often the function was traced, for what arguments, and why each time."""
        lines = [f"{name_of(self._function)} was traced {len(self._history)} times"]
        for i, (key, names, reason) in enumerate(self._history, 1):
            kinds = zip(names, key[1], strict=True)
            words = ", ".join(f"{n}: {_words(k)}" for n, k in kinds)
            lines.append(f"{i}. ({words}) because {reason}")
        return "\n".join(lines)

    def lower(self, *args: Any, **options: Any) -> Lowered:
        """The function traced for arguments, or for ``gw.spec`` in their place."""
        values, structure = self._flatten(args, options)
        names = argument_names(self._function, structure, len(values))
        leaves = [
            Leaf(None, value=x.value) if isinstance(x, Static) else leaf_of(x)
            for x in values
        ]
        traced = self._trace(values, leaves, structure, names)
        return Lowered(with_constants(traced), self._home())

    def as_text(self, *args: Any, **options: Any) -> str:
        """The text of the graph for arguments."""
        return self.lower(*args, **options).as_text()

    def cost_analysis(self, *args: Any, **options: Any) -> dict[str, float]:
        """FLOPs and bytes of a call with arguments."""
        return self.lower(*args, **options).cost_analysis()

    def __repr__(self) -> str:
        return f"<jit {name_of(self._function)!r}: {len(self._history)} traces>"


def _hashable(x: Any) -> bool:
    try:
        hash(x)
    except TypeError:
        return False
    return True


def _words(kind: Any) -> str:
    """A part of a signature for people."""
    if isinstance(kind, Spec):
        return str(kind.type)
    if isinstance(kind, type):
        return kind.__name__
    first, second = kind
    if isinstance(first, np.dtype):
        return f"{first}[{', '.join(map(str, second))}]"
    value = second.value if isinstance(second, Static) else second
    return f"{value!r} (static)"


def _difference(old: Any, new: Any, names: Sequence[str]) -> str:
    if old[0] != new[0]:
        return "the arguments are put together in another way than before"
    if old[2] is not new[2]:
        return "the backend is another one"
    rows = [
        f"{name} is {_words(b)}, was {_words(a)}"
        for name, a, b in zip(names, old[1], new[1], strict=True)
        if a != b
    ]
    return "; ".join(rows)


@overload
def jit(
    function: Callable[..., Any],
    *,
    backend: "str | Backend | Sequence[str] | None" = None,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    donate: str | Sequence[str] = (),
    specs: "Sequence[Spec | None] | Mapping[str, Spec]" = (),
) -> Jit: ...
@overload
def jit(
    function: None = None,
    *,
    backend: "str | Backend | Sequence[str] | None" = None,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    donate: str | Sequence[str] = (),
    specs: "Sequence[Spec | None] | Mapping[str, Spec]" = (),
) -> Callable[[Callable[..., Any]], Jit]: ...
def jit(
    function: Callable[..., Any] | None = None,
    *,
    backend: "str | Backend | Sequence[str] | None" = None,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    donate: str | Sequence[str] = (),
    specs: "Sequence[Spec | None] | Mapping[str, Spec]" = (),
) -> Any:
    """Makes a function that is traced once per signature, compiled, and run as a graph.

    A signature is the dtypes and shapes of arrays, the values of integers, bools,
    strings and other static arguments, and how trees of them are built. Floats are
    inputs, unless the function reads their value. Arrays that the function writes to
    come back written.

    Args:
        function: A function of arrays, written for NumPy or for tensors.
        backend: What runs it, as in ``gw.compile``; the default backend if None.
        static_argnums: Positions of arguments that count by their value.
        static_argnames: Names of such arguments.
        donate: Arguments that the caller does not need any more.
        specs: Types of arguments, by position or by name: with named dims one graph
            serves all their sizes.
    """
    if function is None:

        def decorate(f: Callable[..., Any]) -> Jit:
            return jit(
                f,
                backend=backend,
                static_argnums=static_argnums,
                static_argnames=static_argnames,
                donate=donate,
                specs=specs,
            )

        return decorate
    wanted = [static_argnums] if isinstance(static_argnums, int) else static_argnums
    names = [static_argnames] if isinstance(static_argnames, str) else static_argnames
    parameters = list(signature(function).parameters) if wanted or specs else []
    static = frozenset([*names, *(parameters[i] for i in wanted)])
    declared = (
        dict(specs) if isinstance(specs, Mapping) else _by_name(specs, parameters)
    )
    return Jit(function, backend, static, declared)


def _by_name(specs: Sequence[Spec | None], names: Sequence[str]) -> dict[str, Any]:
    return {n: s for n, s in zip(names, specs, strict=False) if s is not None}
