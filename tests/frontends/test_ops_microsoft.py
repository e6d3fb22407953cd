"""com.microsoft against ONNX Runtime, beyond what exporters' models hold."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx_graphs import imported, run, run_ort

from graphwright.ir.errors import ModelError, UnsupportedOpError

MS = "com.microsoft"
RNG = np.random.default_rng(0)


def f32(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


def model(
    op_type: str, inputs: list[Any], outputs: int = 1, **attributes: Any
) -> tuple[Any, dict[str, Any]]:
    helper = onnx.helper
    names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
    ends = [f"y{i}" for i in range(outputs)]
    feeds = {n: np.asarray(x) for n, x in zip(names, inputs, strict=True) if n}
    infos = [
        helper.make_tensor_value_info(
            n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape
        )
        for n, x in feeds.items()
    ]
    node = helper.make_node(op_type, names, ends, domain=MS, **attributes)
    graph = helper.make_graph(
        [node], "g", infos, [onnx.ValueInfoProto(name=n) for n in ends]
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(MS, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9), feeds


def same(op_type: str, inputs: list[Any], rtol: float = 1e-4, **how: Any) -> list[Any]:
    proto, feeds = model(op_type, inputs, **how)
    found = run(proto, feeds)
    for got, want in zip(found, run_ort(proto, feeds), strict=True):
        assert got.dtype == want.dtype
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol)
    return found


@pytest.mark.parametrize("swap", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_fused_matmul(swap: tuple[int, int]) -> None:
    x = f32(2, 4, 3) if swap[0] else f32(2, 3, 4)
    y = f32(2, 5, 4) if swap[1] else f32(2, 4, 5)
    same("FusedMatMul", [x, y], transA=swap[0], transB=swap[1], alpha=0.5)


def test_fused_matmul_of_moved_batches() -> None:
    same("FusedMatMul", [f32(3, 2, 4), f32(2, 4, 5)], transBatchA=1)


@pytest.mark.parametrize(
    "activation", ["Relu", "Tanh", "LeakyRelu", "Clip", "HardSigmoid"]
)
def test_fused_conv(activation: str) -> None:
    given = {"LeakyRelu": [0.2], "Clip": [-0.5, 0.5], "HardSigmoid": [0.3, 0.4]}
    how: dict[str, Any] = {"activation": activation, "pads": [1, 1, 1, 1]}
    if activation in given:
        how["activation_params"] = given[activation]
    same("FusedConv", [f32(1, 2, 5, 5), f32(3, 2, 3, 3), f32(3)], **how)


def test_gelu_family() -> None:
    x = f32(2, 3, 8)
    same("Gelu", [x])
    same("BiasGelu", [x, f32(8)])
    same("FastGelu", [x, f32(8)])
    same("FastGelu", [x])
    same("QuickGelu", [x], alpha=1.3)


def test_skip_norms() -> None:
    x, skip = f32(2, 3, 8), f32(2, 3, 8)
    same("SkipLayerNormalization", [x, skip, f32(8), f32(8), f32(8)])
    same("SkipLayerNormalization", [x, skip, f32(8)], epsilon=1e-3)
    same("SkipLayerNormalization", [x, skip[0], f32(8), f32(8)])
    same("SkipSimplifiedLayerNormalization", [x, skip, f32(8), f32(8)])


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize(
    "mask",
    [
        None,
        [3, 5],
        [5, 4, 0, 1],
        [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]],
        np.tril(np.ones((2, 5, 5))).tolist(),
    ],
)
def test_attention_masks(mask: Any, causal: int) -> None:
    inputs = [f32(2, 5, 6), f32(6, 24), f32(24)]
    inputs += [] if mask is None else [np.array(mask, np.int32)]
    same("Attention", inputs, num_heads=2, unidirectional=causal)


def test_attention_with_past() -> None:
    inputs = [f32(2, 3, 6), f32(6, 24), f32(24), None, f32(2, 2, 2, 4, 4)]
    same("Attention", inputs, outputs=2, num_heads=2, unidirectional=1)


def test_attention_of_unequal_sizes() -> None:
    same(
        "Attention",
        [f32(2, 3, 6), f32(6, 20), f32(20)],
        num_heads=2,
        qkv_hidden_sizes=[8, 8, 4],
    )


def test_multi_head_attention() -> None:
    q, k, v = f32(2, 3, 8), f32(2, 5, 8), f32(2, 5, 8)
    same("MultiHeadAttention", [q, k, v], num_heads=2)
    same("MultiHeadAttention", [q, k, v, f32(24)], num_heads=2, scale=0.3)
    heads = f32(2, 2, 5, 4)
    same("MultiHeadAttention", [q, heads, f32(2, 2, 5, 4)], num_heads=2)
    padding = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
    same("MultiHeadAttention", [q, k, v, None, padding], num_heads=2)
    same("MultiHeadAttention", [q, k, v, None, None, f32(1, 2, 3, 5)], num_heads=2)


def test_packed_heads() -> None:
    q, k, v = (f32(2, 5, 2, 4) for _ in range(3))

    def attended(*inputs: Any) -> Any:
        return run(*model("MultiHeadAttention", list(inputs), num_heads=2))[0]

    flat = [x.reshape(2, 5, 8) for x in (q, k, v)]
    want = attended(*flat)
    np.testing.assert_allclose(attended(np.stack([q, k, v], 3)), want, rtol=1e-6)
    np.testing.assert_allclose(attended(flat[0], np.stack([k, v], 3)), want, rtol=1e-6)


def grouped(
    rows: int, past: int, ends: list[int], total: int, size: int = 8
) -> list[Any]:
    return [
        f32(2, rows, size * 4),
        f32(2, rows, size * 2),
        f32(2, rows, size * 2),
        f32(2, 2, past, size),
        f32(2, 2, past, size),
        np.array(ends, np.int32),
        np.array(total, np.int32),
    ]


GQA = {"num_heads": 4, "kv_num_heads": 2, "outputs": 3}


@pytest.mark.parametrize("window", [-1, 2])
def test_group_query_attention(window: int) -> None:
    same(
        "GroupQueryAttention", grouped(1, 5, [5, 5], 6), local_window_size=window, **GQA
    )
    same(
        "GroupQueryAttention", grouped(4, 0, [3, 3], 4), local_window_size=window, **GQA
    )


def test_group_query_attention_of_rows_of_different_lengths() -> None:
    found = same("GroupQueryAttention", grouped(1, 5, [2, 5], 6), **GQA)
    assert found[1].shape == (2, 2, 6, 8)


def test_group_query_attention_turns_by_position() -> None:
    caches = [f32(16, 8), f32(16, 8)]
    for interleaved in (0, 1):
        how = {"do_rotary": 1, "rotary_interleaved": interleaved, **GQA}
        same("GroupQueryAttention", [*grouped(1, 5, [5, 5], 6, 16), *caches], **how)
        same("GroupQueryAttention", [*grouped(4, 0, [3, 3], 4, 16), *caches], **how)


def test_rotary_embedding() -> None:
    caches = [f32(16, 4), f32(16, 4)]
    places = np.array([[0, 3, 1], [5, 6, 7]])
    for x in (f32(2, 3, 16), f32(2, 2, 3, 8)):
        same("RotaryEmbedding", [x, places, *caches])
        same("RotaryEmbedding", [x, np.array([4]), *caches], interleaved=1)


def fields(packed: Any, bits: int) -> Any:
    """Fields of bytes, low ones first, along the last axis."""
    parts = [packed >> k & ((1 << bits) - 1) for k in range(0, 8, bits)]
    return np.stack(parts, -1).reshape(*packed.shape[:-1], -1).astype(np.float32)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("zeros", [None, "packed", "float"])
def test_matmul_nbits(bits: int, zeros: str | None) -> None:
    rows, size, block = 5, 40, 16
    blocks = -(-size // block)
    packed = RNG.integers(0, 256, (rows, blocks, block * bits // 8)).astype(np.uint8)
    x, scales = f32(3, size), f32(rows * blocks)
    inputs, middle = [x, packed, scales], np.full((rows, blocks, 1), 2.0 ** (bits - 1))
    if zeros == "packed":
        given = RNG.integers(0, 256, (rows, -(-blocks * bits // 8))).astype(np.uint8)
        inputs.append(given.ravel())
        middle = fields(given, bits)[:, :blocks, None]
    elif zeros == "float":
        inputs.append(f32(rows * blocks))
        middle = inputs[3].reshape(rows, blocks, 1)
    weights = (fields(packed, bits) - middle) * scales.reshape(rows, blocks, 1)
    want = x @ weights.reshape(rows, -1)[:, :size].T
    how = {"K": size, "N": rows, "bits": bits, "block_size": block}
    proto, feeds = model("MatMulNBits", inputs, **how)
    np.testing.assert_allclose(run(proto, feeds)[0], want, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_qlinear(dtype: Any) -> None:
    info = np.iinfo(dtype)

    def quantized(*shape: int) -> list[Any]:
        x = RNG.integers(info.min, info.max, shape).astype(dtype)
        return [x, np.array(0.03, np.float32), np.array(3, dtype)]

    to = [np.array(0.05, np.float32), np.array(5, dtype)]
    x = quantized(2, 4, 4, 4)
    for op_type in ("QLinearAdd", "QLinearMul"):
        proto, feeds = model(op_type, [*x, *quantized(4, 4), *to])
        gap = run(proto, feeds)[0].astype(int) - run_ort(proto, feeds)[0]
        assert np.abs(gap).max() <= 1
    for op_type in ("QLinearSigmoid", "QLinearLeakyRelu", "QLinearGlobalAveragePool"):
        proto, feeds = model(op_type, [*x, *to])
        gap = run(proto, feeds)[0].astype(int) - run_ort(proto, feeds)[0]
        assert np.abs(gap).max() <= 1


def test_what_is_refused() -> None:
    proto, _ = model("LongformerAttention", [f32(2, 2)])
    with pytest.raises(
        UnsupportedOpError, match=r"com\.microsoft\.LongformerAttention"
    ):
        imported(proto)
    proto, _ = model(
        "MatMulNBits",
        [f32(2, 4), np.zeros(8, np.uint8), f32(1)],
        K=4,
        N=1,
        block_size=0,
    )
    with pytest.raises(ModelError, match="blocks of 0"):
        imported(proto)
