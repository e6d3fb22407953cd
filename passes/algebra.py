"""Algebraic simplification: neutral elements, inverses, powers, constants that meet.

Exact over floats means the sign of zero and NaN too: ``x + 0`` turns ``-0`` into ``0``
(``x + -0`` and ``x - 0`` do not), and ``x - x`` is NaN where ``x`` is not finite.
"""

import math
from typing import Any

import numpy as np

from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DType
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.passes.pattern import P
from graphwright.passes.rewriter import Rewriter
from graphwright.passes.rules import EXACT, ROUNDING, UNSAFE, RuleSet

ALGEBRA = RuleSet("algebra")
_rule = ALGEBRA.rewrite

_INT, _FLOAT, _WHOLE = P.value("x", "iu"), P.value("x", "f"), P.value("x", "biu")


# Neutral elements --------------------------------------------------------------------


@_rule(P.add("x", -0.0) | P.add(_INT, 0) | P.sub("x", 0), EXACT)
def add_nothing(b: Rewriter, x: Value) -> Value:
    """``x + -0 = x - 0 = x``; ``x + 0 = x`` of integers."""
    return x


@_rule(P.add(_FLOAT, 0.0), UNSAFE)
def add_zero(b: Rewriter, x: Value) -> Value:
    """``x + 0 = x``, but for the sign of zero: ``1 / -0`` is not ``1 / 0``."""
    return x


@_rule(P.mul("x", 1) | P.div("x", 1) | P.pow("x", 1), EXACT)
def times_one(b: Rewriter, x: Value) -> Value:
    """``x * 1 = x / 1 = x ** 1 = x``."""
    return x


@_rule(P.mul(_FLOAT, -1) | P.div(_FLOAT, -1), EXACT)
def times_minus_one(b: Rewriter, x: Value) -> Value:
    """``x * -1 = x / -1 = -x``."""
    return b.neg(x)


@_rule(P.mul(_INT, 0), EXACT)
def times_zero(b: Rewriter, x: Value) -> Value:
    """``x * 0 = 0`` of integers."""
    return b.zeros_like(x)


@_rule(P.mul(_FLOAT, 0.0), UNSAFE)
def times_zero_fast(b: Rewriter, x: Value) -> Value:
    """``x * 0 = 0``, even of NaN and infinity."""
    return b.zeros_like(x)


@_rule(P.and_("x", "x") | P.or_("x", "x") | P.max("x", "x") | P.min("x", "x"), EXACT)
def same_twice(b: Rewriter, x: Value) -> Value:
    """``op(x, x) = x`` for and, or, max and min."""
    return x


@_rule(P.or_(_WHOLE, 0) | P.xor(_WHOLE, 0), EXACT)
def no_bits(b: Rewriter, x: Value) -> Value:
    """``x | 0 = x ^ 0 = x``."""
    return x


@_rule(P.and_(P.value("x", "b"), True) | P.and_(P.value("x", "i"), -1), EXACT)
def all_bits(b: Rewriter, x: Value) -> Value:
    """``x & ~0 = x``."""
    return x


@_rule(P.max(P.max("x", P.splat("c")).once, P.splat("d")), EXACT)
def nested_max(b: Rewriter, x: Value, c: float, d: float) -> Value | None:
    """``max(max(x, c), d) = max(x, max(c, d))``."""
    return None if math.isnan(c + d) else b.max(x, c if c >= d else d)


@_rule(P.min(P.min("x", P.splat("c")).once, P.splat("d")), EXACT)
def nested_min(b: Rewriter, x: Value, c: float, d: float) -> Value | None:
    """``min(min(x, c), d) = min(x, min(c, d))``."""
    return None if math.isnan(c + d) else b.min(x, c if c <= d else d)


# Inverses ----------------------------------------------------------------------------


@_rule(P.neg(P.neg("x")) | P.xor(P.xor("x", "y"), "y"), EXACT)
def twice(b: Rewriter, x: Value) -> Value:
    """``-(-x) = x``; ``x ^ y ^ y = x``."""
    return x


