"""Composites that exporters wrote out: activations, softmax, norms.

They are the function of the reals that the parts compute, rounded less, so these
rewrites are of the rounding class; where a part overflows, a composite may not.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.passes.movement import same_suffix
from graphwright.passes.pattern import P, Pattern, splat_under
from graphwright.passes.rewriter import Rewriter
from graphwright.passes.rules import EXACT, ROUNDING, RuleSet

COMPOSITES = RuleSet("composites")
_rule = COMPOSITES.rewrite


# Activations -------------------------------------------------------------------------


def _half_of(bent: Pattern) -> Pattern:
    """``x * bent / 2`` in each order."""
    return (
        P.scaled(P.mul("x", bent), 0.5)
        | P.mul(P.scaled("x", 0.5), bent)
        | P.mul("x", P.scaled(bent, 0.5))
    )


_BELL = P.add(P.erf(P.scaled("x", math.sqrt(0.5))), 1)
_CUBE = P.mul(P.mul("x", "x"), "x") | P.pow("x", 3)
_TURN = P.scaled(_CUBE, 0.044715) | P.mul(P.mul(P.scaled("x", 0.044715), "x"), "x")
_BENT = P.scaled(P.add("x", _TURN), math.sqrt(2 / math.pi))
_FACTORED = P.mul(
    P.scaled("x", math.sqrt(2 / math.pi)),
    P.add(P.mul(P.scaled("x", 0.044715), "x") | P.scaled(P.mul("x", "x"), 0.044715), 1),
)


@_rule(_half_of(_BELL), ROUNDING)
def gelu_erf(b: Rewriter, x: Value) -> Value:
    """``x * (1 + erf(x / sqrt(2))) / 2 = gelu(x)``."""
    return b.emit("gelu", x, tanh=False)


@_rule(_half_of(P.add(P.tanh(_BENT | _FACTORED), 1)), ROUNDING)
def gelu_tanh(b: Rewriter, x: Value) -> Value:
    """``x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2 = gelu(x)``."""
    return b.emit("gelu", x, tanh=True)


@_rule(P.div(1, P.add(P.exp(P.neg("x")), 1)), ROUNDING)
def logistic(b: Rewriter, x: Value) -> Value | None:
    """``1 / (1 + e ** -x) = sigmoid(x)``."""
    return b.unary("sigmoid", x) if x.dtype.is_float else None


@_rule(P.mul("x", P.sigmoid("x").once), ROUNDING)
def silu(b: Rewriter, x: Value) -> Value:
    """``x * sigmoid(x) = swish(x)``."""
    return b.emit("swish", x)


@_rule(P.mul("x", P.sigmoid(P.mul("x", P.splat("a")).once).once), ROUNDING)
def silu_scaled(b: Rewriter, x: Value, a: float) -> Value | None:
    """``x * sigmoid(a * x) = swish(x, a)`` for a number ``a``."""
    return b.emit("swish", x, alpha=float(a)) if math.isfinite(a) else None


@_rule(P.div(P.value("x", "f"), P.add(P.exp(P.neg("x")), 1)), ROUNDING)
def silu_divided(b: Rewriter, x: Value) -> Value:
    """``x / (1 + e ** -x) = swish(x)``."""
    return b.emit("swish", x)


@_rule(P.log(P.add(P.exp("x"), 1)) | P.log1p(P.exp("x")), ROUNDING)
def log_one_plus_exp(b: Rewriter, x: Value) -> Value | None:
    """``log(1 + e ** x) = softplus(x)``."""
    return b.unary("softplus", x) if x.dtype.is_float else None


@_rule(
    P.div(P.exp(P.value("s", "f")).named("top"), P.broadcast_to().named("under")),
    ROUNDING,
)
def exp_over_sum(b: Rewriter, s: Value, top: Node, under: Node) -> Value | None:
    """``e ** x / sum(e ** x) = softmax(x)``, ``x`` less its maximum or not."""
    total = reduced(b, under.results[0], "sum")
    if total is None or total[0] is not top.results[0] or len(total[1]) != 1:
        return None
    inner = b.made_by(s, "sub")
    if inner is not None:
        high = reduced(b, inner.operands[1], "max")
        if high is not None and high == (inner.operands[0], total[1]):
            s = inner.operands[0]
    return b.emit("softmax", s, axis=total[1][0])


# Means -------------------------------------------------------------------------------


def peel(b: Rewriter, v: Value) -> Value:
    """What a value repeats or reshapes."""
    while (node := b.made_by(v, "broadcast_to", "reshape")) is not None:
        v = node.operands[0]
    return v


def reduced(b: Rewriter, v: Value, kind: str) -> tuple[Value, tuple[int, ...]] | None:
    """``(x, axes)`` where a value is ``reduce(kind, x, axes)``, repeated or kept."""
    node = b.made_by(peel(b, v), "reduce")
    if node is None or getattr(node.op, "kind", "") != kind:
        return None
    return _over(b, v, node)


def _over(b: Rewriter, v: Value, node: Node) -> tuple[Value, tuple[int, ...]] | None:
    """Operand and axes of a reduction, if ``v`` is its result or has axes of 1."""
    op: Any = node.op
    x, source = node.operands[0], b.spread(v)
    dropped = source is v and v.shape == node.results[0].shape
    fits = dropped or _kept(source, x, op.axes)
    return (x, op.axes) if fits else None


def _kept(v: Value, x: Value, axes: Sequence[int]) -> bool:
    """Whether a value is shaped like ``x``, but for axes of size 1."""
    kept = [1 if i in axes else d for i, d in enumerate(x.shape)]
    return [*[1] * (x.rank - v.rank), *v.shape] == kept


def mean_of(b: Rewriter, v: Value) -> tuple[Value, tuple[int, ...]] | None:
    """``(x, axes)`` where a value is the mean of ``x`` over axes, repeated or kept."""
    node = b.made_by(peel(b, v), "mul", "div")
    for y, c in _sides(node):
        total, number = b.made_by(peel(b, y), "reduce"), splat_under(b, c)
        if total is None or number is None or getattr(total.op, "kind", "") != "sum":
            continue
        found = _over(b, v, total)
        count = found and math.prod(
            d for a in found[1] if isinstance(d := found[0].shape[a], int)
        )
        factor = (
            number if node is not None and node.op.name == "mul" else 1 / (number or 1)
        )
        static = found and all(isinstance(found[0].shape[a], int) for a in found[1])
        if count and static and math.isclose(factor * count, 1, rel_tol=1e-5):
            return found
    return None


def _sides(node: Node | None) -> Iterator[tuple[Value, Value]]:
    """Pairs of operands; of ops that commute in both orders."""
    if node is not None:
        x, y = node.operands
        yield x, y
        if node.op.name in ("add", "mul"):
            yield y, x


# Norms -------------------------------------------------------------------------------


@_rule(P.div(P.value("d", "f"), P.broadcast_to().named("under")), ROUNDING)
def norm_divided(b: Rewriter, d: Value, under: Node) -> Value | None:
    """``d / sqrt(mean(d**2) + e)`` is an RMS norm; of ``x - mean(x)`` a layer norm."""
    return _norm(b, d, under.operands[0], peel(b, under.operands[0]))


@_rule(P.mul(P.value("d", "f"), P.broadcast_to().named("under")), ROUNDING)
def norm_multiplied(b: Rewriter, d: Value, under: Node) -> Value | None:
    """``d * (1 / sqrt(mean(d**2) + e))`` is an RMS norm or a layer norm."""
    node = b.made_by(peel(b, under.results[0]), "div")
    if node is None or splat_under(b, node.operands[0]) != 1:
        return None
    return _norm(b, d, under.operands[0], peel(b, node.operands[1]))


def _norm(b: Rewriter, d: Value, source: Value, root: Value) -> Value | None:
    node = b.made_by(root, "sqrt")
    total = b.made_by(peel(b, node.operands[0]), "add") if node else None
    if d.dtype.accumulate is not d.dtype:
        return None
    for power, c in _sides(total):
        epsilon, found = splat_under(b, c), _mean_square(b, power)
        if epsilon is None or epsilon < 0 or found is None or found[0] is not d:
            continue
        axes = found[1]
        last = axes == tuple(range(d.rank - len(axes), d.rank))
        if not last or not _kept(source, d, axes):
            return None
        return _layer_or_rms(b, d, axes, float(epsilon))
    return None


def _mean_square(b: Rewriter, v: Value) -> tuple[Value, tuple[int, ...]] | None:
    found = mean_of(b, v)
    node = b.made_by(found[0], "mul", "pow") if found else None
    if found is None or node is None:
        return None
    x, y = node.operands
    square = x is y if node.op.name == "mul" else splat_under(b, y) == 2
    return (x, found[1]) if square else None


def _layer_or_rms(b: Rewriter, d: Value, axes: Sequence[int], epsilon: float) -> Value:
    centred = b.made_by(d, "sub")
    if centred is not None:
        x, mean = centred.operands
        if mean_of(b, mean) == (x, tuple(axes)):
            return b.emit("layer_norm", x, axis=axes[0], epsilon=epsilon)
    return b.emit("rms_norm", d, axis=axes[0], epsilon=epsilon)


_BARE = P.layer_norm("x").once.named("norm") | P.rms_norm("x").once.named("norm")


@_rule(P.mul(_BARE, "s"), ROUNDING)
def norm_scaled(b: Rewriter, x: Value, s: Value, norm: Node) -> Value | None:
    """``norm(x) * s = norm(x, s)`` for a scale of the normalised axes."""
    scale = _affine(b, s, norm)
    return None if scale is None else b.apply(norm.op, (x, scale))[0]


@_rule(P.add(P.layer_norm("x", "s").once.named("norm"), "t"), ROUNDING)
def norm_shifted(b: Rewriter, x: Value, s: Value, t: Value, norm: Node) -> Value | None:
    """``layer_norm(x, s) + t = layer_norm(x, s, t)``."""
    shift = _affine(b, t, norm)
    return None if shift is None else b.apply(norm.op, (x, s, shift))[0]


def _affine(b: Rewriter, v: Value, norm: Node) -> Value | None:
    """What a value repeats along the axes that are not normalised, or None."""
    source = b.spread(v)
    op: Any = norm.op
    wanted = norm.results[0].shape[op.axis :]
    lead = source.shape[: max(source.rank - len(wanted), 0)]
    fits = same_suffix(source.shape, wanted) == len(wanted) and all(
        d == 1 for d in lead
    )
    if source is v or not fits:
        return None
    return b.reshape(source, wanted)


@_rule(P.where(P.eq("x", "x"), P.value("x", "iu"), "y"), EXACT)
def where_no_nan(b: Rewriter, x: Value) -> Value:
    """``where(x == x, x, y) = x`` of integers."""
    return x
