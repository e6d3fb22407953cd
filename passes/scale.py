"""Factors and shifts of a channel move into weights: batch normalisation disappears."""

from typing import Any

import numpy as np

from graphwright.ir.constant import Constant
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.passes.pattern import P
from graphwright.passes.rewriter import Rewriter
from graphwright.passes.rules import ROUNDING, RuleSet

SCALES = RuleSet("fold_scales")
_rule = SCALES.rewrite
_C, _S = P.repeated("c"), P.repeated("s")

_LARGE = 1 << 14
"""Elements of weights that are not scaled before a backend packs them."""
_TAME = 2.0**32
"""No larger factor is trusted with weights that nobody has looked at."""


def along(
    b: Rewriter, value: Value, rank: int, axis: int
) -> "np.ndarray[Any, Any] | None":
    """The constant vector that a value repeats over all axes but one, or None."""
    constant = b.constant_under(value)
    if constant is None or not constant.dtype.is_float:
        return None
    shape = (1,) * (rank - len(constant.shape)) + constant.shape
    if len(shape) != rank or any(
        d != 1 for i, d in enumerate(shape) if i != axis % rank
    ):
        return None
    return constant.array().reshape(-1).astype(np.float64)


def _scaled(b: Rewriter, weights: Value, factor: Any) -> Value | None:
    """Constant weights times a factor, if all stay finite.

    Large weights of 32 bits and more, which are nowhere near the largest numbers, are
    multiplied when they are needed.
    """
    held = b.constants.get(weights)
    if held is None or not held.dtype.is_float or held.dtype.bits < 16:
        return None
    dtype, same = held.dtype, factor.astype(np.float64)
    if not np.isfinite(same).all():
        return None

    def product() -> "np.ndarray[Any, Any]":
        with np.errstate(all="ignore"):
            array = held.array() * factor.astype(dtype.numpy)
        return np.asarray(array, dtype.numpy)

    most = float(np.abs(same).max(initial=0))
    if held.size > _LARGE and dtype.bits >= 32 and most <= _TAME:
        made = Constant.derived(dtype, held.shape, product, held, growth=most)
        return b.constant_of(made)
    array = product()
    with np.errstate(over="ignore"):  # of float64
        finite = np.isfinite(array.astype(np.float32)).all()
    if not finite:
        return None
    return b.constant_of(Constant.of(array, dtype))


def _column(factor: Any, rank: int) -> Any:
    return factor.reshape(-1, *[1] * (rank - 1))


@_rule(P.mul(P.conv("x", "k").once.named("conv"), _C), ROUNDING)
def scale_conv(b: Rewriter, x: Value, k: Value, conv: Node, c: Value) -> Value | None:
    """``conv(x, k) * c = conv(x, k * c)`` for a factor of a channel."""
    factor = along(b, c, conv.results[0].rank, 1)
    op: Any = conv.op
    if (
        factor is None
        or factor.size not in (1, k.shape[0])
        or op.dtype not in (None, k.dtype)
    ):
        return None
    scaled = _scaled(b, k, _column(factor, k.rank))
    return None if scaled is None else b.apply(conv.op, (x, scaled))[0]


@_rule(P.mul(P.dot("x", "k").once.named("dot"), _C), ROUNDING)
def scale_dot(b: Rewriter, x: Value, k: Value, dot: Node, c: Value) -> Value | None:
    """``(x @ k) * c = x @ (k * c)`` for a factor of a column."""
    factor = along(b, c, dot.results[0].rank, -1)
    op: Any = dot.op
    if (
        factor is None
        or factor.size not in (1, k.shape[-1])
        or op.dtype not in (None, k.dtype)
    ):
        return None
    scaled = _scaled(b, k, factor)
    return None if scaled is None else b.apply(dot.op, (x, scaled))[0]


@_rule(P.mul(P.add(P.conv().once | P.dot().once, _S).once.named("sum"), _C), ROUNDING)
def scale_shifted_root(b: Rewriter, sum: Node, s: Value, c: Value) -> Value | None:
    """``(conv(x, k) + s) * c = conv(x, k) * c + s * c``, for ``dot`` too."""
    (root,) = [v for v in sum.operands if v is not s] or [s]
    axis = 1 if b.kind(root) == "conv" else -1
    shift, factor = (along(b, v, root.rank, axis) for v in (s, c))
    if shift is None or factor is None:
        return None
    with np.errstate(all="ignore"):
        both = (shift * factor).astype(root.dtype.numpy)
    if not np.isfinite(both.astype(np.float64)).all():
        return None
    shape = [1] * root.rank
    shape[axis] = both.size
    moved = b.constant_of(Constant.of(both.reshape(shape), root.dtype))
    return b.add(b.mul(root, c), b.broadcast_to(moved, root.shape))


@_rule(P.dot(P.mul("x", P.splat("c")).once, P.constant("k")), ROUNDING)
def factor_into_dot(b: Rewriter, x: Value, c: float, node: Node) -> Value | None:
    """``(x * c) @ k = x @ (k * c)`` for a number ``c``."""
    return _moved_in(b, x, c, node)


@_rule(P.dot(P.div("x", P.splat("c")).once, P.constant("k")), ROUNDING)
def divisor_into_dot(b: Rewriter, x: Value, c: float, node: Node) -> Value | None:
    """``(x / c) @ k = x @ (k / c)`` for a number ``c``."""
    return _moved_in(b, x, 1 / c, node) if c else None


