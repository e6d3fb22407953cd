"""Between the host and a backend: values placed, fetched, and shown to control flow."""

import logging
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np

from graphwright.backends.contract import Backend, BuildError, Kernel, Request
from graphwright.ir.evaluate import Evaluator
from graphwright.ir.op import Op, is_table
from graphwright.ir.ops.fused import Fused
from graphwright.ir.record import record
from graphwright.ir.types import TensorType, Type

_logger = logging.getLogger("graphwright.run")


def _is_host(backend: Backend) -> bool:
    """Whether its arrays are NumPy's, on the host."""
    return type(backend).to_device is Backend.to_device


def placed(x: Any, type_: Type, backend: Backend) -> Any:
    """A value of a type where it belongs: with the backend, if that holds such."""
    if type(x) is np.ndarray and _is_host(backend):
        return x
    if isinstance(x, Remote):
        return x.value
    if not isinstance(type_, TensorType):
        return x
    if isinstance(x, np.generic | bool | int | float | complex):
        x = np.asarray(x, type_.dtype.numpy)
    there = isinstance(x, np.ndarray) and backend.holds(type_)
    return backend.to_device(x) if there else x


def fetched(x: Any, type_: Type, backend: Backend) -> Any:
    """A value on the host: a numpy array, if it is a tensor."""
    if isinstance(x, np.ndarray) or not backend.holds(type_):
        return x
    return backend.to_host(x)


class Remote:
    """An array of a backend as control flow sees it: fetched if it is looked at."""

    __slots__ = ("_backend", "value")

    def __init__(self, value: Any, backend: Backend) -> None:
        self.value, self._backend = value, backend

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self._backend.to_host(self.value), dtype, copy=copy)

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes, known without a look at it."""
        return tuple(self.value.shape)

    @property
    def size(self) -> int:
        """How many elements it has."""
        return int(np.prod(self.shape))

    def item(self) -> Any:
        """Its one element."""
        return self._backend.to_host(self.value).item()

    def copy(self) -> "Remote":
        """Itself: nobody writes to it."""
        return self


def remote(values: Sequence[Any], types: Sequence[Type], backend: Backend) -> list[Any]:
    """Values as control flow takes them: numpy arrays, or what stands for arrays."""
    return [
        Remote(x, backend) if backend.holds(t) and not isinstance(x, np.ndarray) else x
        for x, t in zip(values, types, strict=True)
    ]


def _table_kernel(request: Request, backend: Backend) -> Kernel:
    """Such a table, made when it is first asked for."""
    made = list[Any]()
    lock = Lock()

    def run() -> Any:
        with lock:
            if not made:
                found: Any = request.op.compute(np)
                results = found if isinstance(found, tuple) else (found,)
                for x, type_ in zip(results, request.results, strict=True):
                    if isinstance(x, np.ndarray):
                        x.flags.writeable = False  # no one may write to what is kept
                    made.append(placed(x, type_, backend))
        return tuple(made)

    return run


def _computing(op: Op) -> Kernel:
    """What computes an op with an array library; a region node by node."""
    if not isinstance(op, Fused):
        return op.compute
    body = op.body

    def run(xp: Any, *arrays: Any) -> Any:
        return tuple(Evaluator(xp).run(body, arrays))

    return run


def host_kernel(request: Request, backend: Backend) -> Kernel:
    """An op on the host, its operands fetched and its results sent back."""
    if is_table(request.op, request.types, request.results):
        return _table_kernel(request, backend)
    compute, types, ends = _computing(request.op), request.types, request.results

    here = _is_host(backend)

    def run(*arrays: Any) -> Any:
        pairs = zip(arrays, types, strict=True)
        host = arrays if here else (fetched(x, t, backend) for x, t in pairs)
        found: Any = compute(np, *host)
        if here and type(found) is np.ndarray:
            return found
        results = found if isinstance(found, tuple) else (found,)
        pairs = zip(results, ends, strict=True)
        return tuple(placed(x, t, backend) for x, t in pairs)

    return run


def built_kernel(request: Request, backend: Backend, strict: bool) -> Kernel | None:
    """A backend's kernel; None where it does not build, unless that is an error."""
    try:
        return backend.kernel(request)
    except BuildError as error:
        if strict:
            raise
        _logger.warning("%s", error)
        return None


@record(frozen=True, slots=True)
class Fallback:
    """An op that ran on the host because the backend does not support it."""

    op: str
    types: str
    source: str

    def __str__(self) -> str:
        return f"{self.source or self.op}: {self.op}({self.types}) runs on the host"
