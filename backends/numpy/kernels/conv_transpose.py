"""Transposed convolution: one GEMM to all taps, then shifted sums (col2im)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from graphwright.backends.numpy.kernels import precision, threads
from graphwright.backends.numpy.kernels.epilogue import Clip, Epilogue
from graphwright.ir.record import record

Array = NDArray[Any]


@record(frozen=True, slots=True)
class Spread:
    """One spatial axis: input position i and tap t meet at `i * stride + t * dilation`.

    The result starts at `begin` of that and is `out` long.
    """

    size: int
    kernel: int
    stride: int
    dilation: int
    begin: int
    out: int

    def meeting(self, tap: int) -> tuple[slice, slice]:
        """Input positions whose product with this tap is kept, and where it goes."""
        shift = tap * self.dilation - self.begin
        first = max(0, -(shift // self.stride))
        stop = max(first, min(self.size, (self.out - 1 - shift) // self.stride + 1))
        start = first * self.stride + shift
        end = start + (stop - first - 1) * self.stride + 1
        return slice(first, stop), slice(start, max(start, end), self.stride)


def conv_transpose(
    x: Array,
    w: Array,
    *,
    strides: Sequence[int] | None = None,
    pads: Sequence[tuple[int, int]] | None = None,
    dilations: Sequence[int] | None = None,
    output_padding: Sequence[int] | None = None,
    groups: int = 1,
    bias: Array | None = None,
    clip: Clip | None = None,
    residual: Array | None = None,
    out: Array | None = None,
    out_dtype: DTypeLike | None = None,
) -> Array:
    """Transpose-convolve x [N, C, *spatial] by w [C, M/groups, *kernel].

    Each axis is `(size - 1) * stride + (kernel - 1) * dilation + 1 + output_padding`
    minus both pads long. Accumulates as `plan_conv` does.
    """
    axes = _axes(x, w, strides, pads, dilations, output_padding)
    filters = w.shape[1] * groups
    default = precision.result_dtype(x.dtype)
    shape = (x.shape[0], filters, *(axis.out for axis in axes))
    if out is None:
        out = np.empty(shape, default if out_dtype is None else out_dtype)
    acc = _accumulator(x.dtype, w)
    wide = out.dtype if x.dtype.kind in "iu" else acc
    column = None if bias is None else bias.astype(wide)
    tail = _Tail(axes, groups, acc, Epilogue(None, column, clip))
    packed = w.reshape(groups, w.shape[0] // groups, -1).swapaxes(1, 2).astype(acc)

    def task(index: int, _slot: int) -> None:
        n, group = divmod(index, groups)
        m = slice(group * w.shape[1], (group + 1) * w.shape[1])
        rest = None if residual is None else residual[n, m]
        depth = packed.shape[2]
        part = x[n, group * depth : (group + 1) * depth]
        tail.run(part, packed[group], out[n, m], m, rest)

    threads.parallel(task, x.shape[0] * groups if out.size else 0)
    return out


def _axes(
    x: Array,
    w: Array,
    strides: Sequence[int] | None,
    pads: Sequence[tuple[int, int]] | None,
    dilations: Sequence[int] | None,
    output_padding: Sequence[int] | None,
) -> tuple[Spread, ...]:
    rank = x.ndim - 2
    ones, none = [1] * rank, [0] * rank
    found: list[Spread] = []
    for i in range(rank):
        size, kernel = x.shape[2 + i], w.shape[2 + i]
        stride, dilation = (strides or ones)[i], (dilations or ones)[i]
        before, after = pads[i] if pads else (0, 0)
        full = (size - 1) * stride + (kernel - 1) * dilation + 1
        out = max(0, full + (output_padding or none)[i] - before - after)
        found.append(Spread(size, kernel, stride, dilation, before, out))
    return tuple(found)


def _accumulator(dtype: precision.DType, w: Array) -> precision.DType:
    bound = 0
    if dtype.kind in "iu":
        bound = precision.type_bound(dtype) * precision.largest(w)
    return precision.accumulator(dtype, w.size, bound)


@record(frozen=True, slots=True)
class _Tail:
    """What is the same for all images and groups."""

    axes: tuple[Spread, ...]
    groups: int
    acc: precision.DType
    epilogue: Epilogue

    def run(
        self, x: Array, w: Array, out: Array, m: slice, residual: Array | None
    ) -> None:
        """Compute out [M, *out] from x [C, *spatial] and w [M * taps, C]."""
        kernel = tuple(axis.kernel for axis in self.axes)
        sizes = x.shape[1:]
        columns = np.matmul(w, x.reshape(len(x), -1).astype(self.acc, copy=False))
        columns = columns.reshape(len(out), *kernel, *sizes)
        total = np.zeros(out.shape, self.acc)
        for taps in np.ndindex(*kernel):
            self._add(columns[(slice(None), *taps)], taps, total)
        rest = None if residual is None else np.moveaxis(residual, 0, -1)
        views = np.moveaxis(total, 0, -1), np.moveaxis(out, 0, -1)
        self.epilogue.part(m).apply(*views, rest)

    def _add(self, products: Array, taps: tuple[int, ...], total: Array) -> None:
        """Add one tap's products where they belong."""
        pairs = [a.meeting(tap) for a, tap in zip(self.axes, taps, strict=True)]
        source = (slice(None), *(pair[0] for pair in pairs))
        target = total[(slice(None), *(pair[1] for pair in pairs))]
        np.add(target, products[source], out=target)
