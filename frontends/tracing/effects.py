"""Host side effects of traced functions: errors, since they would happen only once.

A trace calls the function one time; later calls run the graph. What the function does
besides computing (printing, drawing random numbers, appending to a list) would happen
in the trace alone, so it is refused, with the line and what to write instead.
"""

import dis
import operator
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple, NoReturn

import numpy as np

from graphwright.frontends.tracing import state
from graphwright.frontends.tracing.pytree import flatten
from graphwright.frontends.tracing.storage import Handle
from graphwright.ir.errors import TraceError

_CONTAINERS = (list, dict, set, deque)
_DRAWS = "draw with gw.random and a key, or pass what was drawn as an argument"
_TIMES = "measure around the call"

_MODULES = {"numpy.random": _DRAWS, "random": _DRAWS, "time": _TIMES}
_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)
_BUILTINS = {
    "print": "return what you want to see, and print it after the call",
    "open": "read or write files outside, and pass what was read as an argument",
    "input": "ask before the call, and pass the answer as an argument",
}


def _refuse(what: str, cure: str) -> NoReturn:
    raise TraceError(
        f"{state.where()}: {what} would run once, when the function is traced, and not"
        f" at each call: {cure}"
    )


class Refused:
    """Stands for a module, object or function that traced functions must not use."""

    def __init__(self, name: str, cure: str, real: Any) -> None:
        self.__dict__.update(_name=name, _cure=cure, _real=real)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # what isinstance asks
        return type(self._real)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if isinstance(found, type):  # for isinstance and annotations
            return found
        return Refused(f"{self._name}.{name}", self._cure, found)

    def __setattr__(self, name: str, value: Any) -> None:
        _refuse(f"{self._name}.{name} = ...", self._cure)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Raises TraceError."""
        return _refuse(f"{self._name}()", self._cure)


def refused_builtins() -> dict[str, Refused]:
    """What stands for built-in functions."""
    source = vars(__import__("builtins"))
    return {name: Refused(name, cure, source[name]) for name, cure in _BUILTINS.items()}


def refused(value: Any) -> Refused | None:
    """What stands for a value that traced functions must not use, or None."""
    if isinstance(value, ModuleType):
        cure = _MODULES.get(value.__name__)
        return None if cure is None else Refused(value.__name__, cure, value)
    if isinstance(value, _GENERATORS):
        return Refused(type(value).__name__, _DRAWS, value)
    owner = getattr(value, "__self__", None)
    if isinstance(owner, _GENERATORS):  # random.gauss is a method
        return Refused(f"{type(owner).__name__}.{value.__name__}", _DRAWS, value)
    if callable(value) and getattr(value, "__module__", None) == "time":
        return Refused(f"time.{value.__name__}", _TIMES, value)
    return None


# Things from outside that the function changes ----------------------------------------


class _Watched(NamedTuple):
    """A container or object, and what it held when the function got it."""

    name: str
    value: Any
    held: list[Any]


def held(value: Any) -> list[Any]:
    """What a container holds, or an object's attributes."""
    if isinstance(value, dict):
        return [part for pair in value.items() for part in pair]
    if isinstance(value, _CONTAINERS):
        return list(value)
    return [part for pair in vars(value).items() for part in pair]


def _is_plain_object(value: Any) -> bool:
    outside = isinstance(value, (type, ModuleType, FunctionType, Handle, np.ndarray))
    return not outside and isinstance(getattr(value, "__dict__", None), dict)


class Watch:
    """What a traced function got from outside and must not change."""

    def __init__(self) -> None:
        self._watched: dict[int, _Watched] = {}

    def note(self, name: str, value: Any) -> None:
        """Remembers what a container or object holds when it is first met."""
        if id(value) in self._watched:
            return
        container = isinstance(value, _CONTAINERS)
        if not container and not _is_plain_object(value):
            return
        self._watched[id(value)] = _Watched(name, value, held(value))
        if not container:
            for attribute, part in vars(value).items():
                if isinstance(part, _CONTAINERS):
                    self.note(f"{name}.{attribute}", part)

    def follow(self, value: Any, copy: Any) -> None:
        """Remembers what stands for a container by the container's name."""
        if not isinstance(copy, _CONTAINERS):
            return
        known = self._watched.get(id(value))
        name = type(value).__name__ if known is None else known.name
        self._watched[id(copy)] = _Watched(name, copy, held(copy))

    def check(self, codes: Sequence[CodeType]) -> None:
        """Raises TraceError if something holds another thing than before."""
        for name, value, before in self._watched.values():
            now = held(value)
            if same_items(now, before):
                continue
            if isinstance(value, _CONTAINERS):
                complain(name, f"changes {name}", codes)
            for attribute in _rebound(before, now):
                complain(f"{name}.{attribute}", f"sets {name}.{attribute}", codes)


