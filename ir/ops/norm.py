"""Normalisations over the last axes.

Statistics are taken in ``dtype.accumulate``, and the result is rounded once.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from graphwright.ir.dim import Dim
from graphwright.ir.dtype import dtype
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.op import Op, Rows, Tier, Trait
from graphwright.ir.rules import check_axes, need, need_kind, ranked
from graphwright.ir.types import TensorType, agree_shapes


class Norm(Op):
    """A normalisation over the axes from ``axis`` on, then scaled and shifted.

    Operands: ``x``, then as many of ``scale`` and ``bias`` as are used, each of the
    shape of those axes and of any float dtype.
    """

    tier: ClassVar[Tier] = Tier.COMPOSITE
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.REDUCTION})
    axis: int
    epsilon: float

    def result_type(self, x: TensorType, *affine: TensorType) -> TensorType:
        ranked(self.name, x, *affine)
        need_kind(self.name, x, "f")
        check_axes(self.name, [self.axis], x.rank)
        for t in affine:
            fits = agree_shapes(t.dims, x.dims[self.axis :]) is not None
            need(fits, f"{self.name} of {x} from axis {self.axis} by {t}")
        return TensorType(x.dtype, x.shape)

    def compute(self, xp: Any, x: Any, *affine: Any) -> Any:
        wide = dtype(x.dtype).accumulate.numpy
        axes = tuple(range(self.axis, x.ndim))
        y = self.normalise(xp, x.astype(wide, copy=False), axes)
        if affine:
            y *= affine[0].astype(wide, copy=False)
        if len(affine) > 1:
            y += affine[1].astype(wide, copy=False)
        return y.astype(x.dtype, copy=False)

    def normalise(self, xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
        """A new array: ``x`` normalised."""
        raise NotImplementedError(self.name)

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        x = operands[0]
        wide = x.dtype.accumulate
        axes = range(self.axis, x.rank)
        y = self.emit(b, b.cast(x, wide), axes)
        if len(operands) > 1:
            y = b.mul(y, b.cast(operands[1], wide))
        if len(operands) > 2:
            y = b.add(y, b.cast(operands[2], wide))
        return b.cast(y, x.dtype)

    def emit(self, b: Emitter, x: Value, axes: range) -> Value:
        """``normalise`` in terms of simpler ops."""
        raise NotImplementedError(self.name)

    def flops(self, operands: Any, results: Any) -> Dim:
        size: Dim = operands[0].size
        return size * 8

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        if any(rows.mapped[1:]):
            return None
        return self.again(b, operands, axis=self.axis + 1)


class LayerNorm(Norm):
    """``(x - mean) / sqrt(variance + epsilon) * scale + bias``."""

    name = "layer_norm"

    def normalise(self, xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
        y = x - xp.mean(x, axis=axes, keepdims=True)
        variance = xp.mean(xp.square(y), axis=axes, keepdims=True)
        y /= xp.sqrt(variance + x.dtype.type(self.epsilon))
        return y

    def emit(self, b: Emitter, x: Value, axes: range) -> Value:
        centred = b.sub(x, b.mean(x, axes, keepdims=True))
        variance = b.mean(b.mul(centred, centred), axes, keepdims=True)
        return b.div(centred, b.sqrt(b.add(variance, self.epsilon)))


class RmsNorm(Norm):
    """``x / sqrt(mean(x^2) + epsilon) * scale``."""

    name = "rms_norm"

    def normalise(self, xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
        power = xp.mean(xp.square(x), axis=axes, keepdims=True)
        return x / xp.sqrt(power + x.dtype.type(self.epsilon))

    def emit(self, b: Emitter, x: Value, axes: range) -> Value:
        power = b.mean(b.mul(x, x), axes, keepdims=True)
        return b.div(x, b.sqrt(b.add(power, self.epsilon)))
