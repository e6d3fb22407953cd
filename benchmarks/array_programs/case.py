"""What a program is to those who run it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = "np.ndarray[Any, Any]"
Function = Callable[..., Any]
Make = Callable[[int, Any], tuple[Any, ...]]


@dataclass(frozen=True)
class Case:
    """A program and its arguments.

    Attributes:
        function: Plain NumPy; it may write to its arguments.
        make: Arguments for about so many bytes of arrays, and a dtype.
        both: Whether float32 is as usual as float64.
        functional: Whether it runs on JAX's arrays as it stands.
        numba: Whether Numba compiles it as it stands.
        rtol: How far float64 results may be apart, relative to the largest.
    """

    function: Function
    make: Make
    both: bool = False
    functional: bool = True
    numba: bool = False
    rtol: float = 1e-9

    @property
    def name(self) -> str:
        """Its name."""
        return self.function.__name__

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Element types that it is usual for."""
        return ("float64", "float32") if self.both else ("float64",)


def generator() -> np.random.Generator:
    """The same random numbers for everybody."""
    return np.random.default_rng(20)


def side(nbytes: int, dtype: Any, arrays: float = 1, axes: int = 2) -> int:
    """The side of equal cubes that have so many bytes together."""
    count = nbytes / np.dtype(dtype).itemsize / arrays
    return max(6, int(count ** (1 / axes) + 0.5))


def normal(shape: tuple[int, ...], dtype: Any) -> "np.ndarray[Any, Any]":
    """Normally distributed numbers."""
    return generator().standard_normal(shape).astype(dtype)


def uniform(shape: tuple[int, ...], dtype: Any) -> "np.ndarray[Any, Any]":
    """Numbers between 0 and 1."""
    return generator().random(shape).astype(dtype)
