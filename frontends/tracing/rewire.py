"""Unmodified NumPy programs: function copies whose ``numpy`` is ``graphwright.numpy``.

``out = numpy.zeros(n); out[1:4] = t`` never asks ``t`` what to do. So a trace runs a
copy of the function in whose globals and closure NumPy's modules and functions are the
namespace's, helpers of the same module are such copies too, and arrays are tensors that
stand for them.
"""

import builtins
from collections.abc import Callable
from functools import partial
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from graphwright.frontends.tracing import state
from graphwright.frontends.tracing.methods import namespace
from graphwright.frontends.tracing.tensor import Tensor, find

_SCALARS = (bool, int, float, complex, str, bytes, type(None))


class Reads:
    """What a trace read from outside by name, to see later whether it still is that."""

    __slots__ = ("_cells", "_globals")

    def __init__(self) -> None:
        self._globals: list[tuple[dict[str, Any], str, Any]] = []
        self._cells: list[tuple[CellType, Any]] = []

    def note(self, where: "dict[str, Any] | CellType", name: str, value: Any) -> None:
        """Remembers a name that was read, if it stands for a number or an array."""
        if isinstance(value, (*_SCALARS, np.ndarray)):
            if isinstance(where, CellType):
                self._cells.append((where, value))
            else:
                self._globals.append((where, name, value))

    def changed(self) -> str | None:
        """The first name that means something else now, or None."""
        for names, name, value in self._globals:
            if names.get(name) is not value:
                return name
        for cell, value in self._cells:
            if cell.cell_contents is not value:
                return "a variable of the enclosing function"
        return None


class _Scope(dict[str, Any]):
    """The globals of copied functions: the real ones, seen through ``Rewiring``."""

    def __init__(self, real: dict[str, Any], rewiring: "Rewiring") -> None:
        inner = {**vars(builtins), "__import__": rewiring.import_}
        super().__init__(__builtins__=inner, __name__=real.get("__name__", ""))
        self._real, self._rewiring = real, rewiring

    def __getitem__(self, name: str) -> Any:
        if dict.__contains__(self, name):
            return dict.__getitem__(self, name)
        value = self._real[name]
        self._rewiring.reads.note(self._real, name, value)
        return self._rewiring.swapped(value, self._real)


class Rewiring:
    """The copies made for one trace."""

    def __init__(self) -> None:
        self.reads = Reads()
        self._scopes: dict[int, _Scope] = {}
        self._copies: dict[int, tuple[Any, Any]] = {}

    def import_(self, name: str, *args: Any, **options: Any) -> Any:
        """``import numpy`` inside a function."""
        return self.swapped(builtins.__import__(name, *args, **options), {})

    def function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The copy of a function; itself where it is none of the user's."""
        if isinstance(function, MethodType):
            return MethodType(self.function(function.__func__), function.__self__)
        if isinstance(function, partial):
            inner = self.function(function.func)
            return partial(inner, *function.args, **function.keywords)
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
        made = FunctionType(
            function.__code__, scope, function.__name__, function.__defaults__, cells
        )
        made.__kwdefaults__ = function.__kwdefaults__
        self._copies[id(function)] = (function, made)
        for cell, copy in zip(function.__closure__ or (), cells, strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # not assigned yet
                continue
            self.reads.note(cell, "", value)
            copy.cell_contents = self.swapped(value, real)
        return made

    def swapped(self, value: Any, home: dict[str, Any]) -> Any:
        """What stands for a value in a copied function."""
        if isinstance(value, ModuleType):
            return _module(value)
        if isinstance(value, np.ndarray):
            trace = state.current.get()
            known = trace is not None and value.dtype.kind in "biufc"
            return trace.import_array(value) if trace and known else value
        if isinstance(value, FunctionType) and value.__globals__ is home:
            return self.function(value)
        if value is np.ndarray:
            return Tensor
        if isinstance(value, (np.ufunc, FunctionType, BuiltinFunctionType)):
            return _numpy_function(value)
        return value


def rewired(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a trace calls for a function that it is given, or that a body will be."""
    trace = state.current.get()
    rewiring = None if trace is None else trace.rewiring
    return (rewiring or Rewiring()).function(function)


def _module(module: ModuleType) -> Any:
    name = module.__name__
    if name == "numpy":
        return namespace()
    if name.startswith("numpy."):
        return find(name.removeprefix("numpy.")) or module
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
