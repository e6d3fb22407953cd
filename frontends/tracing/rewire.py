"""Unmodified NumPy programs: function copies whose ``numpy`` is ``graphwright.numpy``.

``out = numpy.zeros(n); out[1:4] = t`` never asks ``t`` what to do. So a trace runs a
copy of the function in whose globals and closure NumPy's modules and functions are the
namespace's, helpers and methods in the user's modules are such copies too, and arrays
are tensors that stand for them.
"""

import builtins
from collections.abc import Callable, Sequence
from functools import cache, partial
from sys import modules
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np

from graphwright.frontends.tracing import state
from graphwright.frontends.tracing.effects import (
    Watch,
    changed_arguments,
    codes_of,
    complain,
    held,
    rebound_name,
    refused,
    refused_builtins,
    same_items,
)
from graphwright.frontends.tracing.methods import namespace
from graphwright.frontends.tracing.objects import (
    ModuleView,
    SuperView,
    is_plain,
    is_users,
    seen,
)
from graphwright.frontends.tracing.pytree import leaves_as
from graphwright.frontends.tracing.tensor import find

_SCALARS = (bool, int, float, complex, str, bytes, type(None))
_COLLECTIONS = (list, dict, set)
_FUNCTIONS = (np.ufunc, BuiltinFunctionType, type(np.max))
"""What NumPy's own functions are, but for those written in Python."""
_MAX_CONTENTS = 64
"""Up to how many items a collection is looked at before each call."""


class Reads:
    """What a trace read from outside by name, to see later whether it still is that."""

    __slots__ = ("_cells", "_held", "_names")

    def __init__(self) -> None:
        self._names: dict[tuple[int, str], tuple[dict[str, Any], str, Any, str]] = {}
        self._cells: list[tuple[CellType, Any]] = []
        self._held: dict[int, tuple[Any, list[Any], str]] = {}

    def __bool__(self) -> bool:
        return bool(self._names or self._cells or self._held)

    def note(self, names: dict[str, Any], name: str, value: Any, full: str) -> None:
        """Remembers what a name stood for; ``full`` is what people call it."""
        self._names.setdefault((id(names), name), (names, name, value, full))
        self._note_contents(full, value)

    def note_global(self, names: dict[str, Any], name: str, value: Any) -> None:
        """The same of a global, if it is a number, an array or a collection."""
        if isinstance(value, (*_SCALARS, *_COLLECTIONS, np.ndarray)):
            self.note(names, name, value, name)

    def note_cell(self, cell: CellType, name: str, value: Any) -> None:
        """The same of a variable of an enclosing function."""
        if isinstance(value, (*_SCALARS, *_COLLECTIONS, np.ndarray)):
            self._cells.append((cell, value))
            self._note_contents(name, value)

    def _note_contents(self, name: str, value: Any) -> None:
        if isinstance(value, _COLLECTIONS) and len(value) <= _MAX_CONTENTS:
            self._held.setdefault(id(value), (value, held(value), name))

    def changed(self) -> str | None:
        """The first name that means something else now, or None."""
        for names, name, value, full in self._names.values():
            if names.get(name) is not value:
                return full
        for cell, value in self._cells:
            if cell.cell_contents is not value:
                return "a variable of the enclosing function"
        for value, before, name in self._held.values():
            if not same_items(held(value), before):
                return name
        return None


class _Scope(dict[str, Any]):
    """The globals of copied functions: the real ones, seen through ``Rewiring``."""

    def __init__(self, real: dict[str, Any], rewiring: "Rewiring") -> None:
        inner = {**vars(builtins), **refused_builtins()}
        inner["__import__"] = rewiring.import_
        inner["super"] = SuperView.maker(rewiring)
        super().__init__(__builtins__=inner, __name__=real.get("__name__", ""))
        self._real, self._rewiring = real, rewiring
        self._own = {*self, "__warningregistry__"}

    def __getitem__(self, name: str) -> Any:
        if dict.__contains__(self, name):
            return dict.__getitem__(self, name)
        value = self._real[name]
        self._rewiring.reads.note_global(self._real, name, value)
        self._rewiring.watch.note(name, value)
        return self._rewiring.swapped(value, self._real)

    def rebound(self) -> str | None:
        """A global variable that the copies set, or None."""
        return next((name for name in self if name not in self._own), None)


