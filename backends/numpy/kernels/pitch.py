"""Windows of wider arrays as long rows: what lies between their rows is computed, too.

NumPy walks a window ``x[1:-1, 1:-1]`` row by row, and each row of a call takes as long
as some hundred elements. From its first element to its last the window is one run of
memory. Where all operands have their rows equally far apart, functions of these runs
hold the wanted rows at the same distance, with numbers between that nobody reads.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from graphwright.backends.numpy.kernels.geometry import Block
from graphwright.ir.record import record

Array = NDArray[Any]
Shape = tuple[int, ...]
Steps = tuple[int, ...]

_WASTE = 1.25
"""How many times as many elements may be computed."""
_ROW = 180
"""Elements that take as long to copy as a call needs to begin with a row."""
COPIES = 2
"""Arrays of other distances that may be read: they are copied to rows at the pitch."""


@record(frozen=True, slots=True)
class Pitch:
    """How far apart elements are that follow each other along the axes.

    Attributes:
        steps: The distances, in elements; the last is 1.
        axis: The first of the axes that a run of memory spans.
    """

    steps: Steps
    axis: int

    def fits(self, x: Array) -> bool:
        """Whether an array's elements are that far apart."""
        return _steps(x) == self.steps

    def extent(self, shape: Shape) -> int:
        """Elements from the first to the last of a part of that shape."""
        pairs = zip(shape, self.steps, strict=True)
        return 1 + sum((n - 1) * step for n, step in pairs)

    def run(self, part: Array) -> Array:
        """A part that fits, or is one number, with all that lies between."""
        step = part.itemsize if self.fits(part) else 0
        return as_strided(part, (self.extent(part.shape),), (step,), writeable=False)

    def rows(self, run: Array, shape: Shape) -> Array:
        """What is wanted of a run."""
        return as_strided(run, shape, [n * run.strides[0] for n in self.steps])

    def blocks(self, shape: Shape, room: int, slots: int) -> list[Block]:
        """Parts of a shape whose runs fit into so much room, a multiple of `slots`."""
        first, rest = shape[: self.axis], shape[self.axis + 1 :]
        ones = (1,) * (self.axis + 1)
        most = 1 + (room - self.extent((*ones, *rest))) // self.steps[self.axis]
        count = shape[self.axis]
        parts = min(count, -(-count // (most * slots)) * slots)
        found: list[Block] = []
        for lead in np.ndindex(*first):
            head = [slice(i, i + 1) for i in lead]
            for i in range(parts):
                cut = slice(count * i // parts, count * (i + 1) // parts)
                box = (*head, cut, *(slice(0, n) for n in rest))
                size = self.extent((*ones[:-1], cut.stop - cut.start, *rest))
                found.append(Block(box, 0, size))
        return found


def _steps(x: Array) -> Steps:
    return tuple(s // x.itemsize for s in x.strides)


def constant(x: Array) -> bool:
    """Whether an array is one number."""
    return not any(x.strides)


def dense(x: Array) -> bool:
    """Whether an array is one run of memory with nothing between."""
    return bool(x.flags.c_contiguous)


def pitch_of(
    shape: Shape,
    sources: Sequence[tuple[Array, int]],
    targets: Sequence[Array],
    room: int,
) -> Pitch | None:
    """The pitch at which it takes least time to walk arrays, None for their own.

    Args:
        shape: That of all arrays.
        sources: Arrays, and how often each is read.
        targets: Arrays that are written.
        room: Elements that a run may have.
    """
    votes: dict[Steps, int] = {}
    for x, uses in sources:
        if _nested(x) and not dense(x):
            votes[_steps(x)] = votes.get(_steps(x), 0) + uses
    if not votes:
        return None
    steps = max(votes, key=lambda found: votes[found])
    pitch = Pitch(steps, _first_axis(shape, steps, room))
    if pitch.axis > len(shape) - 2 or _waste(shape, pitch) > _WASTE:
        return None
    walked = [uses for x, uses in sources if not (dense(x) or constant(x))]
    copied = [x for x, _ in sources if not (pitch.fits(x) or constant(x))]
    saved = sum(walked) + sum(not dense(x) for x in targets)
    copies = len(copied) + len(targets)
    pays = saved * _ROW > copies * shape[-1] and len(copied) <= COPIES
    return pitch if pays else None


def _nested(x: Array) -> bool:
    """Whether it holds rows of elements side by side, one row behind another."""
    steps = _steps(x)
    widths = [n * step for n, step in zip(x.shape[1:], steps[1:], strict=True)]
    rows = all(a >= b for a, b in zip(steps, widths, strict=False))
    return steps[-1] == 1 and rows and not any(s % x.itemsize for s in x.strides)


def _first_axis(shape: Shape, steps: Steps, room: int) -> int:
    """The first axis a slab of which fits into the room."""
    axis = len(shape) - 1
    inner = 1
    while axis > 0:
        inner += (shape[axis] - 1) * steps[axis]
        if inner > room:
            return axis
        axis -= 1
    return axis


def _waste(shape: Shape, pitch: Pitch) -> float:
    spanned = shape[pitch.axis :]
    extent = pitch.extent((*(1,) * pitch.axis, *spanned))
    return extent / math.prod(spanned)
