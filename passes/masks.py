"""Updates at the places where a mask holds, computed everywhere and then chosen.

``z[m] = f(z[m], c[m])`` finds positions, gathers, computes and scatters, and its sizes
are known in the run alone. ``z = where(m, f(z, c), z)`` has none of that, and is one
region with what is around it.
"""

from graphwright.ir.dim import equal
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.ir.op import is_elementwise
from graphwright.ir.ops.index import Gather, Scatter
from graphwright.passes.pattern import P
from graphwright.passes.rewriter import Rewriter
from graphwright.passes.rules import EXACT, RuleSet

MASKS = RuleSet("masks")
_rule = MASKS.rewrite

_MOST = 24
"""Operations up to which it pays to compute what the mask then leaves out."""
_WHOLE = frozenset({"add", "sub", "mul", "neg", "abs", "min", "max", "cast", "where"})
"""What is defined for all integers."""


@_rule(P.scatter("x", P.reshape(P.nonzero("mask")).named("at"), "y"), EXACT)
def update_where(
    b: Rewriter, x: Value, mask: Value, y: Value, at: Node, node: Node
) -> Value | None:
    """``x[m] = f(x[m], y[m])`` is ``where(m, f(x, y), x)`` for few elementwise ops."""
    op = node.op
    assert isinstance(op, Scatter)
    if op.mode != "set" or op.batch_dims or mask.rank != 1:
        return None
    if equal(mask.shape[0], x.shape[op.axis]) is not True:
        return None  # a mask of nothing fits any axis
    everywhere = _Everywhere(b, x, at.results[0], op.axis).value(y)
    if everywhere is None:
        return None
    shape = [n if i == op.axis else 1 for i, n in enumerate(x.shape)]
    return b.where(b.broadcast_to(b.reshape(mask, shape), x.shape), everywhere, x)


class _Everywhere:
    """Computes for a whole array what was computed for its elements at positions."""

    def __init__(self, b: Rewriter, like: Value, at: Value, axis: int) -> None:
        self.b, self.like, self.at, self.axis = b, like, at, axis
        self.found: dict[Value, Value | None] = {}

    def value(self, v: Value) -> Value | None:
        """The value for all positions, if it is that of each by itself."""
        if v not in self.found:
            if len(self.found) > _MOST:
                return None
            self.found[v] = self._made(v)
        return self.found[v]

    def _made(self, v: Value) -> Value | None:
        node = self.b.producer(v)
        if node is None:
            return None
        if node.op.name == "gather":
            return self._gathered(node)
        if node.op.name == "broadcast_to":
            return self._spread(node.operands[0])
        if not is_elementwise(node.op) or not _total(node):
            return None
        operands = [self.value(o) for o in node.operands]
        known = [o for o in operands if o is not None]
        if len(known) < len(operands):
            return None
        (result,) = self.b.apply(node.op, known)
        return result

    def _gathered(self, node: Node) -> Value | None:
        (x, at), op = node.operands, node.op
        assert isinstance(op, Gather)
        plain = op.axis == self.axis and not op.batch_dims
        return x if plain and at is self.at and x.shape == self.like.shape else None

    def _spread(self, x: Value) -> Value | None:
        """What is the same for all positions."""
        at = x.rank - (self.like.rank - self.axis)
        if at >= 0 and x.shape[at] != 1:
            return None
        return self.b.broadcast_to(x, self.like.shape)


def _total(node: Node) -> bool:
    """Whether an op is defined for whatever elements the mask leaves out."""
    types = [v.dtype for v in (*node.operands, *node.results)]
    return node.op.name in _WHOLE or not any(t.kind in "iu" for t in types)
