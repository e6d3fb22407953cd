"""What ai.onnx.ml's estimators share: labels, and transforms of scores."""

import math

import numpy as np

from graphwright.frontends.onnx.context import Context
from graphwright.ir.dtype import float32, float64, int64, string
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError

TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
_NEAR_ZERO = 1e-7


def as_floats(c: Context, x: Value) -> Value:
    """Features as float32, or float64 where they are that."""
    return x if x.dtype in (float32, float64) else c.b.cast(x, float32)


def as_rows(c: Context, x: Value) -> Value:
    """Features as [n, features]: a vector is one row."""
    return c.b.expand_dims(x, [0]) if x.rank == 1 else x


def labels_of(c: Context, ints: str, words: str) -> Value | None:
    """The class labels, or None."""
    if c.has(words) and c.strings(words):
        return c.b.constant(np.array(c.strings(words), object), string)
    if c.has(ints) and c.integers(ints):
        return c.b.constant(np.array(c.integers(ints), np.int64), int64)
    return None


def pick(c: Context, labels: Value, index: Value) -> Value:
    """The label of each index."""
    return c.b.gather(labels, index, 0)


def transformed(c: Context, scores: Value, transform: str) -> Value:
    """Scores [n, classes] after a post-transform.

    A single score is left as it is but for ``PROBIT``, as ONNX Runtime does.
    """
    b = c.b
    if scores.shape[-1] == 1 and transform in TRANSFORMS[:4]:
        return scores
    match transform:
        case "NONE" | "":
            return scores
        case "LOGISTIC":
            return b.emit("sigmoid", scores)
        case "SOFTMAX":
            return b.emit("softmax", scores, axis=scores.rank - 1)
        case "SOFTMAX_ZERO":
            return _softmax_zero(c, scores)
        case "PROBIT":
            return _probit(c, scores)
        case _:
            raise ModelError(f"{c.op_type} has no post_transform {transform!r}")


def _softmax_zero(c: Context, x: Value) -> Value:
    """Softmax in which scores of 0 get no share."""
    b, axis = c.b, [x.rank - 1]
    top = b.reduce("max", x, axis, keepdims=True)
    powers = b.exp(b.sub(x, top))
    near = b.le(b.abs(x), _NEAR_ZERO)
    powers = b.where(near, b.mul(x, b.exp(b.neg(top))), powers)
    return b.div(powers, b.sum(powers, axis, keepdims=True))


def _probit(c: Context, x: Value) -> Value:
    """``sqrt(2) * erfinv(2 * x - 1)`` by Winitzki's approximation, as runtimes do."""
    b = c.b
    y = b.sub(b.mul(x, 2), 1)
    log = b.log(b.mul(b.sub(1, y), b.add(y, 1)))
    half = b.add(b.mul(log, 0.5), 2 / (3.14159 * 0.147))
    inner = b.sub(b.mul(half, half), b.mul(log, 1 / 0.147))
    root = b.sqrt(b.sub(b.sqrt(inner), half))
    return b.mul(b.where(b.lt(y, 0), b.neg(root), root), math.sqrt(2))


def opposite(c: Context, score: Value, transform: str, *, mixed: bool) -> Value:
    """Scores of both classes from that of the second, [n, 1].

    Args:
        c: The estimator.
        score: The score of the second class.
        transform: Its post-transform.
        mixed: Whether scores around 0 decide; else they are probabilities.
    """
    b = c.b
    other = b.neg(score) if mixed or transform == "LOGISTIC" else b.sub(1, score)
    both = b.concat([other, score], 1)
    return (
        transformed(c, both, transform) if transform in ("LOGISTIC", "PROBIT") else both
    )
