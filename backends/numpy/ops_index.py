"""Kernels of reading and writing at computed positions, and of running sums."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from graphwright.backends.contract import Into, Kernel, Request
from graphwright.backends.numpy.functions import plain_dtypes
from graphwright.backends.numpy.kernels import index
from graphwright.backends.numpy.table import kernel_for, writing
from graphwright.ir.errors import IndexBoundsError
from graphwright.ir.ops.fused import Fused
from graphwright.ir.ops.index import Gather, Scatter, check_bounds
from graphwright.ir.ops.reduce import ArgReduce, Cumulative
from graphwright.ir.types import TensorType

_ACCUMULATE: dict[str, Any] = {
    "sum": np.add,
    "prod": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}


def _dims(request: Request, operand: int) -> Any:
    x = request.types[operand]
    assert isinstance(x, TensorType)
    return x.dims


def _has_kernel(request: Request) -> bool:
    """Whether all are arrays of NumPy's own real dtypes, with elements."""
    plain = plain_dtypes(request.types)
    return plain is not None and not any(
        0 in _dims(request, i) for i in range(len(request.types))
    )


@kernel_for("gather")
def gather(request: Request) -> Kernel | None:
    """``numpy.take``, its result where it is wanted."""
    assert isinstance(request.op, Gather)
    return _gathering(request.op, request, 0)


def gather_region(op: Fused, request: Request) -> Kernel | None:
    """The same by indices that may be negative."""
    inner = op.body.nodes[-1].op
    assert isinstance(inner, Gather)
    if len(request.types) != 2:  # a vector at positions that it holds itself
        return None
    size = _dims(request, 0)[inner.axis]
    return _gathering(inner, request, size)


def _gathering(op: Gather, request: Request, below: int) -> Into | None:
    """The kernel for indices from ``-below`` on."""
    if op.batch_dims or not _has_kernel(request):
        return None
    axis, size = op.axis, _dims(request, 0)[op.axis]

    def check(low: int, high: int) -> None:
        if low < -below or high >= size:
            bad = low + below if low < -below else high
            raise IndexBoundsError(
                f"gather: index {bad} is outside an axis of size {size}"
            )

    def run(out: Any, x: Any, indices: Any) -> None:
        index.take(x, indices, axis, out, check)

    def bind(_: Any, out: Any, x: Any, indices: Any) -> Callable[[], object]:
        if indices.size != 1:
            return partial(run, out, x, indices)
        lines = np.moveaxis(x, axis, 0)
        line = out.reshape(lines.shape[1:])

        def one() -> None:
            number = indices.item()
            if not -below <= number < size:
                check(number, number)
            line[...] = lines[number]

        return one

    return writing(request, run, bind=bind, strided=(0,))


@kernel_for("scatter")
def scatter(request: Request) -> Kernel | None:
    """Sums at positions of a vector; other forms have no kernel."""
    op = request.op
    assert isinstance(op, Scatter)
    plain = plain_dtypes(request.types)
    vector = _has_kernel(request) and [len(_dims(request, i)) for i in range(3)]
    if op.mode != "add" or op.batch_dims or vector != [1, 1, 1] or plain is None:
        return None
    if plain[0].itemsize < 4 or plain[0].kind == "b":  # summed in a wider dtype
        return None
    size = _dims(request, 0)[0]

    def run(out: Any, x: Any, indices: Any, updates: Any) -> None:
        np.copyto(out, x)
        if not index.add_at(out, indices, updates):
            check_bounds("scatter", indices, size)

    return writing(request, run, over=(0,))


@kernel_for("cumulative")
def cumulative(request: Request) -> Kernel | None:
    """Running sums, products and extremes, as NumPy accumulates."""
    op, x = request.op, request.types[0]
    assert isinstance(op, Cumulative)
    assert isinstance(x, TensorType)
    if op.exclusive or not _has_kernel(request) or x.dtype.accumulate is not x.dtype:
        return None
    function, axis = _ACCUMULATE[op.kind], op.axis
    if x.dtype.kind == "b":
        return None

    def run(out: Any, array: Any) -> None:
        if op.reverse:
            array, out = np.flip(array, axis), np.flip(out, axis)
        index.accumulate(function, array, axis, out)

    return writing(request, run)


@kernel_for("arg_reduce")
def arg_reduce(request: Request) -> Kernel | None:
    """The first position of the extreme."""
    op = request.op
    assert isinstance(op, ArgReduce)
    if op.last or not _has_kernel(request):
        return None
    find = partial(index.arg_reduce, op.kind == "max")

    def run(out: Any, array: Any) -> None:
        find(array, op.axis, out)

    return writing(request, run)
