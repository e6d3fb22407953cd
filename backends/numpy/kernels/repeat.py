"""Short rows run several at a time, with what they have in common repeated.

To begin with a row takes NumPy as long as some ten elements. Where all operands of a
program are dense, or one row for all rows, a few rows that follow each other are one
long row, and copies of the common one are put side by side before.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.numpy.kernels.geometry import Block
from graphwright.backends.numpy.kernels.pitch import constant, dense

Array = NDArray[Any]
Shape = tuple[int, ...]

_LONG = 1024
"""Elements of a long row: of more the copies leave the fastest cache."""
_GAIN = 4
"""How many rows at least are worth it."""


class Repeat:
    """How many rows of a program's arrays run as one.

    Attributes:
        times: How many.
        before: Calls that copy common rows.
    """

    def __init__(self, times: int, views: Sequence[Array]) -> None:
        """Make room for the copies of the common rows among `views`."""
        self.times = times
        self.before: list[Callable[[], object]] = []
        self._copies = [self._copied(x) if _common(x) else None for x in views]

    def _copied(self, x: Array) -> Array:
        copies = np.empty((self.times, x.shape[1]), x.dtype)
        self.before.append(partial(np.copyto, copies, x[0]))
        return copies.reshape(-1)

    def blocks(self, shape: Shape, target: int) -> list[Block]:
        """Parts of up to `target` elements: whole long rows, then what is left."""
        count, size = shape
        even = count // self.times
        parts = -(-even // (target // (self.times * size)))
        cuts = [even * i // parts * self.times for i in range(parts + 1)]
        pairs = [*pairwise(cuts), (cuts[-1], count)]
        return [
            Block((slice(low, high), slice(0, size)), low * size, high * size)
            for low, high in pairs
            if low < high
        ]

    def shape(self, rows: int, size: int) -> Shape:
        """That of so many rows of a size."""
        if rows % self.times:
            return rows, size
        return rows // self.times, self.times * size

    def view(self, number: int, x: Array, shape: Shape) -> Array:
        """A part of view `number`, in a shape that ``shape`` gave."""
        copies = self._copies[number]
        if x.shape == shape:
            return x
        if copies is not None:
            return np.broadcast_to(copies, shape)
        return np.broadcast_to(x[:1, :1], shape) if constant(x) else x.reshape(shape)


def _common(x: Array) -> bool:
    """Whether all rows of a matrix are one."""
    return x.strides[0] == 0 and x.strides[1] == x.itemsize


def repeat_of(
    shape: Shape, sources: Sequence[Array], targets: Sequence[Array], room: int
) -> Repeat | None:
    """How rows run together within so many elements, None if each runs by itself."""
    if len(shape) != 2 or not any(map(_common, sources)):
        return None
    fit = all(dense(x) or constant(x) or _common(x) for x in sources)
    if not fit or not all(map(dense, targets)):
        return None
    count, size = shape
    most = min(min(_LONG, room) // size, count)
    if most < _GAIN:
        return None
    even = [n for n in range(most // 2 + 1, most + 1) if count % n == 0]
    return Repeat(max(even, default=most), sources)
