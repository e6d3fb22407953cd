"""The reference evaluator: binding of symbols, feeds and guards."""

from typing import Any

import numpy as np
import pytest

from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.dim import Dim, symbol
from graphwright.ir.errors import FeedError, ShapeError
from graphwright.ir.evaluate import bind_inputs, evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.ops.host import Unique
from graphwright.ir.ops.index import Sort
from graphwright.ir.types import Guard, TensorType

N, M = symbol("n"), symbol("m")


def takes(*shapes: tuple[Dim, ...]) -> Graph:
    b = Builder("g")
    for i, shape in enumerate(shapes):
        b.input(f"x{i}", TensorType(dt.float32, shape))
    return b.finish([])


def bound(graph: Graph, *shapes: tuple[int, ...]) -> dict[str, int]:
    env: dict[str, int] = {}
    bind_inputs(graph, [np.zeros(shape, np.float32) for shape in shapes], env)
    return env


@pytest.mark.parametrize(
    ("wanted", "given", "env"),
    [
        ([(N, 3)], [(2, 3)], {"n": 2}),
        ([(2 * N + 1,)], [(7,)], {"n": 3}),
        ([(N * M,), (N,)], [(6,), (2,)], {"n": 2, "m": 3}),
        ([(N * M, N + M), (M,)], [(6, 5), (3,)], {"n": 2, "m": 3}),
        ([(N // 2,), (N,)], [(2,), (5,)], {"n": 5}),
        ([(N * N,), (N,)], [(9,), (3,)], {"n": 3}),
        (
            [(N * symbol("k"),), (M + symbol("k"),), (N, M)],
            [(8,), (7,), (2, 3)],
            {"n": 2, "m": 3, "k": 4},
        ),
    ],
)
def test_symbols_are_bound_in_whatever_order_they_can(
    wanted: list[Any], given: list[Any], env: dict[str, int]
) -> None:
    assert bound(takes(*wanted), *given) == env


@pytest.mark.parametrize(
    ("wanted", "given", "message"),
    [
        ([(N, 3)], [(2, 4)], "input 'x0' has size 4 on axis 1"),
        ([(N, 3)], [(2,)], "input 'x0' has 1 axes"),
        ([(N,), (N,)], [(2,), (3,)], "input 'x1' has size 3 on axis 0 where n = 2"),
        ([(2 * N,)], [(5,)], "which 2*n cannot be"),
        ([(symbol("n", 1),)], [(0,)], "which n[1:] cannot be"),
        ([(N * M,)], [(6,)], "m*n alone does not say what m, n is"),
        ([(N // 2,)], [(6,)], "n//2 alone does not say what n is"),
        ([(N * N,)], [(9,)], "n*n alone does not say what n is"),
        ([(N * M,), (N,)], [(5,), (2,)], "which m*n cannot be"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    wanted: list[Any], given: list[Any], message: str
) -> None:
    with pytest.raises(FeedError) as caught:
        bound(takes(*wanted), *given)
    assert message in str(caught.value)


def test_feeds_of_another_dtype_are_refused() -> None:
    with pytest.raises(FeedError, match="float64"):
        evaluate(takes((N,)), [np.zeros(2)])


def test_guards_are_checked_when_symbols_are_known() -> None:
    b = Builder("g")
    x = b.input("x", TensorType(dt.float32, (N,)))
    b.guard(Guard(N, "<=", 4, "the reason"))
    graph = b.finish([b.neg(x)])
    np.testing.assert_array_equal(
        evaluate(graph, [np.array([1, 2], np.float32)])[0], [-1, -2]
    )
    with pytest.raises(ShapeError, match="the reason"):
        evaluate(graph, [np.zeros(5, np.float32)])


def test_variables_keep_what_is_written() -> None:
    b = Builder("g")
    b.variables["w"] = b.known(b.constant(np.float32(1)))  # type: ignore[assignment]
    (token,) = b.emit_all("token")
    w, token = b.emit_all("read", token, variable="w", type=TensorType(dt.float32, ()))
    b.emit_all("write", token, b.add(w, w), variable="w")
    graph, state = b.finish([w]), dict[str, Any]()
    found = [float(evaluate(graph, [], state)[0]) for _ in range(3)]
    assert found == [1, 2, 4]


@pytest.mark.parametrize(
    ("size", "low", "high", "want"),
    [(0, 2, -1, [9]), (1, 2, -2, [9]), (1, -2, 3, [9, 9]), (3, -1, 1, [1, 2, 9])],
)
def test_borders_may_be_cut_where_nothing_is(
    size: int, low: int, high: int, want: list[int]
) -> None:
    b = Builder()
    x = b.input("x", TensorType(dt.int64, (size,)))
    graph = b.finish([b.pad(x, [low], [high], 9)])
    (found,) = evaluate(graph, [np.arange(size)])
    assert found.tolist() == want


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e5m2", "float64"])
def test_nan_is_sorted_as_the_largest_of_any_floats(name: str) -> None:
    x = np.array([1, np.nan, -2, 3, -1, 1], dt.dtype(name).numpy)
    found, order = Sort(axis=0).compute(np, x)
    assert order.tolist() == [2, 4, 0, 5, 3, 1]
    assert found[:5].tolist() == [-2, -1, 1, 1, 3]
    assert np.isnan(found[5])
    kept = Unique(axis=None, sorted=True, count=symbol("k")).compute(np, x)[0]
    assert kept[:4].tolist() == [-2, -1, 1, 3]
