"""Graphs in which a rewrite must not apply: one for each condition that it has."""

import math
from typing import Any

import numpy as np
from rewrite_examples import (
    NCHW,
    Make,
    channels,
    less_late,
    under_mask,
    written,
)

from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.dim import symbol
from graphwright.ir.dtype import DType
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType

COUNTEREXAMPLES: dict[str, list[Graph]] = {}
"""Graphs by the name of the rewrite that leaves them as they are."""

N = symbol("n")


def never(
    name: str, make: Make, *shapes: tuple[Any, ...], dtype: DType = dt.float32
) -> None:
    """A graph that the rewrite leaves as it is."""
    b = Builder(name)
    taken = shapes or ((2, 3),)
    xs = [b.input(f"x{i}", TensorType(dtype, s)) for i, s in enumerate(taken)]
    found = make(b, *xs)
    graph = b.finish([found] if isinstance(found, Value) else found)
    COUNTEREXAMPLES.setdefault(name, []).append(graph)


def vector(b: Builder, *numbers: float) -> Value:
    """A row, repeated to two rows."""
    row = b.constant(np.array(numbers, np.float32))
    return b.broadcast_to(row, (2, len(numbers)))


def swapped(b: Builder, x: Value, flat: Any, perm: Any, shape: Any) -> Value:
    return b.reshape(b.transpose(b.reshape(x, flat), perm), shape)


def padded(b: Builder, x: Value, low: Any, high: Any, number: float = 5.0) -> Value:
    return b.pad(x, low, high, number)


def spaced(b: Builder, x: Value, gap: int) -> Value:
    """A border, and gaps between the elements of a row."""
    v = b.scalar(5.0, dt.float32)
    return b.emit("pad", x, v, low=(1, 0), high=(0, 1), interior=(0, gap))


def pair(b: Builder, name: str, x: Value, c: float, d: float) -> tuple[Value, Value]:
    """``op(x, c)`` and ``d`` for the op once more."""
    inner = b.emit(name, x, b.full((2, 3), c, dt.float32))
    return inner, b.full((2, 3), d, dt.float32)


def splat(b: Builder) -> Value:
    return b.full((2, 3), 1.5, dt.float32)


def vector4(b: Builder, low: float, axis: int) -> Value:
    """Numbers along the last axis of four."""
    row = np.linspace(low, low + 1, axis, dtype=np.float32)
    return b.broadcast_to(b.constant(row), NCHW)


# Algebra

never("add_nothing", lambda b, x: b.add(x, 0.0))
never("add_nothing", lambda b, x: b.sub(x, -0.0))
never("add_nothing", lambda b, x: b.sub(0, x))
never("add_nothing", lambda b, x: b.add(x, 1), dtype=dt.int32)
never("add_zero", lambda b, x: b.add(x, 1e-30))
never("add_zero", lambda b, x: b.add(x, 0), dtype=dt.int32)
never("times_one", lambda b, x: b.div(1, x))
never("times_one", lambda b, x: b.mul(x, 1 + 1e-6))
never("times_one", lambda b, x: b.pow(1, x))
never("times_minus_one", lambda b, x: b.mul(x, -1), dtype=dt.int32)
never("times_minus_one", lambda b, x: b.div(-1, x))
never("times_zero", lambda b, x: b.mul(x, 0))
never("times_zero", lambda b, x: b.mul(x, 1), dtype=dt.int32)
never("times_zero_fast", lambda b, x: b.mul(x, 1e-30))
never("times_zero_fast", lambda b, x: b.mul(x, 0), dtype=dt.int32)
never("same_twice", lambda b, x, y: b.max(x, y), (2, 3), (2, 3))
never("same_twice", lambda b, x: b.xor(x, x), dtype=dt.int32)
never("no_bits", lambda b, x: b.and_(x, 0), dtype=dt.int32)
never("no_bits", lambda b, x: b.or_(x, 1), dtype=dt.int32)
never("all_bits", lambda b, x: b.and_(x, 1), dtype=dt.int32)
never("all_bits", lambda b, x: b.or_(x, -1), dtype=dt.int32)
never("all_bits", lambda b, x: b.and_(x, 1), dtype=dt.uint8)
for _name, _op in (("nested_max", "max"), ("nested_min", "min")):
    never(_name, lambda b, x, f=_op: b.emit(f, *pair(b, f, x, math.nan, 1.0)))
    never(_name, lambda b, x, f=_op: b.emit(f, *pair(b, f, x, 1.0, math.nan)))