@_rule(P.sub(_INT, "x") | P.xor(_WHOLE, "x"), EXACT)
def less_itself(b: Rewriter, x: Value) -> Value:
    """``x - x = x ^ x = 0`` of integers."""
    return b.zeros_like(x)


@_rule(P.sub(_FLOAT, "x"), UNSAFE)
def less_itself_fast(b: Rewriter, x: Value) -> Value:
    """``x - x = 0``, even of NaN and infinity."""
    return b.zeros_like(x)


@_rule(P.div(_FLOAT, "x"), UNSAFE)
def over_itself_fast(b: Rewriter, x: Value) -> Value:
    """``x / x = 1``, even of zero, NaN and infinity."""
    return b.full(x.shape, 1, x.dtype)


@_rule(P.add("x", P.neg("y")), EXACT)
def add_negative(b: Rewriter, x: Value, y: Value) -> Value:
    """``x + -y = x - y``."""
    return b.sub(x, y)


@_rule(P.sub("x", P.neg("y")), EXACT)
def less_negative(b: Rewriter, x: Value, y: Value) -> Value:
    """``x - -y = x + y``."""
    return b.add(x, y)


@_rule(P.mul(P.neg("x"), P.neg("y")) | P.div(P.neg("x"), P.neg("y")), EXACT)
def signs_cancel(b: Rewriter, node: Node, x: Value, y: Value) -> Value | None:
    """``-x * -y = x * y``; ``-x / -y = x / y`` of floats."""
    return b.emit(node.op.name, x, y) if x.dtype.is_float else None


@_rule(
    P.abs(P.abs("x").named("inner")) | P.abs(P.neg(P.value("x", "ifc")).named("inner")),
    EXACT,
)
def magnitude(b: Rewriter, x: Value, inner: Node) -> Value:
    """``||x|| = |-x| = |x|``, the latter where ``-x`` does not wrap around."""
    return b.abs(x)


@_rule(P.floor(P.floor("x").named("inner")), EXACT)
def floor_twice(b: Rewriter, inner: Node) -> Value:
    """``floor(floor(x)) = floor(x)``."""
    return inner.results[0]


# Division, powers --------------------------------------------------------------------


@_rule(P.div(_FLOAT, P.splat("c")), EXACT)
def divide_by_power_of_two(b: Rewriter, x: Value, c: float) -> Value | None:
    """``x / 2**k = x * 2**-k`` where ``2**-k`` is a normal number."""
    if c == 0 or not math.isfinite(c) or abs(math.frexp(c)[0]) != 0.5:
        return None
    tiny = _tiny(x.dtype)
    if tiny is None or not tiny <= abs(1 / c) <= x.dtype.limits[1]:
        return None
    return b.mul(x, 1 / c)


def _tiny(d: DType) -> float | None:
    """The least normal number of a float type that numpy knows."""
    if d.name not in ("float16", "float32", "float64"):
        return None
    return float(np.finfo(d.numpy).tiny)


@_rule(P.pow(_INT, 2), EXACT)
def power_two(b: Rewriter, x: Value) -> Value:
    """``x ** 2 = x * x`` of integers."""
    return b.mul(x, x)


@_rule(P.pow(_FLOAT, 2), ROUNDING)
def square(b: Rewriter, x: Value) -> Value:
    """``x ** 2 = x * x``: the product is rounded right, a power within an ulp."""
    return b.mul(x, x)


@_rule(P.pow(_FLOAT, 0.5), ROUNDING)
def power_half(b: Rewriter, x: Value) -> Value:
    """``x ** 0.5 = sqrt(x)``, but for ``-inf`` and ``-0``."""
    return b.sqrt(x)


@_rule(P.pow(_FLOAT, -1), ROUNDING)
def power_minus_one(b: Rewriter, x: Value) -> Value:
    """``x ** -1 = 1 / x``."""
    return b.div(b.full(x.shape, 1, x.dtype), x)


@_rule(P.pow(_FLOAT, -0.5), ROUNDING)
def power_minus_half(b: Rewriter, x: Value) -> Value:
    """``x ** -0.5 = 1 / sqrt(x)``."""
    return b.div(b.full(x.shape, 1, x.dtype), b.sqrt(x))


