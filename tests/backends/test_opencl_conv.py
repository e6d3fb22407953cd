"""Convolutions on OpenCL: which kernels they get, and what is fused behind."""

from typing import Any

import numpy as np
import pytest
from onnx_graphs import model_of

import graphwright as gw
from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.loops import Written
from graphwright.backends.codegen.lower import lowered
from graphwright.backends.compile import arrange
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.ir.builder import Builder
from graphwright.ir.dtype import float32
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph
from graphwright.ir.ops.fused import Fused
from graphwright.ir.ops.linalg import Conv
from graphwright.ir.types import TensorType

MISSING = OpenCLBackend().unavailable()
device = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


def _random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def _model(
    body: str, x: tuple[int, ...], out: tuple[int, ...], w: tuple[int, ...], **more: Any
) -> Graph:
    """A graph of ``y`` made of ``x``, weights ``w`` and ``b``, and other arrays."""
    sizes, ends = (",".join(map(str, n)) for n in (x, out))
    text = f"g (float[{sizes}] x) => (float[{ends}] y) {{ {body} }}"
    b = _random(w[0], seed=2)
    made = model_of(text, w=_random(*w, seed=1), b=b, **more)
    return gw.load(made)


SAME = "pads=[1,1,1,1]"
CASES = {
    "silu": (
        f"c = Conv<{SAME}>(x, w, b) s = Sigmoid(c) y = Mul(c, s)",
        *((2, 16, 9, 10), (2, 24, 9, 10), (24, 16, 3, 3)),
    ),
    "ragged": (
        f"c = Conv<{SAME}>(x, w, b) s = Sigmoid(c) y = Mul(c, s)",
        *((2, 5, 9, 10), (2, 21, 9, 10), (21, 5, 3, 3)),
    ),
    "scaled images": (
        f"c = Conv<{SAME}>(x, w, b) m = Mul(c, each) y = Relu(m)",
        *((2, 16, 9, 10), (2, 24, 9, 10), (24, 16, 3, 3)),
    ),
    "rows": (
        f"c = Conv<{SAME}>(x, w, b) y = Add(c, lines)",
        *((2, 16, 9, 10), (2, 24, 9, 10), (24, 16, 3, 3)),
    ),
    "residual": (
        f"c = Conv<{SAME}>(x, w, b) r = Relu(x) a = Add(c, r) y = Relu(a)",
        *((1, 16, 20, 20), (1, 16, 20, 20), (16, 16, 3, 3)),
    ),
    "depthwise": (
        "c = Conv<group=12,pads=[1,1,1,1],strides=[2,2]>(x, w, b) y = HardSwish(c)",
        *((1, 12, 9, 10), (1, 12, 5, 5), (12, 1, 3, 3)),
    ),
    "groups": (
        "c = Conv<group=2,dilations=[2,1]>(x, w, b) y = Tanh(c)",
        *((2, 12, 9, 10), (2, 6, 5, 8), (6, 6, 3, 3)),
    ),
    "one axis": (
        "c = Conv<strides=[2],pads=[1,0]>(x, w, b) y = Elu(c)",
        *((2, 12, 20), (2, 24, 10), (24, 12, 3)),
    ),
    "two in a row": (
        f"c = Conv<{SAME}>(x, w, b) r = Relu(c) d = Conv<{SAME}>(r, w, b) y = Relu(d)",
        *((1, 16, 20, 20), (1, 16, 20, 20), (16, 16, 3, 3)),
    ),
}
MORE = {
    "scaled images": {"each": _random(2, 24, 1, 1, seed=4)},
    "rows": {"lines": _random(9, 1, seed=5)},
}


def _case(name: str) -> Graph:
    body, x, out, w = CASES[name]
    return _model(body, x, out, w, **MORE.get(name, {}))


@device
@pytest.mark.parametrize("name", CASES)
def test_convolutions_agree_with_the_reference(name: str) -> None:
    graph = _case(name)
    x = _random(*CASES[name][1], seed=3)
    exe = gw.compile(graph, backend="opencl", strict=True)
    (found,) = exe.run(None, {"x": x})
    (want,) = gw.compile(graph, backend="numpy", optimize=False).run(None, {"x": x})
    assert np.abs(found - want).max() <= 1e-5 * np.abs(want).max()


def _kernels(graph: Graph, strict: bool = False) -> list[Any]:
    """What the graph becomes on a device with two cores; none need be there."""
    found, _ = arrange(graph, [OpenCLBackend()])
    bodies = [n.op.body for n in found.nodes if isinstance(n.op, Fused)]
    target = Cpu(2, 1 << 20, strict=strict)
    return [s.kernel for b in bodies for s in lowered(b, target).steps]


