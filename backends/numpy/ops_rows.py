"""Kernels of activations, and of softmax and norms over the last axis."""

from collections.abc import Callable
from functools import partial
from typing import Any

from graphwright.backends.contract import Kernel, Request
from graphwright.backends.numpy.kernels import elementwise, norm
from graphwright.backends.numpy.kernels.norm import ByRows
from graphwright.backends.numpy.table import kernel_for, writing
from graphwright.ir.dtype import float32, float64
from graphwright.ir.ops.activation import Gelu, Normalizing
from graphwright.ir.ops.norm import Norm
from graphwright.ir.types import TensorType

_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "erf": elementwise.erf,
    "gelu": elementwise.gelu,
}
_ROWS = {"softmax": norm.SOFTMAX, "log_softmax": norm.LOG_SOFTMAX}


def _wide(request: Request) -> bool:
    """Whether the first operand is a float of 32 or 64 bits with elements."""
    x = request.types[0]
    assert isinstance(x, TensorType)
    return x.dtype in (float32, float64) and 0 not in x.dims


def _into(request: Request, kernel: Callable[..., Any]) -> Kernel:
    def run(out: Any, array: Any) -> None:
        kernel(array, out=out)

    return writing(request, run)


@kernel_for(*_ELEMENTWISE)
def activation(request: Request) -> Kernel | None:
    """An elementwise function in cache-sized blocks on all cores."""
    op = request.op
    kernel = _ELEMENTWISE[op.name]
    if isinstance(op, Gelu) and op.tanh:
        kernel = elementwise.gelu_tanh
    return _into(request, kernel) if _wide(request) else None


@kernel_for(*_ROWS)
def rows(request: Request) -> Kernel | None:
    """Softmax and its logarithm over the last axis."""
    op, x = request.op, request.types[0]
    assert isinstance(op, Normalizing)
    assert isinstance(x, TensorType)
    last = op.axis == x.rank - 1
    if not last or not _wide(request):
        return None
    function = _ROWS[op.name]
    return _by_rows(request, lambda: function)


@kernel_for("layer_norm", "rms_norm")
def normalise(request: Request) -> Kernel | None:
    """Layer and root-mean-square norms over the last axis."""
    op, x = request.op, request.types[0]
    assert isinstance(op, Norm)
    assert isinstance(x, TensorType)
    same = all(t.dtype is x.dtype for t in request.types if isinstance(t, TensorType))
    if op.axis != x.rank - 1 or not same or not _wide(request):
        return None
    make: Callable[..., ByRows]
    make = norm.layer_norm if op.name == "layer_norm" else norm.rms_norm
    return _by_rows(request, partial(make, epsilon=op.epsilon))


def _by_rows(request: Request, make: Callable[..., ByRows]) -> Kernel:
    """The kernel of the function that ``make`` gives for the other operands."""
    x = request.types[0]
    assert isinstance(x, TensorType)
    shape: Any = x.dims

    def run(out: Any, array: Any, *others: Any) -> None:
        make(*others)(array, out)

    def bind(memory: Any, out: Any, array: Any, *others: Any) -> Callable[[], object]:
        return make(*others).bind(memory, array, out)

    size = make().scratch_bytes(shape, x.dtype.numpy)
    return writing(request, run, bind=bind, scratch_bytes=size)
