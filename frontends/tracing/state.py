"""What is being traced now, and which line of the user's program is running."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from traceback import walk_tb
from types import CodeType, FrameType
from typing import TYPE_CHECKING

from graphwright.frontends.tracing.lazy import LazyEmitter
from graphwright.ir.emitter import Emitter
from graphwright.ir.errors import TraceError
from graphwright.ir.graph import Source

if TYPE_CHECKING:
    from graphwright.frontends.tracing.storage import Trace

current: "ContextVar[Trace | None]" = ContextVar("trace", default=None)
"""The innermost trace that is running, None where tensors are lazy."""

_MAX_PLACES = 16384
_places: dict[tuple[CodeType, int], str] = {}


def _user_frame() -> FrameType | None:
    """The innermost frame that belongs neither to this library nor to NumPy."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and not _is_users(frame):
        frame = frame.f_back
    return frame


def _is_users(frame: FrameType) -> bool:
    module = frame.f_globals.get("__name__") or ""
    ours = ("graphwright.", "numpy.", "contextlib", "functools")
    return not module.startswith(ours)


@contextmanager
def explaining_sizes() -> Iterator[None]:
    """Says of a named size that is used as a Python number what to write instead.

    Raises:
        TraceError: In place of a TypeError of such a size.
    """
    try:
        yield
    except TypeError as error:
        if isinstance(error, TraceError) or "'Expr'" not in str(error):
            raise
        rows = [row for row in walk_tb(error.__traceback__) if _is_users(row[0])]
        place = f"{rows[-1][0].f_code.co_filename}:{rows[-1][1]}" if rows else "?"
        said = str(error).replace("'Expr'", "a named size")
        raise TraceError(
            f"{place}: {said}. Every call gives such a size anew: + - * // % make other"
            " sizes of it, NumPy's functions tensors (np.divide(1, n), and gw.cond(np"
            ".greater(n, 1), ...) in place of `if`), gw.fori_loop and gw.scan loop over"
            " it; or trace with a fixed size"
        ) from error


def where() -> str:
    """File and line of the user's statement that is running."""
    frame = _user_frame()
    if frame is None:
        return "?"
    key = (frame.f_code, frame.f_lasti)
    found = _places.get(key)
    if found is None:
        if len(_places) >= _MAX_PLACES:
            _places.clear()
        found = _places[key] = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    return found


def emitter(kind: str) -> Emitter:
    """What adds operations here: the traced graph, or lazy expressions."""
    trace = current.get()
    source = Source(kind, where())
    if trace is None:
        return LazyEmitter(source)
    trace.builder.source = source
    return trace.builder
