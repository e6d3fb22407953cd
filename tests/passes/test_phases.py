"""Convolutions of operands with gaps: the same without the gaps."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphwright.ir.builder import Builder
from graphwright.ir.dim import Dim, symbol
from graphwright.ir.dtype import float64
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.ops.linalg import Conv
from graphwright.ir.ops.movement import Concat
from graphwright.ir.types import TensorType
from graphwright.ir.verify import verify
from graphwright.passes.phases import in_phases

RNG = np.random.default_rng(0)


def graph_of(x: tuple[Dim, ...], w: tuple[int, ...], **fields: Any) -> Graph:
    n = len(w) - 2
    ones = (1,) * n
    plain: dict[str, Any] = {"strides": ones, "rhs_dilation": ones}
    b = Builder("gaps")
    operand = b.input("x", TensorType(float64, x))
    weights = b.input("w", TensorType(float64, w))
    op = Conv(**{**plain, **fields})
    return b.finish(b.apply(op, (operand, weights)), ["y"])


def convs(graph: Graph) -> list[Conv]:
    return [node.op for node in graph.nodes if isinstance(node.op, Conv)]


def agree(graph: Graph, x: Any, w: Any) -> Graph:
    changed = in_phases(graph)
    verify(changed)
    (want,), (got,) = evaluate(graph, [x, w]), evaluate(changed, [x, w])
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
    return changed


@st.composite
def cases(draw: st.DrawFn) -> tuple[Graph, Any, Any]:
    def number(low: int, high: int) -> int:
        return draw(st.integers(low, high))

    n, groups = number(1, 3), number(1, 2)
    sizes, kernel = [number(1, 5) for _ in range(n)], [number(1, 5) for _ in range(n)]
    gaps = [number(1, 3) for _ in range(n)]
    padding: list[tuple[int, int]] = []
    for size, k, gap in zip(sizes, kernel, gaps, strict=True):
        spread = (size - 1) * gap + 1
        low = number(-spread, 5)
        high = number(max(k - spread - low, -spread), 6 + max(k - spread - low, 0))
        padding.append((low, high))
    x = number(1, 2), groups * number(1, 2), *sizes
    w = groups * number(1, 3), x[1] // groups, *kernel
    fields = {"padding": tuple(padding), "lhs_dilation": tuple(gaps), "groups": groups}
    return graph_of(x, w, **fields), RNG.standard_normal(x), RNG.standard_normal(w)


@given(cases())
def test_any_gaps_kernels_and_borders(case: tuple[Graph, Any, Any]) -> None:
    changed = agree(*case)
    assert all(set(op.lhs_dilation) == {1} for op in convs(changed))


def test_sizes_that_a_run_finds() -> None:
    shape = (symbol("n"), 2, symbol("h"), 4)
    fields = {"padding": ((1, 2), (2, 1)), "lhs_dilation": (2, 3)}
    graph = graph_of(shape, (3, 2, 3, 4), **fields)
    for n, h in ((1, 1), (2, 5), (2, 0)):
        x, w = RNG.standard_normal((n, 2, h, 4)), RNG.standard_normal((3, 2, 3, 4))
        assert convs(agree(graph, x, w))


def test_no_tap_is_multiplied_in_vain() -> None:
    """So that what is infinite does not become NaN, and nothing costs more."""
    graph = graph_of((1, 1, 3), (1, 1, 3), padding=((2, 2),), lhs_dilation=(2,))
    x, w = np.array([[[1.0, np.inf, 2.0]]]), np.ones((1, 1, 3))
    (want,), (got,) = evaluate(graph, [x, w]), evaluate(in_phases(graph), [x, w])
    np.testing.assert_array_equal(got, want)


def test_phases_without_a_tap_are_zeros() -> None:
    graph = graph_of((1, 1, 3), (1, 1, 1), padding=((0, 0),), lhs_dilation=(4,))
    agree(graph, RNG.standard_normal((1, 1, 3)), np.ones((1, 1, 1)))


def test_constant_filters_are_cut_at_once() -> None:
    b = Builder("constant")
    x = b.input("x", TensorType(float64, (1, 2, 4, 4)))
    w = b.constant(RNG.standard_normal((3, 2, 4, 4)))
    one, two = (1, 1), (2, 2)
    op = Conv(strides=one, padding=(two, two), lhs_dilation=two, rhs_dilation=one)
    graph = in_phases(b.finish(b.apply(op, (x, w))))
    (conv,) = (node for node in graph.nodes if isinstance(node.op, Conv))
    assert conv.operands[1] in graph.constants
    assert conv.operands[1].shape == (12, 2, 2, 2)


def test_phases_of_many_constant_taps_are_beside_one_another() -> None:
    b = Builder("large")
    x = b.input("x", TensorType(float64, (1, 32, 4, 4)))
    w = b.constant(RNG.standard_normal((33, 32, 3, 3)))
    one, gaps, sides = (1, 1), (2, 2), ((1, 2), (1, 2))
    op = Conv(strides=one, padding=sides, lhs_dilation=gaps, rhs_dilation=one)
    graph = in_phases(b.finish(b.apply(op, (x, w))))
    filters = [node.operands[1] for node in graph.nodes if isinstance(node.op, Conv)]
    assert [k.shape[2:] for k in filters] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert all(k in graph.constants for k in filters)
    (joined,) = (node.op for node in graph.nodes if isinstance(node.op, Concat))
    assert joined.axis == 1


@pytest.mark.parametrize(
    "more",
    [
        {"lhs_dilation": (1,)},
        {"lhs_dilation": (2,), "strides": (2,)},
        {"lhs_dilation": (2,), "rhs_dilation": (2,)},
        {"lhs_dilation": (2,), "batch_groups": 2},
    ],
)
def test_others_stay(more: dict[str, Any]) -> None:
    graph = graph_of((2, 2, 6), (2, 2, 3), padding=((2, 2),), **more)
    assert in_phases(graph) is graph
