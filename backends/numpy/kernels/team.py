"""Helper threads, claimed for the length of a run.

Handing a job over is then one lock to release, with no queue between; and a run that
finds no helper idle works alone instead of contending for the processors.
"""

import contextlib
import ctypes
import itertools
import os
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

import numpy as np

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


def _own_processor() -> Callable[[], int] | None:
    try:
        return ctypes.PyDLL(None).sched_getcpu
    except (AttributeError, OSError, TypeError):
        return None


_processor = _own_processor() if hasattr(os, "sched_setaffinity") else None


def _apart(threads: Sequence[threading.Thread]) -> None:
    """Keep threads off the caller's processor: Linux likes to wake them right there."""
    if _processor is None:
        return
    others = os.sched_getaffinity(0) - {_processor()}
    for thread in threads:
        if others and thread.native_id is not None:
            os.sched_setaffinity(thread.native_id, others)


class Job:
    """Indices still to take, slots given, indices to finish."""

    def __init__(self, task: Task, count: int, finished: Gate) -> None:
        """Keep `task`, to be called for each index below `count`."""
        self.task, self.count, self.finished = task, count, finished
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


_NO_JOB = Job(_nothing, 0, Gate())
"""What a team does between runs: it keeps no memory of the last one alive."""


class _Helper:
    """A daemon thread that follows one team after another."""

    def __init__(self, name: str, enter: Callable[[], object]) -> None:
        self.inbox: SimpleQueue[tuple[Team, Gate]] = SimpleQueue()
        self._enter = enter
        self.thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        self._enter()
        with np.errstate(all="ignore"):
            while True:
                self._follow(*self.inbox.get())

    def _follow(self, team: "Team", gate: Gate) -> None:
        while True:
            gate.wait()
            job = team.job
            if job is None:
                return
            job.help()
            del job  # or it lives until the next one


class Team:
    """Helpers that one thread has to itself until it lets them go."""

    def __init__(self, helpers: list[_Helper]) -> None:
        """Wake the helpers; they come when they come."""
        self.helpers = helpers
        self.job: Job | None = _NO_JOB
        self.finished = Gate()
        self.leader, self._processor = threading.get_ident(), -1
        self._gates = [Gate() for _ in helpers]
        self.follow()
        for helper, gate in zip(helpers, self._gates, strict=True):
            helper.inbox.put((self, gate))

    def follow(self) -> None:
        """Keep the helpers off the processor that the leader is on by now."""
        here = -1 if _processor is None else _processor()
        if here != self._processor:
            self._processor = here
            _apart([helper.thread for helper in self.helpers])

    def rest(self) -> None:
        """Wait for the leader to come again."""
        self.job = _NO_JOB

    def share(self, task: Task, count: int, helpers: int) -> None:
        """Run all indices with some of the helpers; the first error is raised."""
        job = self.job = Job(task, count, self.finished)
        for gate in self._gates[:helpers]:
            gate.open()
        if not job.work():
            self.finished.wait()
        if job.error is not None:
            raise job.error

    def dismiss(self) -> None:
        """Let the helpers sleep."""
        self.job = None
        for gate in self._gates:
            gate.open()


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
                    team.follow()
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
