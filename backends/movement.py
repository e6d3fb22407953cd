"""Where elements come from, for ops that only move them.

A backend that can take elements at given positions runs all of these ops by that.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphwright.ir.op import Op


def places(shape: Sequence[int], start: int = 0) -> "np.ndarray[Any, Any]":
    """The positions of a tensor's elements, in C order from ``start``, in its shape."""
    size = int(np.prod(shape, dtype=np.int64))
    return np.arange(start, start + size).reshape(shape)


def positions(
    op: Op,
    operands: Sequence[Any],
    to_host: Callable[[Any], Any],
    moves: slice | None = None,
) -> "np.ndarray[Any, Any]":
    """For each element of an op's result, where it is in the operands that move.

    These count as one line: ``operands[op.moves]``, flattened, one after the other. The
    op itself says it: it runs on positions.

    Args:
        op: The op, its dims bound.
        operands: Its operands; of those that move, only the shapes matter.
        to_host: Gives the others, which are indices, as numpy arrays.
        moves: Which operands move, where the class of the op does not say.

    Raises:
        IndexBoundsError: If an index lies outside its axis.
    """
    chosen = range(*(moves or op.moves or slice(0)).indices(len(operands)))
    start, lines = 0, list[Any]()
    for i, x in enumerate(operands):
        lines.append(places(x.shape, start) if i in chosen else to_host(x))
        start += lines[-1].size if i in chosen else 0
    return np.asarray(op.compute(np, *lines))
