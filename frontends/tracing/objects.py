"""The user's modules and objects as copied functions see them.

A method that is reached through an object, or a helper through its module, is a copy
too: ``self.forward(x)`` may create arrays and write tensors to them. What stands for an
object shares its attributes; what stands for a module reads from it.
"""

import sysconfig
from collections.abc import Callable
from functools import cache
from os import sep
from sys import _getframe, modules
from types import FunctionType, MethodType, ModuleType
from typing import Any, Protocol

import numpy as np

Swap = Callable[[Any, dict[str, Any]], Any]
"""What stands for a value that was found among a module's names."""

_KEPT = frozenset(
    {"__class__", "__delattr__", "__dict__", "__getattr__", "__getattribute__"}
    | {"__init__", "__init_subclass__", "__new__", "__setattr__", "__reduce__"}
)
"""Special methods that are left as they are."""


@cache
def _installed() -> tuple[str, ...]:
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple({sysconfig.get_paths()[kind] + sep for kind in kinds})


def is_users(names: dict[str, Any]) -> bool:
    """Whether a module, given by its names, is neither installed nor Python's own."""
    name, file = str(names.get("__name__", "")), names.get("__file__")
    if name.partition(".")[0] in ("graphwright", "numpy"):
        return False
    if not isinstance(file, str):
        return name == "__main__"
    return not file.startswith(_installed())


class ModuleView:
    """A user's module, whose functions are copies."""

    def __init__(self, module: ModuleType, swap: Swap) -> None:
        self.__dict__.update(_module=module, _swap=swap)

    def __getattr__(self, name: str) -> Any:
        return self._swap(getattr(self._module, name), vars(self._module))

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._module, name, value)


def is_plain(value: Any) -> bool:
    """Whether this is an object of a class that the user wrote in Python."""
    cls = type(value)
    home = modules.get(cls.__module__)
    new, get = getattr(cls, "__new__", None), getattr(cls, "__getattribute__", None)
    plain = new is object.__new__ and get is _ATTRIBUTE
    return plain and home is not None and hasattr(value, "__dict__") and _is_home(home)


_ATTRIBUTE: Any = object.__getattribute__


def _is_home(module: ModuleType) -> bool:
    return is_users(vars(module))


class Host(Protocol):
    """What decides about objects: the rewiring of a trace."""

    def swapped(self, value: Any, home: dict[str, Any]) -> Any:
        """What stands for a value found among these names."""

    def read(self, twin: Any, name: str, value: Any) -> Any:
        """What stands for an attribute that holds a value."""

    def write(self, twin: Any, name: str) -> None:
        """Raises TraceError if the attribute must not be set."""


class SuperView:
    """``super()`` in a copied method: what it finds are copies."""

    def __init__(self, real: Any, swap: Swap) -> None:
        self.__dict__.update(_real=real, _swap=swap)

    def __getattr__(self, name: str) -> Any:
        return _bound(getattr(self._real, name), self._swap)

    @classmethod
    def maker(cls, host: Host) -> Callable[..., Any]:
        """What stands for the function ``super``."""

        def make(*args: Any) -> Any:
            if not args:  # the class of the method that calls, and its first argument
                frame = _getframe(1)
                first = frame.f_code.co_varnames[0]
                args = frame.f_locals["__class__"], frame.f_locals[first]
            return cls(super(*args), host.swapped)

        return make


def _bound(found: Any, swap: Swap) -> Any:
    """A bound method of a copied function; anything else as it is."""
    if isinstance(found, MethodType) and isinstance(found.__func__, FunctionType):
        copy = swap(found.__func__, found.__func__.__globals__)
        return MethodType(copy, found.__self__)
    return found


def seen(value: Any, kinds: dict[type, type], host: Host) -> Any:
    """What stands for an object: of a subclass, with the same attributes.

    Args:
        value: The object.
        kinds: The subclasses made so far.
        host: What decides about attributes and functions.
    """
    cls = type(value)
    if cls not in kinds:
        kinds[cls] = _subclass(cls, host)
    twin: Any = object.__new__(kinds[cls])
    object.__setattr__(twin, "__dict__", vars(value))
    return twin


def _subclass(cls: Any, host: Host) -> type:
    home, swap = vars(modules[cls.__module__]), host.swapped

    def get(self: Any, name: str) -> Any:
        found = _ATTRIBUTE(self, name)
        if name.startswith("__"):
            return found
        if name in _ATTRIBUTE(self, "__dict__"):
            return host.read(self, name, found)
        bound = _bound(found, swap)
        return swap(found, home) if bound is found else bound

    def set_(self: Any, name: str, new: Any) -> None:
        old = vars(self).get(name)
        if isinstance(old, np.ndarray) and swap(old, home) is new:
            return  # self.x += 1 sets what it wrote to
        host.write(self, name)
        cls.__setattr__(self, name, new)

    special = {name: _special(name, f, swap) for name, f in _specials(cls).items()}
    body = {"__getattribute__": get, "__setattr__": set_, **special}
    return type(cls.__name__, (cls,), body | {"__module__": cls.__module__})


def _specials(cls: type) -> dict[str, FunctionType]:
    """Special methods, such as ``__call__``, that are written in Python."""
    found = {n: getattr(cls, n) for n in dir(cls) if n[:2] == "__" and n not in _KEPT}
    return {n: f for n, f in found.items() if isinstance(f, FunctionType)}


def _special(name: str, function: FunctionType, swap: Swap) -> Any:
    def call(self: Any, *args: Any, **options: Any) -> Any:
        return swap(function, function.__globals__)(self, *args, **options)

    call.__name__ = name
    return call
