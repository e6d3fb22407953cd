"""Plans that one kernel runs: what waits for what, and the same bits as launches."""

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import graphwright as gw
import graphwright.numpy as gnp
from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.hazards import waits
from graphwright.backends.codegen.loops import Kernel, Sizes
from graphwright.backends.codegen.persistent import Step, Table
from graphwright.backends.codegen.turns import DESK, HEADER, LINE, ROW
from graphwright.backends.opencl import persistent
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.backends.opencl.helpers import Helpers
from graphwright.backends.opencl.library import Session, found, session
from graphwright.ir.dtype import float32

MISSING = OpenCLBackend().unavailable()
device = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
LEADS = MISSING is None and session(0).helpers is not None


def array() -> Array:
    return Array(float32, (4,))


def kernel(inputs: list[Array], outputs: list[Array], items: int = 1) -> Kernel:
    return Kernel(tuple(inputs), tuple(outputs), Sizes(values=[7]), (), (items,))


def test_a_step_waits_for_what_it_reads() -> None:
    x, a, b, c = (array() for _ in range(4))
    steps = [kernel([x], [a]), kernel([x], [b]), kernel([a], [c])]
    assert waits(steps, {}) == [0, 0, 1]
    assert waits([*steps, kernel([b, c], [array()])], {})[-1] == 3


def test_a_step_waits_for_readers_of_the_memory_that_it_writes() -> None:
    x, a, b, c = (array() for _ in range(4))
    steps = [kernel([x], [a]), kernel([a], [b]), kernel([x], [c])]
    assert waits(steps, {a: 0, b: 16, c: 32}) == [0, 1, 0]
    assert waits(steps, {a: 0, b: 16, c: 12}) == [0, 1, 2]
    assert waits(steps, {a: 0, b: 16, c: 28}) == [0, 1, 2]


def test_tickets_cover_all_items() -> None:
    x, y = array(), array()
    steps = [Step(0, kernel([x], [y], n), 0) for n in (1, 31, 64, 1000)]
    table = Table(steps, cores=2)
    ends = [0, *table.ends]
    for number, step in enumerate(steps):
        _, end, items, few, *_ = table.numbers[HEADER * (number + 1) :][:6]
        assert end == ends[number + 1]
        assert items == step.kernel.items[0]
        tickets = int(end) - ends[number]
        assert (tickets - 1) * few < items <= tickets * few
    assert table.widest == max(np.diff(ends)) == 33
    assert Table(steps[:1], cores=2).widest == 1


def test_the_largest_weights_of_a_step_are_noted() -> None:
    x, y = array(), array()
    table = Table([Step(0, kernel([x], [y], 4), 0)] * 2, cores=2)
    for address, size in ((4096, 64), (8192, 1 << 20), (64, 1 << 18)):
        table.weigh(1, address, size)
    rows = table.numbers[HEADER:][: 2 * HEADER].reshape(2, HEADER)
    assert rows[:, ROW.index("weights")].tolist() == [0, 8192]
    assert rows[:, ROW.index("size")].tolist() == [0, 1 << 20]


def branches(x: Any) -> Any:
    """Independent branches, reductions between them, more steps than one."""
    rows = gnp.sum(x, axis=1)
    columns = gnp.exp(x) @ gnp.swapaxes(x, 0, 1)
    both = gnp.max(columns, axis=0) + rows
    return gnp.concatenate([both, rows * 2]) @ gnp.concatenate([columns, columns])


def device_0() -> Any:
    return found().devices[0]


def on(session: Session) -> OpenCLBackend:
    backend = OpenCLBackend()
    vars(backend)["_session"] = session
    return backend


def launched() -> tuple[Any, Any, Any]:
    """A graph, what it is fed, and what kernels launched one by one make of it."""
    x = np.random.default_rng(0).standard_normal((120, 200)).astype(np.float32)
    graph = gw.trace(branches, gw.spec("float32", x.shape))
    apart = Session(device_0())
    vars(apart)["_probed"] = None
    exe = gw.compile(graph, backend=on(apart), strict=True)
    return graph, x, np.asarray(exe(x))


