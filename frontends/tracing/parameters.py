"""Parameters of functions, as users name them."""

from collections.abc import Callable
from inspect import signature
from typing import Any

from graphwright.frontends.tracing import state
from graphwright.frontends.tracing.trace import name_of
from graphwright.ir.errors import TraceError


class Parameters:
    """A function's parameters, looked at when one is named."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def name(self, which: int | str, what: str) -> str:
        """The name of a parameter, given by name or position.

        Raises:
            TraceError: If there is none.
        """
        parameters = signature(self._function).parameters
        names = list(parameters)
        if isinstance(which, str):
            rest = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
            if which in names or rest:
                return which
        elif -len(names) <= which < len(names):
            return names[which]
        raise TraceError(
            f"{state.where()}: jit: {name_of(self._function)} has no parameter"
            f" {which!r} that could be {what}; it has {', '.join(names)}"
        )
