"""Whether helper threads pay is learnt from the runs of a plan."""

import itertools
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphwright as gw
from graphwright.backends import trial
from graphwright.backends.numpy.backend import NumpyBackend
from graphwright.backends.numpy.kernels import blas, threads
from graphwright.backends.numpy.kernels.team import SPINS, Pool
from graphwright.backends.trial import Trial


def played(found: Trial, seconds: Callable[[bool], float], runs: int) -> list[bool]:
    """Which of so many runs were alone, where each takes what `seconds` says."""
    kinds: list[bool] = []
    for _ in range(runs):
        kinds.append(found.alone)
        if found.timed:
            found.book(seconds(found.alone), alone=found.alone)
        else:
            found.rested()
    return kinds


@pytest.mark.parametrize(
    ("together", "single", "alone"),
    [(1e-3, 1.2e-3, False), (2e-3, 1e-3, True), (1e-3, 1e-3, True)],
)
def test_who_is_faster_has_the_next_runs(
    together: float, single: float, alone: bool
) -> None:
    kinds = played(Trial(), lambda one: single if one else together, 400)
    first = trial._FIRST + trial._RUNS
    assert kinds[first : first + trial._REST[0]] == [alone] * trial._REST[0]
    own = trial._RUNS + trial._BEFORE  # of a trial, most are of one kind
    assert kinds.count(not alone) <= trial._FIRST + 3 * own // 2
    assert len(set(kinds[trial._FIRST : first])) == 2


@pytest.mark.parametrize(("single", "runs"), [(2.4e-3, 2), (3e-3, 1)])
def test_few_runs_alone_are_enough_where_helpers_pay(single: float, runs: int) -> None:
    kinds = played(Trial(), lambda one: single if one else 2e-3, 1000)
    first = trial._FIRST + trial._BEFORE + runs + trial._REST[0]
    assert kinds[:first].count(True) == runs
    assert kinds.count(True) <= runs * 5


def test_trials_come_again_when_the_machine_has_changed() -> None:
    found = Trial()
    played(found, lambda one: 1e-3 if one else 3e-3, 5000)
    most = trial._REST[1] + trial._RUNS
    assert played(found, lambda one: 3e-3 if one else 1e-3, most)[-1] is False


def test_trials_get_rare() -> None:
    found, timed = Trial(), 0
    for _ in range(20_000):
        timed += found.timed
        played(found, lambda one: 3e-3 if one else 1e-3, 1)
    assert 0 < timed < 20_000 * 2 * trial._RUNS / trial._REST[1]


def test_one_late_run_decides_nothing() -> None:
    late = iter([0.5])
    kinds = played(Trial(), lambda one: 2e-3 if one else next(late, 1e-3), 40)
    assert kinds[-1] is False


@pytest.mark.parametrize("late", [0, 1])
def test_a_late_run_with_helpers_makes_no_trial_longer(late: int) -> None:
    times = iter([0.13, 0.3] if late else [0.3, 0.13])
    kinds = played(Trial(), lambda one: 0.24 if one else next(times, 0.13), 40)
    assert kinds.count(True) == 1


@pytest.mark.parametrize(
    ("together", "single"),
    [
        ([9e-3, 6e-3, 3.2e-3, 3.4e-3, 3.2e-3, 3.3e-3], 5.9e-3),
        ([4.6e-3, 2.4e-3, 4.9e-3, 2.3e-3, 4.4e-3, 5.1e-3], 4.2e-3),
    ],
)
def test_others_that_take_a_processor_at_times_make_no_trial_longer(
    together: list[float], single: float
) -> None:
    late = itertools.cycle(together)
    kinds = played(Trial(), lambda one: single if one else next(late), 40)
    assert kinds.count(True) <= 2


@pytest.mark.parametrize("threads", [2, 4, 30])
def test_runs_of_several_threads_may_overlap(threads: int) -> None:
    found, kinds = Trial(), list[bool]()
    for _ in range(100):
        begun = [(found.alone, found.timed) for _ in range(threads)]
        for alone, timed in begun:
            kinds.append(alone)
            if timed:
                found.book(3e-3 if alone else 1e-3, alone=alone)
            else:
                found.rested()
    assert True in kinds
    assert found.timed or not found.alone


def test_long_runs_are_seldom_tried_alone() -> None:
    kinds = played(Trial(), lambda one: 0.03 if one else 0.01, 2000)
    assert 1 <= kinds.count(True) <= 6
    first = trial._FIRST + trial._BEFORE + 1
    assert not any(kinds[first : first + trial._REST[0]])


def test_long_runs_are_alone_where_another_program_has_the_processors() -> None:
    kinds = played(Trial(), lambda one: 0.01 if one else 0.03, 2000)
    assert kinds.count(False) < 60


class _Alone:
    alone, timed = True, False

    def rested(self) -> None:
        """Stays as it is."""


def test_a_run_alone_stays_on_its_thread() -> None:
    seen: set[int] = set()

    def task(_index: int, _slot: int) -> None:
        seen.add(threading.get_ident())

    runs = threads.Runs()
    runs._trial = _Alone()  # type: ignore[assignment]
    with runs:
        threads.parallel(task, 50)
        assert not threads.shares(1.0, 0)
    assert seen == {threading.get_ident()}
    with threads.AWAKE:
        assert threads.shares(1.0, 0)


