"""Transformers' architectures from configurations, with random weights."""

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import onnx
import torch
import transformers as t
from common import Array, Example, Suite, integers, random
from torch import Tensor, nn
from torch_modules import enliven

warnings.filterwarnings("ignore")

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
TEXT: dict[str, Any] = {**SMALL, "vocab_size": 40, "max_position_embeddings": 32}
VISION: dict[str, Any] = {**SMALL, "image_size": 16, "patch_size": 4}

TOKENS = {0: "batch", 1: "sequence"}
BATCH = {0: "batch"}


class Plain(nn.Module):
    """A model called with positional tensors that returns a tuple of tensors."""

    def __init__(self, model: nn.Module, names: Sequence[str], keep: int) -> None:
        """Name the arguments and say how many outputs to keep."""
        super().__init__()
        self.model = model
        self.names = names
        self.keep = keep

    def forward(self, *args: Tensor) -> tuple[Tensor, ...]:
        """Call the model by name, without a cache."""
        named = dict(zip(self.names, args, strict=True))
        found = self.model(**named, return_dict=True).to_tuple()
        tensors = [v for v in found if isinstance(v, Tensor)]
        return tuple(tensors[: self.keep])


@dataclass(frozen=True)
class Entry:
    """An architecture: its model, the inputs of each case and their dynamic axes."""

    name: str
    build: Callable[[], nn.Module]
    inputs: dict[str, dict[int, str]]
    cases: Sequence[tuple[Array, ...]]
    keep: int = 1


def tokens(seed: int, batch: int, length: int) -> Array:
    """Token numbers below 40, none of them special."""
    return integers(seed, 30, batch, length) + 5


def mask(batch: int, length: int) -> Array:
    """A mask that leaves out the last token of the first row."""
    full = np.ones((batch, length), np.int64)
    full[0, -1] = 0
    return full


def sentences() -> list[tuple[Array, ...]]:
    """Tokens and masks of several sizes."""
    sizes = [(2, 6), (1, 4), (3, 9)]
    return [(tokens(i, *size), mask(*size)) for i, size in enumerate(sizes)]


def pictures(channels: int = 3, size: int = 16) -> list[tuple[Array, ...]]:
    """Images of one size in two batch sizes."""
    return [(random(i, n, channels, size, size),) for i, n in enumerate((2, 1))]


def of(model: Any, config: Any, **options: Any) -> Callable[[], nn.Module]:
    """A builder of a model from its configuration."""
    options.setdefault("attn_implementation", "sdpa")
    made = {"use_cache": False, **options}
    return lambda: model(config(**{k: v for k, v in made.items() if v is not None}))


def encoder(name: str, model: Any, config: Any, **options: Any) -> Entry:
    """A text model that takes tokens and a mask."""
    inputs = {"input_ids": TOKENS, "attention_mask": TOKENS}
    build = of(model, config, **{**TEXT, **options})
    return Entry(name, build, inputs, sentences())


def vision(name: str, model: Any, config: Any, size: int = 16, **options: Any) -> Entry:
    """A model of images."""
    inputs = {"pixel_values": BATCH}
    build = of(model, config, use_cache=None, **options)
    return Entry(name, build, inputs, pictures(size=size))


