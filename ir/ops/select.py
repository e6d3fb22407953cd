"""Choice and conversion: where, cast, bitcast, complex numbers and their parts."""

from typing import Any, ClassVar

import numpy as np

from graphwright.ir.dim import Dim, maximum
from graphwright.ir.dtype import DTYPES, DType, bool_, dtype, string
from graphwright.ir.emitter import Emitter
from graphwright.ir.errors import DTypeError, FeedError
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
    ulps = 0.0
    signed_zeros = True
    traits: ClassVar[frozenset[Trait]] = _ELEMENTWISE

    def result_type(self, c: TensorType, x: TensorType, y: TensorType) -> TensorType:
        need_kind("where's condition", c, "b")
        dtype = same_dtype("where", x, y)
        shape = same_shape("where", x, y, c)
        return typed(dtype, shape, map_contents(_pick, c, x, y))

    def compute(self, xp: Any, condition: Any, x: Any, y: Any) -> Any:
        return xp.where(condition, x, y)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        condition, (ct,) = operands[0], cotangents
        zero = b.zeros_like(ct)
        return None, b.where(condition, ct, zero), b.where(condition, zero, ct)


class Cast(Op):
    """Another dtype.

    Floats round to nearest even. Float to integer truncates; what does not fit, and
    NaN, saturate to the nearest end (NaN to 0) with ``saturate``, else are as on the
    device. ``saturate`` to a narrow float clips to its finite range. Strings hold
    decimal numerals, ``NaN``, ``INF`` and ``-INF``.
    """

    name = "cast"
    ulps = 1.0
    signed_zeros = True
    traits: ClassVar[frozenset[Trait]] = _ELEMENTWISE
    dtype: DType
    saturate: bool = False

    def result_type(self, x: TensorType) -> TensorType:
        ranked("cast", x)
        return typed(self.dtype, x.dims, map_contents(self._on_dim, x))

    def _on_dim(self, c: Dim | None) -> Dim | None:
        """A known integer, where the dtype can hold it; dims fit in 32 bits."""
        if self.dtype is bool_ and c is not None:
            return int(c != 0) if isinstance(c, int) else _positive(c)
        if not self.dtype.is_int or self.dtype.bits < 8:
            return None
        if isinstance(c, int):
            low, high = self.dtype.limits
            return c if low <= c <= high else None
        return c if self.dtype.bits >= 32 else None

    def compute(self, xp: Any, x: Any) -> Any:
        to, source = self.dtype, dtype(x.dtype)
        if to is string:
            return _to_strings(x, source)
        if source is string:
            return _from_strings(x, to)
        if to is bool_:
            return x != xp.zeros((), x.dtype)
        with np.errstate(all="ignore"):
            if self.saturate:
                x = _saturated(xp, x, source, to)
                source = dtype(x.dtype)
            if to.is_int and to.bits < 8:
                return _to_nibble(xp, x, to)
            if source.bits <= 8 and to.bits <= 8:
                x = x.astype(np.float32)
            if x.dtype == np.float64 and to.is_float and to.bits < 32:
                x = _to_odd(xp, x)
            return x.astype(to.numpy)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (x,), (ct,) = operands, cotangents
        return (b.cast(ct, x.dtype) if x.dtype.kind in "fc" else None,)


def _positive(dim: Dim) -> Dim | None:
    return 1 if maximum(dim, 1) == dim else None


def _to_odd(xp: Any, x: Any) -> Any:
    """float64 as float32 rounded to odd, after which a narrower type rounds right.

    What is not exact is cut off, and the last bit set (Boldo and Melquiond, 2008).
    """
    near = x.astype(np.float32)
    wide = near.astype(np.float64)
    cut = xp.where(
        xp.abs(wide) > xp.abs(x), xp.nextafter(near, xp.zeros_like(near)), near
    )
    odd = (cut.view(np.uint32) | np.uint32(1)).view(np.float32)
    return xp.where((wide == x) | (x != x), near, odd)  # noqa: PLR0124


def _saturated(xp: Any, x: Any, source: DType, to: DType) -> Any:
    """``x``, wide enough, with what ``to`` cannot hold replaced by its nearest end."""
    if to.is_float and to.bits <= 8:
        if source.is_int or source.bits < 16:
            x = x.astype(np.float64)
        low, high = (xp.asarray(end).astype(x.dtype) for end in to.limits)
        return xp.where(x > high, high, xp.where(x < low, low, x))
    if not to.is_int:
        return x
    return _within(xp, x, source, *to.limits)


