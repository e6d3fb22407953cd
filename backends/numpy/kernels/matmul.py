"""Matrix products with numpy's broadcasting, right and fast in every dtype.

Floats of 16 bits and below are multiplied in float32 and rounded once. Integers go
through BLAS in a float that holds every partial sum exactly, else through numpy's
integer loops, which wrap around.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from graphwright.backends.numpy.kernels import precision, threads
from graphwright.backends.numpy.kernels.epilogue import Clip, Epilogue, cast_integers

Array = NDArray[Any]

_FLOPS_A_SECOND = 8e10
_BYTES_A_SECOND = 2e10
_SHORT = 2e-4
_TASK_FLOPS = 1 << 26
_ROWS = 192
"""Rows, or columns, of a part: BLAS packs the other operand anew for each."""


def matmul(
    a: Array,
    b: Array,
    *,
    out: Array | None = None,
    out_dtype: DTypeLike | None = None,
    scale: Array | None = None,
    bias: Array | None = None,
    residual: Array | None = None,
    clip: Clip | None = None,
) -> Array:
    """Compute `clip(a @ b * scale + bias + residual)` with `np.matmul`'s shapes.

    `a` [..., m, k], `b` [..., k, n] or vectors; `scale` and `bias` broadcast over the
    last axis. Equal dtypes give that dtype, int8 to int16 give int32.
    """
    kind = np.result_type(a, b) if a.dtype != b.dtype else a.dtype
    result = np.dtype(precision.result_dtype(kind) if out_dtype is None else out_dtype)
    left = a[None, :] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    shape = _shape(left, right)
    acc_dtype = _accumulator(a, b, kind)
    left, right = (
        left.astype(acc_dtype, copy=False),
        right.astype(acc_dtype, copy=False),
    )
    squeezed = _squeezed(shape, a.ndim == 1, b.ndim == 1)
    target = np.empty(squeezed, result) if out is None else out
    full = target.reshape(shape)
    epilogue = Epilogue(_cast(scale, result), _cast(bias, result), clip)
    rest = None if residual is None else residual.reshape(shape)
    _run(left, right, full, epilogue, rest)
    if not np.may_share_memory(full, target):
        np.copyto(target, full.reshape(squeezed))
    return target


def _cast(values: Array | None, dtype: precision.DType) -> Array | None:
    """Bring per-column numbers to float32 for 16-bit results, else to the result's."""
    wide = np.dtype(np.float32) if precision.is_narrow_float(dtype) else dtype
    return None if values is None else values.astype(wide, copy=False)


def _shape(a: Array, b: Array) -> tuple[int, ...]:
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(f"cannot multiply {list(a.shape)} by {list(b.shape)}")
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return (*batch, a.shape[-2], b.shape[-1])


def _squeezed(shape: tuple[int, ...], row: bool, column: bool) -> tuple[int, ...]:
    *batch, m, n = shape
    return (*batch, *(() if row else (m,)), *(() if column else (n,)))


def _accumulator(a: Array, b: Array, kind: precision.DType) -> precision.DType:
    terms = a.shape[-1]
    if kind.kind not in "iu":
        return precision.accumulator(kind, terms)
    bound = _bound(a, kind) * _bound(b, kind)
    return precision.accumulator(kind, terms, bound)


def _bound(array: Array, kind: precision.DType) -> int:
    """Return the largest magnitude: by dtype where small, else measured."""
    if kind.itemsize <= 1:
        return precision.type_bound(array.dtype)
    return precision.largest(array)


def _run(
    a: Array, b: Array, out: Array, epilogue: Epilogue, residual: Array | None
) -> None:
    """Cut the product into tasks and finish each while hot."""
    batch, (m, n) = out.shape[:-2], out.shape[-2:]
    count = math.prod(batch)
    flops = 2.0 * m * n * a.shape[-1]
    if b.ndim == 2 and a.ndim > 2 and a.flags.c_contiguous and out.flags.c_contiguous:
        rows = count * m
        rest = None if residual is None else residual.reshape(rows, n)
        a, out = a.reshape(rows, -1), out.reshape(rows, n)
        _run(a, b, out, epilogue, rest)
    elif count == 1:
        rest = None if residual is None else residual.reshape(m, n)
        a, b = a.reshape(a.shape[-2:]), b.reshape(b.shape[-2:])
        _run_one(a, b, out.reshape(m, n), epilogue, rest, flops)
    else:
        _run_batch(a, b, out, epilogue, residual, flops)


