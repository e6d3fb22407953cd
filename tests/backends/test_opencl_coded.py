"""Products by weights of few bits on OpenCL: they stay so, and are right."""

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from widths import BOTH, of_width

import graphwright as gw
from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.kernels.coded import Coded, coded
from graphwright.backends.codegen.lower import lowered
from graphwright.backends.compile import arrange
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.ir.constant import Constant, Factors
from graphwright.ir.dtype import float32
from graphwright.ir.ops.fused import Fused

MISSING = OpenCLBackend().unavailable()
device = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

DEPTH, COLUMNS = 512, 300
BOUND = 2e-6
"""Of the largest result."""


def _random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def _scales(*shape: int) -> Any:
    return np.random.default_rng(1).random(shape, np.float32) + np.float32(0.1)


def _codes(low: int, high: int, *shape: int, seed: int = 2) -> Any:
    return np.random.default_rng(seed).integers(low, high, shape)


def _model(nodes: list[Any], inits: list[Any], rows: int, columns: int) -> bytes:
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, size])
        for name, size in (("x", DEPTH), ("y", columns))
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], inits)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model: ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    found: bytes = model.SerializeToString()
    return found


def dequantized(
    kind: int,
    codes: Any,
    scales: Any,
    zeros: Any = None,
    rows: int = 1,
    **fields: Any,
) -> bytes:
    """A product by ``DequantizeLinear``'s result."""

    def tensor(name: str, values: Any) -> Any:
        return helper.make_tensor(name, kind, values.shape, values.ravel().tolist())

    inits = [tensor("c", codes), numpy_helper.from_array(scales, "s")]
    inits += [] if zeros is None else [tensor("z", np.asarray(zeros))]
    names = ["c", "s", *["z"] * (zeros is not None)]
    nodes = [
        helper.make_node("DequantizeLinear", names, ["w"], **fields),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    return _model(nodes, inits, rows, codes.shape[1])


def few_bits(rows: int, bits: int, block: int, zeros: bool) -> bytes:
    """``MatMulNBits``, and what follows a product in a network."""
    blocks, rng = DEPTH // block, np.random.default_rng(3)
    codes = rng.integers(0, 256, (COLUMNS, blocks, block * bits // 8), np.uint8)
    inits = [
        numpy_helper.from_array(codes, "c"),
        numpy_helper.from_array(_scales(COLUMNS * blocks), "s"),
        numpy_helper.from_array(_random(COLUMNS, seed=4), "b"),
    ]
    names = ["x", "c", "s"]
    if zeros:
        size = COLUMNS * -(-blocks * bits // 8)
        z = rng.integers(0, 256, size, np.uint8)
        inits, names = [*inits, numpy_helper.from_array(z, "z")], [*names, "z"]
    fields: Any = {"K": DEPTH, "N": COLUMNS, "bits": bits, "block_size": block}
    nodes = [
        helper.make_node("MatMulNBits", names, ["p"], domain="com.microsoft", **fields),
        helper.make_node("Add", ["p", "b"], ["q"]),
        helper.make_node("Relu", ["q"], ["y"]),
    ]
    return _model(nodes, inits, rows, COLUMNS)


def compared(model: bytes, kernel: str, backend: Any = "opencl") -> None:
    """One kernel of this name, within bounds of the host's numbers."""
    graph = gw.load(model)
    rows = graph.inputs[0].shape[0]
    assert isinstance(rows, int)
    x = _random(rows, DEPTH, seed=5)
    exe = gw.compile(graph, backend=backend, strict=True)
    (right,) = gw.compile(graph, backend="numpy").run(None, {"x": x})
    for _ in range(2):
        (found,) = exe.run(None, {"x": x})
        np.testing.assert_allclose(found, right, rtol=0, atol=BOUND * right.max())
    (name,) = [step.kernel for step in exe.profile([x])]
    assert name.rpartition("_")[0] == kernel


# Numbers ------------------------------------------------------------------------------


@device
@pytest.mark.parametrize("rows", [1, 2, 4, 5, 130])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize(("bits", "block"), [(4, 32), (4, 128), (8, 64), (2, 16)])
def test_products_of_few_bits(rows: int, zeros: bool, bits: int, block: int) -> None:
    kernel = "coded_rows" if rows <= 4 else "coded"
    compared(few_bits(rows, bits, block, zeros), kernel)


@device
@pytest.mark.parametrize("lanes", BOTH)
def test_vectors_of_both_widths(lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = of_width(monkeypatch, lanes)
    compared(few_bits(3, 4, 32, zeros=True), "coded_rows", backend)
    compared(few_bits(9, 4, 32, zeros=True), "coded", backend)


INT4, UINT4, INT8, UINT8 = (
    getattr(TensorProto, name) for name in ("INT4", "UINT4", "INT8", "UINT8")
)
MODELS = {
    "int4 by blocks": (INT4, (-8, 8), (DEPTH // 32, COLUMNS), False, {"axis": 0}),
    "uint4 by blocks": (UINT4, (0, 16), (DEPTH // 64, COLUMNS), True, {"axis": 0}),
    "uint4 by channels": (UINT4, (0, 16), (COLUMNS,), True, {"axis": 1}),
    "int8 by channels": (INT8, (-128, 128), (COLUMNS,), False, {"axis": 1}),
    "uint8 at once": (UINT8, (0, 256), (), True, {}),
    "int8 by blocks": (INT8, (-128, 128), (DEPTH // 32, COLUMNS), True, {"axis": 0}),
}


@device
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("rows", [1, 7])
def test_dequantized_weights(name: str, rows: int) -> None:
    kind, limits, shape, centred, fields = MODELS[name]
    if len(shape) == 2:
        fields = {**fields, "block_size": DEPTH // shape[0]}
    zeros = _codes(*limits, *shape, seed=6) if centred else None
    codes = _codes(*limits, DEPTH, COLUMNS)
    model = dequantized(kind, codes, _scales(*shape), zeros, rows, **fields)
    compared(model, "coded_rows" if rows == 1 else "coded")


@device
def test_a_left_operand_that_is_computed() -> None:
    """Of a view the kernel reads a copy."""
    rows, codes = 3, _codes(-8, 8, DEPTH, COLUMNS)
    w = (codes * _scales(DEPTH // 32, COLUMNS).repeat(32, 0)).astype(np.float32)
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0]),
        helper.make_node("DequantizeLinear", ["c", "s"], ["w"], axis=0, block_size=32),
        helper.make_node("MatMul", ["t", "w"], ["y"]),
    ]
    inits = [
        helper.make_tensor("c", INT4, codes.shape, codes.ravel().tolist()),
        numpy_helper.from_array(_scales(DEPTH // 32, COLUMNS), "s"),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [DEPTH, rows]), ("y", [rows, COLUMNS]))
    ]
    made = helper.make_graph(nodes, "g", ends[:1], ends[1:], inits)
    model = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    )
    x = _random(DEPTH, rows)
    exe = gw.compile(gw.load(model), backend="opencl", strict=True)
    (found,) = exe.run(None, {"x": x})
    right = x.T.astype("f8") @ w
    np.testing.assert_allclose(found, right, rtol=0, atol=BOUND * right.max())
    assert [s.kernel.startswith("coded_rows") for s in exe.profile([x])] == [
        False,
        True,
    ]


# Memory -------------------------------------------------------------------------------


def _held(model: bytes, target: Any) -> int:
    """Bytes of constants as kernels read them."""
    graph, _ = arrange(gw.load(model), [OpenCLBackend()])
    (node,) = [n for n in graph.nodes if isinstance(n.op, Fused)]
    assert isinstance(node.op, Fused)
    found = lowered(node.op.body, target)
    return sum(p.pack(p.constant.array()).nbytes for p in found.packed.values())


def test_weights_of_four_bits_stay_so() -> None:
    codes = _codes(-8, 8, DEPTH, 320)
    model = dequantized(INT4, codes, _scales(DEPTH // 64, 320), axis=0, block_size=64)
    codes_, scales = DEPTH * 320 // 2, 4 * DEPTH // 64 * 320
    for rows in (1, 64):
        model = dequantized(
            INT4, codes, _scales(DEPTH // 64, 320), None, rows, axis=0, block_size=64
        )
        assert _held(model, Cpu(2)) == codes_ + scales


def test_as_written_weights_are_floats() -> None:
    codes = _codes(-8, 8, DEPTH, 320)
    model = dequantized(INT4, codes, _scales(DEPTH // 64, 320), axis=0, block_size=64)
    assert _held(model, Cpu(2, strict=True)) >= 4 * DEPTH * 320


# What is coded ------------------------------------------------------------------------


def _coded(codes: Any, scales: Any) -> Coded | None:
    wide = np.broadcast_to(np.asarray(scales, np.float32), np.shape(codes))
    return coded(Factors(*(Constant.of(x, float32) for x in (codes, wide))), 16)


def test_blocks_and_middles_are_found() -> None:
    codes = _codes(-8, 8, 64, 5)
    codes[0, 0], codes[1, 0] = -8, 7
    found = _coded(codes, _scales(4, 5).repeat(16, 0))
    assert found is not None
    assert (found.bits, found.block, found.middles) == (4, 16, 0.0)
    assert (found.depth, found.columns) == (64, 5)
    assert found.words.shape == (1, 8, 16)
    assert found.scales.shape == (1, 4, 16)
    shifted = _coded(codes + 100, _scales(1, 5))
    assert shifted is not None
    assert (shifted.block, shifted.middles) == (64, 100.0)
    wide = _coded(codes * 16, _scales(1, 5))
    assert wide is not None
    assert (wide.bits, wide.middles) == (8, 0.0)


def test_middles_of_blocks_are_told_apart_where_all_need_more_bits() -> None:
    codes = _codes(0, 16, 32, 3) + np.repeat([[0, 90, 5], [200, 0, 30]], 16, 0)
    found = _coded(codes, _scales(2, 3).repeat(16, 0))
    assert found is not None
    assert found.bits == 4
    assert isinstance(found.middles, Constant)
    low = codes.reshape(2, 16, 3).min(axis=1)
    assert np.array_equal(found.middles.array()[0, :, :3], low + 8)


@pytest.mark.parametrize(
    ("codes", "scales"),
    [
        (_codes(0, 16, 64, 4) + 0.5, np.float32(2)),
        (_codes(0, 300, 64, 4), np.float32(2)),
        (_codes(0, 16, 64, 4), _scales(64, 4)),
        (_codes(0, 16, 64, 4), _scales(8, 4).repeat(8, 0)),
        (_codes(0, 16, 61, 4), np.float32(2)),
        (np.full((64, 4), np.nan), np.float32(2)),
        (np.full((64, 4), 1e9), np.float32(2)),
        (_codes(0, 16, 64, 4), np.float32(np.nan)),
    ],
    ids=["halves", "range", "each", "short", "odd", "nan", "huge", "nan scale"],
)
def test_what_is_no_code(codes: Any, scales: Any) -> None:
    assert _coded(codes, scales) is None


def test_factors_are_coded_once() -> None:
    pair = [Constant.of(x, float32) for x in (np.ones((32, 4)), np.ones((32, 4)))]
    factors = Factors(*pair)
    assert coded(factors, 16) is coded(factors, 16)
    both = [coded(factors, wide) for wide in (16, 32)]
    assert [found.wide for found in both if found is not None] == [16, 32]
