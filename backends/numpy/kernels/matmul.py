"""Matrix products with numpy's broadcasting, right and fast in every dtype.

Floats of 16 bits and below are multiplied in float32 and rounded once. Integers go
through BLAS in a float that holds every partial sum exactly, else through numpy's
integer loops, which wrap around.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from graphwright.backends.numpy.kernels import precision, threads
from graphwright.backends.numpy.kernels.epilogue import Clip, Epilogue, cast_integers
from graphwright.ir.record import record

Array = NDArray[Any]

_BYTES_A_SECOND = 4e10
BYTES_MULTIPLIED = 4e11
"""Bytes of elements that a thread multiplies or adds in a second."""
_LATE = 4e-5
"""Seconds by which a helper that slept ends later than who called it."""
_EVEN = 8
_CALLS = 3
_HELD = 501
"""NumPy keeps the interpreter's lock for products of fewer elements."""
_SHORT = 1e-3
"""Seconds of products that BLAS' threads halve as soon as helpers do."""
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
    Product(left, right, full, epilogue, rest).run()
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


@record(frozen=True, slots=True)
class Product:
    """`out = clip(a @ b * scale + bias + residual)`, to be cut into parts.

    `a` [..., m, k], `b` [..., k, n], `out` and `residual` [..., m, n], or None.
    """

    a: Array
    b: Array
    out: Array
    epilogue: Epilogue
    residual: Array | None = None

    @property
    def flops(self) -> float:
        """Multiplications and additions."""
        return float(2.0 * self.out.size * self.a.shape[-1])

    @property
    def seconds(self) -> float:
        """About what it takes on one thread."""
        read = self.a.nbytes + self.b.nbytes
        rate = BYTES_MULTIPLIED / self.a.dtype.itemsize
        return self.flops / rate + read / _BYTES_A_SECOND

    def run(self) -> None:
        """Compute it, shared out where that pays."""
        whole = self._flat()
        cuts = whole._cuts()
        short = not threads.shares(whole.seconds, _CALLS * len(cuts))
        if short and whole.out.ndim == 2:
            cuts = [slice(None)]

        def task(index: int, _slot: int) -> None:
            whole._part(cuts[index])._block()

        threads.parallel(task, len(cuts), 1 if short else len(cuts))

    def bind(self) -> Callable[[], object]:
        """Return what does the same as `run`, all views made when it first runs."""
        whole = self._flat()
        cuts, seconds = whole._cuts(), whole.seconds
        if not threads.joins(seconds, _CALLS * len(cuts)):
            threads.announce(seconds, _CALLS * len(cuts), blas=True)
            return whole._stage()

        def make(index: int, _slot: int) -> Callable[[], object]:
            return whole._part(cuts[index])._stage()

        alone = whole._stage() if whole.out.ndim == 2 and seconds < _SHORT else None
        return threads.Prepared(
            make, len(cuts), seconds=seconds, calls=_CALLS, whole=alone
        )

    def _flat(self) -> "Product":
        """The same as one matrix product, where memory has it so."""
        a, b, out = self.a, self.b, self.out
        *batch, m, n = out.shape
        rows, rest = math.prod(batch) * m, self.residual
        rowwise = b.ndim == 2 and a.flags.c_contiguous and out.flags.c_contiguous
        if not batch or not (rowwise or math.prod(batch) == 1):
            return self
        left, right = a.reshape(rows, a.shape[-1]), b.reshape(b.shape[-2:])
        rest = None if rest is None else rest.reshape(rows, n)
        return Product(left, right, out.reshape(rows, n), self.epilogue, rest)

    def _cuts(self) -> list[slice]:
        """Ranges of rows or columns, whichever are more; of a batch's longest axis."""
        if self.out.ndim > 2:
            size = self.out.shape[self._axis]
            each = self.flops / max(1, size)
            most = max(1, min(-(-size // 2), int(_TASK_FLOPS / 4 / max(1.0, each))))
        else:
            size = max(self.out.shape)
            few = 4 if min(self.out.shape) == 1 else 2  # memory decides who is late
            parts = min(64, max(few, self.flops / _TASK_FLOPS), max(few, size // _ROWS))
            parts = min(parts, size // 32, self.out.size // _HELD)
            most = max(1, -(-size // max(1, int(parts))))
        cuts = threads.ranges(size, most)
        if len(cuts) == 2 and self.out.ndim == 2:
            cuts = self._uneven(size)
        return [slice(*cut) for cut in cuts]

    def _uneven(self, size: int) -> list[tuple[int, int]]:
        """Two parts, the first larger by what a helper takes to come."""
        share = min(0.75, 0.5 + _LATE / 2 / max(self.seconds, _LATE))
        first = min(size - 1, -(-int(size * share) // _EVEN) * _EVEN)
        return [(0, first), (first, size)]

    @property
    def _axis(self) -> int:
        batch = self.out.shape[:-2]
        return max(range(len(batch)), key=lambda i: batch[i])

    def _part(self, cut: slice) -> "Product":
        out = self.out
        if out.ndim > 2:
            return self._of_batch((slice(None),) * self._axis + (cut,))
        if out.shape[0] >= out.shape[1]:
            rest = None if self.residual is None else self.residual[cut]
            return Product(self.a[cut], self.b, out[cut], self.epilogue, rest)
        rest = None if self.residual is None else self.residual[:, cut]
        finish = _columns(self.epilogue, cut)
        return Product(self.a, self.b[:, cut], out[:, cut], finish, rest)

    def _of_batch(self, cut: tuple[slice, ...]) -> "Product":
        batch = self.out.shape[:-2]
        left = np.broadcast_to(self.a, (*batch, *self.a.shape[-2:]))
        right = np.broadcast_to(self.b, (*batch, *self.b.shape[-2:]))
        rest = None if self.residual is None else self.residual[cut]
        return Product(left[cut], right[cut], self.out[cut], self.epilogue, rest)

    def _stage(self) -> Callable[[], object]:
        if self.out.dtype != self.a.dtype:
            return self._block
        multiply = partial(np.matmul, self.a, self.b, self.out)
        if self.epilogue.empty and self.residual is None:
            return multiply
        finish = self.epilogue.bind(self.out, self.out, self.residual)
        return threads.in_turn([multiply, finish])

    def _block(self) -> None:
        out, finish = self.out, self.epilogue
        same = out.dtype == self.a.dtype
        acc = np.matmul(self.a, self.b, out=out if same else None)
        whole = out.dtype.kind in "iu" and not same
        if whole and finish.empty and self.residual is None:
            cast_integers(acc, out)
        else:
            finish.apply(acc, out, self.residual)


def _columns(epilogue: Epilogue, part: slice) -> Epilogue:
    """Cut numbers that belong to columns; one number for all stays."""
    scale, bias = epilogue.scale, epilogue.bias
    return Epilogue(
        scale if scale is None or scale.size == 1 else scale[..., part],
        bias if bias is None or bias.size == 1 else bias[..., part],
        epilogue.clip,
    )


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
