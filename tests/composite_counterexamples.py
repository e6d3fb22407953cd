"""The same for rewrites around norms, attention, products and convolutions."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from rewrite_counterexamples import N, never, shared, vector
from rewrite_examples import (
    NCHW,
    Make,
    bell,
    channels,
    conv,
    grid,
    scale,
    weighed,
    weights,
)

from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.dtype import DType
from graphwright.ir.emitter import Value

_Q, _K, _V = (2, 4, 3, 8), (2, 4, 5, 8), (2, 4, 5, 6)


def by(name: str, *shapes: tuple[int, ...]) -> Callable[[Make], Make]:
    """The function below makes a graph that the rewrite leaves as it is."""

    def add(make: Make) -> Make:
        never(name, make, *shapes)
        return make

    return add


def row(b: Builder, *numbers: float, rows: int = 2) -> Value:
    line = b.constant(np.array(numbers, np.float32))
    return b.broadcast_to(line, (rows, len(numbers)))


def normed(b: Builder, x: Value, axis: int, name: str = "layer_norm") -> Value:
    return b.emit(name, x, axis=axis, epsilon=1e-3)


def turn(b: Builder, x: Value) -> Value:
    return b.transpose(x, (1, 0))


def bent(b: Builder, x: Value, c: float, power: float, root: float) -> Value:
    inner = b.mul(b.add(x, b.mul(b.pow(x, power), c)), root)
    return b.mul(b.mul(x, 0.5), b.add(b.tanh(inner), 1))


def shares(b: Builder, x: Value, y: Value, axes: Any) -> Value:
    return b.div(b.exp(x), b.sum(b.exp(y), axes, keepdims=True))


def rms(
    b: Builder,
    x: Value,
    axes: Any = (1,),
    epsilon: float = 1e-3,
    count: float = 3,
    power: float = 2,
) -> Value:
    """The root that an RMS norm divides by, or almost."""
    total = b.sum(b.pow(x, power), axes, keepdims=True)
    return b.sqrt(b.add(b.div(total, count), epsilon))


def attention(
    b: Builder, q: Value, k: Value, v: Value, axis: int = 3, scores: Any = None
) -> Value:
    s = b.dot(q, b.transpose(k, (0, 1, 3, 2)))
    s = s if scores is None else scores(b, s)
    return b.dot(b.emit("softmax", s, axis=axis), v)


def three(b: Builder) -> Value:
    return b.constant(np.array([1, 2, 3, 4], np.float32))


def small(b: Builder, *shape: int, dtype: DType = dt.float32) -> Value:
    return b.constant(np.ones(shape, dtype.numpy), dtype)


def rows_of(b: Builder) -> Value:
    return b.broadcast_to(b.constant(np.arange(4, dtype=np.float32)), NCHW)


def large(b: Builder, *shape: int) -> Value:
    return b.constant(np.full(shape or (3, 4), 1e30, np.float32))


def grouped(b: Builder, x: Value, groups: str) -> Value:
    fields: dict[str, Any] = {"strides": (1, 1), "padding": ((0, 0),) * 2, groups: 2}
    k = weights(b, 2, 1 if groups == "groups" else 2, 1, 1)
    ones: dict[str, Any] = {"lhs_dilation": (1, 1), "rhs_dilation": (1, 1)}
    return b.emit("conv", x, k, **ones, **fields)


def two(b: Builder) -> Value:
    column = np.array([1.5, 2.5], np.float32).reshape(2, 1, 1)
    return b.broadcast_to(b.constant(column), _FOUR)


# Past other ops

_FREE = "reshape_past_elementwise"
never(_FREE, lambda b, x, y: b.add(b.reshape(x, (6,)), y), (2, 3), (6,))
never(_FREE, lambda b, x: b.neg(b.reshape(x, (6,))), dtype=dt.int32)
never(_FREE, lambda b, x: b.neg(b.reshape(x, ())), (1, 1))
never(_FREE, lambda b, x: b.neg(b.reshape(x, (1,))), ())
never(
    _FREE,
    lambda b, x, y: b.add(b.reshape(x, (3, 2)), b.reshape(y, (3, 2))),
    (2, 3),
    (6,),
)
never(_FREE, lambda b, x: b.add(b.reshape(x, (3, 2)), row(b, 1, 2, rows=3)))


for _name in ("layer_norm", "rms_norm"):
    never(
        "reshape_past_norm",
        lambda b, x, n=_name: normed(b, b.reshape(x, (3, 2)), 1, n),
    )
    never(
        "reshape_past_norm",
        lambda b, x, n=_name: normed(b, b.reshape(x, (1, 2, 3)), 1, n),
    )
    never("reshape_past_norm", lambda b, x, n=_name: normed(b, b.neg(x), 1, n))
never(
    "reshape_past_norm",
    lambda b, x, s: b.emit("layer_norm", x, b.reshape(s, (3,)), axis=1, epsilon=1e-3),
    (2, 3),
    (1, 3),
)
for _shape, _axis, _given in (
    ((1, 2, 3), 1, (2, 3)),
    ((3, 2), 1, (2, 3)),
    ((1, 3), 1, (3,)),
):
    never(
        "reshape_past_softmax",
        lambda b, x, s=_shape, a=_axis: b.emit("softmax", b.reshape(x, s), axis=a),
        _given,
    )

_TURN = "transpose_past_elementwise"


never(_TURN, lambda b, x, y: b.add(turn(b, x), y), (2, 3), (3, 2))
never(
    _TURN,
    lambda b, x, y: b.add(b.transpose(x, (1, 0, 2)), b.transpose(y, (2, 1, 0))),
    (2, 2, 2),
    (2, 2, 2),
)
never(
    _TURN,
    lambda b, x, y: b.add(turn(b, x), b.broadcast_to(y, (3, 2))),
    (2, 3),
    (2,),
)
shared(_TURN, turn, lambda b, y: b.exp(y))
for _name, _kind in (("transpose_past_extremum", "max"), ("transpose_past_sum", "sum")):
    shared(_name, turn, lambda b, y, k=_kind: b.reduce(k, y, [0]))
never("transpose_past_extremum", lambda b, x: b.sum(turn(b, x), [0]))
never("transpose_past_sum", lambda b, x: b.reduce("max", turn(b, x), [0]))

# Composites

never("gelu_erf", lambda b, x: b.mul(b.mul(x, bell(b, x)), 0.5001))
never("gelu_erf", lambda b, x, y: b.mul(b.mul(y, bell(b, x)), 0.5), (2, 3), (2, 3))
never(
    "gelu_erf",
    lambda b, x: b.mul(b.mul(x, b.add(b.unary("erf", b.mul(x, 0.70715)), 1)), 0.5),
)
never(
    "gelu_erf",
    lambda b, x: b.mul(
        b.mul(x, b.add(b.unary("erf", b.div(x, math.sqrt(2))), 1.0001)), 0.5
    ),
)


_ROOT = math.sqrt(2 / math.pi)
for _c, _power, _root in (
    (0.0448, 3, _ROOT),
    (0.044715, 3.001, _ROOT),
    (0.044715, 3, 0.8),
):
    never("gelu_tanh", lambda b, x, c=_c, p=_power, r=_root: bent(b, x, c, p, r))
never("logistic", lambda b, x: b.div(1.0001, b.add(b.exp(b.neg(x)), 1)))
never("logistic", lambda b, x: b.div(1, b.add(b.exp(b.neg(x)), 1.0001)))
never("logistic", lambda b, x: b.div(1, b.add(b.exp(x), 1)))
never("log_one_plus_exp", lambda b, x: b.log(b.add(b.exp(x), 1.0001)))
never("log_one_plus_exp", lambda b, x: b.log(b.exp(x)))


never("exp_over_sum", lambda b, x, y: shares(b, x, y, [1]), (2, 3), (2, 3))


@by("exp_over_sum")
def two_axes(b: Builder, x: Value) -> Value:
    e = b.exp(x)
    return b.div(e, b.sum(e, [0, 1], keepdims=True))


@by("exp_over_sum")
def greatest(b: Builder, x: Value) -> Value:
    e = b.exp(x)
    return b.div(e, b.reduce("max", e, [1], keepdims=True))


@by("exp_over_sum", (3, 3))
def other_place(b: Builder, x: Value) -> Value:
    e = b.exp(x)
    return b.div(e, b.broadcast_to(b.sum(e, [1]), (3, 3)))


for _fields in (
    {"axes": (0,), "count": 2},
    {"epsilon": -1e-3},
    {"count": 3.01},
    {"power": 2.001},
):
    never("norm_divided", lambda b, x, f=_fields: b.div(x, rms(b, x, **f)))
    never(
        "norm_multiplied",
        lambda b, x, f=_fields: b.mul(x, b.div(1, rms(b, x, **f))),
    )
never("norm_divided", lambda b, x, y: b.div(y, rms(b, x)), (2, 3), (2, 3))
never("norm_divided", lambda b, x: b.div(x, rms(b, x)), dtype=dt.float16)
never("norm_divided", lambda b, x: b.div(x, rms(b, x, count=5)), (2, N))
never(
    "norm_divided",
    lambda b, x: b.div(x, b.broadcast_to(b.squeeze(rms(b, x), [1]), (3, 3))),
    (3, 3),
)
never("norm_multiplied", lambda b, x: b.mul(x, b.div(1.001, rms(b, x))))
never("norm_multiplied", lambda b, x: b.mul(x, rms(b, x)))
for _step, _outer in (("norm_scaled", "mul"), ("norm_shifted", "add")):

    def affine(b: Builder, x: Value, y: Value, outer: str = _outer) -> Value:
        s = [] if outer == "mul" else [b.constant(np.array([1, 2, 3], np.float32))]
        return b.emit(outer, b.emit("layer_norm", x, *s, axis=1, epsilon=1e-3), y)

    never(_step, affine, (2, 3), (2, 3))
    never(
        _step,
        lambda b, x, f=affine: f(
            b, x, b.broadcast_to(b.constant([[1.0], [2.0]], dt.float32), (2, 3))
        ),
    )
shared("norm_scaled", lambda b, x: normed(b, x, 1), lambda b, y: b.mul(y, scale(b)))
never("norm_scaled", lambda b, x: b.add(normed(b, x, 1), scale(b)))
never("norm_shifted", lambda b, x: b.add(normed(b, x, 1), scale(b)))
never("where_no_nan", lambda b, x: b.where(b.eq(x, x), x, 7))
never(
    "where_no_nan",
    lambda b, x, y: b.where(b.eq(x, y), x, 7),
    (2, 3),
    (2, 3),
    dtype=dt.int32,
)

# Attention


never("attend", lambda b, q, k, v: attention(b, q, k, v, 2), _Q, _K, _V)
never("attend", attention, _Q, _K, _V, dtype=dt.float16)
never("attend_narrow", attention, _Q, _K, _V)
never("attend", attention, *[(2, 0, 3, 3)] * 3)
never(
    "attend",
    lambda b, q, k, v: attention(b, q, k, v, 3, lambda b, s: b.exp(s)),
    _Q,
    _K,
    _V,
)
never(
    "attend",
    lambda b, q, k, v: b.dot(b.emit("softmax", b.dot(q, turn(b, k)), axis=1), v),
    (3, 8),
    (5, 8),
    (5, 6),
)


@by("attend", _Q, _K, _V)
def scores_wanted(b: Builder, q: Value, k: Value, v: Value) -> list[Value]:
    s = b.dot(q, b.transpose(k, (0, 1, 3, 2)))
    return [b.dot(b.emit("softmax", s, axis=3), v), s]


@by("attend", _Q, _K, _V)
def weights_wanted(b: Builder, q: Value, k: Value, v: Value) -> list[Value]:
    w = weighed(b, q, k)
    return [b.dot(w, v), w]


@by("attend_without_nan", _Q, _K, _V)
def clean_weights_wanted(b: Builder, q: Value, k: Value, v: Value) -> list[Value]:
    w = weighed(b, q, k)
    return [b.dot(b.where(b.eq(w, w), w, 0.0), v), w]


@by("attend_without_nan", _Q, _K, _V)
def ones_for_nan(b: Builder, q: Value, k: Value, v: Value) -> Value:
    w = weighed(b, q, k)
    return b.dot(b.where(b.eq(w, w), w, 1.0), v)


# Scales


never(
    "scale_conv", lambda b, x, k: b.mul(conv(b, x, k), channels(b)), NCHW, (3, 3, 1, 1)
)
never(
    "scale_conv",
    lambda b, x: b.mul(conv(b, x, weights(b, 3, 3, 1, 1)), rows_of(b)),
    NCHW,
)
never(
    "scale_conv",
    lambda b, x: b.mul(conv(b, x, large(b, 3, 3, 1, 1)), channels(b, 3e38)),
    NCHW,
)
shared(
    "scale_conv",
    lambda b, x: conv(b, x, weights(b, 3, 3, 1, 1)),
    lambda b, y: b.mul(y, channels(b)),
    NCHW,
)


never("scale_dot", lambda b, x, k: b.mul(b.dot(x, k), three(b)), (2, 3), (3, 4))
never(
    "scale_dot",
    lambda b, x: b.mul(b.dot(x, grid(b)), b.broadcast_to(small(b, 2, 1), (2, 4))),
)
shared("scale_dot", lambda b, x: b.dot(x, grid(b)), lambda b, y: b.mul(y, three(b)))
_SHIFTED = "scale_shifted_root"
never(
    _SHIFTED,
    lambda b, x: b.mul(
        b.add(b.dot(x, grid(b)), three(b)), b.broadcast_to(small(b, 2, 1), (2, 4))
    ),
)
never(
    _SHIFTED,
    lambda b, x: b.mul(
        b.add(b.dot(x, grid(b)), b.broadcast_to(small(b, 2, 1), (2, 4))), three(b)
    ),
)
never(
    _SHIFTED,
    lambda b, x: b.mul(b.add(b.exp(x), vector(b, 1, 2, 3)), vector(b, 1, 2, 3)),
)
shared(
    _SHIFTED,
    lambda b, x: b.add(b.dot(x, grid(b)), three(b)),
    lambda b, y: b.mul(y, three(b)),
)
for _name, _op in (("factor", "mul"), ("divisor", "div")):

    def scaled(b: Builder, x: Value, c: float = 3.0, name: str = _op) -> Value:
        return b.emit(name, x, b.full(x.shape, c, x.dtype))

    _dot, _conv, _flat = (
        f"{_name}_{n}" for n in ("into_dot", "into_conv", "past_reshape")
    )
    never(_dot, lambda b, x, k, f=scaled: b.dot(f(b, x), k), (2, 3), (3, 4))
    never(_dot, lambda b, x, f=scaled: b.dot(f(b, x, 0.0), grid(b)))
    never(
        _dot,
        lambda b, x, f=scaled: b.dot(f(b, x, 2), small(b, 3, 2, dtype=dt.int32)),
        dtype=dt.int32,
    )
    shared(_dot, scaled, lambda b, y: b.dot(y, grid(b)))
    never(
        _flat,
        lambda b, x, f=scaled: b.dot(b.reshape(f(b, x, 0.0), (2, 3)), grid(b)),
        (2, 3, 1),
    )
    shared(_flat, scaled, lambda b, y: b.dot(b.reshape(y, (2, 3)), grid(b)), (2, 3, 1))
    never(
        _conv,
        lambda b, x, f=scaled: conv(b, f(b, x, 0.0), weights(b, 2, 3, 3, 3), 1),
        NCHW,
    )
    never(_conv, lambda b, x, k, f=scaled: conv(b, f(b, x), k, 1), NCHW, (2, 3, 3, 3))
    shared(_conv, scaled, lambda b, y: conv(b, y, weights(b, 2, 3, 3, 3), 1), NCHW)
never("factor_into_dot", lambda b, x: b.dot(b.mul(x, 3e38), large(b)))
never("divisor_into_dot", lambda b, x: b.dot(b.div(x, 1e-38), large(b)))


_FOUR = (2, 2, 4, 4)


for _groups in ("groups", "batch_groups"):
    never(
        "channels_into_conv",
        lambda b, x, g=_groups: grouped(b, b.mul(x, two(b)), g),
        _FOUR,
    )
    never(
        "shift_into_conv",
        lambda b, x, g=_groups: grouped(b, b.add(x, two(b)), g),
        _FOUR,
    )
never(
    "channels_into_conv",
    lambda b, x: conv(b, b.mul(x, rows_of(b)), weights(b, 2, 3, 1, 1)),
    NCHW,
)
never(
    "shift_into_conv",
    lambda b, x: conv(b, b.add(x, channels(b)), weights(b, 2, 3, 3, 3), 1),
    NCHW,
)
never(
    "shift_into_conv",
    lambda b, x: conv(b, b.add(x, rows_of(b)), weights(b, 2, 3, 1, 1)),
    NCHW,
)
never(
    "shift_into_conv",
    lambda b, x, k: conv(b, b.add(x, channels(b)), k),
    NCHW,
    (2, 3, 3, 3),
)
never(
    "shift_into_conv",
    lambda b, x: conv(b, b.add(x, channels(b, 3e38)), weights(b, 2, 3, 1, 1)),
    NCHW,
)


@by("shift_into_conv", NCHW)
def spread_out(b: Builder, x: Value) -> Value:
    fields: dict[str, Any] = {"padding": ((0, 0),) * 2, "strides": (1, 1)}
    shifted = b.add(x, channels(b))
    k = weights(b, 2, 3, 1, 1)
    return b.emit(
        "conv", shifted, k, lhs_dilation=(2, 1), rhs_dilation=(1, 1), **fields
    )


for _name, _op in (("channels_into_conv", "mul"), ("shift_into_conv", "add")):
    shared(
        _name,
        lambda b, x, f=_op: b.emit(f, x, channels(b)),
        lambda b, y: conv(b, y, weights(b, 2, 3, 1, 1)),
        NCHW,
    )
