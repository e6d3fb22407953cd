"""Quantised tensors stay integers: what is done to their real values moves past.

Exporters write ``dequantize``, an op of real numbers, ``quantize``. Here products are
formed of the integers themselves and the reals they stand for come after, so that a
backend may run product and requantisation as one kernel (Jacob et al., "Quantization
and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018).
"""

import math
from typing import Any

import numpy as np

from graphwright.ir.constant import Constant
from graphwright.ir.dtype import float32, int16, int32
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.ir.op import Op
from graphwright.passes.pattern import P
from graphwright.passes.rewriter import Rewriter
from graphwright.passes.rules import EXACT, ROUNDING, RuleSet

INTEGER = RuleSet("integer_kernels")
_rule = INTEGER.rewrite

_NORMAL = 1e-30, 1e30
"""Between these scales no product of an 8-bit integer leaves the normal numbers."""
_MOST = 1 << 15
"""So many products of 9 bits each fit a sum of 32 bits."""


def _constant(b: Rewriter, v: Value) -> Any:
    """The array of a constant, reshaped or not; else None."""
    node = b.made_by(v, "reshape")
    if node is not None and not node.op.has_symbols():
        held = _constant(b, node.operands[0])
        return None if held is None else node.op.compute(np, held)
    constant = b.constants.get(v)
    return None if constant is None else constant.array()


class _Linear:
    """A dequantised tensor of 8 bits: its integers, scale and zero point."""

    def __init__(self, b: Rewriter, node: Node) -> None:
        self.x = node.operands[0]
        parts = [_constant(b, v) for v in node.operands[1:]]
        known = parts[0] is not None and parts[-1] is not None
        self.fits = known and self.x.dtype.is_int and self.x.dtype.bits == 8
        if not self.fits:
            return
        self.scale, self.zero = parts[0], parts[1] if len(parts) > 1 else np.int8(0)
        low, high = map(np.float32, _NORMAL)
        scale = self.scale.astype(np.float64)
        tame = (scale >= low) & (scale <= high)
        self.fits = self.scale.dtype == np.float32 and bool(np.all(tame))

    @property
    def single(self) -> bool:
        """Whether one scale and one zero point serve for all elements."""
        return bool(self.fits and self.scale.size == np.size(self.zero) == 1)

    def centred(self, b: Rewriter) -> Value:
        """The integers less their zero point, in 16 bits, where both are exact."""
        held, zero = b.constants.get(self.x), np.asarray(self.zero, np.int16)
        if held is not None:

            def difference() -> "np.ndarray[Any, Any]":
                return held.array().astype(np.int16) - zero

            shape = held.shape
            return b.constant_of(Constant.derived(int16, shape, difference))
        wide = b.cast(self.x, int16)
        if not zero.any():
            return wide
        return b.sub(wide, b.broadcast_to(b.constant(zero.reshape(())), wide.shape))


# Products ----------------------------------------------------------------------------


@_rule(P.conv(P.dequantize().named("dx"), P.dequantize().named("dk")), ROUNDING)
def integer_conv(b: Rewriter, dx: Node, dk: Node, node: Node) -> Value | None:
    """``conv((x - z) * s, (k - u) * t) = conv(x - z, k - u) * (s * t)``."""
    op: Any = node.op
    x, k = _Linear(b, dx), _Linear(b, dk)
    if not _plain(b, node, x, k) or op.batch_groups != 1:
        return None
    if _varies(k.scale, node.operands[1].rank) not in ((), (0,)):
        return None
    channels = k.scale.reshape(-1, *[1] * len(op.strides)) * x.scale.reshape(())
    return _product(b, node, x, k, channels)


@_rule(P.dot(P.dequantize().named("dx"), P.dequantize().named("dk")), ROUNDING)
def integer_dot(b: Rewriter, dx: Node, dk: Node, node: Node) -> Value | None:
    """``((x - z) * s) @ ((k - u) * t) = (x - z) @ (k - u) * (s * t)``."""
    x, k = _Linear(b, dx), _Linear(b, dk)
    rank = node.operands[1].rank
    if not _plain(b, node, x, k) or _varies(k.scale, rank) not in ((), (rank - 1,)):
        return None
    return _product(b, node, x, k, k.scale.reshape(-1) * x.scale.reshape(()))


