"""From a graph to stages: which values lie in memory, and what one kernel computes.

A stage is either *loops*, results of one shape written out down to what lies in memory,
or a node that cannot be written out. Loops around a heavy op, with what is fused behind
it, may have better kernels than loops (`kernels/`): ``Loops.heavy`` names it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from graphwright.backends.codegen.centred import centred
from graphwright.backends.codegen.elements import (
    FREE,
    HEAVY,
    REDUCING,
    VIEWED,
    Array,
    Elements,
    is_pulled,
    product,
    sizes_of,
)
from graphwright.backends.codegen.expr import Expr
from graphwright.backends.codegen.index import Axis, of
from graphwright.backends.codegen.joints import Part, parts
from graphwright.backends.codegen.routes import Routes, takes_elsewhere
from graphwright.backends.codegen.shuffles import unshuffled
from graphwright.backends.codegen.views import is_turned, placed, source
from graphwright.backends.codegen.walk import free_axes, reductions_of
from graphwright.ir.dtype import float64
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op, Trait
from graphwright.ir.ops.index import Gather
from graphwright.ir.ops.movement import BroadcastTo
from graphwright.ir.ops.reduce import Reduce
from graphwright.ir.record import record

_MOST_INLINED = 96
"""Ops written out in one place: more would only take longer to build."""
_CHEAP = 3
"""What is better computed twice than written and read again, in operations."""
_CHEAP_IN_LOOPS = 8
"""The same where it is computed by several loops, which would all read it."""
_CHEAP_IN_STAGE = 12
"""The same where a row that is near is gone through again."""
_ROW = 1 << 16
"""Elements of a row that are still near when it is read again."""
_SHORT_ROW = 64
"""Elements of rows that are worth vectors of what is done with their sums."""
_MUCH_BEHIND = 1 << 13
"""Operations that are worth a kernel for the sake of vectors."""
_MANY_ROWS = 64
"""Rows for which the one that all of them read is best written once."""
_OFTEN = 4
"""How often a table's elements are picked that is worth rows side by side."""
_MUCH = 1 << 17
"""Operations that are worth a kernel of their own."""
_JOINED = frozenset({"concat", "dynamic_update_slice", "pad"})
"""Ops whose elements come from several operands: loops that store them are cut."""
_COSTS = {"div": 4, "rem": 8, "sqrt": 4, "pow": 24, "atan2": 16, "gather": 4}


@record(frozen=True, eq=False, slots=True)
class Loops:
    """Results of one shape, computed by one kernel.

    Attributes:
        axes: One for each axis of the shape.
        results: Values and what their elements are.
        nodes: Nodes that are written out in it.
        heavy: The one product, convolution or pooling among them, if there is one.
        graph: The graph that it is a part of.
    """

    axes: tuple[Axis, ...]
    results: tuple[tuple[Value, Expr], ...]
    nodes: tuple[Node, ...]
    heavy: Node | None
    graph: Graph


@record(frozen=True, eq=False, slots=True)
class Single:
    """A node with a kernel of its own; its operands and results lie in memory."""

    node: Node


Stage: TypeAlias = Loops | Single


def split(
    graph: Graph, in_place: bool = False
) -> tuple[list[Stage], dict[Value, Array]]:
    """The stages of a graph, in order, and the values that lie in memory.

    Args:
        graph: The graph.
        in_place: Whether arrays may be parts of others.
    """
    refused: set[Value] = set()
    joined = parts(graph) if in_place else {}
    while True:
        splitter = _Splitter(graph, refused, joined)
        stages = splitter.stages()
        found = splitter.misplaced
        if not found:
            return stages, splitter.arrays
        refused |= found


