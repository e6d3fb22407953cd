"""Reductions of ONNX: over axes, to an index, and running ones."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.operands import widened
from graphwright.frontends.onnx.registry import converter
from graphwright.ir.dim import product
from graphwright.ir.dtype import float64
from graphwright.ir.emitter import Emitter, Value

Rule: TypeAlias = Callable[[Emitter, Value, Sequence[int]], Value]
"""Reduces over axes, which stay as axes of size 1."""


def _kind(kind: str) -> Rule:
    def rule(b: Emitter, x: Value, axes: Sequence[int]) -> Value:
        return b.reduce(kind, x, axes, keepdims=True)

    return rule


_sum = _kind("sum")


def _mean(b: Emitter, x: Value, axes: Sequence[int]) -> Value:
    count = b.dim_scalar(product([x.shape[a] for a in axes]), x.dtype)
    return b.div(_sum(b, x, axes), count)


def _l1(b: Emitter, x: Value, axes: Sequence[int]) -> Value:
    return _sum(b, b.abs(x), axes)


def _sum_square(b: Emitter, x: Value, axes: Sequence[int]) -> Value:
    return _sum(b, b.mul(x, x), axes)


def _l2(b: Emitter, x: Value, axes: Sequence[int]) -> Value:
    return b.sqrt(_sum_square(b, x, axes))


def _log_sum(b: Emitter, x: Value, axes: Sequence[int]) -> Value:
    return b.log(_sum(b, x, axes))


def _log_sum_exp(b: Emitter, x: Value, axes: Sequence[int]) -> Value:
    """Shifted by the greatest element, unless that is infinite."""
    top = b.reduce("max", x, axes, keepdims=True)
    shift = b.where(b.eq(b.sub(top, top), 0), top, 0)
    return b.add(_log_sum(b, b.exp(b.sub(x, shift)), axes), shift)


_RULES: dict[str, Rule] = {
    "ReduceSum": _sum,
    "ReduceProd": _kind("prod"),
    "ReduceMax": _kind("max"),
    "ReduceMin": _kind("min"),
    "ReduceMean": _mean,
    "ReduceL1": _l1,
    "ReduceL2": _l2,
    "ReduceSumSquare": _sum_square,
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": _log_sum_exp,
}
_REAL = {"ReduceL2", "ReduceLogSum", "ReduceLogSumExp"}
_WIDE = {*_REAL, "ReduceMean", "ReduceSumSquare"}


@converter(*_RULES)
def reduce_over_attribute(c: Context) -> Value:
    """A reduction over the axes of an attribute, or all."""
    return _reduce(c, c.integers("axes", []))


@converter("ReduceSum", since=13)
@converter(*(name for name in _RULES if name != "ReduceSum"), since=18)
def reduce_over_input(c: Context) -> Value:
    """A reduction over the axes of an input, or all (or none, if so asked for)."""
    axes = c.optional(1)
    empty = axes is None or axes.tensor.shape == (0,)
    return _reduce(c, [] if axes is None or empty else c.int_list(axes))


def _reduce(c: Context, listed: Sequence[int]) -> Value:
    b, x = c.b, c[0]
    axes = sorted(set(c.axes(listed, x.rank)))
    if not axes and not c.integer("noop_with_empty_axes", 0):
        axes = list(range(x.rank))
    y = _in_range(b, x, c.op_type, lambda v: _RULES[c.op_type](b, v, axes))
    return y if c.integer("keepdims", 1) else b.squeeze(y, axes)


def _in_range(b: Emitter, x: Value, name: str, rule: Callable[[Value], Value]) -> Value:
    """``rule`` in a dtype wide enough for what it computes on the way."""
    if x.dtype.is_int and name in _REAL:
        return b.cast(rule(b.cast(x, float64)), x.dtype)
    return widened(b, x, rule) if name in _WIDE else rule(x)


@converter("ArgMax", "ArgMin")
def arg_extreme(c: Context) -> Value:
    """Index of the first (or last) greatest or least element along an axis."""
    axis = c.axis(c.integer("axis", 0), c[0].rank)
    last = bool(c.integer("select_last_index", 0))
    kind = "max" if c.op_type == "ArgMax" else "min"
    y = c.b.arg_reduce(kind, c[0], axis, last=last)
    return c.b.expand_dims(y, [axis]) if c.integer("keepdims", 1) else y


@converter("CumSum", "CumProd")
def running(c: Context) -> Value:
    """Running sum or product along an axis."""
    (axis,) = c.axes(c.int_list(c[1]), c[0].rank)
    return c.b.cumulative(
        "sum" if c.op_type == "CumSum" else "prod",
        c[0],
        axis,
        exclusive=bool(c.integer("exclusive", 0)),
        reverse=bool(c.integer("reverse", 0)),
    )
