"""Trigonometric, hyperbolic and logarithmic functions that primitives make up.

Each decomposition keeps the relative accuracy of its parts over the whole domain: no
difference of nearly equal numbers, no overflow before the result's own. Complex
operands have NumPy's branch cuts and no decomposition.
"""

import math
from typing import Any, ClassVar

from graphwright.ir.dtype import dtype
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import UnsupportedOpError
from graphwright.ir.op import Cotangents, Op, Tier, Trait
from graphwright.ir.rules import need_kind, ranked, same_dtype, same_shape
from graphwright.ir.types import TensorType

_LARGE = 1e8
"""Above it, adding 1 to a square changes nothing, in float64 either."""


class Transcendental(Op):
    """An elementwise composite, NumPy's ``function``, in float32 at least."""

    tier: ClassVar[Tier] = Tier.COMPOSITE
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE})
    kinds: ClassVar[str] = "fc"
    arity = 1
    function: ClassVar[str]

    def result_type(self, *operands: TensorType) -> TensorType:
        ranked(self.name, *operands)
        need_kind(self.name, operands[0], self.kinds)
        found = same_dtype(self.name, *operands)
        return TensorType(found, same_shape(self.name, *operands))

    def compute(self, xp: Any, *operands: Any) -> Any:
        own = operands[0].dtype
        wide = dtype(own).accumulate.numpy
        found = getattr(xp, self.function)(
            *(x.astype(wide, copy=False) for x in operands)
        )
        return found.astype(own, copy=False)

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        own = operands[0].dtype
        if own.kind == "c":
            raise UnsupportedOpError(f"{self.name} of {own.name} is not decomposable")
        return b.cast(self.rule(b, *(b.cast(x, own.accumulate) for x in operands)), own)

    def rule(self, b: Emitter, *operands: Value) -> Value:
        """The function in terms of primitives, on floats of at least 32 bits."""
        raise NotImplementedError

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        return (self.slope(b, operands[0], results[0], cotangents[0]),)

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value:
        """Cotangent of ``x`` from ``y = op(x)`` and its cotangent."""
        raise UnsupportedOpError(f"{self.name} has no gradient rule")


def _cosine(b: Emitter, sine: Value) -> Value:
    return b.sqrt(b.mul(b.sub(1, sine), b.add(1, sine)))


class Tan(Transcendental):
    """``sin x / cos x``."""

    name = "tan"
    domains = ((-1.25, 1.25),)
    function = "tan"

    def rule(self, b: Emitter, *operands: Value) -> Value:
        (x,) = operands
        return b.div(b.unary("sin", x), b.unary("cos", x))

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value:
        return b.mul(ct, b.add(b.mul(y, y), 1))


class Asin(Transcendental):
    """Inverse sine: ``atan2(x, sqrt((1 - x) (1 + x)))``."""

    name = "asin"
    domains = ((-0.75, 0.75),)
    function = "arcsin"

    def rule(self, b: Emitter, *operands: Value) -> Value:
        (x,) = operands
        return b.atan2(x, _cosine(b, x))

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value:
        return b.div(ct, _cosine(b, x))


class Acos(Transcendental):
    """Inverse cosine: ``atan2(sqrt((1 - x) (1 + x)), x)``."""

    name = "acos"
    domains = ((-0.75, 0.75),)
    function = "arccos"

    def rule(self, b: Emitter, *operands: Value) -> Value:
        (x,) = operands
        return b.atan2(_cosine(b, x), x)

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value:
        return b.neg(b.div(ct, _cosine(b, x)))


class Atan(Transcendental):
    """Inverse tangent: ``atan2(x, 1)``."""

    name = "atan"
    function = "arctan"

    def rule(self, b: Emitter, *operands: Value) -> Value:
        (x,) = operands
        return b.atan2(x, 1)

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value:
        return b.div(ct, b.add(b.mul(x, x), 1))


class Sinh(Transcendental):
    """``(e^x - e^-x) / 2``: by ``expm1`` near 0, by ``e^(x/2)`` squared far away."""

    name = "sinh"
    function = "sinh"

    def rule(self, b: Emitter, *operands: Value) -> Value:
        (x,) = operands
        size = b.abs(x)
        grown = b.unary("expm1", b.min(size, 20.0))
        near = b.mul(b.add(grown, b.div(grown, b.add(grown, 1))), 0.5)
        root = b.exp(b.mul(size, 0.5))
        far = b.mul(b.mul(root, 0.5), root)
        return b.mul(b.sign(x), b.where(b.gt(size, 20.0), far, near))

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value:
        return b.mul(ct, b.unary("cosh", x))


class Cosh(Transcendental):
    """``(e^x + e^-x) / 2``, by ``e^(|x|/2)`` squared."""

    name = "cosh"
    function = "cosh"

    def rule(self, b: Emitter, *operands: Value) -> Value:
        (x,) = operands
        root = b.exp(b.mul(b.abs(x), 0.5))
        return b.add(b.mul(b.mul(root, 0.5), root), b.div(b.div(0.5, root), root))

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value:
        return b.mul(ct, b.unary("sinh", x))


