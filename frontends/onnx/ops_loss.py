"""Losses of ONNX."""

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.registry import converter
from graphwright.ir.dtype import int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ModelError


@converter("NegativeLogLikelihoodLoss", since=12)
def nll_loss(c: Context) -> Value:
    """``-weight[target] * x[target]`` along the classes, reduced."""
    x = c[0]
    wide = c.b.cast(x, x.dtype.accumulate)
    return c.b.cast(_nll(c, wide), x.dtype)


@converter("SoftmaxCrossEntropyLoss", since=12)
def cross_entropy(c: Context) -> tuple[Value, Value]:
    """The same of the logarithm of the softmax, which is a result too."""
    b, x = c.b, c[0]
    wide = b.cast(x, x.dtype.accumulate)
    shifted = b.sub(wide, b.reduce("max", wide, [1], keepdims=True))
    total = b.sum(b.exp(shifted), [1], keepdims=True)
    log_prob = b.sub(shifted, b.log(total))
    return b.cast(_nll(c, log_prob), x.dtype), b.cast(log_prob, x.dtype)


def _nll(c: Context, x: Value) -> Value:
    b, reduction = c.b, c.string("reduction", "mean")
    target, shares = _targets(c, x)
    found = b.take_along_axis(x, b.expand_dims(target, [1]), 1)
    loss = b.neg(b.squeeze(found, [1]))
    axes = range(loss.rank)
    if shares is not None:
        loss = b.mul(loss, shares)
    if reduction == "none":
        return loss
    total = b.sum(loss, axes)
    if reduction == "sum":
        return total
    if reduction != "mean":
        raise ModelError(f"{c.op_type} has no reduction {reduction!r}")
    return b.mean(loss, axes) if shares is None else b.div(total, b.sum(shares, axes))


def _targets(c: Context, x: Value) -> tuple[Value, Value | None]:
    """Classes in range, and how much each counts; None where all count 1."""
    b, given, weight = c.b, c[1], c.optional(2)
    target = b.cast(given, int64)
    if not c.has("ignore_index"):
        return target, None if weight is None else _taken(b, weight, target, x)
    ignored = b.eq(target, c.integer("ignore_index"))
    zero = b.scalar(0, x.dtype)
    target = b.where(ignored, b.scalar(0, int64), target)
    if weight is None:
        return target, b.where(ignored, zero, b.scalar(1, x.dtype))
    return target, b.where(ignored, zero, _taken(b, weight, target, x))


def _taken(b: Emitter, weight: Value, target: Value, x: Value) -> Value:
    return b.cast(b.gather(weight, target, 0), x.dtype)
