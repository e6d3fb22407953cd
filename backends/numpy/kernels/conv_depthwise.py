"""Depthwise convolution: multiply-add of shifted rows, channels last.

`np.einsum` without `optimize` fuses multiply and add in one vector loop, which takes
all taps of a box of outputs in one call. Nothing is padded: outputs fall into boxes
that read the same taps. Where windows move by one, width and channels are one long
axis, for which the weights are repeated along the width.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from graphwright.backends.numpy.kernels import scratch, threads
from graphwright.backends.numpy.kernels.conv_spec import Spec, Stage
from graphwright.backends.numpy.kernels.epilogue import Epilogue
from graphwright.backends.numpy.kernels.geometry import Axis, TapSpan, tap_spans

Array = NDArray[Any]

_TASK_PRODUCTS = 600_000
_WIDEST = 1 << 15


class DepthwiseConv:
    """One input channel a group; several filters a group repeat the channel."""

    def __init__(self, spec: Spec, w: Array) -> None:
        """Pack `w` [M, 1, *kernel], which has the accumulator's dtype."""
        self.repeats = spec.filters // spec.groups
        self.flat_rank = len(spec.axes) == 1
        axes = (Axis(1, 1), *spec.axes) if self.flat_rank else spec.axes
        self.spec = spec = dataclasses.replace(spec, channels=spec.filters, axes=axes)
        across = axes[-1]
        self.merged = across.stride == 1 and across.out * spec.filters <= _WIDEST
        kernel = tuple(axis.kernel for axis in axes)
        last = np.moveaxis(w.reshape(spec.filters, *kernel), 0, -1)
        wide = across.out if self.merged else 1
        self.weights = np.ascontiguousarray(np.tile(last, wide))
        self.epilogue = _widen(spec.epilogue, across.out)
        self.spans = [tap_spans(axis) for axis in axes]
        products = spec.positions * spec.filters * spec.taps
        parts = 2 * round(products / _TASK_PRODUCTS / 2) or 1 + (products > 1 << 17)
        self.cuts = threads.ranges(axes[0].out, -(-axes[0].out // parts))

    @staticmethod
    def accepts(spec: Spec, w: Array) -> bool:
        """Whether skipping the padding gives the same, and nothing is dilated."""
        plain = all(axis.spread == 1 for axis in spec.axes)
        return plain and spec.depth == 1 and bool(np.isfinite(w).all())

    @property
    def _copies(self) -> bool:
        """Whether the input is copied first: cast, repeated or transposed."""
        spec = self.spec
        return self.repeats > 1 or spec.dtype != spec.acc or not spec.last

    @property
    def _gathers(self) -> bool:
        """Whether sums are collected apart from the output."""
        return self.spec.out_dtype != self.spec.acc or not self.spec.last

    def _shape(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        return (self.spec.batch, *spatial, self.spec.filters)

    @property
    def _shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the copied input and of the sums, as far as there are any."""
        spec = self.spec
        sizes = tuple(axis.size for axis in spec.axes)
        found = [self._shape(sizes)] if self._copies else []
        return found + ([self._shape(spec.out)] if self._gathers else [])

    @property
    def scratch_bytes(self) -> int:
        """Bytes of scratch: the copied input and the sums, if any."""
        return sum(scratch.nbytes(shape, self.spec.acc) for shape in self._shapes)

    def bind(
        self, x: Array, out: Array, residual: Array | None, arena: scratch.Arena
    ) -> Stage:
        """Return what computes all of `out`; see `Algorithm`."""
        if self.flat_rank:
            x, out = x[:, None], out[:, None]
            residual = None if residual is None else residual[:, None]
        memory = [arena.array(shape, self.spec.acc) for shape in self._shapes]
        stages: list[Stage] = []
        if self._copies or not _contiguous(x):
            x, copy = self._copied(x, memory[0] if self._copies else None)
            stages.append(copy)
        sums = memory[-1] if self._gathers else out
        if not _contiguous(sums):
            sums = np.empty(out.shape, self.spec.acc)
        count = len(self.cuts)

        def make(index: int, _slot: int) -> Stage:
            n, number = divmod(index, count)
            rows = slice(*self.cuts[number])
            rest = None if residual is None else residual[n, rows]
            total = self._sum(x[n], sums[n], self.cuts[number])
            if sums is not out:
                return threads.in_turn(
                    [total, self._finish(sums[n, rows], out[n, rows], rest)]
                )
            return threads.in_turn([total, self._finish(sums[n, rows], None, rest)])

        stages.append(threads.Prepared(make, count * self.spec.batch))
        return threads.in_turn(stages)

    def _copied(self, x: Array, room: Array | None) -> tuple[Array, Stage]:
        """Contiguous input with a channel for each filter, and what fills it."""
        if room is None:
            room = np.empty((*x.shape[:-1], self.spec.filters), self.spec.acc)
        target = room.reshape(*x.shape, self.repeats)
        source = x[..., None]
        return room, lambda: np.copyto(target, source, casting="unsafe")

    def _finish(self, sums: Array, out: Array | None, residual: Array | None) -> Stage:
        """Return what applies the epilogue to rows [*rows, W, M]; None: in place."""
        long = (*sums.shape[:-2], -1)
        acc = sums.reshape(long)
        rest = None if residual is None else residual.reshape(long)
        if out is None:
            return self.epilogue.bind(acc, acc, rest)
        target = out

        def finish() -> None:
            room = np.empty(acc.shape, target.dtype)
            self.epilogue.apply(acc, room, rest)
            np.copyto(target, room.reshape(target.shape))

        return finish

    def _sum(self, x: Array, sums: Array, rows: tuple[int, int]) -> Stage:
        """Return what sums all taps of some rows of `sums` [*rows, W, M]."""
        lead = [[s.clipped(*rows) for s in self.spans[0]], *self.spans[1:]]
        boxes = itertools.product(*lead)
        return threads.in_turn(
            [self._box(x, sums, box) for box in boxes if all(s.size for s in box)]
        )

    def _box(self, x: Array, sums: Array, box: tuple[TapSpan, ...]) -> Stage:
        """Return what sums the taps of a box, all of which are in the input."""
        place: Any = tuple(slice(s.low, s.high) for s in box)
        target = sums[place]
        if any(s.taps == 0 for s in box):
            return lambda: target.fill(0)
        axes, filters = self.spec.axes, self.spec.filters
        pairs = list(zip(box, axes, strict=True))
        corner = tuple(
            s.low * a.stride + s.first * a.dilation - a.before for s, a in pairs
        )
        chosen: Any = tuple(slice(s.first, s.last) for s in box)
        weights = self.weights[chosen]
        rank, strides = len(box), x.strides
        steps = [x.strides[i] * a.stride for i, a in enumerate(axes)]
        taps = [x.strides[i] * a.dilation for i, a in enumerate(axes)]
        sizes = [s.size for s in box]
        if self.merged:
            length = sizes[-1] * filters
            weights, target = weights[..., :length], _merge(target)
            sizes, steps = sizes[:-1], steps[:-1]
        else:
            length = filters
        start: Any = tuple(slice(c, None) for c in corner)
        shape = (*sizes, *(s.taps for s in box), length)
        view = as_strided(
            x[start], shape, (*steps, *taps, strides[-1]), writeable=False
        )
        free = list(range(len(sizes)))
        summed = list(range(len(sizes), len(sizes) + rank))
        inner = len(sizes) + rank
        labels = ([*free, *summed, inner], [*summed, inner], [*free, inner])
        return _products(view, weights, target, labels)


def _products(
    view: Array,
    weights: Array,
    target: Array,
    labels: tuple[list[int], list[int], list[int]],
) -> Callable[[], object]:
    left, right, kept = labels

    def run() -> None:
        np.einsum(view, left, weights, right, kept, out=target)

    return run


def _contiguous(x: Array) -> bool:
    """Whether the last two axes lie in C order."""
    deep = x.shape[-1] * x.itemsize
    return x.strides[-1] == x.itemsize and x.strides[-2] == deep


def _merge(box: Array) -> Array:
    """View [*rows, W, M], the last two in C order, as [*rows, W * M]."""
    shape = (*box.shape[:-2], math.prod(box.shape[-2:]))
    return as_strided(box, shape, (*box.strides[:-2], box.itemsize))


def _widen(given: Epilogue, wide: int) -> Epilogue:
    scale = None if given.scale is None else np.tile(given.scale, wide)
    bias = None if given.bias is None else np.tile(given.bias, wide)
    return Epilogue(scale, bias, given.clip)
