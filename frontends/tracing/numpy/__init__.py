"""The array functions: Array API 2025.12 and the NumPy names that programs use.

Public as ``graphwright.numpy``. Functions have the standard's meaning where it has one,
NumPy 2's elsewhere; dtypes are NumPy's own. All take tensors, NumPy arrays, numbers and
nested lists of these, and give tensors. Elementwise functions have a ufunc's methods.
"""

import math
from typing import Any

import numpy as _numpy

from graphwright.frontends.tracing.numpy import (
    bits,
    creation,
    dtypes,
    elementwise,
    fft,
    functions,
    general,
    grids,
    histograms,
    joining,
    linalg,
    manipulation,
    nans,
    padding,
    polynomials,
    products,
    reductions,
    running,
    searching,
    sets,
    signal,
    statistics,
    windows,
    writing,
)
from graphwright.frontends.tracing.numpy.arrays import ndarray
from graphwright.frontends.tracing.numpy.dtypes import NamespaceInfo
from graphwright.frontends.tracing.numpy.missing import named
from graphwright.frontends.tracing.numpy.ufunc import UFunc, ufuncs
from graphwright.frontends.tracing.placement import default

__array_api_version__ = "2025.12"


def __array_namespace_info__() -> NamespaceInfo:  # noqa: N807
    """What this namespace can do."""
    return NamespaceInfo(default().name)


MODULES: tuple[Any, ...] = (
    bits,
    creation,
    dtypes,
    elementwise,
    functions,
    general,
    grids,
    histograms,
    joining,
    manipulation,
    nans,
    padding,
    polynomials,
    products,
    reductions,
    running,
    searching,
    sets,
    signal,
    statistics,
    windows,
    writing,
)
"""Where the functions are, but for ``fft`` and ``linalg``."""

_ALIASES = {
    "absolute": "abs",
    "acos": "arccos",
    "acosh": "arccosh",
    "all": "alltrue",
    "any": "sometrue",
    "asin": "arcsin",
    "asinh": "arcsinh",
    "atan": "arctan",
    "atan2": "arctan2",
    "atanh": "arctanh",
    "concat": "concatenate",
    "conj": "conjugate",
    "deg2rad": "radians",
    "divide": "true_divide",
    "invert": "bitwise_not bitwise_invert",
    "left_shift": "bitwise_left_shift",
    "max": "amax",
    "min": "amin",
    "power": "pow",
    "rad2deg": "degrees",
    "remainder": "mod",
    "right_shift": "bitwise_right_shift",
    "round": "around round_",
    "trapezoid": "trapz",
    "vstack": "row_stack",
}
"""Other names of functions, by the first."""

_CONSTANTS: dict[str, Any] = {
    "False_": _numpy.False_,
    "True_": _numpy.True_,
    "e": math.e,
    "euler_gamma": _numpy.euler_gamma,
    "inf": math.inf,
    "nan": math.nan,
    "newaxis": None,
    "pi": math.pi,
}

_HOST = (
    "array2string array_repr array_str base_repr binary_repr errstate exceptions"
    " format_float_positional format_float_scientific get_printoptions geterr"
    " load loadtxt ndindex printoptions save savetxt savez seterr set_printoptions"
)
"""NumPy's own: they make no tensors."""


def _names() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for module in MODULES:
        found.update({name: getattr(module, name) for name in module.__all__})
    found.update(ufuncs())
    for first, others in _ALIASES.items():
        found.update(dict.fromkeys(others.split(), found[first]))
    found.update(_CONSTANTS)
    found.update({name: getattr(_numpy, name) for name in _HOST.split()})
    return found


def __getattr__(name: str) -> Any:
    return named(name)


_public = _names()
_public |= {"fft": fft, "linalg": linalg, "ndarray": ndarray, "ufunc": UFunc}
__all__ = sorted(_public)  # noqa: PLE0605  # pyright: ignore
globals().update(_public)
