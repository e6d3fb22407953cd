"""Gathering, scattering, running sums and searches along axes, into given arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.numpy.kernels import threads

Array = NDArray[Any]
Check = Callable[[int, int], None]

_PART = 1 << 16
"""Elements that are worth a thread."""


def _part_of(x: Array, size: int) -> int:
    """How many rows of an array are a part, where all make so many elements."""
    return max(1, len(x) * _PART // size)


def take(x: Array, indices: Array, axis: int, out: Array, check: Check) -> None:
    """``out = x[..., indices, ...]`` on an axis; the least and greatest are checked."""

    def whole(indices: Array, out: Array) -> None:
        least, greatest = (
            int(f.reduce(indices, axis=None)) for f in (np.minimum, np.maximum)
        )
        check(least, greatest)
        np.take(x, indices, axis, out, "wrap")

    def part(low: int, high: int) -> None:
        whole(indices[low:high], out[low:high])

    if axis == 0 and indices.ndim:
        threads.in_parts(part, len(indices), _part_of(indices, out.size))
    else:
        whole(indices, out)


def accumulate(function: Any, x: Array, axis: int, out: Array) -> None:
    """``out = function.accumulate(x, axis)``; long lines in parts at once.

    What a part makes is combined with what the parts before it come to.
    """
    if x.ndim != 1 or len(x) < 2 * _PART:
        function.accumulate(x, axis=axis, out=out)
        return
    parts = threads.ranges(len(x), _PART)
    before = np.empty(len(parts), x.dtype)

    def reduce(index: int, _: int) -> None:
        low, high = parts[index]
        before[index + 1] = function.reduce(x[low:high], dtype=x.dtype)

    def go_on(index: int, _: int) -> None:
        low, high = parts[index]
        function.accumulate(x[low:high], out=out[low:high])
        if index:
            function(out[low:high], before[index], out=out[low:high])

    threads.parallel(reduce, len(parts) - 1)
    function.accumulate(before[1:], out=before[1:])
    threads.parallel(go_on, len(parts))


def arg_reduce(largest: bool, x: Array, axis: int, out: Array) -> None:
    """Positions of the extremes along an axis."""
    function = np.argmax if largest else np.argmin

    def part(low: int, high: int) -> None:
        function(x[low:high], axis=axis, out=out[low:high])

    if x.ndim > 1 and axis > 0:
        threads.in_parts(part, len(x), _part_of(x, x.size))
    else:
        function(x, axis=axis, out=out)


def below(indices: Array, size: int) -> bool:
    """Whether all lie in ``[0, size)``: negative ones are large without their sign."""
    unsigned = indices.view(f"u{indices.itemsize}")
    return int(np.maximum.reduce(unsigned)) < size


def add_at(out: Array, indices: Array, updates: Array) -> bool:
    """``out[i] += u`` for each pair, in one dimension.

    Returns:
        Whether all indices are in range; if not, `out` is as it was.
    """
    if updates.strides == (0,) and out.dtype.kind in "iu":
        counts = _counts(indices, len(out))
        if counts is None:
            return False
        counts = counts.astype(out.dtype, copy=False)
        out += counts if updates[0] == 1 else counts * updates[0]
        return True
    if not below(indices, len(out)):
        return False
    np.add.at(out, indices, updates)
    return True


def _counts(indices: Array, size: int) -> Array | None:
    """How often each number below `size` occurs; None if there are others.

    Counting itself finds those out, and reads the indices once less.
    """
    try:
        counts = np.bincount(indices.astype(np.intp, copy=False), minlength=size)
    except (ValueError, MemoryError):  # a negative one, a huge one
        return None
    return counts if len(counts) == size else None
