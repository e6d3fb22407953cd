"""Arguments as NumPy spells them, where an array function spells them otherwise.

``np.sum(a=x)``, ``np.mean(x, 0, None, out)`` and ``np.median(x, overwrite_input=True)``
are rare: they are found out only when a call does not fit.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from inspect import Parameter, Signature, signature
from typing import Any

import numpy as np

from graphwright.frontends.tracing import state
from graphwright.ir.errors import TraceError

_NO_MATTER = frozenset({"casting", "like", "order", "overwrite_input", "subok"})
"""Arguments that say nothing about values."""


class Spelling:
    """How a function's arguments are spelled, here and by NumPy.

    Args:
        function: The function over an emitter.
        parameters: Those of its array function.
    """

    __slots__ = ("_function", "_parameters", "_takes", "names")

    def __init__(
        self, function: Callable[..., Any], parameters: Sequence[Parameter]
    ) -> None:
        self._function, self._parameters = function, parameters
        kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        many = any(p.kind is Parameter.VAR_POSITIONAL for p in parameters)
        self._takes = 64 if many else sum(p.kind in kinds for p in parameters)
        self.names = frozenset(
            p.name for p in parameters if p.kind is not Parameter.POSITIONAL_ONLY
        ) | {"out"}

    def fits(self, args: tuple[Any, ...], options: Mapping[str, Any]) -> bool:
        """Whether a call is spelled as here."""
        return len(args) <= self._takes and options.keys() <= self.names

    def respelled(
        self, args: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A call that is spelled as NumPy's function has it, as here.

        Raises:
            TraceError: If it says what is not supported.
        """
        theirs = _numpys(self._function)
        if theirs is None:
            return args, options
        try:
            bound = theirs.bind(*args, **options).arguments
        except TypeError:  # neither spelling fits: Python says so
            return args, options
        first = []
        for own, other in zip(self._parameters, theirs.parameters, strict=False):
            if own.kind is not Parameter.POSITIONAL_ONLY or other not in bound:
                break
            first.append(bound.pop(other))
        found: dict[str, Any] = {}
        for name, value in bound.items():
            if name in self.names:
                found[name] = value
            elif (
                name not in _NO_MATTER and value is not theirs.parameters[name].default
            ):
                raise TraceError(
                    f"{state.where()}: the argument {name!r} of"
                    f" numpy.{self._function.__name__} is not supported on tensors"
                )
        return tuple(first), found


@cache
def _numpys(function: Callable[..., Any]) -> Signature | None:
    """The signature of NumPy's function of that name, in its module of that name."""
    home = getattr(np, function.__module__.rpartition(".")[2], np)
    theirs = getattr(home, function.__name__.strip("_"), None)
    try:
        return None if theirs is None else signature(theirs)
    except (TypeError, ValueError):
        return None