@device
@pytest.mark.parametrize("items", [1, 2, 7])
def test_any_number_of_work_items_ends_a_plan(
    items: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, x, want = launched()
    runs: list[int] = []

    class Runner(persistent.PlanRunner):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self._cores = (items,)

        def __call__(self) -> None:
            runs.append(items)
            super().__call__()

    monkeypatch.setattr(persistent, "PlanRunner", Runner)
    session = Session(device_0())
    vars(session)["helpers"] = None
    exe = gw.compile(graph, backend=on(session), strict=True)
    for _ in range(3):
        assert np.array_equal(np.asarray(exe(x)), want)
    assert len(runs) == 3


@device
@pytest.mark.skipif(not LEADS, reason="no CPU device on x86-64 Linux")
def test_threads_that_lead_plans_get_the_same_bits() -> None:
    graph, x, want = launched()
    exe = gw.compile(graph, backend=OpenCLBackend(), strict=True)

    def often(_: int) -> bool:
        return all(np.array_equal(np.asarray(exe(x)), want) for _ in range(50))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(often, range(8)))


@device
@pytest.mark.skipif(not LEADS, reason="no CPU device on x86-64 Linux")
@pytest.mark.parametrize("count", [0, 1, 5])
def test_any_number_of_helpers_will_do(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, x, want = launched()
    session = Session(device_0())
    probed = session._probed
    assert probed
    helpers = Helpers(probed, count, 1 << 16)
    vars(session)["helpers"] = helpers
    exe = gw.compile(graph, backend=on(session), strict=True)
    for turn in range(60):
        if turn % 20 == 0:
            time.sleep(0.02)  # helpers fall asleep
        assert np.array_equal(np.asarray(exe(x)), want)
    helpers.close()
    assert np.array_equal(np.asarray(exe(x)), want)


@device
@pytest.mark.skipif(not LEADS, reason="no CPU device on x86-64 Linux")
def test_processors_of_other_leaders_are_left_to_them() -> None:
    graph, x, want = launched()
    session = Session(device_0())
    probed = session._probed
    assert probed
    helpers = Helpers(probed, 1, 1 << 16)
    vars(session)["helpers"] = helpers
    exe = gw.compile(graph, backend=on(session), strict=True)
    serial, leaders = (LINE * DESK.index(name) for name in ("serial", "leaders"))

    def laid() -> int:
        before = int(helpers._numbers[serial])
        assert np.array_equal(np.asarray(exe(x)), want)
        return int(helpers._numbers[serial]) - before

    assert laid() == 1
    helpers._numbers[leaders] += 1  # as another thread does
    assert laid() == 0
    helpers._numbers[leaders] -= 1
    assert laid() == 1
    assert helpers._numbers[leaders] == 0
    helpers.close()


@device
@pytest.mark.skipif(not LEADS, reason="no CPU device on x86-64 Linux")
def test_a_forked_process_runs_without_helpers() -> None:
    code = """if True:
        import os, sys
        import numpy as np
        import graphwright as gw
        f = gw.jit(lambda x: x @ x + np.exp(x).sum(), backend="opencl")
        x = np.random.default_rng(0).standard_normal((64, 64))
        for _ in range(3):
            want = np.asarray(f(x))
        child = os.fork()
        same = all(np.array_equal(np.asarray(f(x)), want) for _ in range(50))
        if not child:
            os._exit(0 if same else 3)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.exit(status if same else 4)
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)


@device
def test_devices_whose_addresses_are_others_get_launches() -> None:
    session = Session(found().devices[0])
    session.shares = False
    assert not session.persists


@device
@pytest.mark.skipif(not LEADS, reason="no CPU device on x86-64 Linux")
def test_what_threads_look_at_lives_as_long_as_they_do() -> None:
    session = Session(device_0())
    kept = weakref.ref(session.helpers)
    del session
    gc.collect()
    assert kept() is not None


MANY = hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1


@device
@pytest.mark.skipif(not (LEADS and MANY), reason="there is one processor, or no leader")
def test_helpers_leave_the_processor_of_their_leader() -> None:
    graph, x, want = launched()
    exe = gw.compile(graph, backend=OpenCLBackend(), strict=True)
    exe(x)
    (helper, *_) = (
        thread.native_id
        for thread in threading.enumerate()
        if thread.name == "graphwright-opencl" and thread.native_id is not None
    )
    before, own = os.sched_getaffinity(0), threading.get_native_id()
    one = {min(before)}
    try:
        os.sched_setaffinity(own, one)
        os.sched_setaffinity(helper, one)
        for _ in range(2000):
            assert np.array_equal(np.asarray(exe(x)), want)
            if os.sched_getaffinity(helper).isdisjoint(one):
                break
        assert os.sched_getaffinity(helper) == before - one
    finally:
        os.sched_setaffinity(own, before)
