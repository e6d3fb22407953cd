"""The Array API standard 2025.12: its functions, and their special cases as tables.

A case is ``operands:result``. A number is a literal, ``nan``, ``inf`` or a fraction of
``pi``; ``a|b`` is a complex number by its parts; ``~`` before a number leaves its sign
open, ``nan!`` is a NaN whose sign bit is set.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

ELEMENTWISE = """
abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_left_shift
bitwise_invert bitwise_or bitwise_right_shift bitwise_xor ceil clip conj copysign cos
cosh divide equal exp expm1 floor floor_divide greater greater_equal hypot imag isfinite
isinf isnan less less_equal log log1p log2 log10 logaddexp logical_and logical_not
logical_or logical_xor maximum minimum multiply negative nextafter not_equal positive
pow real reciprocal remainder round sign signbit sin sinh square sqrt subtract tan tanh
trunc
"""
OTHERS = """
arange asarray empty empty_like eye from_dlpack full full_like linspace meshgrid ones
ones_like tril triu zeros zeros_like astype can_cast finfo iinfo isdtype result_type
take take_along_axis matmul matrix_transpose tensordot vecdot broadcast_arrays
broadcast_shapes broadcast_to concat expand_dims flip moveaxis permute_dims repeat
reshape roll squeeze stack tile unstack argmax argmin count_nonzero nonzero searchsorted
where isin unique_all unique_counts unique_inverse unique_values argsort sort
cumulative_prod cumulative_sum max mean min prod std sum var all any diff
"""
LINALG = """
cholesky cross det diagonal eigh eigvalsh eig eigvals inv matmul matrix_norm
matrix_power matrix_rank matrix_transpose outer pinv qr slogdet solve svd svdvals
tensordot trace vecdot vector_norm
"""
FFT = """
fft ifft fftn ifftn rfft irfft rfftn irfftn hfft ihfft fftfreq rfftfreq fftshift
ifftshift
"""
DTYPES = """
bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64
complex128
"""
CONSTANTS = "e inf nan newaxis pi"
INFO = "capabilities default_device default_dtypes devices dtypes"
ARRAY = """
dtype device mT ndim shape size T __abs__ __add__ __and__ __array_namespace__ __bool__
__complex__ __dlpack__ __dlpack_device__ __eq__ __float__ __floordiv__ __ge__
__getitem__ __gt__ __index__ __int__ __invert__ __le__ __lshift__ __lt__ __matmul__
__mod__ __mul__ __ne__ __neg__ __or__ __pos__ __pow__ __rshift__ __setitem__ __sub__
__truediv__ __xor__ to_device __iadd__ __radd__ __isub__ __rsub__ __imul__ __rmul__
__itruediv__ __rtruediv__ __ifloordiv__ __rfloordiv__ __ipow__ __rpow__ __imod__
__rmod__ __imatmul__ __rmatmul__ __iand__ __rand__ __ior__ __ror__ __ixor__ __rxor__
__ilshift__ __rlshift__ __irshift__ __rrshift__
"""

# Real numbers -------------------------------------------------------------------------

_KEPT = "nan:nan 0:0 -0:-0 inf:inf -inf:-inf"
_WHOLE = f"{_KEPT} 3:3 -4:-4"
_LOGARITHM = "nan:nan -1:nan -inf:nan 0:-inf -0:-inf 1:0 inf:inf"
_ODD_WAVE = "nan:nan 0:0 -0:-0 inf:nan -inf:nan"

REAL = {
    "abs": "nan:nan -0:0 -inf:inf -2:2",
    "acos": "nan:nan 1.5:nan -1.5:nan inf:nan 1:0",
    "acosh": "nan:nan 0.5:nan -inf:nan 1:0 inf:inf",
    "asin": "nan:nan 1.5:nan -1.5:nan 0:0 -0:-0",
    "asinh": _KEPT,
    "atan": "nan:nan 0:0 -0:-0 inf:pi/2 -inf:-pi/2",
    "atanh": "nan:nan -2:nan 2:nan -1:-inf 1:inf 0:0 -0:-0",
    "ceil": f"{_WHOLE} 1.5:2 -0.5:-0 -1.5:-1",
    "cos": "nan:nan 0:1 -0:1 inf:nan -inf:nan",
    "cosh": "nan:nan 0:1 -0:1 inf:inf -inf:inf",
    "exp": "nan:nan 0:1 -0:1 inf:inf -inf:0",
    "expm1": "nan:nan 0:0 -0:-0 inf:inf -inf:-1",
    "floor": f"{_WHOLE} 1.5:1 0.5:0 -1.5:-2",
    "log": _LOGARITHM,
    "log1p": "nan:nan -2:nan -1:-inf -0:-0 0:0 inf:inf",
    "log2": f"{_LOGARITHM} 8:3",
    "log10": f"{_LOGARITHM} 1000:3",
    "negative": "nan:nan 0:-0 -0:0 inf:-inf 2:-2",
    "positive": f"{_KEPT} 2:2",
    "reciprocal": "nan:nan 0:inf -0:-inf inf:0 -inf:-0 2:0.5",
    "round": f"{_WHOLE} 0.5:0 1.5:2 2.5:2 -0.5:-0 -2.5:-2 1.4:1",
    "sign": "nan:nan 0:0 -0:0 inf:1 -inf:-1 5:1 -5:-1",
    "sin": _ODD_WAVE,
    "sinh": _KEPT,
    "sqrt": "nan:nan -1:nan -inf:nan 0:0 -0:-0 inf:inf 4:2",
    "square": "nan:nan -0:0 inf:inf -inf:inf -3:9",
    "tan": _ODD_WAVE,
    "tanh": "nan:nan 0:0 -0:-0 inf:1 -inf:-1",
    "trunc": f"{_WHOLE} 1.5:1 -0.5:-0 -1.5:-1",
}

_SIGNED_ZEROS = "0,2:0 -0,2:-0 0,-2:-0 -0,-2:0 2,0:inf 2,-0:-inf -2,0:-inf -2,-0:inf"
_NANS = "nan,1:nan 1,nan:nan nan,nan:nan nan,inf:nan inf,nan:nan"
_QUOTIENT = (
    f"{_NANS} inf,inf:nan inf,-inf:nan -inf,inf:nan -inf,-inf:nan 0,0:nan 0,-0:nan"
    f" -0,0:nan -0,-0:nan {_SIGNED_ZEROS} inf,2:inf inf,-2:-inf -inf,2:-inf -inf,-2:inf"
    " 2,inf:0 2,-inf:-0 -2,inf:-0 -2,-inf:0"
)

BINARY = {
    "add": f"{_NANS} inf,-inf:nan -inf,inf:nan inf,inf:inf -inf,-inf:-inf inf,2:inf"
    " -inf,2:-inf 2,inf:inf 2,-inf:-inf -0,-0:-0 -0,0:0 0,-0:0 0,0:0 -0,2:2 2,-0:2"
    " 2,-2:0",
    "atan2": f"{_NANS} 1,0:pi/2 1,-0:pi/2 0,1:0 0,0:0 0,-0:pi 0,-1:pi -0,1:-0 -0,0:-0"
    " -0,-0:-pi -0,-1:-pi -1,0:-pi/2 -1,-0:-pi/2 2,inf:0 2,-inf:pi -2,inf:-0"
    " -2,-inf:-pi inf,2:pi/2 -inf,2:-pi/2 inf,inf:pi/4 inf,-inf:3pi/4 -inf,inf:-pi/4"
    " -inf,-inf:-3pi/4",
    "copysign": "2,-1:-2 2,-0:-2 -2,0:2 -2,1:2 2,nan!:-2 -2,nan:2 nan,-1:nan!"
    " nan,-0:nan! nan!,0:nan nan!,1:nan nan,nan!:nan! nan!,nan:nan inf,-1:-inf",
    "divide": f"{_QUOTIENT} 6,3:2 -6,3:-2",
    "floor_divide": f"{_QUOTIENT} 7,2:3 -7,2:-4 7,-2:-4",
    "hypot": "inf,nan:inf nan,inf:inf -inf,nan:inf nan,-inf:inf -inf,2:inf 0,-3:3"
    " -3,-0:3 nan,1:nan 1,nan:nan nan,nan:nan 3,4:5",
    "logaddexp": f"{_NANS} inf,2:inf 2,inf:inf inf,-inf:inf -inf,inf:inf",
    "maximum": f"{_NANS} 1,inf:inf -inf,1:1 2,3:3",
    "minimum": f"{_NANS} 1,-inf:-inf inf,1:1 2,3:2",
    "multiply": f"{_NANS} inf,0:nan -inf,-0:nan 0,inf:nan -0,-inf:nan inf,inf:inf"
    " inf,-inf:-inf -inf,-inf:inf inf,-2:-inf 2,inf:inf -2,inf:-inf 0,-2:-0 -0,-2:0",
    "nextafter": f"{_NANS} -0,0:0 0,-0:-0 0,1:5e-324 0,-1:-5e-324",
    "pow": "2,nan:nan 0,nan:nan nan,0:1 nan,-0:1 inf,0:1 2,0:1 nan,2:nan nan,nan:nan"
    " 2,inf:inf -2,inf:inf 2,-inf:0 -2,-inf:0 1,inf:1 -1,inf:1 1,-inf:1 -1,-inf:1"
    " 1,5:1 0.5,inf:0 -0.5,inf:0 0.5,-inf:inf inf,2:inf inf,-2:0 -inf,3:-inf -inf,2:inf"
    " -inf,2.5:inf -inf,-3:-0 -inf,-2:0 0,2:0 0,-2:inf -0,3:-0 -0,2:0 -0,2.5:0"
    " -0,-3:-inf -0,-2:inf -2,0.5:nan",
    "remainder": f"{_NANS} inf,inf:nan -inf,inf:nan inf,-inf:nan 0,0:nan -0,0:nan"
    " 0,-0:nan 0,2:0 -0,2:0 0,-2:-0 -0,-2:-0 2,0:nan 2,-0:nan -2,0:nan -2,-0:nan"
    " inf,2:nan inf,-2:nan -inf,2:nan -inf,-2:nan 2,inf:2 2,-inf:-inf -2,inf:inf"
    " -2,-inf:-2 7,-3:-2 -7,3:2",
    "subtract": f"{_NANS} inf,inf:nan -inf,-inf:nan inf,-inf:inf 2,inf:-inf 2,2:0"
    " -0,0:-0 0,0:0",
}

TESTS = {
    "equal": "nan,nan:0 nan,1:0 1,nan:0 inf,inf:1 -inf,-inf:1 inf,-inf:0 -0,0:1 0,-0:1"
    " 2,2:1 2,3:0",
    "greater": "nan,1:0 1,nan:0 inf,1:1 -0,0:0 2,1:1",
    "greater_equal": "nan,1:0 1,nan:0 nan,nan:0 -0,0:1 0,-0:1 1,2:0",
    "isfinite": "inf:0 -inf:0 nan:0 2:1 -0:1",
    "isinf": "inf:1 -inf:1 nan:0 2:0",
    "isnan": "nan:1 inf:0 2:0",
    "less": "nan,1:0 1,nan:0 1,inf:1 -0,0:0 1,2:1",
    "less_equal": "nan,1:0 1,nan:0 nan,nan:0 -0,0:1 0,-0:1 2,1:0",
    "not_equal": "nan,nan:1 nan,1:1 1,nan:1 inf,-inf:1 inf,inf:0 -0,0:0 2,3:1",
    "signbit": "0:0 -0:1 inf:0 -inf:1 3:0 -3:1 nan:0 nan!:1",
}

# Complex numbers ----------------------------------------------------------------------

_BOTH = "nan|3:nan|nan nan|nan:nan|nan"
_LOG_AT_INFINITY = (
    "2|inf:inf|pi/2 2|nan:nan|nan -inf|3:inf|pi inf|3:inf|0 -inf|inf:inf|3pi/4"
    f" inf|inf:inf|pi/4 inf|nan:inf|nan -inf|nan:inf|nan nan|inf:inf|nan {_BOTH}"
)

COMPLEX = {
    "abs": "inf|nan:inf -inf|2:inf nan|inf:inf nan|-inf:inf 0|-3:3 -0|nan:nan nan|1:nan"
    " 1|nan:nan nan|nan:nan 3|-4:5",
    "acos": f"0|0:pi/2|-0 -0|0:pi/2|-0 0|nan:pi/2|nan 2|inf:pi/2|-inf 2|nan:nan|nan"
    f" -inf|3:pi|-inf inf|3:0|-inf -inf|inf:3pi/4|-inf inf|inf:pi/4|-inf"
    " inf|nan:nan|~inf"
    f" nan|inf:nan|-inf {_BOTH}",
    "acosh": f"0|0:0|pi/2 -0|0:0|pi/2 2|inf:inf|pi/2 2|nan:nan|nan 0|nan:nan|~pi/2"
    f" -inf|3:inf|pi inf|3:inf|0 -inf|inf:inf|3pi/4 inf|inf:inf|pi/4 inf|nan:inf|nan"
    f" nan|inf:inf|nan {_BOTH}",
    "asinh": f"0|0:0|0 2|inf:inf|pi/2 2|nan:nan|nan inf|3:inf|0 inf|inf:inf|pi/4"
    f" nan|0:nan|0 nan|inf:~inf|nan {_BOTH}",
    "atanh": f"0|0:0|0 0|nan:0|nan 1|0:inf|0 2|inf:0|pi/2 2|nan:nan|nan inf|3:0|pi/2"
    f" inf|inf:0|pi/2 inf|nan:0|nan nan|inf:~0|pi/2 {_BOTH}",
    "conj": "1|2:1|-2 0|0:0|-0 nan|inf:nan|-inf",
    "cosh": f"0|0:1|0 0|inf:nan|~0 0|nan:nan|~0 2|inf:nan|nan 2|nan:nan|nan inf|0:inf|0"
    f" inf|1:inf|inf inf|inf:~inf|nan inf|nan:inf|nan nan|0:nan|~0 {_BOTH}",
    "exp": f"0|0:1|0 -0|0:1|0 2|inf:nan|nan 2|nan:nan|nan inf|0:inf|0 -inf|1:0|0"
    f" inf|1:inf|inf -inf|inf:~0|~0 inf|inf:~inf|nan -inf|nan:~0|~0 inf|nan:~inf|nan"
    f" nan|0:nan|0 {_BOTH}",
    "expm1": f"0|0:0|0 -0|0:0|0 2|inf:nan|nan 2|nan:nan|nan inf|0:inf|0 -inf|1:-1|0"
    f" inf|1:inf|inf -inf|inf:-1|~0 inf|inf:~inf|nan -inf|nan:-1|~0 inf|nan:~inf|nan"
    f" nan|0:nan|0 {_BOTH}",
    "log": f"-0|0:-inf|pi 0|0:-inf|0 {_LOG_AT_INFINITY}",
    "log1p": f"-1|0:-inf|0 {_LOG_AT_INFINITY}",
    "sign": "0|0:0|0 -0|-0:0|0 nan|1:nan|nan 1|nan:nan|nan 3|-4:0.6|-0.8",
    "sinh": f"0|0:0|0 0|inf:~0|nan 0|nan:~0|nan 2|inf:nan|nan 2|nan:nan|nan inf|0:inf|0"
    f" inf|1:inf|inf inf|inf:~inf|nan inf|nan:~inf|nan nan|0:nan|0 {_BOTH}",
    "sqrt": f"0|0:0|0 -0|0:0|0 2|inf:inf|inf nan|inf:inf|inf inf|inf:inf|inf"
    " 2|nan:nan|nan -inf|3:0|inf inf|3:inf|0 -inf|nan:nan|~inf"
    f" inf|nan:inf|nan {_BOTH}",
    "tanh": f"0|0:0|0 2|inf:nan|nan 0|inf:0|nan 2|nan:nan|nan 0|nan:0|nan inf|3:1|~0"
    f" inf|inf:1|~0 inf|nan:1|~0 nan|0:nan|0 {_BOTH}",
}
"""By the rules for the upper right quadrant; the others follow by symmetry."""

COMPLEX_TESTS = {
    "isfinite": "nan|1:0 1|nan:0 inf|nan:0 1|-inf:0 1|2:1",
    "isinf": "inf|nan:1 nan|-inf:1 1|nan:0 1|2:0",
    "isnan": "nan|1:1 1|nan:1 inf|nan:1 1|inf:0",
}
COMPLEX_PAIRS = {
    "equal": "1|nan,1|nan:0 1|2,1|2:1 0|-0,-0|0:1",
    "not_equal": "1|nan,1|nan:1 1|2,1|2:0 1|2,1|3:1",
    "add": "-0|1,-0|2:-0|3 inf|1,-inf|2:nan|3",
    "divide": "nan|nan,nan|nan:nan|nan 4|2,2|0:2|1",
    "multiply": "nan|nan,nan|nan:nan|nan 1|2,3|4:-5|10",
}

# Reading the tables -------------------------------------------------------------------

_FRACTION = re.compile(r"(-?)(\d*)pi(?:/(\d))?$")


def number(text: str) -> float:
    """A real number of the tables, its open sign as it stands."""
    if text.startswith("nan"):
        return math.copysign(math.nan, -1 if text.endswith("!") else 1)
    found = _FRACTION.match(text)
    if found is None:
        return float(text)
    sign, factor, divisor = found.groups()
    return (-1 if sign else 1) * int(factor or 1) * math.pi / int(divisor or 1)


def value(text: str) -> Any:
    """A real or complex number of the tables."""
    parts = [number(part.strip("~")) for part in text.split("|")]
    return complex(*parts) if len(parts) == 2 else parts[0]


def cases(table: str) -> Iterator[tuple[list[str], str]]:
    """Operands and result of each case, as text."""
    for row in table.split():
        operands, result = row.split(":")
        yield operands.split(","), result


def is_result(x: Any, text: str) -> bool:
    """Whether a number is a result of the tables: NaN, the signs of zeros and all."""
    x = np.asarray(x)
    found = [x.real, x.imag] if x.dtype.kind == "c" else [x]
    words = text.split("|")
    pairs = zip(found, words, strict=True)
    return all(_is(float(part), word) for part, word in pairs)


def _is(x: float, text: str) -> bool:
    want = number(text.strip("~"))
    if math.isnan(want):
        signed = "!" in text
        return math.isnan(x) and (not signed or math.copysign(1, x) < 0)
    if text.startswith("~"):
        x, want = abs(x), abs(want)
    same_sign = math.copysign(1, x) == math.copysign(1, want)
    return math.isclose(x, want, rel_tol=1e-6) and (want != 0 or same_sign)
