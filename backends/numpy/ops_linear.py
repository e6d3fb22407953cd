"""Kernels of quantisation and its inverse alone."""

from typing import Any

import numpy as np

from graphwright.backends.contract import Kernel, Request
from graphwright.backends.numpy.kernels import scratch
from graphwright.backends.numpy.kernels.quantized import (
    Finish,
    Term,
    bind_finish,
    finish_bytes,
)
from graphwright.backends.numpy.table import kernel_for, writing
from graphwright.ir.dtype import float32
from graphwright.ir.types import TensorType


def _numbers(request: Request) -> "tuple[np.float64, int] | None":
    """The one scale and the one zero point, if they are constants."""
    parts = [c.array() for c in request.constants[1:] if c is not None]
    if len(parts) < len(request.types) - 1 or any(p.size != 1 for p in parts):
        return None
    zero = int(parts[1].reshape(())) if len(parts) > 1 else 0
    return np.float64(parts[0].reshape(())[()]), zero


def _plain(request: Request, real: int) -> bool:
    """Whether it goes between float32 and integers of 8 bits."""
    types = (request.types[0], request.results[0])
    pair = [
        t for t in types if isinstance(t, TensorType) and t.rank and 0 not in t.dims
    ]
    if len(pair) < 2 or pair[real].dtype is not float32:
        return False
    other = pair[1 - real].dtype
    return other.is_int and other.bits == 8


@kernel_for("quantize")
def quantize(request: Request) -> Kernel | None:
    """``round(x / scale) + zero`` in blocks on all cores."""
    numbers = _numbers(request)
    if numbers is None or not _plain(request, 0):
        return None
    scale, zero = numbers
    info = np.iinfo(request.results[0].dtype.numpy)  # type: ignore[union-attr]
    terms = (Term(0, np.asarray(scale, np.float32), divides=True),)
    return _kernel(request, Finish(terms, None, True, zero, info.min, info.max))


@kernel_for("dequantize")
def dequantize(request: Request) -> Kernel | None:
    """``(x - zero) * scale`` in blocks on all cores."""
    numbers = _numbers(request)
    if numbers is None or not _plain(request, 1):
        return None
    scale, zero = numbers
    return _kernel(
        request, Finish((Term(0, np.asarray(scale, np.float32), zero),), rounds=False)
    )


def _kernel(request: Request, finish: Finish) -> Kernel:
    (result,) = request.results
    assert isinstance(result, TensorType)
    channels: Any = result.dims[-1]
    size = finish_bytes(channels)

    def bind(memory: Any, out: Any, x: Any, *_numbers: Any) -> Any:
        return bind_finish(finish, [x], out, scratch.Arena(memory))

    def run(out: Any, x: Any, *_numbers: Any) -> None:
        memory = scratch.take(size)
        bind(memory, out, np.ascontiguousarray(x))()
        scratch.give(memory)

    unread = tuple(range(1, len(request.types)))
    return writing(request, run, bind=bind, scratch_bytes=size, unread=unread)
