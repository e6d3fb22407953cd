"""Normalisations of ONNX."""

from collections.abc import Sequence

import numpy as np

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.registry import converter, exporter
from graphwright.frontends.onnx.tensors import dtype_of
from graphwright.ir.dim import floordiv, product
from graphwright.ir.dtype import DType
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ModelError


def per_channel(b: Emitter, v: Value, x: Value) -> Value:
    """A vector over the channels of ``x``, shaped to broadcast; a matrix as it is."""
    if v.rank > 1:
        return b.expand_dims(v, [0])
    return b.reshape(v, (v.shape[0], *(1,) * (x.rank - 2)))


# Batch normalisation ------------------------------------------------------------------


@converter("BatchNormalization")
def batch_norm(c: Context) -> Value | tuple[Value, ...]:
    """Training where more than one result is wanted, until opset 14 has a flag."""
    if len([name for name in c.outputs if name]) > 1:
        y, running, batch = _train(c)
        return y, *running, *batch
    return _infer(c)


@converter("BatchNormalization", since=14)
def batch_norm_14(c: Context) -> Value | tuple[Value, ...]:
    """``training_mode`` says which statistics normalise."""
    if c.integer("training_mode", 0):
        y, running, _ = _train(c)
        return y, *running
    return _infer(c)


def _infer(c: Context) -> Value:
    """``x * factor + shift``, both precomputed where the statistics are known."""
    b, x = c.b, c[0]
    wide = x.dtype.accumulate
    factor, shift = _factor_shift(c, wide)
    y = b.mul(b.cast(x, wide), per_channel(b, factor, x))
    return b.cast(b.add(y, per_channel(b, shift, x)), x.dtype)


def _factor_shift(c: Context, wide: DType) -> tuple[Value, Value]:
    b, epsilon = c.b, c.real("epsilon", 1e-5)
    known = [b.known(c[i]) for i in range(1, 5)]
    parts = [k.array().astype(np.float64) for k in known if k is not None]
    if len(parts) == len(known):
        scale, bias, mean, variance = parts
        factor = scale / np.sqrt(variance + epsilon)
        shift = bias - mean * factor
        return tuple(b.constant(v.astype(wide.numpy), wide) for v in (factor, shift))  # type: ignore[return-value]
    scale_v, bias_v, mean_v, variance_v = (b.cast(c[i], wide) for i in range(1, 5))
    slope = b.div(scale_v, b.sqrt(b.add(variance_v, epsilon)))
    return slope, b.sub(bias_v, b.mul(mean_v, slope))


def _train(c: Context) -> tuple[Value, tuple[Value, Value], tuple[Value, Value]]:
    """The result, the new running statistics, and those of the batch."""
    b, x = c.b, c[0]
    wide, momentum = x.dtype.accumulate, c.real("momentum", 0.9)
    axes = [0] if c[1].rank > 1 else [i for i in range(x.rank) if i != 1]
    big = b.cast(x, wide)
    mean = b.mean(big, axes)
    centred = b.sub(big, per_channel(b, mean, x))
    variance = b.mean(b.mul(centred, centred), axes)
    deviation = b.sqrt(b.add(variance, c.real("epsilon", 1e-5)))
    slope = b.div(b.cast(c[1], wide), deviation)
    y = b.mul(centred, per_channel(b, slope, x))
    y = b.add(y, per_channel(b, b.cast(c[2], wide), x))
    running: list[Value] = []
    for old, new in ((c[3], mean), (c[4], variance)):
        kept = b.mul(b.cast(old, wide), momentum)
        running.append(b.cast(b.add(kept, b.mul(new, 1 - momentum)), old.dtype))
    batch = (b.cast(mean, c[3].dtype), b.cast(variance, c[4].dtype))
    return b.cast(y, x.dtype), (running[0], running[1]), batch


# Normalisation of each example --------------------------------------------------------


@converter("InstanceNormalization")
def instance_norm(c: Context) -> Value:
    """Each image by its own mean and variance, then scaled and shifted."""
    b, x = c.b, c[0]
    if x.rank < 3:
        raise ModelError(f"InstanceNormalization takes images, got {x.type}")
    y = b.emit("layer_norm", x, axis=2, epsilon=c.real("epsilon", 1e-5))
    y = b.mul(y, per_channel(b, c[1], x))
    return b.add(y, per_channel(b, c[2], x))


@converter("GroupNormalization", since=18)
def group_norm_18(c: Context) -> Value:
    """Scale and bias have one number for each group."""
    b, x = c.b, c[0]
    groups = c.integer("num_groups")
    share = (groups, 1)
    y = b.mul(_grouped(c, x, groups), b.reshape(c[1], share))
    return b.reshape(b.add(y, b.reshape(c[2], share)), x.shape)


@converter("GroupNormalization", since=21)
def group_norm(c: Context) -> Value:
    """Scale and bias have one number for each channel."""
    b, x = c.b, c[0]
    y = b.reshape(_grouped(c, x, c.integer("num_groups")), x.shape)
    y = b.mul(y, per_channel(b, c[1], x))
    return b.add(y, per_channel(b, c[2], x))