never("twice", lambda b, x: b.neg(b.abs(x)))
never(
    "twice",
    lambda b, x, y, z: b.xor(b.xor(x, y), z),
    *[(2, 3)] * 3,
    dtype=dt.int32,
)
never("less_itself", lambda b, x: b.sub(x, x))
never("less_itself", lambda b, x, y: b.sub(x, y), (2, 3), (2, 3), dtype=dt.int32)
never("less_itself_fast", lambda b, x: b.sub(x, x), dtype=dt.int32)
never("over_itself_fast", lambda b, x: b.div(x, x), dtype=dt.int32)
never("over_itself_fast", lambda b, x, y: b.div(x, y), (2, 3), (2, 3))
never("add_negative", lambda b, x, y: b.add(x, b.abs(y)), (2, 3), (2, 3))
never("less_negative", lambda b, x, y: b.sub(b.neg(x), y), (2, 3), (2, 3))
never(
    "signs_cancel",
    lambda b, x, y: b.div(b.neg(x), b.neg(y)),
    *[(2, 3)] * 2,
    dtype=dt.int32,
)
never("signs_cancel", lambda b, x, y: b.mul(b.neg(x), y), (2, 3), (2, 3))
never("magnitude", lambda b, x: b.abs(b.floor(x)))
never("magnitude", lambda b, x: b.abs(b.neg(x)), dtype=dt.uint8)
never("floor_twice", lambda b, x: b.floor(b.neg(x)))
for _c in (3.0, 0.0, math.inf, math.nan, 2.0**127, -6.0):
    never("divide_by_power_of_two", lambda b, x, c=_c: b.div(x, c))
never("divide_by_power_of_two", lambda b, x: b.div(x, 2.0**15), dtype=dt.float16)
never("divide_by_power_of_two", lambda b, x: b.div(x, 2.0**-16), dtype=dt.float16)
never("divide_by_power_of_two", lambda b, x: b.div(x, 2.0), dtype=dt.bfloat16)
never("divide_by_power_of_two", lambda b, x: b.div(x, 2), dtype=dt.int32)
never("divide_by_power_of_two", lambda b, x: b.div(2.0, x))
never("power_two", lambda b, x: b.pow(x, 2))
never("power_two", lambda b, x: b.pow(x, 3), dtype=dt.int32)
never("square", lambda b, x: b.pow(x, 2), dtype=dt.int32)
never("square", lambda b, x: b.pow(x, 2 + 1e-6))
never("square", lambda b, x: b.pow(2, x))
never("power_half", lambda b, x: b.pow(x, 0.5 + 1e-6))
never("power_minus_one", lambda b, x: b.pow(x, -1 - 1e-6))
never("power_minus_half", lambda b, x: b.pow(x, -0.5 - 1e-6))
never(
    "times_reciprocal",
    lambda b, x, y: b.mul(x, b.div(1, y)),
    *[(2, 3)] * 2,
    dtype=dt.int32,
)
never("times_reciprocal", lambda b, x, y: b.mul(x, b.div(2, y)), (2, 3), (2, 3))


def shared_reciprocal(b: Builder, x: Value, y: Value) -> list[Value]:
    r = b.div(1, y)
    return [b.mul(x, r), b.exp(r)]


never("times_reciprocal", shared_reciprocal, (2, 3), (2, 3))
never("log_of_exp", lambda b, x: b.exp(b.log(x)))


def shared(
    name: str,
    inner: Any,
    outer: Any,
    *shapes: tuple[int, ...],
    dtype: DType = dt.float32,
) -> None:
    """What a rewrite would absorb is read by something else too."""

    def make(b: Builder, *xs: Value) -> list[Value]:
        y = inner(b, *xs)
        return [outer(b, y), b.neg(y)]

    never(name, make, *shapes, dtype=dtype)


