"""What every convolution algorithm is told, and the canonical views it works on."""

import math
from collections.abc import Callable
from dataclasses import field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.numpy.kernels import scratch
from graphwright.backends.numpy.kernels.epilogue import Epilogue
from graphwright.backends.numpy.kernels.geometry import Axis, fill_padded, padded_shape
from graphwright.backends.numpy.kernels.precision import DType
from graphwright.backends.numpy.kernels.threads import Prepared, in_turn, ranges
from graphwright.ir.record import record

Array = NDArray[Any]
Stage = Callable[[], object]


@record(frozen=True, slots=True)
class Spec:
    """A convolution's sizes and dtypes.

    `last` says channels-last (NHWC) in and out. The result's channels lie as `shuffle`
    groups that take turns: channel j of group g at `j * shuffle + g`.
    """

    batch: int
    channels: int
    filters: int
    groups: int
    axes: tuple[Axis, ...]
    last: bool
    dtype: DType
    acc: DType
    out_dtype: DType
    epilogue: Epilogue = field(default_factory=Epilogue)
    shuffle: int = 1

    @property
    def out(self) -> tuple[int, ...]:
        """Spatial shape of the output."""
        return tuple(axis.out for axis in self.axes)

    @property
    def positions(self) -> int:
        """Output positions in one image."""
        return math.prod(self.out)

    @property
    def taps(self) -> int:
        """Weights of one filter in one channel."""
        return math.prod(axis.kernel for axis in self.axes)

    @property
    def depth(self) -> int:
        """Input channels of one group."""
        return self.channels // self.groups

    def shape(self, spatial: tuple[int, ...], channels: int) -> tuple[int, ...]:
        """Return an array's shape in the caller's layout."""
        if self.last:
            return (self.batch, *spatial, channels)
        return (self.batch, channels, *spatial)

    def canonical(self, array: Array) -> Array:
        """View the caller's array as [N, *spatial, channels]."""
        return array if self.last else np.moveaxis(array, 1, -1)


class Algorithm(Protocol):
    """One way to run a convolution, its weights packed.

    `x`, `out` and `residual` are canonical views [N, *spatial, channels].
    """

    @property
    def scratch_bytes(self) -> int:
        """Bytes of scratch which a call needs."""
        ...

    def bind(
        self, x: Array, out: Array, residual: Array | None, arena: scratch.Arena
    ) -> Stage:
        """Return what computes all of `out`, as often as it is called."""
        ...


_SECONDS_A_BYTE = 1.5e-10


def _nothing() -> None:
    pass


def flat(view: Array) -> Array:
    """Merge the spatial axes of a canonical view: [N, positions, channels]."""
    batch, *spatial, channels = view.shape
    return view.reshape(batch, math.prod(spatial), channels)


@record(frozen=True, slots=True)
class Padded:
    """The padded input: all images, spatial axes in phases (see `geometry`).

    `planar` puts channels before the spatial axes in memory, else they come last.
    """

    spec: Spec
    axes: tuple[Axis, ...]
    planar: bool
    extra: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in memory."""
        spatial = padded_shape(self.axes, self.extra)
        batch, channels = self.spec.batch, self.spec.channels
        if self.planar:
            return (batch, channels, *spatial)
        return (batch, *spatial, channels)

    @property
    def dtype(self) -> DType:
        """Dtype in memory: the one that is multiplied."""
        return self.spec.acc

    @property
    def in_place(self) -> bool:
        """Whether the input itself serves, so that no buffer is needed."""
        same = self.spec.dtype == self.spec.acc and self.planar != self.spec.last
        return same and self.extra == 0 and all(axis.plain for axis in self.axes)

    @property
    def scratch_bytes(self) -> int:
        """Bytes which `fill` takes from its arena."""
        return 0 if self.in_place else scratch.nbytes(self.shape, self.dtype)

    def bind(self, x: Array, arena: scratch.Arena) -> tuple[Array, Stage]:
        """Return canonical [N, *leading, phase, width, C], and what fills it from x."""
        if self.in_place:
            return np.expand_dims(x, -3), _nothing
        memory = arena.array(self.shape, self.dtype)
        padded = np.moveaxis(memory, 1, -1) if self.planar else memory
        parts = self._parts()
        count = len(parts)

        def make(index: int, _slot: int) -> Stage:
            n, number = divmod(index, count)
            return self._fill(padded[n], x[n], *parts[number])

        seconds = scratch.nbytes(self.shape, self.dtype) * _SECONDS_A_BYTE
        return padded, Prepared(make, count * self.spec.batch, seconds=seconds, calls=4)

    def _fill(self, padded: Array, x: Array, low: int, high: int) -> Stage:
        axes = self.axes
        if self.planar:
            padded, x = padded[..., low:high], x[..., low:high]
        elif len(axes) > 1:
            padded, axes = padded[low:high], (axes[0].rows(low, high), *axes[1:])
        return in_turn(fill_padded(padded, x, axes))

    def _parts(self) -> list[tuple[int, int]]:
        """Cut channels, or rows if these vary slowest, into about 64K elements."""
        spatial = padded_shape(self.axes, self.extra)
        whole = self.spec.channels * math.prod(spatial)
        cut = self.spec.channels if self.planar else spatial[0]
        if len(self.axes) == 1 and not self.planar:
            return [(0, spatial[0])]
        return ranges(cut, max(1, (cut << 16) // max(1, whole)))
