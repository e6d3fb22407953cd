"""What elementwise ops are, on one element: by op name, a function on expressions.

Operands are in the dtypes in which they are computed; what is below float32 comes as
float32, and results are rounded by whoever asks (`elements.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from graphwright.backends.codegen import functions, narrow
from graphwright.backends.codegen.expr import (
    Expr,
    call,
    choose,
    const,
    signed,
    unsigned,
    wrapping,
)
from graphwright.backends.codegen.powers import power
from graphwright.ir.dtype import DType, bool_, float32, float64
from graphwright.ir.op import Op
from graphwright.ir.ops.reduce import identity

Rule: TypeAlias = Callable[[Any, Sequence[Expr], Sequence[DType]], Expr]
"""``(op, operands, dtypes)``; ``dtypes`` are the operands' and then the result's."""

RULES: dict[str, Rule] = {}
MOST_NUMBER = "max number"
"""The kind of a reduction that gives the largest number; which one, if one is NaN, is
left open."""


def rule(name: str) -> Callable[[Rule], Rule]:
    """Registers the meaning of an op."""

    def register(function: Rule) -> Rule:
        RULES[name] = function
        return function

    return register


def _arithmetic(name: str) -> Rule:
    def apply(op: Op, xs: Sequence[Expr], dtypes: Sequence[DType]) -> Expr:
        x, y = xs
        if x.dtype.is_int:
            return wrapping(name, x, y)
        return Expr(name, x.dtype, (x, y))

    return apply


for _name in ("add", "sub", "mul"):
    RULES[_name] = _arithmetic(_name)


def _divided(x: Expr, y: Expr) -> tuple[Expr, Expr]:
    """Quotient cut towards zero and remainder; 0 by 0, and no overflow."""
    zero = y.same(0)
    odd = zero | y.same(-1) if x.dtype.kind == "i" else zero
    safe = choose(odd, const(1, x.dtype), y)
    quotient, remainder = x / safe, x % safe
    if x.dtype.kind == "i":
        minus = wrapping("sub", const(0, x.dtype), x)
        quotient = choose(y.same(-1), minus, quotient)
    return choose(zero, const(0, x.dtype), quotient), choose(odd, zero_of(x), remainder)


def zero_of(x: Expr) -> Expr:
    """Zero of an expression's dtype."""
    return const(0, x.dtype)


@rule("div")
def _div(op: Op, xs: Sequence[Expr], dtypes: Sequence[DType]) -> Expr:
    x, y = xs
    return _divided(x, y)[0] if x.dtype.is_int else x / y


@rule("pow")
def _pow(op: Op, xs: Sequence[Expr], dtypes: Sequence[DType]) -> Expr:
    x, y = xs
    if x.dtype.is_float:
        return power(x, y)
    one, free = const(1, x.dtype), unsigned(y.dtype)
    found, square, rest = one, x, y.bits(free)
    for number in range(y.dtype.bits):  # by squares, bit by bit
        odd = ((rest >> number) & 1).differs(0)
        found = choose(odd, wrapping("mul", found, square), found)
        square = wrapping("mul", square, square)
    if y.dtype.kind == "u" or x.dtype.kind == "u":
        return found
    minus = const(-1, x.dtype)
    unit = choose(x.same(-1) & (y.bits(free) & 1).differs(0), minus, one)
    whole = x.same(1) | x.same(-1)
    return choose(y < 0, choose(whole, unit, zero_of(x)), found)


@rule("rem")
def _rem(op: Op, xs: Sequence[Expr], dtypes: Sequence[DType]) -> Expr:
    x, y = xs
    return _divided(x, y)[1] if x.dtype.is_int else call("fmod", x, y)


@rule("max")
def _max(op: Op, xs: Sequence[Expr], dtypes: Sequence[DType]) -> Expr:
    return greater(*xs)


@rule("min")
def _min(op: Op, xs: Sequence[Expr], dtypes: Sequence[DType]) -> Expr:
    return lesser(*xs)


def greater(x: Expr, y: Expr) -> Expr:
    """The larger, NaN if either is."""
    if x.dtype is bool_:
        return x | y
    above = x > y
    return choose(above | x.differs(x) if x.dtype.is_float else above, x, y)


def lesser(x: Expr, y: Expr) -> Expr:
    """The smaller, NaN if either is."""
    if x.dtype is bool_:
        return x & y
    below = x < y
    return choose(below | x.differs(x) if x.dtype.is_float else below, x, y)


def neutral(kind: str, dtype: DType) -> Expr:
    """What changes nothing where a reduction of a kind combines it."""
    return const(identity("max" if kind == MOST_NUMBER else kind, dtype), dtype)


def combined(kind: str, x: Expr, y: Expr) -> Expr:
    """Two numbers, or vectors of them, as a reduction of a kind combines them."""
    if kind == "max":
        return greater(x, y)
    if kind == MOST_NUMBER:
        return choose(x > y, x, y)
    if kind == "min":
        return lesser(x, y)
    op = "add" if kind == "sum" else "mul"
    found = wrapping(op, x, y) if x.dtype.is_int else Expr(op, x.dtype, (x, y))
    return replace(found, lanes=x.lanes)


def _bitwise(name: str) -> Rule:
    def apply(op: Op, xs: Sequence[Expr], dtypes: Sequence[DType]) -> Expr:
        return Expr(name, xs[0].dtype, tuple(xs))

    return apply