class Rewiring:
    """The copies made for one trace."""

    def __init__(self) -> None:
        self.reads, self.watch = Reads(), Watch()
        self._scopes: dict[int, _Scope] = {}
        self._copies: dict[int, tuple[Any, Any]] = {}
        self._cells: list[tuple[str, CellType, Any]] = []
        self._objects: dict[int, tuple[Any, Any]] = {}
        self._kinds: dict[type, type] = {}

    def import_(self, name: str, *args: Any, **options: Any) -> Any:
        """``import numpy`` inside a function."""
        return self.swapped(builtins.__import__(name, *args, **options), {})

    def function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The copy of a function; itself where it is none of the user's."""
        if isinstance(function, MethodType):
            owner = function.__self__
            owner = self._object(owner) if is_plain(owner) else owner
            return MethodType(self.function(function.__func__), owner)
        if isinstance(function, partial):
            bound = [self._kept(x) for x in function.args]
            named = {name: self._kept(x) for name, x in function.keywords.items()}
            return partial(self.function(function.func), *bound, **named)
        if not isinstance(function, FunctionType):
            call = vars(type(function)).get("__call__")
            plain = isinstance(call, FunctionType) and not isinstance(function, type)
            return self.function(MethodType(call, function)) if plain else function
        home = function.__globals__
        own = str(home.get("__name__", "")).startswith(("graphwright.", "numpy."))
        return function if own or isinstance(home, _Scope) else self._copy(function)

    def _copy(self, function: FunctionType) -> FunctionType:
        found = self._copies.get(id(function))
        if found is not None:
            return found[1]  # type: ignore[no-any-return]
        real = function.__globals__
        scope = self._scopes.get(id(real))
        if scope is None:
            scope = self._scopes[id(real)] = _Scope(real, self)
        cells = tuple(CellType() for _ in function.__closure__ or ())
        defaults = tuple([self._kept(x) for x in function.__defaults__ or ()])
        made = FunctionType(
            function.__code__, scope, function.__name__, defaults or None, cells
        )
        named = function.__kwdefaults__ or {}
        made.__kwdefaults__ = {name: self._kept(x) for name, x in named.items()}
        self._copies[id(function)] = (function, made)
        names = function.__code__.co_freevars
        for name, cell, copy in zip(
            names, function.__closure__ or (), cells, strict=True
        ):
            try:
                value = cell.cell_contents
            except ValueError:  # not assigned yet
                continue
            self.reads.note_cell(cell, name, value)
            self.watch.note(name, value)
            copy.cell_contents = self.swapped(value, real)
            self._cells.append((name, copy, copy.cell_contents))
        return made

    def argument(self, name: str, value: Any) -> Any:
        """What stands for a static argument."""
        self.watch.note(name, value)
        return refused(value) or (self._object(value) if is_plain(value) else value)

    def check_effects(self, values: Sequence[Any]) -> None:
        """Raises TraceError if the functions changed something outside of them.

        Args:
            values: Static arguments, whose methods may have done it.
        """
        codes = self._codes(values)
        for scope in self._scopes.values():
            name = scope.rebound()
            if name is not None:
                rebound_name(name, codes)
        for name, cell, before in self._cells:
            if cell.cell_contents is not before:
                rebound_name(name, codes)
        self.watch.check(codes)

    def check_arguments(
        self, tree: Any, structure: Any, before: Sequence[Any], names: Sequence[str]
    ) -> None:
        """Raises TraceError if lists, dicts or objects of the arguments were changed.

        Args:
            tree: The arguments, after the function ran.
            structure: How they were built before.
            before: Their leaves before.
            names: What the leaves are called.
        """
        leaves = leaves_as(structure, tree)
        if leaves is None:
            changed_arguments(names, [], self._codes(before))
        rows = zip(names, leaves, before, strict=True)
        changed = [name for name, now, then in rows if now is not then]
        if changed:
            changed_arguments(names, changed, self._codes(before))

    def _codes(self, values: Sequence[Any]) -> list[CodeType]:
        return codes_of([real for real, _ in self._copies.values()], values)

    def swapped(self, value: Any, home: dict[str, Any]) -> Any:
        """What stands for a value in a copied function."""
        other = refused(value)
        if other is not None:
            return other
        if isinstance(value, ModuleType):
            users = is_users(vars(value))
            return ModuleView(value, self.swapped) if users else _module(value)
        if isinstance(value, np.ndarray):
            trace = state.current.get()
            known = trace is not None and value.dtype.kind in "biufc"
            return trace.import_array(value) if trace and known else value
        if isinstance(value, FunctionType):
            users = value.__globals__ is home or is_users(value.__globals__)
            return self.function(value) if users else _numpy_function(value)
        if value is np.ndarray:
            return find("ndarray")
        if isinstance(value, _FUNCTIONS):
            return _numpy_function(value)
        if type(value) in (list, tuple, dict) and _matters(value):
            return self._container(value, home)
        return self._object(value) if is_plain(value) else value

    def _kept(self, value: Any) -> Any:
        """What stands for a default, or for what a ``partial`` binds: its arrays."""
        return self.swapped(value, {}) if _matters(value) else value

    def _container(self, value: Any, home: dict[str, Any]) -> Any:
        """A list, tuple or dict whose arrays and objects are swapped."""
        found = self._objects.get(id(value))
        if found is None:
            if isinstance(value, dict):
                copy: Any = {k: self.swapped(x, home) for k, x in value.items()}
            else:
                copy = type(value)([self.swapped(x, home) for x in value])
            self.watch.follow(value, copy)
            found = self._objects[id(value)] = (value, copy)
        return found[1]

    def original(self, value: Any) -> Any:
        """The object that something stands for; itself if it stands for none."""
        pairs = self._objects.values()
        return next((real for real, twin in pairs if twin is value), value)

    def read(self, twin: Any, name: str, value: Any) -> Any:
        """What stands for an attribute of an object."""
        full = f"{type(twin).__name__}.{name}"
        self.reads.note(vars(twin), name, value, full)
        return self.swapped(value, vars(modules[type(twin).__module__]))

    def write(self, twin: Any, name: str) -> None:
        """Raises TraceError if an object from outside is given an attribute."""
        if self.original(twin) is not twin:
            full = f"{type(twin).__name__}.{name}"
            complain(full, f"sets {full}", ())

    def _object(self, value: Any) -> Any:
        """What stands for a user's object."""
        found = self._objects.get(id(value))
        if found is None:
            twin = seen(value, self._kinds, self)
            found = self._objects[id(value)] = (value, twin)
        return found[1]


