"""What is done to sums before they are written: the epilogue of a product."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from graphwright.backends.codegen.kernels.text import number, read, write
from graphwright.ir.record import record


class Finish(Protocol):
    """Statements that change a vector of sums, and one that writes it.

    A kernel with equal ``statements`` for equal arguments has equal source.
    """

    @property
    def arrays(self) -> Sequence[str]:
        """Names of the arrays that it reads, as the kernel's parameters."""
        ...

    @property
    def types(self) -> Mapping[str, str]:
        """Of these, and of ``out``, if they are not of floats."""
        ...

    @property
    def sizes(self) -> Sequence[tuple[str, int]]:
        """Names of numbers that it needs, and what they are."""
        ...

    @property
    def is_long(self) -> bool:
        """Whether it needs more numbers than registers hold beside each other."""
        ...

    def statements(
        self, value: str, place: str, row: str, column: str, left: str | None
    ) -> Sequence[str]:
        """What happens to ``value``.

        Args:
            value: A variable, a vector of sums.
            place: Where in the output its first lane goes.
            row: In which row (position) of the output that is.
            column: In which column (channel).
            left: How many lanes count; None if all do.
        """
        ...

    def write(self, address: str, value: str, left: str | None) -> str:
        """The statement that then writes ``value``, or what was made of it."""
        ...


def size_names(finish: Finish) -> tuple[str, ...]:
    """Names of the numbers that it needs."""
    return tuple(name for name, _ in finish.sizes)


def out_type(finish: Finish) -> str:
    """The type of what is written."""
    return finish.types.get("out", "float")


def size_values(finish: Finish) -> tuple[int, ...]:
    """These numbers."""
    return tuple(value for _, value in finish.sizes)


@record(frozen=True, slots=True)
class Affine:
    """``clamp(value + bias + residual)``: what most networks do, NaN kept.

    Attributes:
        bias: Whether a number for each column, ``bias``, is added.
        residual: Whether an array like the output, ``residual``, is.
        low: The lower bound, if any.
        high: The upper one.
    """

    bias: bool = False
    residual: bool = False
    low: float | None = None
    high: float | None = None

    @property
    def arrays(self) -> tuple[str, ...]:
        """``bias`` and ``residual``, if they are there."""
        pairs = (("bias", self.bias), ("residual", self.residual))
        return tuple(name for name, there in pairs if there)

    @property
    def types(self) -> Mapping[str, str]:
        """All are of floats."""
        return {}

    @property
    def sizes(self) -> tuple[tuple[str, int], ...]:
        """None."""
        return ()

    @property
    def is_long(self) -> bool:
        """No."""
        return False

    def statements(
        self, value: str, place: str, row: str, column: str, left: str | None
    ) -> list[str]:
        """See `Finish`."""
        found: list[str] = []
        if self.bias:
            found.append(f"{value} += {read(f'bias + {column}', left)};")
        if self.residual:
            found.append(f"{value} += {read(f'residual + {place}', left)};")
        for sign, bound in (("<", self.low), (">", self.high)):
            if bound is not None:
                limit = f"SPLAT({number(bound)})"
                found.append(f"{value} = {value} {sign} {limit} ? {limit} : {value};")
        return found

    def write(self, address: str, value: str, left: str | None) -> str:
        """See `Finish`."""
        return write(address, value, left)
