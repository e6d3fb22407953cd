"""Arrays that cross the border: DLPack, buffers, lists of strings."""

from typing import Any

import numpy as np

from graphwright.ir.dtype import string
from graphwright.ir.errors import FeedError
from graphwright.ir.types import MapType, OptionalType, SequenceType, TensorType, Type


def as_host_array(x: Any, type_: Type, name: str) -> Any:
    """An input as a numpy array (or list, or dictionary) of the declared type.

    Python numbers and lists take the declared dtype; arrays must have it.

    Raises:
        FeedError: If dtype or kind differ, saying what was got and what is taken.
    """
    match type_:
        case TensorType():
            return _tensor(x, type_, name)
        case OptionalType(element):
            return None if x is None else as_host_array(x, element, name)
        case SequenceType(element):
            if not isinstance(x, (list, tuple)):
                raise FeedError(f"input {name!r} takes a list of {element}, got {type(x).__name__}")
            items: Any = x
            return [as_host_array(item, element, name) for item in items]
        case MapType():
            if not isinstance(x, dict):
                raise FeedError(f"input {name!r} takes a dictionary, got {type(x).__name__}")
            return x  # type: ignore[reportUnknownVariableType]
        case _:
            raise FeedError(f"input {name!r} cannot be fed")


def _tensor(x: Any, type_: TensorType, name: str) -> Any:
    want = type_.dtype
    if want is string:
        return _strings(x)
    array = _plain(x)
    if array is None:
        array = _converted(x, type_, name)
    if array.dtype != want.numpy:
        raise FeedError(
            f"input {name!r} has dtype {array.dtype}, the graph takes {type_}:"
            f" convert it with .astype({want.name!r})"
        )
    return array


def _plain(x: Any) -> Any:
    """An array-like as a numpy array without a copy, or None if it is no array."""
    if isinstance(x, (np.ndarray, np.generic)):
        return np.asarray(x)
    if hasattr(x, "__dlpack__"):
        try:
            return np.from_dlpack(x)
        except (BufferError, TypeError, RuntimeError):
            return np.asarray(x)
    if hasattr(x, "__array__") or hasattr(x, "__array_interface__"):
        return np.asarray(x)
    return np.asarray(memoryview(x)) if isinstance(x, (bytearray, memoryview)) else None


def _converted(x: Any, type_: TensorType, name: str) -> Any:
    try:
        return np.asarray(x, type_.dtype.numpy)
    except (TypeError, ValueError) as error:
        raise FeedError(f"input {name!r} takes {type_}, got {type(x).__name__}: {error}") from None


def _strings(x: Any) -> Any:
    array = np.asarray(x)
    if array.dtype == object:
        return array
    return array.astype(str).astype(object)
