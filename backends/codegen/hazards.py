"""What steps must wait for: those before them that share memory with them."""

from collections.abc import Collection, Mapping, Sequence
from itertools import product

from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.narrow import storage


def nbytes(array: Array) -> int:
    """Bytes that an array takes in memory; at least one."""
    return max(array.size * storage(array.dtype).itemsize, 1)


class _Touched:
    """The memory of a step."""

    def __init__(
        self,
        kernel: Kernel,
        offsets: Mapping[Array, int],
        under: Mapping[Array, Collection[Array]],
    ) -> None:
        self.reads = [_Place(a, offsets) for a in kernel.inputs]
        self.writes = [_Place(a, offsets) for a in kernel.outputs]
        self.whole = kernel.whole
        own = {array.root for array in kernel.outputs}
        lying = {x for array in own for x in under.get(array, ())}
        self.writes += [_Place(x, offsets) for x in lying]

    def clashes(self, other: "_Touched") -> bool:
        """Whether one writes what the other reads or writes."""
        if self.whole is not None and self.whole is other.whole:
            return False
        theirs = other.reads + other.writes
        pairs = (*product(self.writes, theirs), *product(other.writes, self.reads))
        return any(x.meets(y) for x, y in pairs)


class _Place:
    """Where an array lies: in memory, and as a part of a larger one."""

    def __init__(self, array: Array, offsets: Mapping[Array, int]) -> None:
        self.root = array.root
        low = offsets.get(self.root)
        self.memory = None if low is None else (low, low + nbytes(self.root))
        self.pitch, self.low, self.high = 0, 0, 0
        if array.whole is not None and array.pitch is not None and array.shape:
            columns = array.shape[-1]
            self.pitch = array.pitch if array.pitch > columns else array.root.size
            self.low = array.start % self.pitch
            self.high = self.low + (columns if array.pitch > columns else array.size)

    def meets(self, other: "_Place") -> bool:
        """Whether both may have a byte in common."""
        if self.root is not other.root:
            mine, theirs = self.memory, other.memory
            if mine is None or theirs is None:
                return False
            return mine[0] < theirs[1] and theirs[0] < mine[1]
        apart = self.high <= other.low or other.high <= self.low
        return not (self.pitch and self.pitch == other.pitch and apart)


def waits(
    kernels: Sequence[Kernel],
    offsets: Mapping[Array, int],
    under: Mapping[Array, Collection[Array]] | None = None,
) -> list[int]:
    """For each kernel, how many from the first on must be done before it begins.

    Args:
        kernels: In the order in which they begin.
        offsets: Where arrays lie in memory that they share; others have their own.
        under: Arrays that may lie where others do.
    """
    touched = [_Touched(kernel, offsets, under or {}) for kernel in kernels]
    found: list[int] = []
    for number, own in enumerate(touched):
        before = range(number - 1, -1, -1)
        found.append(next((i + 1 for i in before if own.clashes(touched[i])), 0))
    return found
