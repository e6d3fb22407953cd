"""Depthwise convolutions with pointwise ones around them, and what stays apart."""

from typing import Any

import numpy as np
import pytest

import graphwright as gw
from graphwright.backends.numpy.kernels import threads
from graphwright.ir.dtype import DType, float16, float32, float64
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.ops.fused import Fused
from graphwright.ir.types import TensorType
from graphwright.passes.cleanup import remove_dead
from graphwright.passes.fuse import fuse_epilogues
from graphwright.passes.fuse_separable import fuse_separable
from graphwright.passes.layout import channels_last

WIDE = 6


class Net:
    """A small network under construction."""

    def __init__(self, shape: tuple[int, ...], dtype: DType = float32) -> None:
        self.b, self.dtype = gw.Builder("net"), dtype
        self.x = self.b.input("x", TensorType(dtype, shape))
        self.rng = np.random.default_rng(0)

    def constant(self, *shape: int) -> Value:
        array = self.rng.standard_normal(shape).astype(self.dtype.numpy)
        return self.b.constant(array, self.dtype)

    def conv(self, x: Value, filters: int, kernel: int = 1, **fields: Any) -> Value:
        groups = fields.pop("groups", 1)
        pad = fields.pop("pad", kernel // 2)
        channels = x.shape[1]
        assert isinstance(channels, int)
        w = self.constant(filters, channels // groups, kernel, kernel)
        given = {"strides": (1, 1), "rhs_dilation": (1, 1), **fields}
        more = {"padding": ((pad, pad), (pad, pad)), "lhs_dilation": (1, 1)}
        return self.b.emit("conv", x, w, groups=groups, **more, **given)

    def end(self, x: Value, *, bias: bool = True, clip: bool = True) -> Value:
        """With a bias, and a clamp."""
        if bias:
            row = self.constant(1, int(str(x.shape[1])), 1, 1)
            x = self.b.add(x, row)
        return self.b.min(self.b.max(x, 0), 6) if clip else x

    def finish(self, *outputs: Value) -> Graph:
        return self.b.finish(outputs, [f"y{i}" for i in range(len(outputs))])


def block(
    *,
    shape: tuple[int, ...] = (1, 4, 9, 8),
    parts: str = "bma",
    residual: bool = False,
    read: str = "",
    dtype: DType = float32,
    bias: bool = True,
    repeat: int = 1,
    **fields: Any,
) -> Graph:
    """``after(middle(before(x)))``, some parts left out, and what is read besides."""
    net = Net(shape, dtype)
    y, outputs = net.x, list[Value]()
    if "b" in parts:
        y = net.end(net.conv(y, WIDE), bias=bias)
        outputs += [y] if "b" in read else []
    channels = int(str(y.shape[1]))
    given = {"groups": channels, "kernel": 3, **fields}
    y = net.end(net.conv(y, channels * repeat, **given), bias=bias)
    outputs += [y] if "m" in read else []
    if "a" in parts:
        y = net.end(net.conv(y, shape[1]), bias=bias, clip=False)
        y = net.b.add(y, net.x) if residual else y
    return net.finish(y, *outputs)


def lowered(graph: Graph) -> Graph:
    last = remove_dead(channels_last(graph))
    return remove_dead(fuse_separable(remove_dead(fuse_epilogues(last))))


def kinds(graph: Graph) -> list[str]:
    return [n.op.kind if isinstance(n.op, Fused) else n.op.name for n in graph.nodes]


def check(graph: Graph, tolerance: float = 1e-5) -> int:
    """The numpy backend gives what the graph means; how many regions have a kernel."""
    (x,) = graph.inputs
    shape: Any = x.shape
    fed = np.random.default_rng(1).standard_normal(shape).astype(x.dtype.numpy)
    exe = gw.compile(graph, backend="numpy", strict=True)
    for _ in range(2):  # the second run is bound
        found = exe.run(None, {"x": fed})
        for got, wanted in zip(found, evaluate(graph, [fed]), strict=True):
            assert got.dtype == wanted.dtype
            limit = tolerance * max(1.0, float(np.abs(wanted).max()))
            np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=limit)
    steps = [s for s in exe.plan_for().steps if s.into is not None]
    ops = [s.node.op for s in steps if isinstance(s.node.op, Fused)]
    return [op.kind for op in ops].count("separable")


@pytest.mark.parametrize("parts", ["bma", "bm", "ma"])
def test_pointwise_neighbours_join(parts: str) -> None:
    graph = block(parts=parts)
    after = lowered(graph)
    assert kinds(after) == ["transpose", "separable", "transpose"]
    op: Any = after.nodes[1].op
    assert [n.op.kind for n in op.body.nodes] == ["conv"] * len(parts)
    (x,) = graph.inputs
    shape: Any = x.shape
    fed = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    (got,), (wanted,) = evaluate(after, [fed]), evaluate(graph, [fed])
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)
    check(graph)


