"""The graph in float64 beside a bound that runs along, from what a backend gave.

Each node is computed exactly and in its own dtypes. How far the exact value may be off
follows from the op and from the doubt about its operands; once a backend's value is
known and judged, it is taken for the exact one, without doubt: what follows is judged
from there, so that an error is charged to the node that made it and to none that merely
passes it on. (Running error bounds: Wilkinson, "Error Analysis Revisited", 1986.)
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphwright.comparison.bounds import bound_among
from graphwright.comparison.errors import (
    all_finite,
    are_alike,
    has_size,
    is_fraction,
    is_sum,
    largest,
    moved_doubts,
    moves,
    never_errs,
    size_nearby,
    size_of_ends,
    size_of_errors,
)
from graphwright.comparison.members import Member, Wobbly
from graphwright.comparison.metrics import alike
from graphwright.ir.emitter import Value
from graphwright.ir.errors import GraphwrightError
from graphwright.ir.evaluate import Evaluator, bind_op, define_symbols
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op, Tier, Trait
from graphwright.ir.ops.effects import Effect
from graphwright.testing.shadow import Bound, Shadow, widened

_RUNS = 10
"""How many runs a little off there are of an op whose errors are not known."""

Held = Mapping[Value, Any]


class Running:
    """One run of a graph, and the doubt about each value.

    Attributes:
        graph: The graph.
    """

    def __init__(self, graph: Graph, seed: int = 0) -> None:
        self.graph = graph
        self.own, self.exact = Member(Evaluator(np)), Member(Shadow())
        self._tries = [Wobbly(seed + i // 2, 1 - i % 2 * 2) for i in range(_RUNS)]
        self._doubts: dict[Value, Any] = {}
        self._others: dict[Value, list[Any]] = {}
        # what is no fraction in each of the tries, where they are not all alike
        self._jumps: dict[Value, list[Any]] = {}
        self._copied = False
        self._kept: dict[str, Any] = {}

    def begin(self, feeds: Sequence[Any]) -> None:
        """Starts a run; variables keep what the last one left."""
        self._doubts.clear()
        self._jumps.clear()
        for member in (self.own, self.exact):
            member.begin(self.graph, feeds)

    def step(self, node: Node, own: Held, wide: Held) -> bool:
        """Goes on by one node; whether the graph itself does.

        Args:
            node: The next node.
            own: Constants among its operands.
            wide: The same in float64.
        """
        self._others.clear()
        operands = [widened(self.exact.read(v, wide), v.type) for v in node.operands]
        found = self.exact.step(node, wide)
        if found is None:
            return False
        op = bind_op(node.op, self.exact.env)
        if op.linear_along() and is_fraction(node.results[0]):
            with np.errstate(all="ignore"):
                rounded = found[0].astype(node.results[0].dtype.numpy)
            self.own.take(node, [rounded])
        elif self.own.step(node, own) is None:
            return False
        self._doubt(op, node, operands, found)
        for v, x in zip(node.results, found, strict=True):
            self._overflow(v, x)
        return True

    def _overflow(self, v: Value, exact: Any) -> None:
        """Anything may come of what is finite in float64 alone."""
        if not is_fraction(v) or not exact.size:
            return
        doubt, most = self._doubts.get(v, 0.0), largest(v.dtype)
        with np.errstate(all="ignore"):
            size = np.abs(exact) + doubt
            if not size.max() < most:
                over = np.isfinite(exact) & (size >= most)
                if over.any():
                    self._doubts[v] = np.where(over, np.inf, doubt)

    def _doubt(
        self, op: Op, node: Node, operands: Sequence[Any], exact: Sequence[Any]
    ) -> None:
        """Notes how far the results may be off."""
        if not node.results:
            return
        doubts = [self._doubts.get(v) for v in node.operands]
        sure = all(doubt is None for doubt in doubts)
        jumped = any(u in self._jumps for u in node.operands)
        self._copied = moves(op) and sure and not jumped
        v = node.results[0]
        if isinstance(op, Effect):
            self._effect(op, node, operands, doubts)
        elif jumped:
            self._by_chance(node, operands, exact, doubts)
        elif sure and never_errs(op, node):
            return
        elif has_size(op, node, operands) and (sure or _follows(op)):
            self._doubts[v] = size_of_errors(op, node, operands, exact[0], doubts)
        elif moves(op) and is_fraction(v):
            self._doubts[v] = moved_doubts(op, operands, doubts)
        elif _is_end(op, node):
            with np.errstate(all="ignore"):
                self._doubts[v] = size_of_ends(op, operands[0], exact[0], doubts[0])
        elif _is_smooth(op, node, operands):
            with np.errstate(all="ignore"):
                self._doubts[v] = size_nearby(op, node, operands, exact[0], doubts, 0.0)
        else:
            self._by_chance(node, operands, exact, doubts)

    def _effect(
        self, op: Effect, node: Node, operands: Sequence[Any], doubts: Sequence[Any]
    ) -> None:
        """Doubt goes through variables as values do."""
        for name, constant in self.graph.variables.items():
            self._kept.setdefault(name, np.zeros(np.shape(constant.array())))
        rows = [
            np.zeros(np.shape(x)) if d is None and isinstance(x, np.ndarray) else d
            for x, d in zip(operands, doubts, strict=True)
        ]
        for v, doubt in zip(node.results, op.apply(self._kept, rows), strict=True):
            if is_fraction(v) and isinstance(doubt, np.ndarray):
                self._doubts[v] = doubt

    def _by_chance(
        self,
        node: Node,
        operands: Sequence[Any],
        exact: Sequence[Any],
        doubts: Sequence[Any],
    ) -> None:
        """What runs a little off give, where nothing more is known of an op."""
        rows = [self._tried(k, node, operands, doubts) or exact for k in range(_RUNS)]
        for i, v in enumerate(node.results):
            others = [row[i] for row in rows]
            self._others[v] = others
            if is_fraction(v):
                self._doubts[v] = _spread(widened(exact[i], v.type), others, v)
            elif not all(alike(x, exact[i]) for x in others):
                self._jumps[v] = others

    def _tried(
        self, k: int, node: Node, operands: Sequence[Any], doubts: Sequence[Any]
    ) -> Sequence[Any] | None:
        """What one of the tries gives, unless that leads out of the op's domain."""
        runner = self._tries[k]
        off: dict[Value, Any] = {}
        for v, x, doubt in zip(node.operands, operands, doubts, strict=True):
            if v in self._jumps:
                off[v] = self._jumps[v][k]
            elif v not in off:  # what stands twice is off once: x == x
                off[v] = x if doubt is None else runner.off_by(x, doubt)
        try:
            return runner.step(
                node, [off[v] for v in node.operands], dict(self.exact.env)
            )
        except GraphwrightError:
            return None

    def value(self, v: Value) -> Any:
        """The exact value of a result of the last node."""
        return self.exact.values[v]

    def bound(self, v: Value) -> Bound:
        """The bound of a result of the last node."""
        exact, native = self.exact.values[v], self.own.values[v]
        others = self._others.get(v, [])
        if is_fraction(v) and v in self._doubts:
            with np.errstate(all="ignore"):
                others = [widened(exact, v.type) + self._doubts[v]]
        return bound_among(exact, others, native, v, copied=self._copied)

    def adopt(self, v: Value, array: Any, wide: Any, node: Node | None = None) -> None:
        """Takes a backend's value, as it is and in float64, for the exact one."""
        for table in (self._doubts, self._jumps):
            table.pop(v, None)
        self.own.values[v], self.exact.values[v] = array, wide
        if node is not None and node.op.defined_symbols():
            for member in (self.own, self.exact):
                found = [member.values.get(r) for r in node.results]
                define_symbols(node, [], found, member.env)

    def drop(self, values: Sequence[Value]) -> None:
        """Lets go of what no later node reads."""
        for v in values:
            for table in (
                self._doubts,
                self._jumps,
                self.own.values,
                self.exact.values,
            ):
                table.pop(v, None)