@pytest.mark.parametrize("largest", [1.0, 1e20])
@pytest.mark.parametrize("strict", [False, True])
def test_winograd_is_for_tame_weights(largest: float, strict: bool) -> None:
    body = CASES["two in a row"][0]
    made = model_of(
        f"g (float[1,16,20,20] x) => (float[1,16,20,20] y) {{ {body} }}",
        w=np.full((16, 16, 3, 3), largest, np.float32),
        b=_random(16),
    )
    graph = gw.load(made)
    names = [k.name for k in _kernels(graph, strict) if isinstance(k, Written)]
    tame = largest == 1 and not strict
    assert any(name.startswith("winograd") for name in names) is tame


@pytest.mark.parametrize("name", CASES)
def test_each_convolution_is_one_kernel_with_what_follows(name: str) -> None:
    kernels = _kernels(_case(name))
    written = [k for k in kernels if isinstance(k, Written)]
    kinds = [k.name.split("_")[0] for k in written]
    own = [kind for kind in kinds if kind not in ("pad", "gemm")]
    assert len(own) == CASES[name][0].count("Conv<")
    others = len(kernels) - len(written)
    assert others <= 2 + (name == "residual")  # channels last, and back


@pytest.mark.parametrize("second", ["Relu", "Elu"])
def test_equal_layers_are_written_once(second: str) -> None:
    body = f"c = Conv<{SAME}>(x, w, b) r = Relu(c) d = Conv<{SAME}>(r, w, b)"
    body += f" s = {second}(d) y = Conv<{SAME}>(s, w, b)"
    graph = _model(body, *CASES["two in a row"][1:])
    texts = [k.text for k in _kernels(graph) if isinstance(k, Written)]
    assert (texts[0] is texts[1]) == (second == "Relu")


VOLUMES = {
    "plain": ("Conv", (1, 4, 5, 6, 7), (8, 4, 3, 3, 3)),
    "same": ("Conv<pads=[1,1,1,1,1,1]>", (2, 5, 4, 9, 10), (17, 5, 3, 3, 3)),
    "steps": (
        "Conv<strides=[2,1,2],pads=[0,1,2,1,1,2]>",
        *((2, 8, 5, 6, 7), (16, 8, 3, 3, 3)),
    ),
    "apart": ("Conv<dilations=[2,1,1]>", (1, 8, 7, 6, 7), (16, 8, 3, 2, 2)),
    "points": ("Conv", (2, 16, 3, 4, 5), (24, 16, 1, 1, 1)),
    "planes": ("Conv<pads=[0,1,1,0,1,1]>", (2, 8, 3, 9, 9), (16, 8, 1, 3, 3)),
    "depth": ("Conv<pads=[1,0,0,1,0,0]>", (2, 8, 5, 4, 4), (16, 8, 3, 1, 1)),
    "groups": ("Conv<group=2>", (1, 12, 4, 5, 6), (16, 6, 2, 3, 3)),
    "each": ("Conv<group=12>", (1, 12, 4, 5, 6), (12, 1, 3, 3, 3)),
    "each in steps": (
        "Conv<group=12,strides=[2,1,2],pads=[1,0,2,2,1,1],dilations=[2,1,1]>",
        *((2, 12, 9, 5, 6), (12, 1, 3, 2, 3)),
    ),
    "few": ("Conv<group=4>", (1, 4, 4, 5, 6), (8, 1, 3, 3, 3)),
}
TRANSPOSED = {
    "line": ("ConvTranspose<strides=[3],pads=[1,0]>", (2, 12, 9), (12, 10, 4)),
    "doubled": ("ConvTranspose<strides=[2,2]>", (1, 16, 7, 9), (16, 24, 2, 2)),
    "uneven": (
        "ConvTranspose<strides=[2,2],pads=[1,1,1,1],output_padding=[1,1]>",
        *((2, 16, 7, 8), (16, 9, 3, 3)),
    ),
    "groups": (
        "ConvTranspose<group=2,strides=[2,3],pads=[1,2,0,1]>",
        *((1, 16, 6, 5), (16, 5, 5, 4)),
    ),
    "one step": ("ConvTranspose<pads=[1,1,1,1]>", (1, 16, 7, 9), (16, 16, 3, 3)),
    "volume": ("ConvTranspose<strides=[2,2,2]>", (1, 8, 3, 4, 5), (8, 9, 2, 2, 2)),
}


