"""Products of narrow floats as those of float32 that they are, rounded once.

Where a backend computes them in float32 anyway, this lets it choose among all of its
kernels: constants are widened before any run, and what is stored between two products
is as wide as it is read.
"""

from typing import Any

from graphwright.ir.dtype import DType, float32
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.passes.pattern import P
from graphwright.passes.rewriter import Rewriter
from graphwright.passes.rules import EXACT, ROUNDING, RuleSet

WIDE_ATTENTION = RuleSet("wide_attention")
"""Before what is narrow is decomposed."""

WIDE_PRODUCTS = RuleSet("wide_products")
_rule = WIDE_PRODUCTS.rewrite


@_rule(P.dot("x", "y"), EXACT)
def wide_dot(b: Rewriter, x: Value, y: Value, node: Node) -> Value | None:
    """``x @ y = narrow(wide(x) @ wide(y))``."""
    return _wide(b, x, y, node)


@_rule(P.conv("x", "k"), EXACT)
def wide_conv(b: Rewriter, x: Value, k: Value, node: Node) -> Value | None:
    """``conv(x, k) = narrow(conv(wide(x), wide(k)))``."""
    return _wide(b, x, k, node)


@WIDE_ATTENTION.rewrite(P.attention(), ROUNDING)
def wide_attention(b: Rewriter, node: Node) -> Value | None:
    """``attention(q, k, v) = narrow(attention(wide(q), wide(k), wide(v)))``."""
    op: Any = node.op
    to, precision = node.results[0].dtype, op.precision or float32
    if not all(_is_narrow(v.dtype) for v in node.operands[:3]):
        return None
    if precision is not float32 and not _is_narrow(precision):
        return None
    wide = (b.cast(v, float32) if _is_narrow(v.dtype) else v for v in node.operands)
    (found,) = b.apply(op.replace(precision=None), tuple(wide))
    return b.cast(found, to)


def _wide(b: Rewriter, x: Value, y: Value, node: Node) -> Value | None:
    op: Any = node.op
    to = node.results[0].dtype
    if not (_is_narrow(x.dtype) and _is_narrow(y.dtype)):
        return None
    if not _is_narrow(to) and to is not float32:
        return None
    wide = b.cast(x, float32), b.cast(y, float32)
    (found,) = b.apply(op.replace(dtype=None), wide)
    return b.cast(found, to)


def _is_narrow(dtype: DType) -> bool:
    return dtype.kind == "f" and dtype.bits < float32.bits
