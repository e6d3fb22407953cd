"""Softmax and normalization along the last axis, rows in blocks, on all cores."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.numpy.kernels import precision, threads
from graphwright.backends.numpy.kernels.fold import row_sums

Array = NDArray[Any]
_Rows = Callable[[Array, Array], None]
"""Called with rows and where their results go, which may be the same."""

_SECONDS_A_BYTE = 3e-10
_CALLS = 8
_BLOCK = 1 << 17
_SHORT = 32


def _by_rows(
    kernel: _Rows, x: Array, out: Array | None, columns: _Rows | None = None
) -> Array:
    """Let `kernel` compute blocks of rows of `x` into `out`.

    16-bit floats are computed in float32 and rounded once. Many short rows are turned
    for `columns`, if it is given: a loop takes long to begin.
    """
    wide = precision.accumulator(x.dtype, 1)
    if out is None:
        out = np.empty(x.shape, x.dtype)
    if x.size == 0:
        return out
    source, target = x.reshape(-1, x.shape[-1]), out.reshape(-1, x.shape[-1])
    count = -(-x.size // _BLOCK)
    seconds = x.size * wide.itemsize * _SECONDS_A_BYTE
    shared = threads.shares(seconds, (count + 1) * _CALLS)
    count = max(count, threads.slots()) if shared else count
    cuts = threads.ranges(len(source), max(1, -(-len(source) // count)))
    turned = columns if source.shape[1] <= _SHORT < len(source) else None

    def task(index: int, _slot: int) -> None:
        part = slice(*cuts[index])
        if turned is not None:
            lines = np.array(source[part].T, wide, order="C")
            turned(lines, lines)
            target[part] = lines.T
        elif target.dtype == wide:
            kernel(source[part], target[part])
        else:
            rows = source[part].astype(wide)
            kernel(rows, rows)
            target[part] = rows

    if len(cuts) == 1:
        with np.errstate(all="ignore"):
            task(0, 0)
    else:
        threads.parallel(task, len(cuts), len(cuts) if shared else 1)
    if not np.may_share_memory(target, out):
        np.copyto(out, target.reshape(out.shape))
    return out


def _largest(x: Array, axis: int) -> Array:
    found: Array = np.maximum.reduce(x, axis=axis, keepdims=True)
    return found


def _total(x: Array, axis: int = 1) -> Array:
    return row_sums(x)()[:, None] if axis else np.sum(x, 0, keepdims=True)


def _softmax(axis: int, x: Array, out: Array) -> None:
    np.subtract(x, _largest(x, axis), out=out)
    np.exp(out, out=out)
    np.multiply(out, np.reciprocal(_total(out, axis)), out=out)


def softmax(x: Array, out: Array | None = None) -> Array:
    """Return `exp(x) / sum(exp(x))` along the last axis."""
    return _by_rows(partial(_softmax, 1), x, out, partial(_softmax, 0))


def _log_softmax(axis: int, x: Array, out: Array) -> None:
    np.subtract(x, _largest(x, axis), out=out)
    total = _total(np.exp(out), axis)
    np.subtract(out, np.log(total), out=out)


def log_softmax(x: Array, out: Array | None = None) -> Array:
    """Return `x - log(sum(exp(x)))` along the last axis."""
    return _by_rows(partial(_log_softmax, 1), x, out, partial(_log_softmax, 0))


def layer_norm(
    x: Array,
    scale: Array | None = None,
    bias: Array | None = None,
    *,
    epsilon: float = 1e-5,
    out: Array | None = None,
) -> Array:
    """Return `(x - mean) / sqrt(variance + epsilon) * scale + bias` by the last axis.

    `scale` and `bias` have the last axis' extent.
    """

    def kernel(x: Array, rows: Array) -> None:
        width = rows.dtype.type(rows.shape[1])
        np.subtract(x, _total(x) / width, out=rows)
        squares = np.einsum("ij,ij->i", rows, rows)[:, None]
        deviation = np.sqrt(squares / width + rows.dtype.type(epsilon))
        np.multiply(rows, 1 / deviation, out=rows)
        if scale is not None:
            np.multiply(rows, scale.astype(rows.dtype, copy=False), out=rows)
        if bias is not None:
            np.add(rows, bias.astype(rows.dtype, copy=False), out=rows)

    return _by_rows(kernel, x, out)


def rms_norm(
    x: Array,
    scale: Array | None = None,
    *,
    epsilon: float = 1e-5,
    out: Array | None = None,
) -> Array:
    """Return `x / sqrt(mean(x * x) + epsilon) * scale` along the last axis."""

    def kernel(x: Array, rows: Array) -> None:
        width = rows.dtype.type(rows.shape[1])
        squares = np.einsum("ij,ij->i", x, x)[:, None]
        deviation = np.sqrt(squares / width + rows.dtype.type(epsilon))
        np.multiply(x, 1 / deviation, out=rows)
        if scale is not None:
            np.multiply(rows, scale.astype(rows.dtype, copy=False), out=rows)

    return _by_rows(kernel, x, out)
