"""TensorFlow functions through ``tf2onnx``."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

import numpy as np
import tensorflow as tf
import tf2onnx
from common import Array, Example, Suite, integers, random

Tensor = Any


def mlp(x: Tensor) -> Tensor:
    """Three layers written out."""
    x = tf.nn.relu(x @ random(1, 6, 12) + random(2, 12))
    x = tf.nn.sigmoid(x @ random(3, 12, 8))
    return tf.nn.softmax(x @ random(4, 8, 3))


def conv(x: Tensor) -> Tensor:
    """Convolution, norm and pooling of channels-last images."""
    x = tf.nn.conv2d(x, random(1, 3, 3, 3, 4), 2, "SAME")
    x, _, _ = tf.compat.v1.nn.fused_batch_norm(
        x,
        random(2, 4),
        random(3, 4),
        random(4, 4),
        abs(random(5, 4)),
        is_training=False,
    )
    x = tf.nn.depthwise_conv2d(x, random(6, 3, 3, 4, 1), [1, 1, 1, 1], "VALID")
    return tf.nn.max_pool2d(tf.nn.relu6(x), 2, 1, "SAME")


def branch(x: Tensor) -> Tensor:
    """A branch on the data."""
    return tf.cond(
        tf.reduce_sum(x) > 0, lambda: tf.sin(x) + 1.0, lambda: tf.cos(x) * 2.0
    )


def loop(x: Tensor) -> tuple[Tensor, Tensor]:
    """A loop until the data says so."""
    found = tf.while_loop(
        lambda i, y: tf.reduce_sum(y) < 100.0,
        lambda i, y: (i + 1, y * 1.5),
        (tf.constant(0), tf.abs(x) + 0.1),
    )
    return tuple(found)


def autograph(x: Tensor, n: Tensor) -> Tensor:
    """Python's own loops and branches, as autograph rewrites them."""
    total = tf.zeros_like(x)
    for i in tf.range(n):
        if i % 2 == 0:  # noqa: SIM108 (the branch is what is exported)
            total = total + x * tf.cast(i, tf.float32)
        else:
            total = total - tf.tanh(x)
    return total


def gathered(x: Tensor) -> Tensor:
    """A tensor array filled in a loop."""
    rows = tf.TensorArray(tf.float32, size=tf.shape(x)[0])
    for i in tf.range(tf.shape(x)[0]):
        rows = rows.write(i, x[i] * tf.cast(i, tf.float32))
    return rows.stack()


def scanned(x: Tensor) -> Tensor:
    """A running state."""
    return tf.scan(lambda s, v: tf.tanh(0.5 * s + v), x, tf.zeros([4]))


def slices(x: Tensor) -> tuple[Tensor, ...]:
    """Strided slices and reshapes."""
    return (
        x[:, ::-1], x[..., tf.newaxis, 1:3], x[-1], tf.reshape(x, [-1]),
        tf.transpose(x), tf.tile(x, [2, 1]), tf.pad(x, [[1, 0], [0, 2]], "REFLECT"),
        tf.concat([x, x], 1), tf.stack([x, x], 1), tf.reverse(x, [0]),
        tf.roll(x, 1, 1), tf.split(x, 2, 1)[1], tf.broadcast_to(x[:1], [3, 4]),
    )  # fmt: skip


def lookups(x: Tensor, i: Tensor) -> tuple[Tensor, ...]:
    """Gathers, scatters and one-hots."""
    return (
        tf.gather(x, i), tf.gather_nd(x, i[:, None]), tf.one_hot(i, 4),
        tf.tensor_scatter_nd_add(x, i[:, None], tf.gather(x, i)), tf.argsort(x),
        tf.math.top_k(x, 2).values, tf.math.unsorted_segment_sum(x, i, 4),
        tf.where(x > 0, x, -x), tf.boolean_mask(x, x[:, 0] > 0), tf.cumsum(x, 1),
    )  # fmt: skip


