"""Rewrites as data: a pattern, a small function, a class; and sets of them, which run.

A function's docstring is its equation. Its parameters are the builder, then what its
pattern captured, by name; ``node`` is the node at the root. It returns what replaces
the node's results, or None where a condition that the pattern cannot say does not hold.
"""

import enum
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from graphwright.ir.emitter import Value
from graphwright.ir.errors import GraphwrightError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.record import record
from graphwright.passes.pattern import Either, OpPattern, Orders, Pattern
from graphwright.passes.rewriter import Rewriter
from graphwright.passes.steps import exhausted, note, note_failure

_PER_NODE, _AT_LEAST = 64, 4096


class RewriteClass(enum.IntEnum):
    """How far a rewrite may move results.

    ``EXACT``: not at all, NaN, infinities and the sign of zero included. ``ROUNDING``:
    it is an equation of the real numbers, and the error stays within a bound derived
    from the ops; results that are not finite may differ. ``UNSAFE``: it may be wrong
    for some numbers, such as ``x * 0 = 0`` for infinity.
    """

    EXACT = 0
    ROUNDING = 1
    UNSAFE = 2


EXACT, ROUNDING, UNSAFE = RewriteClass

Replacement: TypeAlias = Value | Sequence[Value] | None
Function = TypeVar("Function", bound=Callable[..., Replacement])


@record(frozen=True, slots=True)
class Rewrite:
    """One rewrite.

    Attributes:
        name: Name of its function.
        equation: The docstring's first line.
        pattern: What it matches.
        kind: How far it may move results.
        function: Gives the replacement.
        wants: Names of the captures that the function takes.
    """

    name: str
    equation: str
    pattern: OpPattern
    kind: RewriteClass
    function: Callable[..., Replacement]
    wants: tuple[str, ...]

    def apply(self, w: Rewriter, node: Node, orders: Orders) -> bool:
        """Replaces a node if it matches in one of these orders; whether it did."""
        found: dict[str, Any] = {}
        if not self.pattern.match_node(w, node, found, orders):
            return False
        found["node"] = node
        w.source = node.source
        result = self.function(w, **{name: found.get(name) for name in self.wants})
        if result is None:
            w.discard()
            return False
        values = (result,) if isinstance(result, Value) else tuple(result)
        return w.replace(node, values, rounding=self.kind is not EXACT)


def _roots(pattern: Pattern) -> list[OpPattern]:
    """The op patterns that a pattern is a choice of."""
    if isinstance(pattern, Either):
        return [*_roots(pattern.left), *_roots(pattern.right)]
    assert isinstance(pattern, OpPattern), "a rewrite's root is an op"
    return [pattern]


@dataclass
class RuleSet:
    """A named set of rewrites: a pass that applies them until none applies.

    Attributes:
        name: Name of the pass.
        rewrites: In the order in which they are tried on a node.
    """

    name: str
    rewrites: list[Rewrite] = field(default_factory=list[Rewrite])
    _ready: dict[tuple[str, tuple[str, ...]], "Candidates"] = field(
        default_factory=dict[tuple[str, tuple[str, ...]], "Candidates"], repr=False
    )
    _allowing: "dict[RewriteClass, RuleSet]" = field(
        default_factory=dict[RewriteClass, "RuleSet"], repr=False, compare=False
    )

    def rewrite(
        self, pattern: Pattern, kind: RewriteClass
    ) -> Callable[[Function], Function]:
        """Adds the function below as a rewrite of what matches a pattern."""

        def add(function: Function) -> Function:
            about: Any = function
            wants = about.__code__.co_varnames[1 : about.__code__.co_argcount]
            law = (function.__doc__ or "").split("\n")[0]
            for root in _roots(pattern):
                found = Rewrite(about.__name__, law, root, kind, function, wants)
                self.rewrites.append(found)
            self.forget()
            return function

        return add

    def __add__(self, other: "RuleSet") -> "RuleSet":
        return RuleSet(f"{self.name}+{other.name}", [*self.rewrites, *other.rewrites])

    def forget(self) -> None:
        """Lets a change of ``rewrites`` count: what was found out of them goes."""
        self._ready.clear()
        self._allowing.clear()

    def allowing(self, kind: RewriteClass) -> "RuleSet":
        """Those rewrites that move results no farther than a class allows."""
        found = self._allowing.get(kind)
        if found is None:
            found = RuleSet(self.name, [r for r in self.rewrites if r.kind <= kind])
            self._allowing[kind] = found
        return found

    def only(self, names: Iterable[str]) -> "RuleSet":
        """The rewrites of these names."""
        wanted = set(names)
        return RuleSet(self.name, [r for r in self.rewrites if r.name in wanted])

    def __call__(self, graph: Graph) -> Graph:
        """The graph after the rewrites."""
        return self.run(graph, Counter())

    def run(self, graph: Graph, counts: Counter[str]) -> Graph:
        """The graph after the rewrites; ``counts`` grows by how often each applied.

        Raises:
            GraphwrightError: If rewrites undo each other without end.
        """
        roots = {rewrite.pattern.name for rewrite in self.rewrites}
        if roots.isdisjoint(cls.name for cls in graph.op_classes):
            return graph
        w = Rewriter(graph)
        budget = _AT_LEAST + _PER_NODE * len(graph.nodes)
        work = [n for n in reversed(graph.nodes) if n.op.name in roots]
        while work and not exhausted():
            node = work.pop()
            if node.op.name not in roots or not w.is_current(node):
                continue
            applied = self._try(w, node)
            if applied is None:
                continue
            counts[applied] += 1
            note(applied, node)
            budget -= 1
            if budget < 0:
                note_failure(applied, node)
                raise GraphwrightError(f"{self.name}: {applied!r} rewrites without end")
            work += w.changed
            w.changed = []
        return w.freeze()

    def _try(self, w: Rewriter, node: Node) -> str | None:
        """Applies the first rewrite that matches a node; its name."""
        kinds = tuple(map(w.kind, node.operands))
        for rewrite, orders in self._candidates(node.op.name, kinds):
            try:
                if rewrite.apply(w, node, orders):
                    return rewrite.name
            except Exception:
                note_failure(rewrite.name, node)
                raise
        return None

    def _candidates(self, name: str, kinds: tuple[str, ...]) -> "Candidates":
        """The rewrites that may match, judged by the ops that make the operands."""
        found = self._ready.get((name, kinds))
        if found is None:
            rows = [(r, r.pattern.fitting(kinds)) for r in self.rewrites]
            found = tuple(row for row in rows if row[0].pattern.name == name and row[1])
            self._ready[name, kinds] = found
        return found


Candidates: TypeAlias = tuple[tuple[Rewrite, Orders], ...]
