"""Parts of numbers: signs, neighbours, powers of two, common divisors."""

from typing import Any, ClassVar

from graphwright.ir.dtype import (
    DTYPES,
    DType,
    float8_e8m0fnu,
    float32,
    uint8,
    uint32,
)
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import UnsupportedOpError
from graphwright.ir.op import Cotangents, Op, Tier, Trait
from graphwright.ir.rules import need, need_kind, ranked, same_dtype, same_shape
from graphwright.ir.types import TensorType


class Pairwise(Op):
    """An elementwise op of two operands of one dtype, which NumPy has by this name."""

    tier: ClassVar[Tier] = Tier.COMPOSITE
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE})
    kinds: ClassVar[str] = "f"

    def result_type(self, x: TensorType, y: TensorType) -> TensorType:
        ranked(self.name, x, y)
        need_kind(self.name, x, self.kinds)
        found = same_dtype(self.name, x, y)
        return TensorType(found, same_shape(self.name, x, y))

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        return getattr(xp, self.name)(x, y).astype(x.dtype, copy=False)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        return None, None


def _bits(d: DType) -> DType:
    if d.bits < 16:
        raise UnsupportedOpError(f"the bits of {d.name} cannot be decomposed")
    return DTYPES[f"int{d.bits}"]


class CopySign(Pairwise):
    """The magnitude of ``x`` with the sign bit of ``y``."""

    name = "copysign"

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        held = _bits(operands[0].dtype)
        x, y = (b.emit("bitcast", v, dtype=held) for v in operands)
        sign = held.limits[0]
        parts = b.or_(b.and_(x, ~sign), b.and_(y, sign))
        return b.emit("bitcast", parts, dtype=operands[0].dtype)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (x, _), (z,), (ct,) = operands, results, cotangents
        return b.mul(ct, b.mul(b.sign(x), b.sign(z))), None


class NextAfter(Pairwise):
    """The neighbour of ``x`` in the direction of ``y``; ``y`` where they are equal."""

    name = "nextafter"
    ulps = 0.0
    steps = True
    wide = False

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        x, y = operands
        held = _bits(x.dtype)
        whole = b.emit("bitcast", x, dtype=held)
        away = b.eq(b.lt(x, y), b.gt(x, 0))
        near = b.emit(
            "bitcast", b.add(whole, b.where(away, b.scalar(1, held), -1)), dtype=x.dtype
        )
        one = b.emit("bitcast", b.full(x.shape, 1, held), dtype=x.dtype)
        near = b.where(b.eq(x, 0), b.emit("copysign", one, y), near)
        lost = b.or_(b.is_nan(x), b.is_nan(y))
        return b.where(lost, b.add(x, y), b.where(b.eq(x, y), y, near))


class Gcd(Pairwise):
    """The greatest common divisor of two integers, not negative; 0 of two zeros."""

    name = "gcd"
    tier: ClassVar[Tier] = Tier.HOST
    kinds = "iu"


class PowerOfTwo(Op):
    """A float as float8_e8m0fnu: the exponent of its float32, which is all that has.

    Infinities and NaN are NaN, as is what rounding makes too large unless it saturates.
    Source: OCP Microscaling Formats (MX) 1.0, section 5.4.1; ONNX Cast-25.

    Attributes:
        mode: Where a number between two powers goes: up, down or nearest.
        saturate: Whether what is too large becomes the largest power.
    """

    name = "power_of_two"
    tier: ClassVar[Tier] = Tier.COMPOSITE
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE})
    ulps = 0.0
    steps = True
    wide = False
    domains = ((0.25, 8.0),)
    mode: str = "up"
    saturate: bool = True

    def result_type(self, x: TensorType) -> TensorType:
        ranked(self.name, x)
        known = self.mode in ("up", "down", "nearest")
        need(known, f"{self.name} has no mode {self.mode!r}")
        return x.with_dtype(float8_e8m0fnu)

    def compute(self, xp: Any, x: Any) -> Any:
        bits = xp.asarray(x).astype(xp.float32).view(xp.uint32)
        exponent = (bits >> 23) & 0xFF
        if self.mode != "down":
            up = (bits & ((1 << 23) - 1)) >= self._least
            exponent = exponent + (up & (exponent < self._top))
        return exponent.astype(xp.uint8).view(float8_e8m0fnu.numpy)

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        bits = b.emit("bitcast", b.cast(operands[0], float32), dtype=uint32)
        exponent = b.and_(b.shr(bits, 23), 0xFF)
        if self.mode != "down":
            up = b.ge(b.and_(bits, (1 << 23) - 1), self._least)
            up = b.and_(up, b.lt(exponent, self._top))
            exponent = b.add(exponent, b.cast(up, uint32))
        return b.emit("bitcast", b.cast(exponent, uint8), dtype=float8_e8m0fnu)

    @property
    def _least(self) -> int:
        return 1 if self.mode == "up" else 1 << 22

    @property
    def _top(self) -> int:
        return 0xFE if self.saturate else 0xFF

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        return (None,)
