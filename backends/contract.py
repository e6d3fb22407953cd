"""What a backend is.

*Op by op*: ``kernel`` gives a function on the backend's arrays for an op; everything
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
class Into:
    """A kernel on host arrays that writes its one result into the run's arena.

    Attributes:
        run: Called with the result's array, contiguous, and then the operands.
        shape: The result's shape.
        dtype: The result's dtype.
        over: Operands whose memory the result may take if nothing reads them later.
        unread: Operands which it does not read: it has packed these constants.
        bind: Called like ``run``, but first with ``scratch_bytes`` of memory; gives a
            function that does the same to the same arrays again and again, faster.
            Operands are contiguous then.
        scratch_bytes: What ``bind`` asks for, aligned to 64 bytes.
    """

    run: Callable[..., object]
    shape: tuple[int, ...]
    dtype: "np.dtype[Any]"
    over: tuple[int, ...] = ()
    unread: tuple[int, ...] = ()
    bind: Callable[..., Callable[[], object]] | None = None
    scratch_bytes: int = 0

    def __call__(self, *operands: Any) -> Any:
        """The result in new memory."""
        out = np.empty(self.shape, self.dtype)
        self.run(out, *operands)
        return out


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
        """A function that runs a supported op, or an `Into`; made once a plan."""

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
