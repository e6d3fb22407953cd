"""Memory that is lent to whoever holds a result, and comes back when nobody does.

Results of one plan then lie at few places, so that kernels stay bound to them, and
pages of memory are not given to the system and cleared by it over and over.
"""

import ctypes
import math
from sys import getrefcount
from typing import Any

import numpy as np

from graphwright.backends.arena import aligned
from graphwright.backends.contract import Place

_SPARE = 2
"""Pieces that are kept for a result; a caller that holds on to more gets new ones."""


class Lent(np.ndarray[Any, Any]):
    """Memory of which views are given away: all of them have it as their base.

    Attributes:
        address: Where it lies.
    """

    address: int


class Lender:
    """Lends memory for one result to one run at a time.

    Attributes:
        place: What the result needs.
    """

    def __init__(self, place: Place) -> None:
        """Keep what the result needs."""
        self.place = place
        self._pieces: list[Lent] = []

    def lend(self) -> "np.ndarray[Any, Any]":
        """An array, its contents undefined."""
        for piece in self._pieces:
            if getrefcount(piece) == _UNUSED:
                return piece.view(np.ndarray)
        piece = _piece(self.place)
        self._pieces = [*self._pieces, piece][-_SPARE:]
        return piece.view(np.ndarray)

    def fits(self, x: Any) -> bool:
        """Whether the result may be written to an array of somebody else's."""
        place = self.place
        return (
            type(x) is np.ndarray
            and x.shape == place.shape
            and x.dtype == place.dtype
            and x.flags.carray
        )


def _piece(place: Place) -> Lent:
    """New memory that begins with a line of cache: so do all vectors of 64 bytes.

    NumPy takes the base of a base, but not of one that is no array.
    """
    if place.dtype.hasobject:
        found = Lent(place.shape, place.dtype)
    else:
        nbytes = max(1, math.prod(place.shape) * place.dtype.itemsize)
        memory: Any = (ctypes.c_char * nbytes).from_buffer(aligned(nbytes))
        found = Lent(place.shape, place.dtype, memory)
    found.address = found.ctypes.data
    return found


def _references() -> int:
    """References to a piece of which there is no view, counted as ``lend`` does."""
    for piece in [Lent(0)]:
        return getrefcount(piece)
    raise AssertionError


_UNUSED = _references()


def owned(x: "np.ndarray[Any, Any]") -> bool:
    """Whether an array has its memory to itself."""
    base: object = x.base
    return base is None or isinstance(base, Lent)
