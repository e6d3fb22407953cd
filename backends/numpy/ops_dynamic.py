"""Kernels of windows whose place a run finds out: what loops read and write."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from graphwright.backends.contract import Kernel, Request
from graphwright.backends.numpy.table import kernel_for, writing
from graphwright.ir.types import TensorType

Call: TypeAlias = Callable[[], object]


def _plain(request: Request) -> bool:
    types = (*request.types, *request.results)
    tensors = [t for t in types if isinstance(t, TensorType)]
    known = all(t.dtype.numpy.kind in "biufc" for t in tensors)
    return known and all(0 not in t.dims for t in tensors)


@kernel_for("dynamic_update_slice")
def dynamic_update_slice(request: Request) -> Kernel | None:
    """A window written, in place where the rest is there already."""
    if not _plain(request):
        return None
    whole, part = request.types[:2]
    assert isinstance(whole, TensorType)
    assert isinstance(part, TensorType)
    sizes: Any = part.dims
    room = [n - m for n, m in zip(whole.dims, sizes, strict=True)]

    def window(axis: int, start: Any) -> slice:
        begin = min(max(start.item(), 0), room[axis])
        return slice(begin, begin + sizes[axis])

    def bind(_: Any, out: Any, x: Any, y: Any, *start: Any) -> Call:
        there = out.__array_interface__["data"] == x.__array_interface__["data"]
        known = [c is not None for c in request.constants[2:]]
        place = [window(axis, s) for axis, s in enumerate(start)]
        moving = [(axis, start[axis]) for axis, fixed in enumerate(known) if not fixed]

        def write() -> None:
            if not there:
                np.copyto(out, x)
            for axis, s in moving:
                place[axis] = window(axis, s)
            out[tuple(place)] = y

        return write

    def run(*arrays: Any) -> None:
        bind(None, *arrays)()

    return writing(request, run, bind=bind, over=(0,))
