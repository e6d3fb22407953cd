"""Dims through float arithmetic: ``int(floor(float(seq) / 2))`` is ``seq//2``.

Exporters divide sizes in floats. Such a value is followed back to the dims it comes
from, exactly: as quotients of dims. Floats that are no small fraction end the search.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from graphwright.ir.constant import Constant
from graphwright.ir.dim import (
    Dim,
    bounds,
    ceildiv,
    exact_quotient,
    floordiv,
    maximum,
    minimum,
)
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.ir.rules import small_size
from graphwright.ir.types import TensorType

Producer: TypeAlias = Callable[[Value], Node | None]
Known: TypeAlias = Mapping[Value, Constant]

_DENOMINATOR = 1 << 12
_DEPTH = 32
_MOVES = ("reshape", "transpose", "broadcast_to", "slice", "concat")


class Ratio:
    """A quotient of dims; the lower one is not negative."""

    __slots__ = ("high", "low")

    def __init__(self, high: Dim, low: Dim = 1) -> None:
        self.high, self.low = high, low


def whole_dims(producer: Producer, known: Known, x: Value) -> tuple[Dim, ...] | None:
    """The elements of a small float tensor, truncated, as dims; None if not known."""
    found = _ratios(producer, known, x, _DEPTH)
    if found is None:
        return None
    dims = [_floor(r) if _nonnegative(r.high) else None for r in found.ravel()]
    return None if None in dims else tuple(d.high for d in dims if d is not None)


def _nonnegative(dim: Dim) -> bool:
    low = bounds(dim)[0]
    return low is not None and low >= 0


def _ratios(producer: Producer, known: Known, x: Value, depth: int) -> Any:
    """An object array of the elements as quotients, or None."""
    t = x.type
    if depth == 0 or not isinstance(t, TensorType) or t.shape is None:
        return None
    if small_size(t.shape) is None:
        return None
    if t.contents is not None:
        return _array([None if c is None else Ratio(c) for c in t.contents], t)
    if x in known:
        return _array([_fraction(v) for v in known[x].array().ravel().tolist()], t)
    node = producer(x)
    return None if node is None else _through(producer, known, node, depth - 1)


def _array(items: list[Any], t: TensorType) -> Any:
    if None in items:
        return None
    out = np.empty(len(items), object)
    out[:] = items
    return out.reshape(t.dims)


def _fraction(value: Any) -> Ratio | None:
    if not isinstance(value, int | float) or not np.isfinite(value):
        return None
    exact = Fraction(value)
    small = exact.denominator <= _DENOMINATOR and abs(exact.numerator) < 1 << 53
    return Ratio(exact.numerator, exact.denominator) if small else None


def _through(producer: Producer, known: Known, node: Node, depth: int) -> Any:
    name = node.op.name
    rule = _RULES.get(name)
    if rule is None and (name not in _MOVES or node.op.has_symbols()):
        return None
    operands = [_ratios(producer, known, v, depth) for v in node.operands]
    if any(v is None for v in operands):
        return None
    if rule is None:
        return node.op.compute(np, *operands)
    rows = zip(*(v.ravel() for v in operands), strict=True)
    (result,) = node.results
    if name == "cast" and not (result.dtype.is_float and result.dtype.bits >= 32):
        return None
    return _array([rule(*row) for row in rows], result.tensor)


def _same(x: Ratio) -> Ratio:
    return x


def _neg(x: Ratio) -> Ratio:
    return Ratio(-x.high, x.low)


def _mul(x: Ratio, y: Ratio) -> Ratio:
    return Ratio(x.high * y.high, x.low * y.low)


def _div(x: Ratio, y: Ratio) -> Ratio | None:
    by = bounds(y.high)
    if by[0] is not None and by[0] >= 0 and y.high != 0:
        return Ratio(x.high * y.low, x.low * y.high)
    return None


def _add(x: Ratio, y: Ratio) -> Ratio:
    if x.low == y.low:
        return Ratio(x.high + y.high, x.low)
    return Ratio(x.high * y.low + y.high * x.low, x.low * y.low)


def _sub(x: Ratio, y: Ratio) -> Ratio:
    return _add(x, _neg(y))


def _floor(x: Ratio) -> Ratio:
    exact = exact_quotient(x.high, x.low)
    return Ratio(floordiv(x.high, x.low) if exact is None else exact)


def _ceil(x: Ratio) -> Ratio:
    exact = exact_quotient(x.high, x.low)
    return Ratio(ceildiv(x.high, x.low) if exact is None else exact)


def _trunc(x: Ratio) -> Ratio | None:
    return _floor(x) if _nonnegative(x.high) else None


def _extreme(pick: Callable[[Dim, Dim], Dim]) -> Callable[[Ratio, Ratio], Ratio]:
    def rule(x: Ratio, y: Ratio) -> Ratio:
        return Ratio(pick(x.high * y.low, y.high * x.low), x.low * y.low)

    return rule


_RULES: Mapping[str, Callable[..., Ratio | None]] = {
    "cast": _same,
    "neg": _neg,
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "floor": _floor,
    "ceil": _ceil,
    "trunc": _trunc,
    "max": _extreme(maximum),
    "min": _extreme(minimum),
}