@pytest.mark.parametrize(
    "options",
    [
        {"residual": True},
        {"bias": False},
        {"shape": (3, 4, 9, 8), "residual": True},
        {"shape": (1, 4, 1, 2)},
        {"shape": (1, 4, 2, 31), "residual": True},
        {"shape": (1, 8, 80, 80), "residual": True},
        {"strides": (2, 2)},
        {"strides": (2, 1)},
        {"strides": (3, 2), "kernel": 5},
        {"kernel": 5, "pad": 1},
        {"kernel": 3, "pad": 2, "residual": False},
        {"rhs_dilation": (2, 2), "pad": 2, "residual": True},
        {"dtype": float64, "residual": True},
        {"parts": "ma", "shape": (2, 5, 7, 6), "residual": True},
        {"parts": "bm", "strides": (2, 2)},
    ],
    ids=str,
)
def test_results_are_those_of_the_parts(options: Any) -> None:
    assert check(block(**options)) == 1


@pytest.mark.parametrize(
    "options", [{"shape": (1, 4, 1, 1)}, {"parts": "ma", "repeat": 2}], ids=str
)
def test_sums_with_whole_constants_and_several_filters_have_no_kernel(
    options: Any,
) -> None:
    assert check(block(**options)) == 0


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"read": "b"}, ["conv", "separable"]),
        ({"read": "m"}, ["separable", "conv"]),
        ({"read": "bm"}, ["conv", "conv", "conv"]),
        ({"dtype": float16}, ["conv", "conv", "conv"]),
        ({"groups": 2}, ["conv", "conv", "conv"]),
        ({"groups": 1}, ["conv", "conv", "conv"]),
    ],
    ids=str,
)
def test_what_others_read_or_mixes_channels_stays_apart(
    options: Any, left: list[str]
) -> None:
    graph = block(**options)
    found = [k for k in kinds(lowered(graph)) if k in ("conv", "separable")]
    assert found == left
    check(graph, 2e-2 if options.get("dtype") is float16 else 1e-5)


def test_strides_and_windows_of_the_neighbours_stay_apart() -> None:
    net = Net((1, 4, 9, 9))
    y = net.conv(net.x, WIDE, strides=(2, 2), pad=0)
    y = net.conv(net.conv(y, WIDE, 3, groups=WIDE), 4, 3)
    graph = net.finish(y)
    assert "separable" not in kinds(lowered(graph))
    check(graph)


def test_a_sum_before_it_with_what_varies_is_no_part() -> None:
    net = Net((1, 6, 9, 9))
    y = net.b.add(net.conv(net.x, 6), net.x)
    graph = net.finish(net.conv(net.conv(y, 6, 3, groups=6), 4))
    found = [k for k in kinds(lowered(graph)) if k in ("conv", "separable")]
    assert found == ["conv", "separable"]
    check(graph)


def test_a_chain_of_blocks_is_a_chain_of_regions() -> None:
    net = Net((1, 4, 9, 9))
    y = net.x
    for _ in range(3):
        z = net.conv(net.end(net.conv(net.end(net.conv(y, 6)), 6, 3, groups=6)), 4)
        y = net.b.add(y, z)
    graph = net.finish(y)
    assert kinds(lowered(graph)).count("separable") == 3
    check(graph)


def test_weights_that_are_not_finite_reach_what_they_touch_only() -> None:
    net = Net((1, 2, 4, 4))
    y = net.conv(net.x, 2)
    w = np.ones((2, 1, 3, 3), np.float32)
    w[0, 0, 0, 0] = np.inf
    y = net.b.emit(
        "conv",
        y,
        net.b.constant(w, float32),
        strides=(1, 1),
        padding=((1, 1), (1, 1)),
        lhs_dilation=(1, 1),
        rhs_dilation=(1, 1),
        groups=2,
    )
    graph = net.finish(net.conv(y, 2))
    fed = np.ones((1, 2, 4, 4), np.float32)
    (wanted,) = evaluate(graph, [fed])
    (got,) = gw.compile(graph, backend="numpy").run(None, {"x": fed})
    assert np.isnan(wanted).any()
    np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))


def test_any_number_of_threads_gives_the_same_bits() -> None:
    graph = block(shape=(1, 8, 80, 80), residual=True)
    fed = np.random.default_rng(1).standard_normal((1, 8, 80, 80), dtype=np.float32)
    results: list[bytes] = []
    before = threads.get_num_threads()
    try:
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            exe = gw.compile(graph, backend="numpy")
            results += [exe.run(None, {"x": fed})[0].tobytes() for _ in range(2)]
    finally:
        threads.set_num_threads(before)
    assert len(set(results)) == 1


def test_graphs_without_regions_are_the_same_object() -> None:
    graph = block()
    assert fuse_separable(graph) is graph
