"""The same for rewrites that find activations and rotary embeddings."""

import math

from rewrite_counterexamples import never
from rewrite_examples import halves, joined

from graphwright.ir.builder import Builder
from graphwright.ir.emitter import Value

_X, _ANGLES, _HALVES = (2, 3, 8), (3, 8), (3, 4)

# Swish

_TWO = ((2, 3), (2, 3))


def bell(b: Builder, x: Value) -> Value:
    return b.unary("sigmoid", x)


never("silu", lambda b, x, y: b.mul(x, bell(b, y)), *_TWO)
never("silu", lambda b, x: b.mul(x, y := bell(b, x)) and [b.mul(x, y), y])
never("silu_scaled", lambda b, x, y: b.mul(x, bell(b, b.mul(y, 1.702))), *_TWO)
never("silu_scaled", lambda b, x: b.mul(x, bell(b, b.mul(x, math.inf))))
never("silu_scaled", lambda b, x, y: b.mul(x, bell(b, b.mul(x, y))), *_TWO)
never("silu_divided", lambda b, x, y: b.div(y, b.add(b.exp(b.neg(x)), 1)), *_TWO)
never("silu_divided", lambda b, x: b.div(x, b.add(b.exp(b.neg(x)), 1.0001)))
never("silu_divided", lambda b, x: b.div(x, b.add(b.exp(x), 1)))

# Rotary embeddings


def turned_otherwise(b: Builder, x: Value, cos: Value, sin: Value) -> Value:
    u, v = halves(b, x)
    return b.add(b.mul(x, cos), b.mul(joined(b, [v, b.neg(u)]), sin))


def turned_without_sign(b: Builder, x: Value, cos: Value, sin: Value) -> Value:
    u, v = halves(b, x)
    return b.add(b.mul(x, cos), b.mul(joined(b, [v, u]), sin))


def neighbours_as_halves(b: Builder, x: Value, cos: Value, sin: Value) -> Value:
    u, v = halves(b, x, True)
    return b.add(b.mul(x, cos), b.mul(joined(b, [b.neg(v), u]), sin))


def halves_as_neighbours(b: Builder, x: Value, cos: Value, sin: Value) -> Value:
    u, v = halves(b, x)
    return b.add(b.mul(x, cos), b.mul(joined(b, [b.neg(v), u], True), sin))


def another_is_turned(b: Builder, x: Value, y: Value, cos: Value, sin: Value) -> Value:
    u, v = halves(b, x)
    return b.add(b.mul(y, cos), b.mul(joined(b, [b.neg(v), u]), sin))


def turned_along_rows(b: Builder, x: Value, cos: Value, sin: Value) -> Value:
    u, v = b.split(x, [2, 2], 1)
    turned = b.concat([b.neg(v), u], 1)
    return b.add(b.mul(x, cos), b.mul(turned, sin))


def unequal_parts(b: Builder, x: Value, cos: Value, sin: Value) -> Value:
    u, v = b.split(x, [3, 5], x.rank - 1)
    return b.add(b.mul(x, cos), b.mul(joined(b, [b.neg(v), u]), sin))


for _make in (
    *(turned_otherwise, turned_without_sign, neighbours_as_halves),
    *(halves_as_neighbours, unequal_parts),
):
    never("rotary", _make, _X, _ANGLES, _ANGLES)
never("rotary", another_is_turned, _X, _X, _ANGLES, _ANGLES)
never("rotary", turned_along_rows, (2, 4, 8), (4, 8), (4, 8))


def other_angles(b: Builder, x: Value, cos: Value, sin: Value, other: Value) -> Value:
    u, v = halves(b, x)
    lower = b.sub(b.mul(u, cos), b.mul(v, sin))
    return joined(b, [lower, b.add(b.mul(v, other), b.mul(u, sin))])


def added_first(b: Builder, x: Value, cos: Value, sin: Value) -> Value:
    u, v = halves(b, x)
    lower = b.add(b.mul(u, cos), b.mul(v, sin))
    return joined(b, [lower, b.sub(b.mul(v, cos), b.mul(u, sin))])


def seconds_first(b: Builder, x: Value, cos: Value, sin: Value) -> Value:
    v, u = halves(b, x)
    lower = b.sub(b.mul(u, cos), b.mul(v, sin))
    return joined(b, [lower, b.add(b.mul(v, cos), b.mul(u, sin))])


def joined_otherwise(b: Builder, x: Value, cos: Value, sin: Value) -> Value:
    u, v = halves(b, x)
    lower = b.sub(b.mul(u, cos), b.mul(v, sin))
    return joined(b, [lower, b.add(b.mul(v, cos), b.mul(u, sin))], True)


never("rotary_of_halves", other_angles, _X, _HALVES, _HALVES, _HALVES)
for _make in (added_first, seconds_first, joined_otherwise):
    never("rotary_of_halves", _make, _X, _HALVES, _HALVES)
