"""Run a task over indices on all cores; numpy releases the GIL inside its loops.

The caller works too, and indices are handed out one by one, so a late or busy helper
costs little. Which thread runs an index never changes what the index computes.
"""

import os
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import numpy as np

from graphwright.backends.numpy.kernels import blas
from graphwright.backends.numpy.kernels.team import SPINS, Pool, Task, Team
from graphwright.backends.trial import Trial
from graphwright.ir.errors import BackendUnavailable


def _default_threads() -> int:
    wanted = os.environ.get("GRAPHWRIGHT_NUM_THREADS", "")
    if not wanted:
        return _processors()
    if not wanted.isdecimal() or not int(wanted):
        words = f"$GRAPHWRIGHT_NUM_THREADS is {wanted!r}: it can be 1 or more"
        raise BackendUnavailable(words)
    return int(wanted)


def _processors() -> int:
    """How many processors the process may use: a container may have a share of them."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:
        count = os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        count = min(count, -(-int(quota) // int(period)))
    return max(1, count)


class _Thread:
    """What is known of a thread that uses this module."""

    __slots__ = (
        *("alone", "awake", "began", "inside", "jobs", "limit"),
        *("passed", "runs", "single", "team"),
    )

    def __init__(self) -> None:
        self.inside = self.alone = self.single = False
        self.runs: Runs | None = None
        self.limit: int | None = None
        self.awake = self.jobs = 0
        self.began = self.passed = 0.0
        self.team: Team | None = None


class _State(threading.local):
    """Each thread's own: to look it up takes longer than to read from it."""

    def __init__(self) -> None:
        self.own = _Thread()


class _Settings:
    """What may change while the process lives."""

    def __init__(self) -> None:
        self.threads, self.pool = _default_threads(), Pool(_enter_helper)


_state = _State()


def _enter_helper() -> None:
    _state.own.inside = True


_settings = _Settings()


def _after_fork() -> None:
    _settings.pool = Pool(_enter_helper)
    own = _state.own
    own.inside, own.single, own.team = False, False, None
    blas.forget_users()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def set_num_threads(count: int) -> None:
    """Use `count` threads, the caller among them, from the next call on."""
    if count < 1:
        raise ValueError(f"a thread count of at least 1 is needed, got {count}")
    _settings.threads = count


def get_num_threads() -> int:
    """How many threads `parallel` uses, the caller among them."""
    return _state.own.limit or _settings.threads


@contextmanager
def use_threads(count: int | None) -> Generator[None, None, None]:
    """Use `count` threads in this thread's calls inside the block; None: as before."""
    own = _state.own
    before, own.limit = own.limit, count or own.limit
    try:
        yield
    finally:
        own.limit = before


def slots() -> int:
    """How many slots a call of `parallel` from this thread can use."""
    return 1 if _state.own.inside else get_num_threads()


class _Awake:
    """Counts the blocks in which helpers stay awake; cheap, for each run enters one."""

    def __enter__(self) -> None:
        _state.own.awake += 1

    def __exit__(self, *_: object) -> None:
        own = _state.own
        own.awake -= 1
        if not own.awake:
            own.passed = 0.0
            if own.team is not None:
                _dismiss(own)


AWAKE: AbstractContextManager[None] = _Awake()
"""Keeps helpers awake from the first call of `parallel` to the end of the block."""


class Runs:
    """What surrounds the runs of a plan: helpers stay awake, if they pay there.

    A plan uses helpers or BLAS' threads, never both: they would take the processors
    from each other, and a product gives the same bits in each run. Which of them,
    its steps decide when they are bound. BLAS has its threads where nothing but short
    products could be shared out.

    Attributes:
        shares: Whether it uses helpers.
        jobs: How often they were called in the last run.
    """

    def __init__(self) -> None:
        """Begin to learn whether they do, and how many jobs a run has."""
        self._trial = Trial()
        self.shares = self._multiplies = False
        self.jobs = 0

    def __enter__(self) -> None:
        own = _state.own
        if not own.awake:
            own.runs = self
            own.alone = self._trial.alone
            own.began = time.perf_counter() if self._trial.timed else 0.0
            self._keep(own)
        own.awake += 1

    def expect(self, own: _Thread, *, sharing: bool, blas: bool) -> None:
        """Learn that a step may be shared out, or calls BLAS."""
        self.shares |= sharing
        self._multiplies |= blas
        self._keep(own)

    def _keep(self, own: _Thread) -> None:
        """Keep BLAS to the calling thread until the run ends, if helpers are used.

        So it is where one thread is all there may be.
        """
        alone = self.shares or get_num_threads() == 1
        if alone and self._multiplies and not own.single:
            own.single = True
            blas.enter()

    def __exit__(self, *_: object) -> None:
        own = _state.own
        own.awake -= 1
        if own.awake:
            return
        own.passed, own.runs = 0.0, None
        if own.jobs:
            self.jobs, own.jobs = own.jobs, 0
        if own.single:
            own.single = False
            blas.leave()
        if own.team is not None:
            _dismiss(own)
        elif not own.alone:
            return
        alone, own.alone = own.alone, False
        if own.began:
            self._trial.book(time.perf_counter() - own.began, alone=alone)
        else:
            self._trial.rested()


def _dismiss(own: _Thread) -> None:
    team, own.team = own.team, None
    if team is not None:
        _settings.pool.release(team)
        blas.leave()