def _alone(name: str) -> tuple[Graph, Any]:
    """A graph of one convolution with a bias and what follows, and an input."""
    kind, x, w = (VOLUMES | TRANSPOSED)[name]
    sizes = ",".join(map(str, x))
    ends = ",".join("abcde"[: len(x)])
    text = (
        f"g (float[{sizes}] x) => (float[{ends}] y)"
        f" {{ c = {kind}(x, w, b) y = Relu(c) }}"
    )
    group = int(kind.partition("group=")[2][:1] or 1)
    filters = w[1] * group if kind.startswith("ConvT") else w[0]
    if "group=12" in kind:
        filters = 12
    made = model_of(text, w=_random(*w, seed=1), b=_random(filters, seed=2))
    return gw.load(made), _random(*x, seed=3)


@device
@pytest.mark.parametrize("name", [*VOLUMES, *TRANSPOSED])
def test_volumes_and_transposed_ones_agree(name: str) -> None:
    graph, x = _alone(name)
    (found,) = gw.compile(graph, backend="opencl", strict=True).run(None, {"x": x})
    (want,) = gw.compile(graph, backend="numpy", optimize=False).run(None, {"x": x})
    assert np.abs(found - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize("name", [*VOLUMES, *TRANSPOSED])
def test_volumes_and_transposed_ones_are_no_loops(name: str) -> None:
    written = [k for k in _kernels(_alone(name)[0]) if isinstance(k, Written)]
    assert bool(written) is (name != "few")


@device
def test_volumes_may_be_computed_before_they_are_read() -> None:
    """What is 0 outside is the volume, not what it is made of."""
    text = (
        "g (float[1,8,3,4,5] x) => (float[1,16,3,4,5] y)"
        " { e = Expand(o, s) t = Add(e, one)"
        " y = Conv<pads=[1,1,1,1,1,1]>(t, w) }"
    )
    made = model_of(
        text,
        o=_random(1, 8, 1, 4, 5),
        s=np.array([1, 8, 3, 4, 5]),
        one=np.float32(1),
        w=_random(16, 8, 3, 3, 3, seed=1),
    )
    graph, x = gw.load(made), _random(1, 8, 3, 4, 5)
    (found,) = gw.compile(graph, backend="opencl", strict=True).run(None, {"x": x})
    (want,) = gw.compile(graph, backend="numpy", optimize=False).run(None, {"x": x})
    assert np.abs(found - want).max() <= 1e-5 * np.abs(want).max()


def test_long_chains_of_convolutions_are_fused_as_short_ones() -> None:
    kinds = ["Relu" if i.bit_count() % 2 else "Tanh" for i in range(60)]  # no loop
    steps = [
        f"c{i} = Conv<pads=[1,1,1,1]>(r{i}, w, b) r{i + 1} = {kind}(c{i})"
        for i, kind in enumerate(kinds)
    ]
    body = " ".join(["r0 = Identity(x)", *steps, "y = Identity(r60)"])
    graph = _model(body, (1, 16, 6, 6), (1, 16, 6, 6), (16, 16, 3, 3))
    others = [k for k in _kernels(graph) if not isinstance(k, Written)]
    assert len(others) == 2  # channels last, and back


def _joined() -> Graph:
    body = (
        "c = Conv(x, w, b) d = Relu(x) j = Concat<axis=1>(c, d, c) s = Sigmoid(j)"
        " y = Conv(s, v)"
    )
    v = _random(4, 56, 1, 1, seed=4)
    return _model(body, (2, 16, 5, 6), (2, 4, 5, 6), (20, 16, 1, 1), v=v)


def test_joined_channels_are_written_by_a_kernel_each() -> None:
    ends = [k.outputs[0] for k in _kernels(_joined())]
    assert max(map(ends.count, ends)) == 3


@device
def test_joined_channels_agree_with_the_reference() -> None:
    graph, x = _joined(), _random(2, 16, 5, 6, seed=3)
    (found,) = gw.compile(graph, backend="opencl", strict=True).run(None, {"x": x})
    (want,) = gw.compile(graph, backend="numpy", optimize=False).run(None, {"x": x})
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)


@device
def test_weights_shared_by_convolutions_of_other_groups_are_packed_for_each() -> None:
    body = (
        "h = Slice(x, zero, eight, one) c = Conv(h, w, b) d = Conv<group=2>(x, w, b)"
        " y = Add(c, d)"
    )
    more = {
        "zero": np.array([0]),
        "eight": np.array([8]),
        "one": np.array([1]),
    }
    graph = _model(body, (1, 16, 5, 6), (1, 20, 3, 4), (20, 8, 3, 3), **more)
    x = _random(1, 16, 5, 6, seed=3)
    (found,) = gw.compile(graph, backend="opencl", strict=True).run(None, {"x": x})
    (want,) = gw.compile(graph, backend="numpy", optimize=False).run(None, {"x": x})
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-4)


