"""Windows of arrays: what is written there, and what lies around it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Window = tuple[slice, ...]
Call = Callable[[], object]


def part_of(x: Array, window: Window | None) -> Array:
    """A window of an array, or all of it."""
    return x if window is None else x[window]


def around(base: Array, out: Array, window: Window) -> list[Call]:
    """Calls that copy what lies around a window, if the result is a new array."""
    if _start(base) == _start(out):
        return []
    if any(part.step not in (None, 1) for part in window):
        return [partial(np.copyto, out, base)]
    calls: list[Call] = []
    inner: list[slice] = []
    for axis, part in enumerate(window):
        rest = [slice(None)] * (out.ndim - axis - 1)
        for side in (slice(0, part.start), slice(part.stop, out.shape[axis])):
            at = (*inner, side, *rest)
            if out[at].size:
                calls.append(partial(np.copyto, out[at], base[at]))
        inner.append(part)
    return calls


def _start(x: Array) -> Any:
    return x.__array_interface__["data"][0]
