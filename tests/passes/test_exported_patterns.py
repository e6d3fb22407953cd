"""What exporters make of known parts of networks, and the ops that are found again.

That they give what torch gave is tested with the other exporters' models.
"""

from pathlib import Path

import pytest

import graphwright as gw

FOLDER = Path(__file__).parent.parent / "data" / "exporters" / "torch_patterns"

_DECODER = (
    "rms_norm reshape dot reshape rms_norm transpose dot reshape rms_norm transpose"
    " dot reshape transpose rotary_embedding rotary_embedding attention transpose"
    " reshape dot reshape add rms_norm reshape dot swish dot mul dot reshape add"
)
_HEADS = {"attention", "transpose", "reshape", "slice"}

OPS = {
    "decoder_eager": _DECODER,
    "decoder_fused": _DECODER,
    **{
        f"eager_{kind}": "attention transpose"
        for kind in ("plain", "fill", "triu", "triu_min", "where", "where_min")
    },
    **{
        f"fused_{kind}": "attention" for kind in ("plain", "causal", "float", "grouped")
    },
    "gated": "reshape dot swish dot mul dot reshape",
    **{
        f"rms_{kind}": "rms_norm"
        for kind in ("llama", "torch", "gemma", "divided", "power", "sum")
    },
    "rotary_gptj": "rotary_embedding",
    "rotary_llama": "reshape reshape rotary_embedding rotary_embedding",
    "rotary_neox": "slice slice rotary_embedding concat",
    "rotary_pairs": "rotary_embedding",
    "rotary_split": "rotary_embedding",
    "swish": "swish swish",
}
"""The ops of the optimised graph, by the model, whichever exporter wrote it."""

CAUSAL = {"decoder_eager", "decoder_fused", "fused_causal", "fused_grouped"} | {
    f"eager_{kind}" for kind in ("fill", "triu", "triu_min", "where", "where_min")
}
"""Models whose mask is found to be that of positions."""

MODELS = sorted(path.stem for path in FOLDER.glob("*.onnx"))


def pattern_of(model: str) -> str:
    return model.rsplit("_", 1)[0]


def test_each_model_is_looked_at() -> None:
    left = {pattern_of(m) for m in MODELS} - OPS.keys()
    assert left == {"fused_bool", "vision_chunk", "vision_eager", "vision_unbind"}
    assert OPS.keys() <= {pattern_of(m) for m in MODELS}


@pytest.mark.parametrize("model", [m for m in MODELS if pattern_of(m) in OPS])
def test_nothing_but_these_ops_is_left(model: str) -> None:
    graph = gw.optimize(gw.load(FOLDER / f"{model}.onnx"))
    assert " ".join(n.op.name for n in graph.nodes) == OPS[pattern_of(model)]


@pytest.mark.parametrize(
    "model", [m for m in MODELS if "attention" in OPS.get(pattern_of(m), "")]
)
def test_masks_and_shared_heads(model: str) -> None:
    graph = gw.optimize(gw.load(FOLDER / f"{model}.onnx"))
    (node,) = [n for n in graph.nodes if n.op.name == "attention"]
    fields = node.op.fields
    assert fields["causal"] == (pattern_of(model) in CAUSAL)
    assert fields["masked"] == (pattern_of(model) == "fused_float")
    q, k, v = (x.shape for x in node.operands[:3])
    assert q[1] == 2 * k[1] == 2 * v[1], "keys and values are not repeated"


@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
def test_boolean_masks(exporter: str) -> None:
    graph = gw.optimize(gw.load(FOLDER / f"fused_bool_{exporter}.onnx"))
    assert [n.op.name for n in graph.nodes].count("attention") == 1
    assert "softmax" not in {n.op.name for n in graph.nodes}


@pytest.mark.parametrize("model", [m for m in MODELS if m.startswith("vision")])
def test_one_product_for_queries_keys_and_values(model: str) -> None:
    path = FOLDER / f"{model}.onnx"
    graph = gw.optimize(gw.load(path))
    names = {n.op.name for n in graph.nodes}
    assert names == {*_HEADS, "dot", "add", "broadcast_to"}
    exe = gw.compile(path, backend="numpy")
    steps = [n.op.name for n in exe.program.graph.nodes]
    assert steps == ["reshape", "fused", "fused", "fused", "reshape"]
