"""Elementwise arithmetic of ONNX."""

from functools import reduce

import numpy as np

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.kernels import holder
from graphwright.frontends.onnx.operands import aligned, widened
from graphwright.frontends.onnx.ops_conv import biased_conv
from graphwright.frontends.onnx.ops_reduce import mean_of
from graphwright.frontends.onnx.registry import converter, exporter
from graphwright.ir.dtype import DTYPES, DType, bool_, float64, uint64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ModelError


@converter("Add", "Sub", "Mul", "Div")
def binary(c: Context) -> Value:
    """An op of two operands that the IR has by the same name."""
    return c.b.emit(c.op_type.lower(), *aligned(c))


@converter("Pow")
def power(c: Context) -> Value:
    """``x ** y`` in the dtype of ``x``, whatever that of ``y``."""
    b, x, y = c.b, *aligned(c)
    if x.dtype.is_int and y.dtype.is_float:
        real = b.pow(b.cast(x, float64), b.cast(y, float64))
        return b.cast(real, x.dtype)
    if x.dtype.is_int and y.dtype is not x.dtype:
        return _integer_power(b, x, y)
    return b.pow(x, b.cast(y, x.dtype))


def _integer_power(b: Emitter, x: Value, y: Value) -> Value:
    """In the wider of the two dtypes: an exponent must not wrap around."""
    wide = max(x.dtype, y.dtype, key=lambda d: (d.bits, d.kind == x.dtype.kind))
    return b.cast(b.pow(b.cast(x, wide), b.cast(y, wide)), x.dtype)


@converter("Mod")
def modulo(c: Context) -> Value:
    """The remainder with the sign of ``x`` (``fmod``), else with that of ``y``."""
    b, (x, y) = c.b, aligned(c)
    r = b.rem(x, y)
    if c.integer("fmod", 0) or x.dtype.kind == "u":
        return r
    off = b.and_(b.ne(r, 0), b.ne(b.lt(r, 0), b.lt(y, 0)))
    r = b.where(off, b.add(r, y), r)
    if x.dtype.is_float:
        return b.where(b.eq(r, 0), b.where(b.lt(y, 0), b.scalar(-0.0, y.dtype), 0), r)
    return r


@converter("Neg", "Abs", "Floor", "Ceil", "Round", "Sqrt", "Exp", "Log", "Erf")
@converter("Sin", "Cos", "Tanh")
def unary(c: Context) -> Value:
    """An op of one operand that the IR has by the same name."""
    return c.b.unary(c.op_type.lower(), c[0])


@converter("Sign")
def sign(c: Context) -> Value:
    """-1, 0 or 1."""
    return c.b.sign(c[0])


@converter("Reciprocal")
def reciprocal(c: Context) -> Value:
    """``1 / x``."""
    return c.b.div(1, c[0])


@converter("Min", "Max")
def extreme(c: Context) -> Value:
    """The least or greatest of any number of operands; NaN if one is NaN."""
    name = c.op_type.lower()
    return reduce(lambda x, y: c.b.emit(name, *c.b.align(x, y)), _some(c))


@converter("Sum")
def total(c: Context) -> Value:
    """The sum of any number of operands."""
    return reduce(c.b.add, _some(c))


@converter("Mean")
def mean(c: Context) -> Value:
    """The arithmetic mean of any number of operands."""
    b, values = c.b, _some(c)
    wide = [b.cast(v, v.dtype.accumulate) for v in values]
    return b.cast(b.div(reduce(b.add, wide), len(values)), values[0].dtype)


def _some(c: Context) -> list[Value]:
    values = c.values()
    if not values:
        raise ModelError(f"{c.op_type} takes at least one input")
    return values


@converter("Clip")
def clip_between(c: Context) -> Value:
    """``min(max(x, low), high)`` of two attributes."""
    x, low, high = c[0], c.real("min", None), c.real("max", None)
    x = x if low is None else c.b.max(x, low)
    return x if high is None else c.b.min(x, high)


@converter("Clip", since=11)
def clip(c: Context) -> Value:
    """``min(max(x, low), high)``: where they cross, ``high``."""
    b, x = c.b, c[0]
    low, high = c.optional(1), c.optional(2)
    x = x if low is None else b.max(x, b.reshape(low, ()))
    return x if high is None else b.min(x, b.reshape(high, ()))


@converter("Tan")
def tangent(c: Context) -> Value:
    """``sin x / cos x``."""
    b = c.b
    return widened(b, c[0], lambda x: b.div(b.unary("sin", x), b.unary("cos", x)))


# Export -------------------------------------------------------------------------------


