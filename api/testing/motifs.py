"""What rewrites look for, put into random graphs: each rewrite has a motif.

A motif is a recipe of a small piece of graph in which a rewrite applies, or just does
not: operands in another order, a number that is slightly off, a value that is read
again. Patterns of elementwise ops are their own motif; others are written out in
``motifs_*.py``, under the name of the rewrite, or of the pass, that they are for.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphwright.ir.dim import Dim
from graphwright.ir.dtype import DTYPES, DType
from graphwright.ir.emitter import Value
from graphwright.ir.op import OPS, Trait
from graphwright.passes.pattern import (
    Any_,
    ConstantPattern,
    Either,
    OpPattern,
    Pattern,
    Repeated,
    Splat,
)
from graphwright.testing.maker import Maker, Recipe, Reject
from graphwright.testing.recipes_elementwise import domain
from graphwright.testing.registry import kinds_of

MOTIFS: dict[str, Recipe] = {}
"""Motifs that are written out, by the name of the rewrite or pass."""

NUMBERS = (0.5, 2.0, 1.0, -1.5, 0.25, 3.0, -1.0)
"""What float constants are made of."""

_RARELY = 7


def motif(*names: str) -> Callable[[Recipe], Recipe]:
    """Registers the motif of rewrites or passes."""

    def register(function: Recipe) -> Recipe:
        MOTIFS.update(dict.fromkeys(names, function))
        return function

    return register


def rarely(m: Maker) -> bool:
    """Whether something is to be slightly wrong here."""
    return not m.sure and m.c.integer(0, _RARELY) == _RARELY


def often(m: Maker) -> bool:
    """Whether something is as usual here."""
    return m.sure or m.c.integer(0, 3) > 0


def numbers(m: Maker, dtype: DType, shape: Sequence[int]) -> Value:
    """A constant of a few different numbers."""
    count = int(np.prod(shape))
    line = [m.c.pick(NUMBERS) for _ in range(min(count, 4))] or [1.0]
    array = np.resize(np.array(line), tuple(shape)).astype(dtype.numpy)
    x = m.b.constant(array, dtype)
    return m.state(x, min(line), max(line), exact=True)


def number(m: Maker, dtype: DType, shape: Sequence[Dim], value: float) -> Value:
    """A tensor of one repeated number."""
    x = m.b.full(tuple(shape), value, dtype)
    return m.state(x, float(value), float(value), exact=True)


def along(
    m: Maker, dtype: DType, shape: Sequence[Dim], axis: int, full: bool | None = None
) -> Value:
    """A constant vector along one axis, repeated over the others.

    ``full`` says whether its shape has all axes; either way if it is None.
    """
    size = shape[axis]
    if not isinstance(size, int) or not size:
        raise Reject
    line = [1] * len(shape)
    line[axis] = size
    if rarely(m):
        line = [1] * len(shape)
    drop = next((i for i, d in enumerate(line) if d != 1), len(line) - 1)
    full = m.flag() if full is None else full
    held = numbers(m, dtype, line if full else line[drop:])
    return spread(m, held, shape)


def spread(m: Maker, x: Value, shape: Sequence[Dim]) -> Value:
    """A value repeated to a shape."""
    if x.shape == tuple(shape):
        return x
    return m.emit("broadcast_to", x, shape=tuple(shape))[0]


def read_again(m: Maker, *values: Value) -> None:
    """Rarely lets others read what only a rewrite should."""
    for v in values:
        if rarely(m):
            m.admit(v)


def either_order(m: Maker, name: str, x: Value, y: Value) -> Value:
    """An op that commutes, in either order."""
    return m.elementwise(name, *((x, y) if m.flag() else (y, x)))[0]


# Patterns as motifs -------------------------------------------------------------------


def is_own_motif(pattern: Pattern) -> bool:
    """Whether a pattern is made of elementwise ops with operands."""
    match pattern:
        case Either():
            return is_own_motif(pattern.left) and is_own_motif(pattern.right)
        case OpPattern():
            cls = OPS.get(pattern.name)
            plain = cls is not None and Trait.ELEMENTWISE in cls.traits
            fields = not pattern.fields and bool(pattern.operands)
            return plain and fields and all(map(is_own_motif, pattern.operands))
        case _:
            return True


def grown(m: Maker, pattern: OpPattern) -> Sequence[Value]:
    """What a pattern matches, and rarely something near it."""
    kinds = _kinds(pattern)
    x = m.tensor(kinds, (0, 3))
    growth = _Growth(m, x)
    m.admit(x)
    y = growth.grow(pattern, x.dtype, None)
    read_again(m, *growth.inner)
    return [y]


def _kinds(pattern: Pattern) -> str:
    """Kinds of dtypes that a pattern may be about."""
    wanted = set("fiub")
    for part in _parts(pattern):
        if isinstance(part, Any_) and part.dtypes:
            wanted &= set(part.dtypes)
        elif isinstance(part, OpPattern) and part.name not in ("where", "eq"):
            wanted &= set(kinds_of(OPS[part.name]))
        elif isinstance(part, Repeated):
            wanted &= set("f")
    if not wanted:
        raise Reject
    return "".join(k for k in "fiub" if k in wanted)


def _parts(pattern: Pattern) -> list[Pattern]:
    """A pattern and all inside it but for conditions."""
    match pattern:
        case Either():
            return [*_parts(pattern.left), *_parts(pattern.right)]
        case OpPattern():
            inner = pattern.operands[pattern.name == "where" :]
            return [pattern, *(p for each in inner for p in _parts(each))]
        case _:
            return [pattern]


class _Growth:
    """Values for the parts of one pattern."""

    def __init__(self, m: Maker, like: Value) -> None:
        self.m, self.like = m, like
        self.dtype, self.shape = like.dtype, like.shape
        self.axis, self.full = (m.axis(like) if like.rank else 0), m.flag()
        self.found: dict[str, Value] = {}
        self.inner: list[Value] = []

    def grow(
        self, pattern: Pattern, dtype: DType, within: tuple[float, float] | None
    ) -> Value:
        """A value that a pattern matches; names stand for one value each."""
        m = self.m
        match pattern:
            case Either():
                side = pattern.left if m.flag() else pattern.right
                return self.grow(side, dtype, within)
            case OpPattern():
                y = self._op(pattern, dtype)
                self.inner.append(y)
                return y
            case Splat():
                return self._splat(pattern, dtype)
            case Repeated():
                if not self.shape:
                    raise Reject
                axis = m.axis(self.like) if rarely(m) else self.axis
                return along(m, dtype, self.shape, axis, self.full)
            case ConstantPattern():
                return numbers(m, dtype, self._static())
            case Any_():
                return self._any(pattern.name, dtype, within)
        raise Reject

    def _static(self) -> list[int]:
        dims = [d for d in self.shape if isinstance(d, int)]
        if len(dims) < len(self.shape):
            raise Reject
        return dims

    def _any(
        self, name: str, dtype: DType, within: tuple[float, float] | None
    ) -> Value:
        if name in self.found and not rarely(self.m):
            return self.found[name]
        x = self.m.shaped(dtype, self.shape, within=within)
        return self.found.setdefault(name, x)

    def _splat(self, pattern: Splat, dtype: DType) -> Value:
        m, wanted = self.m, pattern.wanted
        if isinstance(wanted, str):
            value: float = m.c.pick([*NUMBERS, 0.0, 1e-3])
        elif rarely(m):
            value = float(wanted) * (1 + 2.0**-10) if m.flag() else -float(wanted)
        else:
            value = wanted
        if not dtype.is_float:
            value = bool(value) if dtype.kind == "b" else round(float(value))
        if dtype.kind == "u" and value < 0:
            raise Reject
        return number(m, dtype, self.shape, value)

    def _op(self, pattern: OpPattern, dtype: DType) -> Value:
        m, cls = self.m, OPS[pattern.name]
        types = [dtype] * len(pattern.operands)
        if pattern.name == "where":
            types[0] = DTYPES["bool"]
        if pattern.name in ("eq", "lt"):
            types = [self.dtype] * 2
        rows = zip(pattern.operands, types, strict=True)
        operands = [
            self.grow(p, t, domain(cls, i) if t.kind == "f" else None)
            for i, (p, t) in enumerate(rows)
        ]
        if len(pattern.orders) > 1 and m.flag():
            operands.reverse()
        fields: dict[str, Any] = {}
        if pattern.name == "where":
            return m.emit("where", *operands)[0]
        return m.elementwise(pattern.name, *operands, **fields)[0]
