"""Single ``com.microsoft`` operators, as fused and quantised models hold them."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from common import Array, Example, Suite, integers, random
from onnx import TensorProto, ValueInfoProto, helper, numpy_helper

Arrays = Mapping[str, Array]
SCALE = np.float32(0.05)
ZERO = np.uint8(120)


def single(
    op: str,
    cases: Sequence[Arrays],
    inputs: str,
    outputs: str = "y",
    constants: Mapping[str, Any] | None = None,
    domain: str = "com.microsoft",
    rtol: float = 1e-4,
    steps: int = 0,
    **attributes: Any,
) -> Example:
    """A model of one node.

    ``inputs`` names its inputs, ``-`` for one left out; ``outputs`` its outputs, each
    with its type after a colon unless float. Dims that differ between cases are named.
    ``steps`` is how many integers a quantised result may be off.
    """
    names = ["" if n == "-" else n for n in inputs.split()]
    results = [r.partition(":")[::2] for r in outputs.split()]
    held = {k: np.asarray(v) for k, v in (constants or {}).items()}
    node = helper.make_node(
        op, names, [n.strip("-") for n, _ in results], domain=domain, **attributes
    )
    graph = helper.make_graph(
        [node],
        op,
        [declare(n, [c[n] for c in cases]) for n in names if n and n not in held],
        [
            helper.make_tensor_value_info(n, elem(kind or "float"), None)
            for n, kind in results
            if n != "-"
        ],
        [numpy_helper.from_array(v, k) for k, v in held.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    if steps:
        return Example(model, cases, rtol=0, atol=steps)
    return Example(model, cases, rtol=rtol, atol=rtol / 10)


def elem(kind: str) -> int:
    """ONNX's number for a type's name."""
    return int(TensorProto.DataType.Value(kind.upper()))


def declare(name: str, values: Sequence[Array]) -> ValueInfoProto:
    """An input whose dims are named where the cases differ."""
    values = [np.asarray(v) for v in values]
    dims = [
        sizes[0] if len(set(sizes)) == 1 else f"{name}_{axis}"
        for axis, sizes in enumerate(zip(*(v.shape for v in values), strict=True))
    ]
    text = values[0].dtype.kind in "OU"
    kind = (
        TensorProto.STRING if text else helper.np_dtype_to_tensor_dtype(values[0].dtype)
    )
    return helper.make_tensor_value_info(name, kind, dims)


def batches(**shapes: tuple[int, ...]) -> list[dict[str, Any]]:
    """A case of batch two and one of batch one: the shapes are those of one row."""
    return [
        {
            name: random(10 * i + j, n, *shape)
            for j, (name, shape) in enumerate(shapes.items())
        }
        for i, n in enumerate((2, 1))
    ]


def weights(**shapes: tuple[int, ...]) -> dict[str, Array]:
    """Constants of the shapes."""
    return {name: random(50 + i, *s) for i, (name, s) in enumerate(shapes.items())}


def bytes_of(seed: int, *shape: int, dtype: str = "uint8") -> Array:
    """Random 8-bit integers."""
    return (integers(seed, 256, *shape) - (128 if dtype == "int8" else 0)).astype(dtype)


def quantised(
    names: str = "x", *shape: int, dtype: str = "uint8"
) -> list[dict[str, Any]]:
    """Two cases of 8-bit inputs."""
    return [
        {n: bytes_of(7 * i + j, b, *shape, dtype=dtype) for j, n in enumerate(names)}
        for i, b in enumerate((2, 1))
    ]


def scales(*names: str) -> dict[str, Any]:
    """A scale and a zero point for each name: ``xs`` and ``xz``."""
    found: dict[str, Any] = {}
    for i, name in enumerate(names):
        found[f"{name}s"] = np.asarray(SCALE * (1 + i), np.float32)
        found[f"{name}z"] = np.asarray(ZERO + i, np.uint8)
    return found


def rotations(rows: int, width: int) -> dict[str, Array]:
    """Tables of cosines and sines."""
    speed = 1 / 100 ** (np.arange(width) / width)
    angle = np.arange(rows)[:, None] * speed
    return {
        "cos": np.cos(angle).astype(np.float32),
        "sin": np.sin(angle).astype(np.float32),
    }


def group_query(rotary: bool, packed: bool = False, past: int = 3) -> Example:
    """Grouped attention: prompts without a past, then single tokens with one."""
    cases = []
    for i, (batch, new, old) in enumerate(((2, 4, 0), (1, 1, past), (2, 1, past))):
        width = (64, 32, 32) if not packed else (128, 0, 0)
        case = {
            "key_past": random(30 + i, batch, 2, old, 16),
            "value_past": random(40 + i, batch, 2, old, 16),
            "lengths": np.full(batch, new + old - 1, np.int32),
            "total": np.asarray(new + old, np.int32),
        }
        for j, (name, w) in enumerate(zip("qkv", width, strict=True)):
            if w:
                case[name] = random(10 * i + j, batch, new, w)
        cases.append(case)
    inputs = "q - - " if packed else "q k v "
    inputs += "key_past value_past lengths total"
    return single(
        "GroupQueryAttention",
        cases,
        inputs + (" cos sin" if rotary else ""),
        "y key value",
        rotations(16, 8) if rotary else None,
        num_heads=4,
        kv_num_heads=2,
        do_rotary=int(rotary),
        local_window_size=2 if packed else -1,
    )


def nbits(bits: int, symmetric: bool) -> Example:
    """Weights in blocks of a few bits."""
    n, k, block = 8, 32, 16
    blocks = k // block
    held = {
        "w": bytes_of(1, n, blocks, block * bits // 8),
        "s": abs(random(2, n, blocks)) * np.float32(0.1),
    }
    if not symmetric:
        held["z"] = bytes_of(3, n, -(-blocks * bits // 8))
    names = "x w s" if symmetric else "x w s z"
    sizes = {"K": k, "N": n, "bits": bits, "block_size": block}
    return single(
        "MatMulNBits", batches(x=(3, k)), names, "y", held, rtol=1e-3, **sizes
    )


def tokens(**rows: int) -> list[dict[str, Any]]:
    """Token numbers for two batch sizes."""
    return [
        {n: integers(i, high, b, 5, dtype="int32") for n, high in rows.items()}
        for i, b in enumerate((2, 1))
    ]


def embedded() -> Example:
    """The embeddings at BERT's start."""
    held = weights(
        words=(20, 16), places=(8, 16), kinds=(2, 16), gamma=(16,), beta=(16,)
    )
    cases = [{**c, "mask": np.ones_like(c["ids"])} for c in tokens(ids=20, segments=2)]
    return single(
        "EmbedLayerNormalization",
        cases,
        "ids segments words places kinds gamma beta mask",
        "y mask_index:int32",
        held,
    )


