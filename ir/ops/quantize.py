"""Linear quantization: composites, so that passes find what integer kernels can do.

Scales and zero points broadcast to the tensor that they belong to.
"""

from typing import Any, ClassVar

from graphwright.ir.dtype import DType, dtype, int32
from graphwright.ir.emitter import Emitter, Value, broadcast_shape
from graphwright.ir.errors import DTypeError, ShapeError
from graphwright.ir.op import OPS, Op, Tier, Trait
from graphwright.ir.rules import need, need_kind, ranked, same_dtype
from graphwright.ir.types import TensorType, agree_shapes


class Linear(Op):
    """A quantization of ``x`` by a scale and, unless it is 0, a zero point.

    ``dtype`` is that of the result.
    """

    tier: ClassVar[Tier] = Tier.COMPOSITE
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE})
    dtype: DType

    def result_type(self, *operands: TensorType) -> TensorType:
        need(len(operands) in (2, 3), f"{self.name} takes 2 or 3 operands")
        ranked(self.name, *operands)
        x, *others = operands
        shape = broadcast_shape(*(t.dims for t in operands))
        if agree_shapes(shape, x.dims) is None:
            got = ", ".join(map(str, others))
            raise ShapeError(f"{self.name} of {x}: {got} do not broadcast to it")
        self.check_dtypes(*operands)
        return TensorType(self.dtype, x.dims)

    def check_dtypes(self, *operands: TensorType) -> None:
        """Raises DTypeError if dtypes do not fit."""
        raise NotImplementedError


def _same(name: str, want: DType, zero: TensorType) -> None:
    if zero.dtype is not want:
        raise DTypeError(f"{name} has a zero point of {zero.dtype}, not {want}")


class Quantize(Linear):
    """``round(x / scale) + zero_point``, kept within the range of ``dtype``.

    The division is done in the dtype of ``x``. Floats of 8 bits and fewer are rounded
    only once, and beyond their range are as ``saturate`` says for ``cast``.
    """

    name = "quantize"
    saturate: bool = True

    def check_dtypes(self, *operands: TensorType) -> None:
        need_kind("quantize", operands[0], "f")
        same_dtype("quantize", *operands[:2])
        for zero in operands[2:]:
            _same("quantize", self.dtype, zero)

    def compute(self, xp: Any, x: Any, scale: Any, *zero: Any) -> Any:
        y = xp.divide(x, scale)
        y = y.astype(dtype(x.dtype).accumulate.numpy, copy=False)
        y = xp.rint(y) if self.dtype.is_int else y
        y = y + zero[0].astype(y.dtype) if zero else y
        return OPS["cast"](dtype=self.dtype, saturate=self.clips).compute(xp, y)

    @property
    def clips(self) -> bool:
        """Whether what is out of range becomes the nearest end."""
        return self.saturate or self.dtype.is_int

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        x, scale, *zero = operands
        y = b.div(x, scale)
        y = b.cast(y, y.dtype.accumulate)
        y = b.unary("round", y) if self.dtype.is_int else y
        y = b.add(y, b.cast(zero[0], y.dtype)) if zero else y
        return b.cast(y, self.dtype, saturate=self.clips)


class Dequantize(Linear):
    """``(x - zero_point) * scale``, rounded once."""

    name = "dequantize"

    def check_dtypes(self, *operands: TensorType) -> None:
        need_kind("dequantize", TensorType(self.dtype, ()), "f")
        need_kind("dequantize's scale", operands[1], "f")
        for zero in operands[2:]:
            _same("dequantize", operands[0].dtype, zero)

    def compute(self, xp: Any, x: Any, scale: Any, *zero: Any) -> Any:
        wide = self.dtype.accumulate.numpy
        exact = int32.numpy if dtype(x.dtype).is_int else wide
        y = x.astype(exact)
        y = y - zero[0].astype(exact) if zero else y
        return (y.astype(wide) * scale.astype(wide)).astype(
            self.dtype.numpy, copy=False
        )

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        x, scale, *zero = operands
        wide = self.dtype.accumulate
        exact = int32 if x.dtype.is_int else wide
        y = b.cast(x, exact)
        y = b.sub(y, b.cast(zero[0], exact)) if zero else y
        return b.cast(b.mul(b.cast(y, wide), b.cast(scale, wide)), self.dtype)
