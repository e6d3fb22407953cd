"""Functions of programs as the host's threads call them, and threads that help.

On devices whose work-items are threads of this process: see `codegen/turns.py`.
"""

import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from graphwright.backends.arena import aligned
from graphwright.backends.codegen.turns import DESK, JOB, LINE

Lead: TypeAlias = Callable[[int, int], None]

_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


class _Found(ctypes.Structure):
    """What ``dladdr`` says of an address."""

    _fields_ = (
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


@dataclass(frozen=True, eq=False, slots=True)
class Entry:
    """Functions of a program, and what keeps them loaded."""

    lead: Lead
    join: int
    library: object


def held(address: int) -> object:
    """A handle of the shared object that an address lies in; None if it is unknown.

    Drivers unload what they have not used for some time.
    """
    found = _Found()
    look = getattr(ctypes.CDLL(None), "dladdr", None)
    if not address or look is None:
        return None
    if not look(ctypes.c_void_p(address), ctypes.byref(found)) or not found.file:
        return None
    try:
        return ctypes.CDLL(os.fsdecode(found.file))
    except OSError:
        return None


def entry(lead: int, join: int) -> Entry | None:
    """Functions at these addresses; None where they cannot be held."""
    library = held(lead)
    return None if library is None else Entry(_FUNCTION(lead), join, library)


def job_of(numbers: Mapping[str, int]) -> Any:
    """A job, in memory, of its numbers by name."""
    return np.array([numbers[name] for name in JOB], np.uint64)


class Helpers:
    """Threads that help whoever leads a plan: one less than there are cores.

    Args:
        help_always: The address of what they run.
        count: How many.
        near: Bytes of local memory that each of them needs.

    Attributes:
        desk: The address at which leaders lay their jobs.
    """

    def __init__(self, help_always: int, count: int, near: int) -> None:
        self._library = held(help_always)
        self._numbers = aligned(8 * LINE * len(DESK)).view(np.uint64)
        self._numbers[:] = 0
        self.desk = int(self._numbers.ctypes.data)
        self._near = [aligned(near) for _ in range(count)]
        self._function = _FUNCTION(help_always)
        for memory in self._near:
            threading.Thread(
                target=self._help,
                args=(memory,),
                name="graphwright-opencl",
                daemon=True,
            ).start()
        _EVERY.add(self)

    def _help(self, near: Any) -> None:
        """What a thread does, which so keeps alive what it looks at."""
        self._function(self.desk, int(near.ctypes.data))

    def close(self) -> None:
        """Lets the threads end: those awake soon, those asleep when they are woken."""
        self._numbers[LINE * DESK.index("closed")] = 1

    def left_behind(self) -> None:
        """In a process that was forked: threads are not there any more."""
        self._numbers[:] = 0


_EVERY: "weakref.WeakSet[Helpers]" = weakref.WeakSet()


def _forked() -> None:
    for helpers in _EVERY:
        helpers.left_behind()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
