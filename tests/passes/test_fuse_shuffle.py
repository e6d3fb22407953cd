"""Channel shuffles that join a pointwise convolution, and those which may not."""

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
from graphwright.passes.fuse import fuse_epilogues
from graphwright.passes.fuse_shuffle import fuse_shuffles
from graphwright.passes.layout import channels_last

RNG = np.random.default_rng(0)


def shuffled(
    *, kernel: int = 1, parts: int = 3, perm: Any = (0, 2, 1, 3, 4), more: str = ""
) -> Graph:
    """A grouped convolution with ReLU whose channels a reshape pair interleaves."""
    b = gw.Builder("shuffle")
    x = b.input("x", TensorType(float32, (2, 6, 4, 5)))
    weights = RNG.standard_normal((12, 2, kernel, kernel), dtype=np.float32)
    pad = kernel // 2
    y = b.emit(
        "conv",
        x,
        b.constant(weights),
        strides=(1, 1),
        padding=((pad, pad), (pad, pad)),
        lhs_dilation=(1, 1),
        rhs_dilation=(1, 1),
        groups=3,
    )
    y = b.max(y, 0)
    cut = b.reshape(y, (2, parts, 12 // parts, 4, 5))
    z = b.reshape(b.transpose(cut, perm), (2, 12, 4, 5))
    ends = {"": [z], "cut": [z, cut], "whole": [z, y]}[more]
    return b.finish(ends, [f"y{i}" for i in range(len(ends))])


def lowered(graph: Graph) -> Graph:
    last = remove_dead(channels_last(graph))
    return remove_dead(fuse_shuffles(remove_dead(fuse_epilogues(last))))


def agree(graph: Graph, other: Graph) -> None:
    x = RNG.standard_normal((2, 6, 4, 5), dtype=np.float32)
    for got, wanted in zip(evaluate(other, [x]), evaluate(graph, [x]), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_a_shuffle_joins_the_convolution(parts: int) -> None:
    graph = shuffled(parts=parts)
    after = lowered(graph)
    names = [n.op.name for n in after.nodes]
    assert names == ["transpose", "fused", "transpose"]
    assert isinstance(after.nodes[1].op, Fused)
    assert after.nodes[1].op.body.nodes[-1].op.name == "reshape"
    agree(graph, after)
    executable = gw.compile(graph, backend="numpy", strict=True)
    x = RNG.standard_normal((2, 6, 4, 5), dtype=np.float32)
    (got,) = executable.run(None, {"x": x})
    np.testing.assert_allclose(got, evaluate(graph, [x])[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [{"kernel": 3}, {"more": "cut"}, {"more": "whole"}],
    ids=["windows", "cut is read", "whole is read"],
)
def test_what_others_read_or_windows_reach_stays(options: Any) -> None:
    graph = shuffled(**options)
    after = lowered(graph)
    assert "reshape" in [n.op.name for n in after.nodes]
    agree(graph, after)


def test_graphs_without_regions_are_the_same_object() -> None:
    graph = shuffled()
    assert fuse_shuffles(graph) is graph
