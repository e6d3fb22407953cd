"""NumPy's names that make no tensors: errors that say what to write instead."""

from types import ModuleType
from typing import Any

import numpy as np

from graphwright.frontends.tracing.wrap import unsupported

_LAYOUT = "tensors have no strides: np.lib.stride_tricks.sliding_window_view, or slices"
_MATRIX = "an array of two axes and @"

CURES = {
    "asarray_chkfinite": "np.isfinite outside the traced function",
    "asfortranarray": "np.asarray: tensors have no memory order",
    "asmatrix": _MATRIX,
    "bmat": "np.block",
    "frompyfunc": "np.vectorize of a function that takes whole arrays",
    "i0": "np.i0 outside the traced function",
    "isfortran": "False: tensors have no memory order",
    "lib.stride_tricks.as_strided": _LAYOUT,
    "ma": "np.where and the nan functions",
    "matrix": _MATRIX,
    "memmap": "np.memmap outside, and pass it as an argument",
    "nditer": "whole arrays, or for index in np.ndindex(x.shape)",
    "nested_iters": "whole arrays, or for index in np.ndindex(x.shape)",
    "real_if_close": "np.real: whether it is close depends on the data",
    "recarray": "a dict or a dataclass of arrays",
    "roots": "np.linalg.eigvals of the companion matrix: leading zeros change its size",
    "trim_zeros": "a slice: its size depends on the data",
}
"""What to write instead of NumPy's functions, classes and modules."""


class Missing:
    """A name of NumPy's that tensors do not have: using it is an error.

    Args:
        name: The dotted name, without ``numpy``.
        cure: What to write instead.
    """

    def __init__(self, name: str, cure: str) -> None:
        self._name, self._cure = name, cure
        self.__name__ = name.rpartition(".")[2]

    def _raise(self, name: str) -> Any:
        raise unsupported(f"numpy.{name}", f"use {self._cure}")

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Raises TraceError."""
        self._raise(self._name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._raise(f"{self._name}.{name}")

    def __repr__(self) -> str:
        return f"<numpy.{self._name}: not of tensors, use {self._cure}>"


def named(name: str) -> Any:
    """What stands for a name of NumPy's that the namespace does not define.

    NumPy's own object where it says nothing about tensors: it is for numbers and arrays
    that are known, and one that is called with tensors sends them back here.

    Raises:
        AttributeError: If NumPy has no such name either.
    """
    if name in CURES:
        return Missing(name, CURES[name])
    found = None if name.startswith("_") else getattr(np, name, None)
    if found is None or isinstance(found, ModuleType):
        raise AttributeError(f"module 'graphwright.numpy' has no attribute {name!r}")
    return found
