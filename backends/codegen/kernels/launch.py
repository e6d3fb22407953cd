"""What a library kernel is to those who run it: source, launches, packed constants."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Local:
    """An argument that is memory of a work-group's own, of so many floats."""

    floats: int


Argument: TypeAlias = "str | int | Local"
"""The name of a buffer, a 32-bit size, or local memory."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch: a kernel's name, its arguments, how many work-items it has."""

    kernel: str
    arguments: tuple[Argument, ...]
    items: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Library:
    """Kernels and how to launch them, in order.

    Attributes:
        source: Functions, without the prelude (`text.prelude`); the same for all nodes
            whose inner loops are the same, so that a program has them once.
        launches: In order; each reads what those before it wrote.
        constants: Arrays made of constant operands, by buffer name.
        scratch: Floats of buffers that live during the launches only, by name.
    """

    source: str
    launches: tuple[Launch, ...]
    constants: Mapping[str, Array] = field(default_factory=dict[str, Array])
    scratch: Mapping[str, int] = field(default_factory=dict[str, int])
