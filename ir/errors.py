"""Every error a user can cause.

``str(error)`` is one paragraph under 300 characters with control characters escaped;
longer context (a few lines of IR around the fault) travels in ``__notes__``.
"""

from collections.abc import Iterable

_LIMIT = 296


def printable(text: str) -> str:
    """``text`` with control characters and lone surrogates escaped."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def _short(message: str) -> str:
    message = printable(message)
    return message if len(message) <= _LIMIT else message[: _LIMIT - 1] + "…"


class GraphwrightError(Exception):
    """Base of all errors that a user can cause.

    Args:
        message: What was got, what was expected, where, and what to do.
        notes: Lines of context, shown below the traceback.
    """

    def __init__(self, message: str, *, notes: Iterable[str] = ()) -> None:
        super().__init__(_short(message))
        for note in notes:
            self.add_note(printable(note))


class ArgumentError(GraphwrightError, TypeError, ValueError):
    """An argument of a type or value that a function does not take."""


class ModelError(GraphwrightError):
    """A model file or graph that is not valid."""


class ShapeError(GraphwrightError, ValueError):
    """Shapes, ranks, axes or sizes that do not fit together."""


class UnrankedError(ShapeError):
    """A rank that has to be known and is not."""


class DTypeError(GraphwrightError, TypeError):
    """An element type that an operation does not take."""


class ParseError(GraphwrightError, ValueError):
    """Text that is not the IR's text form."""


class UnsupportedOpError(GraphwrightError, NotImplementedError):
    """An operation that is unknown here, or that a backend declines."""


class FeedError(GraphwrightError, ValueError):
    """Inputs of a run that do not fit the graph."""


class IndexBoundsError(GraphwrightError, IndexError):
    """An index, found at run time, outside its axis."""


class TraceError(GraphwrightError, TypeError):
    """A Python function that cannot be traced as it is."""


class BudgetError(GraphwrightError):
    """A memory, time or iteration budget that would be exceeded."""


class BackendUnavailable(GraphwrightError, ImportError):
    """A backend, or an optional library, that is not installed or not usable."""


class NonFiniteError(GraphwrightError, FloatingPointError):
    """A NaN or an infinity where none is wanted."""


class DeviceMemoryError(GraphwrightError, MemoryError):
    """A device that has too little memory for a request."""


class CacheError(GraphwrightError):
    """A cache that cannot be used."""