@_rule(P.dot(P.sub("x", "late"), "k"), EXACT)
def zero_after_dot(
    b: Rewriter, x: Value, late: Value, k: Value, node: Node
) -> Value | None:
    """``(x - z) @ k = x @ k - z * sum(k)`` of bytes, where only a run tells ``z``."""
    return _zero_after(b, x, late, k, node)


@_rule(P.dot(P.reshape(P.sub("x", "late")).named("rows"), "k"), EXACT)
def zero_after_dot_of_rows(
    b: Rewriter, x: Value, late: Value, k: Value, rows: Node, node: Node
) -> Value | None:
    """``rows(x - z) @ k = rows(x) @ k - z * sum(k)``."""
    return _zero_after(b, x, late, k, node, rows.op)


def _zero_after(
    b: Rewriter, x: Value, late: Value, k: Value, node: Node, rows: Op | None = None
) -> Value | None:
    op: Any = node.op
    zero = b.spread(late)
    bytes_ = op.dtype is int32 and _is_byte(b, x) and _is_byte(b, zero)
    if not bytes_ or zero.rank or _integers(b, zero) is not None:
        return None
    weights = _integers(b, k)
    if weights is None:
        return None
    if rows is not None:
        (x,) = b.apply(rows, (x,))
    (total,) = b.apply(op, (x, k))
    sums = b.constant(weights.sum(-2, np.int32, keepdims=True))
    less = b.mul(b.broadcast_to(b.cast(zero, int32), sums.shape), sums)
    return b.sub(total, b.broadcast_to(less, total.shape))


def _integers(b: Rewriter, v: Value) -> Any:
    """The array of a value that constants alone lead to, by way of small integers."""
    constant = b.constants.get(v)
    if constant is not None:
        return constant.array()
    node = b.made_by(v, "cast", "sub", "broadcast_to", "reshape", "transpose")
    if node is None or node.op.has_symbols():
        return None
    operands = [_integers(b, operand) for operand in node.operands]
    known = all(operand is not None for operand in operands)
    return node.op.compute(np, *operands) if known else None


def _is_byte(b: Rewriter, v: Value) -> bool:
    """Whether 16 bits hold an integer of 8."""
    node = b.made_by(v, "cast")
    source = v if node is None else node.operands[0]
    return source.dtype.is_int and source.dtype.bits == 8


def _plain(b: Rewriter, node: Node, x: _Linear, k: _Linear) -> bool:
    """Whether the product of two tensors can be one of integers.

    One zero point serves each, but constants may have many.
    """
    op: Any = node.op
    known = k.fits and (k.x in b.constants or k.single)
    real = node.results[0].dtype is float32 and op.dtype in (None, float32)
    shape = node.operands[1].shape
    summed = shape[1:] if node.op.name == "conv" else shape[-2:-1]
    count = math.prod(d if isinstance(d, int) else _MOST + 1 for d in summed)
    return x.single and known and real and count <= _MOST


def _varies(scale: Any, rank: int) -> tuple[int, ...]:
    """Along which axes a scale varies."""
    shape = (*[1] * (rank - scale.ndim), *scale.shape)
    return tuple(i for i, size in enumerate(shape) if size != 1)


def _product(b: Rewriter, node: Node, x: _Linear, k: _Linear, scale: Any) -> Value:
    op: Any = node.op
    (total,) = b.apply(op.replace(dtype=int32), (x.centred(b), k.centred(b)))
    small = scale.reshape(()) if scale.size == 1 else scale
    return b.emit("dequantize", total, b.constant(small), dtype=float32)


# What does not look at scales --------------------------------------------------------


@_rule(P.quantize(P.dequantize("x", "s").named("inner"), "t"), EXACT)
def quantized_again(b: Rewriter, node: Node, inner: Node) -> Value | None:
    """``quantize(dequantize(x, s), s) = x`` of 8 bits."""
    return _again(b, node, inner)


