"""Run a task over indices on all cores; numpy releases the GIL inside its loops.

The caller works too, and indices are handed out one by one, so a late or busy worker
costs little. Which thread runs an index never changes what the index computes.
"""

import itertools
import os
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue

import numpy as np

from graphwright.backends.numpy.kernels import blas

Task = Callable[[int, int], object]
"""Called with an index and a slot: equal slots never run at the same time."""


def _default_threads() -> int:
    wanted = os.environ.get("GRAPHWRIGHT_NUM_THREADS", "")
    return max(1, int(wanted)) if wanted.isdecimal() else os.cpu_count() or 1


class _Job:
    """One call of `parallel`: indices still to take, slots given, indices to finish."""

    def __init__(self, task: Task, count: int) -> None:
        self.task, self.count = task, count
        self.indices, self.slots = itertools.count(), itertools.count()
        self.left, self.lock = count, threading.Lock()
        self.done = threading.Lock()
        self.done.acquire()
        self.error: BaseException | None = None

    def run_one(self, index: int, slot: int) -> None:
        try:
            if self.error is None:
                self.task(index, slot)
        except BaseException as error:  # the caller raises it again
            self.error = error

    def work(self) -> None:
        """Take indices until none is left."""
        index = next(self.indices)
        if index >= self.count:
            return
        slot, finished = next(self.slots), 0
        while index < self.count:
            self.run_one(index, slot)
            finished += 1
            index = next(self.indices)
        self.finish(finished)

    def finish(self, finished: int) -> None:
        with self.lock:
            self.left -= finished
            last = self.left == 0
        if last:
            self.done.release()


class _Pool:
    """Daemon threads which wait for jobs in one queue."""

    def __init__(self) -> None:
        self.inbox: SimpleQueue[_Job] = SimpleQueue()
        self.workers = 0
        self.lock = threading.Lock()

    def offer(self, job: _Job, helpers: int) -> None:
        if self.workers < helpers:
            self.grow(helpers)
        for _ in range(helpers):
            self.inbox.put(job)

    def grow(self, workers: int) -> None:
        with self.lock:
            for number in range(self.workers, workers):
                name = f"graphwright-{number}"
                threading.Thread(target=self.serve, name=name, daemon=True).start()
            self.workers = max(self.workers, workers)

    def serve(self) -> None:
        _state.inside = True
        with np.errstate(all="ignore"):
            while True:
                self.inbox.get().work()


class _State(threading.local):
    inside = False
    limit: int | None = None


class _Settings:
    """What may change while the process lives."""

    def __init__(self) -> None:
        self.threads, self.pool = _default_threads(), _Pool()


_state = _State()
_settings = _Settings()


def _after_fork() -> None:
    _settings.pool = _Pool()
    _state.inside = False
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
    return _state.limit or _settings.threads


@contextmanager
def use_threads(count: int | None) -> Generator[None, None, None]:
    """Use `count` threads in this thread's calls inside the block; None: as before."""
    before, _state.limit = _state.limit, count or _state.limit
    try:
        yield
    finally:
        _state.limit = before


def slots() -> int:
    """How many slots a call of `parallel` from this thread can use."""
    return 1 if _state.inside else get_num_threads()


def parallel(task: Task, count: int, max_slots: int = 1 << 30) -> None:
    """Call `task(index, slot)` for each index below `count`, in any order.

    Slots are below `min(slots(), max_slots)`. Inside a task, calls run inline. BLAS
    keeps to the calling thread; where it cannot be told to, the indices run in turn
    and BLAS uses its own threads. The first error is raised once all threads stopped.
    """
    if count <= 0:
        return
    helpers = min(slots(), count, max_slots) - 1
    with blas.OneThread(), np.errstate(all="ignore"):
        if helpers == 0 or not blas.controllable():
            for index in range(count):
                task(index, 0)
        else:
            _share(_Job(task, count), helpers)


def _share(job: _Job, helpers: int) -> None:
    _settings.pool.offer(job, helpers)
    _state.inside = True
    try:
        job.work()
    finally:
        _state.inside = False
    job.done.acquire()
    if job.error is not None:
        raise job.error


class Prepared:
    """Tasks whose views are made when they first run, and kept for the next time."""

    def __init__(
        self,
        make: Callable[[int, int], Callable[[], object]],
        count: int,
        max_slots: int = 1 << 30,
    ) -> None:
        """Keep `make(index, slot)`, which gives what the task of an index does."""
        self._make, self._count, self._slots = make, count, max_slots
        self._made: dict[tuple[int, int], Callable[[], object]] = {}

    def __call__(self) -> None:
        """Run all tasks."""
        parallel(self._task, self._count, self._slots)

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
