"""Threads for what can be done without them, too."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Workers(ThreadPoolExecutor):
    """Threads; where none can be started, who asks does the work.

    None can where the system allows no more of them, and when the main thread has
    ended, which others may outlive.
    """

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """What comes of a call."""
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError:
            return _done(fn, *args, **kwargs)


def _done(fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    found = Future[T]()
    try:
        found.set_result(fn(*args, **kwargs))
    except Exception as error:
        found.set_exception(error)
    return found
