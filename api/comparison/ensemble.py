"""The graph in float64, several times in step, resynchronised with what a backend gave.

Each node is computed exactly, in its own dtypes, and a few times a little off (see
``graphwright.testing.shadow``); the spread gives the bound of each value. Where a
backend's value is known, it takes the place of all of these once it was judged: what
follows is judged from there, so that an error is charged to the node that made it and
to none that merely passes it on.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from graphwright.comparison.metrics import alike
from graphwright.ir.emitter import Value
from graphwright.ir.errors import GraphwrightError
from graphwright.ir.evaluate import (
    Env,
    Evaluator,
    bind_inputs,
    bind_op,
    define_symbols,
)
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op, Tier, Trait
from graphwright.ir.types import TensorType
from graphwright.testing.shadow import (
    Bound,
    Shadow,
    bound_from,
    epsilon,
    wide_op,
    widened,
)

PAIRS, FEW = 4, 2
"""Pairs of members that are a little off, one to each side: an error to the other side
matters where something is cut off, as at 0. ``FEW`` do where each node starts anew."""

_NOISE = 1 << 16
_EXTRA = 6
"""How many more runs there are of an op that is made of others."""

_APART = 64.0
"""How much smaller errors may be where neighbours are large."""

_OPERANDS = (0.7, 0.4)
"""Errors of even and odd operands, of those of the result: unlike, lest they cancel."""


class Wobbly(Shadow):
    """A shadow run whose errors have the size that is allowed, and random signs.

    Args:
        seed: Of the signs.
        side: 1 or -1: two that differ in this alone lie on both sides.
        sizes: Errors of the present node's sums, shared by all members.
    """

    def __init__(self, seed: int, side: int, sizes: dict[Node, Any]) -> None:
        super().__init__(np.random.default_rng(seed))
        signs = self.rng.integers(0, 2, 2 * _NOISE).astype(np.float64) * 2 - 1
        self._signs, self._sizes = side * signs, sizes

    def _off(self, operands: list[Any], node: Node, ulps: float) -> list[Any]:
        """Operands as an implementation seems to see them; sums are blurred instead."""
        kinds = [v.dtype for v in node.results if _floats(v)]
        if not kinds or _sums(node.op):
            return operands
        step = epsilon(max(kinds, key=epsilon)) * ulps
        rows = enumerate(zip(operands, node.operands, strict=True))
        return [
            self._noisy(x, _OPERANDS[i % 2] * step) if _floats(v) else x
            for i, (x, v) in rows
        ]

    def _blur(
        self, op: Op, node: Node, operands: Sequence[Any], results: list[Any]
    ) -> None:
        if not _sums(op) or not _floats(node.results[0]):
            super()._blur(op, node, operands, results)
            return
        if node not in self._sizes:
            self._sizes.clear()
            self._sizes[node] = _size_of_terms(op, node, operands)
        own = node.results[0].dtype
        wide = widened(results[0], node.results[0].type)
        size = epsilon(own) * np.abs(wide) + self._sizes[node]
        results[0] = self._noisy(wide, 1.0, size)

    def _noisy(self, x: Any, step: float, scale: Any = 0.0) -> Any:
        size = np.size(x)
        start = int(self.rng.integers(0, _NOISE))
        signs = np.resize(self._signs[start : start + _NOISE], size)
        noise: Any = (signs * step).reshape(np.shape(x))
        if x.dtype.kind == "c":
            noise = noise * np.exp(1j * np.arange(size).reshape(np.shape(x)))
        with np.errstate(all="ignore"):
            size = scale if np.ndim(scale) else np.maximum(np.abs(x), scale)
            moved = x + size * noise
            return np.where(np.isfinite(moved), moved, x)


def _sums(op: Op) -> bool:
    return op.tier is Tier.PRIMITIVE and Trait.REDUCTION in op.traits


def _size_of_terms(op: Op, node: Node, operands: Sequence[Any]) -> Any:
    """Errors of each result of a sum: ``epsilon * sum(|x| |w|)``.

    Of n terms the worst case is n times that; roundings are independent, and their sum
    grows as the root of n, as does this over the norm of the terms. Methods that share
    work between elements share errors, too: they are at least the mean over the tensor,
    and not much less than the largest. Weights that a rewrite scaled are rounded anew
    in their own dtype.
    """
    rows = list(zip(operands, node.operands, strict=True))
    wide, own = wide_op(op), node.results[0].dtype
    with np.errstate(all="ignore"):
        sizes = (np.abs(x) if _floats(v) else x for x, v in rows)
        found = epsilon(own.accumulate) * np.abs(wide.compute(np, *sizes))
        finite = found[np.isfinite(found)] if op.growth > 1 else found
        if op.growth > 1 and finite.size:
            most = float(finite.max()) or 1.0
            mean = most * float(np.sqrt(np.mean(np.square(finite / most))))
            found = op.growth * np.maximum(found, max(mean, most / _APART))
        if own.accumulate is not own and len(operands) > 1:
            squares = (np.square(x) if _floats(v) else x for x, v in rows)
            norm = np.sqrt(np.abs(wide.compute(np, *squares)))
            found = found + epsilon(own) * norm
    return found


def _floats(v: Value) -> bool:
    return isinstance(v.type, TensorType) and v.dtype.kind in "fc"


class _Member:
    """One of the runs: values and symbols."""

    def __init__(self, runner: Evaluator) -> None:
        self.runner = runner
        self.values: dict[Value, Any] = {}
        self.env: Env = {}
        self.broken = False

    def begin(self, graph: Graph, feeds: Sequence[Any]) -> None:
        self.env, self.values, self.broken = {}, {}, False
        bind_inputs(graph, feeds, self.env)
        self.values.update(zip(graph.inputs, feeds, strict=True))
        for name, constant in graph.variables.items():
            self.runner.state.setdefault(name, constant.array())

    def step(self, node: Node, held: Mapping[Value, Any]) -> Sequence[Any] | None:
        """A node's results, or None if errors led it out of what the op allows."""
        if self.broken:
            return None
        operands = [
            self.values[v] if v in self.values else held[v] for v in node.operands
        ]
        try:
            found = self.runner.step(node, operands, self.env)
        except GraphwrightError:
            self.broken = True
            return None
        self.values.update(zip(node.results, found, strict=True))
        return found

    def inside(
        self, node: Node, found: Sequence[Any], exact: Sequence[Any]
    ) -> Sequence[Any]:
        """Results, the exact ones where an error led out of what the op is defined on.

        The square of a negative number is one, its power 2.0000001 is none.
        """
        kept = list(found)
        for i, v in enumerate(node.results):
            if _floats(v) and np.shape(found[i]) == np.shape(exact[i]):
                lost = np.isnan(found[i]) & ~np.isnan(exact[i])
                if np.any(lost):
                    kept[i] = self.values[v] = np.where(lost, exact[i], found[i])
        return kept