def same_items(now: Sequence[Any], before: Sequence[Any]) -> bool:
    """Whether two lists hold the same objects."""
    return len(now) == len(before) and all(map(operator.is_, now, before))


def _rebound(before: list[Any], now: list[Any]) -> Iterator[str]:
    """Attributes that were there and are set anew, and new ones that hold a tensor."""
    old = dict(zip(before[::2], before[1::2], strict=True))
    for name, value in zip(now[::2], now[1::2], strict=True):
        known = name in old
        if (known and old[name] is not value) or (not known and _holds_tensors(value)):
            yield name


def _holds_tensors(value: Any) -> bool:
    return any(isinstance(x, Handle) for x in flatten(value)[0])


def complain(name: str, what: str, codes: Sequence[CodeType]) -> NoReturn:
    """Raises the error for a thing outside that a function changes.

    Args:
        name: What it is called.
        what: What is done to it.
        codes: Where the line is looked for; without any it is the running one.
    """
    place = _place(name, codes) or state.where()
    raise TraceError(
        f"{place}: the traced function {what}, which is outside of it and would change"
        " once, when it is traced, and not at each call: return the value instead"
    )


def rebound_name(name: str, codes: Sequence[CodeType]) -> NoReturn:
    """Raises the error for a global or nonlocal variable that a function sets."""
    complain(name, f"sets the variable {name}", codes)


# The line that does it ----------------------------------------------------------------

_MUTATORS = frozenset(
    {"add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop"}
    | {"popitem", "popleft", "remove", "reverse", "setdefault", "sort", "update"}
)
_LOADS = ("LOAD_GLOBAL", "LOAD_DEREF", "LOAD_ATTR", "LOAD_FAST", "LOAD_NAME")
_STORES = ("STORE_GLOBAL", "STORE_DEREF", "STORE_ATTR", "STORE_NAME")


def _place(name: str, codes: Sequence[CodeType]) -> str | None:
    """File and line of the statement that changes a thing: the likeliest one."""
    last = name.partition("[")[0].rsplit(".", 1)[-1]
    likely: list[str] = []
    for code in _with_inner(codes):
        steps = list(dis.get_instructions(code))
        for at, step in enumerate(steps):
            if step.argval != last:
                continue
            line = step.positions.lineno if step.positions else None
            place = f"{code.co_filename}:{line or code.co_firstlineno}"
            if step.opname in _STORES or _changes(steps[at + 1 : at + 8]):
                return place
            if step.opname.startswith(_LOADS):
                likely.append(place)
    return likely[0] if likely else None


def changed_arguments(
    names: Sequence[str], changed: Sequence[str], codes: Sequence[CodeType]
) -> NoReturn:
    """Raises the error for lists, dicts or objects among arguments that are changed.

    Args:
        names: What the leaves of the arguments are called.
        changed: Which of them are others now; none if there are more or fewer.
        codes: What may have done it.
    """
    roots = dict.fromkeys(name.partition("[")[0].partition(".")[0] for name in names)
    places = [_place(name, codes) for name in (*changed, *roots)]
    place = next((p for p in places if p is not None), state.where())
    what = f"sets {changed[0]}" if changed else "adds to or takes from a list or dict"
    raise TraceError(
        f"{place}: the traced function {what} among its arguments, which the caller"
        " would not see: return it, or write to the array, as in x[...] = y"
    )


def _changes(steps: Sequence[dis.Instruction]) -> bool:
    """Whether what was just loaded is changed: by a method, or at an index."""
    first = steps[0] if steps else None
    if first is not None and first.argval in _MUTATORS:
        return True
    return any(s.opname in ("STORE_SUBSCR", "DELETE_SUBSCR") for s in steps)


def _with_inner(codes: Sequence[CodeType]) -> Iterator[CodeType]:
    for code in codes:
        yield code
        inner = [c for c in code.co_consts if isinstance(c, CodeType)]
        yield from _with_inner(inner)


def codes_of(functions: Sequence[Callable[..., Any]], values: Any) -> list[CodeType]:
    """The code of functions, and of the methods of objects, to look for a line in."""
    found = [f.__code__ for f in functions if isinstance(f, FunctionType)]
    for kind in dict.fromkeys(type(v) for v in values if _is_plain_object(v)):
        for member in vars(kind).values():
            function = getattr(member, "__wrapped__", member)
            if isinstance(function, FunctionType):
                found.append(function.__code__)
    return found
