"""Views that join attention: what the plan runs, and that it computes the same."""

from typing import Any

import numpy as np
import pytest

import graphwright as gw
from graphwright.ir.dtype import float32
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.ops.fused import Fused
from graphwright.ir.types import TensorType
from graphwright.passes.cleanup import remove_dead
from graphwright.passes.fuse_views import fuse_views

NAMES = frozenset({"attention"})


def heads(last: str = "reshape", **fields: Any) -> Graph:
    """Attention of four heads between matrices, as exporters spell it."""
    b = gw.Builder("heads")
    matrices = [b.input(name, TensorType(float32, (6, 32))) for name in "qkv"]
    split = [b.reshape(x, (2, 3, 4, 8)) for x in matrices]
    turned = [b.transpose(x, (0, 2, 1, 3)) for x in split]
    y = b.emit("attention", *turned, scale=0.25, **fields)
    y = b.transpose(y, (0, 2, 1, 3))
    y = b.reshape(y, (6, 32)) if last == "reshape" else y
    return b.finish([y], ["y"])


def feeds(graph: Graph) -> list[Any]:
    rng = np.random.default_rng(0)
    shapes: list[Any] = [v.shape for v in graph.inputs]
    return [rng.standard_normal(s, dtype=np.float32) for s in shapes]


@pytest.mark.parametrize("last", ["reshape", "transpose"])
def test_views_join_on_both_sides(last: str) -> None:
    graph = heads(last)
    after = remove_dead(fuse_views(graph, NAMES))
    (node,) = after.nodes
    assert isinstance(node.op, Fused)
    assert node.operands == graph.inputs
    inputs = feeds(graph)
    (wanted,), (got,) = evaluate(graph, inputs), evaluate(after, inputs)
    np.testing.assert_array_equal(got, wanted)


def test_views_that_others_read_stay() -> None:
    b = gw.Builder("shared")
    x = b.input("x", TensorType(float32, (1, 3, 2, 4)))
    turned = b.transpose(x, (0, 2, 1, 3))
    y = b.emit("attention", turned, turned, turned, scale=1.0)
    back = b.transpose(y, (0, 2, 1, 3))
    graph = b.finish([back, y, turned], ["back", "y", "turned"])
    after = remove_dead(fuse_views(graph, NAMES))
    assert [n.op.name for n in after.nodes] == ["transpose", "fused", "transpose"]
    for got, wanted in zip(
        evaluate(after, feeds(graph)), evaluate(graph, feeds(graph)), strict=True
    ):
        np.testing.assert_array_equal(got, wanted)


def test_no_transposition_joins_behind_a_reshape() -> None:
    graph = heads()
    b = gw.Builder.extending(graph)
    turned = b.transpose(graph.outputs[0], (1, 0))
    after = remove_dead(fuse_views(b.finish([turned], ["y"]), NAMES))
    assert after.nodes[-1].op.name == "transpose"


def thirds(kind: str) -> Graph:
    """Attention of slices of one product, as vision transformers have it."""
    b = gw.Builder("thirds")
    x = b.input("x", TensorType(float32, (2, 5, 48)))
    if kind == "unbind":
        split = b.transpose(b.reshape(x, (2, 5, 3, 4, 4)), (2, 0, 3, 1, 4))
        parts = [b.squeeze(b.slice_axis(split, 0, i, i + 1), [0]) for i in range(3)]
    else:
        slices = b.split(x, [16, 16, 16], 2)
        parts = [b.transpose(b.reshape(s, (2, 5, 4, 4)), (0, 2, 1, 3)) for s in slices]
    y = b.transpose(b.emit("attention", *parts, scale=0.5), (0, 2, 1, 3))
    return b.finish([b.reshape(y, (2, 5, 16))], ["y"])


@pytest.mark.parametrize("kind", ["unbind", "chunk"])
def test_slices_join_and_follow_what_they_show(kind: str) -> None:
    graph = thirds(kind)
    exe = gw.compile(graph, backend="numpy")
    assert [n.op.name for n in exe.program.graph.nodes] == ["fused"]
    for inputs in (feeds(graph), [2 * x for x in feeds(graph)]):
        (wanted,), (got,) = evaluate(graph, inputs), exe.run(None, {"x": inputs[0]})
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_reshapes_that_join_strided_axes_stay_outside() -> None:
    b = gw.Builder("joined")
    x = b.input("x", TensorType(float32, (2, 3, 4, 8)))
    part = b.slice_axis(x, 3, 0, 4)
    joined = b.reshape(part, (1, 2, 12, 4))
    y = b.emit("attention", joined, joined, joined, scale=1.0)
    after = remove_dead(fuse_views(b.finish([y], ["y"]), NAMES))
    assert [n.op.name for n in after.nodes] == ["slice", "fused"]


def test_nothing_changes_without_views() -> None:
    b = gw.Builder("plain")
    x = b.input("x", TensorType(float32, (1, 2, 3, 4)))
    graph = b.finish([b.emit("attention", x, x, x, scale=1.0)], ["y"])
    assert fuse_views(graph, NAMES) is graph


@pytest.mark.parametrize(
    "fields", [{}, {"causal": True}, {"left": 1}, {"left": 0, "right": 1}]
)
def test_the_numpy_backend_runs_the_region(fields: dict[str, Any]) -> None:
    graph = heads(**fields)
    exe = gw.compile(graph, backend="numpy")
    steps = [n.op for n in exe.program.graph.nodes]
    assert [op.kind for op in steps if isinstance(op, Fused)] == ["attention"]
    assert len(steps) == 1
    inputs = feeds(graph)
    (wanted,) = evaluate(graph, inputs)
    for _ in range(2):
        (got,) = exe.run(None, dict(zip("qkv", inputs, strict=True)))
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
