"""Element types of the namespace, and questions about them."""

from typing import Any

import ml_dtypes
import numpy as np

from graphwright.frontends.tracing.wrap import result_dtype
from graphwright.ir.dtype import DTYPES, DType
from graphwright.ir.dtype import dtype as dtype_of
from graphwright.ir.record import record

__all__ = [
    "bfloat16",
    "bool",
    "bool_",
    "byte",
    "can_cast",
    "cdouble",
    "character",
    "common_type",
    "complex64",
    "complex128",
    "complexfloating",
    "csingle",
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
    "long",
    "longlong",
    "min_scalar_type",
    "number",
    "object_",
    "promote_types",
    "result_type",
    "short",
    "signedinteger",
    "single",
    "str_",
    "ubyte",
    "uint",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "uintc",
    "uintp",
    "ulong",
    "ulonglong",
    "unsignedinteger",
    "ushort",
]

dtype = np.dtype
bfloat16 = ml_dtypes.bfloat16

bool = bool_ = np.bool_
int8, int16, int32, int64 = np.int8, np.int16, np.int32, np.int64
uint8, uint16, uint32, uint64 = np.uint8, np.uint16, np.uint32, np.uint64
float16, float32, float64 = np.float16, np.float32, np.float64
complex64, complex128 = np.complex64, np.complex128
byte, short, intc, int_, intp = np.byte, np.short, np.intc, np.int_, np.intp
longlong, long = np.longlong, np.long
ubyte, ushort, uintc, uint, uintp = np.ubyte, np.ushort, np.uintc, np.uint, np.uintp
ulonglong, ulong = np.ulonglong, np.ulong
half, single, double = np.half, np.single, np.double
csingle, cdouble = np.csingle, np.cdouble
object_, str_ = np.object_, np.str_

generic, number, integer, inexact = np.generic, np.number, np.integer, np.inexact
signedinteger, unsignedinteger = np.signedinteger, np.unsignedinteger
floating, complexfloating, character = np.floating, np.complexfloating, np.character


def _dtype_in(x: Any) -> DType:
    """A dtype, or that of an array."""
    found = getattr(x, "dtype", None)
    own = not isinstance(x, type) and found is not None
    return dtype_of(found if own else x)


@record(frozen=True)
class FloatInfo:
    """Limits of a floating dtype (of its parts, if complex)."""

    dtype: "np.dtype[Any]"
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


@record(frozen=True)
class IntegerInfo:
    """Limits of an integer dtype."""

    dtype: "np.dtype[Any]"
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
    return FloatInfo(dtype=own.numpy, bits=own.bits, **numbers)


def iinfo(type: Any, /) -> IntegerInfo:
    """Limits of an integer dtype or of an array's."""
    d = _dtype_in(type)
    if not d.is_int:
        raise ValueError(f"iinfo takes an integer dtype, got {d.name}")
    low, high = d.limits
    return IntegerInfo(d.numpy, d.bits, high, low)


_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}


def isdtype(dtype: Any, kind: Any) -> Any:
    """Whether a dtype is another, or of a kind, or any of a tuple of these."""
    d = dtype_of(dtype)
    if isinstance(kind, tuple):
        return any(isdtype(d, k) for k in kind)
    if isinstance(kind, str):
        if kind not in _KINDS:
            raise ValueError(f"there is no kind of dtypes called {kind!r}")
        return d.kind in _KINDS[kind]
    return d is dtype_of(kind)


def can_cast(from_: Any, to: Any, /, casting: Any = "safe") -> Any:
    """Whether a cast keeps to a rule: ``safe`` by default, as NumPy has it."""
    return np.can_cast(_dtype_in(from_).numpy, dtype_of(to).numpy, casting)


_SCALARS = (int, float, complex)  # bool is an int


def result_type(*arrays_and_dtypes: Any) -> "np.dtype[Any]":
    """The dtype to which arrays, dtypes and Python numbers promote."""
    if not arrays_and_dtypes:
        raise ValueError("result_type takes at least one array or dtype")
    parts: list[Any] = []
    for x in arrays_and_dtypes:
        weak = isinstance(x, _SCALARS) and not isinstance(x, np.generic)
        parts.append(x if weak else _dtype_in(x))
    return result_dtype(*parts).numpy


def promote_types(type1: Any, type2: Any, /) -> "np.dtype[Any]":
    """The smallest dtype that holds the numbers of both."""
    return result_dtype(dtype_of(type1), dtype_of(type2)).numpy


def issubdtype(arg1: Any, arg2: Any, /) -> Any:
    """Whether a dtype lies below another in NumPy's hierarchy."""
    first, second = (x.numpy if isinstance(x, DType) else x for x in (arg1, arg2))
    return np.issubdtype(first, second)


def min_scalar_type(a: Any, /) -> "np.dtype[Any]":
    """The smallest dtype that holds a number; the dtype of an array that has axes."""
    return _dtype_in(a).numpy if np.ndim(a) else np.min_scalar_type(np.asarray(a))


def common_type(*arrays: Any) -> "np.dtype[Any]":
    """The floating dtype that arrays have in common; float64 for integers."""
    each = (_dtype_in(x) for x in arrays)
    return result_dtype(*(DTYPES["float64"] if d.is_int else d for d in each)).numpy


_SPECIFIED: tuple[str, ...] = (
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
)
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

    def default_dtypes(self, *, device: Any = None) -> dict[str, "np.dtype[Any]"]:
        """The dtypes of arrays that are made without one."""
        return {
            "real floating": np.dtype(np.float64),
            "complex floating": np.dtype(np.complex128),
            "integral": np.dtype(np.int64),
            "indexing": np.dtype(np.int64),
        }

    def dtypes(
        self, *, device: Any = None, kind: Any = None
    ) -> dict[str, "np.dtype[Any]"]:
        """The standard's dtypes, all or of a kind."""
        every = {name: DTYPES[name].numpy for name in _SPECIFIED}
        return {n: d for n, d in every.items() if kind is None or isdtype(d, kind)}