def test_runs_are_timed_where_helpers_come() -> None:
    runs, kinds = threads.Runs(), list[bool]()
    for _ in range(200):
        with runs:
            kinds.append(runs._trial.alone)
            threads.parallel(lambda _i, _s: None, 2)
    helpers = threads.get_num_threads() > 1 and blas.controllable()
    assert (True in kinds) == helpers
    idle = threads.Runs()
    for _ in range(200):
        with idle:
            assert not idle._trial.timed


def test_a_run_may_have_more_or_fewer_jobs_than_the_last() -> None:
    runs = threads.Runs()
    for jobs in (1, 1, 3, 2, 0, 2, 2, 5):
        taken = [0] * jobs
        with runs:
            for job in range(jobs):
                threads.parallel(partial(_count, taken, job), 6)
        assert taken == [6] * jobs


def _count(taken: list[int], job: int, _index: int, _slot: int) -> None:
    taken[job] += 1


@pytest.mark.skipif(not SPINS, reason="threads never wait awake on this platform")
def test_all_helpers_sleep_after_the_last_job() -> None:
    pool, arrived = Pool(lambda: None), threading.Barrier(4)
    team = pool.claim(3)

    def task(_index: int, _slot: int) -> None:
        arrived.wait(30)

    team.share(task, 4, 3)  # all of them wait awake now
    team.share(lambda _i, _s: None, 2, 1, last=True)
    pool.release(team)
    end = time.monotonic() + 20
    while any(map(_runs, team.helpers)):
        assert time.monotonic() < end, "a helper waits awake"


def _runs(helper: Any) -> bool:
    status = Path(f"/proc/self/task/{helper.thread.native_id}/stat").read_text()
    return status.rpartition(")")[2].split()[0] == "R"


def test_a_plan_uses_helpers_or_threads_of_blas() -> None:
    if not blas.controllable():
        pytest.skip("this BLAS does not say how many threads it has")
    assert blas._found is not None
    count, _ = blas._found
    usual = count()
    small, shared = threads.Runs(), threads.Runs()
    for _ in range(2):
        with small:
            threads.announce(1e-6, 1, blas=True)
            threads.announce(1e-6, 1, blas=False)
            assert count() == usual
        with shared:
            threads.announce(1e-6, 1, blas=True)
            threads.announce(1.0, 1, blas=False)
            assert count() == 1
        assert count() == usual


def _layers(x: Any, w: Any) -> Any:
    return np.maximum(np.maximum(x @ w + 1, 0) @ w, 0)


@pytest.mark.parametrize(
    ("size", "program", "own"),
    [
        (200, _layers, True),
        (600, _layers, False),  # so long that a helper need not hurry
        (200, lambda x, w: np.tanh(_layers(x, w) @ np.ones((200, 500))), False),
    ],
)
def test_short_products_are_left_to_the_threads_of_blas(
    size: int, program: Any, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not blas.controllable():
        pytest.skip("this BLAS does not say how many threads it has")
    assert blas._found is not None
    count, seen = blas._found[0], list[int]()
    monkeypatch.setattr(threads._settings, "threads", 2)
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((size, size)), rng.standard_normal((size, size))
    f = gw.jit(program, backend="numpy")
    matmul = np.matmul

    def counted(*args: Any, **options: Any) -> Any:
        seen.append(count())
        return matmul(*args, **options)

    monkeypatch.setattr(np, "matmul", counted)
    for _ in range(3):
        np.testing.assert_allclose(f(x, w), program(x, w), rtol=1e-9)
    usual = count()
    assert set(seen[1:]) <= {usual, 1}
    few = [n for n in seen if n == 1]
    assert not few if own or usual == 1 else few


def test_one_thread_is_one_of_blas_too(monkeypatch: pytest.MonkeyPatch) -> None:
    if not blas.controllable():
        pytest.skip("this BLAS does not say how many threads it has")
    assert blas._found is not None
    monkeypatch.setattr(threads._settings, "threads", 1)
    runs = threads.Runs()
    for _ in range(2):
        with runs:
            threads.announce(1e-6, 1, blas=True)
            assert blas._found[0]() == 1


def _program(x: Any, w: Any) -> Any:
    y = np.maximum(x @ w, 0)
    e = np.exp(y - y.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True)).sum(axis=0), np.cumsum(x.reshape(-1))


def test_bits_are_the_same_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((700, 400)), rng.standard_normal((400, 300))
    shared = [np.asarray(a) for a in gw.jit(_program, backend="numpy")(x, w)]
    monkeypatch.setattr(threads, "Trial", _Alone)
    alone = [np.asarray(a) for a in gw.jit(_program, backend="numpy")(x, w)]
    for a, b in zip(shared, alone, strict=True):
        assert a.tobytes() == b.tobytes()


def test_what_surrounds_runs_is_made_once_a_plan() -> None:
    class Counting(NumpyBackend):
        made = 0

        def running(self) -> Any:
            """As before, counted."""
            self.made += 1
            return super().running()

    backend = Counting()
    f = gw.jit(lambda x: x + 1, backend=backend)
    for size in (3, 3, 4, 3):
        f(np.ones(size))
    assert backend.made == 2