def _matters(value: Any, depth: int = 8) -> bool:
    """Whether a value is, or holds, an array or a user's object."""
    if type(value) in (list, tuple, dict):
        parts = value.values() if isinstance(value, dict) else value
        return depth > 0 and any(_matters(x, depth - 1) for x in parts)
    return isinstance(value, np.ndarray) or is_plain(value)


def rewired(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a trace calls for a function that it is given, or that a body will be."""
    trace = state.current.get()
    rewiring = None if trace is None else trace.rewiring
    return (rewiring or Rewiring()).function(function)


class _Namespace:
    """NumPy (or a module of it) as copied functions see it.

    What the namespace of array functions lacks is NumPy's own, such as ``testing``.
    """

    def __init__(self, real: ModuleType, ours: Any) -> None:
        self.__dict__.update(_real=real, _ours=ours)

    def __getattr__(self, name: str) -> Any:
        missing = object()
        found = getattr(self._ours, name, missing)
        if found is missing:
            found = getattr(self._real, name)
            if isinstance(found, ModuleType):
                found = refused(found) or _module(found)
        self.__dict__[name] = found
        return found

    def __repr__(self) -> str:
        return f"<{self._real.__name__} under a trace>"


@cache
def _module(module: ModuleType) -> Any:
    name = module.__name__
    if name == "numpy":
        return _Namespace(module, namespace())
    if name.startswith("numpy."):
        return _Namespace(module, find(name.removeprefix("numpy.")))
    return module


def _numpy_function(value: Any) -> Any:
    """The namespace's function for one imported from NumPy by name."""
    module = getattr(value, "__module__", None) or ""
    if isinstance(value, np.ufunc):
        module = "numpy"
    if module != "numpy" and not module.startswith("numpy."):
        return value
    inner = module.removeprefix("numpy").removeprefix(".")
    name = f"{inner}.{value.__name__}" if inner else value.__name__
    return find(name) or value