def pointwise(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Functions of single elements and reductions."""
    return (
        x / y, tf.math.floordiv(x, y), tf.math.floormod(x, y), tf.abs(x) ** y,
        tf.math.squared_difference(x, y), tf.math.rsqrt(tf.abs(x)), tf.math.erf(x),
        tf.nn.elu(x), tf.nn.softplus(x), tf.nn.leaky_relu(x), tf.nn.log_softmax(x),
        tf.reduce_mean(x, 1), tf.reduce_max(x, 0), tf.reduce_logsumexp(x, 1),
        tf.norm(x, axis=1), tf.math.l2_normalize(x, 1), tf.linalg.band_part(x, 0, -1),
        tf.clip_by_value(x, -0.5, 0.5), tf.round(x), tf.sign(x), tf.argmax(x, 1),
    )  # fmt: skip


def contracted(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Products of batches of matrices."""
    return tf.matmul(x, y, transpose_b=True), tf.einsum("bij,bkj->bki", x, y)


def resized(x: Tensor) -> tuple[Tensor, ...]:
    """Resizing and rearranging images."""
    return (
        tf.image.resize(x, [5, 9]),
        tf.image.resize(x, [8, 8], "nearest"),
        tf.nn.depth_to_space(x, 2),
        tf.nn.space_to_depth(x, 2),
        tf.space_to_batch(x, [2, 2], [[0, 0], [0, 0]]),
    )


def words(x: Tensor) -> tuple[Tensor, Tensor]:
    """Integers and booleans."""
    return tf.bitwise.bitwise_and(x, 6), tf.reduce_any(x > 3, 1)


def trigonometry(x: Tensor) -> tuple[Tensor, ...]:
    """Angles and hyperbolic functions."""
    y = tf.clip_by_value(x, -0.9, 0.9)
    return (
        tf.asin(y), tf.acos(y), tf.atanh(y), tf.sinh(x), tf.cosh(x), tf.asinh(x),
        tf.acosh(tf.abs(x) + 1), tf.tan(x), tf.nn.softsign(x), tf.nn.selu(x),
        tf.math.is_nan(x), tf.math.logical_xor(x > 0, x > 1), tf.size(x),
    )  # fmt: skip


def detected(boxes: Tensor, scores: Tensor) -> Tensor:
    """The best of overlapping boxes."""
    return tf.image.non_max_suppression(boxes, scores, 4, 0.3)


def cropped(x: Tensor) -> Tensor:
    """Boxes cut out of images and resized."""
    boxes = tf.constant([[0.0, 0.0, 0.7, 0.8], [0.2, 0.1, 1.0, 1.0]])
    return tf.image.crop_and_resize(x, boxes, tf.constant([0, 0]), [3, 4])


def distinct(x: Tensor) -> tuple[Tensor, ...]:
    """Distinct values, ranges and ones on the diagonal."""
    values, where = tf.unique(x)
    return values, where, tf.range(tf.size(values)), tf.eye(tf.size(x))


def normed(x: Tensor) -> tuple[Tensor, ...]:
    """Response norms, determinants and diagonals."""
    square = x[:, :, :, 0]
    return tf.nn.lrn(x, 2), tf.linalg.det(square), tf.linalg.diag_part(square)


def half(x: Tensor) -> Tensor:
    """Half precision inside."""
    x = tf.cast(x, tf.float16) @ random(1, 6, 4, dtype="float16")
    return tf.cast(tf.nn.relu(x), tf.float32)


Inputs = Sequence[tuple[Array, ...]]
F32, I32 = tf.float32, tf.int32


def shaped(*shapes: tuple[int, ...]) -> Inputs:
    """A case of one random array for each shape."""
    return [(random(i, *s),) for i, s in enumerate(shapes, 1)]


def spec(kind: Any, *shape: int | None) -> tf.TensorSpec:
    """What the function takes."""
    return tf.TensorSpec(shape, kind)


ROWS = shaped((2, 4), (1, 4), (3, 4))
ONE = [spec(F32, None, 4)]
TWO = [(random(i, n, 4), random(i + 9, n, 4)) for i, n in enumerate((4, 2))]

MODELS: dict[str, tuple[Callable[..., Any], list[Any], Inputs]] = {
    "mlp": (mlp, [spec(F32, None, 6)], shaped((2, 6), (1, 6))),
    "conv": (conv, [spec(F32, None, 9, 8, 3)], shaped((2, 9, 8, 3), (1, 9, 8, 3))),
    "conv_sizes": (
        conv,
        [spec(F32, None, None, None, 3)],
        shaped((2, 9, 8, 3), (1, 12, 11, 3)),
    ),
    "cond": (branch, ONE, ROWS),
    "while": (loop, ONE, ROWS),
    "autograph": (
        autograph,
        [spec(F32, None, 4), spec(I32)],
        [(random(i, 2, 4), np.array(n, np.int32)) for i, n in enumerate((3, 6))],
    ),
    "tensor_array": (gathered, ONE, ROWS),
    "scan": (scanned, ONE, ROWS),
    "slices": (slices, ONE, shaped((2, 4), (3, 4))),
    "lookups": (
        lookups,
        [spec(F32, 4, 4), spec(I32, 4)],
        [(random(i, 4, 4), integers(i, 4, 4, dtype="int32")) for i in (1, 2)],
    ),
    "pointwise": (pointwise, ONE * 2, TWO),
    "matmul": (
        contracted,
        [spec(F32, None, 3, 4)] * 2,
        [(random(i, n, 3, 4), random(9, n, 3, 4)) for i, n in enumerate((2, 1))],
    ),
    "resize": (
        resized,
        [spec(F32, None, 4, 6, 4)],
        shaped((2, 4, 6, 4), (1, 4, 6, 4)),
    ),
    "words": (
        words,
        [spec(I32, None, 4)],
        [(integers(i, 9, n, 4, dtype="int32"),) for i, n in enumerate((2, 1))],
    ),
    "trigonometry": (trigonometry, ONE, ROWS),
    "detection": (
        detected,
        [spec(F32, None, 4), spec(F32, None)],
        [(abs(random(i, n, 4)), abs(random(9, n))) for i, n in ((1, 9), (2, 5))],
    ),
    "crop": (cropped, [spec(F32, None, 6, 6, 2)], shaped((2, 6, 6, 2), (1, 6, 6, 2))),
    "unique": (
        distinct,
        [spec(I32, None)],
        [(integers(i, 5, n, dtype="int32"),) for i, n in ((1, 8), (2, 4))],
    ),
    "response_norm": (
        normed,
        [spec(F32, None, 4, 4, 3)],
        shaped((2, 4, 4, 3), (1, 4, 4, 3)),
    ),
    "half": (half, [spec(F32, None, 6)], shaped((2, 6), (1, 6))),
}


def export(
    function: Callable[..., Any], takes: list[Any], cases: Inputs, opset: int
) -> Example:
    """Convert the traced function."""
    traced = tf.function(function)
    model, _ = tf2onnx.convert.from_function(traced, takes, opset=opset)
    loose = 1e-2 if function is half else 1e-4
    return Example(model, cases, rtol=loose, atol=loose)


if __name__ == "__main__":
    suite = Suite("tf2onnx", ("tf2onnx", "tensorflow-cpu", "onnx", "onnxruntime"))
    for name, (function, takes, cases) in MODELS.items():
        suite.add(name, partial(export, function, takes, cases, 18))
    suite.add("mlp_opset9", partial(export, *MODELS["mlp"], 9))
    suite.add("while_opset12", partial(export, *MODELS["while"], 12))
    suite.close()