class _Splitter:
    """One attempt; ``misplaced`` is what must lie in memory, too.

    These are reductions that cannot be written out, and what products that lie there
    are rounded to.
    """

    def __init__(
        self, graph: Graph, refused: set[Value], joined: Mapping[Value, Part]
    ) -> None:
        self.graph, self.refused, self.joined = graph, refused, joined
        self._wholes = {part.whole for part in joined.values()}
        self._there = {p.whole for p in joined.values() if p.axis is None}
        self.misplaced = set[Value]()
        self._places = {node: i for i, node in enumerate(graph.nodes)}
        self._users: dict[Value, list[Node]] = {}
        for node in graph.nodes:
            for v in dict.fromkeys(node.operands):
                self._users.setdefault(v, []).append(node)
        self._roots: dict[Value, frozenset[Value]] = {}
        self._weights: dict[Value, int] = {}
        self._led: set[Value] = set()
        self._joined: set[Value] = set()
        self._bytes = {
            v: found.source
            for node in graph.nodes
            if node.op.name in HEAVY
            for v in node.operands
            if (found := centred(graph, v)) is not None
        }
        """What lies in memory for integers that are read less a zero point."""
        self._kept = self._choose()
        self.arrays: dict[Value, Array] = {}
        for v in self._in_memory():
            self.arrays[v] = self._array(v)

    def _array(self, v: Value) -> Array:
        """Its array: of its own, or where a joined one has it."""
        found = self.arrays.get(v)
        if found is not None:
            return found
        part = self.joined.get(v)
        if part is None:
            return Array(v.dtype, sizes_of(v.type))
        whole = self.arrays[part.whole] = self._array(part.whole)
        if part.axis is None:
            return Array(v.dtype, sizes_of(v.type), whole)
        return whole.part(sizes_of(v.type), part.axis, part.start)

    def _in_memory(self) -> Iterator[Value]:
        yield from self.graph.inputs
        for v, constant in self.graph.constants.items():
            if v in self._users and constant.uniform() is None:
                yield v
        yield from self._kept

    def _choose(self) -> dict[Value, None]:
        """Results that lie in memory, in order."""
        kept = self._weighed()
        routes = Routes(self._levels(), self._roots)
        for node in reversed(self.graph.nodes):
            (v, *_) = node.results
            if not kept.intersection(node.results):
                users = self._users.get(v, ())
                found = frozenset[Value]().union(
                    *(self._roots[user.results[0]] for user in users)
                )
                self._roots[v] = found
                routes.lead_to(v, users)
                if self._keeps(node, found) or self._is_repeated(node, routes):
                    kept.add(v)
            for result in node.results:
                if result in kept:
                    self._roots[result] = frozenset({result})
                    routes.start(result)
        order = (v for node in self.graph.nodes for v in node.results)
        return dict.fromkeys(v for v in order if v in kept)

    def _levels(self) -> dict[Value, int]:
        """How many ops that combine elements lie before a value.

        No loops compute what lies behind and what lies before such an op.
        """
        found: dict[Value, int] = {}
        for node in self.graph.nodes:
            level = max((found.get(v, 0) for v in node.operands), default=0)
            found.update(dict.fromkeys(node.results, level + _is_large(node.op)))
        return found

    def _weighed(self) -> set[Value]:
        """What lies in memory in any case. Weights: an element's operations, each once.

        What will be kept because of its weight weighs nothing where it is read.
        """
        kept = {*self.graph.outputs, *self.joined, *self._wholes}
        kept.update(self._bytes.values())
        inside: dict[Value, frozenset[Node]] = {}
        unread = {v: len(users) for v, users in self._users.items()}
        for node in self.graph.nodes:
            if not is_pulled(node.op):
                kept.update(node.results)
                kept.update(node.operands)
            if node.op.name in HEAVY:
                plain = (v for v in node.operands if v not in self._bytes)
                weighty = (v for v in plain if self._weights.get(v, 0))
                kept.update(self._stored(node, v) for v in weighty)
            below = [inside[v] for v in node.operands if v in inside and v not in kept]
            nodes = frozenset([node] if _cost(node) else ()).union(*below)
            weight = sum(map(_cost, nodes))
            for v in node.results:
                self._weights[v] = weight
                if weight <= _MOST_INLINED and not self._is_spread(v, weight):
                    inside[v] = nodes
            for v in dict.fromkeys(node.operands):
                unread[v] -= 1
                if not unread[v]:
                    inside.pop(v, None)
        return kept

    def _stored(self, node: Node, v: Value) -> Value:
        """What lies in memory for an operand of a heavy op."""
        viewed = node.op.name in VIEWED
        return source(self.graph, v) if viewed else unshuffled(self.graph, v)

    def _narrowed(self, v: Value) -> Value | None:
        """What a value is rounded to, if nothing else reads it: less is stored so."""
        shape, wide, found = sizes_of(v.type), v.dtype.bits, v
        while len(users := self._users.get(v) or []) == 1:
            (node,) = users
            if Trait.ELEMENTWISE not in node.op.traits:
                break
            (v,) = node.results
            if sizes_of(v.type) != shape:
                break
            found = v if v.dtype.bits < found.dtype.bits else found
        return found if found.dtype.bits < wide else None

    def _is_repeated(self, node: Node, routes: Routes) -> bool:
        """Whether it is computed again and again where it is not stored."""
        (v,) = node.results
        if node.op.name in _JOINED and routes.are_reduced(v):
            return True
        counts, weight = routes.of(v), self._weights[v]
        rows = zip(counts, (_CHEAP, _CHEAP_IN_LOOPS, _CHEAP_IN_STAGE), strict=True)
        return any(weight * (count - 1) > cheap for count, cheap in rows)

    def _keeps(self, node: Node, roots: frozenset[Value]) -> bool:
        (v,) = node.results
        if v in self.refused:
            return True
        if node.op.name in REDUCING:
            joins = len(roots) == 1 and self._joins(node, *roots)
            self._joined |= roots if joins else frozenset()
            return not joins
        if node.op.name in HEAVY:
            leads = len(roots) == 1 and not self._is_slow_behind(node, *roots)
            leads = leads and self._leads(node, *roots)
            narrow = None if leads else self._narrowed(v)
            if narrow is not None:
                self.misplaced |= {narrow} - self.refused
            return not leads
        if self._is_row(node) or self._is_table(node):
            return True
        return self._weights[v] > _MOST_INLINED

    def _is_spread(self, v: Value, weight: int) -> bool:
        """Whether it will be kept, since its elements are taken to several places."""
        users = self._users.get(v, ())
        moved = [takes_elsewhere(user.op) for user in users]
        return weight * (sum(moved) - all(moved)) > _CHEAP

    def _is_row(self, node: Node) -> bool:
        """Whether it is computed of few elements, and then read in many rows."""
        (v,) = node.results
        shape, users = sizes_of(v.type), self._users.get(v, ())
        if isinstance(node.op, BroadcastTo) or not shape or shape[-1] == 1:
            return False
        wide = [
            product(sizes_of(user.results[0].type))
            for user in users
            if isinstance(user.op, BroadcastTo)
        ]
        most = max(wide, default=0)
        many = most >= _MANY_ROWS * product(shape)
        return many and most * self._weights[v] >= _MUCH

    def _is_table(self, node: Node) -> bool:
        """Whether rows are picked from it again and again that lie apart elsewhere."""
        (v,) = node.results
        most = max(
            (
                product(sizes_of(user.results[0].type))
                for user in self._users.get(v, ())
                if isinstance(user.op, Gather) and user.operands[0] is v
            ),
            default=0,
        )
        often = most >= _OFTEN * max(product(sizes_of(v.type)), 1)
        return often and is_turned(self.graph, v)

    def _joins(self, node: Node, root: Value) -> bool:
        """Whether a reduction can be written out where its result is used."""
        shape, end = sizes_of(node.operands[0].type), sizes_of(root.type)
        if root in self._led or self._is_slow_behind(node, root):
            return False
        if product(end) == product(sizes_of(node.results[0].type)):
            return True
        op = node.op
        if not isinstance(op, Reduce):
            return False
        trailing = tuple(range(len(shape) - len(op.axes), len(shape)))
        within = tuple(sorted(op.axes)) == trailing and product(end) == product(shape)
        return within and product(shape[trailing[0] :] if trailing else ()) <= _ROW

    def _is_slow_behind(self, node: Node, root: Value) -> bool:
        """Whether much is done with the sums of short rows, which would have no lanes.

        Those of products have them, but for products with one column.
        """
        shape, left = sizes_of(node.operands[0].type), sizes_of(node.results[0].type)
        alone = node.op.name == "dot" and left[-1] == 1
        if not alone and not isinstance(node.op, Reduce):
            return False
        count = product(left)
        behind = self._weights[root] - self._weights[node.results[0]]
        row = shape[-1] if alone else product(shape) // max(count, 1)
        same = count == product(sizes_of(root.type))
        return same and row <= _SHORT_ROW and behind * count >= _MUCH_BEHIND

    def _leads(self, node: Node, root: Value) -> bool:
        """Whether what is stored can be what a heavy op's kernel makes of its result.

        These are elementwise ops behind it, or views, if it writes any.
        """
        if root in self._led or root in self._joined:
            return False
        (v,) = node.results
        if node.op.name in VIEWED:
            leads = self._is_view(v, root)
        else:
            leads = self._is_elementwise(v, root)
        self._led |= {root} if leads else set()
        return leads

    def _is_view(self, v: Value, root: Value) -> bool:
        """Whether a value's elements lie evenly in what is stored, and only there."""
        axes, nodes, end = tuple(map(Axis, sizes_of(v.type))), list[Node](), v
        while end is not root:
            users = self._users.get(end, ())
            if len(users) != 1:
                return False
            nodes += users
            (end,) = users[0].results
        found, at = placed(nodes, v, tuple(map(of, axes)))
        terms = {term for index in at for term, _ in index.terms}
        return found is root and terms <= set(axes)

    def _is_elementwise(self, v: Value, root: Value) -> bool:
        """Whether only elementwise ops lie between a value and what is stored."""
        shape, reached = sizes_of(v.type), [v]
        while reached:
            for user in self._users.get(reached.pop(), ()):
                (result,) = user.results
                plain = Trait.ELEMENTWISE in user.op.traits
                if not plain or sizes_of(result.type) != shape:
                    return False
                if result is not root:
                    reached.append(result)
        return True

    # Stages -----------------------------------------------------------------------

    def stages(self) -> list[Stage]:
        """Stages in order."""
        found: list[Stage] = []
        group: list[Value] = []
        for node in self.graph.nodes:
            if not is_pulled(node.op):
                found += self._closed(group)
                found.append(Single(node))
            elif node.results[0] in self._kept and node.results[0] not in self._there:
                alone = node.results[0] in self._wholes
                if group and (alone or not self._fits(group, node)):
                    found += self._closed(group)
                group.append(node.results[0])
                if alone:
                    found += self._closed(group)
        return found + self._closed(group)

    def _fits(self, group: Sequence[Value], node: Node) -> bool:
        """Whether a value can be computed in the same loops as those of a group."""
        v = node.results[0]
        if sizes_of(v.type) != sizes_of(group[0].type):
            return False
        inside = set(group)
        nodes = self._written_out([v, *group])
        if any(_is_large(n.op) for n in nodes):
            return False
        if sum(map(_cost, nodes)) > 2 * _MOST_INLINED:
            return False
        return all(
            Trait.ELEMENTWISE in n.op.traits or not inside.intersection(n.operands)
            for n in self._written_out([v])
        )

    def _written_out(self, results: Iterable[Value]) -> list[Node]:
        """Nodes that are computed where some results are, in order."""
        wanted, found = list(results), dict[int, Node]()
        makers = self.graph.makers
        while wanted:
            node = makers.get(wanted.pop())
            if node is not None and self._places[node] not in found:
                found[self._places[node]] = node
                wanted += (v for v in node.operands if v not in self._kept)
        return [found[place] for place in sorted(found)]

    def _closed(self, group: list[Value]) -> list[Stage]:
        if not group:
            return []
        axes = tuple(map(Axis, sizes_of(group[0].type)))
        elements = Elements(self.graph, self.arrays, set(group))
        at = tuple(map(of, axes))
        results = tuple((v, elements.at(v, at)) for v in group)
        nodes = tuple(self._written_out(group))
        group.clear()
        if any(_is_large(n.op) for n in nodes):
            self._check([expr for _, expr in results], nodes)
        heavy = next((n for n in nodes if n.op.name in HEAVY), None)
        return [Loops(axes, results, nodes, heavy, self.graph)]

    def _check(self, exprs: Sequence[Expr], nodes: Sequence[Node]) -> None:
        """Notes reductions that hang on the axes of others."""
        inner = set[Axis]()
        for expr in reductions_of(exprs):
            inner.update(expr.value.axes)
        for expr in reductions_of(exprs):
            if free_axes(expr) & inner:
                self.misplaced.update(
                    n.results[0]
                    for n in nodes
                    if n.op.name in REDUCING and n.results[0] not in self._kept
                )


def _cost(node: Node) -> int:
    """Operations for an element."""
    op = node.op
    own = 0 if op.name in FREE else _COSTS.get(op.name, 1)
    if op.error_bound() <= 1:
        return own
    return max(own, 12 if node.results[0].dtype is float64 else 8)


def _is_large(op: Op) -> bool:
    return op.name in REDUCING or op.name in HEAVY
