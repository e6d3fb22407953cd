"""Channel shuffles that pass depthwise convolutions, and those which may not."""

from typing import Any

import numpy as np
import pytest

import graphwright as gw
from graphwright.ir.dtype import float32
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType
from graphwright.passes.cleanup import remove_dead
from graphwright.passes.layout import channels_last
from graphwright.passes.sink_shuffle import sink_shuffles

RNG = np.random.default_rng(0)


def _conv(b: gw.Builder, x: Value, weights: Any, groups: int) -> Value:
    pad = weights.shape[-1] // 2
    return b.emit(
        "conv",
        x,
        b.constant(weights),
        strides=(1, 1),
        padding=((pad, pad), (pad, pad)),
        lhs_dilation=(1, 1),
        rhs_dilation=(1, 1),
        groups=groups,
    )


def shuffled(*, groups: int = 12, parts: int = 3, more: str = "") -> Graph:
    """Shuffled channels, a convolution in groups, a bias for each channel, a clamp."""
    b = gw.Builder("shuffle")
    first = b.input("x", TensorType(float32, (2, 12, 4, 5)))
    x = _conv(b, first, RNG.standard_normal((12, 12, 1, 1), dtype=np.float32), 1)
    cut = b.reshape(x, (2, parts, 12 // parts, 4, 5))
    s = b.reshape(b.transpose(cut, (0, 2, 1, 3, 4)), (2, 12, 4, 5))
    weights = RNG.standard_normal((12, 12 // groups, 3, 3), dtype=np.float32)
    y = _conv(b, s, weights, groups)
    bias = b.constant(RNG.standard_normal((12, 1, 1), dtype=np.float32))
    y = b.max(b.add(y, b.broadcast_to(bias, (2, 12, 4, 5))), 0)
    if more == "residual":
        y = b.add(y, x)
    ends = [y, s] if more == "read again" else [y]
    return b.finish(ends, [f"y{i}" for i in range(len(ends))])


def lowered(graph: Graph) -> Graph:
    return remove_dead(sink_shuffles(remove_dead(channels_last(graph))))


def agree(graph: Graph, other: Graph) -> None:
    x = RNG.standard_normal((2, 12, 4, 5), dtype=np.float32)
    for got, wanted in zip(evaluate(other, [x]), evaluate(graph, [x]), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_a_shuffle_passes_what_works_on_each_channel(parts: int) -> None:
    graph = shuffled(parts=parts)
    after = lowered(graph)
    names = [n.op.name for n in after.nodes if n.op.name != "broadcast_to"]
    ends = ["reshape", "transpose", "reshape", "transpose"]
    start = ["transpose", "fused"]
    assert names == [*start, "fused", "add", "max", *ends]
    agree(graph, after)


def test_a_shuffle_stops_at_what_mixes_channels() -> None:
    graph = shuffled(groups=3)
    after = lowered(graph)
    names = [n.op.name for n in after.nodes]
    assert names.index("reshape") < names.index("add")
    agree(graph, after)


def test_a_shuffle_stops_at_what_is_not_shuffled() -> None:
    graph = shuffled(more="residual")
    after = lowered(graph)
    names = [n.op.name for n in after.nodes]
    assert names.index("max") < names.index("reshape")
    agree(graph, after)


def test_a_shuffle_that_others_read_stays() -> None:
    graph = shuffled(more="read again")
    after = lowered(graph)
    names = [n.op.name for n in after.nodes]
    assert names.index("reshape") < names.index("add")
    agree(graph, after)


def test_graphs_without_regions_are_the_same_object() -> None:
    graph = shuffled()
    assert sink_shuffles(graph) is graph