def parallel(task: Task, count: int, max_slots: int = 1 << 30) -> None:
    """Call `task(index, slot)` for each index below `count`, in any order.

    Slots are below `min(slots(), max_slots)`. Inside a task, calls run inline. BLAS
    keeps to the calling thread; where it cannot be told to, the indices run in turn
    and BLAS uses its own threads. In turn they also run where helpers do not pay. The
    first error is raised once all threads stopped.
    """
    if count <= 0:
        return
    own = _state.own
    helpers = 0 if own.alone else min(slots(), count, max_slots) - 1
    if helpers and own.team is not None:
        _share(own, own.team, task, count, helpers)
    elif helpers and blas.controllable():
        with np.errstate(all="ignore"), AWAKE:
            _share(own, _claimed(own), task, count, helpers)
    elif own.team is not None or own.inside:
        _in_line(task, count)
    else:
        with blas.OneThread(), np.errstate(all="ignore"):
            _in_line(task, count)


def in_parts(task: Callable[[int, int], object], total: int, size: int) -> None:
    """Call `task(low, high)` for a few parts of `range(total)` of at least `size`."""
    parts = ranges(total, max(size, -(-total // (2 * slots()))))
    if len(parts) < 2:
        task(0, total)
    else:
        parallel(lambda index, _: task(*parts[index]), len(parts))


def _in_line(task: Task, count: int) -> None:
    for index in range(count):
        task(index, 0)


def _claimed(own: _Thread) -> Team:
    """A team of this thread; BLAS keeps to one thread while there is one."""
    blas.enter()
    team = own.team = _settings.pool.claim(get_num_threads() - 1)
    return team


def _share(own: _Thread, team: Team, task: Task, count: int, helpers: int) -> None:
    own.inside = True
    own.jobs += 1
    last = own.runs is not None and own.runs.jobs == own.jobs
    try:
        team.share(task, count, helpers, last=last)
    finally:
        own.inside = False


_WAKE = 2.6e-4 if SPINS else 1.2e-4
_JOIN = 4e-5 if SPINS else 1.2e-4
_TURN = 3.5e-6 if SPINS else 1.2e-5
"""Seconds of work that pay for waking a helper, for having one join that is awake, and
for taking turns at the interpreter with it once: measured on a virtual machine, where
waking a thread that sleeps costs most."""


def pays(seconds: float, calls: int) -> bool:
    """Whether work of so many seconds, and calls of numpy functions, is shared out."""
    return seconds > _WAKE + calls * _TURN


def joins(seconds: float, calls: int) -> bool:
    """Whether it is where helpers are awake."""
    return seconds > _JOIN + calls * _TURN


def shares(seconds: float, calls: int) -> bool:
    """Whether work is shared out now.

    In a run with much of such work it is where it would not pay for each by itself.
    """
    return _now(seconds, pays(seconds, calls), joins(seconds, calls))


def _now(seconds: float, paying: bool, joining: bool) -> bool:
    own = _state.own
    if own.alone:
        return False
    if paying or not joining or own.team is not None:
        return joining
    if own.runs is not None and own.runs.jobs:
        return True  # they came in the last run: the sooner the better
    own.passed += seconds  # like one who rents before he buys
    return own.passed > _WAKE


def announce(seconds: float, calls: int, *, blas: bool) -> None:
    """Tell the plan that is being bound of a step that may be shared out."""
    own = _state.own
    if own.runs is not None:
        own.runs.expect(own, sharing=joins(seconds, calls), blas=blas)


class Prepared:
    """Tasks whose views are made when they first run, and kept for the next time."""

    def __init__(
        self,
        make: Callable[[int, int], Callable[[], object]],
        count: int,
        max_slots: int = 1 << 30,
        seconds: float = 1.0,
        calls: int = 0,
        blas: bool = True,
        whole: Callable[[], object] | None = None,
    ) -> None:
        """Keep `make(index, slot)`, which gives what the task of an index does.

        All together take about `seconds` on one thread, and each makes `calls` of numpy
        functions, between which threads take turns. They are shared out where
        ``shares`` says so; but plans whose other steps need no helpers run `whole`
        instead, if there is one, with BLAS' threads.
        """
        self._blas = blas
        self._make, self._count, self._slots = make, count, max_slots
        self._seconds = seconds
        self._pays = pays(seconds, count * calls)
        self._joins = joins(seconds, count * calls)
        self._whole = whole
        announce(seconds if whole is None else 0.0, count * calls, blas=blas)
        self._made: dict[tuple[int, int], Callable[[], object]] = {}

    def __call__(self) -> None:
        """Run all tasks."""
        own = _state.own
        if self._whole is not None and own.runs is not None and not own.runs.shares:
            self._whole()
        elif _now(self._seconds, self._pays, self._joins):
            parallel(self._task, self._count, self._slots)
        elif self._blas and own.runs is None:
            parallel(self._task, self._count, 1)
        else:
            _in_line(self._task, self._count)

    def _task(self, index: int, slot: int) -> None:
        found = self._made.get((index, slot))
        if found is None:
            found = self._made[index, slot] = self._make(index, slot)
        found()


def in_turn(stages: Sequence[Callable[[], object]]) -> Callable[[], None]:
    """Return what calls one after another."""

    def run() -> None:
        for stage in stages:
            stage()

    return run


def ranges(total: int, size: int) -> list[tuple[int, int]]:
    """Cut `range(total)` into the fewest near-equal parts of at most `size`."""
    parts = -(-total // max(1, size))
    return [(total * i // parts, total * (i + 1) // parts) for i in range(parts)]
