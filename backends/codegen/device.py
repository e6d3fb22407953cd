"""What kernels must know of the device that they are planned for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cpu:
    """A device whose work-items run on cores with vector units.

    Attributes:
        cores: How many there are.
        cache: Bytes of fast memory that a core has for itself, and that a work-group
            can have as local memory.
        in_place: Whether an argument may be any part of an array.
        strict: Whether each op is computed as it is written, not by what is equal over
            the reals only.
        items: Work-items for each core: they take turns, and end at about one time.
    """

    cores: int = 1
    cache: int = 1 << 18
    in_place: bool = False
    strict: bool = False
    items: int = 8
