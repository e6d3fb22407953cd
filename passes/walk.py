"""One forward walk that rebuilds a graph: what layout and fusion are written as."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from graphwright.ir.builder import Builder
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node, Origin
from graphwright.passes.steps import exhausted, note, note_failure

Rule: TypeAlias = Callable[["Walk", Node], Sequence[Value] | None]
"""Values that replace a node's results, or None to keep the node.

The node's operands are those of the graph under construction; its docstring is its
equation.
"""


class Walk(Builder):
    """A graph rebuilt node by node; rules emit in place of the node they replace.

    Attributes:
        uses: How often each value of the old graph is read.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph.name)
        self._old = graph
        self._inputs = list(graph.inputs)
        self._input_names = list(graph.input_names)
        self.constants.update(graph.constants)
        self.origins.update(graph.origins)
        self.variables.update(graph.variables)
        self.metadata.update(graph.metadata)
        self._guards.update(dict.fromkeys(graph.guards))
        self.uses = graph.use_counts()
        self._names: dict[Value, Value] = {}

    def producer(self, value: Value) -> Node | None:
        """The node that makes a value, or None for inputs and constants."""
        return self._producers.get(value)

    def made_by(self, value: Value, *names: str) -> Node | None:
        """The node that makes a value if its op has one of these names."""
        node = self._producers.get(value)
        return node if node is not None and node.op.name in names else None

    def only_use(self, value: Value) -> bool:
        """Whether the value is read once, so that its reader may absorb it."""
        return self.uses.get(value, 0) == 1

    def current(self, value: Value) -> Value:
        """What stands for a value of the old graph now."""
        return self._names.get(value, value)

    def rename(self, old: Value, new: Value, *, rounding: bool = False) -> None:
        """Lets a new value stand for an old one; provenance and use counts follow."""
        if old is new:
            return
        self._names[old] = new
        self.uses[new] = self.uses.get(new, 0) + self.uses.get(old, 0)
        found = self.origins.pop(old, ())
        if rounding:
            found = tuple(_rounded(o) for o in found)
        if found:
            self.origins[new] = (*self.origins.get(new, ()), *found)

    def rebuild(
        self, rules: Mapping[str, Sequence[Rule]], *, rounding: bool = False
    ) -> Graph:
        """The graph after trying the rules for each node's op name, in order.

        The same graph is returned if none applied.
        """
        changed = False
        for node in self._old.nodes:
            operands = tuple(self._names.get(v, v) for v in node.operands)
            self.source = node.source
            here = Node(node.op, operands, node.results, node.source)
            found = self._try(rules.get(node.op.name, ()), here)
            if found is None:
                self._keep(node, operands)
                continue
            changed = True
            for old, new in zip(node.results, found, strict=True):
                self.rename(old, new, rounding=rounding)
        if not changed:
            return self._old
        outputs = [self._names.get(v, v) for v in self._old.outputs]
        return self.finish(outputs, self._old.output_names)

    def _keep(self, node: Node, operands: tuple[Value, ...]) -> None:
        """Adds a node as it is, its types found anew where its operands' are new."""
        results = node.results
        if operands != node.operands:
            types = [v.type for v in operands]
            if types != [v.type for v in node.operands]:
                pairs = zip(results, self.infer(node.op, types), strict=True)
                results = tuple(v if v.type == t else Value(t) for v, t in pairs)
        self.add_node(node.op, operands, results)
        for old, new in zip(node.results, results, strict=True):
            self.rename(old, new)

    def _try(self, rules: Sequence[Rule], node: Node) -> Sequence[Value] | None:
        if not rules or exhausted():
            return None
        for rule in rules:
            name = getattr(rule, "func", rule).__name__.lstrip("_")
            try:
                found = rule(self, node)
            except Exception:
                note_failure(name, node)
                raise
            if found is not None:
                note(name, node)
                return found
        return None


def _rounded(origin: Origin) -> Origin:
    return Origin(origin.graph, origin.value, origin.path, origin.view, rounding=True)
