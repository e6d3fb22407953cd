"""Arguments of public functions, held to their annotations."""

import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, wraps
from numbers import Integral, Real
from reprlib import repr as brief
from types import NoneType, UnionType
from typing import (
    Any,
    Literal,
    ParamSpec,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

from graphwright.ir.errors import ArgumentError

P = ParamSpec("P")
R = TypeVar("R")

_AS_GOOD: dict[Any, Any] = {
    int: Integral,
    float: Real,
    bool: (Integral, np.bool_),
    None: NoneType,
}
"""What is taken where an annotation names a class."""


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """A function that refuses arguments which its annotations do not allow.

    >>> @checked
    ... def tiled(x: str, times: int | None = None) -> str:
    ...     return x * (times or 2)
    >>> tiled("ab", "3")
    Traceback (most recent call last):
    graphwright.ir.errors.ArgumentError: tiled: times must be int | None, got '3'
    """
    hints = cache(lambda: _hints(function))

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        known, rest = hints()
        for name, x in (*zip(known, args, strict=False), *kwargs.items()):
            _need(x, known.get(name, rest), function, name)
        return function(*args, **kwargs)

    return call


def check_fields(made: Any) -> None:
    """Raises ArgumentError unless each field of a data class is what it says."""
    for name, hint in _fields(made.__class__).items():
        _need(getattr(made, name), hint, made.__class__, name)


_fields = cache(get_type_hints)


def _need(x: Any, hint: Any, where: Any, name: str) -> None:
    if hint in (Any, type(x)) or _fits(x, hint):
        return
    whose = where.__qualname__.removesuffix(".__init__")
    raise ArgumentError(f"{whose}: {name} must be {_text(hint)}, got {brief(x)}")


def _hints(function: Callable[..., Any]) -> tuple[dict[str, Any], Any]:
    """The annotations of arguments, in order, and that of all others by name."""
    known, rest, hints = dict[str, Any](), Any, get_type_hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            rest = hints.get(name, Any)
        elif parameter.kind is parameter.VAR_POSITIONAL:
            known[name] = Any
        else:
            known[name] = hints.get(name, Any)
    return known, rest


def _fits(x: Any, hint: Any) -> bool:
    """Whether a value is what an annotation says, inside of collections too."""
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if origin is Any:
        return True
    if origin in (Union, UnionType):
        return any(_fits(x, one) for one in inner)
    if origin is Literal:
        return any(type(x) is type(one) and x == one for one in inner)
    if not isinstance(x, _AS_GOOD.get(origin, origin)):
        return False
    if origin in (Sequence, Collection):
        return not isinstance(x, str | bytes) and all(_fits(y, inner[0]) for y in x)
    if origin is Mapping:
        return all(_fits(k, inner[0]) and _fits(v, inner[1]) for k, v in x.items())
    return True


def _text(hint: Any) -> str:
    """An annotation as it is written, without the modules of its classes."""
    text = inspect.formatannotation(hint).replace("NoneType", "None")
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", text)