class Ensemble:
    """The runs of one graph, in step.

    Attributes:
        graph: The graph.
    """

    def __init__(self, graph: Graph, seed: int = 0, pairs: int = PAIRS) -> None:
        self.graph = graph
        sizes: dict[Node, Any] = {}
        off = [Wobbly(seed + i, side, sizes) for i in range(pairs) for side in (1, -1)]
        self.own, self.exact = _Member(Evaluator(np)), _Member(Shadow())
        self.off = list(map(_Member, off))
        self._extra = [Wobbly(seed + 1000 + i, 1, sizes) for i in range(_EXTRA)]

    @property
    def _members(self) -> list[_Member]:
        return [self.own, self.exact, *self.off]

    def begin(self, feeds: Sequence[Any]) -> None:
        """Starts a run; variables keep what the last one left."""
        for member in self._members:
            member.begin(self.graph, feeds)

    def step(
        self, node: Node, own: Mapping[Value, Any], wide: Mapping[Value, Any]
    ) -> list[Bound] | None:
        """Bounds of a node's results; None where the graph itself fails there.

        Args:
            node: The next node.
            own: Constants among its operands.
            wide: The same in float64.
        """
        native = self.own.step(node, own)
        exact = self.exact.step(node, wide)
        rows = [m.step(node, wide) for m in self.off]
        if exact is None or native is None:
            return None
        others: list[Sequence[Any]] = []
        for member, found in zip(self.off, rows, strict=True):
            if found is not None:
                others.append(member.inside(node, found, exact))
        op = bind_op(node.op, self.exact.env)
        if op.tier is Tier.COMPOSITE:
            others += self._more(node, wide, exact)
        return [
            _bound(op, exact[i], [row[i] for row in others], native[i], v)
            for i, v in enumerate(node.results)
        ]

    def _more(
        self, node: Node, wide: Mapping[Value, Any], exact: Sequence[Any]
    ) -> list[Sequence[Any]]:
        """More results of an op of parts, whose errors may cancel in a few runs."""
        found: list[Sequence[Any]] = []
        for runner in self._extra:
            member = _Member(runner)
            member.env = self.exact.env
            read = (v for v in node.operands if v in self.exact.values)
            member.values = {v: self.exact.values[v] for v in read}
            row = member.step(node, wide)
            if row is not None:
                found.append(member.inside(node, row, exact))
        return found

    def adopt(self, v: Value, array: Any, node: Node | None = None) -> None:
        """Puts a backend's value in the place of the members' own."""
        wide = widened(array, v.type)
        for member in self._members:
            if member.broken:
                continue
            member.values[v] = array if member is self.own else wide
            if node is not None and node.op.defined_symbols():
                found = [member.values.get(r) for r in node.results]
                define_symbols(node, [], found, member.env)

    def drop(self, values: Sequence[Value]) -> None:
        """Lets go of what no later node reads."""
        for member in self._members:
            for v in values:
                member.values.pop(v, None)


