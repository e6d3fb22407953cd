"""Casts that lose nothing, or nothing more."""

from collections.abc import Mapping
from typing import Any

from graphwright.ir.dtype import DType
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.ir.op import Trait
from graphwright.passes.pattern import P
from graphwright.passes.rewriter import Rewriter
from graphwright.passes.rules import EXACT, RuleSet

CASTS = RuleSet("casts")

_MANTISSA = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
_EXPONENT = {"float16": 5, "bfloat16": 8, "float32": 8, "float64": 11}


def lossless(a: DType, b: DType) -> bool:
    """Whether each value of one dtype is one of another."""
    if a is b:
        return True
    if a.kind == "b":
        return b.kind in "iu" or b.name in _MANTISSA
    if a.is_int and b.is_int:
        (low, high), (least, most) = a.limits, b.limits
        return bool(least <= low and high <= most)
    if a.is_int and b.name in _MANTISSA:
        bits = a.bits - (a.kind == "i")
        return bits <= _MANTISSA[b.name] and bits < 2 ** (_EXPONENT[b.name] - 1)
    if a.name in _MANTISSA and b.name in _MANTISSA:
        wider = _MANTISSA[a.name] <= _MANTISSA[b.name]
        return wider and _EXPONENT[a.name] <= _EXPONENT[b.name]
    return False


@CASTS.rewrite(P.cast("x"), EXACT)
def cast_to_itself(b: Rewriter, x: Value, node: Node) -> Value | None:
    """``cast(x) = x`` to the dtype that it has."""
    op: Any = node.op
    return x if op.dtype is x.dtype else None


@CASTS.rewrite(P.cast(P.cast("x").named("inner")), EXACT)
def cast_twice(b: Rewriter, x: Value, inner: Node, node: Node) -> Value | None:
    """``cast(cast(x, a), b) = cast(x, b)`` where ``a`` holds all values of ``x``."""
    op: Any = node.op
    if not lossless(x.dtype, inner.results[0].dtype):
        return None
    return b.cast(x, op.dtype, saturate=op.saturate)


def held_in(v: Value, makers: Mapping[Value, Node]) -> DType:
    """A dtype of which all elements of a value are, the narrowest that casts tell."""
    found = v.dtype
    while (node := makers.get(v)) is not None:
        if node.op.name == "cast" and lossless(node.operands[0].dtype, v.dtype):
            found = node.operands[0].dtype
        elif Trait.VIEW not in node.op.traits:
            break
        v = node.operands[0]
    return found
