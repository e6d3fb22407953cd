"""C in the making: values as expressions at an index, statements, buffers.

A value is read at an index, a list of C expressions, one an axis. Ops that move
elements change the index, elementwise ones make an expression of their operands'; so
chains of both take no memory. Sums, and what is read often, are stored.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from graphwright.ir.dtype import DType

Index = list[str]

C = {"bool": "uint8_t", "float32": "float", "float64": "double"}
C |= {f"{u}int{n}": f"{u}int{n}_t" for u in ("", "u") for n in (8, 16, 32, 64)}
"""The dtypes that C has."""


@dataclass(frozen=True)
class Array:
    """A value: its expression at an index.

    Attributes:
        shape: Its sizes.
        dtype: Its dtype.
        at: The expression at an index.
        computes: Whether reading it costs more than its address.
    """

    shape: tuple[int, ...]
    dtype: DType
    at: Callable[[Index], str]
    computes: bool = False


def number(value: Any, dtype: DType) -> str:
    """A number, exactly: floats in hexadecimal."""
    if not dtype.is_float:
        wide = int(value)
        least_ = wide == -(2**63)
        text = "(-9223372036854775807 - 1)" if least_ else f"{wide}"
        return f"({C[dtype.name]}){text}{'u' if wide >= 2**63 else ''}"
    x = float(value)
    if math.isnan(x):
        return "NAN"
    if math.isinf(x):
        return "INFINITY" if x > 0 else "-INFINITY"
    return f"({C[dtype.name]}){x.hex()}"


class Writer:
    """C in the making: functions, and the statements of ``run``."""

    def __init__(self) -> None:
        self.functions: dict[str, str] = {}
        self.lines: list[str] = []
        self.buffers: list[tuple[str, int]] = []
        self._count = 0

    def name(self, letter: str = "t") -> str:
        """A new identifier: none comes from the model."""
        self._count += 1
        return f"{letter}{self._count}"

    def line(self, text: str) -> None:
        """A statement."""
        self.lines.append(text)

    def let(self, text: str) -> str:
        """A name for an integer expression, so that it stands in the source once."""
        if text.isalnum():
            return text
        name = self.name()
        self.line(f"const int64_t {name} = {text};")
        return name

    @contextmanager
    def loop(self, shape: Sequence[int]) -> Iterator[Index]:
        """Statements within run for each index of a shape."""
        index = [self.name("i") for _ in shape]
        self.line("{")
        for i, n in zip(index, shape, strict=True):
            self.line(f"for (int64_t {i} = 0; {i} < {n}; {i}++) {{")
        yield index
        self.line("}" * (len(shape) + 1))

    def function(self, name: str, result: str, takes: Sequence[str], body: str) -> str:
        """Defines a function of ``x``, ``y`` and ``z`` once; its name."""
        kinds = "_".join((*takes, result)).replace("_t", "")
        full = f"{name}_{kinds}"
        rows = zip(takes, "xyz", strict=False)
        given = ", ".join(f"{t} {v}" for t, v in rows)
        self.functions[full] = f"static inline {result} {full}({given}) {{ {body} }}"
        return full

    def buffer(self, shape: tuple[int, ...], dtype: DType, name: str = "") -> Array:
        """Memory for a value; scratch if no name is given."""
        kind = C[dtype.name]
        if not name:
            name = self.name("v")
            self.buffers.append(
                (f"{kind} *restrict {name}", math.prod(shape) * dtype.itemsize)
            )
        return Array(shape, dtype, lambda index: f"{name}[{linear(index, shape)}]")

    def store(self, x: Array, name: str = "") -> Array:
        """A value in memory, so that it is computed once."""
        y = self.buffer(x.shape, x.dtype, name)
        with self.loop(x.shape) as index:
            self.line(f"{y.at(index)} = {x.at(index)};")
        return y


def linear(index: Index, shape: Sequence[int]) -> str:
    """The place of an index in C order."""
    place = "0"
    for i, n in zip(index, shape, strict=True):
        place = i if place == "0" else f"({place}) * {n} + {i}"
    return place
