"""What is being traced now, and which line of the user's program is running."""

import sys
from contextvars import ContextVar
from types import CodeType, FrameType
from typing import TYPE_CHECKING

from graphwright.frontends.tracing.lazy import LazyEmitter
from graphwright.ir.emitter import Emitter
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
    while frame is not None:
        module = frame.f_globals.get("__name__") or ""
        if not module.startswith(("graphwright.", "numpy.", "contextlib", "functools")):
            return frame
        frame = frame.f_back
    return None


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
