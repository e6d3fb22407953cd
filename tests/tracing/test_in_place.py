"""Arguments written where they lie, and results in memory that comes back."""

import gc
import threading
from typing import Any

import numpy as np
import pytest

import graphwright as gw
from graphwright.ir.dtype import bfloat16

N = 20_000


def address(x: Any) -> int:
    found: int = np.asarray(x).__array_interface__["data"][0]
    return found


def plan_of(function: Any) -> Any:
    (entry,) = function._entries.values()
    return entry.executable.plan_for()


def both(function: Any, *arguments: Any) -> None:
    """The function gives and writes what it does with NumPy, three times over."""
    compiled = gw.jit(function, backend="numpy")
    for _ in range(3):
        own, other = ([x.copy() for x in arguments] for _ in range(2))
        found, wanted = compiled(*own), function(*other)
        for x, y in zip([found, *own], [wanted, *other], strict=True):
            np.testing.assert_array_equal(np.asarray(x), y)


def old_and_new(x: Any) -> Any:
    old = x + 0
    x[:] = x * 2
    return old


def old_itself(x: Any) -> Any:
    y = x[::-1].copy()
    x += 1
    return y


def read_late(x: Any) -> Any:
    total = x.sum()
    x *= 3
    return total + x[0]


def shifted(x: Any) -> Any:
    x[1:-1] = x[:-2] + x[2:]
    return x.sum()


def many_steps(x: Any) -> Any:
    for _ in range(5):
        x[1:-1] = 0.5 * (x[:-2] + x[2:])
    return x[0]


def turned(x: Any) -> Any:
    x[:] = x[::-1] + x
    return x


@pytest.mark.parametrize(
    "function", [old_and_new, old_itself, read_late, shifted, many_steps, turned]
)
def test_arguments_are_written_as_numpy_does(function: Any) -> None:
    both(function, np.arange(float(N)))


def test_a_whole_update_writes_to_the_argument_itself() -> None:
    def step(x: Any, g: Any) -> None:
        x -= 0.5 * g

    compiled = gw.jit(step, backend="numpy")
    x, g = np.ones(N), np.ones(N)
    compiled(x, g)
    assert list(plan_of(compiled).layout.targets.values()) == [0]
    assert plan_of(compiled).layout.size == 0
    np.testing.assert_array_equal(x, 0.5)


def test_what_is_read_later_is_not_written_over() -> None:
    compiled = gw.jit(shifted, backend="numpy")
    compiled(np.ones(N))
    assert not plan_of(compiled).layout.targets


def test_arguments_that_do_not_fit_are_copied_to() -> None:
    def step(x: Any) -> None:
        x += 1

    compiled = gw.jit(step, backend="numpy")
    x = np.zeros((N, 2))[:, 0]
    compiled(x)
    np.testing.assert_array_equal(x, 1)


def test_a_tensor_keeps_what_others_hold() -> None:
    def step(x: Any) -> None:
        x += 1

    compiled = gw.jit(step, backend="numpy")
    x = gw.asarray(np.zeros(N))
    held = np.asarray(x).copy()
    before = x + 0
    compiled(x)
    np.testing.assert_array_equal(np.asarray(before), held)
    np.testing.assert_array_equal(np.asarray(x), 1)


def test_memory_of_results_comes_back_once_nobody_holds_it() -> None:
    compiled = gw.jit(lambda x: (x * 2, x + 1), backend="numpy")
    x = np.arange(float(N))
    gc.disable()  # no circle of references may keep it
    try:
        places = {tuple(address(y) for y in compiled(x)) for _ in range(5)}
    finally:
        gc.enable()
    assert len(places) == 1


def test_memory_of_results_stays_with_those_who_hold_a_part() -> None:
    compiled = gw.jit(lambda x: x * 2, backend="numpy")
    parts = [np.asarray(compiled(np.full(N, float(i))))[5:7] for i in range(4)]
    for i, part in enumerate(parts):
        np.testing.assert_array_equal(part, 2 * i)


def test_results_of_dtypes_that_numpy_lacks() -> None:
    graph = gw.trace(lambda x: x + x, gw.spec("bfloat16", (2 * N,)))
    x = np.ones(2 * N, bfloat16.numpy)
    (found,) = gw.compile(graph, backend="numpy").run(None, {"x": x})
    assert found.dtype == x.dtype
    assert found[0] == 2


def test_results_that_feed_the_next_call() -> None:
    compiled = gw.jit(lambda x: x + 1, backend="numpy")
    y: Any = np.zeros(N)
    for _ in range(6):
        y = compiled(y)
    np.testing.assert_array_equal(np.asarray(y), 6)


def test_many_threads_write_and_hold_results_at_once() -> None:
    def step(x: Any, k: Any) -> Any:
        x += k
        return x * 2

    compiled = gw.jit(step, backend="numpy")
    compiled(np.zeros(N), np.ones(N))
    wrong: list[int] = []

    def work(k: int) -> None:
        x, by, held = np.zeros(N), np.full(N, float(k)), list[Any]()
        for _ in range(20):
            held.append(np.asarray(compiled(x, by))[::7])
        if not np.array_equal(x, np.full(N, 20.0 * k)):
            wrong.append(k)
        wrong.extend(k for i, y in enumerate(held) if (y != 2 * k * (i + 1)).any())

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


def flipped_and_flat(x: Any, chosen: Any) -> Any:
    part = x[chosen]  # only the run knows of how many rows
    flat = part[::-1, ::-1].reshape(-1)
    flat[0] = 7.0  # one line of equal steps: a view
    copy = part[::-1].reshape(-1)
    copy[1] = 9.0  # two kinds of steps: a copy
    split = part[::-1, ::-1].reshape(1, -1, 3)
    split[0, 0, 1] = 5.0
    return part, flat, copy, split


def test_reshapes_of_flipped_parts_of_any_size_are_views_as_in_numpy() -> None:
    x, chosen = np.arange(12.0).reshape(4, 3), np.array([True, False, True, True])
    wanted = flipped_and_flat(x, chosen)
    for got, want in zip(gw.jit(flipped_and_flat)(x, chosen), wanted, strict=True):
        np.testing.assert_array_equal(np.asarray(got), want)


@pytest.mark.parametrize("value", [False, True])
def test_a_mask_of_nothing_fits_any_axis(value: bool) -> None:
    def program(a: Any) -> Any:
        places = np.argwhere(np.matmul(a, a))
        places[np.all(places, axis=-2) == 3] = 2
        return places

    a = np.full(4, value)
    np.testing.assert_array_equal(gw.jit(program, backend="numpy")(a), program(a))
