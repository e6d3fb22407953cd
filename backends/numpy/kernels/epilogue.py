"""What follows a convolution or matrix product while its block is hot in cache."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphwright.ir.record import record

Array = NDArray[Any]

_LONG = 2048

CLIP: Callable[..., Any] = getattr(getattr(np, "_core", np), "umath", np).clip
"""The universal function: `np.clip` takes 3 us more, `np.maximum` of an array and a
scalar three times as long."""


@record(frozen=True, slots=True)
class Clip:
    """Clamp to `[low, high]`; NaN stays. `Clip(0)` is ReLU."""

    low: float
    high: float = float("inf")


RELU = Clip(0.0)


@record(frozen=True, slots=True)
class Epilogue:
    """`out = clip(acc * scale + bias + residual)`, rounded once to out's dtype.

    `scale` and `bias` hold one number per output channel. Integers are cast first and
    then wrap around as numpy's do.
    """

    scale: Array | None = None
    bias: Array | None = None
    clip: Clip | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing follows."""
        return self.scale is None and self.bias is None and self.clip is None

    def part(self, channels: slice) -> "Epilogue":
        """Return the epilogue of some of the channels."""
        scale = None if self.scale is None else self.scale[..., channels]
        bias = None if self.bias is None else self.bias[..., channels]
        return Epilogue(scale, bias, self.clip)

    def bind(
        self, acc: Array, out: Array, residual: Array | None = None
    ) -> Callable[[], object]:
        """Return what does the same as `apply`, as few calls as can be."""
        if acc is not out and acc.dtype == out.dtype and self._only_clips(residual):
            if self.clip is None:
                return partial(np.copyto, out, acc)
            return partial(CLIP, acc, *_bounds(acc.dtype, self.clip), out)
        if acc is not out or acc.dtype.kind != "f":
            return partial(self.apply, acc, out, residual)
        steps: list[Callable[[], object]] = []
        for function, row in ((np.multiply, self.scale), (np.add, self.bias)):
            for part, long in () if row is None else _long(acc, row):
                steps.append(partial(function, part, long, part))
        if residual is not None:
            steps.append(partial(np.add, acc, residual, acc, casting="unsafe"))
        if self.clip is not None:
            steps.append(partial(CLIP, acc, *_bounds(acc.dtype, self.clip), acc))

        def run() -> None:
            for step in steps:
                step()

        return run

    def _only_clips(self, residual: Array | None) -> bool:
        return self.scale is None and self.bias is None and residual is None

    def apply(self, acc: Array, out: Array, residual: Array | None = None) -> None:
        """Finish `acc` [..., M] into `out` [..., M]; they may be the same array."""
        if acc is not out and out.dtype.kind in "iu":
            cast_integers(acc, out)
            acc = out
        elif acc.dtype.kind in "iu" and out.dtype.kind not in "iu":
            acc = acc.astype(np.float64)
        if self.scale is not None:
            np.multiply(acc, self.scale, out=acc)
        if self.bias is not None:
            np.add(acc, self.bias, out=acc)
        if residual is not None:
            np.add(acc, residual, out=acc, casting="unsafe")
        if self.clip is not None:
            _clamp(acc, self.clip)
        if acc is not out:
            np.copyto(out, acc, casting="unsafe")


def _long(acc: Array, row: Array) -> list[tuple[Array, Array]]:
    """Views of `acc` [..., M] and `row` with the row repeated: loops are longer.

    `row` is [M], or [G, 1, M] for `acc` [G, P, M].
    """
    size, each = acc.shape[-1], _LONG // max(1, acc.shape[-1])
    count = row.size // max(1, size)
    fits = row.size == size or row.shape == (*acc.shape[:1], 1, *acc.shape[2:])
    if each < 2 or not fits or not acc.flags.c_contiguous:
        return [(acc, row)]
    flat, row = acc.reshape(count, -1, size), row.reshape(count, 1, size)
    even = flat.shape[1] // each * each
    found = [(flat[:, :even].reshape(count, -1, each * size), np.tile(row, each))]
    found.append((flat[:, even:], row))
    return [pair for pair in found if pair[0].size]


def cast_integers(acc: Array, out: Array) -> None:
    """Convert exact integers in a float or integer array, modulo out's range."""
    fits = acc.dtype.itemsize == 4 and out.dtype.kind == "i"
    if acc.dtype.kind == "f" and not fits:
        acc = acc.astype(np.int64)
    np.copyto(out, acc, casting="unsafe")


def _clamp(acc: Array, clip: Clip) -> None:
    CLIP(acc, *_bounds(acc.dtype, clip), out=acc)


def _bounds(dtype: "np.dtype[Any]", clip: Clip) -> tuple[Any, Any]:
    if dtype.kind not in "iu":
        return dtype.type(clip.low), dtype.type(clip.high)
    info = np.iinfo(dtype)
    low, high = max(clip.low, info.min), min(clip.high, info.max)
    return dtype.type(int(low)), dtype.type(int(high))
