"""Plans that one kernel runs: what waits for what, and the same bits as launches."""

from typing import Any

import numpy as np
import pytest

import graphwright as gw
import graphwright.numpy as gnp
from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.hazards import waits
from graphwright.backends.codegen.loops import Kernel, Sizes
from graphwright.backends.codegen.persistent import Step, Table
from graphwright.backends.opencl import persistent
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.backends.opencl.library import Session, found
from graphwright.ir.dtype import float32

MISSING = OpenCLBackend().unavailable()
device = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


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
        _, end, items, few, *_ = table.numbers[8 * (number + 1) :][:6]
        assert end == ends[number + 1]
        assert items == step.kernel.items[0]
        tickets = int(end) - ends[number]
        assert (tickets - 1) * few < items <= tickets * few
    assert table.widest == max(np.diff(ends)) == 33
    assert Table(steps[:1], cores=2).widest == 1


def branches(x: Any) -> Any:
    """Independent branches, reductions between them, more steps than one."""
    rows = gnp.sum(x, axis=1)
    columns = gnp.exp(x) @ gnp.swapaxes(x, 0, 1)
    both = gnp.max(columns, axis=0) + rows
    return gnp.concatenate([both, rows * 2]) @ gnp.concatenate([columns, columns])


@device
@pytest.mark.parametrize("items", [1, 2, 7])
def test_any_number_of_work_items_ends_a_plan(
    items: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(0).standard_normal((40, 64)).astype(np.float32)
    graph = gw.trace(branches, gw.spec("float32", x.shape))
    apart = Session(found().devices[0])
    vars(apart)["persists"] = False
    backend = OpenCLBackend()
    monkeypatch.setattr(backend, "_session", apart, raising=False)
    want = np.asarray(gw.compile(graph, backend=backend, strict=True)(x))
    runs: list[int] = []

    class Runner(persistent.PlanRunner):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self._cores = (items,)

        def __call__(self) -> None:
            runs.append(items)
            super().__call__()

    monkeypatch.setattr(persistent, "PlanRunner", Runner)
    exe = gw.compile(graph, backend=OpenCLBackend(), strict=True)
    for _ in range(3):
        assert np.array_equal(np.asarray(exe(x)), want)
    assert len(runs) == 3


@device
def test_devices_whose_addresses_are_others_get_launches() -> None:
    session = Session(found().devices[0])
    session.shares = False
    assert not session.persists
