"""The graph in float64, several times in step, resynchronised with what a backend gave.

Each node is computed exactly, in its own dtypes, and a few times a little off (see
``graphwright.testing.shadow``); the spread gives the bound of each value. Where a
backend's value is known, it takes the place of all of these once it was judged: what
follows is judged from there, so that an error is charged to the node that made it and
to none that merely passes it on.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphwright.comparison.bounds import bound_among
from graphwright.comparison.errors import (
    all_finite,
    has_size,
    moved_by,
    never_errs,
    size_of_errors,
)
from graphwright.comparison.members import Member, Wobbly
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import Evaluator, bind_op, define_symbols
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op, Tier
from graphwright.testing.shadow import Bound, Shadow, wide_op, widened

PAIRS, FEW = 4, 2
"""Pairs of members that are a little off, one to each side: an error to the other side
matters where something is cut off, as at 0. ``FEW`` do where each node starts anew."""

_EXTRA = 6
"""How many more runs there are of an op that is made of others."""


class Ensemble:
    """The runs of one graph, in step.

    What all members hold alike, they hold as one array: ops that do not err on such
    operands run once, and a sum's errors are known without a run.

    Attributes:
        graph: The graph.
    """

    def __init__(self, graph: Graph, seed: int = 0, pairs: int = PAIRS) -> None:
        self.graph = graph
        self._runners = [
            Wobbly(seed + i, side) for i in range(pairs) for side in (1, -1)
        ]
        self.own, self.exact = Member(Evaluator(np)), Member(Shadow())
        self.off = [Member(runner) for runner in self._runners]
        self._extra = [Wobbly(seed + 1000 + i, 1) for i in range(_EXTRA)]
        self._sizes: dict[Value, Any] = {}
        # errors of the last node alone: those before it may cancel them by chance
        self._least: dict[Value, Any] = {}
        self._wide: dict[Value, Any] = {}
        self._node: tuple[Node, Mapping[Value, Any]] | None = None

    @property
    def _members(self) -> list[Member]:
        return [self.own, self.exact, *self.off]

    def begin(self, feeds: Sequence[Any]) -> None:
        """Starts a run; variables keep what the last one left."""
        self._sizes.clear()
        for member in self._members:
            member.begin(self.graph, feeds)

    def step(
        self, node: Node, own: Mapping[Value, Any], wide: Mapping[Value, Any]
    ) -> bool:
        """Goes on by one node; whether the graph itself does.

        Args:
            node: The next node.
            own: Constants among its operands.
            wide: The same in float64.
        """
        self._settle(node.operands)
        self._node, self._wide, self._least = (node, wide), {}, {}
        found = self.exact.step(node, wide)
        if found is None:
            return False
        op = bind_op(node.op, self.exact.env)
        operands = [self._seen_by(self.exact, v, wide) for v in node.operands]
        same = all(self._alike(v, wide) for v in node.operands)
        if has_size(op, node, operands):
            return self._sized(op, node, own, operands, found[0], same)
        if self.own.step(node, own) is None:
            return False
        if same and never_errs(op, node):
            for member in self.off:
                member.take(node, found)
            return True
        for member in self.off:
            results = member.step(node, wide)
            if results is not None:
                member.inside(node, results, found)
        return True

    def _alike(self, v: Value, wide: Mapping[Value, Any]) -> bool:
        """Whether all members hold one array of a value."""
        if v in wide:
            return True
        held = self.exact.values[v]
        return all(not m.broken and m.values[v] is held for m in self.off)

    def _sized(
        self,
        op: Op,
        node: Node,
        own: Mapping[Value, Any],
        operands: Sequence[Any],
        exact: Any,
        same: bool,
    ) -> bool:
        """Goes on by a node whose errors are known without a run of each."""
        (v,) = node.results
        moved: list[Any] | None = [exact] * (1 + len(self.off)) if same else None
        if op.linear_along() and moved is None:
            rows = [self._operands_of(m, node) for m in (self.own, *self.off)]
            moved = moved_by(op, node, operands, exact, rows)
        if op.linear_along() and moved is not None and all_finite(exact):
            with np.errstate(all="ignore"):
                self.own.values[v] = moved[0].astype(v.dtype.numpy)
        elif self.own.step(node, own) is None:
            return False
        self._sizes[v] = size_of_errors(op, node, operands, exact)
        for i, member in enumerate(self.off):
            if member.broken:
                continue
            if moved is not None:
                member.take(node, [moved[1 + i]])
            else:
                with np.errstate(all="ignore"):
                    row = self._operands_of(member, node)
                    member.take(node, [wide_op(op).compute(np, *row)])
                    member.inside(node, [member.values[v]], [exact])
        if not same:
            self._least[v] = self._sizes[v]
            self._settle([v])
        return True

    def _operands_of(self, member: Member, node: Node) -> list[Any]:
        assert self._node is not None
        member = self.exact if member.broken else member
        return [self._seen_by(member, v, self._node[1]) for v in node.operands]

    def _seen_by(self, member: Member, v: Value, wide: Mapping[Value, Any]) -> Any:
        """An operand in float64: the same array where it is as the exact one."""
        held = wide[v] if v in wide else member.values[v]
        first = wide[v] if v in wide else self.exact.values[v]
        if held is not first:
            return widened(held, v.type)
        if v not in self._wide:
            self._wide[v] = widened(first, v.type)
        return self._wide[v]

    def _settle(self, values: Sequence[Value]) -> None:
        """Gives members their own errors of sums, before these are read."""
        for v in values:
            sizes = self._sizes.pop(v, None)
            if sizes is None:
                continue
            for member, runner in zip(self.off, self._runners, strict=True):
                if not member.broken:
                    member.values[v] = runner.off_by(member.values[v], sizes)

    def value(self, v: Value) -> Any:
        """The exact value of a result of the last node."""
        return self.exact.values[v]

    def bound(self, v: Value) -> Bound:
        """The bound of a result of the last node."""
        assert self._node is not None
        node, wide = self._node
        exact, native = self.exact.values[v], self.own.values[v]
        if v in self._sizes:
            with np.errstate(all="ignore"):
                return bound_among(exact, [exact + self._sizes[v]], native, v)
        others = [m.values[v] for m in self.off if not m.broken]
        others = [x for x in others if x is not exact]
        if v in self._least:
            with np.errstate(all="ignore"):
                others.append(exact + self._least[v])
        if bind_op(node.op, self.exact.env).tier is Tier.COMPOSITE:
            index = node.results.index(v)
            others += [row[index] for row in self._more(node, wide)]
        return bound_among(exact, others, native, v)

    def _more(self, node: Node, wide: Mapping[Value, Any]) -> list[Sequence[Any]]:
        """More results of an op of parts, whose errors may cancel in a few runs."""
        exact = [self.exact.values[v] for v in node.results]
        found: list[Sequence[Any]] = []
        for runner in self._extra:
            member = Member(runner)
            member.env = self.exact.env
            read = (v for v in node.operands if v in self.exact.values)
            member.values = {v: self.exact.values[v] for v in read}
            row = member.step(node, wide)
            if row is not None:
                found.append(member.inside(node, row, exact))
        return found

    def adopt(self, v: Value, array: Any, wide: Any, node: Node | None = None) -> None:
        """Puts a backend's value, as it is and in float64, in place of members' own."""
        self._sizes.pop(v, None)
        for member in self._members:
            if member.broken:
                continue
            member.values[v] = array if member is self.own else wide
            if node is not None and node.op.defined_symbols():
                found = [member.values.get(r) for r in node.results]
                define_symbols(node, [], found, member.env)

    def drop(self, values: Sequence[Value]) -> None:
        """Lets go of what no later node reads."""
        for v in values:
            self._sizes.pop(v, None)
            for member in self._members:
                member.values.pop(v, None)
