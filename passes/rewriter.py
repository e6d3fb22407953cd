"""A graph under rewriting: use lists, values that keep their handles, dead code gone.

A rule emits nodes and gives the values that replace those of a node. Where the last
node that it emitted made such a value, that node defines the old handle from then on,
so that consumers and provenance stay; else the consumers read the new value instead.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.dim import Dim, equal
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node, Origin
from graphwright.ir.op import Op, Trait
from graphwright.ir.types import Guard, TensorType, TokenType, Type

_FEW = 8
_FREE = ("reshape", "transpose", "slice")
CONSTANT, INPUT = "constant", "input"
"""What ``kind`` says of values that no node makes."""


class Rewriter(Builder):
    """A mutable copy of a graph; ``freeze`` gives the graph that it has become.

    Attributes:
        counts: How often each value is read, by nodes or as an output.
        changed: Nodes that a replacement touched, for rules to look at again.
        splats: Numbers that constants repeat, as far as patterns have asked.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph.name)
        self._old = graph
        self._inputs, self._input_names = list(graph.inputs), list(graph.input_names)
        self.constants.update(graph.constants)
        self.origins.update(graph.origins)
        self.variables.update(graph.variables)
        self.metadata.update(graph.metadata)
        self._guards.update(dict.fromkeys(graph.guards))
        self._conditions = {(g.left, g.relation, g.right) for g in graph.guards}
        self._producers = graph.producers()
        self._anchors = {n: Value(TokenType()) for n in graph.nodes if not n.results}
        self._producers.update((v, n) for n, v in self._anchors.items())
        self._outputs = list(graph.outputs)
        self._users: dict[Value, list[Node]] | None = None
        self._before: dict[Value, list[Value]] = {}
        self._fresh: list[Node] = []
        self._rounded: set[Value] = set()
        self._touched = self._numbered = False
        self.counts = graph.use_counts()
        self.changed: list[Node] = []
        self.splats: dict[Value, Any] = {}

    # What rules ask ------------------------------------------------------------------

    def kind(self, value: Value) -> str:
        """Name of the op that makes a value, or ``constant`` or ``input``."""
        node = self._producers.get(value)
        if node is not None:
            return node.op.name
        return CONSTANT if value in self.constants else INPUT

    def made_by(self, value: Value, *names: str) -> Node | None:
        """The node that makes a value if its op has one of these names."""
        node = self._producers.get(value)
        return node if node is not None and node.op.name in names else None

    def only_use(self, value: Value) -> bool:
        """Whether the value is read once, so that its reader may absorb it."""
        return self.counts.get(value, 0) == 1

    def is_output(self, value: Value) -> bool:
        """Whether the graph gives the value."""
        return value in self._outputs

    def spread(self, value: Value) -> Value:
        """What ``broadcast_to`` repeats to make a value, else the value."""
        node = self.made_by(value, "broadcast_to")
        return value if node is None else node.operands[0]

    def constant_under(self, value: Value) -> Constant | None:
        """The constant that a value is, or repeats."""
        return self.constants.get(self.spread(value))

    def is_current(self, node: Node) -> bool:
        """Whether the node is still part of the graph."""
        return self._producers.get(self._handle(node)) is node

    def users(self, value: Value) -> list[Node]:
        """The nodes that read a value, each once."""
        self._index_users()
        assert self._users is not None
        rows = self._users.get(value, ())
        found = {id(n): n for n in rows if value in n.operands and self.is_current(n)}
        self._users[value] = list(found.values())
        return self._users[value]

    # What rules emit -----------------------------------------------------------------

    def apply(self, op: Op, operands: Sequence[Value]) -> tuple[Value, ...]:
        """Adds an op and returns its results; a constant reshaped is a constant."""
        held = self.constants.get(operands[0]) if op.name in _FREE else None
        if held is None or op.has_symbols():
            return super().apply(op, operands)
        array = op.compute(np, held.array())
        return (self.constant_of(Constant.of(array, held.dtype)),)

    def add_node(
        self, op: Op, operands: Sequence[Value], results: tuple[Value, ...]
    ) -> tuple[Value, ...]:
        """Adds an op before the node that is being replaced."""
        self._index_users()
        node = Node(op, tuple(operands), results, self.source)
        self._attach(node)
        self._fresh.append(node)
        return results

    def guard(self, guard: Guard) -> None:
        """Notes a condition on dims, whoever asked for it, once."""
        condition = (guard.left, guard.relation, guard.right)
        if condition not in self._conditions:
            self._conditions.add(condition)
            super().guard(guard)

    def fresh_symbol(self, minimum: int | None = 0) -> Dim:
        """A symbol that the old graph does not use."""
        if not self._numbered:
            self._numbered = True
            self.number_symbols_from(Builder.extending(self._old)._counter[0])
        return super().fresh_symbol(minimum)

    # Replacing -----------------------------------------------------------------------

    def replace(
        self, node: Node, values: Sequence[Value], *, rounding: bool = False
    ) -> bool:
        """Lets values stand for those of a node; whether their types allow that."""
        pairs = list(zip(node.results, values, strict=True))
        if not all(_fits(new.type, old.type) for old, new in pairs):
            self.discard()
            return False
        self._touched = True
        maker = self._adoptable(node, values)
        fresh = [n for n in self._fresh if n is not maker]
        self._fresh = []
        self._before.setdefault(self._handle(node), []).extend(map(self._handle, fresh))
        self.changed += fresh
        if rounding:
            self._rounded.update(values if maker is None else node.results)
        if maker is not None:
            self._adopt(node, maker)
        else:
            for old, new in pairs:
                self._substitute(old, new)
            self._drop_if_dead(node)
        for n in fresh:
            self._drop_if_dead(n)
        return True

    def discard(self) -> None:
        """Takes back the nodes added since the last replacement."""
        for node in reversed(self._fresh):
            self._detach(node)
        self._fresh = []

    def _adoptable(self, node: Node, values: Sequence[Value]) -> Node | None:
        """The new node that may define the results of an old one."""
        maker = self._producers.get(values[0]) if values else None
        if maker is None or maker.results != tuple(values):
            return None
        new = any(n is maker for n in self._fresh)
        free = not any(self.counts.get(v) for v in values)
        same = [v.type for v in values] == [v.type for v in node.results]
        return maker if new and free and same else None

    def _adopt(self, node: Node, maker: Node) -> None:
        for v in maker.results:
            del self._producers[v]
        made = Node(maker.op, maker.operands, node.results, maker.source)
        for v in made.results:
            self._producers[v] = made
        self._note_users(made)
        self.changed.append(made)
        for v in made.results:
            self.changed += self.users(v)
        for v in node.operands:
            self._release(v)

    def _substitute(self, old: Value, new: Value) -> None:
        """Lets all readers of one value read another; types follow.

        In the order in which values are replaced: one may be again, by a better known.
        """
        work = deque([(old, new)])
        while work:
            old, new = work.popleft()
            if old is new:
                continue
            for user in self.users(old):
                work += self._rewire(user, old, new)
            self._outputs_follow(old, new)
            if old in self.origins:
                moved = self.origins.pop(old)
                self.origins[new] = (*self.origins.get(new, ()), *moved)

    def _outputs_follow(self, old: Value, new: Value) -> None:
        for i, v in enumerate(self._outputs):
            if v is old:
                self._outputs[i] = new
                self.counts[old] -= 1
                self.counts[new] = self.counts.get(new, 0) + 1

    def _rewire(self, user: Node, old: Value, new: Value) -> list[tuple[Value, Value]]:
        """Replaces an operand; pairs of results where their types changed."""
        operands = tuple(new if v is old else v for v in user.operands)
        times = user.operands.count(old)
        results = user.results
        if new.type != old.type:
            types = self.infer(user.op, [v.type for v in operands])
            if types != tuple(v.type for v in results):
                results = tuple(map(Value, types))
        made = Node(user.op, operands, results, user.source)
        self.counts[old] -= times
        self.counts[new] = self.counts.get(new, 0) + times
        anchor = self._handle(user)
        if not results:
            self._anchors[made] = anchor
        for v in (*results, *(() if results else (anchor,))):
            self._producers[v] = made
        if results is not user.results:
            self._before.setdefault(anchor, []).append(results[0])
            for v in user.results:
                self._producers.pop(v, None)
        self._note_users(made)
        self.changed.append(made)
        return list(zip(user.results, results, strict=True))

    # Bookkeeping ---------------------------------------------------------------------

    def _handle(self, node: Node) -> Value:
        """What the node's place in the order is known by."""
        return node.results[0] if node.results else self._anchors[node]

    def _index_users(self) -> None:
        if self._users is None:
            self._users = {}
            for node in self._old.nodes:
                self._note_users(node)

    def _note_users(self, node: Node) -> None:
        assert self._users is not None
        for v in node.operands:
            self._users.setdefault(v, []).append(node)

    def _attach(self, node: Node) -> None:
        for v in node.results:
            self._producers[v] = node
        for v in node.operands:
            self.counts[v] = self.counts.get(v, 0) + 1
        self._note_users(node)

    def _detach(self, node: Node) -> None:
        for v in node.results:
            self._producers.pop(v, None)
        for v in node.operands:
            self.counts[v] -= 1

    def _release(self, value: Value) -> None:
        """One reader less; what nobody reads goes, what one reads may be absorbed."""
        self.counts[value] -= 1
        node = self._producers.get(value)
        if node is None:
            return
        if self.counts[value] == 0:
            self._drop_if_dead(node)
        elif self.counts[value] == 1 and self._few(value):
            self.changed += self.users(value)

    def _few(self, value: Value) -> bool:
        return self._users is not None and len(self._users.get(value, ())) <= _FEW

    def _drop_if_dead(self, node: Node) -> None:
        work = [node]
        while work:
            dead = work.pop()
            if not self.is_current(dead) or not self._removable(dead):
                continue
            self._detach(dead)
            for v in dead.operands:
                maker = self._producers.get(v)
                if maker is not None and self.counts[v] == 0:
                    work.append(maker)
                elif self.counts[v] == 1 and self._few(v):
                    self.changed += self.users(v)

    def _removable(self, node: Node) -> bool:
        if Trait.EFFECT in node.op.traits or node.op.defined_symbols():
            return False
        return bool(node.results) and not any(self.counts.get(v) for v in node.results)

    # The end -------------------------------------------------------------------------

    def freeze(self) -> Graph:
        """The graph as it is now; the same object if nothing was replaced."""
        if not self._touched:
            return self._old
        self.nodes = self._ordered()
        used = {v for node in self.nodes for v in node.operands}.union(self._outputs)
        self.constants = {v: c for v, c in self.constants.items() if v in used}
        self._round_origins()
        return self.finish(self._outputs, self._old.output_names)

    def _ordered(self) -> list[Node]:
        work = [self._handle(node) for node in reversed(self._old.nodes)]
        nodes: list[Node] = []
        while work:
            handle = work.pop()
            first = self._before.pop(handle, None)
            if first is not None:
                work.append(handle)
                work += reversed(first)
                continue
            node = self._producers.get(handle)
            if node is not None:
                nodes.append(node)
        return nodes

    def _round_origins(self) -> None:
        """Marks the origins of all that depends on a value which rounds otherwise."""
        if not self._rounded or not self.origins:
            return
        for node in self.nodes:
            if not self._rounded.isdisjoint(node.operands):
                self._rounded.update(node.results)
        for v in self._rounded & self.origins.keys():
            self.origins[v] = tuple(map(_rounded, self.origins[v]))


def _rounded(origin: Origin) -> Origin:
    return origin if origin.rounding else origin._replace(rounding=True)


def _fits(new: Type, old: Type) -> bool:
    """Whether a value of one type may stand where one of another was."""
    if new == old:
        return True
    if not isinstance(new, TensorType) or not isinstance(old, TensorType):
        return False
    if new.dtype is not old.dtype or new.shape is None or old.shape is None:
        return False
    if len(new.shape) != len(old.shape):
        return False
    return all(equal(a, b) is True for a, b in zip(new.shape, old.shape, strict=True))
