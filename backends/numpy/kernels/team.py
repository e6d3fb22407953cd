"""Helper threads, claimed for the length of a run.

Handing a job over is then one lock to release, with no queue between; and a run that
finds no helper idle works alone instead of contending for the processors.
"""

import contextlib
import ctypes
import itertools
import os
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from typing import Any

import numpy as np

from graphwright.backends.settings import settle

Task = Callable[[int, int], object]
"""Called with an index and a slot: equal slots never run at the same time."""


class Gate:
    """Closed at first; who waits passes once each time that it was opened."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.wait = self._lock.acquire

    def open(self) -> None:
        """Let one pass; the gate may be open already."""
        with contextlib.suppress(RuntimeError):
            self._lock.release()


class _Spin:
    """A gate before which a thread waits awake, without the interpreter's lock.

    Who sleeps takes 25 us to come back on a virtual machine, who waits here 1 us.
    """

    def __init__(self) -> None:
        self._word = ctypes.c_int()
        word = ctypes.byref(self._word)
        self.wait = partial(_free.pthread_spin_lock, word)
        self.open = partial(_held.pthread_spin_unlock, word)
        _held.pthread_spin_init(word, 0)
        self.wait()


def _system(kind: type[ctypes.CDLL]) -> Any:
    """The C library: functions of ``CDLL`` let other threads in, of ``PyDLL`` not."""
    try:
        return kind(None)
    except (OSError, TypeError):
        return None


_free, _held = _system(ctypes.CDLL), _system(ctypes.PyDLL)
SPINS = sys.platform == "linux" and hasattr(_free, "pthread_spin_lock")
"""Whether threads can wait awake."""


def _gate() -> "Gate | _Spin":
    return _Spin() if SPINS else Gate()


def _own_processor() -> Callable[[], int] | None:
    found: Callable[[], int] | None = getattr(_held, "sched_getcpu", None)
    return found


_processor = _own_processor() if hasattr(os, "sched_setaffinity") else None


class _Places:
    """Keeps a leader and its helpers on processors of their own.

    Linux likes to wake a thread right there where it is called from; two that work and
    wait awake on one processor then lose it to each other for milliseconds.
    """

    def __init__(self, helpers: Sequence[threading.Thread]) -> None:
        self._helpers, self._here = helpers, -1
        self._before: set[int] = set()

    def part(self) -> None:
        """Keeps the helpers off the processor that the calling thread is on by now."""
        here = self._here if _processor is None else _processor()
        if here == self._here:
            return
        self._here = here
        others = os.sched_getaffinity(0) - {here}
        for thread in self._helpers:
            if others and thread.native_id is not None:
                os.sched_setaffinity(thread.native_id, others)

    def hold(self) -> None:
        """Keeps the calling thread where it is, and the helpers elsewhere."""
        if _processor is None or self._before:
            return
        self._before = os.sched_getaffinity(0)
        self.part()
        os.sched_setaffinity(0, {self._here})

    def free(self) -> None:
        """Lets the calling thread go where it could before."""
        if self._before:
            os.sched_setaffinity(0, self._before)
            self._before = set()


class Job:
    """Indices still to take, slots given, indices to finish."""

    def __init__(
        self, task: Task, count: int, finished: "Gate | _Spin", *, last: bool = False
    ) -> None:
        """Keep `task`, to be called for each index below `count`.

        Helpers sleep after the `last` job of a run.
        """
        self.task, self.count, self.finished = task, count, finished
        self.last = last
        self.indices, self.slots = itertools.count(), itertools.count()
        self.left, self.lock = count, threading.Lock()
        self.error: BaseException | None = None

    def _run_one(self, index: int, slot: int) -> None:
        try:
            if self.error is None:
                self.task(index, slot)
        except BaseException as error:  # the caller raises it again
            self.error = error

    def work(self) -> bool:
        """Take indices until none is left; whether all are finished by that."""
        index = next(self.indices)
        if index >= self.count:
            return False
        slot, finished = next(self.slots), 0
        while index < self.count:
            self._run_one(index, slot)
            finished += 1
            index = next(self.indices)
        with self.lock:
            self.left -= finished
            return self.left == 0

    def help(self) -> None:
        """Work, and tell the caller if it has to wait for that."""
        if self.work():
            self.finished.open()


def _nothing(index: int, slot: int) -> None:
    pass


_NO_JOB = Job(_nothing, 0, Gate(), last=True)
"""What a team does between runs, asleep: it keeps no memory of the last one alive."""


class _Helper:
    """A daemon thread that follows one team after another."""

    def __init__(self, name: str, enter: Callable[[], object]) -> None:
        self.inbox: SimpleQueue[tuple[Team, _Door]] = SimpleQueue()
        self._enter = enter
        self.thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        self._enter()
        with np.errstate():
            settle()
            while True:
                self._follow(*self.inbox.get())

    def _follow(self, team: "Team", door: "_Door") -> None:
        wait = door.asleep.wait
        while True:
            wait()
            job = team.job
            if job is None:
                return
            wait = door.asleep.wait if job.last else door.awake.wait
            job.help()
            del job  # or it lives until the next one


class _Door:
    """Where a helper waits: asleep between runs, awake from its first job in one.

    The leader may open the wrong one, and either more than once: a helper that passes
    in vain finds no index to take, and one that does not pass is not waited for.
    """

    def __init__(self) -> None:
        self.asleep = Gate()
        self.awake = _Spin() if SPINS else self.asleep


class Team:
    """Helpers that one thread has to itself until it lets them go."""

    def __init__(self, helpers: list[_Helper]) -> None:
        """Wake the helpers; they come when they come."""
        self.helpers = helpers
        self.job: Job | None = _NO_JOB
        self.finished = _gate()
        self.leader = threading.get_ident()
        self.places = _Places([helper.thread for helper in helpers])
        self._doors = [_Door() for _ in helpers]
        self._awake = 0
        for helper, door in zip(helpers, self._doors, strict=True):
            helper.inbox.put((self, door))

    def rest(self) -> None:
        """Sleep until the leader comes again."""
        self.places.free()
        self.job = _NO_JOB
        if SPINS:
            for door in self._doors[: self._awake]:
                door.awake.open()
        self._awake = 0

    def share(
        self, task: Task, count: int, helpers: int, *, last: bool = False
    ) -> None:
        """Run all indices with some of the helpers; the first error is raised.

        After the `last` job of a run they sleep at once: to wake up for that later
        would cost the leader a turn at the interpreter's lock.
        """
        job = self.job = Job(task, count, self.finished, last=last)
        if self._awake:  # it pays from the second job of a run on
            self.places.hold()
        else:
            self.places.part()
        called = max(helpers, self._awake) if last else helpers
        for number, door in enumerate(self._doors[:called]):
            (door.awake if number < self._awake else door.asleep).open()
        self._awake = 0 if last else max(self._awake, helpers)
        if not job.work():
            self.finished.wait()
        if job.error is not None:
            raise job.error

    def dismiss(self) -> None:
        """Let the helpers sleep."""
        self.job = None
        for door in self._doors:
            door.awake.open()
            door.asleep.open()


class Pool:
    """All helpers of the process."""

    def __init__(self, enter: Callable[[], object]) -> None:
        """Keep `enter`, which each helper calls when it starts."""
        self._enter, self._lock = enter, threading.Lock()
        self._idle: list[_Helper] = []
        self._resting: Team | None = None
        self._made = 0

    def claim(self, wanted: int) -> Team:
        """A team of as many helpers as are wanted and not with other teams.

        It is the last one if that was the same thread's: nobody is woken then.
        """
        with self._lock:
            team, self._resting = self._resting, None
            if team is not None:
                if team.leader == threading.get_ident() and len(team.helpers) == wanted:
                    return team
                self._disband(team)
            while len(self._idle) < wanted and self._made < wanted:
                self._idle.append(_Helper(f"graphwright-{self._made}", self._enter))
                self._made += 1
            found = [self._idle.pop() for _ in range(min(wanted, len(self._idle)))]
        return Team(found)

    def release(self, team: Team) -> None:
        """Let a team rest until its leader, or somebody else, claims helpers."""
        team.rest()
        with self._lock:
            if self._resting is None:
                self._resting = team
            else:
                self._disband(team)

    def _disband(self, team: Team) -> None:
        team.dismiss()
        self._idle += team.helpers
