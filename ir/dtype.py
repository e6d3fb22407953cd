"""Element types: numpy's, those of ``ml_dtypes``, and strings.

Sub-byte types hold one element a byte, as ``ml_dtypes`` does.
"""

from typing import Any, Final

import ml_dtypes
import numpy as np

from graphwright.ir.errors import DTypeError


class DType:
    """An element type; one object per type, compared by identity.

    Attributes:
        name: The Array API's (or ONNX's) name, such as ``"float32"``.
        kind: ``b`` bool, ``i`` signed, ``u`` unsigned, ``f`` float, ``c`` complex,
            ``S`` string.
        bits: Bits of one element (64 for a string's reference).
        numpy: The numpy dtype that carries it.
    """

    __slots__ = ("bits", "is_float", "is_int", "kind", "name", "numpy")

    name: str
    kind: str
    bits: int
    numpy: "np.dtype[Any]"
    is_float: bool
    is_int: bool

    def __init__(self, name: str, kind: str, bits: int, scalar: Any) -> None:
        self.name, self.kind, self.bits = name, kind, bits
        self.numpy = np.dtype(scalar)
        self.is_float = kind == "f"
        self.is_int = kind in "iu"

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return dtype, (self.name,)

    @property
    def itemsize(self) -> int:
        """Bytes of one element in memory."""
        return self.numpy.itemsize

    @property
    def is_number(self) -> bool:
        """Whether arithmetic is defined: not bool, not string."""
        return self.kind in "iufc"

    @property
    def limits(self) -> tuple[Any, Any]:
        """The least and the greatest finite number; integers for integer types."""
        if self.is_int:
            bits = self.bits - (self.kind == "i")
            return (-(1 << bits) if self.kind == "i" else 0), (1 << bits) - 1
        info: Any = ml_dtypes.finfo(self.numpy)  # type: ignore[no-untyped-call]
        return float(info.min), float(info.max)

    @property
    def accumulate(self) -> "DType":
        """The type sums run in: float32 for floats below 32 bits, else itself."""
        return float32 if self.is_float and self.bits < 32 else self


_SIX = ("e2m3", "e3m2")


def _table() -> dict[str, DType]:
    def ints(kind: str, word: str) -> list[tuple[str, str, int, Any]]:
        small = [
            (f"{word}{n}", kind, n, getattr(ml_dtypes, f"{word}{n}")) for n in (2, 4)
        ]
        return small + [
            (f"{word}{n}", kind, n, getattr(np, f"{word}{n}")) for n in (8, 16, 32, 64)
        ]

    low = ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"]
    low += ["float8_e8m0fnu"]
    rows = [("bool", "b", 8, np.bool_), *ints("i", "int"), *ints("u", "uint")]
    rows += [("float4_e2m1fn", "f", 4, ml_dtypes.float4_e2m1fn)]
    rows += [
        (f"float6_{x}fn", "f", 6, getattr(ml_dtypes, f"float6_{x}fn")) for x in _SIX
    ]
    rows += [(name, "f", 8, getattr(ml_dtypes, name)) for name in low]
    rows += [
        ("float16", "f", 16, np.float16),
        ("bfloat16", "f", 16, ml_dtypes.bfloat16),
    ]
    rows += [("float32", "f", 32, np.float32), ("float64", "f", 64, np.float64)]
    rows += [
        ("complex64", "c", 64, np.complex64),
        ("complex128", "c", 128, np.complex128),
    ]
    rows += [("string", "S", 64, np.object_)]
    return {row[0]: DType(*row) for row in rows}


DTYPES: Final = _table()
_BY_NUMPY: Final = {d.numpy: d for d in DTYPES.values()}

bool_: Final = DTYPES["bool"]
int2: Final = DTYPES["int2"]
int4: Final = DTYPES["int4"]
int8: Final = DTYPES["int8"]
int16: Final = DTYPES["int16"]
int32: Final = DTYPES["int32"]
int64: Final = DTYPES["int64"]
uint2: Final = DTYPES["uint2"]
uint4: Final = DTYPES["uint4"]
uint8: Final = DTYPES["uint8"]
uint16: Final = DTYPES["uint16"]
uint32: Final = DTYPES["uint32"]
uint64: Final = DTYPES["uint64"]
float4_e2m1fn: Final = DTYPES["float4_e2m1fn"]
float6_e2m3fn: Final = DTYPES["float6_e2m3fn"]
float6_e3m2fn: Final = DTYPES["float6_e3m2fn"]
float8_e4m3fn: Final = DTYPES["float8_e4m3fn"]
float8_e4m3fnuz: Final = DTYPES["float8_e4m3fnuz"]
float8_e5m2: Final = DTYPES["float8_e5m2"]
float8_e5m2fnuz: Final = DTYPES["float8_e5m2fnuz"]
float8_e8m0fnu: Final = DTYPES["float8_e8m0fnu"]
float16: Final = DTYPES["float16"]
bfloat16: Final = DTYPES["bfloat16"]
float32: Final = DTYPES["float32"]
float64: Final = DTYPES["float64"]
complex64: Final = DTYPES["complex64"]
complex128: Final = DTYPES["complex128"]
string: Final = DTYPES["string"]


def dtype(spec: Any) -> DType:
    """The ``DType`` that a name, a numpy dtype or scalar type, or a ``DType`` means.

    Raises:
        DTypeError: If there is none.
    """
    if isinstance(spec, DType):
        return spec
    if isinstance(spec, str) and spec in DTYPES:
        return DTYPES[spec]
    try:
        found = np.dtype(spec)
    except TypeError:
        raise DTypeError(f"no element type is called {spec!r}") from None
    if found in _BY_NUMPY:
        return _BY_NUMPY[found]
    if found.kind in "UST":
        return string
    native = found.newbyteorder("=")
    if native in _BY_NUMPY:
        return _BY_NUMPY[native]
    raise DTypeError(f"element type {found} is not supported")


def ordered(array: Any) -> Any:
    """What sorts as an array does: NumPy puts NaNs of others' dtypes anywhere."""
    return array.astype(np.float32) if array.dtype.isbuiltin == 2 else array
