"""Inverse trigonometric functions, hyperbolic functions and their inverses.

Each formula keeps the relative accuracy of its parts over the whole domain: no
difference of nearly equal numbers, no overflow before the result's own.
"""

import math

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.operands import widened
from graphwright.frontends.onnx.registry import converter
from graphwright.ir.emitter import Emitter, Value

_LARGE = 1e8
"""Above it, adding 1 to a square changes nothing, in float64 either."""


@converter("Asin")
def asin(c: Context) -> Value:
    """``atan2(x, sqrt((1 - x) (1 + x)))``."""
    return widened(c.b, c[0], lambda x: c.b.atan2(x, _cosine(c.b, x)))


@converter("Acos")
def acos(c: Context) -> Value:
    """``atan2(sqrt((1 - x) (1 + x)), x)``."""
    return widened(c.b, c[0], lambda x: c.b.atan2(_cosine(c.b, x), x))


def _cosine(b: Emitter, sine: Value) -> Value:
    return b.sqrt(b.mul(b.sub(1, sine), b.add(1, sine)))


@converter("Atan")
def atan(c: Context) -> Value:
    """``atan2(x, 1)``."""
    return widened(c.b, c[0], lambda x: c.b.atan2(x, 1))


@converter("Sinh")
def sinh(c: Context) -> Value:
    """``(e^x - e^-x) / 2``: by ``expm1`` near 0, by ``e^(x/2)`` squared far away."""

    def rule(x: Value) -> Value:
        size = b.abs(x)
        grown = b.unary("expm1", b.min(size, 20.0))
        near = b.mul(b.add(grown, b.div(grown, b.add(grown, 1))), 0.5)
        root = b.exp(b.mul(size, 0.5))
        far = b.mul(b.mul(root, 0.5), root)
        return b.mul(b.sign(x), b.where(b.gt(size, 20.0), far, near))

    b = c.b
    return widened(b, c[0], rule)


@converter("Cosh")
def cosh(c: Context) -> Value:
    """``(e^x + e^-x) / 2``, by ``e^(|x|/2)`` squared."""

    def rule(x: Value) -> Value:
        root = b.exp(b.mul(b.abs(x), 0.5))
        return b.add(b.mul(b.mul(root, 0.5), root), b.div(b.div(0.5, root), root))

    b = c.b
    return widened(b, c[0], rule)


def _log_twice(b: Emitter, x: Value) -> Value:
    return b.add(b.log(x), math.log(2))


@converter("Asinh")
def asinh(c: Context) -> Value:
    """``log(x + sqrt(x^2 + 1))`` as ``log1p(x + x^2 / (1 + sqrt(x^2 + 1)))``."""

    def rule(x: Value) -> Value:
        size = b.abs(x)
        small = b.min(size, _LARGE)
        square = b.mul(small, small)
        root = b.sqrt(b.add(square, 1))
        near = b.unary("log1p", b.add(small, b.div(square, b.add(root, 1))))
        far = _log_twice(b, b.max(size, 1))
        return b.mul(b.sign(x), b.where(b.gt(size, _LARGE), far, near))

    b = c.b
    return widened(b, c[0], rule)


@converter("Acosh")
def acosh(c: Context) -> Value:
    """``log(x + sqrt(x^2 - 1))`` as ``log1p(t + sqrt(t) sqrt(t + 2))``, t = x - 1."""

    def rule(x: Value) -> Value:
        t = b.sub(b.min(x, _LARGE), 1)
        root = b.mul(b.sqrt(t), b.sqrt(b.add(t, 2)))
        near = b.unary("log1p", b.add(t, root))
        far = _log_twice(b, b.max(x, 1))
        return b.where(b.gt(x, _LARGE), far, near)

    b = c.b
    return widened(b, c[0], rule)


@converter("Atanh")
def atanh(c: Context) -> Value:
    """``log((1 + x) / (1 - x)) / 2`` as ``log1p(2 |x| / (1 - |x|)) / 2``, signed."""

    def rule(x: Value) -> Value:
        size = b.abs(x)
        ratio = b.div(b.mul(size, 2), b.sub(1, size))
        return b.mul(b.sign(x), b.mul(b.unary("log1p", ratio), 0.5))

    b = c.b
    return widened(b, c[0], rule)
