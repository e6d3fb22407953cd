"""Budgets of a run: bytes, time, iterations; and cancellation."""

import os
import threading
import time
from functools import cache
from math import prod

from graphwright.ir.errors import ArgumentError, BudgetError, DeviceMemoryError
from graphwright.ir.record import record


@cache
def _memory() -> int:
    """Bytes of physical memory; 16 GiB where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 16 << 30


def exhausted(error: MemoryError) -> DeviceMemoryError:
    """The error of a run for which the host has no memory left."""
    if isinstance(error, DeviceMemoryError):
        return error
    shape, dtype = getattr(error, "shape", None), getattr(error, "dtype", None)
    asked = "more memory"  # NumPy says for what it was
    if shape is not None and dtype is not None:
        asked = f"{prod(shape) * dtype.itemsize:,} bytes"
    try:
        free = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_AVPHYS_PAGES'):,}"
    except (AttributeError, ValueError, OSError):
        free = "an unknown number of"
    return DeviceMemoryError(
        f"the run asks for {asked}, and the host has {free} bytes free: use smaller"
        " inputs, or free arrays that are still held"
    )


@record(frozen=True, slots=True)
class Limits:
    """What a run may use.

    Attributes:
        max_bytes: Bytes of results alive at once; None for the machine's memory.
        timeout: Seconds a run may take; None for no limit.
        max_loop_iterations: Iterations of one loop.
    """

    max_bytes: int | None = None
    timeout: float | None = None
    max_loop_iterations: int = 2**31

    @property
    def bytes(self) -> int:
        """The limit in bytes, the machine's memory by default."""
        return _memory() if self.max_bytes is None else self.max_bytes

    def turns(self, most: int) -> int:
        """How many turns a loop may take that allows so many itself."""
        return min(most, self.max_loop_iterations)


class Cancellation:
    """A switch that stops runs at their next step."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Asks every run that holds this to stop."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether it was asked."""
        return self._event.is_set()


class Meter:
    """Holds a run to its limits.

    Attributes:
        limit: How many bytes there may be.
        ticking: Whether ``check`` may raise: else runs may share it.
    """

    __slots__ = ("_cancel", "_deadline", "limit", "ticking")

    def __init__(self, limits: Limits, cancel: Cancellation | None = None) -> None:
        if cancel is not None and not isinstance(cancel, Cancellation):
            raise ArgumentError(f"cancel must be a gw.Cancellation, got {cancel!r}")
        self.limit = limits.bytes
        self._cancel = cancel
        seconds = limits.timeout
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self.ticking = seconds is not None or cancel is not None

    def check(self) -> None:
        """Raises BudgetError if the run is out of time or cancelled."""
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise BudgetError("the run took longer than its timeout: raise timeout=")
        if self._cancel is not None and self._cancel.cancelled:
            raise BudgetError("the run was cancelled")

    def reserve(self, nbytes: int, what: str) -> None:
        """Raises BudgetError if ``nbytes`` do not fit."""
        if nbytes > self.limit:
            raise BudgetError(
                f"{what} needs {nbytes} bytes where {self.limit} are allowed: raise"
                " max_bytes="
            )