shared("nested_max", lambda b, x: b.max(x, -1), lambda b, y: b.max(y, 0.5))
shared("nested_min", lambda b, x: b.min(x, -1), lambda b, y: b.min(y, 0.5))
for _name, _op in (("add_twice", "add"), ("scale_twice", "mul")):
    never(
        _name,
        lambda b, x, f=_op: b.emit(f, b.emit(f, x, channels(b)), vector4(b, 2.0, 4)),
        NCHW,
    )
    never(_name, lambda b, x, f=_op: b.emit(f, b.emit(f, x, splat(b)), splat(b)))
    shared(
        _name,
        lambda b, x, f=_op: b.emit(f, x, channels(b)),
        lambda b, y, f=_op: b.emit(f, y, channels(b, 2)),
        NCHW,
    )
never(
    "add_twice",
    lambda b, x: b.add(b.add(x, vector(b, 3e38, 1, 2)), vector(b, 3e38, 1, 2)),
)
for _numbers in ((3e38, 1, 2), (1e-30, 1, 2), (1e-20, 1, 2)):
    never(
        "scale_twice",
        lambda b, x, n=_numbers: b.mul(b.mul(x, vector(b, *n)), vector(b, *n)),
    )
    never(
        "scale_shifted",
        lambda b, x, n=_numbers: b.mul(
            b.add(b.mul(x, vector(b, *n)), vector(b, 1, 2, 3)), vector(b, *n)
        ),
    )
never(
    "scale_twice",
    lambda b, x: b.mul(b.mul(x, vector(b, math.inf, 1, 2)), vector(b, 0, 1, 2)),
)
never(
    "scale_shifted",
    lambda b, x: b.mul(
        b.add(b.mul(x, vector(b, 1, 2, 3)), vector(b, 1, 2, 3)), splat(b)
    ),
)
shared(
    "scale_shifted",
    lambda b, x: b.add(b.mul(x, channels(b)), channels(b, 2)),
    lambda b, y: b.mul(y, channels(b, 3)),
    NCHW,
)
never("where_same", lambda b, x, y: b.where(b.lt(x, y), x, y), (2, 3), (2, 3))
never("where_known", lambda b, x, y: b.where(b.lt(x, y), x, y), (2, 3), (2, 3))
never(
    "where_known",
    lambda b, x: b.where(
        b.broadcast_to(b.constant(np.array([True, False, True])), (2, 3)), x, 0.0
    ),
)


def other_condition(b: Builder, x: Value, y: Value) -> Value:
    return b.where(b.xor(b.lt(x, y), b.lt(y, 0.0)), x, y)


never("where_not", other_condition, (2, 3), (2, 3))
never("equals_itself", lambda b, x: b.eq(x, x))
never("equals_itself", lambda b, x, y: b.eq(x, y), (2, 3), (2, 3), dtype=dt.int32)
never("below_itself", lambda b, x: b.lt(x, x))
never("below_itself", lambda b, x, y: b.lt(x, y), (2, 3), (2, 3), dtype=dt.int32)

# Casts

never("cast_to_itself", lambda b, x: b.emit("cast", x, dtype=dt.float64))
for _from, _to in (
    (dt.float32, dt.float16),
    (dt.float32, dt.bfloat16),
    (dt.float16, dt.bfloat16),
    (dt.bfloat16, dt.float16),
    (dt.float32, dt.int32),
    (dt.float32, dt.bool_),
    (dt.int32, dt.float32),
    (dt.int64, dt.float64),
    (dt.int64, dt.int32),
    (dt.uint8, dt.int8),
    (dt.int8, dt.uint8),
    (dt.int16, dt.float16),
    (dt.uint16, dt.float16),
    (dt.int8, dt.bool_),
):
    never(
        "cast_twice",
        lambda b, x, to=_to: b.emit("cast", b.cast(x, to), dtype=dt.float64),
        dtype=_from,
    )

# Movement