def _within(xp: Any, x: Any, source: DType, low: int, high: int) -> Any:
    """Integers from ``low`` to ``high``; NaN is 0."""
    if source.is_int:
        own = np.iinfo(np.uint64 if source.kind == "u" else np.int64)
        wide = x.astype(own.dtype)
        return xp.clip(wide, max(low, int(own.min)), min(high, int(own.max)))
    wide = x.astype(np.float64)
    above, below = wide >= high + 1.0, wide <= low - 1.0
    holder = np.uint64 if low >= 0 else np.int64
    inside = xp.where(above | below | (wide != wide), 0.0, wide).astype(holder)  # noqa: PLR0124
    ends = xp.asarray(high, holder), xp.asarray(low, holder)
    return xp.where(above, ends[0], xp.where(below, ends[1], inside))


def _to_nibble(xp: Any, x: Any, to: DType) -> Any:
    """Integers of 2 or 4 bits: the low bits, sign-extended by ml_dtypes."""
    whole = x.astype(np.int64)
    low = xp.bitwise_and(whole, (1 << to.bits) - 1)
    if to.kind == "i":
        sign = 1 << (to.bits - 1)
        low = (low ^ sign) - sign
    return low.astype(np.int8 if to.kind == "i" else np.uint8).astype(to.numpy)


_WORDS = {"nan": "NaN", "inf": "INF", "-inf": "-INF", "True": "1", "False": "0"}


def _to_strings(x: Any, source: DType) -> Any:
    wide = x.astype(np.float32) if source.is_float and source.bits < 32 else x
    words = (str(v).removesuffix(".0") for v in wide.ravel())
    out = np.empty(x.shape, object)
    out.reshape(-1)[:] = [_WORDS.get(w, w) for w in words]
    return out


def _from_strings(x: Any, to: DType) -> Any:
    read = _whole if to.is_int else complex if to.kind == "c" else float
    try:
        values = [read(str(word)) for word in x.ravel()]
    except (ValueError, OverflowError) as error:
        raise FeedError(f"cast to {to.name}: {error}") from None
    held = np.array(values, _HELD.get(to.kind, np.float64)).reshape(x.shape)
    return Cast(dtype=to).compute(np, held)


_HELD = {"i": np.uint64, "u": np.uint64, "c": np.complex128}


def _whole(word: str) -> int:
    """An integer modulo 2 ** 64; a fraction is cut off."""
    try:
        return int(word) % 2**64
    except ValueError:
        return int(float(word)) % 2**64


class Bitcast(Op):
    """The same bits as another dtype of the same width."""

    name = "bitcast"
    ulps = 0.0
    wide = False
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
    ulps = 0.0
    traits: ClassVar[frozenset[Trait]] = _ELEMENTWISE

    def result_type(self, re: TensorType, im: TensorType) -> TensorType:
        found = same_dtype("complex", re, im)
        need(found.name in ("float32", "float64"), "complex takes float32 or float64")
        shape = same_shape("complex", re, im)
        return TensorType(DTYPES[f"complex{2 * found.bits}"], shape)

    def compute(self, xp: Any, re: Any, im: Any) -> Any:
        out = xp.empty(
            re.shape, xp.complex64 if re.dtype == xp.float32 else xp.complex128
        )
        out.real, out.imag = re, im
        return out

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (ct,) = cotangents
        real = b.emit("complex_part", ct, part="real")
        return real, b.neg(b.emit("complex_part", ct, part="imag"))


class ComplexPart(Op):
    """The ``real`` or the ``imag`` part of a complex tensor."""

    name = "complex_part"
    ulps = 0.0
    traits: ClassVar[frozenset[Trait]] = _ELEMENTWISE
    part: str

    def result_type(self, x: TensorType) -> TensorType:
        need_kind("complex_part", x, "c")
        return x.with_dtype(DTYPES[f"float{x.dtype.bits // 2}"])

    def compute(self, xp: Any, x: Any) -> Any:
        return getattr(x, self.part).copy()

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (ct,) = cotangents
        zero = b.zeros_like(ct)
        if self.part == "real":
            return (b.emit("complex", ct, zero),)
        return (b.emit("complex", zero, b.neg(ct)),)
