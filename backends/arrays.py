"""Arrays that cross the border: DLPack, buffers, lists of strings."""

from contextlib import suppress
from typing import Any

import numpy as np

from graphwright.ir.dlpack import from_dlpack
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
                raise FeedError(
                    f"input {name!r} takes a list of {element}, got {type(x).__name__}"
                )
            items: Any = x
            return [as_host_array(item, element, name) for item in items]
        case MapType():
            if not isinstance(x, dict):
                raise FeedError(
                    f"input {name!r} takes a dictionary, got {type(x).__name__}"
                )
            return x
        case _:
            raise FeedError(f"input {name!r} cannot be fed")


def _tensor(x: Any, type_: TensorType, name: str) -> Any:
    want = type_.dtype
    if want is string:
        return _strings(x, name)
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
        return _shared(x)
    if hasattr(x, "__array__") or hasattr(x, "__array_interface__"):
        return np.asarray(x)
    return np.asarray(memoryview(x)) if isinstance(x, (bytearray, memoryview)) else None


def _shared(x: Any) -> Any:
    """An array by DLPack: its memory, else a copy from the device that it is on."""
    refusals = (BufferError, TypeError, RuntimeError, ValueError)
    with suppress(*refusals):
        return from_dlpack(x)
    with suppress(*refusals):
        return np.from_dlpack(x, device="cpu")
    return np.asarray(x)


def _converted(x: Any, type_: TensorType, name: str) -> Any:
    """Python numbers, or lists of them, in the declared dtype; none is cut short."""
    want, got = type_.dtype, type(x).__name__
    try:
        found = np.asarray(x)
        if found.size and found.dtype.kind not in _FITTING.get(want.kind, "biuf"):
            kind = "nothing" if x is None else f"{found.dtype} in a Python {got}"
            raise FeedError(f"input {name!r} takes {type_}, got {kind}")
        return np.asarray(x, want.numpy)
    except (ArithmeticError, TypeError, ValueError) as error:
        if isinstance(error, FeedError):
            raise
        raise FeedError(f"input {name!r} takes {type_}, got {got}: {error}") from None


_FITTING = {"b": "b", "i": "biu", "u": "biu", "c": "biufc"}
"""Kinds of NumPy dtypes that Python numbers may have, by the kind of dtype wanted."""


def _strings(x: Any, name: str) -> Any:
    array = np.asarray(x) if hasattr(x, "dtype") else np.asarray(x, object)
    if array.dtype.kind in "US":
        return array.astype(str).astype(object)
    odd = [item for item in array.ravel().tolist() if not isinstance(item, str)]
    if array.dtype != object or odd:
        got = type(odd[0]).__name__ if odd else str(array.dtype)
        raise FeedError(f"input {name!r} takes strings, got {got}")
    return array
