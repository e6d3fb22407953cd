"""What recipes make graphs with: a builder that knows the range of every value."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from graphwright.ir.builder import Builder
from graphwright.ir.dim import Dim, symbol, symbols
from graphwright.ir.dim import evaluate as evaluate_dim
from graphwright.ir.dtype import DTYPES, DType, bool_, int64
from graphwright.ir.emitter import Value
from graphwright.ir.op import OPS
from graphwright.ir.rules import plain
from graphwright.ir.types import Guard, TensorType, Type
from graphwright.testing.choices import Choices
from graphwright.testing.values import NEAR, Interval, holds

LIMIT = 64.0
"""Floats beyond it are scaled down before they are used on."""

_GRID = 9


class Reject(Exception):
    """This recipe cannot go on from what is there."""


@dataclass(frozen=True)
class Fact:
    """What is known of all elements of a value.

    Attributes:
        low, high: Between what they lie (parts of complex numbers: in magnitude).
        exact: Whether every backend must give the same bits.
    """

    low: float = -NEAR
    high: float = NEAR
    exact: bool = True


@dataclass(frozen=True)
class World:
    """What graphs are made of.

    Attributes:
        dims: Sizes to choose from.
        dtypes: Names of dtypes to choose from, by kind; the likelier the more often.
        sizes: Values of symbols that graphs must be able to run with, one or more.
        fresh: Whether every operand is a new input.
        alias: Whether operands of one type are one value.
        view: How inputs reach their ops: ``""``, ``flip``, ``spread`` or ``turn``.
    """

    dims: tuple[Dim, ...]
    dtypes: Mapping[str, tuple[str, ...]]
    sizes: tuple[Mapping[str, int], ...] = ({},)
    fresh: bool = False
    alias: bool = False
    view: str = ""


@dataclass
class _State:
    pool: list[Value] = field(default_factory=list[Value])
    sizes: list[Mapping[str, int]] = field(default_factory=list[Mapping[str, int]])


Recipe: TypeAlias = "Callable[[Maker], Sequence[Value]]"
"""Adds ops, one of them the one it is for, and returns what they give."""


class Maker:
    """A graph under construction by recipes.

    Attributes:
        b: The builder.
        c: Decides.
        world: What graphs are made of.
        within: Intervals of the inputs that lie elsewhere than others, by name.
        sure: Whether motifs leave out what is slightly wrong.
    """

    def __init__(self, b: Builder, c: Choices, world: World) -> None:
        self.b, self.c, self.world = b, c, world
        self.facts: dict[Value, Fact] = {}
        self.within: dict[str, Interval] = {}
        self.used: set[str] = set()
        self.closed = self.sure = False
        self._names: dict[str, int] = {}
        self._inputs: dict[Value, str] = {}
        self._state = _State(sizes=list(world.sizes))

    # What is there ------------------------------------------------------------------

    @property
    def pool(self) -> list[Value]:
        """Values that can be used on."""
        return self._state.pool

    def admit(self, *values: Value) -> None:
        """Puts values into the pool."""
        self._state.pool += [v for v in values if v not in self._state.pool]

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """A block whose nodes are taken back if it is rejected, or fits no sizes."""
        mark, pool = self.b.mark(), len(self.pool)
        before = list(self._state.sizes)
        try:
            yield
            self._check_guards()
        except Reject:
            self.b.undo(mark)
            del self.pool[pool:]
            self._state.sizes = before
            raise

    def _check_guards(self) -> None:
        guards = self.b.finish([]).guards
        known = self.b.input_symbols()
        for g in guards:
            if not (symbols(g.left) | symbols(g.right)) <= known:
                raise Reject  # only a run knows whether it holds
        fit = [s for s in self._state.sizes if all(holds(g, s) for g in guards)]
        if not fit:
            raise Reject
        self._state.sizes = fit

    def fact(self, x: Value) -> Fact:
        """What is known of a value."""
        return self.facts.get(x, Fact())

    def state(self, x: Value, low: float, high: float, *, exact: bool = False) -> Value:
        """``x``, of which this is known."""
        self.facts[x] = Fact(low, high, exact)
        return x

    def most(self, dim: Dim) -> int:
        """The largest value that a dim has for the sizes in question."""
        known = (s for s in self._state.sizes if symbols(dim) <= s.keys())
        return max((evaluate_dim(dim, s) for s in known), default=LARGEST_FRESH)

    def positive(self, *dims: Dim) -> None:
        """Asks that sizes are at least 1."""
        for dim in dims:
            if isinstance(dim, int):
                if dim < 1:
                    raise Reject
            else:
                self.b.guard(Guard(1, "<=", dim))

    # Decisions ------------------------------------------------------------------------

    def flag(self) -> bool:
        """Yes or no."""
        return self.c.integer(0, 1) == 1

    def axis(self, x: Value) -> int:
        """One of the axes of a value."""
        if not x.rank:
            raise Reject
        return self.c.integer(0, x.rank - 1)

    def axes(self, x: Value, least: int = 1) -> tuple[int, ...]:
        """Some of the axes, in ascending order."""
        found = tuple(a for a in range(x.rank) if self.flag())
        if len(found) < least:
            found = tuple(range(x.rank))
        if len(found) < least:
            raise Reject
        return found

    def order(self, n: int) -> tuple[int, ...]:
        """A permutation."""
        left = list(range(n))
        return tuple(left.pop(self.c.integer(0, len(left) - 1)) for _ in range(n))

    def dim(self, *, static: bool = False) -> Dim:
        """A size; symbols only if an input has them already."""
        known = self.b.input_symbols()
        dims = [d for d in self.world.dims if isinstance(d, int) or symbols(d) <= known]
        if static or not dims:
            dims = [d for d in dims if isinstance(d, int)] or [2]
        return self.c.pick(dims)

    def shape(self, low: int, high: int) -> tuple[Dim, ...]:
        """A shape of that many axes."""
        return tuple(self.dim() for _ in range(self.c.integer(low, high)))

    def dtype(self, kinds: str) -> DType:
        """A dtype of one of these kinds."""
        have = [k for k in kinds if self.world.dtypes.get(k)]
        if not have:
            raise Reject
        name = self.c.pick(self.world.dtypes[self.c.pick(have)])
        self.used.add(name)
        return DTYPES[name]

    # Operands -------------------------------------------------------------------------

    def tensor(
        self,
        kinds: str = "f",
        rank: tuple[int, int] = (0, 3),
        *,
        within: tuple[float, float] | None = None,
        exact: bool = False,
    ) -> Value:
        """A tensor: one that is there, or a new input."""
        found = [v for v in self.pool if self._serves(v, kinds, rank, exact)]
        if found and not self.world.fresh and self.c.integer(0, 5):
            x = self.c.pick(found)
        else:
            dtype = self.dtype(kinds)
            x = self.input(TensorType(dtype, self._open_shape(*rank)), within)
        return self.inside(x, within)

    def _serves(self, v: Value, kinds: str, rank: tuple[int, int], exact: bool) -> bool:
        t = v.type
        if not isinstance(t, TensorType) or t.dtype.kind not in kinds:
            return False
        names = self.world.dtypes.get(t.dtype.kind, ())
        fits = t.dtype.name in names and rank[0] <= t.rank <= rank[1]
        return fits and (self.fact(v).exact or not exact)

    def _open_shape(self, low: int, high: int) -> tuple[Dim, ...]:
        """A shape for a new input, which may bring symbols of its own."""
        if self.closed:
            return self.shape(low, high)
        count = self.c.integer(low, high)
        return tuple(self.c.pick(self.world.dims) for _ in range(count))

    def shaped(
        self,
        dtype: DType,
        shape: Sequence[Dim],
        *,
        within: tuple[float, float] | None = None,
        exact: bool = False,
    ) -> Value:
        """A tensor of this dtype and shape."""
        shape = tuple(shape)
        self.used.add(dtype.name)
        found = [
            v
            for v in (self._inputs if self.world.alias else self.pool)
            if isinstance(v.type, TensorType)
            and v.dtype is dtype
            and v.type.shape == shape
            and (self.fact(v).exact or not exact)
        ]
        if found and self.world.alias:
            return self._again(self.c.pick(found), within)
        if found and not self.world.fresh and self.c.integer(0, 3):
            return self.inside(self.c.pick(found), within)
        return self.inside(self._made(dtype, shape, within), within)

    def _made(
        self, dtype: DType, shape: tuple[Dim, ...], within: tuple[float, float] | None
    ) -> Value:
        known = frozenset[str]().union(*map(symbols, shape)) <= self.b.input_symbols()
        roomy = not self.closed and len(self._names) < 8
        if self.world.fresh or (known and roomy and self.c.integer(0, 2)):
            return self.input(TensorType(dtype, shape), within)
        if dtype.kind not in "biuf":
            raise Reject
        number = float(self.c.pick([1, 0, 2]))
        x = self.b.full(shape, number, dtype)
        return self.state(x, number, number, exact=True)

    def like(
        self,
        x: Value,
        *,
        within: tuple[float, float] | None = None,
        exact: bool = False,
    ) -> Value:
        """A tensor of the same dtype and shape."""
        if self.world.alias:
            return self._again(x, within)
        return self.shaped(x.dtype, x.shape, within=within, exact=exact)

    def _again(self, x: Value, within: tuple[float, float] | None) -> Value:
        """An operand once more; an input that has to lie in both intervals."""
        name, fact = self._inputs.get(x), self.fact(x)
        low, high = within or (-np.inf, np.inf)
        low, high = max(low, fact.low), min(high, fact.high)
        if name is not None and within is not None and low < high:
            self.within[name], self.facts[x] = (low, high), Fact(low, high, fact.exact)
        return self.inside(x, within)

    def input(
        self, type_: Type, within: Interval | None = None, stem: str = "x"
    ) -> Value:
        """A new input."""
        count = self._names[stem] = self._names.get(stem, -1) + 1
        name = f"{stem}{count}"
        view = self.world.view if isinstance(type_, TensorType) else ""
        v = self.b.input(name, _viewed(type_, view) if view else type_)
        if within is not None:
            self.within[name] = within
        self._inputs[v] = name
        x = self._seen(v, type_, view) if view else v
        low, high = within or (-NEAR, NEAR)
        if isinstance(low, int | float) and isinstance(high, int | float):
            self.facts[x] = Fact(low, high)
        return x

    def _seen(self, v: Value, type_: Any, view: str) -> Value:
        """An input as its consumer sees it, through a view."""
        b = self.b
        if view == "spread":
            return b.broadcast_to(v, type_.dims)
        if view == "flip":
            return b.flip(v, range(v.rank)) if v.rank else v
        return b.transpose(v, tuple(reversed(range(v.rank))))

    def constant(self, value: Any, dtype: DType | None = None) -> Value:
        """A constant."""
        array = np.asarray(value)
        x = self.b.constant(array, dtype)
        if array.size and array.dtype.kind in "iuf":
            self.state(x, float(array.min()), float(array.max()), exact=True)
        return x

    def indices(self, shape: Sequence[Dim], below: Dim, dtype: DType = int64) -> Value:
        """Integers from 0 up to, not including, a dim."""
        self.positive(below)
        if self.world.fresh:
            return self.input(TensorType(dtype, tuple(shape)), (0, below - 1), "index")
        x = self.shaped(dtype, shape)
        if isinstance(below, int) and below == 1:
            return self.b.zeros_like(x)
        size = self.b.cast(self.b.dim_scalar(below, int64), dtype)
        return self.b.rem(self.b.abs(self.b.rem(x, size)), size)

    # Ranges -----------------------------------------------------------------------

    def inside(self, x: Value, within: tuple[float, float] | None) -> Value:
        """A real tensor whose elements lie in an interval: clipped or scaled."""
        t = x.type
        if not isinstance(t, TensorType) or t.dtype.kind not in "iuf":
            return x
        fact = self.fact(x)
        low, high = within or (-LIMIT, LIMIT)
        known = t.dtype.is_float or self.world.fresh or x in self.b.constants
        if known and low <= fact.low and fact.high <= high:
            return x
        if t.dtype.is_int and within is None:
            return x
        if t.dtype.is_int or fact.exact or self.c.integer(0, 1):
            return self._clipped(x, low, high)
        return self._scaled(x, low, high)

    def _clipped(self, x: Value, low: float, high: float) -> Value:
        fact = self.fact(x)
        if x.dtype.kind == "u":
            low = max(low, 0)
        y = self.b.min(self.b.max(x, low), high)
        return self.state(y, low, high, exact=fact.exact)

    def _scaled(self, x: Value, low: float, high: float) -> Value:
        fact = self.fact(x)
        factor = min((high - low) / max(fact.high - fact.low, 1e-3), 1.0) / 1.125
        middle = (high + low) / 2 - factor * (fact.high + fact.low) / 2
        y = self.b.mul(x, factor)
        y = self.b.add(y, middle) if abs(middle) > 1e-3 * (high - low) else y
        return self.state(y, low, high)

    # Nodes ----------------------------------------------------------------------------

    def emit(self, name: str, *operands: Value, **fields: Any) -> tuple[Value, ...]:
        """Adds an op whose results lie where its operands do."""
        op = OPS[name](**fields)
        facts = [self.fact(v) for v in operands] or [Fact()]
        exact = all(f.exact for f in facts) and op.error_bound() == 0
        low, high = min(f.low for f in facts), max(f.high for f in facts)
        results = self.b.emit_all(name, *operands, **fields)
        for v in results:
            whole = isinstance(v.type, TensorType) and v.dtype.kind not in "fc"
            self.facts[v] = Fact(low, high, exact or whole)
        return results

    def bounded(
        self, size: float, name: str, *operands: Value, **fields: Any
    ) -> tuple[Value, ...]:
        """Adds an op whose results are at most ``size`` in magnitude."""
        results = self.emit(name, *operands, **fields)
        for v in results:
            self.facts[v] = Fact(-size, size, self.facts[v].exact)
        return results

    def size(self, *values: Value) -> float:
        """The largest magnitude in values."""
        facts = [self.fact(v) for v in values]
        return max([abs(e) for f in facts for e in (f.low, f.high)], default=0.0)

    def elementwise(self, name: str, *operands: Value, **fields: Any) -> list[Value]:
        """Adds an elementwise op; its range is found on a grid of its operands'."""
        (y,) = self.emit(name, *operands, **fields)
        if y.dtype.kind in "fc" and all(v.dtype.kind == "f" for v in operands):
            op, exact = OPS[name](**fields), self.facts[y].exact
            ends = [self.fact(v) for v in operands]
            if not np.isfinite([(f.low, f.high) for f in ends]).all():
                raise Reject
            lines = [np.linspace(f.low, f.high, _GRID) for f in ends]
            rows = np.array(list(itertools.product(*lines))).T
            with np.errstate(all="ignore"):
                z = (
                    np.abs(op.compute(np, *rows))
                    if y.dtype.kind == "c"
                    else op.compute(np, *rows)
                )
                margin = 0.125 * float(z.max() - z.min())
            self.state(y, float(z.min()) - margin, float(z.max()) + margin, exact=exact)
        elif y.dtype.kind == "f":
            self.state(y, 0.0, 2 * self.size(*operands))
        elif y.dtype.kind == "c":
            size = max(self.size(*operands), 1.0)
            self.state(y, -2 * size * size, 2 * size * size)
        return [y]

    # Sub-graphs -----------------------------------------------------------------------

    def inner(self, name: str) -> "Maker":
        """A maker of a sub-graph, which sees symbols but no values of this one."""
        sub = Maker(self.b.subgraph(name), self.c, self.world)
        sub.closed = True
        sub._state.sizes = self._state.sizes
        return sub


LARGEST_FRESH = 64
"""Taken for sizes that only a run finds."""


def _viewed(type_: Any, view: str) -> TensorType:
    """The type of an input that a view makes into another."""
    dims = list(type_.dims)
    if view == "turn":
        dims.reverse()
    if view == "spread" and dims:
        dims[0] = 1
    return TensorType(type_.dtype, tuple(dims))


def bare(x: Value) -> Type:
    """A value's type without known contents."""
    return plain(x.type)


SYMBOLS = {name: symbol(name) for name in ("n", "m", "k")}
BOOL = bool_
