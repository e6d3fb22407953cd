"""What a backend is.

*Op by op*: ``kernel`` gives a function on the backend's arrays for an op, and everything
else (decomposition, control flow, fallback, planning) is done for it. A backend that
does more says in ``supports`` which ``fused`` regions it takes whole.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from graphwright.ir.constant import Constant
from graphwright.ir.op import Op
from graphwright.ir.types import Type

CONTRACT_VERSION = 1

Kernel: TypeAlias = Callable[..., Any]
"""Arrays in, one array or a tuple of them out."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a kernel is asked for: an op with all dims known, on these operands.

    Attributes:
        op: The op, its dims bound to integers.
        types: Types of the operands.
        constants: For each operand, its value where it never changes, else None:
            a backend packs weights from it once.
        results: Types of the results.
    """

    op: Op
    types: tuple[Type, ...]
    constants: tuple[Constant | None, ...]
    results: tuple[Type, ...]


class Backend(ABC):
    """Runs ops on arrays of its own kind.

    Attributes:
        name: What users call it.
    """

    name: str = ""

    @abstractmethod
    def supports(self, op: Op, types: Sequence[Type]) -> bool:
        """Whether it runs an op on operands of these types, answered without a device.

        Planning, ``check`` and the partitioner all ask this, so what it says is what
        happens.
        """

    @abstractmethod
    def kernel(self, request: Request) -> Kernel:
        """A function that runs a supported op; made once a plan, called every run."""

    def unavailable(self) -> str | None:
        """Why it cannot run on this machine and what would help, or None."""
        return None

    def to_device(self, array: "np.ndarray[Any, Any]") -> Any:
        """The backend's array of a numpy array."""
        return array

    def to_host(self, array: Any) -> "np.ndarray[Any, Any]":
        """The numpy array of one of the backend's."""
        return np.asarray(array)

    def devices(self) -> list[str]:
        """Names of its devices on this machine."""
        return [self.name]

    def layout(self) -> Mapping[str, str]:
        """Layouts it prefers, by op name; passes ask."""
        return {}

    def fusable(self) -> frozenset[str]:
        """Names of the elementwise ops which it runs as one region; passes ask."""
        return frozenset()
