"""Kinds of faults: what a kernel, or the border of a backend, may get wrong.

Each is a function from a call (operands and right results, as numpy arrays) to wrong
results, or to None where the fault does not strike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np

from graphwright.backends.contract import Request
from graphwright.ir.dtype import dtype
from graphwright.ir.types import TensorType

Arrays: TypeAlias = list[Any]


@dataclass
class Call:
    """One call of a kernel.

    Attributes:
        request: What the kernel is for.
        xs: Operands.
        memory: The memory of the operands themselves, None where it cannot be reached.
        ys: Right results.
        device: What the backend remembers.
        kernel: What the kernel remembers.
        size: How large a fault is, relatively.
    """

    request: Request
    xs: Arrays
    memory: Arrays
    ys: Arrays
    device: dict[Any, Any]
    kernel: dict[Any, Any]
    size: float

    def again(self, **fields: Any) -> Arrays:
        """Results of the op with some fields changed."""
        return self.computed(self.request.op.replace(**fields), self.xs)

    def computed(self, op: Any, xs: Sequence[Any]) -> Arrays:
        with np.errstate(all="ignore"):
            found = op.compute(np, *xs)
        rows = found if isinstance(found, tuple) else (found,)
        return [np.asarray(y) for y in rows]

    def off(self, y: Any) -> Any:
        """An array that is off everywhere: in the last digit if it is of integers."""
        if y.dtype.kind == "b":
            return ~y
        if dtype(y.dtype).is_int:
            return (y.astype(np.int64) + 1).astype(y.dtype)
        with np.errstate(all="ignore"):
            return (y * y.dtype.type(1 + self.size)).astype(y.dtype)


Strike: TypeAlias = Callable[[Call], Arrays | None]


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: In words.
        strike: What it does to a call.
        ops: Names of the ops that may have it.
        hosts: Backends that may have it.
        scaled: Whether it may be made small.
        sure: Whether it is a fault wherever it strikes: no result of one run shows it.
    """

    name: str
    strike: Strike
    ops: tuple[str, ...]
    hosts: tuple[str, ...]
    scaled: bool = False
    sure: bool = False


HOSTS = ("numpy", "recording", "recording-graphs") + (
    ("torch",) if find_spec("torch") else ()
)
"""Backends; faults of one seed are others where PyTorch is missing."""

FLOATS = "add sub mul div sqrt exp log sin cos tanh erf pow atan2 "
SUMS = "reduce dot conv cumulative reduce_window sum_to "
MOVES = "reshape transpose broadcast_to slice pad concat gather where "
MOST = FLOATS + SUMS + MOVES + "sort arg_reduce max min cast neg abs scatter iota"

KINDS: dict[str, Kind] = {}


def kind(
    name: str,
    ops: str = MOST,
    *,
    hosts: tuple[str, ...] = HOSTS,
    scaled: bool = False,
    sure: bool = False,
) -> Callable[[Strike], Strike]:
    """Registers a kind."""

    def register(strike: Strike) -> Strike:
        KINDS[name] = Kind(name, strike, tuple(ops.split()), hosts, scaled, sure)
        return strike

    return register


BORDERS = ("results are not fresh", "feeds in Fortran's order")
ERRORS = ("no error", "another error")


@dataclass
class Fault:
    """A fault that was drawn.

    Attributes:
        kind: What is wrong.
        host: In which backend.
        op: In which op, or at which border.
        dtype: At which dtype of the first operand or result; all if empty.
        size: How large it is.
    """

    kind: Kind
    host: str
    op: str
    dtype: str
    size: float
    struck: int = 0

    def __str__(self) -> str:
        where = f"{self.op} of {self.host}" + (
            f" at {self.dtype}" if self.dtype else ""
        )
        return f"{self.kind.name}: {where}" + (
            f", {self.size:.1g}" if self.kind.scaled else ""
        )

    def meets(self, request: Request) -> bool:
        """Whether it strikes in a kernel."""
        if request.op.name != self.op:
            return False
        types = [*request.types[-1:], *request.results[:1]]
        names = {t.dtype.name for t in types if isinstance(t, TensorType)}
        return not self.dtype or self.dtype in names

    def strike(self, call: Call) -> Arrays:
        """The results, wrong where the fault strikes."""
        found = self.kind.strike(call)
        self.struck += found is not None
        return found if found else call.ys
