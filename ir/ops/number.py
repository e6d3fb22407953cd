"""Parts of numbers: signs, neighbours, common divisors."""

from typing import Any, ClassVar

from graphwright.ir.dtype import DTYPES, DType
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import UnsupportedOpError
from graphwright.ir.op import Cotangents, Op, Tier, Trait
from graphwright.ir.rules import need_kind, ranked, same_dtype, same_shape
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