never("to_own_shape", lambda b, x: b.reshape(x, (3, 2)))
never("to_own_shape", lambda b, x: b.broadcast_to(x, (1, 2, 3)))
never(
    "slice_all",
    lambda b, x: b.emit("slice", x, start=(1, 0), size=(2, 3), step=(-1, 1)),
)
never("slice_all", lambda b, x: b.slice(x, (0, 0), (1, 3), (1, 1)))
never("slice_all", lambda b, x: b.slice(x, (0, 0), (2, 2), (1, 2)))
for _first, _every in ((0, 1), (1, 2)):
    never(
        "window_written_back",
        lambda b, x, s=_first, t=_every: written(
            b, x, b.slice(x, (1, 0), (2, 3), (1, 1)), s, t
        ),
        (5, 3),
    )
    never(
        "window_read_back",
        lambda b, x, y, s=_first, t=_every: b.slice(
            written(b, x, y), (s, 0), (2, 3), (t, 1)
        ),
        *((8, 3), (2, 3)),
    )
    never(
        "window_written_twice",
        lambda b, x, y, s=_first, t=_every: written(
            b, written(b, x, b.neg(y)), y, s, t
        ),
        *((5, 3), (2, 3)),
    )
never(
    "window_written_back",
    lambda b, x, y: written(b, x, b.slice(y, (1, 0), (2, 3), (1, 1))),
    *((5, 3), (5, 3)),
)
never(
    "window_read_back",
    lambda b, x, y: b.slice(written(b, x, y), (1, 0), (2, 3), (1, 1)),
    *((7, 3), (2, 3)),
)
never("nothing_written", written, (8, 3), (1, 3))
never("sum_of_nothing", lambda b, x, y: b.dot(x, y), (2, 1), (1, 3))
for _at, _long, _by in ((2, 2, 1), (0, 8, 1), (0, 2, 2), (5, 3, -2)):
    never(
        "window_read_beside",
        lambda b, x, y, s=_at, n=_long, t=_by: b.slice(
            written(b, x, y), (s, 0), (n, 3), (t, 1)
        ),
        *((8, 3), (2, 3)),
    )


never(
    "update_where",
    lambda b, x, y, m: under_mask(b, x, y, b.lt(m, 0), "add"),
    *((2, 5), (2, 5), (5,)),
)


never(
    "update_where",
    lambda b, x, y, m: under_mask(b, x, y, b.lt(m, 0)),
    *((2, 5), (2, 5), (0,)),
)


def other_mask(b: Builder, x: Value, y: Value, m: Value) -> Value:
    """As many elements as the mask has, but others."""
    count = b.fresh_symbol()
    at = b.reshape(b.emit("nonzero", b.lt(m, 0), count=count), (count,))
    first = b.gather(y, b.mul(at, 0), 1)
    return b.scatter(x, at, b.neg(first), 1)


never("update_where", other_mask, (2, 5), (2, 5), (5,))


def sorted_first(b: Builder, x: Value, m: Value) -> Value:
    """What is computed of the chosen elements together, not of each by itself."""
    count = b.fresh_symbol()
    at = b.reshape(b.emit("nonzero", b.lt(m, 0), count=count), (count,))
    rows = b.gather(x, at, 0)
    return b.scatter(x, at, b.emit("cumulative", rows, kind="sum", axis=0), 0)


never("update_where", sorted_first, (5, 2), (5,))


def read_twice(b: Builder, x: Value, y: Value) -> Value:
    whole = written(b, x, y)
    parts = (b.slice(whole, (at, 0), (2, 3), (1, 1)) for at in (3, 5))
    return b.add(*parts)


never("window_read_beside", read_twice, (8, 3), (2, 3))
never("all_written", lambda b, x, y: written(b, x, y, 1, -1), (2, 3), (2, 3))
never("all_written", lambda b, x, y: written(b, x, y, 1), (3, 3), (2, 3))
for _side in ("low", "high", "interior"):
    never(
        "pad_nothing",
        lambda b, x, s=_side: b.emit(
            "pad",
            x,
            b.scalar(0, dt.float32),
            **{k: (0, int(k == s)) for k in ("low", "high", "interior")},
        ),
    )
never("magnitude", lambda b, x: b.abs(b.neg(x)), dtype=dt.uint8)
never("transpose_ones", lambda b, x: b.transpose(x, (1, 0)))
never("transpose_ones", lambda b, x: b.transpose(x, (2, 1, 0)), (2, 1, 3))
never("reduce_no_axes", lambda b, x: b.reduce("max", x, [0]))
for _flat, _perm, _shape in (
    ((6, 4, 5), (1, 0, 2), (4, 6, 5)),
    ((6, 4, 5), (0, 2, 1), (2, 3, 20)),
    ((6, 5, 4), (0, 2, 1), (2, 3, 4, 5)),
):
    never(
        "swap_between_reshapes",
        lambda b, x, f=_flat, p=_perm, t=_shape: swapped(b, x, f, p, t),
        (2, 3, 4, 5),
    )
