"""Keras 3's models, on TensorFlow, through ``model.export(format="onnx")``."""

import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import onnx
from common import Array, Example, Suite, integers, random
from keras import layers

Builder = Callable[[], keras.Model]


def dense() -> keras.Model:
    """Three dense layers with a norm."""
    return keras.Sequential(
        [
            layers.Input((8,)),
            layers.Dense(16, "relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(8, "swish"),
            layers.Dense(3, "softmax"),
        ]
    )


def conv() -> keras.Model:
    """Convolutions, plain, depthwise and separable, with a residual."""
    image = layers.Input((12, 12, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    y = layers.BatchNormalization()(y)
    x = layers.add([x, layers.ReLU(6.0)(y)])
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    x = layers.SeparableConv2D(6, 3)(x)
    x = layers.LeakyReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(4)(x))


def upsampling() -> keras.Model:
    """A small autoencoder."""
    return keras.Sequential(
        [
            layers.Input((8, 8, 2)),
            layers.Conv2D(4, 3, 2, padding="same", activation="elu"),
            layers.AveragePooling2D(2),
            layers.UpSampling2D(2, interpolation="bilinear"),
            layers.Conv2DTranspose(3, 3, 2, padding="same"),
            layers.ZeroPadding2D(1),
            layers.Cropping2D(((0, 1), (1, 0))),
        ]
    )


def conv1d() -> keras.Model:
    """Causal convolutions of a series."""
    return keras.Sequential(
        [
            layers.Input((16, 3)),
            layers.Conv1D(4, 3, padding="causal", dilation_rate=2),
            layers.MaxPooling1D(2),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )


def recurrent(layer: Callable[..., keras.Layer]) -> keras.Model:
    """A recurrent layer over a series, forwards and both ways."""
    series = layers.Input((6, 4))
    x = layers.Bidirectional(layer(5, return_sequences=True))(series)
    return keras.Model(series, [x, layer(3)(x)])


def attention() -> keras.Model:
    """A transformer block over tokens."""
    tokens = layers.Input((None,), dtype="int32")
    x = layers.Embedding(20, 16)(tokens)
    y = layers.MultiHeadAttention(2, 8)(x, x, use_causal_mask=True)
    x = layers.LayerNormalization()(x + y)
    y = layers.Dense(16)(layers.Dense(32, "silu")(x))
    x = layers.LayerNormalization()(x + y)
    return keras.Model(tokens, layers.GlobalMaxPooling1D()(x))


def grouped() -> keras.Model:
    """Group, unit and RMS norms."""
    image = layers.Input((4, 4, 8))
    x = layers.GroupNormalization(2)(image)
    x = layers.UnitNormalization()(x)
    return keras.Model(image, layers.PReLU()(x))


def merged() -> keras.Model:
    """Two inputs, merged in every way."""
    a, b = layers.Input((6,), name="a"), layers.Input((6,), name="b")
    x = layers.concatenate([a * b, layers.maximum([a, b]), layers.subtract([a, b])])
    x = layers.Reshape((3, 6))(x)
    x = layers.Permute((2, 1))(x)
    return keras.Model([a, b], [x, layers.Dot(1)([a, b]), keras.ops.max(x, -1)])


def series(seed: int, *shape: int) -> list[tuple[Array]]:
    """A batch of two, and of one."""
    return [(random(seed, 2, *shape),), (random(seed + 1, 1, *shape),)]


TOKENS = [
    (integers(1, 20, 2, 5, dtype="int32"),),
    (integers(2, 20, 1, 7, dtype="int32"),),
]
PAIRS = [tuple(random(i + j, n, 6) for j in (0, 9)) for i, n in enumerate((2, 1))]

MODELS: dict[str, tuple[Builder, Sequence[tuple[Array, ...]]]] = {
    "dense": (dense, series(1, 8)),
    "conv": (conv, series(1, 12, 12, 3)),
    "upsampling": (upsampling, series(1, 8, 8, 2)),
    "conv1d": (conv1d, series(1, 16, 3)),
    "lstm": (partial(recurrent, layers.LSTM), series(1, 6, 4)),
    "gru": (partial(recurrent, layers.GRU), series(1, 6, 4)),
    "simple_rnn": (partial(recurrent, layers.SimpleRNN), series(1, 6, 4)),
    "attention": (attention, TOKENS),
    "norms": (grouped, series(1, 4, 4, 8)),
    "merged": (merged, PAIRS),
}


def export(build: Builder, cases: Sequence[tuple[Array, ...]]) -> Example:
    """Build with a fixed seed and export."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    model = build()
    model([keras.ops.array(x) for x in cases[0]] if len(cases[0]) > 1 else cases[0][0])
    for weight in model.weights:
        if "moving" in weight.path:
            weight.assign(abs(random(3, *weight.shape)) + 0.2)
        elif len(weight.shape) == 1 and weight.dtype == "float32":
            weight.assign_add(0.3 * random(4, *weight.shape))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        model.export(path, format="onnx", verbose=False)
        return Example(onnx.load(path), cases)


if __name__ == "__main__":
    packages = ("keras", "tensorflow-cpu", "tf2onnx", "onnx", "onnxruntime")
    suite = Suite("keras", packages)
    for name, (build, cases) in MODELS.items():
        suite.add(name, partial(export, build, cases))
    suite.close()
