"""Products of narrow floats in float32, and that they are the same."""

from typing import Any

import numpy as np
import pytest

from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.dtype import DType
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType
from graphwright.ir.verify import verify
from graphwright.passes.casts import held_in
from graphwright.passes.widen import WIDE_PRODUCTS

RNG = np.random.default_rng(8)


def product(x: DType, y: DType, to: DType | None = None) -> Graph:
    b = Builder("g")
    left = b.input("x", TensorType(x, (3, 4)))
    right = b.input("y", TensorType(y, (4, 5)))
    return b.finish([b.emit("dot", left, right, dtype=to)])


def drawn(graph: Graph) -> list[Any]:
    return [
        RNG.standard_normal(v.shape).astype(v.dtype.numpy)  # type: ignore[arg-type]
        for v in graph.inputs
    ]


@pytest.mark.parametrize("narrow", [dt.float16, dt.bfloat16])
@pytest.mark.parametrize("to", [None, dt.float32])
def test_products_of_narrow_floats_are_wide(narrow: DType, to: DType | None) -> None:
    graph = product(narrow, narrow, to)
    wide = WIDE_PRODUCTS(graph)
    verify(wide)
    (dot,) = (node for node in wide.nodes if node.op.name == "dot")
    assert {v.dtype for v in (*dot.operands, *dot.results)} == {dt.float32}
    assert wide.outputs[0].type == graph.outputs[0].type
    arrays = drawn(graph)
    (found,), (want,) = evaluate(wide, arrays), evaluate(graph, arrays)
    np.testing.assert_array_equal(found, want)
    assert WIDE_PRODUCTS(wide) is wide


def test_convolutions_too() -> None:
    b = Builder("g")
    x = b.input("x", TensorType(dt.float16, (1, 3, 6, 6)))
    k = b.input("k", TensorType(dt.float16, (4, 3, 3, 3)))
    ones, padding = (1, 1), ((1, 1), (1, 1))
    how = {"strides": ones, "lhs_dilation": ones, "rhs_dilation": ones}
    graph = b.finish([b.emit("conv", x, k, padding=padding, **how)])
    wide = WIDE_PRODUCTS(graph)
    assert [n.op.name for n in wide.nodes] == ["cast", "cast", "conv", "cast"]
    arrays = drawn(graph)
    (found,), (want,) = evaluate(wide, arrays), evaluate(graph, arrays)
    np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize(
    ("x", "y", "to"),
    [
        (dt.float32, dt.float32, None),
        (dt.float64, dt.float64, None),
        (dt.int8, dt.int8, dt.int32),
        (dt.float16, dt.float16, dt.float64),
    ],
)
def test_other_products_stay(x: DType, y: DType, to: DType | None) -> None:
    graph = product(x, y, to)
    assert WIDE_PRODUCTS(graph) is graph


def test_casts_tell_which_numbers_there_are() -> None:
    b = Builder("g")
    x = b.input("x", TensorType(dt.float32, (3, 4)))
    narrow = b.reshape(b.cast(b.cast(x, dt.bfloat16), dt.float32), (4, 3))
    other = b.cast(b.add(narrow, 1.0), dt.float64)
    graph = b.finish([narrow, other])
    assert held_in(narrow, graph.makers) is dt.bfloat16
    assert held_in(other, graph.makers) is dt.float32
    assert held_in(x, graph.makers) is dt.float32
