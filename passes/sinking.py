"""Movement moves down, past ops that do not mind: there it meets others and cancels.

What a product or convolution made is then read by elementwise ops first, which join it.
"""

from collections.abc import Sequence
from typing import Any

from graphwright.ir import ops
from graphwright.ir.dim import Dim
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.ir.op import OPS, Trait
from graphwright.passes.movement import same_suffix
from graphwright.passes.pattern import P
from graphwright.passes.rewriter import Rewriter
from graphwright.passes.rules import EXACT, ROUNDING, RuleSet

SINKING = RuleSet("sinking")
_rule = SINKING.rewrite
assert ops, "importing the families fills OPS"

_ELEMENTWISE = sorted(n for n, c in OPS.items() if Trait.ELEMENTWISE in c.traits)


def _after(maker: str) -> Any:
    found: Any = None
    for name in _ELEMENTWISE:
        pattern = P.__getattr__(name)().after(maker)
        found = pattern if found is None else found | pattern
    return found


# Reshapes ----------------------------------------------------------------------------


@_rule(_after("reshape"), EXACT)
def reshape_past_elementwise(b: Rewriter, node: Node) -> Value | None:
    """``op(reshape(x), reshape(y)) = reshape(op(x, y))``."""
    inner = next(n for v in node.operands if (n := b.made_by(v, "reshape")))
    shape = inner.operands[0].shape
    if not _one_shape(node) or not _worth(node, shape):
        return None
    operands = [_reshaped_back(b, v, shape) for v in node.operands]
    if any(v is None for v in operands):
        return None
    (y,) = b.apply(node.op, [v for v in operands if v is not None])
    return b.reshape(y, node.results[0].shape)


def _one_shape(node: Node) -> bool:
    shape = node.results[0].shape
    return len(node.results) == 1 and all(v.shape == shape for v in node.operands)


def _worth(node: Node, shape: Sequence[Dim]) -> bool:
    """Whether types stay: small integer tensors carry contents, best left alone.

    Empty ones have many shapes, which could be exchanged without end.
    """
    if 0 in shape or 0 in node.results[0].shape:
        return False
    kept = node.results[0].dtype.kind == "f" or all(
        v.dtype.kind == "f" for v in node.operands
    )
    return kept and node.results[0].rank > 0 and len(shape) > 0


def _reshaped_back(b: Rewriter, v: Value, shape: tuple[Dim, ...]) -> Value | None:
    """An operand in the shape from before the reshape, if that is free."""
    inner = b.made_by(v, "reshape")
    if inner is not None and inner.operands[0].shape == shape:
        return inner.operands[0]
    source = b.spread(v)
    if source is not v:
        return _respread(b, source, v.shape, shape)
    if v in b.constants:
        return b.reshape(v, shape)
    if len(shape) >= v.rank:
        return None
    for user in b.users(v):
        if user.op.name == "reshape" and user.results[0].shape == shape:
            return b.reshape(v, shape)
    return None


def _respread(
    b: Rewriter, source: Value, old: Sequence[Dim], new: Sequence[Dim]
) -> Value | None:
    """``broadcast_to(source, new)`` for what was repeated to another shape before."""
    dims = list(source.shape)
    while dims and dims[0] == 1:
        dims.pop(0)
    if len(dims) > same_suffix(old, new):
        return None
    return b.broadcast_to(b.reshape(source, dims), new)


@_rule(P.layer_norm().after("reshape") | P.rms_norm().after("reshape"), EXACT)
def reshape_past_norm(b: Rewriter, node: Node) -> Value | None:
    """``norm(reshape(x)) = reshape(norm(x))`` where the normalised axes stay."""
    inner = b.made_by(node.operands[0], "reshape")
    if inner is None:
        return None
    op: Any = node.op
    x, shape = inner.operands[0], inner.results[0].shape
    axes = len(shape) - op.axis
    if axes > same_suffix(x.shape, shape) or axes == x.rank:
        return None
    (y,) = b.apply(op.replace(axis=x.rank - axes), [x, *node.operands[1:]])
    return b.reshape(y, shape)


@_rule(P.each(["softmax", "log_softmax"])(P.reshape("x").named("inner")), EXACT)
def reshape_past_softmax(
    b: Rewriter, x: Value, inner: Node, node: Node
) -> Value | None:
    """``softmax(reshape(x)) = reshape(softmax(x))`` where the last axis stays."""
    op: Any = node.op
    shape = inner.results[0].shape
    last = op.axis == len(shape) - 1
    if not last or x.rank < 2 or not same_suffix(x.shape, shape):
        return None
    (y,) = b.apply(op.replace(axis=x.rank - 1), [x])
    return b.reshape(y, shape)


# Transpositions ----------------------------------------------------------------------


@_rule(_after("transpose"), EXACT)
def transpose_past_elementwise(b: Rewriter, node: Node) -> Value | None:
    """``op(transpose(x), transpose(y)) = transpose(op(x, y))`` of one permutation."""
    inner = next(n for v in node.operands if (n := b.made_by(v, "transpose")))
    held: Any = inner.op
    if not _one_shape(node):
        return None
    inverse = sorted(range(len(held.perm)), key=held.perm.__getitem__)
    operands = [_turned_back(b, v, held.perm, inverse) for v in node.operands]
    if any(v is None for v in operands):
        return None
    (y,) = b.apply(node.op, [v for v in operands if v is not None])
    return b.transpose(y, held.perm)


def _turned_back(
    b: Rewriter, v: Value, perm: tuple[int, ...], inverse: Sequence[int]
) -> Value | None:
    """An operand before the transposition, if that is free."""
    inner = b.made_by(v, "transpose")
    if inner is not None:
        held: Any = inner.op
        return inner.operands[0] if held.perm == perm and b.only_use(v) else None
    source = b.spread(v)
    shape = [v.shape[p] for p in inverse]
    if source is not v:
        if source.rank and source not in b.constants:
            return None
        full = b.reshape(source, (*(1,) * (v.rank - source.rank), *source.shape))
        return b.broadcast_to(b.transpose(full, inverse), shape)
    return b.transpose(v, inverse) if v in b.constants else None


_TURNED = P.transpose("x").once.named("inner")


@_rule(P.reduce(_TURNED, kind=("max", "min").__contains__), EXACT)
def transpose_past_extremum(b: Rewriter, x: Value, inner: Node, node: Node) -> Value:
    """``max(transpose(x))`` is the maximum of ``x`` over the axes that moved there."""
    return _reduced(b, x, inner, node)


@_rule(P.reduce(_TURNED, kind=("sum", "prod").__contains__), ROUNDING)
def transpose_past_sum(b: Rewriter, x: Value, inner: Node, node: Node) -> Value:
    """``sum(transpose(x))`` is the sum of ``x`` over the axes that moved there."""
    return _reduced(b, x, inner, node)


def _reduced(b: Rewriter, x: Value, inner: Node, node: Node) -> Value:
    held: Any = inner.op
    op: Any = node.op
    y = b.reduce(op.kind, x, [held.perm[a] for a in op.axes])
    left = [p for i, p in enumerate(held.perm) if i not in op.axes]
    order = sorted(left)
    return b.transpose(y, [order.index(p) for p in left])
