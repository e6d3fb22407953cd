"""What steps must wait for: those before them that share memory with them."""

from collections.abc import Mapping, Sequence

from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.narrow import storage


def nbytes(array: Array) -> int:
    """Bytes that an array takes in memory; at least one."""
    return max(array.size * storage(array.dtype).itemsize, 1)


class _Touched:
    """The memory of a step: arrays of their own, and ranges of a common one."""

    def __init__(self, kernel: Kernel, offsets: Mapping[Array, int]) -> None:
        self.read, self.written = set(kernel.inputs), set(kernel.outputs)
        rows = [(a, offsets[a]) for a in kernel.inputs if a in offsets]
        self.reads = [(low, low + nbytes(a)) for a, low in rows]
        rows = [(a, offsets[a]) for a in kernel.outputs if a in offsets]
        self.writes = [(low, low + nbytes(a)) for a, low in rows]

    def clashes(self, other: "_Touched") -> bool:
        """Whether one writes what the other reads or writes."""
        if self.written & (other.read | other.written) or other.written & self.read:
            return True
        theirs = other.reads + other.writes
        return _overlap(self.writes, theirs) or _overlap(other.writes, self.reads)


def _overlap(
    some: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]
) -> bool:
    return any(a < d and c < b for a, b in some for c, d in others)


def waits(kernels: Sequence[Kernel], offsets: Mapping[Array, int]) -> list[int]:
    """For each kernel, how many from the first on must be done before it begins.

    Args:
        kernels: In the order in which they begin.
        offsets: Where arrays lie in memory that they share; others have their own.
    """
    touched = [_Touched(kernel, offsets) for kernel in kernels]
    found: list[int] = []
    for number, own in enumerate(touched):
        before = range(number - 1, -1, -1)
        found.append(next((i + 1 for i in before if own.clashes(touched[i])), 0))
    return found