def masked_attention() -> Example:
    """BERT's attention with the number of valid tokens of each row."""
    cases = [
        {**c, "mask": np.asarray(lengths, np.int32)}
        for c, lengths in zip(batches(x=(5, 16)), ([5, 3], [4]), strict=True)
    ]
    held = weights(w=(16, 48), b=(48,))
    return single("Attention", cases, "x w b mask", "y", held, num_heads=2)


def causal_attention() -> Example:
    """GPT-2's attention with its past."""
    cases = [
        {"x": random(i, b, 2, 16), "past": random(9 + i, 2, b, 2, old, 8)}
        for i, (b, old) in enumerate(((2, 3), (1, 5)))
    ]
    return single(
        "Attention",
        cases,
        "x w b - past",
        "y present",
        weights(w=(16, 48), b=(48,)),
        num_heads=2,
        unidirectional=1,
    )


QKV = {"q": (4, 16), "k": (6, 16), "v": (6, 16)}
LINEAR: dict[str, Any] = {
    "xs": SCALE,
    "ws": np.float32(0.02),
    "xz": ZERO,
    "wz": np.uint8(128),
}
NORM = weights(gamma=(16,), beta=(16,), bias=(16,))
IMAGE = (4, 6, 6)
WORDS = [
    {"x": np.array(["a cat sat", "dogs"], dtype=object)},
    {"x": np.array(["one more line"], dtype=object)},
]


def quantised_pair(op: str, **attributes: Any) -> Example:
    """An operator of two 8-bit tensors."""
    held = scales("a", "b", "y")
    names = "a as az b bs bz ys yz"
    return single(
        op, quantised("ab", 4, 5), names, "y:uint8", held, steps=1, **attributes
    )


def quantised_one(op: str, *shape: int, **attributes: Any) -> Example:
    """An operator of one 8-bit tensor."""
    held = scales("x", "y")
    if op == "QLinearSoftmax":
        held |= {"ys": np.float32(1 / 256), "yz": np.uint8(0)}
    return single(
        op,
        quantised("x", *shape),
        "x xs xz ys yz",
        "y:uint8",
        held,
        steps=1,
        **attributes,
    )


