"""Operators that draw random numbers.

With a ``seed`` the key of the generator is the seed's bits, so a run can be repeated.
Without one a key is drawn from the session's variable ``rng``: each draw writes half
of the bits of the present key back as the next one, and uses the other half.
"""

from typing import Any

import numpy as np

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.registry import converter, exporter
from graphwright.frontends.onnx.shapes import need_rank
from graphwright.frontends.onnx.tensors import dtype_of, element_of
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DTYPES, DType, bool_, float32, float64, int64, uint32
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.types import TensorType

KEY = "rng"
"""The variable that holds the session's key."""


def drawn_key(b: Emitter) -> Value:
    """A key that no other draw of the session uses."""
    b.variable(KEY, Constant.of(np.zeros(2, np.uint32), uint32))
    (present,) = b.effect("read", variable=KEY, type=TensorType(uint32, (2,)))
    bits = b.emit("random_bits", present, shape=(4,))
    b.effect("write", b.slice_axis(bits, 0, 0, 2), variable=KEY)
    return b.slice_axis(bits, 0, 2, 4)


def _key(c: Context) -> Value:
    """The key that an operator's ``seed`` attribute says, else a drawn one."""
    if not c.has("seed"):
        return drawn_key(c.b)
    (bits,) = np.array([c.real("seed")], np.float32).view(np.uint32)
    return c.b.constant(np.array([bits, 0], np.uint32), uint32)


def _dtype(c: Context, default: DType) -> DType:
    return dtype_of(c.integer("dtype")) if c.has("dtype") else default


@converter("RandomUniform", "RandomUniformLike")
def random_uniform(c: Context) -> Value:
    """Floats of equal probability in ``[low, high)``."""
    low, high = c.real("low", 0.0), c.real("high", 1.0)
    return _scaled(c, _draw(c, "random_uniform"), high - low, low)


@converter("RandomNormal", "RandomNormalLike")
def random_normal(c: Context) -> Value:
    """Floats of a normal distribution."""
    z = _draw(c, "random_normal")
    return _scaled(c, z, c.real("scale", 1.0), c.real("mean", 0.0))


def _scaled(c: Context, x: Value, factor: float, shift: float) -> Value:
    y = x if factor == 1 else c.b.mul(x, factor)
    return y if shift == 0 else c.b.add(y, shift)


def _draw(c: Context, name: str) -> Value:
    """Shape and dtype by attributes, or those of the operand."""
    key = _key(c)
    if c.inputs:
        shape, dtype = c[0].shape, _dtype(c, c[0].dtype)
    else:
        shape, dtype = tuple(c.integers("shape")), _dtype(c, float32)
    return c.b.emit(name, key, shape=shape, dtype=dtype)


@converter("Bernoulli", since=15)
def bernoulli(c: Context) -> Value:
    """1 with the operand's probability, else 0."""
    b, p, key = c.b, c[0], _key(c)
    wide = p.dtype.accumulate
    u = b.emit("random_uniform", key, shape=p.shape, dtype=wide)
    return b.cast(b.lt(u, b.cast(p, wide)), _dtype(c, p.dtype))


@converter("Multinomial", since=7)
def multinomial(c: Context) -> Value:
    """``sample_size`` classes a row, with logarithms of unnormalised probabilities.

    The class of a uniform u is the number of cumulative probabilities up to u.
    """
    b, key = c.b, _key(c)
    logits = b.cast(c[0], c[0].dtype.accumulate)
    rows, classes = need_rank(c, logits, 2)
    count = c.integer("sample_size", 1)
    weights = b.exp(b.sub(logits, b.reduce("max", logits, [1], keepdims=True)))
    below = b.cumulative("sum", weights, 1)
    total = b.slice_axis(below, 1, classes - 1, classes)
    u = b.emit("random_uniform", key, shape=(rows, count), dtype=logits.dtype)
    spot = b.expand_dims(b.mul(u, total), [2])
    passed = b.le(b.expand_dims(below, [1]), spot)
    chosen = b.min(b.sum(b.cast(passed, int64), [2]), b.dim_scalar(classes - 1, int64))
    return b.cast(chosen, dtype_of(c.integer("dtype", 6)))


# Dropout ------------------------------------------------------------------------------


@converter("Dropout")
def dropout_1(c: Context) -> tuple[Value, ...]:
    """Dropout unless ``is_test``; the mask has the operand's dtype."""
    if c.integer("is_test", 0):
        return _kept(c, c[0].dtype)
    ratio = c.b.scalar(c.real("ratio", 0.5), float32)
    y, mask = _dropped(c, ratio)
    return y, c.b.cast(mask, y.dtype)


@converter("Dropout", since=7)
def dropout_7(c: Context) -> tuple[Value, ...]:
    """The operand itself: inference only. The mask is bool since opset 10."""
    return _kept(c, c[0].dtype if c.version < 10 else bool_)


@converter("Dropout", since=12)
def dropout(c: Context) -> tuple[Value, ...]:
    """In training, ``x / (1 - ratio)`` where ``u >= ratio`` for a random u, else 0."""
    b, given, training = c.b, c.optional(1), c.optional(2)
    known = None if training is None else b.known(training)
    if training is None or (known is not None and not known.array().item()):
        return _kept(c, bool_)
    ratio = b.scalar(0.5, float32) if given is None else b.reshape(given, ())
    y, mask = _dropped(c, ratio)
    if known is not None:
        return y, mask
    on = b.reshape(training, ())
    return b.where(on, y, c[0]), b.or_(mask, b.not_(on))


def _kept(c: Context, mask: DType) -> tuple[Value, ...]:
    return c[0], c.b.full(c[0].shape, 1, mask)


def _dropped(c: Context, ratio: Value) -> tuple[Value, Value]:
    """The scaled operand with elements dropped, and the mask of those kept.

    A ``seed`` means NumPy's ``RandomState``, by which the standard's tests are made.
    """
    b, x = c.b, c[0]
    if c.has("seed"):
        seed = c.integer("seed")
        u = b.emit("mersenne_twister_uniform", seed=seed, shape=x.shape)
    else:
        key = drawn_key(b)
        u = b.emit("random_uniform", key, shape=x.shape, dtype=float32)
    mask = b.ge(u, b.cast(ratio, u.dtype))
    scale = b.div(1.0, b.sub(1.0, b.cast(ratio, float64)))
    return b.where(mask, b.mul(x, b.cast(scale, x.dtype)), 0), mask


# Export -------------------------------------------------------------------------------


@exporter("token", "write")
def order(e: Export) -> str:
    """Nothing: a model keeps no state but that of its random operators."""
    if e.op.name == "write" and e.op.variable != KEY:
        raise e.unsupported(f"a model cannot keep the variable {e.op.variable!r}")
    return ""


@exporter("read")
def read(e: Export) -> Exported:
    """The key of a session's random numbers comes from a random operator of ONNX."""
    if e.op.variable != KEY:
        raise e.unsupported(f"a model cannot keep the variable {e.op.variable!r}")
    fields: dict[str, Any] = {
        "shape": [2],
        "high": 2.0**32,
        "dtype": element_of(DTYPES["float64"]),
    }
    return [e.cast(e.add("RandomUniform", **fields), uint32), ""]
