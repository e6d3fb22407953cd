"""``Tensor``: an array that a backend holds."""

from collections.abc import Iterator
from html import escape
from typing import Any

import numpy as np

from graphwright.backends.contract import Backend
from graphwright.ir.dtype import DType, dtype


class Tensor:
    """A tensor of values on a backend's device.

    ``numpy.asarray(t)``, DLPack and the buffer protocol read it; ``t.numpy()`` is its
    value as a numpy array.
    """

    __slots__ = ("_array", "_backend")

    def __init__(self, array: Any, backend: Backend) -> None:
        self._array, self._backend = array, backend

    @property
    def array(self) -> Any:
        """The backend's own array."""
        return self._array

    @property
    def backend(self) -> str:
        """Name of the backend that holds it."""
        return self._backend.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of its axes."""
        return tuple(self._array.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def dtype(self) -> DType:
        """Element type."""
        return dtype(self._array.dtype)

    def numpy(self) -> "np.ndarray[Any, Any]":
        """Its value as a numpy array; shares memory where the backend allows."""
        return self._backend.to_host(self._array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()

    def item(self) -> Any:
        """The one element as a Python number."""
        return self.numpy().item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return self.numpy().tolist()

    def __len__(self) -> int:
        return len(self.numpy())

    def __iter__(self) -> Iterator["Tensor"]:
        return (Tensor(x, self._backend) for x in self.numpy())

    def __getitem__(self, index: Any) -> "Tensor":
        return Tensor(np.asarray(self.numpy()[index]), self._backend)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.numpy())

    def __repr__(self) -> str:
        body = np.array2string(self.numpy(), separator=", ", prefix="Tensor(")
        return f"Tensor({body}, {self.dtype}[{', '.join(map(str, self.shape))}])"

    def _repr_html_(self) -> str:
        head = f"{self.dtype}[{', '.join(map(str, self.shape))}] on {self.backend}"
        body = np.array2string(self.numpy(), threshold=100, precision=4)
        return f"<b>Tensor</b> {head}<pre>{escape(body)}</pre>"
