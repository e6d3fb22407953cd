"""Memory that is lent to whoever holds a result, and comes back when nobody does.

Results of one plan then lie at few places, so that kernels stay bound to them, and
pages of memory are not given to the system and cleared by it over and over.
"""

from sys import getrefcount
from typing import Any

import numpy as np

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
        piece = Lent(self.place.shape, self.place.dtype)
        piece.address = piece.ctypes.data
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