_BINARY = {"add": "Add", "sub": "Sub", "mul": "Mul"}


@exporter(*_BINARY)
def export_binary(e: Export) -> str:
    """Addition, subtraction, multiplication; ONNX repeats operands itself."""
    biased = e.op.name == "add" and biased_conv(e)
    if biased:
        return biased
    return e.held(_BINARY[e.op.name], *e.lean_names(*e.operands))


# Division -----------------------------------------------------------------------------


@exporter("div")
def div(e: Export) -> str:
    """Of integers, by a divisor that cannot trap; by 0 it gives 0, by -1 it wraps."""
    x, y = e.lean(*e.operands)
    mean = mean_of(e, x, y) if e.dtype.is_float else None
    if mean is not None:
        return mean
    if not e.dtype.is_int or _harmless(e, y):
        return e.held("Div", e.name(x), e.name(y))
    quotient = e.held("Div", e.name(x), _safe(e, y))
    return e.held("Mul", quotient, _factor(e, y))


@exporter("rem")
def rem(e: Export) -> str:
    """What the truncated quotient leaves; for floats, C's ``fmod``."""
    x, y = e.lean(*e.operands)
    if not e.dtype.is_int:
        return e.held("Mod", e.name(x), e.name(y), fmod=1)
    safe = e.name(y) if _harmless(e, y) else _safe(e, y)
    whole = e.held("Mul", e.held("Div", e.name(x), safe), safe)
    return e.held("Sub", e.name(x), whole)


def _harmless(e: Export, y: Value) -> bool:
    """Whether a divisor is known to be neither 0 nor -1."""
    known = e.b.known(y)
    if known is None:
        return False
    array = known.array().astype(np.int64)
    return not bool(((array == 0) | (array == -1)).any())


def _safe(e: Export, y: Value) -> str:
    """1 in the place of 0 and -1."""
    one = e.constant(1, y.dtype)
    bad = e.held("Equal", e.name(y), e.constant(0, y.dtype), back=False)
    if y.dtype.kind == "i":
        minus = e.held("Equal", e.name(y), e.constant(-1, y.dtype), back=False)
        bad = e.add("Or", bad, minus)
    return where(e, bad, one, e.name(y), y.dtype)


def _factor(e: Export, y: Value) -> str:
    """What the quotient by ``_safe`` is to be multiplied by: 0, -1 or 1."""
    zero, one = e.constant(0, y.dtype), e.constant(1, y.dtype)
    bad = e.held("Equal", e.name(y), zero, back=False)
    found = where(e, bad, zero, one, y.dtype)
    if y.dtype.kind != "i":
        return found
    minus = e.held("Equal", e.name(y), e.constant(-1, y.dtype), back=False)
    return where(e, minus, e.constant(-1, y.dtype), found, y.dtype)


def where(e: Export, condition: str, x: str, y: str, dtype: DType) -> str:
    """``Where`` in a dtype that has kernels."""
    wide = holder("Where", dtype, e.version)
    if wide is dtype:
        return e.add("Where", condition, x, y)
    chosen = e.add("Where", condition, e.cast(x, wide), e.cast(y, wide))
    return e.cast(chosen, dtype)


# Powers, extremes, angles -------------------------------------------------------------


@exporter("pow")
def export_power(e: Export) -> Exported:
    """Integers with an exponent below 0 give 0, unless the base is 1 or -1."""
    if e.dtype is uint64:
        return _by_squaring(e)
    x, y = e.lean(*e.operands)
    known = e.b.known(y)
    if e.dtype.kind != "i" or (known is not None and known.array().min(initial=0) >= 0):
        return e.held("Pow", e.name(x), e.name(y))
    b, (base, exponent) = e.b, e.operands
    positive = _plain_power(e, base, b.max(exponent, 0))
    odd = b.eq(b.and_(exponent, 1), 1)
    unit = b.where(b.and_(b.eq(base, -1), b.not_(odd)), 1, base)
    small = b.or_(b.eq(base, 1), b.eq(base, -1))
    return b.where(b.lt(exponent, 0), b.where(small, unit, 0), positive)


def _by_squaring(e: Export) -> Value:
    """The product of those of ``x, x^2, x^4, ...`` that the exponent's bits name."""
    b, (base, exponent) = e.b, e.operands
    total = b.full(e.result.shape, 1, uint64)
    for i in range(exponent.dtype.bits):
        bit = b.and_(b.emit("shr", *b.align(exponent, i)), 1)
        total = b.where(b.eq(bit, 1), b.mul(total, base), total)
        base = b.mul(base, base)
    return total