UNIT = (
    "c = Conv<group=4>(x, w, b) r = Relu(c) a = Reshape(r, cut)"
    " t = Transpose<perm=[0,2,1,3,4]>(a) s = Reshape(t, whole)"
    " d = Conv<group=40,pads=[1,1,1,1]>(s, v, b) h = Relu(d)"
)
"""A pointwise convolution, its channels shuffled, and one of each channel."""


def _unit(end: str) -> Graph:
    more = {
        "cut": np.array([2, 4, 10, 5, 6]),
        "whole": np.array([2, 40, 5, 6]),
        "v": _random(40, 1, 3, 3, seed=4),
        "u": _random(24, 10, 1, 1, seed=5),
    }
    filters = 24 if "Conv" in end else 40
    sizes = (2, 16, 5, 6), (2, filters, 5, 6), (40, 4, 1, 1)
    return _model(f"{UNIT} {end}", *sizes, **more)


ENDS = ["y = Conv<group=4>(h, u)", "y = Relu(h)", "e = Add(h, s) y = Relu(e)"]


def test_shuffled_channels_are_read_where_they_lie() -> None:
    kernels = _kernels(_unit(ENDS[0]))
    kinds = [k.name.split("_")[0] for k in kernels if isinstance(k, Written)]
    assert kinds == ["conv", "depthwise", "conv"]
    assert len(kernels) <= 2 + 3  # channels last, and back


@device
@pytest.mark.parametrize("end", ENDS, ids=["read", "stored", "read again"])
def test_shuffled_channels_agree_with_the_reference(end: str) -> None:
    graph, x = _unit(end), _random(2, 16, 5, 6, seed=3)
    (found,) = gw.compile(graph, backend="opencl", strict=True).run(None, {"x": x})
    (want,) = gw.compile(graph, backend="numpy", optimize=False).run(None, {"x": x})
    assert np.abs(found - want).max() <= 1e-5 * np.abs(want).max()


def _quantised() -> Graph:
    body = """
        q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)
        k = DequantizeLinear<axis=0>(w, t, o)
        c = Conv<pads=[1,1,1,1]>(d, k) r = Relu(c)
        p = QuantizeLinear(r, s, z) y = DequantizeLinear(p, s, z)
    """
    rng = np.random.default_rng(0)
    made = model_of(
        f"g (float[1,64,9,9] x) => (float[1,80,9,9] y) {{ {body} }}",
        s=np.float32(0.05),
        z=np.uint8(128),
        t=rng.random(80, np.float32) / 500,
        o=np.zeros(80, np.int8),
        w=rng.integers(-127, 128, (80, 64, 3, 3), np.int8),
    )
    return gw.load(made)


def test_quantised_convolutions_are_those_of_floats() -> None:
    assert any(isinstance(k, Written) for k in _kernels(_quantised()))


@device
def test_quantised_convolutions_agree() -> None:
    graph = _quantised()
    x = _random(1, 64, 9, 9, seed=3)
    (found,) = gw.compile(graph, backend="opencl", strict=True).run(None, {"x": x})
    (want,) = gw.compile(graph, backend="numpy", optimize=False).run(None, {"x": x})
    assert np.abs(found - want).max() <= 0.0501  # one step, where sums lie between two
    assert np.mean(found != want) < 0.01


@device
def test_numbers_that_lie_nowhere_have_borders_too() -> None:
    b = Builder("borders")
    w = b.input("w", TensorType(float32, (1, 3, 3)))
    one = (1,)
    op = Conv(strides=one, padding=((1, 2),), lhs_dilation=one, rhs_dilation=one)
    ends: list[Value] = []
    for x in (b.full((2, 3, 5), 1.0, float32), b.iota((2, 3, 5), 2, float32)):
        ends += b.apply(op, (x, w))
    graph, weights = b.finish(ends), _random(1, 3, 3)
    found = gw.compile(graph, backend="opencl", strict=True).run(None, {"w": weights})
    plain = gw.compile(graph, backend="numpy", optimize=False)
    for got, want in zip(found, plain.run(None, {"w": weights}), strict=True):
        assert np.allclose(got, want, rtol=1e-5, atol=1e-5)