def _bound(op: Op, exact: Any, others: Sequence[Any], native: Any, v: Value) -> Bound:
    """How far a value may be off: what the members show, and its own dtypes' errors."""
    if not _floats(v):
        return _exact_bound(exact, others, native)
    exact = widened(exact, v.type)
    found = bound_from(exact, others, v.type)
    mine = widened(native, v.type)
    if np.shape(mine) != np.shape(exact):
        return Bound(exact, np.full(np.shape(exact), np.inf))
    with np.errstate(all="ignore"):
        tolerance = np.asarray(np.maximum(found.tolerance, 2 * np.abs(mine - exact)))
        tolerance += 1e-300
        odd = ~np.isfinite(tolerance)
        if odd.any():  # infinite, or no number: what the dtype itself gives is right
            tolerance[odd] = np.inf
            firm = odd & _same(mine, exact) & ~np.isinf(found.tolerance)
            tolerance[firm] = 1e-300
        most = _largest(v)
        tolerance[np.abs(exact) + tolerance >= most] = np.inf
        tolerance[np.isinf(exact) & _same(mine, exact)] = 1e-300
    return Bound(exact, tolerance)


def _same(a: Any, b: Any) -> Any:
    return (a == b) | (np.isnan(a) & np.isnan(b))


def _largest(v: Value) -> float:
    real = v.dtype
    if real.kind == "c":
        return float(np.finfo(real.numpy).max)
    info: Any = ml_dtypes.finfo(real.numpy)  # type: ignore[no-untyped-call]
    return float(info.max)


def _exact_bound(exact: Any, others: Sequence[Any], native: Any) -> Bound:
    """Equality, but where the slightest error makes another whole number of it."""
    if not isinstance(exact, np.ndarray):
        steady = all(alike(exact, x) for x in (*others, native))
        return Bound(exact, None if steady else np.inf)
    rows = [*others, native]
    if any(np.shape(x) != exact.shape for x in rows):
        return Bound(exact, np.full(exact.shape, np.inf))
    if exact.dtype == object:
        steady = all(bool(np.all(x == exact)) for x in rows)
        return Bound(exact, None if steady else np.full(exact.shape, np.inf))
    loose = np.zeros(exact.shape, bool)
    for x in rows:
        loose |= x != exact
    return Bound(exact, np.where(loose, np.inf, 0.0) if loose.any() else None)