@_rule(P.mul("x", P.div(1, "y").once), ROUNDING)
def times_reciprocal(b: Rewriter, x: Value, y: Value) -> Value | None:
    """``x * (1 / y) = x / y``."""
    return b.div(x, y) if x.dtype.is_float else None


@_rule(P.log(P.exp(_FLOAT)), UNSAFE)
def log_of_exp(b: Rewriter, x: Value) -> Value:
    """``log(e ** x) = x``, even where the power overflows."""
    return x


# Constants that meet -----------------------------------------------------------------


_C, _D = P.repeated("c"), P.repeated("d")


@_rule(P.add(P.add(_FLOAT, _C).once, _D), ROUNDING)
def add_twice(b: Rewriter, x: Value, c: Value, d: Value) -> Value | None:
    """``(x + c) + d = x + (c + d)`` for vectors of a channel."""
    both = _joined(b, c, d, np.add)
    return None if both is None else b.add(x, both)


@_rule(P.mul(P.mul(_FLOAT, _C).once, _D), ROUNDING)
def scale_twice(b: Rewriter, x: Value, c: Value, d: Value) -> Value | None:
    """``(x * c) * d = x * (c * d)`` for vectors of a channel."""
    both = _joined(b, c, d, np.multiply)
    return None if both is None else b.mul(x, both)


@_rule(P.mul(P.add(P.mul(_FLOAT, _C).once, _D).once, P.repeated("e")), ROUNDING)
def scale_shifted(b: Rewriter, x: Value, c: Value, d: Value, e: Value) -> Value | None:
    """``(x * c + d) * e = x * (c * e) + d * e`` for vectors of a channel."""
    slope, shift = _joined(b, c, e, np.multiply), _joined(b, d, e, np.multiply)
    if slope is None or shift is None:
        return None
    return b.add(b.mul(x, slope), shift)


def _joined(b: Rewriter, c: Value, d: Value, ufunc: Any) -> Value | None:
    """``ufunc`` of two repeated constants, if it is normal everywhere it was."""
    left, right = b.constant_under(c), b.constant_under(d)
    if left is None or right is None or left.shape != right.shape:
        return None
    if not 1 < left.size <= 1 << 16:
        return None
    x, y = (k.array().astype(np.float64) for k in (left, right))
    with np.errstate(all="ignore"):
        z = ufunc(x, y).astype(left.dtype.numpy)
        tiny = _tiny(left.dtype)
        lost = tiny is None or bool(
            (np.abs(z[z != 0]) < tiny).any() or (z[(x * y) != 0] == 0).any()
        )
    if ufunc is np.add:
        lost = False
    if lost or not np.isfinite(z.astype(np.float64)).all():
        return None
    return b.broadcast_to(b.constant_of(Constant.of(z, left.dtype)), c.shape)


# Choices -----------------------------------------------------------------------------


@_rule(P.where("c", "x", "x"), EXACT)
def where_same(b: Rewriter, x: Value) -> Value:
    """``where(c, x, x) = x``."""
    return x


@_rule(P.where(P.splat("c"), "x", "y"), EXACT)
def where_known(b: Rewriter, c: bool, x: Value, y: Value) -> Value:
    """``where(true, x, y) = x``; ``where(false, x, y) = y``."""
    return x if c else y


@_rule(P.where(P.xor("c", True), "x", "y"), EXACT)
def where_not(b: Rewriter, c: Value, x: Value, y: Value) -> Value:
    """``where(!c, x, y) = where(c, y, x)``."""
    return b.where(c, y, x)


@_rule(P.eq(_WHOLE, "x"), EXACT)
def equals_itself(b: Rewriter, x: Value) -> Value:
    """``x == x`` of integers."""
    return b.full(x.shape, True, b.eq(x, x).dtype)


@_rule(P.lt(_WHOLE, "x"), EXACT)
def below_itself(b: Rewriter, x: Value) -> Value:
    """``x < x`` never holds."""
    return b.full(x.shape, False, b.lt(x, x).dtype)