def _follows(op: Op) -> bool:
    """Whether doubt about operands is known to give that about the result."""
    return Trait.ELEMENTWISE in op.traits or bool(op.linear_along())


def _is_end(op: Op, node: Node) -> bool:
    """Whether results are the greatest or the least of some elements."""
    exact = is_sum(op) and not op.error_bound() and len(node.operands) == 1
    return exact and all(is_fraction(v) for v in (*node.operands, *node.results))


def _is_smooth(op: Op, node: Node, operands: Sequence[Any]) -> bool:
    """Whether a result at operands moved to both sides says how far it may be off."""
    (v, *more), real = node.results, [u for u in node.operands if is_fraction(u)]
    if more or op.tier is Tier.HOST or not is_fraction(v) or v.dtype.kind != "f":
        return False
    if any(u.dtype.kind != "f" for u in real) or Trait.RANDOM in op.traits:
        return False
    return Trait.ELEMENTWISE in op.traits and op.wide and are_alike(operands)


def _spread(exact: Any, others: Sequence[Any], v: Value) -> Any:
    """How far runs lie apart at most."""
    most: Any = np.zeros(np.shape(exact))
    for x in others:
        if np.shape(x) != np.shape(exact):
            return np.full(np.shape(exact), np.inf)
        with np.errstate(all="ignore"):
            gap = np.abs(widened(x, v.type) - exact)
        most = np.fmax(most, gap)
    return most if all_finite(most) else np.where(np.isnan(most), 0.0, most)
