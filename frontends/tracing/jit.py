"""``jit``: functions traced once for each kind of arguments, and then compiled."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
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
from graphwright.backends.tuning import Mode, tuning_of
from graphwright.frontends.tracing import state
from graphwright.frontends.tracing.entry import Entry, same_arrays, written_inputs
from graphwright.frontends.tracing.lowered import Lowered
from graphwright.frontends.tracing.parameters import Parameters
from graphwright.frontends.tracing.placement import default
from graphwright.frontends.tracing.pytree import Structure, flatten
from graphwright.frontends.tracing.rewire import rewired
from graphwright.frontends.tracing.spec import Spec
from graphwright.frontends.tracing.storage import Handle
from graphwright.frontends.tracing.trace import (
    Leaf,
    Traced,
    argument_names,
    array_type,
    is_array,
    leaf_of,
    name_of,
    traced_with_numbers,
)
from graphwright.ir.arguments import checked
from graphwright.ir.errors import TraceError

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


class Same:
    """An argument that is the same array as an earlier one, by its number."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.number == other.number

    def __hash__(self) -> int:
        return hash((Same, self.number))


class Jit:
    """A function that compiles itself; made by ``jit``."""

    def __init__(
        self,
        function: Callable[..., Any],
        backend: "str | Backend | Sequence[str] | None",
        static: frozenset[str],
        donated: frozenset[str],
        specs: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> None:
        update_wrapper(self, function)
        self._function, self._backend = function, backend
        self._static, self._donated, self._specs = static, donated, specs
        self._options = options
        named = static or donated or specs
        self._signature = signature(function) if named else None
        self._entries: dict[Any, Entry] = {}
        self._quick: dict[Any, Entry] = {}
        self._numbers: dict[Structure, set[int]] = {}
        self._history: list[tuple[Any, list[str], str]] = []
        self._lock = RLock()
        self._home: Backend | None = None

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """The function's result, of a graph that was traced for such arguments."""
        if state.current.get() is not None:  # inside another trace: part of it
            return rewired(self._function)(*args, **options)
        home = default() if self._backend is None else self.home()
        quick = None if options or self._signature else self._quick_key(args, home)
        entry = self._quick.get(quick) if quick is not None else None
        if entry is not None and (entry.reads is None or entry.reads.changed() is None):
            return entry.call(args)
        entry, values = self.entry_for(args, options, home)
        if quick is not None and _are_inputs(entry, args):
            self._quick[quick] = entry
        found = entry.call(values)
        if self._donated:
            self._give_away(entry, values)
        return found

    def entry_for(
        self, args: tuple[Any, ...], options: dict[str, Any], home: Backend
    ) -> tuple[Entry, list[Any]]:
        """What runs a call, traced if need be, and the leaves of its arguments."""
        values, structure = self._flatten(args, options)
        key = self._key(values, structure, home)
        entry = self._fresh(key)
        if entry is None:
            with self._lock:  # another thread may have traced it meanwhile
                entry = self._fresh(self._key(values, structure, home))
                entry = entry or self._traced(key, values, structure, home)
        return entry, values

    def _fresh(self, key: Any) -> Entry | None:
        """The entry of a signature, if what it read is still what it was."""
        entry = self._entries.get(key)
        if entry is None or entry.traced.reads.changed() is not None:
            return None
        return entry

    def _give_away(self, entry: Entry, values: Sequence[Any]) -> None:
        """Donated tensors are read no more."""
        kept = {i for i in entry.traced.written if i < entry.count}
        for i, (x, name) in enumerate(zip(values, entry.names, strict=True)):
            root = name.replace("[", ".").split(".")[0]
            if root in self._donated and isinstance(x, Handle) and i not in kept:
                x.donate(name_of(self._function))

    def _quick_key(self, args: tuple[Any, ...], home: Backend) -> Any:
        """What tells calls of arrays and numbers apart; None for other calls."""
        kinds: list[Any] = [home]
        arrays: list[int] = []
        for x in args:
            kind = type(x)
            if kind is np.ndarray:
                arrays.append(id(x))
                kinds += (x.dtype, x.shape)
            elif kind is float:
                kinds.append(float)
            elif kind is int or kind is bool or kind is str:
                kinds += (kind, x)
            elif kind is Handle.concrete:
                arrays.append(id(x))
                type_ = x.type_of()
                kinds += (type_.dtype.numpy, type_.shape)
            else:
                return None
        if len(arrays) > 1 and len(set(arrays)) < len(arrays):
            return None
        return tuple(kinds)

    def home(self) -> Backend:
        """The backend that runs it now."""
        if self._backend is None:
            return default()
        if self._home is None or self._backend == "auto":  # the environment says
            self._home = choose_backend(self._backend)
        return self._home

    def _flatten(
        self, args: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[list[Any], Structure]:
        if self._signature is not None:
            bound = self._signature.bind(*args, **options)
            for name in self._static & bound.arguments.keys():
                bound.arguments[name] = Static(bound.arguments[name])
            args, options = bound.args, bound.kwargs
        return flatten((args, dict(sorted(options.items()))))

    # Signatures -----------------------------------------------------------------------

    def _key(self, values: Sequence[Any], structure: Structure, home: Backend) -> Any:
        numbers = self._numbers.get(structure, ())
        kinds = [
            self._kind(x) if i not in numbers else (type(x), x)
            for i, x in enumerate(values)
        ]
        if self._specs:
            self._declared(kinds, values, structure)
        for i, j in same_arrays(values).items():
            kinds[i] = Same(j)
        try:
            key = (structure, tuple(kinds), home)
            hash(key)
        except TypeError:
            names = argument_names(self._function, structure, len(values))
            pairs = zip(names, values, strict=True)
            name, x = next(
                p for p in pairs if not is_array(p[1]) and not _hashable(p[1])
            )
            bad = x.value if isinstance(x, Static) else x
            raise TraceError(
                f"{state.where()}: {name_of(self._function)}: {name} is a"
                f" {type(bad).__name__}, which is no array, and cannot be static as it"
                " has no hash: pass a tuple, or a tensor"
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
        lowered, options = lower(traced.graph, backend=home, **self._options)
        writes = written_inputs(traced, leaves)
        executable = Executable(traced.graph, lowered, options, writes)
        entry = Entry(traced, leaves, names, executable)
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
            elif isinstance(kind, Same):
                leaves.append(Leaf(None, alias=kind.number))
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
        alike = [row for row in self._history if row[0][0] == key[0]]
        return min(
            (_difference(old, key, names) for old, _, _ in alike),
            key=len,
            default=_other_arguments(names, self._history[-1][1]),
        )

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
        home = self.home()
        return Lowered(
            *(traced, leaves, structure, names, home),
            flatten=self._flatten,
            options=self._options,
        )

    def as_text(self, *args: Any, **options: Any) -> str:
        """The text of the graph for arguments."""
        return self.lower(*args, **options).as_text()

    def cost_analysis(self, *args: Any, **options: Any) -> dict[str, float]:
        """FLOPs and bytes of a call with arguments."""
        return self.lower(*args, **options).cost_analysis()

    def __repr__(self) -> str:
        return f"<jit {name_of(self._function)!r}: {len(self._history)} traces>"


def _are_inputs(entry: Entry, args: Sequence[Any]) -> bool:
    """Whether all floats are inputs: none was read while tracing."""
    return all(i in entry.inputs for i, x in enumerate(args) if type(x) is float)


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
    if isinstance(kind, Same):
        return "the same array as an earlier one"
    first, second = kind
    if isinstance(first, np.dtype):
        return f"{first}[{', '.join(map(str, second))}]"
    value = second.value if isinstance(second, Static) else second
    return f"{value!r} (static)"


def _difference(old: Any, new: Any, names: Sequence[str]) -> str:
    if old[2] is not new[2]:
        return "the backend is another one"
    rows = [
        f"{name} is {_words(b)}, was {_words(a)}"
        for name, a, b in zip(names, old[1], new[1], strict=True)
        if a != b
    ]
    return "; ".join(rows)


def _other_arguments(names: Sequence[str], before: Sequence[str]) -> str:
    """What differs where arguments are put together in another way."""
    more = ", ".join(n for n in names if n not in before)
    less = ", ".join(n for n in before if n not in names)
    rows = [f"{more} is there"] if more else []
    rows += [f"{less} is not"] if less else []
    if not rows:
        return "the same leaves come in trees of other types, or in another order"
    return " and ".join(rows) + ", other than before"


@overload
def jit(
    function: Callable[..., Any],
    *,
    backend: "str | Backend | Sequence[str] | None" = None,
    static_argnums: int | Collection[int] = (),
    static_argnames: str | Collection[str] = (),
    donate: int | str | Collection[int | str] = (),
    specs: "Sequence[Spec | None] | Mapping[str, Spec]" = (),
    fast_math: bool = False,
    strict_float: bool = False,
    tune: Mode = "off",
    tuning: "str | os.PathLike[str] | None" = None,
) -> Jit: ...
@overload
def jit(
    function: None = None,
    *,
    backend: "str | Backend | Sequence[str] | None" = None,
    static_argnums: int | Collection[int] = (),
    static_argnames: str | Collection[str] = (),
    donate: int | str | Collection[int | str] = (),
    specs: "Sequence[Spec | None] | Mapping[str, Spec]" = (),
    fast_math: bool = False,
    strict_float: bool = False,
    tune: Mode = "off",
    tuning: "str | os.PathLike[str] | None" = None,
) -> Callable[[Callable[..., Any]], Jit]: ...
@checked
def jit(
    function: Callable[..., Any] | None = None,
    *,
    backend: "str | Backend | Sequence[str] | None" = None,
    static_argnums: int | Collection[int] = (),
    static_argnames: str | Collection[str] = (),
    donate: int | str | Collection[int | str] = (),
    specs: "Sequence[Spec | None] | Mapping[str, Spec]" = (),
    fast_math: bool = False,
    strict_float: bool = False,
    tune: Mode = "off",
    tuning: "str | os.PathLike[str] | None" = None,
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
        donate: Arguments, by name or position, that the caller does not need any more:
            their tensors cannot be read after the call, and their memory is released.
        specs: Types of arguments, by position or by name: with named dims one graph
            serves all their sizes.
        fast_math: Also rewrites that are wrong for some numbers, as in ``gw.compile``.
        strict_float: Only what keeps every bit.
        tune: What OpenCL measures where kernels can be computed in several ways, as in
            ``gw.compile``.
        tuning: A file with choices that were made, and to which those are added that
            are measured.

    Raises:
        CacheError: If ``tuning`` is no record, or cannot be read.
        ArgumentError: If an argument is none that its annotation allows.
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
                fast_math=fast_math,
                strict_float=strict_float,
                tune=tune,
                tuning=tuning,
            )

        return decorate
    numbers = [static_argnums] if isinstance(static_argnums, int) else static_argnums
    names = [static_argnames] if isinstance(static_argnames, str) else static_argnames
    given: Collection[int | str] = (
        [donate] if isinstance(donate, (int, str)) else donate
    )
    choose = Parameters(function)
    chosen: Sequence[int | str] = [*numbers, *names]
    static = frozenset(choose.name(x, "static") for x in chosen)
    donated = frozenset(choose.name(x, "donated") for x in given)
    if isinstance(specs, Mapping):
        declared = {choose.name(n, "declared"): s for n, s in specs.items()}
    else:
        pairs = enumerate(specs)
        declared = {choose.name(i, "declared"): s for i, s in pairs if s is not None}
    options = {
        "fast_math": fast_math,
        "strict_float": strict_float,
        "tuning": tuning_of(tune, tuning),
    }
    return Jit(function, backend, static, donated, declared, options)
