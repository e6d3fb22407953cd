"""The loop IR: statements over scheduled expressions, and the kernel that they make."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.expr import Expr
from graphwright.ir.dtype import DType, int32, int64
from graphwright.ir.record import record


@record(frozen=True, eq=False, slots=True)
class Let:
    """A name for a value; ``mutable`` if it will be set again."""

    name: str
    value: Expr
    mutable: bool = False


@record(frozen=True, eq=False, slots=True)
class Set:
    """Another value for a mutable name."""

    name: str
    value: Expr


@record(frozen=True, eq=False, slots=True)
class Store:
    """A value, of one or more lanes, written to an array at an offset.

    If ``past``, it is part of a line of memory that is written past the caches.
    """

    array: Array
    offset: Expr
    value: Expr
    past: bool = False


@record(frozen=True, eq=False, slots=True)
class For:
    """A loop of a named number from ``begin`` on, below ``end``, by ``step``."""

    name: str
    begin: Expr
    end: Expr
    step: int | Expr
    body: "Sequence[Statement]"


@record(frozen=True, eq=False, slots=True)
class If:
    """Statements that run where a condition holds."""

    condition: Expr
    body: "Sequence[Statement]"


@record(frozen=True, eq=False, slots=True)
class Barrier:
    """Where all work-items of a work-group meet: then each sees what others stored."""


@record(frozen=True, eq=False, slots=True)
class Atomic:
    """A value combined with what an array has at an offset, by one item at a time.

    Integers of 32 bits are combined in any order: a ``sum``, ``max`` or ``min``.
    """

    kind: str
    array: Array
    offset: Expr
    value: Expr


@record(frozen=True, eq=False, slots=True)
class Soon:
    """A hint that elements of an array, from an offset on, are soon used, if there."""

    array: Array
    offset: Expr
    written: bool = False


Statement: TypeAlias = Let | Set | Store | For | If | Barrier | Atomic | Soon


@dataclass(eq=False, slots=True)
class Sizes:
    """Numbers that a kernel takes as arguments: a new size is no new source.

    Attributes:
        dtype: The integers in which positions are computed.
        values: The numbers, in the order of the arguments.
    """

    dtype: DType = int32
    values: list[int] = field(default_factory=list[int])
    _made: dict[object, Expr] = field(default_factory=dict[object, Expr])

    @property
    def keys(self) -> Sequence[object]:
        """What each of the numbers was asked for by."""
        return list(self._made)

    def number(self, value: int, key: object) -> Expr:
        """An argument of that value, the same one for the same key; 0 and 1 are not."""
        if value in (0, 1):
            return Expr("const", self.dtype, value=value)
        found = self._made.get(key)
        if found is None:
            name = f"n{len(self.values)}"
            found = self._made[key] = Expr("var", self.dtype, value=name)
            self.values.append(value)
        return found

    def const(self, value: int) -> Expr:
        """A number that is part of the source."""
        return Expr("const", self.dtype, value=value)

    def named(self, name: str) -> Expr:
        """A variable of the source."""
        return Expr("var", self.dtype, value=name)


@record(frozen=True, eq=False, slots=True)
class Kernel:
    """What a device runs at once.

    Attributes:
        inputs: Arrays that it reads.
        outputs: Arrays that it writes.
        sizes: The numbers that it takes.
        body: What each work-item does.
        items: How many work-groups there are in each direction.
        group: How many work-items make one.
        checks: Whether it checks indices: then it takes a place to note failures.
        near: Bytes of local memory, one number for each such argument.
        local: Arrays in local memory that the body names.
        pointwise: Outputs, and inputs of which each element is read only by who then
            writes that of the output: they may share memory.
        whole: What it computes a part of; no parts of one thing hang on one another.
        model: Another kernel that has the same source; then ``body`` is empty.
    """

    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    sizes: Sizes
    body: tuple[Statement, ...]
    items: tuple[int, ...]
    group: tuple[int, ...] = (1,)
    checks: bool = False
    near: tuple[int, ...] = ()
    pointwise: "tuple[tuple[Array, Array], ...]" = ()
    whole: object = None
    model: "Kernel | None" = None
    local: tuple[Array, ...] = ()


@record(frozen=True, eq=False, slots=True)
class Written(Kernel):
    """A kernel whose source is given, not made of statements.

    Attributes:
        name: Of the function; other functions have other names.
        text: The function.
    """

    name: str = ""
    text: str = ""


def index_dtype(largest: int) -> DType:
    """The integers that suffice to count to a number."""
    return int32 if largest < (1 << 31) - (1 << 16) else int64
