"""NumPy 2's promotion of element types, Python scalars being weak (NEP 50)."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from graphwright.ir.dim import Expr
from graphwright.ir.dtype import DType, bool_, complex128, dtype, float64, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import DTypeError

Operand: TypeAlias = Value | complex | float | int | bool | Expr
"""What an elementwise function takes: a value, or a weak Python number or dim."""


class WeakValue(Value):
    """A 0-d value that promotes as the Python number it stands for."""

    __slots__ = ()


_WEAK: dict[type, Any] = {bool: False, int: 0, float: 0.0, complex: 0j}
_DEFAULT: dict[type, DType] = {
    bool: bool_,
    int: int64,
    float: float64,
    complex: complex128,
}
_BY_KIND = {"b": bool, "i": int, "u": int, "f": float, "c": complex}


def weak_type(x: Operand) -> type | None:
    """The Python type that an operand promotes as, or None if it has a dtype."""
    if isinstance(x, WeakValue):
        return _BY_KIND[x.dtype.kind]
    if isinstance(x, Value):
        return None
    for python in _WEAK:
        if isinstance(x, python):
            return python
    return int  # a dim


def default_dtype(x: Operand) -> DType:
    """The dtype of an operand on its own: float64 for a Python float."""
    if isinstance(x, Value):
        return x.dtype
    return _DEFAULT[weak_type(x) or int]


@lru_cache(maxsize=4096)
def _common(parts: tuple[DType | type, ...]) -> DType:
    numpys = [_WEAK[p] if isinstance(p, type) else p.numpy for p in parts]
    try:
        return dtype(np.result_type(*numpys))
    except TypeError:
        names = ", ".join(p.__name__ if isinstance(p, type) else p.name for p in parts)
        raise DTypeError(f"{names} have no common dtype: cast with astype") from None


def result_dtype(*operands: Operand | DType) -> DType:
    """The dtype that ``numpy.result_type`` gives for operands and dtypes.

    Raises:
        DTypeError: If they have none in common.
    """
    return _common(tuple([_part(x) for x in operands]))


def _part(x: Operand | DType) -> DType | type:
    if isinstance(x, DType):
        return x
    if isinstance(x, Value) and not isinstance(x, WeakValue):
        return x.dtype
    return weak_type(x) or int


def as_dtype(b: Emitter, x: Operand, dtype: DType) -> Value:
    """An operand as a value of a dtype.

    Raises:
        OverflowError: If a Python integer does not fit, as in NumPy 2.
    """
    if isinstance(x, Value):
        if x.dtype.kind == "c" and dtype.kind in "iuf":  # the imaginary part goes
            x = b.emit("complex_part", x, part="real")
        return b.cast(x, dtype)
    if isinstance(x, Expr):
        return b.dim_scalar(x, dtype)
    if dtype.is_int and not isinstance(x, bool) and isinstance(x, int):
        low, high = dtype.limits
        if not low <= x <= high:
            raise OverflowError(f"Python integer {x} out of bounds for {dtype.name}")
    return b.constant(np.asarray(x).astype(dtype.numpy), dtype)


def promote(b: Emitter, *operands: Operand, to: DType | None = None) -> list[Value]:
    """Operands as values of their common dtype (or ``to``), not yet broadcast.

    Raises:
        DTypeError: If they have no dtype in common.
    """
    common = result_dtype(*operands) if to is None else to
    return [as_dtype(b, x, common) for x in operands]


def strong(b: Emitter, x: Operand) -> Value:
    """An operand as a value of its own dtype."""
    if isinstance(x, Value) and not isinstance(x, WeakValue):
        return x
    if isinstance(x, WeakValue):
        return b.emit("reshape", x, shape=())
    return as_dtype(b, x, default_dtype(x))


def same_kind(source: DType, target: DType) -> bool:
    """Whether NumPy casts between these by its rule ``same_kind``."""
    return bool(np.can_cast(source.numpy, target.numpy, "same_kind"))


def of_kinds(x: Value, kinds: Sequence[str]) -> bool:
    """Whether the value's dtype is of one of these kinds (``b i u f c``)."""
    return x.dtype.kind in kinds