def _grouped(c: Context, x: Value, groups: int) -> Value:
    """``[N, groups, rest]``, each group by its own mean and variance."""
    if groups < 1:
        raise ModelError(f"GroupNormalization in {groups} groups")
    rest = product((floordiv(x.shape[1], groups), *x.shape[2:]))
    grouped = c.b.reshape(x, (x.shape[0], groups, rest))
    return c.b.emit("layer_norm", grouped, axis=2, epsilon=c.real("epsilon", 1e-5))


@converter("MeanVarianceNormalization")
def mean_variance(c: Context) -> Value:
    """``(x - mean) / (deviation + 1e-9)`` over axes."""
    b, x = c.b, c[0]
    axes = c.axes(c.integers("axes", [0, 2, 3]), x.rank)
    wide = b.cast(x, x.dtype.accumulate)
    centred = b.sub(wide, b.mean(wide, axes, keepdims=True))
    variance = b.mean(b.mul(centred, centred), axes, keepdims=True)
    return b.cast(b.div(centred, b.add(b.sqrt(variance), 1e-9)), x.dtype)


@converter("LpNormalization")
def lp_norm(c: Context) -> Value:
    """``x`` by its 1- or 2-norm along an axis; 0 where that is 0."""
    b, x, p = c.b, c[0], c.integer("p", 2)
    if p not in (1, 2):
        raise ModelError(f"LpNormalization has p = 1 or 2, got {p}")
    axis = c.axis(c.integer("axis", -1), x.rank)
    wide = b.cast(x, x.dtype.accumulate)
    powers = b.mul(wide, wide) if p == 2 else b.abs(wide)
    norm = b.sum(powers, [axis], keepdims=True)
    norm = b.sqrt(norm) if p == 2 else norm
    safe = b.where(b.eq(norm, 0), b.scalar(1, norm.dtype), norm)
    return b.cast(b.div(wide, safe), x.dtype)


# Layer normalisation ------------------------------------------------------------------


@converter("LayerNormalization")
def layer_norm(c: Context) -> tuple[Value, ...]:
    """By mean and variance over the last axes; they are results too."""
    b, x = c.b, c[0]
    axis, epsilon = c.axis(c.integer("axis", -1), x.rank), c.real("epsilon", 1e-5)
    affine = [v for v in (c[1], c.optional(2)) if v is not None]
    y = _normalised(b, "layer_norm", x, affine, axis, epsilon)
    if not (c.wants(1) or c.wants(2)):
        return (y,)
    axes, stash = range(axis, x.rank), dtype_of(c.integer("stash_type", 1))
    wide = b.cast(x, x.dtype.accumulate)
    mean = b.mean(wide, axes, keepdims=True)
    centred = b.sub(wide, mean)
    variance = b.mean(b.mul(centred, centred), axes, keepdims=True)
    deviation = b.sqrt(b.add(variance, epsilon))
    inverse = b.div(b.full(deviation.shape, 1, wide.dtype), deviation)
    return y, b.cast(mean, stash), b.cast(inverse, stash)


@converter("RMSNormalization")
def rms_norm(c: Context) -> Value:
    """By the root of the mean square over the last axes."""
    x = c[0]
    axis, epsilon = c.axis(c.integer("axis", -1), x.rank), c.real("epsilon", 1e-5)
    return _normalised(c.b, "rms_norm", x, [c[1]], axis, epsilon)


def _normalised(
    b: Emitter, name: str, x: Value, affine: Sequence[Value], axis: int, epsilon: float
) -> Value:
    """A norm op; scale and bias that vary along the first axes come after it."""
    shape = x.shape[axis:]
    if all(v.rank <= len(shape) for v in affine):
        inside = [b.broadcast_to(v, shape) for v in affine]
        return b.emit(name, x, *inside, axis=axis, epsilon=epsilon)
    y = b.emit(name, x, axis=axis, epsilon=epsilon)
    y = b.mul(y, b.cast(affine[0], x.dtype))
    return b.add(y, b.cast(affine[1], x.dtype)) if len(affine) > 1 else y


# Export -------------------------------------------------------------------------------


_SINCE = {
    "layer_norm": ("LayerNormalization", 17),
    "rms_norm": ("RMSNormalization", 23),
}


@exporter(*_SINCE)
def norm(e: Export) -> Exported:
    """An operator of the same meaning; a scale of ones where there is none."""
    name, since = _SINCE[e.op.name]
    x, *affine = e.operands
    same = all(v.dtype is x.dtype for v in affine)
    if e.version < since or not same or x.dtype.bits < 16:
        return e.op.decompose(e.b, *e.operands)  # type: ignore[no-any-return]
    scale = affine[0] if affine else _ones(e, x)
    given = [e.name(v) for v in (scale, *affine[1:])]
    return e.add(name, e[0], *given, axis=e.op.axis, epsilon=e.op.epsilon)


def _ones(e: Export, x: Value) -> Value:
    return e.b.full(x.shape[e.op.axis :], 1, x.dtype)
