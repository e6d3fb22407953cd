"""The CUDA backend, op by op: each op's ``compute`` with ``xp = cupy``."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphwright.backends.contract import (
    CONTRACT_VERSION,
    Backend,
    Kernel,
    Request,
    TableBackend,
)
from graphwright.backends.cuda.library import cupy, device_count, missing
from graphwright.ir.dtype import DType
from graphwright.ir.errors import DeviceMemoryError
from graphwright.ir.op import Op, Tier
from graphwright.ir.types import Type

_CUDA = 2
"""DLPack's number of the kind of device (dlpack.h, ``kDLCUDA``)."""

_DTYPES = frozenset(
    f"{kind}{bits}"
    for kind, sizes in (
        ("int", (8, 16, 32, 64)),
        ("uint", (8, 16, 32, 64)),
        ("float", (16, 32, 64)),
        ("complex", (64, 128)),
    )
    for bits in sizes
) | {"bool"}


class CudaBackend(TableBackend):
    """Runs primitive and composite ops on one GPU.

    Arrays of dtypes that CuPy lacks stay on the host, and so do the ops on them.

    Args:
        device: Number of the GPU.
    """

    name = "cuda"
    contract = CONTRACT_VERSION
    dtypes = _DTYPES

    def __init__(self, device: int = 0) -> None:
        self._device = device
        if device:
            self.name = f"cuda:{device}"

    def at(self, device: int) -> Backend:
        """The backend for another of the machine's GPUs."""
        return self if device == self._device else CudaBackend(device)

    def unavailable(self) -> str | None:
        """What is missing: CuPy, the driver or the GPU."""
        return missing(self._device)

    def devices(self) -> list[str]:
        """``cuda:0`` and so on, as many as the driver shows."""
        if CudaBackend().unavailable():
            return []
        return [f"cuda:{i}" for i in range(device_count())]

    def supports(self, op: Op, types: Sequence[Type]) -> bool:
        """Whether an op computes, on dtypes that CuPy has."""
        if op.tier not in (Tier.PRIMITIVE, Tier.COMPOSITE):
            return False
        if not self.takes(op, types):
            return False
        found = op.result_type(*types)
        return self.takes(op, found if isinstance(found, tuple) else (found,))

    def kernel(self, request: Request) -> Kernel:
        """The op's ``compute`` on the GPU."""
        compute, library, device = request.op.compute, cupy(), self._on()

        def run(*arrays: Any) -> Any:
            with device:
                try:
                    return compute(library, *arrays)
                except library.cuda.memory.OutOfMemoryError as error:
                    raise self._exhausted(request.op, error) from error

        return run

    def to_device(self, array: Any) -> Any:
        """The array on the GPU, unless CuPy lacks its dtype."""
        library = cupy()
        if isinstance(array, library.ndarray) or not _takes(array.dtype):
            return array
        with self._on():
            return library.asarray(array)

    def to_host(self, array: Any) -> "np.ndarray[Any, Any]":
        """The array in the host's memory, when the GPU has computed it."""
        if isinstance(array, np.ndarray):
            return array
        with self._on():
            found: np.ndarray[Any, Any] = cupy().asnumpy(array)
        return found

    def copy(self, array: Any) -> Any:
        """A copy on the GPU."""
        with self._on():
            return array.copy()

    def adopt(self, x: Any, dtype: DType) -> Any:
        """An array of any library that lies on this GPU, without a copy, or None."""
        where = getattr(x, "__dlpack_device__", None)
        if where is None or tuple(map(int, where())) != (_CUDA, self._device):
            return None
        with self._on():
            found = cupy().from_dlpack(x)
        return found if found.dtype == dtype.numpy else None

    def _on(self) -> Any:
        return cupy().cuda.Device(self._device)

    def _exhausted(self, op: Op, error: Exception) -> DeviceMemoryError:
        free, whole = cupy().cuda.runtime.memGetInfo()
        return DeviceMemoryError(
            f"{op.name}: {error}; {self.name} has {free:,} of {whole:,} bytes free:"
            " use smaller inputs, or free arrays that are still held"
        )


def _takes(dtype: "np.dtype[Any]") -> bool:
    return dtype.name in _DTYPES
