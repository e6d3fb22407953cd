"""Executables: bindings, threads, state, budgets, read-out, what crosses the border."""

import gc
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphwright as gw
import graphwright.numpy as gnp
from graphwright.backends.limits import Cancellation
from graphwright.backends.observe import Reading
from graphwright.backends.registry import get_backend
from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.dim import symbol
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph, Source
from graphwright.ir.types import TensorType

N = symbol("n")


def graph_of(make: Callable[[Builder, Value], Value], *shape: Any) -> Graph:
    b = Builder("test")
    x = b.input("x", TensorType(dt.float32, shape))
    b.source = Source("Op", "first")
    return b.finish([make(b, x)], ["y"])


def add_one(b: Builder, x: Value) -> Value:
    return b.add(x, 1)


def counter() -> Graph:
    """Adds the input to a variable and returns the new value."""
    b = Builder("counter")
    b.variables["total"] = Constant.of(np.zeros((), np.float32))
    x = b.input("x", TensorType(dt.float32, ()))
    token = b.emit("token")
    old, token = b.emit_all(
        "read", token, variable="total", type=TensorType(dt.float32, ())
    )
    new = b.add(old, x)
    b.emit_all("write", token, new, variable="total")
    return b.finish([new], ["total"])


def numbers(*shape: int) -> Any:
    return np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("size", [0, 1, 2, 7])
def test_one_executable_serves_every_size(size: int) -> None:
    exe = gw.compile(graph_of(add_one, N, 3), backend="numpy", strict=True)
    x = numbers(size, 3)
    np.testing.assert_array_equal(exe(x), x + 1)


def test_call_by_position_name_and_both() -> None:
    exe = gw.compile(graph_of(add_one, 2), backend="numpy")
    x = numbers(2)
    assert np.asarray(exe(x=x)).tolist() == np.asarray(exe(x)).tolist() == [1, 2]
    with pytest.raises(gw.FeedError, match="by position and by name"):
        exe(x, x=x)