@_rule(P.dot(P.reshape(P.div("x", P.splat("c")).once).once, P.constant("k")), ROUNDING)
def divisor_past_reshape(b: Rewriter, x: Value, c: float, node: Node) -> Value | None:
    """``reshape(x / c) @ k = reshape(x) @ (k / c)`` for a number ``c``."""
    flat = b.reshape(x, node.operands[0].shape)
    return _moved_in(b, flat, 1 / c, node) if c else None


@_rule(P.dot(P.reshape(P.mul("x", P.splat("c")).once).once, P.constant("k")), ROUNDING)
def factor_past_reshape(b: Rewriter, x: Value, c: float, node: Node) -> Value | None:
    """``reshape(x * c) @ k = reshape(x) @ (k * c)`` for a number ``c``."""
    return _moved_in(b, b.reshape(x, node.operands[0].shape), c, node)


@_rule(P.conv(P.mul("x", P.splat("c")).once, P.constant("k")), ROUNDING)
def factor_into_conv(b: Rewriter, x: Value, c: float, node: Node) -> Value | None:
    """``conv(x * c, k) = conv(x, k * c)`` for a number ``c``: a border of 0 stays 0."""
    return _moved_in(b, x, c, node)


@_rule(P.conv(P.div("x", P.splat("c")).once, P.constant("k")), ROUNDING)
def divisor_into_conv(b: Rewriter, x: Value, c: float, node: Node) -> Value | None:
    """``conv(x / c, k) = conv(x, k / c)`` for a number ``c``."""
    return _moved_in(b, x, 1 / c, node) if c else None


def _moved_in(b: Rewriter, x: Value, c: float, node: Node) -> Value | None:
    if not x.dtype.is_float or x.dtype.bits < 16 or c == 0:
        return None
    scaled = _scaled(b, node.operands[1], np.asarray(c, np.float64))
    return None if scaled is None else b.apply(node.op, (x, scaled))[0]


@_rule(P.conv(P.mul("x", _C).once, P.constant("k")), ROUNDING)
def channels_into_conv(b: Rewriter, x: Value, c: Value, node: Node) -> Value | None:
    """``conv(x * c, k) = conv(x, k * c)`` for a factor of an input channel."""
    op: Any = node.op
    factor = along(b, c, x.rank, 1)
    k = node.operands[1]
    if (
        factor is None
        or op.groups != 1
        or op.batch_groups != 1
        or factor.size != k.shape[1]
    ):
        return None
    scaled = _scaled(b, k, factor.reshape(1, -1, *[1] * (k.rank - 2)))
    return None if scaled is None else b.apply(op, (x, scaled))[0]


_NORMAL = P.add(P.mul("x", _C).once, _S).once


@_rule(P.conv(P.max(_NORMAL, P.splat("low")).once, P.constant("k")), ROUNDING)
def bound_before_scale(
    b: Rewriter, x: Value, c: Value, s: Value, low: float, node: Node
) -> Value | None:
    """``max(x * c + s, l) = max(x, (l - s) / c) * c + s`` for ``c > 0``.

    Applied where the convolution that follows then takes factor and shift.
    """
    op: Any = node.op
    factor, shift = along(b, c, x.rank, 1), along(b, s, x.rank, 1)
    padded = any(side != 0 for pair in op.padding for side in pair)
    plain = op.groups == op.batch_groups == 1 and all(d == 1 for d in op.lhs_dilation)
    if padded or not plain or op.dtype is not None or factor is None or shift is None:
        return None
    if not (factor > 0).all() or x.dtype.bits < 16:
        return None
    with np.errstate(all="ignore"):
        bound = ((low - shift) / factor).astype(x.dtype.numpy)
    if not np.isfinite(bound.astype(np.float64)).all():
        return None
    column = b.constant_of(Constant.of(_column(bound, x.rank - 1), x.dtype))
    clamped = b.max(x, b.broadcast_to(column, x.shape))
    return b.apply(op, (b.add(b.mul(clamped, c), s), node.operands[1]))[0]


@_rule(P.conv(P.add("x", _S).once, P.constant("k")), ROUNDING)
def shift_into_conv(b: Rewriter, x: Value, s: Value, node: Node) -> Value | None:
    """``conv(x + s, k) = conv(x, k) + sum(k * s)`` where nothing is padded."""
    op: Any = node.op
    k = node.operands[1]
    held, shift = b.constants.get(k), along(b, s, x.rank, 1)
    padded = any(side != 0 for pair in op.padding for side in pair)
    plain = op.groups == op.batch_groups == 1 and all(d == 1 for d in op.lhs_dilation)
    if (
        padded
        or not plain
        or held is None
        or shift is None
        or shift.size not in (1, k.shape[1])
    ):
        return None
    if not held.dtype.is_float or op.dtype is not None:
        return None
    sums = held.array().astype(np.float64).sum(axis=tuple(range(2, k.rank)))
    with np.errstate(all="ignore"):
        total = (sums * shift.reshape(1, -1)).sum(axis=1).astype(held.dtype.numpy)
    if not np.isfinite(total.astype(np.float64)).all():
        return None
    (y,) = b.apply(op, (x, k))
    column = b.constant_of(Constant.of(_column(total, x.rank - 1), held.dtype))
    return b.add(y, b.broadcast_to(column, y.shape))
