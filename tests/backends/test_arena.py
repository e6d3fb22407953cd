"""The arena: places never overlap while needed, and runs allocate outputs alone."""

import threading
import tracemalloc
from typing import Any

import numpy as np

import graphwright as gw
from graphwright.backends.arena import Space
from graphwright.backends.contract import Place
from graphwright.backends.lease import Lender, owned
from graphwright.backends.numpy.kernels.threads import use_threads
from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType


def chain(size: int = 64) -> Graph:
    """Products, reductions and views, with values that live long and short."""
    b = Builder("chain")
    x = b.input("x", TensorType(dt.float32, (size, size)))
    rng = np.random.default_rng(0)
    y, kept = x, x
    for step in range(6):
        w = b.constant(rng.standard_normal((size, size), dtype=np.float32) / size)
        y = b.tanh(b.add(b.dot(y, w), b.transpose(kept, (1, 0))))
        if step % 2:
            kept = b.reshape(y, (size, size))
            y = b.sub(y, b.broadcast_to(b.sum(y, [0]), y.shape))
    return b.finish([y, kept])


def test_space_joins_what_is_given_back() -> None:
    space = Space()
    first, second, third = (space.take(100) for _ in range(3))
    assert len({first, second, third}) == 3
    space.give(first, 100)
    space.give(second, 100)
    assert space.take(200) == first
    space.give(third, 100)
    assert space.take(300) == third


def test_runs_agree_with_the_evaluator_again_and_again() -> None:
    graph = chain()
    exe = gw.compile(graph, backend="numpy")
    for seed in range(4):
        x = np.random.default_rng(seed).standard_normal((64, 64), dtype=np.float32)
        for got, want in zip(
            exe.run(None, {"x": x}), evaluate(graph, [x]), strict=True
        ):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_outputs_outlive_later_runs() -> None:
    exe = gw.compile(chain(), backend="numpy")
    x = np.ones((64, 64), np.float32)
    first = exe.run(None, {"x": x})
    before = [a.copy() for a in first]
    exe.run(None, {"x": -x})
    for a, b in zip(first, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_concurrent_runs_have_frames_of_their_own() -> None:
    graph = chain()
    exe = gw.compile(graph, backend="numpy")
    wrong: list[int] = []

    def run(seed: int) -> None:
        x = np.random.default_rng(seed).standard_normal((64, 64), dtype=np.float32)
        want = evaluate(graph, [x])
        for _ in range(10):
            got = exe.run(None, {"x": x})
            if not all(
                np.allclose(g, w, 1e-4, 1e-5) for g, w in zip(got, want, strict=True)
            ):
                wrong.append(seed)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_a_steady_run_allocates_its_outputs_only() -> None:
    size = 256
    b = Builder("steady")
    x = b.input("x", TensorType(dt.float32, (size, size)))
    y: Any = x
    for _ in range(8):
        w = b.constant(np.full((size, size), 1e-3, np.float32))
        y = b.max(b.add(b.dot(y, w), b.constant(np.ones(size, np.float32))), 0)
    exe = gw.compile(b.finish([b.sum(y, [0])]), backend="numpy")
    feeds = {"x": np.ones((size, size), np.float32)}
    with use_threads(1):  # NumPy's own iteration buffers are 0.1 MB a thread
        for _ in range(3):
            exe.run(None, feeds)
        tracemalloc.start()
        exe.run(None, feeds)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < size * size * 4 // 2


def conv(b: Builder, x: Any, filters: int, kernel: int, **more: Any) -> Any:
    groups = more.pop("groups", 1)
    shape = (filters, x.shape[1] // groups, kernel, kernel)
    rng = np.random.default_rng(filters)
    w = b.constant(0.1 * rng.standard_normal(shape, np.float32))
    fields: dict[str, Any] = {"strides": (1, 1), "padding": ((kernel // 2,) * 2,) * 2}
    fields |= {"lhs_dilation": (1, 1), "rhs_dilation": (1, 1), "groups": groups}
    return b.max(b.emit("conv", x, w, **(fields | more)), 0.0)


def network(size: int = 64) -> Graph:
    """Each kind of convolution, a pool, parts side by side and a sum."""
    b = Builder("network")
    x = b.input("x", TensorType(dt.float32, (1, 3, size, size)))
    y = conv(b, x, 32, 3, strides=(2, 2))
    y = conv(b, y, 32, 3, groups=32)
    y = b.add(conv(b, conv(b, y, 64, 1), 32, 3), y)
    y = b.concat([conv(b, y, 16, 1), conv(b, y, 48, 5)], axis=1)
    y = conv(
        b, conv(b, y, 64, 1, groups=4), 64, 1, strides=(2, 2), padding=((0, 0),) * 2
    )
    window: dict[str, Any] = {"strides": (2, 2), "padding": ((1, 1),) * 2}
    window |= {"dilations": (1, 1), "window": (3, 3), "kind": "max"}
    return b.finish([b.sum(b.emit("reduce_window", y, **window), [2, 3])])


def test_a_steady_run_of_convolutions_allocates_its_outputs_only() -> None:
    graph = network()
    exe = gw.compile(graph, backend="numpy", strict=True)
    x = np.random.default_rng(0).standard_normal((1, 3, 64, 64), dtype=np.float32)
    with use_threads(1):
        for _ in range(3):
            exe.run(None, {"x": x})
        tracemalloc.start()
        (got,) = exe.run(None, {"x": x})
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    # Most results in between are larger; NumPy's own iteration buffers are 67 kB.
    assert peak < 32 * 32 * 32 * 4
    np.testing.assert_allclose(got, evaluate(graph, [x])[0], rtol=1e-3, atol=1e-3)


def test_no_step_of_convolutions_falls_apart() -> None:
    exe = gw.compile(network(), backend="numpy")
    plan = exe.plan_for()
    assert [s.node.op.name for s in plan.steps if s.into is None] == ["transpose"]


def test_an_input_that_kernels_pin_is_read_anew_in_each_run() -> None:
    graph = network()
    exe = gw.compile(graph, backend="numpy")
    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal((1, 3, 64, 64), np.float32)
        (got,) = exe.run(None, {"x": x})
        np.testing.assert_allclose(got, evaluate(graph, [x])[0], rtol=1e-3, atol=1e-3)


def test_memory_comes_back_when_nobody_holds_a_view_of_it() -> None:
    lender = Lender(Place((3, 4), np.dtype(np.float64)))
    first = lender.lend()
    part = first[1:].T
    second, third = lender.lend(), lender.lend()
    assert len({id(x.base) for x in (first, second, third)}) == 3
    assert all(type(x) is np.ndarray and owned(x) for x in (first, second, third))
    base = id(second.base)
    del second
    assert id(lender.lend().base) == base
    del first
    assert part.base is not lender.lend().base
    assert not owned(np.zeros(4)[1:])


def test_lent_memory_begins_with_a_line_of_cache() -> None:
    for shape in ((0,), (7,), (300, 1000)):
        lent = Lender(Place(shape, np.dtype(np.float32))).lend()
        assert lent.ctypes.data % 64 == 0
        assert lent.shape == shape
        assert owned(lent)
