"""Functions of programs as the host's threads call them, and threads that help.

On devices whose work-items are threads of this process: see `codegen/turns.py`.
"""

import ctypes
import os
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from graphwright.backends.arena import aligned
from graphwright.backends.codegen.turns import DESK, JOB, LINE
from graphwright.backends.opencl.objects import Code

_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


def job_of(numbers: Mapping[str, int]) -> Any:
    """A job, in memory, of its numbers by name."""
    return np.array([numbers[name] for name in JOB], np.uint64)


class Helpers:
    """Threads that help whoever leads a plan: one less than there are cores.

    Args:
        code: What they run, and what leads a plan.
        count: How many.
        near: Bytes of local memory that each of them needs.

    Attributes:
        desk: The address at which leaders lay their jobs.
        lead: Leads the plan of a job on the calling thread, of addresses: the job's and
            the desk's.
    """

    def __init__(self, code: Code, count: int, near: int) -> None:
        self._code = code
        self._numbers = aligned(8 * LINE * len(DESK)).view(np.uint64)
        self._numbers[:] = 0
        self._numbers[LINE * DESK.index("cores")] = 1 + count
        self.desk = int(self._numbers.ctypes.data)
        self._near = [aligned(near) for _ in range(count)]
        self._help_always, self.lead = map(_FUNCTION, code.addresses)
        with suppress(RuntimeError):  # there can be no more threads: leaders do it all
            for memory in self._near:
                self._started(memory)
        _EVERY.add(self)

    def _started(self, memory: Any) -> None:
        name = "graphwright-opencl"
        threading.Thread(
            target=self._help, args=(memory,), name=name, daemon=True
        ).start()

    def _help(self, near: Any) -> None:
        """What a thread does, which so keeps alive what it looks at."""
        self._help_always(self.desk, int(near.ctypes.data))

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
