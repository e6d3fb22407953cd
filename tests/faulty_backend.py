"""A backend with a fault: the numpy backend, wrong for one op."""

from collections.abc import Callable
from typing import Any

import numpy as np

from graphwright.backends.contract import Kernel, Request
from graphwright.backends.numpy.backend import NumpyBackend
from graphwright.ir.ops.fused import Fused

Fault = Callable[..., Any]


class Faulty(NumpyBackend):
    """Gives something else for one op, or for one kind of region."""

    name = "faulty"

    def __init__(self, op: str, fault: Fault) -> None:
        super().__init__()
        self.op, self.fault = op, fault

    def kernel(self, request: Request) -> Kernel:
        right = super().kernel(request)
        op = request.op
        if self.op != (op.kind if isinstance(op, Fused) else op.name):
            return right
        return lambda *arrays: self.fault(right(*arrays), *arrays)


def scaled(by: float) -> Fault:
    return lambda y, *_: y * np.float32(1 + by)


def stale() -> Fault:
    """Gives what it gave first, in part."""
    first: list[Any] = []

    def fault(y: Any, *_: Any) -> Any:
        first.append(y.copy())
        out = y.copy()
        out[..., :1] = first[0][..., :1]
        return out

    return fault