never(
    "swap_between_reshapes",
    lambda b, x: b.reshape(b.transpose(b.reshape(x, (2, 3)), (1, 0)), (3, 2, 1)),
    (6,),
)
never(
    "swap_around_reshape",
    lambda b, x: b.transpose(
        b.reshape(b.transpose(x, (0, 2, 1)), (2, 4, 5, 3)), (0, 1, 3, 2)
    ),
    (2, 3, 20),
)
for _turn, _back in (((1, 0, 2), (0, 2, 1)), ((0, 2, 1), (1, 0, 2))):
    never(
        "swap_around_reshape",
        lambda b, x, p=_turn, q=_back: b.transpose(
            b.reshape(b.transpose(x, p), (2, 3, 3)), q
        ),
        (2, 3, 3) if _turn == (0, 2, 1) else (3, 2, 3),
    )
never(
    "broadcast_reshaped",
    lambda b, x: b.broadcast_to(b.reshape(x, (3, 1)), (3, 2)),
    (3,),
)
never(
    "broadcast_reshaped",
    lambda b, x: b.broadcast_to(b.reshape(x, (1, 3, 2)), (4, 3, 2)),
    (2, 3),
)
never(
    "broadcast_reshaped",
    lambda b, x: b.broadcast_to(b.reshape(x, (2, 3)), (4, 2, 3)),
    (6,),
)
never(
    "broadcast_reshaped",
    lambda b, x: b.broadcast_to(b.reshape(x, (2, 1, 3)), (2, 2, 3)),
    (2, 3),
)
for _low, _high, _outer, _number in (
    ((1, 0), (0, 2), (0, 3), 4.0),
    ((1, 0), (0, 2), (-1, 3), 5.0),
    ((1, 0), (0, -2), (1, 3), 5.0),
    ((1, N), (0, 2), (1, 3), 5.0),
):
    never(
        "pad_twice",
        lambda b, x, lo=_low, hi=_high, out=_outer, v=_number: padded(
            b, padded(b, x, lo, hi), out, (1, 1), v
        ),
        (2, N),
    )
for _gap in (0, 1):
    never(
        "pad_twice",
        lambda b, x, g=_gap: spaced(b, spaced(b, x, 1 - g), g),
    )
never(
    "concat_of_concat",
    lambda b, x: b.concat([b.concat([x, b.neg(x)], 1), b.concat([x, x], 1)], 0),
)
shared(
    "concat_of_concat",
    lambda b, x: b.concat([x, b.neg(x)], 0),
    lambda b, y: b.concat([y, y], 0),
)
never("concat_one", lambda b, x: b.concat([x, x], 0))


def parts(b: Builder, x: Value, *ends: tuple[int, int]) -> Value:
    return b.concat([b.slice_axis(x, 1, start, stop) for start, stop in ends], 1)


never("concat_of_slices", lambda b, x: parts(b, x, (1, 3), (0, 1)))
never("concat_of_slices", lambda b, x: parts(b, x, (0, 1), (2, 3)))
never("concat_of_slices", lambda b, x: parts(b, x, (0, 2), (1, 3)))
never(
    "concat_of_slices",
    lambda b, x, y: b.concat([b.slice_axis(x, 1, 0, 1), b.slice_axis(y, 1, 1, 3)], 1),
    (2, 3),
    (2, 3),
)
never(
    "concat_of_slices",
    lambda b, x: b.concat(
        [b.slice(x, (0, 0), (1, 2), (1, 1)), b.slice(x, (1, 2), (1, 1), (1, 1))], 1
    ),
)
never(
    "concat_of_slices",
    lambda b, x: b.concat(
        [b.slice(x, (0, 0), (2, 2), (1, 2)), b.slice(x, (0, 4), (2, 2), (1, 1))], 1
    ),
    (2, 6),
)
never(
    "concat_of_slices",
    lambda b, x: b.concat([b.slice_axis(x, 1, 0, 1), b.slice_axis(x, 1, 1, 2)], 0),
)
never(
    "slice_of_concat",
    lambda b, x, y: b.slice_axis(b.concat([x, y], 0), 0, 1, 3),
    (2, 3),
    (4, 3),
)
never(
    "slice_of_concat",
    lambda b, x, y: b.slice(b.concat([x, y], 0), (2, 0), (2, 3), (2, 1)),
    (2, 3),
    (4, 3),
)
never(
    "slice_of_concat",
    lambda b, x, y: b.slice(b.concat([x, y], 1), (0, 1), (2, 2), (1, 2)),
    (2, 3),
    (2, 3),
)
for _height in (N, 2 * N):
    never(
        "slice_of_concat",
        lambda b, x, y: b.slice(b.concat([x, y], 1), (0, 0), y.shape, (1, 1)),
        (_height, N),
        (_height, 2 * N),
    )