def _run_one(
    a: Array,
    b: Array,
    out: Array,
    epilogue: Epilogue,
    residual: Array | None,
    flops: float,
) -> None:
    """Share out one product by rows or by columns, whichever are more."""
    m, n = out.shape
    long = max(m, n)
    parts = int(min(64, max(2, flops / _TASK_FLOPS), max(2, long // _ROWS), long // 32))
    if flops / _FLOPS_A_SECOND + b.nbytes / _BYTES_A_SECOND < _SHORT:
        parts = 1
    cuts = threads.ranges(long, max(1, -(-long // max(1, parts))))

    def task(index: int, _slot: int) -> None:
        part = slice(*cuts[index])
        rest = residual
        if m >= n:
            rest = None if residual is None else residual[part]
            _block(a[part], b, out[part], epilogue, rest)
        else:
            rest = None if residual is None else residual[:, part]
            right, target = b[:, part], out[:, part]
            _block(a, right, target, _columns(epilogue, part), rest)

    threads.parallel(task, len(cuts))


def _columns(epilogue: Epilogue, part: slice) -> Epilogue:
    """Cut numbers that belong to columns; one number for all stays."""
    scale, bias = epilogue.scale, epilogue.bias
    return Epilogue(
        scale if scale is None or scale.size == 1 else scale[..., part],
        bias if bias is None or bias.size == 1 else bias[..., part],
        epilogue.clip,
    )


def _run_batch(
    a: Array,
    b: Array,
    out: Array,
    epilogue: Epilogue,
    residual: Array | None,
    flops: float,
) -> None:
    """Share out the products of a batch along its first axis longer than one."""
    batch = out.shape[:-2]
    axis = max(range(len(batch)), key=lambda i: batch[i])
    left = np.broadcast_to(a, (*batch, *a.shape[-2:]))
    right = np.broadcast_to(b, (*batch, *b.shape[-2:]))
    each = flops * (math.prod(batch) // max(1, batch[axis]))
    cuts = threads.ranges(batch[axis], max(1, int(_TASK_FLOPS / 4 / max(1.0, each))))

    def task(index: int, _slot: int) -> None:
        part = (slice(None),) * axis + (slice(*cuts[index]),)
        rest = None if residual is None else residual[part]
        _block(left[part], right[part], out[part], epilogue, rest)

    short = flops / _FLOPS_A_SECOND + out.nbytes / _BYTES_A_SECOND < _SHORT
    threads.parallel(task, len(cuts), 1 if short else len(cuts))


def _block(
    a: Array, b: Array, out: Array, epilogue: Epilogue, residual: Array | None
) -> None:
    same = out.dtype == a.dtype
    acc = np.matmul(a, b, out=out if same else None)
    plain = epilogue.scale is None and out.dtype.kind in "iu" and not same
    if plain and epilogue.bias is None and epilogue.clip is None and residual is None:
        cast_integers(acc, out)
    else:
        epilogue.apply(acc, out, residual)


def gemm(
    a: Array,
    b: Array,
    c: Array | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    trans_a: bool = False,
    trans_b: bool = False,
    clip: Clip | None = None,
    out: Array | None = None,
) -> Array:
    """Compute `clip(alpha * a' @ b' + beta * c)` of matrices, as ONNX' Gemm does."""
    left, right = a.T if trans_a else a, b.T if trans_b else b
    scale = None if alpha == 1.0 else np.full((1,), alpha, _number_dtype(a.dtype))
    if c is not None and beta != 1.0:
        c = c.astype(_number_dtype(c.dtype)) * _number_dtype(c.dtype).type(beta)
    row = c is None or (c.ndim > 0 and c.size == c.shape[-1])
    options: dict[str, Any] = {"clip": clip, "out": out, "scale": scale}
    if row:
        bias = None if c is None else c.reshape(-1)
        return matmul(left, right, bias=bias, out_dtype=a.dtype, **options)
    full = np.broadcast_to(np.asarray(c), (left.shape[0], right.shape[1]))
    return matmul(left, right, residual=full, out_dtype=a.dtype, **options)


def _number_dtype(dtype: precision.DType) -> precision.DType:
    return np.dtype(np.float32) if precision.is_narrow_float(dtype) else dtype
