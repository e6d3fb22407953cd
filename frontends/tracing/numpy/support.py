"""What bodies of array functions share: float dtypes, complex parts, masks."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphwright.frontends.tracing.promotion import weak_type
from graphwright.frontends.tracing.wrap import (
    Operand,
    axis_of,
    lane_axis,
    promote,
    result_dtype,
)
from graphwright.ir.dim import Dim, product
from graphwright.ir.dtype import DTYPES, DType, bool_, float64, int64, uint64
from graphwright.ir.dtype import dtype as dtype_of
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import DTypeError, ShapeError

_FLOAT_OF_BITS = {8: "float16", 16: "float32"}


def float_of(d: DType) -> DType:
    """The dtype in which NumPy computes functions such as ``sin`` of a dtype."""
    if d.kind in "fc":
        return d
    return DTYPES[_FLOAT_OF_BITS.get(d.bits, "float64")]


def floats(b: Emitter, *operands: Operand) -> list[Value]:
    """Operands in the floating dtype in which NumPy combines them.

    Each integer operand asks for the float that holds it; a Python number only for the
    default one, and only beside booleans.
    """
    common = result_dtype(*operands)
    if common.kind not in "fc":
        strong = (x for x in operands if weak_type(x) is None)
        own = [x.dtype for x in strong if isinstance(x, Value)]
        bools = all(d is bool_ for d in own)
        common = float_of(common) if bools else result_dtype(*map(float_of, own))
    return promote(b, *operands, to=common)


def inexact(b: Emitter, x: Value) -> Value:
    """Integers and booleans as float64, as means and linear algebra take them."""
    return x if x.dtype.kind in "fc" else b.cast(x, float64)


def real_of(d: DType) -> DType:
    """The dtype of a number's magnitude."""
    return DTYPES[f"float{d.bits // 2}"] if d.kind == "c" else d


def complex_of(d: DType) -> DType:
    """The complex dtype that holds a dtype's numbers."""
    if d.kind == "c":
        return d
    return DTYPES["complex64" if d.is_float and d.bits <= 32 else "complex128"]


def real(b: Emitter, x: Value) -> Value:
    """The real part."""
    return b.emit("complex_part", x, part="real") if x.dtype.kind == "c" else x


def imag(b: Emitter, x: Value) -> Value:
    """The imaginary part."""
    return (
        b.emit("complex_part", x, part="imag") if x.dtype.kind == "c" else zeros(b, x)
    )


def zeros(b: Emitter, x: Value) -> Value:
    """Zeros of the shape and dtype of ``x``."""
    return b.full(x.shape, 0, x.dtype)


def conjugate(b: Emitter, x: Value) -> Value:
    """The complex conjugate."""
    if x.dtype.kind != "c":
        return x
    return b.emit("complex", real(b, x), b.neg(imag(b, x)))


def to_dtype(b: Emitter, x: Value, d: DType) -> Value:
    """A cast; from complex to real the imaginary part is dropped."""
    if x.dtype.kind == "c" and d.kind in "iuf":
        x = real(b, x)
    elif d.kind == "c" and x.dtype.kind != "c":
        wide = b.cast(x, real_of(d))
        return b.emit("complex", wide, zeros(b, wide))
    return b.cast(x, d)


def truth(b: Emitter, x: Value) -> Value:
    """Whether each element is not zero."""
    return b.cast(x, bool_)


def optional_dtype(dtype: Any) -> DType | None:
    """A dtype argument as a dtype, or None."""
    return None if dtype is None else dtype_of(dtype)


def total_dtype(d: DType) -> DType:
    """The dtype of a sum: small integers and booleans become 64 bits wide."""
    if d.kind in "bi":
        return int64
    return uint64 if d.kind == "u" else d


def need_kinds(name: str, x: Value, kinds: str) -> None:
    """Raises DTypeError unless a value's dtype is of one of these kinds."""
    if x.dtype.kind not in kinds:
        raise DTypeError(f"{name} does not take {x.dtype.name}")


def need_rank(name: str, x: Value, least: int) -> None:
    """Raises ShapeError unless a value has at least this many axes."""
    if x.rank < least:
        raise ShapeError(f"{name} takes at least {least} axes, got {x.type}")


def flat(b: Emitter, x: Value) -> Value:
    """One axis of all elements in C order."""
    return b.reshape(x, (product(x.shape),))


def lanes_of(b: Emitter, x: Value, axis: int | None) -> tuple[Value, int]:
    """An array and its axis; all elements as a vector for None, and for a number."""
    if axis is None or not x.rank:
        return flat(b, x), lane_axis(axis or 0, 0)
    return x, axis_of(axis, x.rank)


def to_end(x: Value, axes: Sequence[int]) -> list[int]:
    """The permutation that puts these axes last, in this order."""
    return [i for i in range(x.rank) if i not in axes] + list(axes)


def along(axis: int, rank: int, size: Dim) -> tuple[Dim, ...]:
    """The shape that broadcasts a vector along one axis."""
    return (*(1,) * axis, size, *(1,) * (rank - axis - 1))


def along_axis(
    b: Emitter, x: Value, axis: int, rule: Callable[[Value], Value]
) -> Value:
    """What a rule for the last axis makes of another one."""
    perm = to_end(x, [axis])
    y = rule(b.transpose(x, perm))
    inverse = list(range(y.rank - 1))
    inverse.insert(axis, y.rank - 1)
    return b.transpose(y, inverse)


def known_ints(x: Any) -> list[int]:
    """A Python integer or a sequence of them as a list."""
    return [int(v) for v in np.atleast_1d(np.asarray(x)).tolist()]


def wrapped(b: Emitter, indices: Value, size: Dim) -> Value:
    """Indices counted from the end made nonnegative."""
    if indices.dtype.kind == "u":
        return b.cast(indices, int64)
    wide = b.cast(indices, int64)
    return b.where(b.lt(wide, 0), b.add(wide, b.dim_scalar(size, int64)), wide)
