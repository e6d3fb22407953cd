"""Dtypes that devices store but do not compute in: taken apart, and put together.

Floats below 32 bits are computed in float32 and rounded once at the end, to nearest
even, by integer operations: the same bits on every device.
"""

from graphwright.backends.codegen.expr import Expr, choose, const, unsigned
from graphwright.ir.dtype import (
    DTYPES,
    DType,
    bool_,
    float32,
    float64,
    int8,
    uint8,
    uint32,
    uint64,
)
from graphwright.ir.record import record

_NAN, _INFINITY, _MAGNITUDE, _SIGN = 0x7FC00000, 0x7F800000, 0x7FFFFFFF, 1 << 31


@record(frozen=True, slots=True)
class Format:
    """A narrow float: its exponent and mantissa bits, and its largest numbers.

    Attributes:
        mantissa: Bits of the mantissa.
        bias: Of the exponent.
        top: Magnitude, as bits, from which all are infinite or NaN.
        nan: The bits of NaN.
        infinite: Whether ``top`` is infinity; else it is NaN.
        zero: Whether there is a negative zero; else its bits are NaN.
    """

    bits: int
    mantissa: int
    bias: int
    top: int
    nan: int
    infinite: bool
    zero: bool = True


FORMATS = {
    "float16": Format(16, 10, 15, 0x7C00, 0x7E00, True),
    "bfloat16": Format(16, 7, 127, 0x7F80, 0x7FC0, True),
    "float8_e4m3fn": Format(8, 3, 7, 0x7F, 0x7F, False),
    "float8_e4m3fnuz": Format(8, 3, 8, 0x80, 0x80, False, zero=False),
    "float8_e5m2": Format(8, 2, 15, 0x7C, 0x7E, True),
    "float8_e5m2fnuz": Format(8, 2, 16, 0x80, 0x80, False, zero=False),
}
"""Sources: IEEE 754-2019, 3.6; Micikevicius et al., "FP8 formats for deep learning"
(2022); ONNX's "Float stored in 8 bits" for the ``fnuz`` kinds."""


def is_stored(dtype: DType) -> bool:
    """Whether kernels can read and write a dtype."""
    return dtype.kind in "biu" or dtype.name in FORMATS or dtype in (float32, float64)


def storage(dtype: DType) -> DType:
    """The integers, or the float, that lie in memory for a dtype."""
    if dtype is bool_:
        return uint8
    if dtype.name in FORMATS:
        return unsigned(dtype)
    if dtype.is_int and dtype.bits < 8:
        return int8 if dtype.kind == "i" else uint8
    return dtype


def carrier(dtype: DType) -> DType:
    """The dtype in which elements of a dtype are computed."""
    if dtype.name in FORMATS:
        return float32
    return dtype if dtype is bool_ else storage(dtype)


def decoded(x: Expr, dtype: DType) -> Expr:
    """What was read from memory, in the dtype in which it is computed."""
    if dtype is bool_:
        return x.differs(0)
    if dtype.name in FORMATS:
        return _decoded_float(x, FORMATS[dtype.name])
    return low_bits(x, dtype) if dtype.is_int and dtype.bits < 8 else x


def low_bits(x: Expr, dtype: DType) -> Expr:
    """The low bits of a byte, with the sign that they have."""
    if dtype.kind == "u":
        return x & ((1 << dtype.bits) - 1)
    rest = 8 - dtype.bits
    free = unsigned(x.dtype)
    return (x.bits(free) << rest).bits(x.dtype) >> rest


def taken(x: Expr, dtype: DType) -> Expr:
    """The same, narrow floats as one expression: what only moves them keeps bits."""
    if dtype.name not in FORMATS:
        return decoded(x, dtype)
    return Expr("decoded", float32, (x,), dtype)


def encoded(x: Expr, dtype: DType) -> Expr:
    """A result as it is written to memory."""
    if dtype is bool_:
        return x.to(uint8)
    if x.op == "decoded" and x.value is dtype:
        return x.args[0]
    if x.op == "select" and any(arg.op == "decoded" for arg in x.args):
        condition, *sides = x.args
        left, right = (encoded(side, dtype) for side in sides)
        return choose(condition, left, right)
    if dtype.name in FORMATS:
        known = x.op == "rounded" and x.value is dtype
        return _encoded_float(x.args[0] if known else x, FORMATS[dtype.name])
    if dtype.is_int and dtype.bits < 8:
        return x & ((1 << dtype.bits) - 1)
    return x


