"""Choice and conversion: where, cast, bitcast, complex numbers and their parts."""

from typing import Any, ClassVar

import ml_dtypes
import numpy as np

from graphwright.ir.dim import Dim
from graphwright.ir.dtype import DTYPES, DType, bool_, dtype, string
from graphwright.ir.emitter import Emitter
from graphwright.ir.errors import DTypeError
from graphwright.ir.op import Cotangents, Op, Trait
from graphwright.ir.rules import (
    map_contents,
    need,
    need_kind,
    ranked,
    same_dtype,
    same_shape,
    typed,
)
from graphwright.ir.types import TensorType

_ELEMENTWISE = frozenset({Trait.ELEMENTWISE})


def _pick(condition: Dim | None, x: Dim | None, y: Dim | None) -> Dim | None:
    if isinstance(condition, int):
        return x if condition else y
    return x if x == y else None


class Where(Op):
    """Elements of ``x`` where the condition holds, else of ``y``; one shape."""

    name = "where"
    traits: ClassVar[frozenset[Trait]] = _ELEMENTWISE

    def result_type(self, c: TensorType, x: TensorType, y: TensorType) -> TensorType:
        need_kind("where's condition", c, "b")
        dtype = same_dtype("where", x, y)
        shape = same_shape("where", x, y, c)
        return typed(dtype, shape, map_contents(_pick, c, x, y))

    def compute(self, xp: Any, condition: Any, x: Any, y: Any) -> Any:
        return xp.where(condition, x, y)

    def vjp(self, b: Emitter, operands: Any, results: Any, cotangents: Any) -> Cotangents:
        condition, (ct,) = operands[0], cotangents
        zero = b.zeros_like(ct)
        return None, b.where(condition, ct, zero), b.where(condition, zero, ct)


def _saturated(x: Any, to: DType) -> Any:
    """Float values beyond the largest finite of a narrow float, clipped to it."""
    info = ml_dtypes.finfo(to.numpy)
    high, low = np.float32(info.max), np.float32(info.min)
    wide = np.asarray(x, np.float32)
    return np.where(np.isnan(wide), wide, np.clip(wide, low, high))


class Cast(Op):
    """Another dtype.

    Floats round to nearest even. Float to integer truncates; what does not fit, and
    NaN, saturate to the nearest end (NaN to 0) with ``saturate``, else are as on the
    device. ``saturate`` to a narrow float clips to its finite range. Strings hold
    decimal numerals.
    """

    name = "cast"
    traits: ClassVar[frozenset[Trait]] = _ELEMENTWISE
    dtype: DType
    saturate: bool = False

    def result_type(self, x: TensorType) -> TensorType:
        ranked("cast", x)
        same = x.contents if self._keeps(x.dtype) else None
        return typed(self.dtype, x.dims, same)

    def _keeps(self, source: DType) -> bool:
        wide = self.dtype.is_int and self.dtype.bits >= 32
        return source.kind in "biu" and wide or source is self.dtype

    def compute(self, xp: Any, x: Any) -> Any:
        to = self.dtype
        source = dtype(x.dtype)
        if to is string:
            return _to_strings(x, source)
        if source is string:
            return _from_strings(x, to)
        if to is bool_:
            return x != xp.zeros((), x.dtype)
        with np.errstate(all="ignore"):
            if self.saturate and to.is_float and to.bits <= 8:
                return _saturated(x, to).astype(to.numpy)
            if to.is_int and to.bits < 8:
                return _to_nibble(xp, x, to)
            if source.bits <= 8 and to.bits <= 8:
                return x.astype(np.float32).astype(to.numpy)
            return x.astype(to.numpy)

    def vjp(self, b: Emitter, operands: Any, results: Any, cotangents: Any) -> Cotangents:
        (x,), (ct,) = operands, cotangents
        return (b.cast(ct, x.dtype) if x.dtype.kind in "fc" else None,)


def _to_nibble(xp: Any, x: Any, to: DType) -> Any:
    """Integers of 2 or 4 bits: the low bits, sign-extended by ml_dtypes."""
    whole = x.astype(np.int64)
    low = xp.bitwise_and(whole, (1 << to.bits) - 1)
    if to.kind == "i":
        sign = 1 << (to.bits - 1)
        low = (low ^ sign) - sign
    return low.astype(np.int8 if to.kind == "i" else np.uint8).astype(to.numpy)


def _to_strings(x: Any, source: DType) -> Any:
    wide = x.astype(np.float32) if source.is_float and source.bits < 32 else x
    out = np.empty(x.shape, object)
    out.ravel()[:] = [str(v) for v in wide.ravel()]
    return out


def _from_strings(x: Any, to: DType) -> Any:
    convert = complex if to.kind == "c" else float
    words = [str(v) for v in x.ravel()]
    if to.is_int:
        return np.array([int(float(w)) for w in words]).astype(to.numpy).reshape(x.shape)
    values = np.array([convert(w) for w in words], np.complex128 if to.kind == "c" else np.float64)
    return values.astype(to.numpy).reshape(x.shape)


class Bitcast(Op):
    """The same bits as another dtype of the same width."""

    name = "bitcast"
    traits: ClassVar[frozenset[Trait]] = _ELEMENTWISE | {Trait.VIEW}
    dtype: DType

    def result_type(self, x: TensorType) -> TensorType:
        if x.dtype.bits != self.dtype.bits or string in (x.dtype, self.dtype):
            raise DTypeError(f"bitcast from {x.dtype} to {self.dtype}: widths differ")
        return x.with_dtype(self.dtype)

    def compute(self, xp: Any, x: Any) -> Any:
        return x.view(self.dtype.numpy)


class Complex(Op):
    """A complex tensor of real and imaginary parts (float32 or float64)."""

    name = "complex"
    traits: ClassVar[frozenset[Trait]] = _ELEMENTWISE

    def result_type(self, re: TensorType, im: TensorType) -> TensorType:
        found = same_dtype("complex", re, im)
        need(found.name in ("float32", "float64"), "complex takes float32 or float64")
        shape = same_shape("complex", re, im)
        return TensorType(DTYPES[f"complex{2 * found.bits}"], shape)

    def compute(self, xp: Any, re: Any, im: Any) -> Any:
        out = xp.empty(re.shape, xp.complex64 if re.dtype == xp.float32 else xp.complex128)
        out.real, out.imag = re, im
        return out

    def vjp(self, b: Emitter, operands: Any, results: Any, cotangents: Any) -> Cotangents:
        (ct,) = cotangents
        real = b.emit("complex_part", ct, part="real")
        return real, b.neg(b.emit("complex_part", ct, part="imag"))


class ComplexPart(Op):
    """The ``real`` or the ``imag`` part of a complex tensor."""

    name = "complex_part"
    traits: ClassVar[frozenset[Trait]] = _ELEMENTWISE
    part: str

    def result_type(self, x: TensorType) -> TensorType:
        need_kind("complex_part", x, "c")
        return x.with_dtype(DTYPES[f"float{x.dtype.bits // 2}"])

    def compute(self, xp: Any, x: Any) -> Any:
        return getattr(x, self.part).copy()

    def vjp(self, b: Emitter, operands: Any, results: Any, cotangents: Any) -> Cotangents:
        (ct,) = cotangents
        zero = b.zeros_like(ct)
        if self.part == "real":
            return (b.emit("complex", ct, zero),)
        return (b.emit("complex", zero, b.neg(ct)),)


