"""What kernels must know of the device that they are planned for."""

from typing import TypeAlias

from graphwright.ir.record import record


@record(frozen=True, slots=True)
class Cpu:
    """A device whose work-items run on cores with vector units.

    Attributes:
        cores: How many there are.
        cache: Bytes of fast memory that a core has for itself, and that a work-group
            can have as local memory.
        in_place: Whether an argument may be any part of an array.
        strict: Whether each op is computed as it is written, not by what is equal over
            the reals only.
        dots: Whether a processor has an instruction that adds products of bytes to sums
            (see `kernels/sums.py`).
        amx: Whether it has those that multiply tiles of bfloat16 numbers (see
            `kernels/amx.py`).
        items: Work-items for each core: they take turns, and end at about one time.
        lanes: Elements of 32 bits that a register has: of vectors in kernels.
    """

    cores: int = 1
    cache: int = 1 << 18
    in_place: bool = False
    strict: bool = False
    dots: bool = False
    amx: bool = False
    items: int = 8
    lanes: int = 8


@record(frozen=True, slots=True)
class Gpu:
    """A device that runs many work-items at once, in work-groups that share memory.

    Attributes:
        cores: Compute units: each runs some work-groups at a time.
        group: Work-items of a work-group, a power of two.
        lanes: Work-items that run in step: their reads are best side by side.
        near: Bytes of local memory that a work-group can have.
        strict: As of `Cpu`.
        in_place: As of `Cpu`: parts of arrays must be aligned here.
    """

    cores: int = 1
    group: int = 256
    lanes: int = 32
    near: int = 1 << 15
    strict: bool = False
    in_place: bool = False

    @property
    def full(self) -> int:
        """Work-items that keep all compute units busy, several groups on each."""
        return self.cores * self.group * 4


Target: TypeAlias = Cpu | Gpu
"""What kernels are planned for."""