LLAMA = {**TEXT, "num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0}
GPT2: dict[str, Any] = {
    "n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 40, "n_positions": 32,
}  # fmt: skip
T5: dict[str, Any] = {
    "vocab_size": 40, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2,
    "num_decoder_layers": 1, "num_heads": 2, "attn_implementation": "eager",
}  # fmt: skip
WHISPER: dict[str, Any] = {
    "vocab_size": 40, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_mel_bins": 8,
    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_source_positions": 10,
    "max_target_positions": 16, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "decoder_start_token_id": 1, "suppress_tokens": None,
    "begin_suppress_tokens": None,
}  # fmt: skip


def clip() -> nn.Module:
    """Both towers of CLIP."""
    text = t.CLIPTextConfig(**TEXT, eos_token_id=39, bos_token_id=1, pad_token_id=0)
    config = t.CLIPConfig(
        text_config=text.to_dict(),
        vision_config=t.CLIPVisionConfig(**VISION).to_dict(),
        projection_dim=8,
    )
    return t.CLIPModel(config)


def speech() -> list[tuple[Array, ...]]:
    """Mel spectra and the first tokens of their texts."""
    return [
        (random(i, n, 8, 20), tokens(i, n, size))
        for i, (n, size) in enumerate(((2, 4), (1, 3)))
    ]


def captions() -> list[tuple[Array, ...]]:
    """Tokens that end with CLIP's last one, images, masks."""
    found: list[tuple[Array, ...]] = []
    for i, (n, m, size) in enumerate(((2, 3, 5), (1, 1, 7))):
        text = tokens(i, n, size)
        text[:, -1] = 39
        found.append((text, random(i, m, 3, 16, 16), np.ones_like(text)))
    return found


ENTRIES = [
    encoder("bert", t.BertModel, t.BertConfig),
    encoder("bert_eager", t.BertModel, t.BertConfig, attn_implementation="eager"),
    encoder("bert_masked_lm", t.BertForMaskedLM, t.BertConfig),
    encoder("roberta", t.RobertaModel, t.RobertaConfig),
    encoder(
        "distilbert",
        t.DistilBertForSequenceClassification,
        t.DistilBertConfig,
        dim=16,
        n_layers=1,
        n_heads=2,
        hidden_dim=32,
    ),
    encoder("modernbert", t.ModernBertModel, t.ModernBertConfig, pad_token_id=0),
    encoder("gpt2", t.GPT2LMHeadModel, t.GPT2Config, **GPT2),
    encoder("llama", t.LlamaForCausalLM, t.LlamaConfig, **LLAMA),
    encoder(
        "llama_eager",
        t.LlamaForCausalLM,
        t.LlamaConfig,
        **LLAMA,
        attn_implementation="eager",
    ),
    encoder("mistral", t.MistralForCausalLM, t.MistralConfig, **LLAMA),
    encoder("qwen3", t.Qwen3ForCausalLM, t.Qwen3Config, **LLAMA),
    encoder("gemma", t.GemmaForCausalLM, t.GemmaConfig, **LLAMA),
    encoder("phi", t.PhiForCausalLM, t.PhiConfig, pad_token_id=0),
    encoder("gpt_neox", t.GPTNeoXForCausalLM, t.GPTNeoXConfig, pad_token_id=0),
    Entry(
        "mamba",
        of(
            t.MambaForCausalLM,
            t.MambaConfig,
            **TEXT,
            state_size=4,
            pad_token_id=0,
            attn_implementation=None,
        ),
        {"input_ids": BATCH},
        [(tokens(1, 2, 6),), (tokens(2, 1, 6),)],
    ),
    Entry(
        "t5",
        of(t.T5ForConditionalGeneration, t.T5Config, **T5),
        {
            "input_ids": TOKENS,
            "attention_mask": TOKENS,
            "decoder_input_ids": {0: "batch", 1: "target"},
        },
        [(*case, tokens(7, len(case[0]), 3)) for case in sentences()],
    ),
    Entry(
        "whisper",
        of(t.WhisperForConditionalGeneration, t.WhisperConfig, **WHISPER),
        {"input_features": BATCH, "decoder_input_ids": {0: "batch", 1: "target"}},
        speech(),
    ),
    Entry(
        "bart",
        of(
            t.BartModel,
            t.BartConfig,
            **{k: v for k, v in WHISPER.items() if "suppress" not in k},
            max_position_embeddings=16,
        ),
        {"input_ids": TOKENS, "decoder_input_ids": {0: "batch", 1: "target"}},
        [(tokens(1, n, m), tokens(2, n, 3)) for n, m in ((2, 5), (1, 6))],
    ),
    Entry(
        "clip",
        clip,
        {"input_ids": TOKENS, "pixel_values": {0: "images"}, "attention_mask": TOKENS},
        captions(),
        keep=4,
    ),
    vision("vit", t.ViTForImageClassification, t.ViTConfig, **VISION),
    vision("deit", t.DeiTModel, t.DeiTConfig, **VISION),
    vision("dinov2", t.Dinov2Model, t.Dinov2Config, **VISION),
    vision(
        "swin",
        t.SwinForImageClassification,
        t.SwinConfig,
        size=32,
        image_size=32,
        patch_size=2,
        embed_dim=8,
        depths=[2, 2],
        num_heads=[1, 2],
        window_size=4,
        attn_implementation="eager",
    ),
    vision(
        "mobilenet_v1",
        t.MobileNetV1ForImageClassification,
        t.MobileNetV1Config,
        size=32,
        image_size=32,
        depth_multiplier=0.0625,
        attn_implementation=None,
    ),
    vision(
        "mobilenet_v2",
        t.MobileNetV2ForImageClassification,
        t.MobileNetV2Config,
        size=32,
        image_size=32,
        depth_multiplier=0.1,
        min_depth=4,
        depth_divisible_by=4,
        attn_implementation=None,
    ),
    vision(
        "mobilevit",
        t.MobileViTModel,
        t.MobileViTConfig,
        size=32,
        image_size=32,
        hidden_sizes=[8, 12, 16],
        neck_hidden_sizes=[4, 4, 8, 8, 8, 8, 16],
        num_attention_heads=2,
        attn_implementation=None,
    ),
    vision(
        "convnext",
        t.ConvNextForImageClassification,
        t.ConvNextConfig,
        size=32,
        hidden_sizes=[4, 8, 12, 16],
        depths=[1, 1, 1, 1],
        attn_implementation=None,
    ),
    vision(
        "resnet",
        t.ResNetForImageClassification,
        t.ResNetConfig,
        size=32,
        embedding_size=8,
        hidden_sizes=[8, 16],
        depths=[1, 1],
        layer_type="basic",
        attn_implementation=None,
    ),
    vision(
        "segformer",
        t.SegformerForSemanticSegmentation,
        t.SegformerConfig,
        size=32,
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 16],
        patch_sizes=[7, 3],
        strides=[4, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=8,
        attn_implementation=None,
    ),
    Entry(
        "wav2vec2",
        of(
            t.Wav2Vec2Model,
            t.Wav2Vec2Config,
            use_cache=None,
            **SMALL,
            vocab_size=40,
            conv_dim=(8, 8),
            conv_stride=(4, 2),
            conv_kernel=(8, 3),
            num_feat_extract_layers=2,
            num_conv_pos_embeddings=4,
            num_conv_pos_embedding_groups=2,
        ),
        {"input_values": {0: "batch", 1: "samples"}},
        [(random(1, 2, 160),), (random(2, 1, 240),)],
    ),
]


def export(entry: Entry, opset: int | None = None, dynamic: bool = True) -> Example:
    """One architecture as the dynamo exporter writes it."""
    torch.manual_seed(0)
    model = Plain(enliven(entry.build()), list(entry.inputs), entry.keep)
    axes = tuple(dict(a) for a in entry.inputs.values())
    cases = entry.cases if dynamic else [entry.cases[0], entry.cases[0]]
    program = torch.onnx.export(
        model.eval(),
        tuple(map(torch.as_tensor, cases[0])),
        dynamo=True,
        input_names=list(entry.inputs),
        dynamic_shapes=(axes,) if dynamic else None,
        opset_version=opset,
        verbose=False,
    )
    assert program is not None
    return Example(program.model_proto, cases, rtol=1e-3, atol=1e-4)


def legacy(entry: Entry) -> Example:
    """One architecture as the TorchScript exporter writes it."""
    torch.manual_seed(0)
    model = Plain(enliven(entry.build()), list(entry.inputs), entry.keep)
    buffer = io.BytesIO()
    torch.onnx.export(
        model.eval(),
        tuple(map(torch.as_tensor, entry.cases[0])),
        buffer,
        dynamo=False,
        input_names=list(entry.inputs),
        dynamic_axes=entry.inputs,
    )
    found = onnx.load_from_string(buffer.getvalue())
    return Example(found, entry.cases, rtol=1e-3, atol=1e-4)


class Cached(nn.Module):
    """A decoder's step: past keys and values in, the longer ones out."""

    def __init__(self) -> None:
        """One small Llama."""
        super().__init__()
        options = {**LLAMA, "num_hidden_layers": 1}
        self.model = t.LlamaForCausalLM(t.LlamaConfig(**options))

    def forward(self, ids: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        """Return logits, keys and values."""
        past = t.DynamicCache()
        past.update(key, value, 0)
        found = self.model(input_ids=ids, past_key_values=past, use_cache=True)
        layer = past.layers[0]
        return found.logits, layer.keys, layer.values


def cached() -> Example:
    """A step of a decoder with a key and value cache."""
    torch.manual_seed(0)
    cases = [
        (tokens(i, n, new), random(i, n, 1, old, 8), random(9 + i, n, 1, old, 8))
        for i, (n, new, old) in enumerate(((2, 2, 5), (1, 1, 3)))
    ]
    past = {0: "batch", 2: "past"}
    program = torch.onnx.export(
        enliven(Cached()),
        tuple(map(torch.as_tensor, cases[0])),
        dynamo=True,
        dynamic_shapes=(TOKENS, past, past),
        verbose=False,
    )
    assert program is not None
    return Example(program.model_proto, cases, rtol=1e-3, atol=1e-4)


if __name__ == "__main__":
    packages = ("transformers", "torch", "onnxscript", "onnx", "onnxruntime")
    suite = Suite("transformers", packages)
    for entry in ENTRIES:
        suite.add(entry.name, partial(export, entry))
    by_name = {entry.name: entry for entry in ENTRIES}
    for name in ("bert", "llama"):
        suite.add(f"{name}_static", partial(export, by_name[name], None, False))
    suite.add("bert_opset23", partial(export, by_name["bert"], 23))
    row = {1: "sequence"}
    single = replace(
        by_name["llama"],
        inputs={"input_ids": row, "attention_mask": row},
        cases=[(tokens(n, 1, n), mask(1, n)) for n in (6, 4)],
    )
    suite.add("llama_opset23", partial(export, single, 23))
    for name in ("bert_eager", "gpt2", "llama_eager", "t5", "vit", "resnet", "swin"):
        suite.add(f"{name.split('_')[0]}_legacy", partial(legacy, by_name[name]))
    suite.add("llama_cached", cached)
    suite.close()