MODELS: dict[str, partial[Example]] = {
    "gelu": partial(single, "Gelu", batches(x=(5,)), "x"),
    "quick_gelu": partial(single, "QuickGelu", batches(x=(5,)), "x", alpha=1.5),
    "fast_gelu": partial(
        single, "FastGelu", batches(x=(5,)), "x b", "y", weights(b=(5,)), rtol=1e-3
    ),
    "bias_gelu": partial(
        single, "BiasGelu", batches(x=(5,)), "x b", "y", weights(b=(5,))
    ),
    "fused_matmul": partial(
        single,
        "FusedMatMul",
        batches(a=(4, 3), b=(5, 4)),
        "a b",
        transA=1,
        transB=1,
        alpha=0.5,
    ),
    "fused_gemm": partial(
        single,
        "FusedGemm",
        batches(x=(6,)),
        "x w b",
        "y",
        weights(w=(6, 4), b=(4,)),
        activation="Relu",
    ),
    "fused_conv": partial(
        single,
        "FusedConv",
        batches(x=IMAGE),
        "x w b",
        "y",
        weights(w=(3, 4, 3, 3), b=(3,)),
        activation="LeakyRelu",
        activation_params=[0.1],
        pads=[1, 1, 1, 1],
    ),
    "skip_layer_norm": partial(
        single,
        "SkipLayerNormalization",
        batches(x=(3, 16), skip=(3, 16)),
        "x skip gamma beta bias",
        "y - - sum",
        NORM,
        epsilon=1e-5,
    ),
    "skip_rms_norm": partial(
        single,
        "SkipSimplifiedLayerNormalization",
        batches(x=(3, 16), skip=(3, 16)),
        "x skip gamma",
        "y - - sum",
        weights(gamma=(16,)),
    ),
    "rms_norm": partial(
        single,
        "SimplifiedLayerNormalization",
        batches(x=(3, 16)),
        "x gamma",
        "y",
        weights(gamma=(16,)),
        domain="",
        axis=-1,
    ),
    "embed_layer_norm": partial(embedded),
    "attention_masked": partial(masked_attention),
    "attention_past": partial(causal_attention),
    "multi_head_attention": partial(
        single, "MultiHeadAttention", batches(**QKV), "q k v", num_heads=2
    ),
    "multi_head_attention_bias": partial(
        single,
        "MultiHeadAttention",
        batches(**QKV, bias=(2, 4, 6)),
        "q k v b - bias",
        "y",
        weights(b=(48,)),
        num_heads=2,
        scale=0.3,
    ),
    "multi_head_attention_past": partial(
        single,
        "MultiHeadAttention",
        batches(
            q=(2, 16), k=(2, 16), v=(2, 16), key_past=(2, 3, 8), value_past=(2, 3, 8)
        ),
        "q k v - - - key_past value_past",
        "y key value",
        num_heads=2,
        unidirectional=1,
    ),
    "group_query_attention": partial(group_query, False),
    "group_query_attention_rotary": partial(group_query, True),
    "group_query_attention_packed": partial(group_query, True, True),
    "rotary_embedding": partial(
        single,
        "RotaryEmbedding",
        [
            {**c, "places": np.arange(4)[None] + integers(1, 3, b, 1)}
            for b, c in zip((2, 1), batches(x=(2, 4, 8)), strict=True)
        ],
        "x places cos sin",
        "y",
        rotations(16, 4),
    ),
    "rotary_embedding_interleaved": partial(
        single,
        "RotaryEmbedding",
        [{**c, "start": np.array([2])} for c in batches(x=(4, 16))],
        "x start cos sin",
        "y",
        rotations(16, 4),
        interleaved=1,
        num_heads=2,
        rotary_embedding_dim=8,
    ),
    "matmul_nbits": partial(nbits, 4, False),
    "matmul_nbits_symmetric": partial(nbits, 4, True),
    "matmul_nbits8": partial(nbits, 8, False),
    "qlinear_add": partial(quantised_pair, "QLinearAdd"),
    "qlinear_mul": partial(quantised_pair, "QLinearMul"),
    "qlinear_sigmoid": partial(quantised_one, "QLinearSigmoid", 4, 5),
    "qlinear_leaky_relu": partial(quantised_one, "QLinearLeakyRelu", 4, 5, alpha=0.2),
    "qlinear_softmax": partial(
        quantised_one, "QLinearSoftmax", 4, 5, axis=-1, opset=13
    ),
    "qlinear_global_average_pool": partial(
        quantised_one, "QLinearGlobalAveragePool", *IMAGE
    ),
    "qlinear_average_pool": partial(
        quantised_one, "QLinearAveragePool", *IMAGE, kernel_shape=[2, 2], strides=[2, 2]
    ),
    "qlinear_concat": partial(
        single,
        "QLinearConcat",
        quantised("ab", 4, 5),
        "ys yz a as az b bs bz",
        "y:uint8",
        scales("a", "b", "y"),
        steps=1,
        axis=1,
    ),
    "qlinear_where": partial(
        single,
        "QLinearWhere",
        [{**c, "c": c["a"] > c["b"]} for c in quantised("ab", 4, 5)],
        "c a as az b bs bz ys yz",
        "y:uint8",
        scales("a", "b", "y"),
        steps=1,
    ),
    "qgemm": partial(
        single,
        "QGemm",
        quantised("x", 6),
        "x xs xz w ws wz b ys yz",
        "y:uint8",
        {
            **LINEAR,
            "w": bytes_of(1, 6, 4),
            "b": integers(2, 900, 4, dtype="int32"),
            "ys": np.float32(0.4),
            "yz": np.uint8(100),
        },
        steps=1,
    ),
    "dynamic_quantize_matmul": partial(
        single,
        "DynamicQuantizeMatMul",
        batches(x=(3, 6)),
        "x w ws wz b",
        "y",
        {
            "w": bytes_of(1, 6, 4),
            "ws": np.float32(0.02),
            "wz": np.uint8(128),
            **weights(b=(4,)),
        },
        rtol=1e-3,
    ),
    "matmul_integer_to_float": partial(
        single,
        "MatMulIntegerToFloat",
        quantised("x", 3, 6),
        "x w xs ws xz wz b",
        "y",
        {**LINEAR, "w": bytes_of(1, 6, 4), **weights(b=(4,))},
    ),
    "gather_block_quantized": partial(
        single,
        "GatherBlockQuantized",
        [{"ids": integers(i, 10, b, 3)} for i, b in enumerate((2, 1))],
        "w ids s z",
        "y",
        {
            "w": bytes_of(1, 10, 32),
            "s": abs(random(2, 10, 2)),
            "z": bytes_of(3, 10, 2),
        },
        bits=8,
        block_size=16,
        gather_axis=0,
        quantize_axis=1,
    ),
    "moe": partial(
        single,
        "MoE",
        batches(x=(8,), router=(4,)),
        "x router up - down",
        "y",
        weights(up=(4, 12, 8), down=(4, 8, 12)),
        k=2,
        activation_type="gelu",
        normalize_routing_weights=1,
    ),
    "qmoe": partial(
        single,
        "QMoE",
        batches(x=(32,), router=(4,)),
        "x router up us - down ds",
        "y",
        {
            "up": bytes_of(1, 4, 32, 16),
            "us": abs(random(2, 4, 32)) * np.float32(0.05),
            "down": bytes_of(3, 4, 32, 16),
            "ds": abs(random(4, 4, 32)) * np.float32(0.05),
        },
        rtol=1e-2,
        k=2,
        activation_type="silu",
        expert_weight_bits=4,
        normalize_routing_weights=1,
    ),
    "matmul_bnb4": partial(
        single,
        "MatMulBnb4",
        batches(x=(3, 32)),
        "x w scale",
        "y",
        {"w": bytes_of(1, 8 * 32 // 2), "scale": abs(random(2, 8 * 32 // 16))},
        K=32,
        N=8,
        block_size=16,
        quant_type=1,
    ),
    "qattention": partial(
        single,
        "QAttention",
        [
            {"x": bytes_of(i, b, 5, 16), "mask": np.asarray(m, np.int32)}
            for i, b, m in ((1, 2, [5, 3]), (2, 1, [4]))
        ],
        "x w b xs ws mask xz wz",
        "y",
        {**LINEAR, "w": bytes_of(3, 16, 48), **weights(b=(48,))},
        num_heads=2,
    ),
    "causal_conv": partial(
        single,
        "CausalConvWithState",
        batches(x=(4, 6), past=(4, 2)),
        "x w b past",
        "y present",
        weights(w=(4, 1, 3), b=(4,)),
        activation="silu",
    ),
    "linear_attention": partial(
        single,
        "LinearAttention",
        batches(q=(3, 16), k=(3, 16), v=(3, 16), past=(2, 8, 8)),
        "q k v past",
        "y present",
        q_num_heads=2,
        kv_num_heads=2,
        update_rule="linear",
        scale=0.5,
    ),
    "conv_transpose_pads": partial(
        single,
        "ConvTransposeWithDynamicPads",
        batches(x=IMAGE),
        "x w p",
        "y",
        {**weights(w=(4, 3, 3, 3)), "p": np.array([1, 1, 0, 1])},
        strides=[2, 2],
    ),
    "ngram_block": partial(
        single,
        "NGramRepeatBlock",
        [
            {"ids": integers(i, 3, b, 6), "scores": random(i, b, 5)}
            for i, b in ((1, 2), (2, 1))
        ],
        "ids scores",
        ngram_size=2,
    ),
    "gather_nd": partial(
        single,
        "GatherND",
        [
            {"x": random(i, 4, 5), "i": integers(i, 4, n, 2)}
            for i, n in ((1, 3), (2, 1))
        ],
        "x i",
    ),
    "range": partial(
        single,
        "Range",
        [
            {"a": np.float32(0), "b": np.float32(n), "c": np.float32(0.5)}
            for n in (2, 4)
        ],
        "a b c",
    ),
    "unique": partial(
        single,
        "Unique",
        [{"x": integers(i, 4, n).astype(np.float32)} for i, n in ((1, 8), (2, 5))],
        "x",
        "y i:int64 n:int64",
    ),
    "nhwc_max_pool": partial(
        single,
        "NhwcMaxPool",
        quantised("x", 6, 6, 4),
        "x",
        "y:uint8",
        kernel_shape=[2, 2],
        strides=[2, 2],
    ),
    "crop_and_resize": partial(
        single,
        "CropAndResize",
        batches(x=(2, 8, 8)),
        "x boxes which size",
        "y",
        {
            "boxes": np.array([[0, 0, 0.7, 0.8], [0.2, 0.1, 1, 1]], np.float32),
            "which": np.zeros(2, np.int32),
            "size": np.array([3, 4], np.int32),
        },
    ),
    "cdist": partial(
        single,
        "CDist",
        [{"a": random(i, n, 4), "b": random(9, 3, 4)} for i, n in enumerate((2, 1))],
        "a b",
        metric="euclidean",
    ),
    "inverse": partial(single, "Inverse", batches(x=(3, 3)), "x", rtol=1e-3),
    "trilu": partial(single, "Trilu", batches(x=(4, 5)), "x", upper=0),
    "expand_dims": partial(
        single, "ExpandDims", batches(x=(4,)), "x axis", "y", {"axis": np.int32(1)}
    ),
    "unfold_tensor": partial(
        single, "UnfoldTensor", batches(x=(9,)), "x", dim=1, size=3, step=2
    ),
    "pad": partial(
        single, "Pad", batches(x=(4,)), "x p", "y", {"p": np.array([0, 1, 1, 2])}
    ),
    "grid_sample": partial(
        single,
        "GridSample",
        batches(x=(2, 5, 5), grid=(3, 4, 2)),
        "x grid",
        mode="bilinear",
        padding_mode="border",
    ),
    "tokenizer": partial(
        single,
        "Tokenizer",
        WORDS,
        "x",
        "y:string",
        mark=0,
        mincharnum=1,
        pad_value="#",
        separators=[" "],
    ),
    "murmur_hash": partial(
        single, "MurmurHash3", WORDS, "x", "y:uint32", positive=1, seed=3
    ),
    "quantize_16": partial(
        single,
        "QuantizeLinear",
        batches(x=(5,)),
        "x s z",
        "y:uint16",
        {"s": np.float32(0.001), "z": np.uint16(30000)},
        steps=1,
    ),
    "dequantize_16": partial(
        single,
        "DequantizeLinear",
        [{"x": integers(i, 60000, b, 5, dtype="uint16")} for i, b in ((1, 2), (2, 1))],
        "x s z",
        "y",
        {"s": np.float32(0.001), "z": np.uint16(30000)},
    ),
}


if __name__ == "__main__":
    suite = Suite("microsoft", ("onnx", "onnxruntime"))
    for name, build in MODELS.items():
        suite.add(name, build)
    suite.close()
