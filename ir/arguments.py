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
        known = hints()
        for name, x in (*zip(known, args, strict=False), *kwargs.items()):
            hint = known.get(name, Any)
            if hint not in (Any, type(x)) and not _fits(x, hint):
                where = function.__qualname__.removesuffix(".__init__")
                wanted = f"{name} must be {_text(hint)}"
                raise ArgumentError(f"{where}: {wanted}, got {brief(x)}")
        return function(*args, **kwargs)

    return call


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of arguments in order, but for ``*args`` and ``**kwargs``."""
    found, hints = inspect.signature(function).parameters, get_type_hints(function)
    many = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {n: Any if p.kind in many else hints.get(n, Any) for n, p in found.items()}


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