def _plain_power(e: Export, x: Value, y: Value) -> Value:
    return e.wrap(e.held("Pow", e.name(x), e.name(y)), x.tensor)


@exporter("max", "min")
def export_extreme(e: Export) -> str:
    """Of bools, or and and; of 0, ``Relu``; of two bounds, ``Clip``."""
    first = e.op.name == "max"
    if e.dtype is bool_:
        return e.add("Or" if first else "And", *e.lean_names(*e.operands))
    relu = _relu(e) if first else None
    if relu is not None:
        return e.add("Relu", relu)
    return _clipped(e) or e.held("Max" if first else "Min", *e.lean_names(*e.operands))


_RELU = frozenset({"float16", "bfloat16", "float32", "float64", "int8", "int32"})


def _relu(e: Export) -> str | None:
    x, y = e.operands
    if e.dtype.name not in _RELU or (e.dtype.is_int and e.version < 14):
        return None
    for value, zero in ((x, y), (y, x)):
        if e.is_scalar(zero, 0) and value.shape == e.result.shape:
            return e.name(value)
    return None


def _clipped(e: Export) -> str | None:
    """``min(max(x, low), high)`` of two constants as one node."""
    if e.op.name != "min":
        return None
    x, high = e.operands
    node = e.made_by(x, "max")
    if node is None or node.results[0].shape != e.result.shape:
        return None
    value, low = node.operands
    limits = [_single(e, v) for v in (low, high)]
    if None in limits or holder("Clip", e.dtype, e.version) is not e.dtype:
        return None
    return e.add("Clip", e.name(value), *(str(v) for v in limits))


def _single(e: Export, value: Value) -> str | None:
    """The name of one number that a value repeats."""
    node = e.made_by(value, "broadcast_to")
    value = value if node is None else node.operands[0]
    known = e.b.known(value)
    if known is None or known.size != 1:
        return None
    return e.constant(known.array().reshape(()), value.dtype)


@exporter("atan2")
def atan2(e: Export) -> Exported:
    """By the arc tangent of the smaller over the larger, turned by quadrant."""
    b, (y, x) = e.b, e.operands
    wide = y.dtype.accumulate
    y, x = b.cast(y, wide), b.cast(x, wide)
    ay, ax = b.abs(y), b.abs(x)
    steep = b.lt(ax, ay)
    low, high = b.min(ax, ay), b.max(ax, ay)
    ratio = b.div(low, b.where(b.eq(high, 0), 1.0, high))
    ratio = b.where(b.and_(b.eq(low, high), b.not_(b.eq(high, 0))), 1.0, ratio)
    angle = e.wrap(e.add("Atan", e.name(ratio)), ratio.tensor)
    angle = b.where(steep, b.sub(np.pi / 2, angle), angle)
    angle = b.where(_negative(e, x), b.sub(np.pi, angle), angle)
    angle = b.where(_negative(e, y), b.neg(angle), angle)
    angle = b.where(b.or_(b.is_nan(x), b.is_nan(y)), b.add(x, y), angle)
    return b.cast(angle, e.dtype)


def _negative(e: Export, x: Value) -> Value:
    """Whether the sign bit is set: -0.0 is told by its reciprocal."""
    b = e.b
    return b.or_(b.lt(x, 0), b.lt(b.div(1.0, x), 0))


# One operand --------------------------------------------------------------------------

_UNARY = {
    "abs": "Abs",
    "acos": "Acos",
    "acosh": "Acosh",
    "asin": "Asin",
    "asinh": "Asinh",
    "atan": "Atan",
    "atanh": "Atanh",
    "ceil": "Ceil",
    "cos": "Cos",
    "cosh": "Cosh",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "log": "Log",
    "neg": "Neg",
    "round": "Round",
    "sin": "Sin",
    "sinh": "Sinh",
    "sqrt": "Sqrt",
    "tan": "Tan",
    "tanh": "Tanh",
}


@exporter(*_UNARY)
def export_unary(e: Export) -> Exported:
    """An operator of the same meaning; unsigned integers are negated by hand."""
    if e.op.name == "neg" and e.dtype.kind == "u":
        return e.b.sub(0, e.operands[0])
    return e.held(_UNARY[e.op.name], e[0])


@exporter("trunc")
def trunc(e: Export) -> Exported:
    """``ceil`` below 0, else ``floor``."""
    b, x = e.b, e.operands[0]
    return b.where(b.lt(x, 0), b.unary("ceil", x), b.floor(x))


@exporter("expm1")
def expm1(e: Export) -> Exported:
    """``tanh(x / 2) * (e^x + 1)``, as accurate near 0."""
    b, x = e.b, e.b.cast(e.operands[0], e.dtype.accumulate)
    return b.cast(b.mul(b.tanh(b.mul(x, 0.5)), b.add(b.exp(x), 1.0)), e.dtype)


