"""Memory that is lent to whoever holds a result, and comes back when nobody does.

Results of one plan then lie at few places, so that kernels stay bound to them, and
pages of memory are not given to the system and cleared by it over and over.
"""

from typing import Any

import numpy as np

from graphwright.backends.contract import Place

_SPARE = 2
"""Pieces that are kept for a result; a caller that holds on to more gets new ones."""


class Lease:
    """What an array on lent memory has as its base: it lives as long as any view."""

    __slots__ = ("__array_interface__", "_home", "_memory")

    def __init__(
        self, memory: "np.ndarray[Any, Any]", home: "list[np.ndarray[Any, Any]]"
    ) -> None:
        self.__array_interface__ = memory.__array_interface__
        self._memory, self._home = memory, home

    def __del__(self) -> None:
        if len(self._home) < _SPARE:
            self._home.append(self._memory)


class Lender:
    """Lends memory for one result.

    Attributes:
        place: What the result needs.
    """

    def __init__(self, place: Place) -> None:
        """Keep what the result needs."""
        self.place = place
        self._spare: list[np.ndarray[Any, Any]] = []

    def lend(self) -> "np.ndarray[Any, Any]":
        """An array, its contents undefined."""
        if self.place.dtype.isbuiltin != 1:  # the interface does not know it
            return self.place.empty()
        try:
            memory = self._spare.pop()
        except IndexError:
            memory = self.place.empty()
        return np.asarray(Lease(memory, self._spare))

    def fits(self, x: Any) -> bool:
        """Whether the result may be written to an array of somebody else's."""
        place = self.place
        return (
            type(x) is np.ndarray
            and x.shape == place.shape
            and x.dtype == place.dtype
            and x.flags.carray
        )


def owned(x: "np.ndarray[Any, Any]") -> bool:
    """Whether an array has its memory to itself."""
    base: object = x.base
    return base is None or isinstance(base, Lease)