def rounded(x: Expr, dtype: DType) -> Expr:
    """A float32 as the nearest number of a narrower dtype."""
    if dtype.name not in FORMATS:
        return x
    return Expr("rounded", x.dtype, (x,), dtype)


def taken_apart(x: Expr) -> Expr:
    """What ``rounded`` or ``taken`` gave, in operations that devices have."""
    if x.op == "decoded":
        return decoded(x.args[0], x.value)
    form = FORMATS[x.value.name]
    if form.infinite and form.zero:
        return _rounded_float(x.args[0], form)
    return decoded(encoded(x, x.value), x.value)


def _decoded_float(x: Expr, form: Format) -> Expr:
    wide = x.to(uint32)
    sign = (wide >> (form.bits - 1)) << 31
    size = wide & ((1 << (form.bits - 1)) - 1)
    value = shifted = size << (23 - form.mantissa)
    if form.bias != 127:  # nothing denormal is multiplied: that takes 100 cycles
        normal = shifted + ((127 - form.bias) << 23)
        least = const(2.0 ** (1 - form.bias), float32)
        small = (shifted + ((128 - form.bias) << 23)).bits(float32) - least
        value = choose(size < (1 << form.mantissa), small.bits(uint32), normal)
    if form.infinite and form.bias != 127:
        value = choose(size < form.top, value, shifted | _INFINITY)
    elif not form.infinite and form.zero:
        value = choose(size < form.top, value, const(_NAN, uint32))
    found = value | sign
    if not form.zero:
        found = choose(wide.same(form.nan), const(_NAN, uint32), found)
    return found.bits(float32)


def _encoded_float(x: Expr, form: Format) -> Expr:
    """Source: the rounding of F. Giesen, "Float to half done quick" (2012)."""
    bits = x.bits(uint32)
    size, sign = bits & _MAGNITUDE, (bits >> 31) << (form.bits - 1)
    near = _near(size, form)
    normal = (near >> (23 - form.mantissa)) - ((127 - form.bias) << form.mantissa)
    found = normal
    if form.bias != 127:
        magic, least = _unit(form), (128 - form.bias) << 23
        small = (size.bits(float32) + magic).bits(uint32) - magic.bits(uint32)
        found = choose(size < least, small, normal)
    top = form.top if form.infinite else form.nan
    if form.zero:
        found = choose(found < form.top, found, const(top, uint32)) | sign
        lost = choose(size > _INFINITY, const(form.nan, uint32), found)
    else:
        over = (found < form.top) & (size < _INFINITY)
        zero = found.same(0)
        lost = choose(over, choose(zero, found, found | sign), const(form.nan, uint32))
    return lost.to(unsigned(DTYPES[f"uint{form.bits}"]))


def _near(size: Expr, form: Format) -> Expr:
    """A magnitude to which half of the last bit that is kept was added."""
    cut = 23 - form.mantissa
    return size + ((size >> cut) & 1) + ((1 << (cut - 1)) - 1)


def _unit(form: Format) -> Expr:
    """The float whose last bit is that of subnormal numbers."""
    return const(2.0 ** (24 - form.bias - form.mantissa), float32)


def _rounded_float(x: Expr, form: Format) -> Expr:
    """What `_encoded_float` gives, decoded: in fewer operations."""
    bits = x.bits(uint32)
    size = bits & _MAGNITUDE
    found = _near(size, form) & (-(1 << (23 - form.mantissa)) & _MAGNITUDE)
    if form.bias != 127:
        small = (size.bits(float32) + _unit(form)) - _unit(form)
        found = choose(size < ((128 - form.bias) << 23), small.bits(uint32), found)
        top = ((form.top >> form.mantissa) + 127 - form.bias) << 23
        found = choose(found < top, found, const(_INFINITY, uint32))
    signed = found | (bits & _SIGN)
    return choose(size > _INFINITY, const(_NAN, uint32), signed).bits(float32)


def to_odd(x: Expr) -> Expr:
    """float64 as float32 rounded to odd, after which a narrower type rounds right.

    Source: Boldo and Melquiond, "Emulation of FMA and correctly rounded sums" (2008).
    """
    near = x.to(float32)
    wide = near.to(float64)
    above = (wide.bits(uint64) << 1) > (x.bits(uint64) << 1)
    bits = near.bits(uint32)
    odd = (choose(above, bits - 1, bits) | 1).bits(float32)
    return choose(wide.same(x) | x.differs(x), near, odd)
