"""Element types of the namespace, and questions about them."""

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from graphwright.frontends.tracing.wrap import result_dtype
from graphwright.ir.dtype import (
    DTYPES,
    DType,
    bfloat16,
    complex64,
    complex128,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    string,
    uint8,
    uint16,
    uint32,
    uint64,
)
from graphwright.ir.dtype import dtype as dtype

__all__ = [
    "bfloat16",
    "bool",
    "bool_",
    "byte",
    "can_cast",
    "character",
    "common_type",
    "complex64",
    "complex128",
    "complex_",
    "complexfloating",
    "csingle",
    "cdouble",
    "double",
    "dtype",
    "finfo",
    "float16",
    "float32",
    "float64",
    "floating",
    "generic",
    "half",
    "iinfo",
    "inexact",
    "int8",
    "int16",
    "int32",
    "int64",
    "int_",
    "intc",
    "integer",
    "intp",
    "isdtype",
    "issubdtype",
    "longlong",
    "min_scalar_type",
    "number",
    "object_",
    "promote_types",
    "result_type",
    "short",
    "signedinteger",
    "single",
    "ubyte",
    "uint",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "uintc",
    "uintp",
    "ulonglong",
    "unsignedinteger",
    "ushort",
]

bool = bool_ = DTYPES["bool"]
byte, short, intc, longlong = int8, int16, int32, int64
ubyte, ushort, uintc, ulonglong = uint8, uint16, uint32, uint64
int_ = intp = int64
uint = uintp = uint64
half, single, double = float16, float32, float64
csingle, cdouble, complex_ = complex64, complex128, complex128
object_ = np.object_

generic, number, integer, inexact = np.generic, np.number, np.integer, np.inexact
signedinteger, unsignedinteger = np.signedinteger, np.unsignedinteger
floating, complexfloating, character = np.floating, np.complexfloating, np.character


def _dtype_in(x: Any) -> DType:
    """A dtype, or that of an array."""
    found = getattr(x, "dtype", None)
    own = not isinstance(x, type) and found is not None
    return dtype(found if own else x)


@dataclass(frozen=True)
class FloatInfo:
    """Limits of a floating dtype (of its parts, if complex)."""

    dtype: DType
    bits: int
    eps: float
    epsneg: float
    max: float
    min: float
    smallest_normal: float
    smallest_subnormal: float
    tiny: float
    resolution: float
    precision: int
    nmant: int
    nexp: int
    maxexp: int
    minexp: int


@dataclass(frozen=True)
class IntegerInfo:
    """Limits of an integer dtype."""

    dtype: DType
    bits: int
    max: int
    min: int


_WHOLE = ("precision", "nmant", "nexp", "maxexp", "minexp")
_REAL = (
    *("eps", "epsneg", "max", "min", "smallest_normal", "smallest_subnormal"),
    *("tiny", "resolution"),
)


def finfo(type: Any, /) -> FloatInfo:
    """Limits of a floating dtype or of an array's."""
    d = _dtype_in(type)
    if d.kind not in "fc":
        raise ValueError(f"finfo takes a floating dtype, got {d.name}")
    own = DTYPES[f"float{d.bits // 2}"] if d.kind == "c" else d
    info: Any = ml_dtypes.finfo(own.numpy)  # type: ignore[no-untyped-call]
    numbers: dict[str, Any] = {k: float(getattr(info, k)) for k in _REAL}
    numbers.update({k: int(getattr(info, k)) for k in _WHOLE})
    return FloatInfo(dtype=own, bits=own.bits, **numbers)


def iinfo(type: Any, /) -> IntegerInfo:
    """Limits of an integer dtype or of an array's."""
    d = _dtype_in(type)
    if not d.is_int:
        raise ValueError(f"iinfo takes an integer dtype, got {d.name}")
    low, high = d.limits
    return IntegerInfo(d, d.bits, high, low)


_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}


def isdtype(dtype_: Any, /, kind: Any) -> Any:
    """Whether a dtype is another, or of a kind, or any of a tuple of these."""
    d = dtype(dtype_)
    if isinstance(kind, tuple):
        return any(isdtype(d, k) for k in kind)
    if isinstance(kind, str):
        if kind not in _KINDS:
            raise ValueError(f"there is no kind of dtypes called {kind!r}")
        return d.kind in _KINDS[kind]
    return d is dtype(kind)


def can_cast(from_: Any, to: Any, /, casting: Any = "safe") -> Any:
    """Whether a cast keeps to a rule: ``safe`` by default, as NumPy has it."""
    return np.can_cast(_dtype_in(from_).numpy, dtype(to).numpy, casting)


_SCALARS = (int, float, complex)  # bool is an int


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype to which arrays, dtypes and Python numbers promote."""
    if not arrays_and_dtypes:
        raise ValueError("result_type takes at least one array or dtype")
    parts: list[Any] = []
    for x in arrays_and_dtypes:
        weak = isinstance(x, _SCALARS) and not isinstance(x, np.generic)
        parts.append(x if weak else _dtype_in(x))
    return result_dtype(*parts)


def promote_types(type1: Any, type2: Any, /) -> DType:
    """The smallest dtype that holds the numbers of both."""
    return result_dtype(dtype(type1), dtype(type2))


def issubdtype(arg1: Any, arg2: Any, /) -> Any:
    """Whether a dtype lies below another in NumPy's hierarchy."""
    first, second = (x.numpy if isinstance(x, DType) else x for x in (arg1, arg2))
    return np.issubdtype(first, second)


def min_scalar_type(a: Any, /) -> DType:
    """The smallest dtype that holds a number."""
    return dtype(np.min_scalar_type(a))


def common_type(*arrays: Any) -> DType:
    """The floating dtype that arrays have in common; float64 for integers."""
    each = (_dtype_in(x) for x in arrays)
    return result_dtype(*(float64 if d.is_int else d for d in each))


_SPECIFIED = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")
_SPECIFIED += ("uint64", "float32", "float64", "complex64", "complex128")


class NamespaceInfo:
    """What the namespace can do, as the Array API asks.

    Args:
        device: The default device.
    """

    def __init__(self, device: Any) -> None:
        self._device = device

    def capabilities(self) -> dict[str, Any]:
        """Which optional behaviours there are."""
        return {
            "boolean indexing": True,
            "data-dependent shapes": True,
            "max dimensions": None,
        }

    def default_device(self) -> Any:
        """The device of arrays that are made without one."""
        return self._device

    def devices(self) -> tuple[Any, ...]:
        """The devices that arrays can be on."""
        return (self._device,)

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        """The dtypes of arrays that are made without one."""
        return {
            "real floating": float64,
            "complex floating": complex128,
            "integral": int64,
            "indexing": int64,
        }

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        """The standard's dtypes, all or of a kind."""
        every = {name: DTYPES[name] for name in _SPECIFIED}
        return {n: d for n, d in every.items() if kind is None or isdtype(d, kind)}


str_ = string
