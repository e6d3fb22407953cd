"""``OrtValue`` and ``IOBinding``: ONNX Runtime's holders of values."""

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graphwright.frontends.onnx.types import type_word
from graphwright.ir.arguments import checked
from graphwright.ir.dtype import dtype as dtype_of
from graphwright.ir.dtype import string
from graphwright.ir.errors import FeedError
from graphwright.ir.types import TensorType

Array: TypeAlias = NDArray[Any]
RunFunction: TypeAlias = Callable[[Sequence[str] | None, Mapping[str, Any]], list[Any]]


class OrtValue:
    """A value that a session takes or gives: a tensor in memory, or a host value."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    @staticmethod
    def ortvalue_from_numpy(
        array: Array, device_type: str = "cpu", device_id: int = 0
    ) -> "OrtValue":
        """A value that shares the array's memory.

        Raises:
            FeedError: If the device is not the CPU.
        """
        _check_device(device_type)
        return OrtValue(np.asarray(array))

    @staticmethod
    @checked
    def ortvalue_from_shape_and_type(
        shape: Sequence[int],
        element_type: Any,
        device_type: str = "cpu",
        device_id: int = 0,
    ) -> "OrtValue":
        """A tensor of that shape, its elements not set."""
        _check_device(device_type)
        return OrtValue(np.empty(tuple(shape), element_type))

    def numpy(self) -> Array:
        """The tensor as an array that shares its memory."""
        return np.asarray(self._value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self._value, dtype=dtype, copy=copy)

    def shape(self) -> list[int]:
        """Sizes of the tensor's axes."""
        return list(self.numpy().shape)

    def data_type(self) -> str:
        """The type in words, such as ``tensor(float)``."""
        array = self.numpy()
        element = string if array.dtype == object else dtype_of(array.dtype)
        return type_word(TensorType(element, array.shape))

    def device_name(self) -> str:
        """Where it lies: ``cpu``."""
        return "cpu"

    def data_ptr(self) -> int:
        """Address of the first element."""
        return int(self.numpy().ctypes.data)

    def is_tensor(self) -> bool:
        """Whether it is a tensor."""
        return isinstance(self._value, np.ndarray)

    def is_tensor_sequence(self) -> bool:
        """Whether it is a list of tensors."""
        return isinstance(self._value, list)

    def has_value(self) -> bool:
        """Whether it is anything at all, as an optional may not be."""
        return self._value is not None

    def update_inplace(self, array: Array) -> None:
        """Copies an array of the same shape and dtype into the tensor.

        Raises:
            FeedError: If they differ.
        """
        fill(self.numpy(), array, "an OrtValue")


def value_of(x: Any) -> Any:
    """What an ``OrtValue`` holds; anything else as it is."""
    return x._value if isinstance(x, OrtValue) else x


def fill(target: Array, array: Any, what: str) -> None:
    """Copies an array to memory that was made for it.

    Raises:
        FeedError: If shape or dtype differ.
    """
    found = np.asarray(array)
    if found.shape != target.shape or found.dtype != target.dtype:
        raise FeedError(
            f"{what} holds {target.dtype}{list(target.shape)},"
            f" got {found.dtype}{list(found.shape)}"
        )
    np.copyto(target, found)


def _check_device(device: str) -> None:
    if device != "cpu":
        raise FeedError(f"values lie on the device 'cpu', not on {device!r}")


def array_at(address: int, element_type: Any, shape: Sequence[int]) -> Array:
    """The array at an address; the caller keeps its memory alive."""
    dtype = np.dtype(element_type)
    size = math.prod(shape) * dtype.itemsize
    held = (ctypes.c_uint8 * size).from_address(address)
    return np.frombuffer(held, dtype).reshape(tuple(shape))


class IOBinding:
    """Inputs and outputs that are bound before a run, on the CPU."""

    def __init__(self, run: RunFunction, output_names: Sequence[str]) -> None:
        self._run, self._known = run, tuple(output_names)
        self._feeds: dict[str, Any] = {}
        self._targets: dict[str, Array | None] = {}
        self._results: list[Any] = []

    @checked
    def bind_cpu_input(self, name: str, array: Any) -> None:
        """Binds an array to an input."""
        self._feeds[name] = array

    @checked
    def bind_input(
        self,
        name: str,
        device_type: str,
        device_id: int,
        element_type: Any,
        shape: Sequence[int],
        buffer_ptr: int,
    ) -> None:
        """Binds memory at an address to an input; it must outlive the run."""
        _check_device(device_type)
        self._feeds[name] = array_at(buffer_ptr, element_type, shape)

    @checked
    def bind_ortvalue_input(self, name: str, value: OrtValue) -> None:
        """Binds a value to an input."""
        self._feeds[name] = value

    @checked
    def bind_output(
        self,
        name: str,
        device_type: str = "cpu",
        device_id: int = 0,
        element_type: Any = None,
        shape: Sequence[int] | None = None,
        buffer_ptr: int | None = None,
    ) -> None:
        """Asks for an output, in fresh memory or in that at an address.

        Raises:
            FeedError: If there is no such output.
        """
        _check_device(device_type)
        target = None
        if buffer_ptr is not None:
            target = array_at(buffer_ptr, element_type, shape or ())
        self._bind(name, target)

    @checked
    def bind_ortvalue_output(self, name: str, value: OrtValue) -> None:
        """Asks for an output, to be written into a value.

        Raises:
            FeedError: If there is no such output.
        """
        self._bind(name, value.numpy())

    def _bind(self, name: str, target: Array | None) -> None:
        if name not in self._known:
            known = ", ".join(map(repr, self._known))
            raise FeedError(f"no output is called {name!r}; the outputs are {known}")
        self._targets[name] = target

    def clear_binding_inputs(self) -> None:
        """Forgets the inputs."""
        self._feeds.clear()

    def clear_binding_outputs(self) -> None:
        """Forgets the outputs."""
        self._targets.clear()

    def synchronize_inputs(self) -> None:
        """Returns at once: nothing is pending on the CPU."""

    def synchronize_outputs(self) -> None:
        """Returns at once: nothing is pending on the CPU."""

    def run(self) -> None:
        """Runs with what is bound; without outputs bound, for all of them.

        Raises:
            FeedError: If something does not fit.
        """
        found = self._run(list(self._targets) or None, self._feeds)
        targets = list(self._targets.values()) or [None] * len(found)
        names = list(self._targets) or self._known
        self._results = [
            _placed(x, target, f"the memory for output {name!r}")
            for x, target, name in zip(found, targets, names, strict=True)
        ]

    def get_outputs(self) -> list[OrtValue]:
        """The last run's outputs, in the order in which they were bound."""
        return list(map(OrtValue, self._results))

    def copy_outputs_to_cpu(self) -> list[Any]:
        """The last run's outputs as numpy arrays."""
        return list(self._results)


def _placed(x: Any, target: Array | None, what: str) -> Any:
    if target is None:
        return x
    fill(target, x, what)
    return target
