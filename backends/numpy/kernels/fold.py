"""Reductions of blocks: each by itself, then of what the blocks gave."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.numpy.kernels.geometry import Block

Array = NDArray[Any]
Shape = tuple[int, ...]
Call = Callable[[], object]

SHORT = 8  # elements of an inner loop that cost less than to begin it
_SHORT_EXTREME = 32  # the same for extremes: their loops take longest to begin
_DOTTED = 64  # elements of rows that are summed by a dot product with ones
_LONG = 1024  # terms up to which a plain sum rounds no worse than NumPy's by pairs
_GROUPED = 1024  # elements that are summed at once where rows are short


class Fold:
    """A reduction: of each block by itself, then of what the blocks gave.

    Attributes:
        closing: What is left to do after all blocks.
    """

    def __init__(
        self,
        function: Any,
        reduced: Sequence[int],
        out: Array,
        shape: Shape,
        groups: Sequence[list[int]],
        pieces: Sequence[Block],
    ) -> None:
        self.function = function
        self.axes = tuple(i for i, g in enumerate(groups) if not g or g[0] in reduced)
        kept = [i for i in range(len(shape)) if i not in self.axes]
        order = sorted(kept, key=lambda i: groups[i][:1])
        whole = out.reshape([shape[i] for i in order])
        self.out = whole.transpose([order.index(i) for i in kept])
        self.pieces = pieces
        self.whole = all(
            p.box[i].start == 0 and p.box[i].stop == shape[i]
            for p in pieces
            for i in self.axes
        )
        self.parts, self.closing = self._parts()

    def _parts(self) -> tuple[dict[int, Array], list[Call]]:
        """Memory of partial results by block, and the calls that combine them."""
        if self.whole:
            return {}, []
        homes: dict[Any, list[int]] = {}
        for index in range(len(self.pieces)):
            key = tuple([(p.start, p.stop) for p in self._box(index)])
            homes.setdefault(key, []).append(index)
        parts: dict[int, Array] = {}
        closing: list[Call] = []
        for members in homes.values():
            out = self._at(members[0])
            stack = np.empty((len(members), *out.shape), out.dtype)
            parts.update({n: stack[row, ...] for row, n in enumerate(members)})
            closing.append(partial(self.function.reduce, stack, 0, None, out))
        return parts, closing

    def _box(self, index: int) -> tuple[slice, ...]:
        box = self.pieces[index].box
        return tuple(part for i, part in enumerate(box) if i not in self.axes)

    def _at(self, index: int) -> Array:
        """The part of the result that a block goes to, an array even if 0-d."""
        at: Any = (*self._box(index), ...)
        found: Array = self.out[at]
        return found

    def block(self, index: int, x: Array) -> Call:
        """What reduces a block, to its place or to a partial result."""
        out = self._at(index) if self.whole else self.parts[index]
        function, axes = self.function, self.axes
        if axes == (x.ndim - 1,) and 1 < x.shape[-1] <= _short(function) and x.ndim > 1:
            return _column_by_column(function, x, out)
        if axes == (1,) and x.ndim == 2 and function is np.add:
            return row_sums(x, out)
        if axes == (0,) and x.ndim == 2 and x.flags.c_contiguous:
            return _rows_together(function, x, out)
        return partial(function.reduce, x, axes, None, out)


def _short(function: Any) -> int:
    return _SHORT_EXTREME if function in (np.maximum, np.minimum) else SHORT


def row_sums(x: Array, out: Array | None = None) -> Callable[[], Array]:
    """What sums rows: ``np.add.reduce`` takes up to four times as long to begin one."""
    width = x.shape[1]
    call: Any = partial(np.add.reduce, x, 1, None, out)
    if x.dtype.kind == "f" and SHORT < width < _DOTTED:
        call = partial(np.einsum, "ij->i", x, out=out)
    elif x.dtype.kind == "f" and _DOTTED <= width <= _LONG:
        call = partial(np.vecdot, x, _ones(width, x.dtype), out)
    found: Callable[[], Array] = call
    return found


@lru_cache(maxsize=32)
def _ones(count: int, dtype: "np.dtype[Any]") -> Array:
    return np.ones(count, dtype)


def _column_by_column(function: Any, x: Array, out: Array) -> Call:
    """Reduces a short last axis: NumPy's loop would begin anew for each row."""
    first, *rest = (x[..., i] for i in range(x.shape[-1]))

    def run() -> None:
        function(first, rest[0], out=out)
        for column in rest[1:]:
            function(out, column, out=out)

    return run


def _rows_together(function: Any, x: Array, out: Array) -> Call:
    """Reduces the first of two axes, several short rows at a time."""
    count, size = x.shape
    together = _GROUPED // size
    even = count // max(1, together) * together
    if together < 2 or even < 2 * together:
        return partial(function.reduce, x, 0, None, out)
    wide, last = x[:even].reshape(-1, together * size), x[even:]
    sums = np.empty(together * size, x.dtype)
    rows = sums.reshape(together, size)

    def run() -> None:
        function.reduce(wide, axis=0, out=sums)
        function.reduce(rows, axis=0, out=out)
        if len(last):
            function(out, function.reduce(last, axis=0), out=out)

    return run
