"""Layout assignment: channels last inside, the given order at the borders."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType
from graphwright.ir.verify import verify
from graphwright.passes.cleanup import remove_dead
from graphwright.passes.layout import channels_last, sink_reshapes

RNG = np.random.default_rng(0)


def conv(b: Builder, x: Value, filters: int, kernel: int = 3, groups: int = 1) -> Value:
    channels = x.tensor.dims[1]
    assert isinstance(channels, int)
    shape = (filters, channels // groups, kernel, kernel)
    weights = b.constant(RNG.standard_normal(shape, dtype=np.float32))
    pad = kernel // 2
    return b.emit(
        "conv",
        x,
        weights,
        strides=(1, 1),
        padding=((pad, pad), (pad, pad)),
        lhs_dilation=(1, 1),
        rhs_dilation=(1, 1),
        groups=groups,
    )


def bias(b: Builder, x: Value) -> Value:
    column = RNG.standard_normal((x.tensor.dims[1], 1, 1), dtype=np.float32)  # type: ignore[arg-type]
    return b.add(x, b.constant(column))


def pool(b: Builder, x: Value, window: tuple[int, ...]) -> Value:
    ones, none = (1,) * len(window), ((0, 0),) * len(window)
    fields: Any = {"strides": ones, "dilations": ones, "padding": none}
    return b.emit("reduce_window", x, kind="max", window=window, **fields)


def residual(b: Builder, x: Value) -> Value:
    first = b.max(bias(b, conv(b, x, 8)), 0)
    return b.max(b.add(bias(b, conv(b, first, 8)), first), 0)


def branches(b: Builder, x: Value) -> Value:
    first = conv(b, x, 8)
    return b.concat([conv(b, first, 4), pool(b, first, (1, 1)), bias(b, first)], 1)


def pooled(b: Builder, x: Value) -> Value:
    return pool(b, pool(b, conv(b, x, 8), (2, 2)), (3, 1, 1))


def shuffled(b: Builder, x: Value) -> Value:
    y = conv(b, x, 8)
    n, c, *plane = y.shape
    parts = b.transpose(b.reshape(y, (n, 2, 4, *plane)), (0, 2, 1, 3, 4))
    return conv(b, b.reshape(parts, (n, c, *plane)), 8, groups=2)


def padded_and_cut(b: Builder, x: Value) -> Value:
    y = b.pad(conv(b, x, 8), [0, 1, 2, 0], [0, 0, 1, 3])
    return b.slice(y, [0, 2, 1, 0], [1, 5, 6, 7], [1, 1, 1, 1])


def classified(b: Builder, x: Value) -> Value:
    mean = b.mean(conv(b, x, 8), (2, 3), keepdims=True)
    return b.reshape(mean, (1, 8))


def tokens(b: Builder, x: Value) -> Value:
    y = conv(b, x, 8)
    return b.transpose(b.reshape(y, (1, 8, 36)), (0, 2, 1))


CASES = (
    residual,
    branches,
    pooled,
    shuffled,
    padded_and_cut,
    classified,
    tokens,
)


def graph_of(make: Any, *shape: int) -> Graph:
    b = Builder("test")
    x = b.input("x", TensorType(dt.float32, shape))
    return remove_dead(b.finish([make(b, x)], ["y"]))


def kinds(graph: Graph) -> Counter[str]:
    return Counter(node.op.name for node in graph.nodes)


@pytest.mark.parametrize("make", CASES)
def test_results_stay(make: Any) -> None:
    graph = graph_of(make, 1, 3, 6, 6)
    changed = remove_dead(channels_last(graph))
    verify(changed)
    x = RNG.standard_normal((1, 3, 6, 6), dtype=np.float32)
    (want,), (got,) = evaluate(graph, [x]), evaluate(changed, [x])
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "count"),
    [(residual, 2), (branches, 2), (pooled, 2), (classified, 1), (tokens, 1)],
)
def test_transpositions_stay_at_the_borders(make: Any, count: int) -> None:
    changed = remove_dead(channels_last(graph_of(make, 1, 3, 6, 6)))
    assert kinds(changed)["transpose"] == count
    assert kinds(changed)["conv"] == 0


def test_without_constant_weights_nothing_changes() -> None:
    b = Builder("test")
    x = b.input("x", TensorType(dt.float32, (1, 3, 6, 6)))
    w = b.input("w", TensorType(dt.float32, (4, 3, 1, 1)))
    ones, none = (1, 1), ((0, 0), (0, 0))
    fields: Any = {"lhs_dilation": ones, "rhs_dilation": ones, "padding": none}
    graph = b.finish([b.emit("conv", x, w, strides=ones, **fields)])
    assert channels_last(graph) is graph


def test_reshapes_sink_behind_bias_and_residual() -> None:
    b = Builder("test")
    x = b.input("x", TensorType(dt.float32, (1, 6, 8)))
    weights = b.constant(RNG.standard_normal((8, 8), dtype=np.float32))
    y = b.reshape(b.dot(b.reshape(x, (6, 8)), weights), (1, 6, 8))
    y = b.add(b.add(y, b.constant(np.ones(8, np.float32))), x)
    graph = b.finish([y])
    changed = remove_dead(sink_reshapes(graph))
    verify(changed)
    assert [n.op.name for n in changed.nodes][-1] == "reshape"
    given = RNG.standard_normal((1, 6, 8), dtype=np.float32)
    (want,), (got,) = evaluate(graph, [given]), evaluate(changed, [given])
    np.testing.assert_array_equal(got, want)
