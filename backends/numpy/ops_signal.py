"""Fourier transforms: rows on all cores, results where they are wanted."""

from typing import Any

import numpy as np

from graphwright.backends.contract import Kernel, Request
from graphwright.backends.numpy.kernels import threads
from graphwright.backends.numpy.table import kernel_for, writing
from graphwright.ir.dtype import complex64, complex128, float32, float64
from graphwright.ir.ops.signal import Fft
from graphwright.ir.types import TensorType

_WIDE = (float32, float64, complex64, complex128)
_PART = 1 << 16
"""Elements of rows that are worth a thread."""


@kernel_for("fft")
def fft(request: Request) -> Kernel | None:
    """``numpy.fft``'s transforms over one axis."""
    op, x, result = request.op, request.types[0], request.results[0]
    assert isinstance(op, Fft)
    assert isinstance(x, TensorType)
    assert isinstance(result, TensorType)
    if x.dtype not in _WIDE or 0 in (*x.dims, *result.dims):
        return None
    transform, axis, n = getattr(np.fft, op.kind), op.axis, op.n
    size: Any = result.size

    def run(out: Any, array: Any) -> None:
        def part(low: int, high: int) -> None:
            transform(array[low:high], n, axis, out=out[low:high])

        if axis == 0:
            transform(array, n, axis, out=out)
        else:
            threads.in_parts(part, len(array), max(1, len(array) * _PART // size))

    return writing(request, run)
