"""Other exporters' models, quantised or fused by ONNX Runtime's own tools.

Reads what ``torch_modules`` and ``transformers`` give, so run those scripts first.
"""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from common import DATA, Array, Case, Example, Suite
from onnxruntime import quantization as q
from onnxruntime.quantization import matmul_nbits_quantizer as nbits
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers import float16, optimizer
from onnxruntime.transformers.fusion_options import FusionOptions

Rewrite = Callable[[Path, Path, list[dict[str, Array]]], Any]


class Reader(q.CalibrationDataReader):  # type: ignore[misc]
    """Feeds the cases' inputs to the calibration."""

    def __init__(self, cases: list[dict[str, Array]]) -> None:
        """Keep the cases."""
        self.feeds: Iterator[dict[str, Array]] = iter(cases)

    def get_next(self) -> dict[str, Array] | None:
        """Return the next case."""
        return next(self.feeds, None)


def inputs_of(name: str) -> list[dict[str, Array]]:
    """The stored inputs of a model's cases."""
    cases: dict[str, dict[str, Array]] = {}
    with np.load(DATA / f"{name}.npz") as stored:
        for key in stored.files:
            case, kind, rest = key.split("/", 2)
            if kind == "in":
                cases.setdefault(case, {})[rest] = stored[key]
    return list(cases.values())


def rewritten(
    name: str, rewrite: Rewrite, near: float, recheck: bool = True
) -> Example:
    """The model after the rewrite, with the same inputs."""
    cases = inputs_of(name)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.onnx"
        rewrite(DATA / f"{name}.onnx", target, cases)
        model = onnx.load(target)
    found: list[Case] = list(cases)
    return Example(model, found, near, near, recheck=recheck)


def dynamic(
    source: Path, target: Path, cases: list[dict[str, Array]], **options: Any
) -> None:
    """Quantise weights now and activations as they come."""
    q.quantize_dynamic(source, target, **options)


def static(
    source: Path, target: Path, cases: list[dict[str, Array]], **options: Any
) -> None:
    """Quantise weights and activations by the cases' ranges."""
    prepared = target.with_name("prepared.onnx")
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    options.setdefault("quant_format", q.QuantFormat.QDQ)
    q.quantize_static(prepared, target, Reader(cases), **options)


def blocks(
    source: Path, target: Path, cases: list[dict[str, Array]], **options: Any
) -> None:
    """Quantise weights in blocks of four bits."""
    made = nbits.MatMulNBitsQuantizer(
        onnx.load(source), block_size=16, bits=4, **options
    )
    made.process()
    onnx.save(made.model.model, target)


def half(source: Path, target: Path, cases: list[dict[str, Array]]) -> None:
    """Make every float a half, but for inputs and outputs."""
    model = float16.convert_float_to_float16(onnx.load(source), keep_io_types=True)
    onnx.save(model, target)


def fused(
    source: Path, target: Path, cases: list[dict[str, Array]], kind: str = "bert"
) -> None:
    """Fuse with the transformers optimiser."""
    options = FusionOptions(kind)
    made = optimizer.optimize_model(
        str(source), kind, num_heads=2, hidden_size=16, optimization_options=options
    )
    made.save_model_to_file(str(target))


def saved(source: Path, target: Path, cases: list[dict[str, Array]]) -> None:
    """Save what a session's extended rewrites make."""
    options = ort.SessionOptions()
    level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.graph_optimization_level = level
    options.optimized_model_filepath = str(target)
    ort.InferenceSession(source, options, ["CPUExecutionProvider"])


QOP = {"quant_format": q.QuantFormat.QOperator}
INT8 = {"activation_type": q.QuantType.QInt8, "per_channel": True}
INT16 = {"activation_type": q.QuantType.QUInt16}

ROUNDED = {"llama_4bit_qdq"}  # ONNX Runtime's rewrites round its activations to 8 bits

MODELS: dict[str, tuple[str, Rewrite, float]] = {
    "mlp_dynamic": ("torch_legacy/mlp", dynamic, 0.02),
    "mlp_qdq": ("torch_legacy/mlp", static, 0.02),
    "mlp_qdq_int16": ("torch_dynamo/mlp", partial(static, **INT16), 0.02),
    "mlp_qoperator": ("torch_legacy/mlp", partial(static, **QOP), 0.02),
    "cnn_qdq": ("torch_legacy/cnn", static, 0.02),
    "cnn_qdq_int8": ("torch_dynamo/cnn", partial(static, **INT8), 0.02),
    "cnn_qoperator": ("torch_legacy/cnn", partial(static, **QOP), 0.02),
    "cnn_dynamic": ("torch_legacy/cnn", dynamic, 0.02),
    "lstm_dynamic": ("torch_legacy/lstm", dynamic, 0.02),
    "resnet_qdq": ("transformers/resnet", partial(static, **INT8), 0.1),
    "resnet_qoperator": ("transformers/resnet_legacy", partial(static, **QOP), 0.1),
    "bert_dynamic": ("transformers/bert_legacy", dynamic, 0.1),
    "bert_qdq": ("transformers/bert_legacy", static, 0.1),
    "llama_4bit": ("transformers/llama", blocks, 1e-3),
    "llama_4bit_qdq": (
        "transformers/llama",
        partial(blocks, quant_format=q.QuantFormat.QDQ),
        1e-3,
    ),
    "bert_half": ("transformers/bert_legacy", half, 3e-2),
    "cnn_half": ("torch_legacy/cnn", half, 1e-2),
    "bert_fused": ("transformers/bert_legacy", fused, 1e-3),
    "bert_dynamo_fused": ("transformers/bert", fused, 1e-3),
    "bert_fused_dynamic": (
        "onnxruntime/bert_fused",
        partial(dynamic, extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT}),
        0.1,
    ),
    "gpt2_fused": ("transformers/gpt2_legacy", partial(fused, kind="gpt2"), 1e-3),
    "vit_fused": ("transformers/vit_legacy", partial(fused, kind="vit"), 1e-3),
    "t5_fused": ("transformers/t5_legacy", partial(fused, kind="t5"), 1e-3),
    "whisper_fused": ("transformers/whisper", partial(fused, kind="bart"), 1e-3),
    "clip_fused": ("transformers/clip", partial(fused, kind="clip"), 1e-3),
    "llama_fused": ("transformers/llama_legacy", partial(fused, kind="gpt2"), 1e-3),
    "cnn_saved": ("torch_legacy/cnn", saved, 1e-4),
    "bert_saved": ("transformers/bert_legacy", saved, 1e-3),
    "llama_saved": ("transformers/llama", saved, 1e-3),
    "swin_saved": ("transformers/swin", saved, 1e-3),
    "cnn_qdq_saved": ("onnxruntime/cnn_qdq", saved, 0.02),
    "bert_qdq_saved": ("onnxruntime/bert_qdq", saved, 0.1),
    "mlp_dynamic_saved": ("onnxruntime/mlp_dynamic", saved, 0.02),
}


if __name__ == "__main__":
    suite = Suite("onnxruntime", ("onnxruntime", "onnx"))
    for name, (source, rewrite, near) in MODELS.items():
        suite.add(name, partial(rewritten, source, rewrite, near, name not in ROUNDED))
    suite.close()
