"""Resampling to other sizes, one axis after the other.

Along an axis each result is a weighted sum of few elements, the same for all lines:
``resample_table`` says which and how much.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from graphwright.ir.dim import Dim, ceildiv, evaluate, maximum
from graphwright.ir.dtype import bool_, dtype, float64, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.op import Op, Tier, Trait
from graphwright.ir.rules import check_axes, need, need_kind, ranked
from graphwright.ir.types import TensorType, require

MODES = ("nearest", "linear", "cubic")
COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_crop_and_resize",
    "tf_half_pixel_for_nn",
)
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil", "simple")


def exact_scale(scale: float) -> Fraction:
    """The simplest fraction that is ``scale`` in float32: 0.6 is three fifths."""
    for limit in (16, 256, 4096):
        simple = Fraction(scale).limit_denominator(limit)
        if np.float32(simple) == np.float32(scale):
            return simple
    return Fraction(scale)


class Resampling(Op):
    """The fields that say how positions and weights are found.

    Attributes:
        mode: ``nearest``, ``linear`` or ``cubic``.
        coordinates: How a position in the result becomes one in the source.
        nearest: How a position is rounded; ``simple`` is ``floor``, or ``ceil`` where
            the result is smaller.
        cubic: ``a`` of the cubic kernel (Keys, 1981).
        antialias: Stretch the kernel where the result is smaller.
        exclude_outside: Give elements outside no weight, not that of the border.
    """

    mode: str
    coordinates: str
    nearest: str
    cubic: float
    antialias: bool
    exclude_outside: bool

    def check(self) -> None:
        """Raises ShapeError where a field has no meaning."""
        need(self.mode in MODES, f"{self.name} has no mode {self.mode!r}")
        known = self.coordinates in COORDINATES
        need(known, f"{self.name} has no coordinates {self.coordinates!r}")
        need(self.nearest in NEAREST, f"{self.name} has no nearest {self.nearest!r}")


class ResampleTable(Resampling):
    """Which elements of a line make each element of a resampled line.

    Results: indices int64 ``[target, k]``, weights float64 ``[target, k]`` and, as
    bool ``[target]``, whether the position lies in the source.

    Attributes:
        source: Size before.
        target: Size after.
        scale: Their ratio where it is not ``target / source``, else 0.
        roi: For ``tf_crop_and_resize`` the part of the source, of 0 to 1, else empty.
    """

    name = "resample_table"
    tier = Tier.HOST
    source: Dim
    target: Dim
    scale: float
    roi: tuple[float, ...]

    def result_type(self) -> tuple[TensorType, TensorType, TensorType]:
        self.check()
        shape = (self.target, self.taps())
        found = TensorType(int64, shape), TensorType(float64, shape)
        return (*found, TensorType(bool_, (self.target,)))

    def _stretches(self) -> bool:
        return self.antialias and self.mode != "nearest"

    def taps(self) -> Dim:
        """How many elements make one."""
        reach = {"nearest": 0, "linear": 1, "cubic": 2}[self.mode]
        if not self._stretches():
            return max(2 * reach, 1)
        if self.scale:
            shrink: Dim = max(-(-1 // exact_scale(self.scale)), 1)
        else:
            shrink = maximum(ceildiv(self.source, maximum(self.target, 1)), 1)
        return shrink * 2 * reach + 1

    def compute(self, xp: Any) -> Any:
        source, target = evaluate(self.source, {}), evaluate(self.target, {})
        if self.scale:
            scale = exact_scale(self.scale)
        else:
            scale = Fraction(target, max(source, 1))
        at = self._positions(source, target, scale)
        inside = np.ones(at.shape, np.bool_)
        if self.coordinates == "tf_crop_and_resize":
            inside = (at >= 0) & (at <= source - 1)
        index, weight = self._weights(at, source, scale)
        return xp.asarray(index), xp.asarray(weight), xp.asarray(inside)

    def _positions(self, source: int, target: int, scale: Fraction) -> Any:
        """Where in the source each element of the result lies."""
        step = np.arange(target, dtype=np.float64)
        width = float(scale * source)
        up, down = float(scale.numerator), float(scale.denominator)
        if self.coordinates == "asymmetric":
            return step * down / up
        if self.coordinates == "tf_half_pixel_for_nn":
            return (step + 0.5) * down / up
        if self.coordinates == "align_corners":
            return step * (source - 1) / (width - 1) if width != 1 else step * 0
        if self.coordinates == "tf_crop_and_resize":
            low, high = self.roi
            span = (high - low) * (source - 1)
            first = low * (source - 1)
            if width == 1:
                return step * 0 + first + span / 2
            return first + step * span / (width - 1)
        centre = (step + 0.5) * down / up - 0.5
        if self.coordinates == "half_pixel_symmetric":
            return centre + source / 2 * (1 - target / width)
        if self.coordinates == "pytorch_half_pixel" and target <= 1:
            return step * 0
        return centre

    def _weights(self, at: Any, source: int, scale: Fraction) -> tuple[Any, Any]:
        last = max(source - 1, 0)
        if self.mode == "nearest":
            index = np.clip(self._rounded(at, scale), 0, last).astype(np.int64)
            return index[:, None], np.ones((len(at), 1))
        taps = evaluate(self.taps(), {})
        index = np.floor(at)[:, None] + np.arange(taps) - (taps - 1) // 2
        stretch = min(float(scale), 1.0) if self._stretches() else 1.0
        weight = self._kernel(np.abs(index - at[:, None]) * stretch)
        if self.exclude_outside:
            weight = np.where((index < 0) | (index > last), 0.0, weight)
        if self.exclude_outside or self._stretches():
            weight /= weight.sum(axis=1, keepdims=True)
        return np.clip(index, 0, last).astype(np.int64), weight

    def _rounded(self, at: Any, scale: Fraction) -> Any:
        kind = self.nearest
        if kind == "simple":
            kind = "ceil" if scale < 1 else "floor"
        if kind == "round_prefer_floor":
            return np.ceil(at - 0.5)
        return (
            np.floor(at + 0.5) if kind == "round_prefer_ceil" else getattr(np, kind)(at)
        )

    def _kernel(self, x: Any) -> Any:
        """Weight of an element at a distance."""
        if self.mode == "linear":
            return np.maximum(1 - x, 0)
        a = self.cubic
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


class Resize(Resampling):
    """``x`` resampled along ``axes`` to ``sizes``.

    Attributes:
        axes: Which axes.
        sizes: Their sizes after.
        scales: Ratio of the sizes, or 0 where it is that of ``sizes``.
        roi: For ``tf_crop_and_resize`` one (start, end) for each axis, else empty.
        outside: What ``tf_crop_and_resize`` gives for positions outside.
    """

    name = "resize"
    tier = Tier.COMPOSITE
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.REDUCTION})
    axes: tuple[int, ...]
    sizes: tuple[Dim, ...]
    scales: tuple[float, ...]
    roi: tuple[tuple[float, float], ...] = ()
    outside: float = 0.0

    def result_type(self, x: TensorType) -> TensorType:
        self.check()
        ranked("resize", x)
        check_axes("resize", self.axes, x.rank)
        need_kind("resize", x, "iufb" if self.mode == "nearest" else "iuf")
        fits = len(self.axes) == len(self.sizes) == len(self.scales)
        need(
            fits and len(self.roi) in (0, len(self.axes)),
            "resize: fields differ in length",
        )
        shape = list(x.dims)
        for axis, size in zip(self.axes, self.sizes, strict=True):
            need(
                shape[axis] != 0 or size == 0,
                f"resize of an empty axis of {x} to {size}",
            )
            if isinstance(size, int) and size > 0:
                require(1, "<=", shape[axis])
            shape[axis] = size
        return TensorType(x.dtype, tuple(shape))

    def table(self, i: int, source: Dim) -> ResampleTable:
        """The table of axis number ``i`` of ``axes``."""
        shared = {n: getattr(self, n) for n in Resampling.field_names}
        roi = self.roi[i] if self.roi else ()
        return ResampleTable(
            source=source, target=self.sizes[i], scale=self.scales[i], roi=roi, **shared
        )

    def _in_turn(self, shape: Sequence[Dim]) -> list[int]:
        """Numbers of ``axes``: what shrinks first, of equals the last axis first.

        Elements of the last axis are gathered one by one, those of others line by line.
        """

        def growth(i: int) -> float:
            size, before = self.sizes[i], shape[self.axes[i]]
            if isinstance(size, int) and isinstance(before, int):
                return size / max(before, 1)
            return self.scales[i] or 1.0

        return sorted(range(len(self.axes)), key=lambda i: (growth(i), -self.axes[i]))

    def compute(self, xp: Any, x: Any) -> Any:
        own = dtype(x.dtype)
        wide = np.dtype(np.float32) if own.is_int else own.accumulate.numpy
        y = x if self.mode == "nearest" else x.astype(wide, copy=False)
        holes: list[Any] = []
        for i in self._in_turn(x.shape):
            axis = self.axes[i]
            index, weight, inside = self.table(i, x.shape[axis]).compute(xp)
            y = _resampled(
                xp, y, axis, index, None if self.mode == "nearest" else weight
            )
            if not bool(inside.all()):
                holes.append((axis, ~inside))
        y = _rounded(xp, y, x.dtype, own.is_int)
        for axis, hole in holes:
            y[(slice(None),) * axis + (hole,)] = self.outside
        return y

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        (x,) = operands
        wide = dtype("float32") if x.dtype.is_int else x.dtype.accumulate
        y = x if self.mode == "nearest" else b.cast(x, wide)
        inside: list[tuple[int, Value]] = []
        for i in self._in_turn(x.shape):
            axis = self.axes[i]
            table = self.table(i, x.shape[axis])
            index, weight, valid = b.emit_all(table.name, **table.fields)
            y = self._emit_axis(b, y, axis, index, weight)
            inside.append((axis, valid))
        y = _emit_rounded(b, y, x)
        if self.coordinates != "tf_crop_and_resize":
            return y
        for axis, valid in inside:
            line = b.reshape(valid, _column(y, axis))
            y = b.where(line, y, b.scalar(self.outside, y.dtype))
        return y

    def _emit_axis(
        self, b: Emitter, y: Value, axis: int, index: Value, weight: Value
    ) -> Value:
        if self.mode == "nearest":
            return b.gather(y, b.squeeze(index, [1]), axis)
        taken = b.gather(y, index, axis)
        column = (*index.shape, *(1,) * (y.rank - axis - 1))
        shares = b.reshape(b.cast(weight, y.dtype), column)
        return b.sum(b.mul(taken, shares), [axis + 1])


def _column(y: Value, axis: int) -> list[Dim]:
    """A shape that broadcasts along all axes of ``y`` but one."""
    return [d if i == axis else 1 for i, d in enumerate(y.shape)]


def _resampled(xp: Any, x: Any, axis: int, index: Any, weight: Any) -> Any:
    if weight is None:
        return xp.take(x, index[:, 0], axis=axis)
    total: Any = None
    column = (-1, *(1,) * (x.ndim - axis - 1))
    for k in range(index.shape[1]):
        share = weight[:, k].astype(x.dtype).reshape(column)
        part = xp.take(x, index[:, k], axis=axis) * share
        total = part if total is None else total + part
    return total


def _rounded(xp: Any, y: Any, to: Any, is_int: bool) -> Any:
    """Integers truncate, and stay in range."""
    if y.dtype == to:
        return y
    if is_int:
        info = np.iinfo(to)
        y = xp.clip(xp.trunc(y), info.min, info.max)
    return y.astype(to)


def _emit_rounded(b: Emitter, y: Value, x: Value) -> Value:
    return b.cast(y, x.dtype, saturate=x.dtype.is_int)
