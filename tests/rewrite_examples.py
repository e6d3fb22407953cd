"""One small graph for each rewrite, in which it applies."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.dtype import DType
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType

Make = Callable[..., Value | Sequence[Value]]

EXAMPLES: dict[str, Graph] = {}
"""Graphs by the name of the rewrite that each is an example of."""

WIDE: dict[str, Graph] = {}
"""The same in float32, of those in float16: what they would be without rounding."""

NCHW = (2, 3, 4, 4)


def example(
    *shapes: tuple[int, ...], dtype: DType = dt.float32
) -> Callable[[Make], Make]:
    """Builds the example named like the function, on inputs of these shapes."""

    def add(make: Make) -> Make:
        EXAMPLES[make.__name__] = built(make, dtype)
        if dtype is dt.float16:  # of a rewrite that rounds
            WIDE[make.__name__] = built(make, dt.float32)
        return make

    def built(make: Make, dtype: DType) -> Graph:
        b = Builder(make.__name__)
        taken = shapes or ((2, 3),)
        xs = [b.input(f"x{i}", TensorType(dtype, s)) for i, s in enumerate(taken)]
        found = make(b, *xs)
        return b.finish([found] if isinstance(found, Value) else found)

    return add


def quick(
    names: str, make: Make, *shapes: tuple[int, ...], dtype: DType = dt.float32
) -> None:
    """An example in one line."""
    make.__name__ = names
    example(*shapes, dtype=dtype)(make)


def channels(b: Builder, low: float = 0.5) -> Value:
    """Three numbers along axis 1 of a tensor of four axes."""
    column = np.linspace(low, low + 1, 3, dtype=np.float32).reshape(3, 1, 1)
    return b.broadcast_to(b.constant(column), NCHW)


def weights(b: Builder, *shape: int) -> Value:
    rng = np.random.default_rng(len(shape))
    return b.constant(rng.uniform(-1, 1, shape).astype(np.float32))


def conv(b: Builder, x: Value, k: Value, pad: int = 0) -> Value:
    fields: dict[str, Any] = {"padding": ((pad, pad),) * 2, "strides": (1, 1)}
    return b.emit("conv", x, k, lhs_dilation=(1, 1), rhs_dilation=(1, 1), **fields)


# Algebra

quick("add_nothing", lambda b, x: b.sub(x, 0.0))
quick("add_zero", lambda b, x: b.add(x, 0.0))
quick("times_one", lambda b, x: b.mul(x, 1))
quick("times_minus_one", lambda b, x: b.mul(x, -1))
quick("times_zero", lambda b, x: b.mul(x, 0), dtype=dt.int32)
quick("times_zero_fast", lambda b, x: b.mul(x, 0))
quick("same_twice", lambda b, x: b.max(x, x))
quick("no_bits", lambda b, x: b.or_(x, 0), dtype=dt.int32)
quick("all_bits", lambda b, x: b.and_(x, -1), dtype=dt.int32)
quick("nested_max", lambda b, x: b.max(b.max(x, -1), 0.5))
quick("nested_min", lambda b, x: b.min(b.min(x, -1), 0.5))
quick("twice", lambda b, x: b.neg(b.neg(x)))
quick("less_itself", lambda b, x: b.sub(x, x), dtype=dt.int32)
quick("less_itself_fast", lambda b, x: b.sub(x, x))
quick("over_itself_fast", lambda b, x: b.div(x, x))
quick("add_negative", lambda b, x, y: b.add(x, b.neg(y)), (2, 3), (2, 3))
quick("less_negative", lambda b, x, y: b.sub(x, b.neg(y)), (2, 3), (2, 3))
quick("signs_cancel", lambda b, x, y: b.mul(b.neg(x), b.neg(y)), (2, 3), (2, 3))
quick("magnitude", lambda b, x: b.abs(b.neg(x)))
quick("floor_twice", lambda b, x: b.floor(b.floor(x)))
quick("divide_by_power_of_two", lambda b, x: b.div(x, 8.0))
quick("power_two", lambda b, x: b.pow(x, 2), dtype=dt.int32)
quick("square", lambda b, x: b.pow(x, 2))
quick("power_half", lambda b, x: b.pow(x, 0.5))
quick("power_minus_one", lambda b, x: b.pow(x, -1))
quick("power_minus_half", lambda b, x: b.pow(x, -0.5))
quick("times_reciprocal", lambda b, x, y: b.mul(x, b.div(1, y)), (2, 3), (2, 3))
quick("log_of_exp", lambda b, x: b.log(b.exp(x)))
quick("add_twice", lambda b, x: b.add(b.add(x, channels(b)), channels(b, 2)), NCHW)
quick("scale_twice", lambda b, x: b.mul(b.mul(x, channels(b)), channels(b, 2)), NCHW)
quick(
    "scale_shifted",
    lambda b, x: b.mul(b.add(b.mul(x, channels(b)), channels(b, 2)), channels(b, 3)),
    NCHW,
)
quick("where_same", lambda b, x, y: b.where(b.lt(x, y), x, x), (2, 3), (2, 3))
quick("where_known", lambda b, x: b.where(b.full((2, 3), True, dt.bool_), x, 0.0))
quick("where_not", lambda b, x, y: b.where(b.not_(b.lt(x, y)), x, y), (2, 3), (2, 3))
quick("equals_itself", lambda b, x: b.eq(x, x), dtype=dt.int32)
quick("below_itself", lambda b, x: b.lt(x, x), dtype=dt.int32)

# Casts

quick("cast_to_itself", lambda b, x: b.emit("cast", x, dtype=dt.float32))
quick("cast_twice", lambda b, x: b.cast(b.cast(x, dt.float64), dt.float16))

# Movement

quick("to_own_shape", lambda b, x: b.emit("reshape", x, shape=(2, 3)))
quick(
    "slice_all",
    lambda b, x: b.emit("slice", x, start=(0, 0), size=(2, 3), step=(1, 1)),
)
quick("pad_nothing", lambda b, x: b.pad(x, (0, 0), (0, 0)))
quick("transpose_ones", lambda b, x: b.transpose(x, (1, 0, 2)), (2, 1, 3))
quick("reduce_no_axes", lambda b, x: b.emit("reduce", x, kind="max", axes=()))
quick("reshape_twice", lambda b, x: b.reshape(b.reshape(x, (6,)), (3, 2)))
quick(
    "transpose_twice",
    lambda b, x: b.transpose(b.transpose(x, (1, 2, 0)), (0, 2, 1)),
    (2, 3, 4),
)
quick(
    "broadcast_twice",
    lambda b, x: b.broadcast_to(b.broadcast_to(x, (4, 3)), (2, 4, 3)),
    (1, 3),
)
quick(
    "broadcast_reshaped",
    lambda b, x: b.broadcast_to(b.reshape(x, (1, 3)), (2, 3)),
    (3,),
)
quick(
    "slice_twice",
    lambda b, x: b.slice(b.slice(x, (1, 0), (8, 3), (1, 1)), (1, 2), (3, 2), (2, -1)),
    (10, 3),
)
quick(
    "pad_twice",
    lambda b, x: b.pad(b.pad(x, (1, 0), (0, 2), 5.0), (0, 3), (1, 1), 5.0),
)
quick("concat_of_concat", lambda b, x: b.concat([b.concat([x, b.neg(x)], 0), x], 0))
quick("concat_one", lambda b, x: b.emit("concat", x, axis=0))
quick(
    "concat_of_slices",
    lambda b, x: b.concat([b.slice_axis(x, 1, 0, 1), b.slice_axis(x, 1, 1, 3)], 1),
)
quick(
    "slice_of_concat",
    lambda b, x, y: b.slice_axis(b.concat([x, y], 0), 0, 3, 5),
    (2, 3),
    (4, 3),
)
quick(
    "slice_of_pad",
    lambda b, x: b.slice(b.pad(x, (2, 1), (0, 1)), (2, 2), (2, 2), (1, 1)),
)


def written(b: Builder, x: Value, y: Value, start: int = 1, step: int = 1) -> Value:
    """Rows from one on, every so many, are those of another tensor."""
    return b.emit("update_slice", x, y, start=(start, 0), step=(step, 1))


quick(
    "window_written_back",
    lambda b, x: written(b, x, b.slice(x, (1, 0), (2, 3), (2, 1)), 1, 2),
    (5, 3),
)
quick(
    "window_read_back",
    lambda b, x, y: b.slice(written(b, x, y), (1, 0), (2, 3), (1, 1)),
    *((8, 3), (2, 3)),
)
quick(
    "window_read_beside",
    lambda b, x, y: b.slice(written(b, x, y), (3, 1), (4, 2), (1, 1)),
    *((8, 3), (2, 3)),
)
quick("nothing_written", written, (8, 3), (0, 3))
quick("sum_of_nothing", lambda b, x, y: b.dot(x, y), (2, 0), (0, 3))


def under_mask(b: Builder, x: Value, y: Value, mask: Value, mode: str = "set") -> Value:
    """``x[:, m] = exp(x[:, m]) * y[:, m] - 2``."""
    count = b.fresh_symbol()
    at = b.reshape(b.emit("nonzero", mask, count=count), (count,))
    first, second = b.gather(x, at, 1), b.gather(y, at, 1)
    new = b.sub(b.mul(b.exp(first), second), 2.0)
    return b.scatter(x, at, new, 1, mode)


quick(
    "update_where",
    lambda b, x, y, m: under_mask(b, x, y, b.lt(m, 0)),
    *((2, 5), (2, 5), (5,)),
)
quick(
    "window_written_twice",
    lambda b, x, y: written(b, written(b, x, b.neg(y)), y),
    *((5, 3), (2, 3)),
)
quick("all_written", lambda b, x, y: written(b, x, y, 0), (2, 3), (2, 3))
quick("gather_iota", lambda b, x: b.gather(x, b.iota((3,), 0, dt.int64), 1))
quick("gather_row", lambda b, x: b.gather(x, b.constant(np.array([2, 1], np.int64)), 1))


@example((2, 3, 4, 5))
def swap_between_reshapes(b: Builder, x: Value) -> Value:
    flat = b.transpose(b.reshape(x, (6, 4, 5)), (0, 2, 1))
    return b.reshape(flat, (2, 3, 5, 4))


@example((2, 3, 4, 5))
def swap_around_reshape(b: Builder, x: Value) -> Value:
    turned = b.transpose(x, (0, 1, 3, 2))
    return b.transpose(b.reshape(turned, (6, 5, 4)), (0, 2, 1))


quick(
    "reshape_past_elementwise",
    lambda b, x: b.add(
        b.reshape(x, (1, 2, 3)), b.constant(np.array([1, 2, 3], np.float32))
    ),
)
quick(
    "reshape_past_norm",
    lambda b, x: b.emit("layer_norm", b.reshape(x, (2, 1, 3)), axis=2, epsilon=1e-5),
)
quick(
    "reshape_past_softmax",
    lambda b, x: b.emit("softmax", b.reshape(x, (2, 1, 3)), axis=2),
)
quick(
    "transpose_past_elementwise",
    lambda b, x: b.add(
        b.transpose(x, (1, 0)), b.constant(np.array([1, 2], np.float32))
    ),
)
quick(
    "transpose_past_extremum",
    lambda b, x: b.reduce("max", b.transpose(x, (2, 1, 0)), [0]),
    (2, 3, 4),
)
quick(
    "transpose_past_sum",
    lambda b, x: b.sum(b.transpose(x, (2, 1, 0)), [0]),
    (2, 3, 4),
)

# Composites


def bell(b: Builder, x: Value) -> Value:
    return b.add(b.unary("erf", b.div(x, math.sqrt(2))), 1)


quick("gelu_erf", lambda b, x: b.mul(b.mul(x, bell(b, x)), 0.5))


@example()
def gelu_tanh(b: Builder, x: Value) -> Value:
    cube = b.mul(b.pow(x, 3), 0.044715)
    bent = b.tanh(b.mul(b.add(x, cube), math.sqrt(2 / math.pi)))
    return b.mul(b.mul(x, 0.5), b.add(bent, 1))


quick("logistic", lambda b, x: b.div(1, b.add(b.exp(b.neg(x)), 1)))
quick("silu", lambda b, x: b.mul(x, b.unary("sigmoid", x)))
quick("silu_scaled", lambda b, x: b.mul(b.unary("sigmoid", b.mul(x, 1.702)), x))
quick("silu_divided", lambda b, x: b.div(x, b.add(b.exp(b.neg(x)), 1)))
quick("log_one_plus_exp", lambda b, x: b.log(b.add(b.exp(x), 1)))


@example()
def exp_over_sum(b: Builder, x: Value) -> Value:
    e = b.exp(b.sub(x, b.reduce("max", x, [1], keepdims=True)))
    return b.div(e, b.sum(e, [1], keepdims=True))


@example()
def norm_divided(b: Builder, x: Value) -> Value:
    d = b.sub(x, b.mean(x, [1], keepdims=True))
    variance = b.mean(b.mul(d, d), [1], keepdims=True)
    return b.div(d, b.sqrt(b.add(variance, 1e-3)))


@example()
def norm_multiplied(b: Builder, x: Value) -> Value:
    power = b.mean(b.mul(x, x), [1], keepdims=True)
    return b.mul(x, b.div(1, b.sqrt(b.add(power, 1e-3))))


def scale(b: Builder) -> Value:
    return b.broadcast_to(b.constant(np.array([1, 2, 3], np.float32)), (2, 3))


quick(
    "norm_scaled",
    lambda b, x: b.mul(b.emit("rms_norm", x, axis=1, epsilon=1e-3), scale(b)),
)
quick(
    "norm_shifted",
    lambda b, x: b.add(
        b.emit(
            "layer_norm",
            x,
            b.constant(np.array([1, 2, 3], np.float32)),
            axis=1,
            epsilon=1e-3,
        ),
        scale(b),
    ),
)
quick("where_no_nan", lambda b, x: b.where(b.eq(x, x), x, 7), dtype=dt.int32)

# Attention: batch 2, 4 heads, 3 queries, 5 keys of size 8
_Q, _K, _V = (2, 4, 3, 8), (2, 4, 5, 8), (2, 4, 5, 6)


def weighed(b: Builder, q: Value, k: Value, mask: Value | None = None) -> Value:
    scores = b.div(b.dot(q, b.transpose(k, (0, 1, 3, 2))), math.sqrt(8))
    scores = scores if mask is None else b.add(scores, mask)
    return b.emit("softmax", scores, axis=3)


@example(_Q, _K, _V, (2, 1, 1, 5))
def attend(b: Builder, q: Value, k: Value, v: Value, mask: Value) -> Value:
    return b.dot(weighed(b, q, k, mask), v)


@example(_Q, _K, _V, dtype=dt.float16)
def attend_narrow(b: Builder, q: Value, k: Value, v: Value) -> Value:
    return b.dot(weighed(b, q, k), v)


@example(_Q, _K, _V)
def attend_without_nan(b: Builder, q: Value, k: Value, v: Value) -> Value:
    w = weighed(b, q, k)
    return b.dot(b.where(b.eq(w, w), w, 0.0), v)


# Rotary embeddings

_X, _ANGLES, _HALVES = (2, 3, 8), (3, 8), (3, 4)


def halves(b: Builder, x: Value, pairs: bool = False) -> list[Value]:
    """Firsts and seconds of pairs, by slices."""
    size = x.shape[-1] // 2
    if not pairs:
        return b.split(x, [size, size], x.rank - 1)
    rest, lead, ones = (0,) * (x.rank - 1), x.shape[:-1], (1,) * (x.rank - 1)
    return [b.slice(x, (*rest, i), (*lead, size), (*ones, 2)) for i in (0, 1)]


def columns(b: Builder, x: Value) -> list[Value]:
    """Firsts and seconds of neighbours, by a reshape."""
    shape = (*x.shape[:-1], x.shape[-1] // 2)
    split = b.reshape(x, (*shape, 2))
    parts = b.split(split, [1, 1], x.rank)
    return [b.reshape(part, shape) for part in parts]


def joined(b: Builder, parts: Sequence[Value], pairs: bool = False) -> Value:
    """Firsts and seconds as one."""
    if not pairs:
        return b.concat(parts, parts[0].rank - 1)
    y = b.stack(parts, parts[0].rank)
    return b.reshape(y, (*y.shape[:-2], y.shape[-2] * 2))


@example(_X, _ANGLES, _ANGLES)
def rotary(b: Builder, x: Value, cos: Value, sin: Value) -> Value:
    u, v = halves(b, x)
    turned = joined(b, [b.neg(v), u])
    return b.add(b.mul(x, cos), b.mul(turned, sin))


@example(_X, _HALVES, _HALVES)
def rotary_of_halves(b: Builder, x: Value, cos: Value, sin: Value) -> Value:
    u, v = columns(b, x)
    lower = b.sub(b.mul(u, cos), b.mul(v, sin))
    return joined(b, [lower, b.add(b.mul(cos, v), b.mul(u, sin))], True)


# Scales


def filters(b: Builder) -> Value:
    return weights(b, 3, 3, 1, 1)


def grid(b: Builder) -> Value:
    return weights(b, 3, 4)


quick("scale_conv", lambda b, x: b.mul(conv(b, x, filters(b)), channels(b)), NCHW)
quick(
    "scale_shifted_root",
    lambda b, x: b.mul(b.add(conv(b, x, filters(b)), channels(b, 2)), channels(b)),
    NCHW,
)
quick(
    "scale_dot",
    lambda b, x: b.mul(
        b.dot(x, grid(b)), b.constant(np.array([1, 2, 3, 5], np.float32))
    ),
)
quick("factor_into_dot", lambda b, x: b.dot(b.mul(x, 3.0), grid(b)))
quick("divisor_into_dot", lambda b, x: b.dot(b.div(x, 3.0), grid(b)))
quick(
    "divisor_past_reshape",
    lambda b, x: b.dot(b.reshape(b.div(x, 3.0), (2, 3)), grid(b)),
    (2, 3, 1),
)
quick(
    "factor_past_reshape",
    lambda b, x: b.dot(b.reshape(b.mul(x, 3.0), (2, 3)), grid(b)),
    (2, 3, 1),
)
quick(
    "factor_into_conv",
    lambda b, x: conv(b, b.mul(x, 3.0), weights(b, 2, 3, 3, 3), 1),
    NCHW,
)
quick(
    "divisor_into_conv",
    lambda b, x: conv(b, b.div(x, 3.0), weights(b, 2, 3, 3, 3), 1),
    NCHW,
)
quick(
    "channels_into_conv",
    lambda b, x: conv(b, b.mul(x, channels(b)), weights(b, 2, 3, 3, 3), 1),
    NCHW,
)


@example(NCHW)
def bound_before_scale(b: Builder, x: Value) -> Value:
    normal = b.add(b.mul(x, channels(b)), channels(b, -1.0))
    return conv(b, b.max(normal, 0.0), weights(b, 2, 3, 3, 3))


quick(
    "shift_into_conv",
    lambda b, x: conv(b, b.add(x, channels(b)), weights(b, 2, 3, 3, 3)),
    NCHW,
)

# Integers


def real(b: Builder, x: Value, scale: float = 0.25, zero: int = 3) -> Value:
    """What 8-bit integers stand for."""
    point = b.constant(np.array(zero, x.dtype.numpy))
    return b.emit(
        "dequantize", x, b.constant(np.float32(scale)), point, dtype=dt.float32
    )


def integers(b: Builder, *shape: int, per: tuple[int, ...] = ()) -> Value:
    """Weights of 8 bits, as reals; ``per`` is the shape of their scales."""
    rng = np.random.default_rng(len(shape))
    held = b.constant(rng.integers(-127, 128, shape).astype(np.int8))
    scale = b.constant(rng.uniform(0.01, 0.02, per).astype(np.float32))
    return b.emit("dequantize", held, scale, dtype=dt.float32)


def late_zero(b: Builder, x: Value, rows: tuple[int, ...] | None = None) -> Value:
    """A product of bytes less a zero point that only a run tells."""
    held = np.random.default_rng(0).integers(-127, 128, (3, 4)).astype(np.int16)
    return less_late(b, x, b.constant(held), rows=rows)


def less_late(
    b: Builder,
    x: Value,
    weights: Value,
    dtype: DType = dt.int32,
    rows: tuple[int, ...] | None = None,
) -> Value:
    """``(x - z) @ weights`` in 16 bits, where ``z`` is the first of ``x``."""
    zero = b.reshape(b.slice(x, [0] * x.rank, [1] * x.rank), ())
    spread = b.broadcast_to(b.cast(zero, dt.int16), x.shape)
    less = b.sub(b.cast(x, dt.int16), spread)
    return b.dot(less if rows is None else b.reshape(less, rows), weights, dtype)


quick(
    "integer_conv",
    lambda b, x: conv(b, real(b, x), integers(b, 2, 3, 3, 3, per=(2, 1, 1, 1)), 1),
    NCHW,
    dtype=dt.uint8,
)
quick(
    "integer_dot",
    lambda b, x: b.dot(real(b, x), integers(b, 3, 4, per=(1, 4))),
    dtype=dt.int8,
)
quick("zero_after_dot", late_zero, dtype=dt.uint8)
quick(
    "zero_after_dot_of_rows",
    lambda b, x: late_zero(b, x, (2, 3)),
    (1, 2, 3),
    dtype=dt.uint8,
)
quick(
    "quantized_again",
    lambda b, x: b.emit(
        "quantize",
        b.emit("dequantize", x, b.constant(np.float32(0.3)), dtype=dt.float32),
        b.constant(np.float32(0.3)),
        dtype=dt.int8,
    ),
    dtype=dt.int8,
)
quick(
    "quantized_again_about",
    lambda b, x: b.emit(
        "quantize",
        real(b, x, 0.3, 200),
        b.constant(np.float32(0.3)),
        b.constant(np.uint8(200)),
        dtype=dt.uint8,
    ),
    dtype=dt.uint8,
)
quick(
    "dequantize_after_moving",
    lambda b, x: b.transpose(
        b.emit(
            "dequantize",
            x,
            b.constant(np.array([0.5, 0.25, 2], np.float32)),
            dtype=dt.float32,
        ),
        (1, 0),
    ),
    dtype=dt.int8,
)
quick(
    "dequantize_after_maximum",
    lambda b, x: b.emit(
        "reduce_window",
        real(b, x),
        kind="max",
        window=(2, 2),
        strides=(1, 1),
        dilations=(1, 1),
        padding=((1, 0), (0, 1)),
    ),
    NCHW,
    dtype=dt.uint8,
)
quick(
    "dequantize_after_concat",
    lambda b, x, y: b.concat([real(b, x), real(b, y)], 1),
    (2, 3),
    (2, 1),
    dtype=dt.uint8,
)
