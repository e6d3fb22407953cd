"""Divisions that join sums over windows, and those which may not."""

from typing import Any

import numpy as np
import pytest

import graphwright as gw
from graphwright.ir.dtype import float32, float64
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.ops.fused import Fused
from graphwright.ir.types import TensorType
from graphwright.passes.cleanup import remove_dead
from graphwright.passes.fuse_mean import fuse_means

RNG = np.random.default_rng(0)
SHAPE = (2, 48, 30, 29)
"""Large enough that what is repeated to it is not folded."""


def mean(counts: Any, *, kind: str = "sum", shared: bool = False) -> Graph:
    """Windows of 3 by 2, divided by numbers."""
    b = gw.Builder("mean")
    x = b.input("x", TensorType(float32, SHAPE))
    pads: Any = ((1, 1), (0, 1))
    fields: Any = {"window": (3, 2), "strides": (2, 1), "dilations": (1, 1)}
    total = b.emit("reduce_window", x, kind=kind, padding=pads, **fields)
    divisor = b.broadcast_to(b.constant(np.float32(counts)), total.shape)
    y = b.div(total, divisor)
    return b.finish([y, total] if shared else [y], ["y", "total"][: 1 + shared])


COUNTS = RNG.integers(1, 7, (1, 1, 15, 29))


@pytest.mark.parametrize("counts", [6, COUNTS, COUNTS[:, :, :1], COUNTS[..., :1]])
def test_a_division_joins_the_sum(counts: Any) -> None:
    graph = mean(counts)
    after = remove_dead(fuse_means(graph))
    names = [n.op.name for n in after.nodes if n.op.name != "broadcast_to"]
    assert names == ["fused"]
    x = RNG.standard_normal(SHAPE, dtype=np.float32)
    (wanted,) = evaluate(graph, [x])
    np.testing.assert_array_equal(evaluate(after, [x])[0], wanted)
    executable = gw.compile(graph, backend="numpy", strict=True)
    (step,) = executable.plan_for().steps
    assert isinstance(step.node.op, Fused)
    assert step.into is not None
    (got,) = executable.run(None, {"x": x})
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "graph",
    [
        mean(RNG.integers(1, 7, (1, 48, 1, 1))),
        mean(RNG.integers(1, 7, (2, 1, 1, 1))),
        mean(6, kind="max"),
        mean(6, shared=True),
    ],
    ids=["by channel", "by image", "maximum", "sum is read"],
)
def test_other_divisions_stay(graph: Graph) -> None:
    assert fuse_means(graph) is graph


def test_a_divisor_that_a_run_gives_stays() -> None:
    b = gw.Builder("given")
    x = b.input("x", TensorType(float64, SHAPE))
    fields: Any = {"window": (3, 2), "strides": (1, 1), "dilations": (1, 1)}
    pads: Any = ((1, 1), (0, 1))
    total = b.emit("reduce_window", x, kind="sum", padding=pads, **fields)
    y = b.div(total, b.input("n", TensorType(float64, total.tensor.dims)))
    graph = b.finish([y], ["y"])
    assert fuse_means(graph) is graph