def test_one_output_is_a_tensor_several_are_a_tuple() -> None:
    b = Builder("two")
    x = b.input("x", TensorType(dt.float32, (2,)))
    exe = gw.compile(b.finish([b.neg(x), b.abs(x)]), backend="numpy")
    result = exe(numbers(2))
    assert isinstance(result, tuple)
    assert [t.tolist() for t in result] == [[-0.0, -1.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("feed", "words"),
    [
        (np.zeros((2, 4), np.float32), "size 4 on axis 1"),
        (np.zeros((2,), np.float32), "1 axes"),
        (np.zeros((2, 3)), "float64"),
        ("text", "str"),
    ],
)
def test_what_does_not_fit_is_refused(feed: Any, words: str) -> None:
    exe = gw.compile(graph_of(add_one, N, 3), backend="numpy")
    with pytest.raises(gw.FeedError, match=words):
        exe(feed)


def test_a_dim_has_one_value() -> None:
    b = Builder("two inputs")
    x = b.input("x", TensorType(dt.float32, (N,)))
    y = b.input("y", TensorType(dt.float32, (N,)))
    exe = gw.compile(b.finish([b.add(x, y)]), backend="numpy")
    with pytest.raises(gw.FeedError, match="bound already"):
        exe(numbers(2), numbers(3))


def test_outputs_are_fresh() -> None:
    exe = gw.compile(graph_of(lambda b, x: b.reshape(x, (6,)), 2, 3), backend="numpy")
    x = numbers(2, 3)
    y = np.asarray(exe(x))
    y[:] = -1
    assert x.min() == 0


def test_constants_are_not_given_away() -> None:
    b = Builder("constant")
    b.input("x", TensorType(dt.float32, ()))
    exe = gw.compile(b.finish([b.constant(numbers(3))]), backend="numpy")
    first = exe(np.float32(0)).numpy()
    first[:] = 9
    assert exe(np.float32(0)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("side", [4, 300])
def test_a_value_given_twice_is_two_arrays(side: int) -> None:
    b = Builder("twice")
    x = b.input("x", TensorType(dt.float64, (side, side)))
    y = b.mul(x, 2.0)
    exe = gw.compile(b.finish([y, x, y, b.transpose(y, (1, 0))]), backend="numpy")
    feed = np.random.default_rng(1).random((side, side))
    kept = [exe.execute([feed]) for _ in range(4)]  # memory that is held stays
    for found in kept:
        arrays = [feed, *found]
        pairs = [(p, q) for i, p in enumerate(arrays) for q in arrays[:i]]
        assert not any(np.shares_memory(p, q) for p, q in pairs)
        for got, want in zip(
            found, [feed * 2, feed, feed * 2, feed.T * 2], strict=True
        ):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("side", [4, 300])
def test_floating_point_errors_are_no_news(side: int) -> None:
    b = Builder("quotient")
    x = b.input("x", TensorType(dt.float64, (side, side)))
    exe = gw.compile(b.finish([b.div(1.0, x), b.log(x)]), backend="numpy")
    with np.errstate(all="raise"):
        for _ in range(2):
            inverse, logarithm = exe.execute([np.zeros((side, side))])
        with pytest.raises(FloatingPointError):
            np.divide(1.0, np.zeros(1))
    assert np.isposinf(inverse).all()
    assert np.isneginf(logarithm).all()


def test_many_threads_share_an_executable() -> None:
    def work(b: Builder, x: Value) -> Value:
        return b.sum(b.mul(b.exp(b.neg(x)), 2), [1])

    exe = gw.compile(graph_of(work, N, 64), backend="numpy")
    wrong: list[int] = []

    def run(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for size in rng.integers(1, 9, 30):
            x = rng.standard_normal((size, 64), dtype=np.float32)
            (want,) = evaluate(exe.graph, [x])
            if not np.allclose(np.asarray(exe(x)), want, 1e-5):
                wrong.append(seed)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_state_lasts_from_run_to_run_and_belongs_to_the_executable() -> None:
    graph = counter()
    exe, other = gw.compile(graph, backend="numpy"), gw.compile(graph, backend="numpy")
    assert [exe(np.float32(k)).item() for k in (1, 2, 3)] == [1, 3, 6]
    assert other(np.float32(5)).item() == 5
    assert exe.state["total"] == 6


def test_threads_take_turns_at_state() -> None:
    exe = gw.compile(counter(), backend="numpy")
    threads = [
        threading.Thread(target=lambda: [exe(np.float32(1)) for _ in range(50)])
        for _ in range(4)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert exe.state["total"] == 200


def test_a_budget_of_bytes_is_checked_before_anything_is_allocated() -> None:
    graph = graph_of(lambda b, x: b.exp(b.broadcast_to(x, (1 << 40,))), 1)
    exe = gw.compile(graph, backend="numpy", max_bytes=1 << 30)
    with pytest.raises(gw.BudgetError, match="max_bytes"):
        exe(numbers(1))


def test_a_timeout_and_a_cancellation_stop_a_loop() -> None:
    b = Builder("endless")
    x = b.input("x", TensorType(dt.float32, ()))
    inner = b.subgraph("body")
    inner.input("i", TensorType(dt.int64, ()))
    going = inner.input("going", TensorType(dt.bool_, ()))
    state = inner.input("state", TensorType(dt.float32, ()))
    body = inner.finish([going, inner.add(state, 1)])
    never = b.constant(np.int64(-1))
    true = b.constant(np.bool_(True))
    y = b.emit("while_loop", never, true, x, body=body, carried=1, types=(x.type,))
    graph = b.finish([y])
    with pytest.raises(gw.BudgetError, match="timeout"):
        gw.compile(graph, backend="numpy", timeout=0.05)(np.float32(0))
    with pytest.raises(gw.BudgetError, match="iterations"):
        gw.compile(graph, backend="numpy", max_loop_iterations=7)(np.float32(0))
    cancel = Cancellation()
    threading.Timer(0.05, cancel.cancel).start()
    with pytest.raises(gw.BudgetError, match="cancelled"):
        gw.compile(graph, backend="numpy")(np.float32(0), cancel=cancel)


def test_observing_reads_every_value_and_leaves_the_plan_alone() -> None:
    graph = graph_of(lambda b, x: b.exp(b.add(x, 1)), N)
    exe = gw.compile(graph, backend="numpy", optimize=False)
    plan = exe.plan_for(n=2)
    seen: list[Reading] = []
    with exe.observe(seen.append):
        exe(numbers(2))
    assert [r.node.op.name for r in seen][-2:] == ["add", "exp"]
    np.testing.assert_allclose(seen[-1].array, np.exp(numbers(2) + 1), rtol=1e-6)
    assert exe.plan_for(n=2) is plan
    exe(numbers(2))
    assert len(seen) == len(plan.steps)


def test_observing_without_copies_shows_the_memory_of_the_plan() -> None:
    graph = graph_of(lambda b, x: b.exp(b.add(x, 1)), N)
    exe = gw.compile(graph, backend="numpy", optimize=False)
    seen: list[list[float]] = []

    def note(reading: Reading) -> None:
        if reading.node.op.name == "add":
            seen.append(reading.array.tolist())
            reading.array[...] = 0

    with exe.observe(note, copy=False):
        (y,) = exe.run(None, {exe.input_names[0]: numbers(2)})
    assert seen == [(numbers(2) + 1).tolist()]
    assert y.tolist() == [1, 1]


def test_an_observed_run_calls_what_is_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x: Any) -> Any:
        return gnp.exp(gnp.reshape(x @ x, (-1,)))

    exe = gw.compile(gw.trace(f, gw.spec("float32", (4, 4))), backend="numpy")
    (want,) = exe.execute([numbers(4, 4)])
    monkeypatch.delattr("graphwright.backends.plan.written")
    seen: list[Reading] = []
    with exe.observe(seen.append):
        (y,) = exe.execute([numbers(4, 4)])
    assert len(seen) == len(exe.plan_for().steps)
    assert y.tolist() == want.tolist() == seen[-1].array.reshape(-1).tolist()


def test_an_observed_run_that_fails_shows_each_step_once() -> None:
    def f(x: Any, i: Any) -> Any:
        return gnp.take(gnp.exp(x), i)

    graph = gw.trace(f, gw.spec("float32", ("n",)), gw.spec("int64", (2,)))
    exe = gw.compile(graph, backend="numpy")
    seen: list[Reading] = []
    with exe.observe(seen.append), pytest.raises(gw.IndexBoundsError, match="take"):
        exe.execute([numbers(3), np.array([0, 3])])
    steps = [r.node for r in seen]
    assert len(steps) == len(set(map(id, steps)))
    assert "exp" in [node.op.name for node in steps]


def test_profile_and_costs_name_the_source() -> None:
    exe = gw.compile(graph_of(lambda b, x: b.dot(x, x), 4, 4), backend="numpy")
    (row,) = exe.profile([numbers(4, 4)])
    (same,) = exe.profile({exe.input_names[0]: numbers(4, 4)})
    assert row.op == same.op == "dot"
    with pytest.raises(gw.FeedError, match="nothing"):
        exe.profile({"nothing": numbers(4, 4)})
    assert "first" in row.source
    assert exe.cost_analysis()["flops"] == 128
    assert exe.memory_analysis() == {"constants": 0, "peak": 64}


@pytest.mark.parametrize("backend", ["numpy", "opencl"])
def test_runs_for_which_there_is_no_memory(backend: str) -> None:
    if reason := get_backend(backend).unavailable():
        pytest.skip(reason)
    graph = gw.trace(lambda x: gnp.exp(x) + x, gw.spec("float32", ("n",)))
    exe = gw.compile(graph, backend=backend, max_bytes=1 << 62)
    address_space = np.broadcast_to(np.float32(0), (1 << 48,))
    with pytest.raises(gw.DeviceMemoryError, match=r"bytes, and the host has [\d,]+"):
        exe(address_space)
    assert exe(numbers(1)).tolist() == [1.0]


def test_errors_of_a_run_name_the_source() -> None:
    b = Builder("take")
    x = b.input("x", TensorType(dt.float32, (3,)))
    i = b.input("i", TensorType(dt.int64, (1,)))
    b.source = Source("Gather", "picks")
    exe = gw.compile(b.finish([b.gather(x, i, 0)]), backend="numpy")
    with pytest.raises(gw.IndexBoundsError, match=r"Gather 'picks'.*index 3"):
        exe(numbers(3), np.array([3]))


def test_a_backend_that_is_not_there() -> None:
    with pytest.raises(gw.BackendUnavailable, match="nothing"):
        gw.compile(graph_of(add_one, 1), backend="nothing")


def test_inputs_of_any_kind() -> None:
    exe = gw.compile(graph_of(add_one, 2), backend="numpy")
    want = [2.0, 3.0]
    assert exe([1, 2]).tolist() == want
    assert exe(exe([0, 1])).tolist() == want
    view = memoryview(bytes(np.array([1, 2], np.float32).data)).cast("f")
    assert exe(view).tolist() == want
    assert np.from_dlpack(exe([1, 2])).tolist() == want


@pytest.mark.peers
def test_tensors_of_torch_cross_without_a_copy() -> None:
    torch = pytest.importorskip("torch", reason="needs torch, in the `peers` extra")
    exe = gw.compile(graph_of(add_one, 2), backend="numpy")
    x = torch.tensor([1.0, 2.0])
    assert torch.from_dlpack(exe(x)).tolist() == [2.0, 3.0]


def test_fast_math_and_strict_float_reach_passes_and_kernels() -> None:
    b = Builder("zeros")
    x = b.input("x", TensorType(dt.float32, (2,)))
    graph = b.finish([b.mul(x, 0)])
    feed = {"x": np.array([np.inf, 1], np.float32)}
    by_default = gw.compile(graph, backend="numpy").run(None, feed)[0]
    assert np.isnan(by_default[0])
    fast = gw.compile(graph, backend="numpy", fast_math=True)
    np.testing.assert_array_equal(fast.run(None, feed)[0], [0, 0])
    with pytest.raises(gw.ModelError, match="exclude each other"):
        gw.compile(graph, backend="numpy", fast_math=True, strict_float=True)


@pytest.mark.parametrize("backend", ["numpy", "opencl"])
def test_no_winograd_under_strict_float(backend: str) -> None:
    if reason := get_backend(backend).unavailable():
        pytest.skip(reason)
    b = Builder("conv")
    rng = np.random.default_rng(0)
    x = b.input("x", TensorType(dt.float32, (1, 64, 56, 56)))
    k = b.constant(rng.standard_normal((64, 64, 3, 3), np.float32))
    ones, none = (1, 1), ((1, 1), (1, 1))
    fields = {"strides": ones, "lhs_dilation": ones, "rhs_dilation": ones}
    graph = b.finish([b.emit("conv", x, k, padding=none, groups=1, **fields)])
    feed = {"x": rng.standard_normal((1, 64, 56, 56), np.float32)}
    wanted = evaluate(graph, [feed["x"].astype(np.float32)])[0]
    errors = [
        np.abs(
            gw.compile(graph, backend=backend, strict_float=strict).run(None, feed)[0]
            - wanted
        )
        for strict in (False, True)
    ]
    assert errors[1].max() < errors[0].max() / 2


@pytest.mark.parametrize("name", ["numpy", "opencl"])
def test_sizes_that_a_run_finds_out_are_checked(name: str) -> None:
    reason = get_backend(name).unavailable()
    if reason is not None:
        pytest.skip(reason)
    b = Builder("late")
    x = b.input("x", TensorType(dt.float32, (6,)))
    sizes = b.input("sizes", TensorType(dt.int64, (2,)))
    first, second = b.bind_dims(sizes)
    part = b.slice(x, [0], [first + second], [1])
    graph = b.finish([b.add(b.reshape(part, (4,)), b.full((4,), 1.0, dt.float32))])
    exe = gw.compile(graph, backend=name)
    x_ = np.arange(6, dtype=np.float32)
    for row in ([1, 3], [4, 0]):
        assert np.array_equal(np.asarray(exe(x_, np.array(row))), x_[:4] + 1)
    for row in ([1, 2], [0, 5]):
        with pytest.raises(gw.ShapeError, match="== 4"):
            exe(x_, np.array(row))


@pytest.mark.parametrize("name", ["numpy", "opencl"])
def test_results_of_such_sizes_are_their_own_in_all_threads(name: str) -> None:
    reason = get_backend(name).unavailable()
    if reason is not None:
        pytest.skip(reason)
    b = Builder("chosen")
    x = b.input("x", TensorType(dt.float32, (9, 700)))
    keep = b.input("keep", TensorType(dt.bool_, (9,)))
    at = b.squeeze(b.emit("nonzero", keep, count=b.fresh_symbol()), [0])
    exe = gw.compile(b.finish([b.mul(b.gather(x, at, 0), 2.0)]), backend=name)
    found = list[tuple[Any, Any]]()

    def run(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for count in [0, 2, 2, 5, 2, 9, 2, 5, 2, 5]:
            rows = numbers(9, 700) * seed
            chosen = rng.permutation(9) < count
            found.append((exe(rows, chosen), rows[chosen] * 2))

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 40
    assert all(np.array_equal(np.asarray(got), want) for got, want in found)


def test_plans_are_made_without_cyclic_collection() -> None:
    def chain(b: Builder, x: Value) -> Value:
        for number in range(400):
            x = b.transpose(b.add(x, number), (1, 0))
        return x

    exe = gw.compile(graph_of(chain, N, 4), backend="numpy", optimize=False)
    seen: list[str] = []

    def note(phase: str, _: object) -> None:
        seen.append(phase)

    gc.callbacks.append(note)
    try:
        exe.plan_for(n=3)
    finally:
        gc.callbacks.remove(note)
    assert seen.count("start") <= 1  # once it is on again
    assert gc.isenabled()