for _name in ("and", "or", "xor"):
    RULES[_name] = _bitwise(_name)


@rule("shl")
def _shl(op: Op, xs: Sequence[Expr], dtypes: Sequence[DType]) -> Expr:
    x, y = xs
    free = unsigned(x.dtype)
    count = y.bits(free)
    fits = count < x.dtype.bits
    shifted = (x.bits(free) << choose(fits, count, 0)).bits(x.dtype)
    return choose(fits, shifted, 0)


@rule("shr")
def _shr(op: Op, xs: Sequence[Expr], dtypes: Sequence[DType]) -> Expr:
    x, y = xs
    count = y.bits(unsigned(x.dtype))
    fits = count < x.dtype.bits
    most = x.dtype.bits - 1
    if x.dtype.kind == "i":
        return x >> choose(fits, count, most).bits(x.dtype)
    return choose(fits, x >> choose(fits, count, 0), 0)


@rule("eq")
def _eq(op: Op, xs: Sequence[Expr], dtypes: Sequence[DType]) -> Expr:
    x, y = xs
    return ~(x ^ y) if x.dtype is bool_ else x.same(y)


@rule("lt")
def _lt(op: Op, xs: Sequence[Expr], dtypes: Sequence[DType]) -> Expr:
    x, y = xs
    return ~x & y if x.dtype is bool_ else x < y


@rule("neg")
def _neg(op: Op, xs: Sequence[Expr], dtypes: Sequence[DType]) -> Expr:
    (x,) = xs
    return wrapping("sub", zero_of(x), x) if x.dtype.is_int else -x


@rule("abs")
def _abs(op: Op, xs: Sequence[Expr], dtypes: Sequence[DType]) -> Expr:
    (x,) = xs
    if x.dtype.kind == "i":
        return choose(x < 0, wrapping("sub", zero_of(x), x), x)
    return functions.magnitude(x) if x.dtype.is_float else x


@rule("where")
def _where(op: Op, xs: Sequence[Expr], dtypes: Sequence[DType]) -> Expr:
    condition, x, y = xs
    if x.dtype is bool_:
        return (condition & x) | (~condition & y)
    return choose(condition, x, y)


def _function(name: str) -> Rule:
    def apply(op: Op, xs: Sequence[Expr], dtypes: Sequence[DType]) -> Expr:
        return functions.FUNCTIONS[name](*xs)

    return apply


for _name in functions.FUNCTIONS:
    RULES[_name] = _function(_name)


@rule("gelu")
def _gelu(op: Any, xs: Sequence[Expr], dtypes: Sequence[DType]) -> Expr:
    return functions.gelu(xs[0], tanh=op.tanh)


@rule("bitcast")
def _bitcast(op: Any, xs: Sequence[Expr], dtypes: Sequence[DType]) -> Expr:
    source, to = dtypes
    bits = narrow.encoded(xs[0], source)
    return narrow.decoded(bits.bits(narrow.storage(to)), to)


@rule("cast")
def _cast(op: Any, xs: Sequence[Expr], dtypes: Sequence[DType]) -> Expr:
    x, to = xs[0], dtypes[-1]
    if to is bool_:
        return x.differs(0) if x.dtype is not bool_ else x
    if to.is_int and to.bits < 8 and not op.saturate:
        return narrow.low_bits(_converted(x, to), to)
    if op.saturate and x.dtype.is_float and to.is_int:
        return _saturated_integer(x, to)
    if op.saturate:
        x = _saturated(x, to)
    if x.dtype is float64 and to.is_float and to.bits < 32:
        x = narrow.to_odd(x)
    return _converted(x, to)


def _converted(x: Expr, to: DType) -> Expr:
    held = narrow.carrier(to)
    if x.dtype.is_float and to.is_int:
        return _to_integer(x, held)
    return x.to(held)


def _to_integer(x: Expr, to: DType) -> Expr:
    """Cut towards zero; narrow integers by way of 32 bits, or 64, as C does."""
    if to.bits >= 32:
        return x.to(to)
    return x.to(signed(float32)).to(to)


def _saturated(x: Expr, to: DType) -> Expr:
    """The nearest number that a dtype holds, where it holds integers or few floats."""
    if x.dtype is bool_ or (to.is_float and to.bits > 8):
        return x
    low, high = to.limits
    own = x.dtype.limits
    if own[1] > high:
        x = choose(x > high, const(high, x.dtype), x)
    return choose(x < low, const(low, x.dtype), x) if own[0] < low else x


def _saturated_integer(x: Expr, to: DType) -> Expr:
    """A float cut towards zero; beyond the range its ends, and 0 of NaN."""
    low, high = to.limits
    held = narrow.carrier(to)
    if to.bits < 24:  # whose ends are floats
        ordered = choose(x.differs(x), zero_of(x), x)
        least = choose(ordered < float(low), const(low, x.dtype), ordered)
        most = choose(least > float(high), const(high, x.dtype), least)
        return _to_integer(most, held)
    above, below = x >= float(high + 1), x < float(low)
    inside = choose(above | below | x.differs(x), zero_of(x), x)
    whole = _to_integer(inside, held)
    return choose(above, const(high, held), choose(below, const(low, held), whole))
