"""Activations: composites whose plain formula would overflow or lose accuracy.

Floats below 32 bits are computed in float32 and rounded once, unless an op says
otherwise.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from graphwright.ir.dtype import dtype
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.op import OPS, Cotangents, Op, Rows, Tier, Trait
from graphwright.ir.rules import check_axes, need_kind, ranked
from graphwright.ir.types import TensorType


class Activation(Op):
    """A composite of one float operand, with its shape and dtype."""

    tier: ClassVar[Tier] = Tier.COMPOSITE
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE})

    def result_type(self, x: TensorType) -> TensorType:
        ranked(self.name, x)
        need_kind(self.name, x, "f")
        return x

    def compute(self, xp: Any, x: Any) -> Any:
        wide = x.astype(dtype(x.dtype).accumulate.numpy, copy=False)
        return self.on_arrays(xp, wide).astype(x.dtype, copy=False)

    def on_arrays(self, xp: Any, x: Any) -> Any:
        """The op on an array of at least 32 bits."""
        raise NotImplementedError

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        (x,) = operands
        wide = b.cast(x, x.dtype.accumulate)
        return b.cast(self.on_values(b, wide), x.dtype)

    def on_values(self, b: Emitter, x: Value) -> Value:
        """The op in terms of primitives, on a value of at least 32 bits."""
        raise NotImplementedError


class Sigmoid(Activation):
    """``1 / (1 + e^-x)``, with a small relative error at any ``x``."""

    name = "sigmoid"

    def on_arrays(self, xp: Any, x: Any) -> Any:
        e = xp.exp(-xp.abs(x))
        return xp.where(x < 0, e, xp.ones_like(e)) / (1 + e)

    def on_values(self, b: Emitter, x: Value) -> Value:
        e = b.exp(b.neg(b.abs(x)))
        return b.div(b.where(b.lt(x, 0), e, 1), b.add(e, 1))

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (y,), (ct,) = results, cotangents
        return (b.mul(ct, b.mul(y, b.sub(1, y))),)


class Softplus(Activation):
    """``log(1 + e^x)``."""

    name = "softplus"

    def on_arrays(self, xp: Any, x: Any) -> Any:
        return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))

    def on_values(self, b: Emitter, x: Value) -> Value:
        tail = b.unary("log1p", b.exp(b.neg(b.abs(x))))
        return b.add(b.max(x, 0), tail)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        return (b.mul(cotangents[0], b.unary("sigmoid", operands[0])),)


class Swish(Activation):
    """``x`` times the sigmoid of ``alpha x``; SiLU where ``alpha`` is 1.

    Ramachandran, Zoph and Le, "Searching for Activation Functions" (2017).
    """

    name = "swish"
    error_floor = 1e-30
    alpha: float = 1.0

    def on_arrays(self, xp: Any, x: Any) -> Any:
        return x * OPS["sigmoid"]().compute(xp, x * x.dtype.type(self.alpha))

    def on_values(self, b: Emitter, x: Value) -> Value:
        inner = x if self.alpha == 1 else b.mul(x, self.alpha)
        return b.mul(x, b.unary("sigmoid", inner))


_ROOT_HALF = math.sqrt(0.5)
_ROOT_2_OVER_PI = math.sqrt(2 / math.pi)
_CUBIC = 0.044715


class Gelu(Activation):
    """``x`` times the normal distribution function at ``x``.

    ``tanh`` asks for the approximation of Hendrycks and Gimpel, "Gaussian Error Linear
    Units" (2016): ``x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2``.
    """

    name = "gelu"
    error_floor = 1.0
    tanh: bool = False

    def on_arrays(self, xp: Any, x: Any) -> Any:
        if self.tanh:
            bent = xp.tanh(_ROOT_2_OVER_PI * (x + _CUBIC * x * x * x))
        else:
            bent = OPS["erf"]().compute(xp, _ROOT_HALF * x)
        return 0.5 * x * (1 + bent)

    def on_values(self, b: Emitter, x: Value) -> Value:
        if self.tanh:
            cube = b.mul(b.mul(b.mul(x, x), x), _CUBIC)
            bent = b.tanh(b.mul(b.add(x, cube), _ROOT_2_OVER_PI))
        else:
            bent = b.unary("erf", b.mul(x, _ROOT_HALF))
        return b.mul(b.mul(x, 0.5), b.add(bent, 1))


class Normalizing(Activation):
    """An activation along one axis."""

    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.REDUCTION})
    axis: int

    def result_type(self, x: TensorType) -> TensorType:
        super().result_type(x)
        check_axes(self.name, [self.axis], x.rank)
        return x

    def shifted(self, b: Emitter, x: Value) -> Value:
        """``x`` less its greatest element along the axis."""
        return b.sub(x, b.reduce("max", x, [self.axis], keepdims=True))

    def shifted_array(self, xp: Any, x: Any) -> Any:
        """The same on arrays."""
        top = OPS["reduce"](kind="max", axes=(self.axis,)).compute(xp, x)
        return xp.subtract(x, xp.expand_dims(top, self.axis))

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        return self.again(b, operands, axis=self.axis + 1)


class Softmax(Normalizing):
    """``e^x / sum(e^x)`` along an axis.

    Floats of 16 bits are rounded at each step, as ONNX defines its operator.
    """

    name = "softmax"

    def compute(self, xp: Any, x: Any) -> Any:
        e = xp.exp(self.shifted_array(xp, x))
        total = OPS["reduce"](kind="sum", axes=(self.axis,)).compute(xp, e)
        return xp.divide(e, xp.expand_dims(total, self.axis))

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        e = b.exp(self.shifted(b, operands[0]))
        return b.div(e, b.sum(e, [self.axis], keepdims=True))

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (y,), (ct,) = results, cotangents
        mean = b.sum(b.mul(ct, y), [self.axis], keepdims=True)
        return (b.mul(y, b.sub(ct, mean)),)


class LogSoftmax(Normalizing):
    """``x - log(sum(e^x))`` along an axis."""

    name = "log_softmax"
    error_floor = 1.0

    def on_arrays(self, xp: Any, x: Any) -> Any:
        x = self.shifted_array(xp, x)
        return x - xp.log(xp.sum(xp.exp(x), axis=self.axis, keepdims=True))

    def on_values(self, b: Emitter, x: Value) -> Value:
        x = self.shifted(b, x)
        return b.sub(x, b.log(b.sum(b.exp(x), [self.axis], keepdims=True)))

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (y,), (ct,) = results, cotangents
        total = b.sum(ct, [self.axis], keepdims=True)
        return (b.sub(ct, b.mul(b.exp(y), total)),)