@_rule(P.quantize(P.dequantize("x", "s", "z").named("inner"), "t", "u"), EXACT)
def quantized_again_about(b: Rewriter, node: Node, inner: Node) -> Value | None:
    """``quantize(dequantize(x, s, z), s, z) = x`` of 8 bits."""
    return _again(b, node, inner)


def _again(b: Rewriter, node: Node, inner: Node) -> Value | None:
    held, x = _Linear(b, inner), inner.operands[0]
    op: Any = node.op
    if (
        not held.fits
        or op.dtype is not x.dtype
        or inner.results[0].dtype is not float32
    ):
        return None
    pairs = zip(node.operands[1:], inner.operands[1:], strict=True)
    return x if all(_equal(b, u, v) for u, v in pairs) else None


def _equal(b: Rewriter, u: Value, v: Value) -> bool:
    if u is v:
        return True
    x, y = _constant(b, u), _constant(b, v)
    return x is not None and y is not None and np.array_equal(x, y)


_MOVES = ("reshape", "transpose", "slice")


@_rule(P.each(_MOVES)(P.dequantize().named("inner")), EXACT)
def dequantize_after_moving(b: Rewriter, inner: Node, node: Node) -> Value | None:
    """``move(dequantize(x)) = dequantize(move(x))`` of one scale or, turned, many."""
    held = _Linear(b, inner)
    if not held.fits:
        return None
    if not held.single and node.op.name != "transpose":
        return None
    x = held.x
    parts = [_moved(b, v, x.rank, node) for v in inner.operands[1:]]
    constant = b.constants.get(x)
    if constant is not None and not node.op.has_symbols():
        array: Any = node.op.compute(np, constant.array())
        moved = b.constant_of(Constant.of(array, constant.dtype))
    else:
        (moved,) = b.apply(node.op, (x,))
    return b.apply(inner.op, (moved, *parts))[0]


def _moved(b: Rewriter, part: Value, rank: int, node: Node) -> Value:
    """A scale or zero point after its tensor moved."""
    array = _constant(b, part)
    if array.size == 1:
        return b.constant(array.reshape(()))
    full = array.reshape(*[1] * (rank - array.ndim), *array.shape)
    return b.constant(np.ascontiguousarray(node.op.compute(np, full)))


@_rule(P.reduce_window(P.dequantize().named("inner"), kind="max"), EXACT)
def dequantize_after_maximum(b: Rewriter, inner: Node, node: Node) -> Value | None:
    """``max(dequantize(x)) = dequantize(max(x))`` over windows of one scale."""
    held, op = _Linear(b, inner), node.op
    if not held.single or not _full_windows(op):
        return None
    (y,) = b.apply(op, (held.x,))
    return b.apply(inner.op, (y, *inner.operands[1:]))[0]


def _full_windows(op: Any) -> bool:
    """Whether each window has an element that is not padding."""
    for sides, size, dilation in zip(op.padding, op.window, op.dilations, strict=True):
        reach = size if dilation == 1 else 1
        if not all(isinstance(side, int) and side < reach for side in sides):
            return False
    return True


@_rule(P.concat().after("dequantize"), EXACT)
def dequantize_after_concat(b: Rewriter, node: Node) -> Value | None:
    """``concat(dequantize(x), dequantize(y)) = dequantize(concat(x, y))``."""
    makers = [b.made_by(v, "dequantize") for v in node.operands]
    inner = [m for m in makers if m is not None]
    if len(inner) != len(makers):
        return None
    first, held = inner[0], [_Linear(b, m) for m in inner]
    same = all(
        h.single
        and m.op == first.op
        and h.x.dtype is held[0].x.dtype
        and len(m.operands) == len(first.operands)
        and all(map(_equal, [b] * 2, m.operands[1:], first.operands[1:]))
        for m, h in zip(inner, held, strict=True)
    )
    if not same:
        return None
    (y,) = b.apply(node.op, [h.x for h in held])
    return b.apply(first.op, (y, *first.operands[1:]))[0]