@exporter("log1p")
def log1p(e: Export) -> Exported:
    """``log(u) * x / (u - 1)`` of ``u = 1 + x`` as rounded (W. Kahan)."""
    b, x = e.b, e.b.cast(e.operands[0], e.dtype.accumulate)
    u = b.add(x, 1.0)
    log = b.log(u)
    mended = b.mul(log, b.div(x, b.sub(u, 1.0)))
    found = b.where(b.eq(u, 1.0), x, mended)
    return b.cast(b.where(b.eq(u, np.inf), log, found), e.dtype)


# Bits and logic -----------------------------------------------------------------------

_LOGIC = {"and": "And", "or": "Or", "xor": "Xor"}


@exporter(*_LOGIC)
def logic(e: Export) -> str:
    """Logical for bool, bitwise for integers; with all ones, ``Not``."""
    ones = (
        True if e.dtype is bool_ else -1 if e.dtype.kind == "i" else e.dtype.limits[1]
    )
    flip = e.op.name == "xor" and e.is_scalar(e.operands[1], ones)
    flip = flip and e.operands[0].shape == e.result.shape
    if e.dtype is bool_:
        return e.add("Not", e[0]) if flip else _joined(e)
    e.needs(18)
    if flip:
        return e.held("BitwiseNot", e[0])
    return e.held(f"Bitwise{_LOGIC[e.op.name]}", *e.lean_names(*e.operands))


def _joined(e: Export) -> str:
    """``x < y or x == y`` is one comparison."""
    if e.op.name == "or" and e.version >= 16:
        less, same = (
            e.made_by(v, k) for v, k in zip(e.operands, ("lt", "eq"), strict=True)
        )
        if less is not None and same is not None and less.operands == same.operands:
            x, y = e.lean(*less.operands)
            return e.held(
                "LessOrEqual", e.name(x), e.name(y), dtype=x.dtype, back=False
            )
    return e.add(_LOGIC[e.op.name], *e.lean_names(*e.operands))


@exporter("shl", "shr")
def shift(e: Export) -> Exported:
    """On unsigned integers; what does not fit gives 0, or all bits of the sign."""
    b, (x, y) = e.b, e.operands
    if e.dtype.kind == "u":
        return _shift_unsigned(e)
    raw = DTYPES["u" + e.dtype.name]
    wide = e.dtype.bits
    fits = b.and_(b.ge(y, 0), b.lt(y, wide))
    count = b.cast(b.where(fits, y, wide), raw)
    if e.op.name == "shl":
        return b.cast(b.emit("shl", b.cast(x, raw), count), e.dtype)
    below = b.lt(x, 0)
    bits = b.cast(b.where(below, b.sub(-1, x), x), raw)
    moved = b.cast(b.emit("shr", bits, count), e.dtype)
    return b.where(below, b.sub(-1, moved), moved)


def _shift_unsigned(e: Export) -> str:
    way = "LEFT" if e.op.name == "shl" else "RIGHT"
    x, y = e.lean(*e.operands)
    known = e.b.known(y)
    if known is not None and int(known.array().max(initial=0)) < e.dtype.bits:
        return e.held("BitShift", e.name(x), e.name(y), direction=way)
    width = e.constant(e.dtype.bits, e.dtype)
    fits = e.held("Less", e.name(y), width, back=False)
    zero = e.constant(0, e.dtype)
    count = where(e, fits, e.name(y), zero, e.dtype)
    moved = e.held("BitShift", e.name(x), count, direction=way)
    return where(e, fits, moved, zero, e.dtype)


# Comparison and choice ----------------------------------------------------------------


@exporter("eq")
def eq(e: Export) -> str:
    """Equality; strings since opset 19."""
    x, y = e.lean(*e.operands)
    if x.dtype.kind == "S":
        e.needs(19)
    return e.held("Equal", e.name(x), e.name(y), dtype=x.dtype, back=False)


@exporter("lt")
def lt(e: Export) -> Exported:
    """``x < y``; of bools, ``y`` but not ``x``."""
    x, y = e.operands
    if x.dtype is bool_:
        return e.b.and_(y, e.b.not_(x))
    x, y = e.lean(x, y)
    return e.held("Less", e.name(x), e.name(y), dtype=x.dtype, back=False)


@exporter("where")
def choose(e: Export) -> str:
    """Elements of one or the other."""
    condition, x, y = e.lean_names(*e.operands)
    return where(e, condition, x, y, e.dtype)
