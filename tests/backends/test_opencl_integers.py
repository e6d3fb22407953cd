"""Products of bytes on OpenCL: the integers of the reference, bit for bit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from widths import BOTH, of_width

import graphwright as gw
from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.loops import Kernel, Written
from graphwright.backends.codegen.lower import lowered
from graphwright.backends.compile import arrange
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.backends.opencl.library import session
from graphwright.ir.dtype import DTYPES, DType, float32, int8, int16, int32, uint8
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType

MISSING = OpenCLBackend().unavailable()
device = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


@pytest.fixture(params=["fast", "plain"])
def dots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the processor's instruction, if it has it, and without."""
    own = session(0)
    fast = request.param == "fast"
    if fast and not own.dots:
        pytest.skip("the processor has no vpdpbusd, or the device is none of its own")
    monkeypatch.setitem(vars(own), "dots", fast)


def _numbers(rng: np.random.Generator, dtype: DType, *shape: int) -> Any:
    """Random ones, the ends of the range among them."""
    low, high = (int(end) for end in dtype.limits)
    found = rng.integers(low, high + 1, shape, dtype=dtype.numpy)
    ends = rng.random(shape) < 0.2
    return np.where(ends, np.where(rng.random(shape) < 0.5, low, high), found).astype(
        dtype.numpy
    )


def _centred(b: gw.Builder, x: Value, zero: Any) -> Value:
    wide = b.constant(np.asarray(zero, np.int16))
    return b.sub(b.cast(x, int16), b.broadcast_to(wide, x.shape))


def _same(graph: Graph, *operands: Any, backend: Any = "opencl") -> None:
    """What it gives, without falling back, is what the reference gives."""
    exe = gw.compile(graph, backend=backend, strict=True)
    (want,) = evaluate(graph, list(operands))
    np.testing.assert_array_equal(np.asarray(exe(*operands)), want)


def _convolution(
    x: Any, weights: Any, zeros: Sequence[Any], quantized: bool, **windows: Any
) -> Graph:
    b = gw.Builder("convolution")
    own = b.input("x", TensorType(DTYPES[x.dtype.name], x.shape))
    w = b.constant(weights.astype(np.int16) - np.asarray(zeros[1], np.int16))
    rank = x.ndim - 2
    full: dict[str, Any] = {
        "strides": (1,) * rank,
        "padding": ((0, 0),) * rank,
        "rhs_dilation": (1,) * rank,
        "groups": 1,
        **windows,
    }
    y = b.emit(
        "conv",
        _centred(b, own, zeros[0]),
        w,
        lhs_dilation=(1,) * rank,
        dtype=int32,
        **full,
    )
    if quantized:  # by powers of two: every float is exact
        scale = b.constant(np.float32(2.0**-9))
        real = b.emit("dequantize", y, scale, dtype=float32)
        ends = b.constant(np.float32(0.5)), b.constant(np.int8(3))
        y = b.emit("quantize", real, *ends, dtype=int8)
    return b.finish([y])


BYTES = st.sampled_from([int8, uint8])


@device
@pytest.mark.usefixtures("dots")
@settings(max_examples=5, deadline=None)
@given(st.data())
def test_convolutions_are_exact(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 30)))
    groups = data.draw(st.sampled_from([1, 1, 2, 3]))
    depth, own = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20))
    kernel = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    left, right = data.draw(BYTES), data.draw(BYTES)
    x = _numbers(rng, left, data.draw(st.integers(1, 2)), groups * depth, 7, 6)
    weights = _numbers(rng, right, groups * own, depth, *kernel)
    zeros = _numbers(rng, left, 1)[0], _numbers(rng, right, 1)[0]
    sides = st.tuples(st.integers(0, 2), st.integers(0, 2))
    graph = _convolution(
        x,
        weights,
        zeros,
        data.draw(st.booleans()),
        strides=data.draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        padding=data.draw(st.tuples(sides, sides)),
        rhs_dilation=(1, data.draw(st.integers(1, 2))),
        groups=groups,
    )
    _same(graph, x)