def _log_twice(b: Emitter, x: Value) -> Value:
    return b.add(b.log(x), math.log(2))


class Asinh(Transcendental):
    """``log(x + sqrt(x^2 + 1))`` as ``log1p(x + x^2 / (1 + sqrt(x^2 + 1)))``."""

    name = "asinh"
    function = "arcsinh"

    def rule(self, b: Emitter, *operands: Value) -> Value:
        (x,) = operands
        size = b.abs(x)
        small = b.min(size, _LARGE)
        square = b.mul(small, small)
        root = b.sqrt(b.add(square, 1))
        near = b.unary("log1p", b.add(small, b.div(square, b.add(root, 1))))
        far = _log_twice(b, b.max(size, 1))
        return b.mul(b.sign(x), b.where(b.gt(size, _LARGE), far, near))

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value:
        return b.div(ct, b.unary("cosh", y))


class Acosh(Transcendental):
    """``log(x + sqrt(x^2 - 1))`` as ``log1p(t + sqrt(t) sqrt(t + 2))``, t = x - 1."""

    name = "acosh"
    domains = ((1.5, 8.0),)
    function = "arccosh"

    def rule(self, b: Emitter, *operands: Value) -> Value:
        (x,) = operands
        t = b.sub(b.min(x, _LARGE), 1)
        root = b.mul(b.sqrt(t), b.sqrt(b.add(t, 2)))
        near = b.unary("log1p", b.add(t, root))
        far = _log_twice(b, b.max(x, 1))
        return b.where(b.gt(x, _LARGE), far, near)

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value:
        return b.div(ct, b.unary("sinh", y))


class Atanh(Transcendental):
    """``log((1 + x) / (1 - x)) / 2`` as ``log1p(2 |x| / (1 - |x|)) / 2``, signed."""

    name = "atanh"
    domains = ((-0.75, 0.75),)
    function = "arctanh"

    def rule(self, b: Emitter, *operands: Value) -> Value:
        (x,) = operands
        size = b.abs(x)
        ratio = b.div(b.mul(size, 2), b.sub(1, size))
        return b.mul(b.sign(x), b.mul(b.unary("log1p", ratio), 0.5))

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value:
        return b.div(ct, b.mul(b.sub(1, x), b.add(1, x)))


class Log2(Transcendental):
    """Logarithm to base 2."""

    name = "log2"
    domains = ((0.25, 8.0),)
    function = "log2"

    def rule(self, b: Emitter, *operands: Value) -> Value:
        return b.mul(b.log(operands[0]), 1 / math.log(2))

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value:
        return b.div(ct, b.mul(x, math.log(2)))


class Log10(Transcendental):
    """Logarithm to base 10."""

    name = "log10"
    domains = ((0.25, 8.0),)
    function = "log10"

    def rule(self, b: Emitter, *operands: Value) -> Value:
        return b.mul(b.log(operands[0]), 1 / math.log(10))

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value:
        return b.div(ct, b.mul(x, math.log(10)))


class Cbrt(Transcendental):
    """Cube root, of the operand's sign: ``e^(log |x| / 3)`` and one Newton step."""

    name = "cbrt"
    domains = ((0.25, 8.0),)
    function = "cbrt"
    kinds = "f"

    def rule(self, b: Emitter, *operands: Value) -> Value:
        (x,) = operands
        size = b.abs(x)
        near = b.exp(b.mul(b.log(size), 1 / 3))
        step = b.div(b.sub(near, b.div(b.div(size, near), near)), 3)
        plain = b.or_(b.eq(size, 0), b.eq(size, math.inf))
        return b.mul(b.sign(x), b.where(plain, size, b.sub(near, step)))

    def slope(self, b: Emitter, x: Value, y: Value, ct: Value) -> Value:
        return b.div(ct, b.mul(b.mul(y, y), 3))


class Hypot(Transcendental):
    """``sqrt(x^2 + y^2)`` without overflow; infinite if either operand is."""

    name = "hypot"
    arity = 2
    domains = ((0.25, 4.0),)
    function = "hypot"
    kinds = "f"

    def rule(self, b: Emitter, *operands: Value) -> Value:
        x, y = (b.abs(v) for v in operands)
        large, small = b.max(x, y), b.min(x, y)
        ratio = b.div(small, b.where(b.eq(large, 0), 1, large))
        length = b.mul(large, b.sqrt(b.add(b.mul(ratio, ratio), 1)))
        infinite = b.or_(b.eq(x, math.inf), b.eq(y, math.inf))
        return b.where(infinite, math.inf, length)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (x, y), (z,), (ct,) = operands, results, cotangents
        scaled = b.div(ct, z)
        return b.mul(scaled, x), b.mul(scaled, y)
