"""Bars on a terminal's standard error for what takes more than a second."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from threading import Lock, Timer
from typing import Any, Protocol

_showing = Lock()
"""Held by the bar that is shown: two would be written over each other."""
_PATIENCE = 1.0
"""Seconds after which a bar is shown."""


class Spinner(Protocol):
    """What turns on the terminal already."""

    def start(self) -> None:
        """Shows it."""

    def stop(self) -> None:
        """Takes it away."""


_spinner: ContextVar[Spinner | None] = ContextVar("spinner", default=None)


@contextmanager
def giving_way(spinner: Spinner) -> Iterator[None]:
    """While a bar is shown in this block, a spinner is not."""
    token = _spinner.set(spinner)
    try:
        yield
    finally:
        _spinner.reset(token)


class Progress:
    """A bar that appears where something takes more than a second.

    Args:
        words: What is done.
        total: In how many steps; None if nobody knows.
    """

    def __init__(self, words: str, total: int | None = None) -> None:
        self._words, self._total, self._done = words, total, 0
        self._start = time.monotonic()
        self._spinner = _spinner.get()
        self._bar: Any = None
        self._ended, self._lock = False, Lock()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """While it is done."""
        try:
            yield
        finally:
            self._end()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While it is done by one call, which does not say how far it is."""
        timer = Timer(_PATIENCE, self._begin)
        timer.daemon = True
        with suppress(RuntimeError):  # no more threads: then there is no bar
            timer.start()
        try:
            yield
        finally:
            timer.cancel()
            self._end()

    def advance(self) -> None:
        """One more step is done."""
        self._done += 1
        if time.monotonic() - self._start > _PATIENCE:
            self._begin()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done)

    def _begin(self) -> None:
        with self._lock:
            wanted = self._bar is None and not self._ended
            if wanted and _showing.acquire(blocking=False):
                if self._spinner is not None:
                    self._spinner.stop()
                self._bar = _bar(self._words, self._total)

    def _end(self) -> None:
        with self._lock:
            self._ended = True
            if self._bar is not None:
                self._bar.stop()
                _showing.release()
                if self._spinner is not None:
                    self._spinner.start()


def _bar(words: str, total: int | None) -> Any:
    from rich.console import Console
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    bar = Bar(console=console, transient=True, disable=not console.is_terminal)
    bar.add_task(words, total=total)
    bar.start()
    return bar