@device
@pytest.mark.usefixtures("dots")
@settings(max_examples=5, deadline=None)
@given(st.data())
def test_products_are_exact(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 30)))
    lead = data.draw(st.sampled_from([(), (2,), (2, 3)]))
    m, k, n = (data.draw(st.integers(1, most)) for most in (14, 40, 40))
    left, right = data.draw(BYTES), data.draw(BYTES)
    x, weights = _numbers(rng, left, *lead, m, k), _numbers(rng, right, *lead, k, n)
    constant, one = data.draw(st.booleans()), data.draw(st.booleans())
    zeros = _numbers(rng, left, 1 if one else m, 1), _numbers(rng, right, n)
    b = gw.Builder("product")
    own = b.input("x", TensorType(left, x.shape))
    if constant:
        w = b.constant(weights.astype(np.int16) - zeros[1])
    else:
        w = _centred(b, b.input("w", TensorType(right, weights.shape)), zeros[1])
    graph = b.finish([b.emit("dot", _centred(b, own, zeros[0]), w, dtype=int32)])
    _same(graph, x, *([] if constant else [weights]))


@device
@pytest.mark.usefixtures("dots")
@pytest.mark.parametrize("lanes", BOTH)
def test_vectors_of_both_widths(lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, weights = _numbers(rng, uint8, 9, 70), _numbers(rng, int8, 70, 45)
    b = gw.Builder("product")
    own = b.input("x", TensorType(uint8, x.shape))
    w = b.constant(weights.astype(np.int16))
    graph = b.finish([b.emit("dot", _centred(b, own, 3), w, dtype=int32)])
    _same(graph, x, backend=of_width(monkeypatch, lanes))


@device
@pytest.mark.usefixtures("dots")
def test_long_sums_are_exact() -> None:
    """No float32 holds them, and differences are as large as they can be."""
    x = np.full((3, 3001), 255, np.uint8)
    weights = np.full((3001, 17), 255, np.uint8)
    b = gw.Builder("long")
    own = b.input("x", TensorType(uint8, x.shape))
    w = b.constant(weights.astype(np.int16))
    graph = b.finish([b.emit("dot", b.cast(own, int16), w, dtype=int32)])
    _same(graph, x)


# Plans --------------------------------------------------------------------------------


def _kernels(graph: Graph, target: Cpu) -> list[Kernel]:
    lowered_graph, _ = arrange(graph, [OpenCLBackend()])
    (node,) = lowered_graph.nodes
    return [step.kernel for step in lowered(node.op.body, target).steps]  # type: ignore[attr-defined]


def _block() -> Graph:
    """Two convolutions of one image, added, as quantisers write it."""
    rng = np.random.default_rng(0)
    b = gw.Builder("block")
    x = b.input("x", TensorType(int8, (1, 16, 8, 8)))
    scale, zero = b.constant(np.float32(0.5)), b.constant(np.int8(3))

    def real(v: Value) -> Value:
        return b.emit("dequantize", v, scale, zero, dtype=float32)

    def quantized(v: Value) -> Value:
        return b.emit("quantize", v, scale, zero, dtype=int8)

    def convolved(v: Value) -> Value:
        w = b.constant(_numbers(rng, int8, 16, 16, 1, 1))
        weights = b.emit("dequantize", w, b.constant(np.float32(1 / 64)), dtype=float32)
        windows: dict[str, Any] = {
            "strides": (1, 1),
            "padding": ((0, 0), (0, 0)),
            "lhs_dilation": (1, 1),
            "rhs_dilation": (1, 1),
            "groups": 1,
        }
        return quantized(b.emit("conv", real(v), weights, **windows))

    total = b.add(real(convolved(x)), real(convolved(x)))
    return b.finish([quantized(total)])


@device
def test_nothing_wider_than_bytes_lies_between_layers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(vars(session(0)), "dots", True)
    kernels = _kernels(_block(), Cpu(2, 1 << 20, in_place=True, dots=True))
    products = [k for k in kernels if isinstance(k, Written)]
    assert len(products) == 2
    assert {a.dtype for k in kernels for a in k.outputs} == {int8}
    assert all("DOT4(" in k.text for k in products)


@device
def test_layers_that_differ_in_numbers_share_a_kernel() -> None:
    names = set()
    for scale in (0.3, 0.7):
        b = gw.Builder("layer")
        x = b.input("x", TensorType(uint8, (4, 32)))
        w = b.constant(np.ones((32, 16), np.int16))
        y = b.emit("dot", b.cast(x, int16), w, dtype=int32)
        factor = b.constant(np.float32(scale))
        graph = b.finish([b.emit("dequantize", y, factor, dtype=float32)])
        (kernel,) = _kernels(graph, Cpu(2, 1 << 20))
        assert isinstance(kernel, Written)
        names.add(kernel.name)
    assert len(names) == 1


def test_no_device_has_no_integer_products(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = OpenCLBackend(999)
    assert backend.unavailable() is not None
    assert not backend.integer_products
