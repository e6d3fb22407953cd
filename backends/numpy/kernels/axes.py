"""Axes that all arrays of a program walk alike, merged to make long loops."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.numpy.kernels.fold import SHORT

Array = NDArray[Any]
Shape = tuple[int, ...]


def merged(
    shape: Shape, reductions: Sequence[Sequence[int]], arrays: Sequence[Array]
) -> tuple[Shape, list[list[int]]]:
    """Sizes of the merged axes, and the axes that each is made of.

    Args:
        shape: That of all arrays.
        reductions: The axes that each reduction is over: merged axes are in the same.
        arrays: What is walked.
    """
    reduced = [tuple(axis in axes for axes in reductions) for axis in range(len(shape))]
    sizes: list[int] = []
    groups: list[list[int]] = []
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        if groups and reduced[groups[-1][-1]] == reduced[axis]:
            before = groups[-1][-1]
            if all(a.strides[before] == a.strides[axis] * size for a in arrays):
                groups[-1].append(axis)
                sizes[-1] *= size
                continue
        groups.append([axis])
        sizes.append(size)
    return (tuple(sizes), groups) if sizes else ((1,), [[]])


def longest_last(
    shape: Shape, groups: Sequence[list[int]], arrays: Sequence[Array]
) -> tuple[Shape, list[list[int]]]:
    """The longest axis moved to the end, if the last one makes too short a loop.

    It makes none by itself where every array has its rows behind one another.
    """
    sizes, order = [*shape], [*groups]
    longest = max(range(len(sizes)), key=lambda i: (sizes[i], i))
    alone = len(order) > 1 and not all(
        a.strides[order[-2][-1]] == a.strides[order[-1][-1]] * sizes[-1] for a in arrays
    )
    if alone and sizes[-1] <= SHORT and sizes[longest] > sizes[-1]:
        sizes.append(sizes.pop(longest))
        order.append(order.pop(longest))
    return tuple(sizes), order


def folded(x: Array, groups: Sequence[Sequence[int]], shape: Shape) -> Array:
    """The view of an array in which groups of its axes are one axis each."""
    steps = [x.strides[g[-1]] if g else 0 for g in groups]
    return np.lib.stride_tricks.as_strided(x, shape, steps, writeable=x.flags.writeable)
