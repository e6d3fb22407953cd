"""Kernels of single ops that numpy has as functions with an ``out`` argument."""

from collections.abc import Callable
from typing import Any

import numpy as np

from graphwright.backends.contract import Kernel, Request
from graphwright.backends.numpy.table import kernel_for, writing
from graphwright.ir.ops.movement import Concat
from graphwright.ir.ops.reduce import Reduce
from graphwright.ir.types import TensorType

_UFUNCS: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "add": np.add,
    "div": np.divide,
    "exp": np.exp,
    "max": np.maximum,
    "min": np.minimum,
    "mul": np.multiply,
    "neg": np.negative,
    "pow": np.power,
    "sqrt": np.sqrt,
    "sub": np.subtract,
    "tanh": np.tanh,
}
_REDUCTIONS: dict[str, Any] = {
    "sum": np.add,
    "prod": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}


def _plain(request: Request) -> bool:
    """Whether all operands and the result are of one float dtype of 32 bits or more."""
    types = [*request.types, *request.results]
    dtypes = {t.dtype for t in types if isinstance(t, TensorType)}
    if len(dtypes) != 1:
        return False
    (dtype,) = dtypes
    return dtype.is_float and dtype.accumulate is dtype


@kernel_for(*_UFUNCS)
def elementwise(request: Request) -> Kernel | None:
    """One universal function on whole arrays."""
    if not _plain(request):
        return None
    function = _UFUNCS[request.op.name]

    def run(out: Any, *operands: Any) -> None:
        function(*operands, out=out)

    return writing(request, run, over=tuple(range(len(request.types))))


@kernel_for("concat")
def concat(request: Request) -> Kernel | None:
    """All parts copied behind one another."""
    assert isinstance(request.op, Concat)
    axis = request.op.axis
    types = [t for t in request.types if isinstance(t, TensorType)]
    if any(0 in t.dims for t in types):
        return None

    def run(out: Any, *parts: Any) -> None:
        np.concatenate(parts, axis=axis, out=out)

    return writing(request, run)


@kernel_for("reduce")
def reduce(request: Request) -> Kernel | None:
    """A reduction of whole axes."""
    op, (x,) = request.op, request.types
    assert isinstance(op, Reduce)
    assert isinstance(x, TensorType)
    if not _plain(request) or 0 in x.dims or not op.axes:
        return None
    function, axes = _REDUCTIONS[op.kind], op.axes

    def run(out: Any, array: Any) -> None:
        function.reduce(array, axis=axes, out=out)

    return writing(request, run)
