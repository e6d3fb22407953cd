"""Loops whose turns are bound to memory at once: the same results as turn by turn."""

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

import graphwright as gw
from graphwright.backends import turns
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.backends.opencl.library import session
from graphwright.ir.builder import Builder
from graphwright.ir.dtype import bool_, float32, int64
from graphwright.ir.emitter import Value
from graphwright.ir.errors import IndexBoundsError
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType

MISSING = OpenCLBackend().unavailable()
LEADS = MISSING is None and session(0).persists
pytestmark = pytest.mark.skipif(
    not LEADS,
    reason=MISSING or "needs a device whose work-items are threads of this process",
)
RNG = np.random.default_rng(0)
STEPS, N = 9, 5
ROW, ROWS = TensorType(float32, (N,)), TensorType(float32, (STEPS, N))
X = RNG.standard_normal((STEPS, N), np.float32)
STATE = RNG.standard_normal((2, N), np.float32)


def scanned(*, reverse: bool = False, out_reverse: bool = False) -> Graph:
    """A state that is stacked too, one that is not, and items of their own."""
    b = Builder("scan")
    x, h, c, w = (
        b.input(n, t) for n, t in zip("xhcw", (ROWS, *[ROW] * 3), strict=True)
    )
    body = b.subgraph("step")
    state = [body.input(n, ROW) for n in "hc"]
    item, fixed = body.input("item", ROW), body.input("w", ROW)
    after = body.add(body.mul(state[0], fixed), item)
    other = body.sub(state[1], body.tanh(after))
    outputs = [after, other, after, body.mul(other, item)]
    results = b.emit_all(
        "scan",
        *(h, c, x, w),
        types=(ROW, ROW, ROWS, ROWS),
        body=body.finish(outputs),
        carried=2,
        scanned=1,
        in_axes=(0,),
        out_axes=(0, 0),
        reverse=(reverse,),
        out_reverse=(out_reverse, False),
    )
    return b.finish(results)


def counted(body: Any, trips: int = STEPS) -> Graph:
    """A loop of ``trips`` turns over a row, beside rows that do not change."""
    b = Builder("while")
    h, x = b.input("h", ROW), b.input("x", ROWS)
    inner = b.subgraph("step")
    turn, _ = (
        inner.input("i", TensorType(int64, ())),
        inner.input("going", TensorType(bool_, ())),
    )
    state, rows = inner.input("h", ROW), inner.input("x", ROWS)
    after = body(inner, turn, state, rows)
    going = inner.constant(np.array(True))
    results = b.emit_all(
        "while_loop",
        *(b.scalar(trips, int64), b.constant(np.array(True)), h, x),
        types=(ROW, TensorType(float32, (trips, N))),
        body=inner.finish([going, after, inner.neg(after)]),
        carried=1,
    )
    return b.finish(results)


def moved(b: Builder, turn: Value, state: Value, rows: Value) -> Value:
    """The next state by the row of this turn."""
    return b.add(b.mul(state, 0.5), b.gather(rows, turn, axis=0))


def compiled(graph: Graph) -> tuple[Any, bool]:
    """An executable, and whether its loop is bound at once."""
    exe = gw.compile(graph, backend="opencl", strict=True)
    steps = exe.plan_for().steps
    bound = [getattr(s.into and s.into.bind, "__self__", None) for s in steps]
    return exe, any(isinstance(x, turns.Turns) for x in bound)


def agree(graph: Graph, feeds: list[Any]) -> None:
    exe, at_once = compiled(graph)
    assert at_once
    for _ in range(3):  # memory is another one in each
        feeds = [x.copy() for x in feeds]
        found = exe(*feeds)
        for got, want in zip(found, evaluate(graph, feeds), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    strided = [np.repeat(x, 2, -1)[..., ::2] for x in feeds]
    assert np.array_equal(exe(*strided)[0], found[0])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("at_once", [1024, 3])
def test_a_scan(reverse: bool, at_once: int) -> None:
    with patch.object(turns, "_AT_ONCE", at_once):
        graph = scanned(reverse=reverse, out_reverse=not reverse)
        agree(graph, [X, *STATE, STATE[0]])


def test_a_loop_that_counts() -> None:
    agree(counted(moved), [STATE[0], X])


def test_one_turn_and_long_loops() -> None:
    def same(b: Builder, turn: Value, state: Value, rows: Value) -> Value:
        return b.add(b.mul(state, 0.5), b.reduce("max", rows, [0]))

    agree(counted(same), [STATE[0], X])
    with patch.object(turns, "_MOST", 8):
        assert not compiled(counted(same))[1]


def sums_of(state: TensorType, items: TensorType) -> Graph:
    """The last of the sums of a state and items, and all of them."""
    b = Builder("scan")
    h, x = b.input("h", state), b.input("x", items)
    body = b.subgraph("step")
    after = body.add(body.input("h", state), body.input("x", state))
    results = b.emit_all(
        "scan",
        *(h, x),
        types=(state, items),
        body=body.finish([after, after]),
        carried=1,
        scanned=1,
        in_axes=(0,),
        out_axes=(0,),
        reverse=(False,),
        out_reverse=(False,),
    )
    return b.finish(results)


def test_a_scan_of_single_numbers() -> None:
    """A row of what is stacked is a place in memory, too."""
    number, line = TensorType(float32, ()), TensorType(float32, (STEPS,))
    exe, at_once = compiled(sums_of(number, line))
    assert at_once
    last, sums = exe(np.float32(1), X[:, 0])
    np.testing.assert_allclose(np.asarray(sums), 1 + np.cumsum(X[:, 0]), rtol=1e-5)
    assert np.asarray(last) == np.asarray(sums)[-1]


def test_loops_over_no_elements() -> None:
    empty, lines = TensorType(float32, (0,)), TensorType(float32, (STEPS, 0))
    exe, _ = compiled(sums_of(empty, lines))
    last, rows = exe(np.zeros(0, np.float32), np.zeros((STEPS, 0), np.float32))
    assert (last.shape, rows.shape) == ((0,), (STEPS, 0))


def test_what_one_turn_asks_for_is_checked() -> None:
    exe, at_once = compiled(counted(moved, STEPS + 2))
    assert at_once
    with pytest.raises(IndexBoundsError):
        exe(STATE[0], X)


def test_a_state_that_is_handed_on_runs_turn_by_turn() -> None:
    b = Builder("scan")
    x, h, c = (b.input(n, t) for n, t in zip("xhc", (ROWS, ROW, ROW), strict=True))
    body = b.subgraph("step")
    first, second, item = (body.input(n, ROW) for n in ("h", "c", "x"))
    results = b.emit_all(
        "scan",
        *(h, c, x),
        types=(ROW, ROW),
        body=body.finish([body.add(second, item), first]),
        carried=2,
        scanned=1,
        in_axes=(0,),
        out_axes=(),
        reverse=(False,),
        out_reverse=(),
    )
    graph = b.finish(results)
    exe, at_once = compiled(graph)
    assert not at_once
    for got, want in zip(exe(X, *STATE), evaluate(graph, [X, *STATE]), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)
