"""Rotary embeddings that exporters wrote out, of halves or of neighbours.

``x * cos + turned(x) * sin``, where ``turned`` takes pairs ``(u, v)`` to ``(-v, u)``,
or the two halves ``u * cos - v * sin`` and ``v * cos + u * sin``, joined.
"""

from collections.abc import Sequence
from typing import Any

from graphwright.ir.dim import Dim, floordiv
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.ir.record import record
from graphwright.passes.pattern import P
from graphwright.passes.rewriter import Rewriter
from graphwright.passes.rules import ROUNDING, RuleSet

ROTARY = RuleSet("rotary")
_rule = ROTARY.rewrite


@record(frozen=True, slots=True)
class _Window:
    """A box of a value, its last axis walked in steps of 1 or 2."""

    x: Value
    start: tuple[Dim, ...]
    size: tuple[Dim, ...]
    step: int

    def value(self, b: Rewriter) -> Value:
        """What it shows."""
        whole = self.size == self.x.shape and not any(self.start)
        return self.x if whole else b.slice(self.x, self.start, self.size)

    def shown_by(self, b: Rewriter, v: Value) -> bool:
        """Whether a value is what it shows."""
        if self.size == self.x.shape and not any(self.start):
            return v is self.x
        node = b.made_by(v, "slice")
        return node is not None and _sliced(node) == self


def _window(b: Rewriter, v: Value) -> _Window | None:
    """The box that a value is; a column of neighbours is every second element."""
    node = b.made_by(v, "slice")
    if node is not None:
        return _sliced(node)
    node = b.made_by(v, "reshape")  # [..., R] -> [..., R / 2, 2] -> [..., i : i + 1]
    inner = b.made_by(node.operands[0], "slice") if node else None
    split = b.made_by(inner.operands[0], "reshape") if inner else None
    if inner is None or split is None:
        return None
    x, op = split.operands[0], _op(inner)
    lead = (*x.shape[:-1], floordiv(x.shape[-1], 2)) if x.rank else ()
    column = split.results[0].shape == (*lead, 2) and v.shape == lead
    if not column or op.size != (*lead, 1) or any(op.start[:-1]):
        return None
    return _Window(x, (*op.start[: x.rank - 1], op.start[-1]), lead, 2)


def _sliced(node: Node) -> _Window | None:
    op = _op(node)
    plain = len(op.step) > 0 and all(s == 1 for s in op.step[:-1])
    if not plain or op.step[-1] not in (1, 2):
        return None
    return _Window(node.operands[0], op.start, op.size, op.step[-1])


def _pairs(b: Rewriter, u: Value, v: Value) -> tuple[_Window, bool] | None:
    """What values are the firsts and seconds of, and whether these are neighbours."""
    first, second = _window(b, u), _window(b, v)
    if first is None or second is None or first.x is not second.x:
        return None
    (*lead, at), (*size, half) = first.start, first.size
    gap = 1 if first.step == 2 else half
    alike = (first.size, first.step) == (second.size, second.step)
    if not alike or second.start != (*lead, at + gap):
        return None
    return _Window(first.x, first.start, (*size, half * 2), 1), first.step == 2


def _op(node: Node) -> Any:
    return node.op


def _joined(b: Rewriter, v: Value) -> tuple[Value, Value, bool] | None:
    """Firsts and seconds that a value is made of, and whether they are neighbours."""
    node = b.made_by(v, "concat")
    if node is not None:
        plain = len(node.operands) == 2 and _op(node).axis == v.rank - 1
        return (*node.operands, False) if plain else None  # type: ignore[return-value]
    outer = b.made_by(v, "reshape")
    node = b.made_by(outer.operands[0], "concat") if outer else None
    if node is None or len(node.operands) != 2 or not v.rank:
        return None
    columns = [b.made_by(x, "reshape") for x in node.operands]
    if columns[0] is None or columns[1] is None:
        return None
    shape = (*v.shape[:-1], floordiv(v.shape[-1], 2))
    last = _op(node).axis == v.rank
    fits = all(c is not None and c.results[0].shape == (*shape, 1) for c in columns)
    if not last or not fits:
        return None
    first, second = (b.reshape(c.operands[0], shape) for c in columns if c is not None)
    return first, second, True


def _turned(b: Rewriter, v: Value) -> tuple[_Window, bool] | None:
    """``x`` where a value has ``(-v, u)`` for each of its pairs ``(u, v)``."""
    found = _joined(b, v)
    minus = b.made_by(found[0], "neg") if found else None
    if found is None or minus is None:
        return None
    pairs = _pairs(b, found[1], minus.operands[0])
    return pairs if pairs is not None and pairs[1] is found[2] else None


_PRODUCTS = (P.mul("p", "q").once, P.mul("r", "s").once)


@_rule(P.add(*_PRODUCTS), ROUNDING)
def rotary(
    b: Rewriter, p: Value, q: Value, r: Value, s: Value, node: Node
) -> Value | None:
    """``x * cos + turned(x) * sin = rotary_embedding(x, cos, sin)``."""
    for (x, c), (y, d) in (((p, q), (r, s)), ((r, s), (p, q))):
        for turned, sin in ((y, d), (d, y)):
            found = _turned(b, turned)
            for plain, cos in ((x, c), (c, x)) if found else ():
                if found and found[0].shown_by(b, plain):
                    return _emit(b, plain, cos, sin, found[1])
    return None


@_rule(P.concat() | P.reshape(P.concat()), ROUNDING)
def rotary_of_halves(b: Rewriter, node: Node) -> Value | None:
    """``(u * cos - v * sin, v * cos + u * sin)``, joined, of pairs ``(u, v)``."""
    found = _joined(b, node.results[0])
    if found is None:
        return None
    lower, upper = b.made_by(found[0], "sub"), b.made_by(found[1], "add")
    if lower is None or upper is None:
        return None
    for u, c in _factors(b, lower.operands[0]):
        for v, s in _factors(b, lower.operands[1]):
            pairs = _pairs(b, u, v)
            if pairs is None or pairs[1] is not found[2]:
                continue
            wanted = {_unordered(b, v, c), _unordered(b, u, s)}
            other = (_factors(b, x) for x in upper.operands)
            if wanted == {_unordered(b, *m) for pair in other for m in pair}:
                return _emit(b, pairs[0].value(b), c, s, pairs[1])
    return None


def _unordered(b: Rewriter, x: Value, y: Value) -> frozenset[Value]:
    return frozenset((b.spread(x), b.spread(y)))


def _factors(b: Rewriter, v: Value) -> Sequence[tuple[Value, Value]]:
    """The operands of a product, in both orders."""
    node = b.made_by(v, "mul")
    if node is None:
        return ()
    x, y = node.operands
    return (x, y), (y, x)


def _emit(
    b: Rewriter, x: Value, cos: Value, sin: Value, interleaved: bool
) -> Value | None:
    if not x.dtype.is_float:
        return None
    angles = [_angles(b, v) for v in (cos, sin)]
    return b.emit("rotary_embedding", x, *angles, interleaved=interleaved)


def _angles(b: Rewriter, v: Value) -> Value:
    """Angles before they were repeated, where each pair keeps its own."""
    source = b.spread(v)
    kept = source.rank > 0 and source.shape[-1] == v.shape[-1]
    return source if kept else v