never(
    "slice_of_concat",
    lambda b, x, y: b.slice(b.concat([x, y], 0), (1, 0), (N, 3), (1, 1)),
    (N, 3),
    (N, 3),
)
for _start, _size, _step in (
    ((1, 1), (2, 3), (1, 1)),
    ((2, 0), (2, 3), (1, 1)),
    ((2, 1), (2, 4), (1, 1)),
    ((2, 1), (0, 3), (1, 1)),
    ((2, 3), (2, 4), (1, -1)),
):
    never(
        "slice_of_pad",
        lambda b, x, s=_start, n=_size, t=_step: b.slice(
            b.pad(x, (2, 1), (0, 1)), s, n, t
        ),
    )
never(
    "slice_of_pad",
    lambda b, x: b.slice(b.pad(x, (2, 1), (0, 1)), (2, 1), (N, 1), (1, 1)),
    (N, 3),
)
never(
    "slice_of_pad",
    lambda b, x: b.slice(spaced(b, x, 1), (1, 1), (2, 3), (1, 1)),
)
never("gather_iota", lambda b, x: b.gather(x, b.iota((2,), 0, dt.int64), 1))
never(
    "gather_iota",
    lambda b, x: b.gather(x, b.iota((3,), 0, dt.int64), 1, batch_dims=1),
    (3, 3),
)
for _rows in ([0, 2, 1], [1, 1], [0, 1, 1], list(range(65))):
    never(
        "gather_row",
        lambda b, x, rows=_rows: b.gather(x, b.constant(np.array(rows, np.int64)), 0),
        (70, 2),
    )
never(
    "gather_row",
    lambda b, x: b.gather(x, b.constant(np.array([0, 1], np.int64)), 1, batch_dims=1),
    (2, 3),
)
never(
    "gather_row",
    lambda b, x: b.gather(x, b.constant(np.array([0], np.int64)), 0),
    (N, 2),
)

# Integers


def weights16(b: Builder) -> Value:
    return b.constant(np.ones((3, 4), np.int16))


def less(b: Builder, x: Value, zero: Value) -> Value:
    """A product of bytes less zero points in 16 bits."""
    spread = b.broadcast_to(b.cast(zero, dt.int16), x.shape)
    return b.dot(b.sub(b.cast(x, dt.int16), spread), weights16(b), dt.int32)


never(
    "zero_after_dot",
    lambda b, x: less(b, x, b.constant(np.array(3, np.uint8))),
    dtype=dt.uint8,
)
never(
    "zero_after_dot",
    lambda b, x: less(b, x, b.slice(x, [0, 0], [1, 3])),
    dtype=dt.uint8,
)
never(
    "zero_after_dot",
    lambda b, x: less_late(b, x, weights16(b), dt.int16),
    dtype=dt.uint8,
)
never(
    "zero_after_dot",
    lambda b, x: less_late(b, x, weights16(b)),
    dtype=dt.int16,
)
never(
    "zero_after_dot",
    lambda b, x, y: less_late(b, x, b.cast(y, dt.int16)),
    (2, 3),
    (3, 4),
    dtype=dt.uint8,
)
never(
    "zero_after_dot_of_rows",
    lambda b, x: less_late(b, x, weights16(b), dt.int16, rows=(2, 3)),
    (1, 2, 3),
    dtype=dt.uint8,
)
