"""Checks that a graph keeps the rules of the IR."""

from collections.abc import Collection

from graphwright.ir.dim import Dim, symbols
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.ops.effects import Read, Write
from graphwright.ir.types import (
    Guard,
    TensorType,
    collect_guards,
    type_symbols,
)

_NONE: frozenset[str] = frozenset()


def verify(
    graph: Graph,
    *,
    outer: frozenset[str] = _NONE,
    variables: frozenset[str] = _NONE,
) -> None:
    """Checks single assignment, order, types, symbols' scopes, state and sub-graphs.

    Args:
        graph: The graph.
        outer: Symbols of enclosing graphs.
        variables: Variables of enclosing graphs.

    Raises:
        ModelError: Naming the first node that breaks a rule.
    """
    with collect_guards():
        _Check(graph, outer, variables).run()


def check_guard(guard: Guard, left: int, right: int) -> str | None:
    """What to say if a guard does not hold for the values of its sides, else None."""
    if guard.holds(left, right):
        return None
    place = f"{guard.place}: " if guard.place else ""
    sides = (guard.left, left), (guard.right, right)
    said = [f"{dim} = {n}" for dim, n in sides if not isinstance(dim, int)]
    return f"{place}{' and '.join(said)} break{'s' * (len(said) < 2)} {guard}"


class _Check:
    """One graph's check: what is defined so far, in which scope."""

    def __init__(
        self, graph: Graph, outer: frozenset[str], variables: frozenset[str]
    ) -> None:
        self.graph = graph
        self.defined: set[Value] = set()
        self.symbols = set(outer | graph.input_symbols())
        self.variables = variables | graph.variables.keys()

    def run(self) -> None:
        self.ends()
        for index, node in enumerate(self.graph.nodes):
            try:
                self.node(node)
            except ModelError as error:
                place = f"node {index} ({node.op.name}) of graph {self.graph.name!r}"
                raise ModelError(f"{place} {error}") from error
            for sub in node.op.subgraphs():
                _Check(sub, frozenset(self.symbols), self.variables).run()
        for name, v in zip(self.graph.output_names, self.graph.outputs, strict=True):
            if v not in self.defined:
                self.fail(f"output {name!r} is never defined")
        for guard in self.graph.guards:
            used = symbols(guard.left) | symbols(guard.right)
            if not used <= self.symbols:
                self.fail(
                    f"guard {guard} uses undefined {_listed(used - self.symbols)}"
                )

    def fail(self, message: str) -> None:
        raise ModelError(f"graph {self.graph.name!r}: {message}")

    def ends(self) -> None:
        """Checks inputs, outputs and constants."""
        graph = self.graph
        if len(graph.inputs) != len(graph.input_names):
            self.fail("inputs and their names differ in number")
        if len(graph.outputs) != len(graph.output_names):
            self.fail("outputs and their names differ in number")
        if len(set(graph.input_names)) != len(graph.input_names):
            self.fail("two inputs have one name")
        for v in (*graph.inputs, *graph.constants):
            if v in self.defined:
                self.fail("an input or constant is defined a second time")
            self.defined.add(v)
        for v in graph.inputs:
            if not _fits_contents(v.type):
                self.fail(f"an input of type {v.type}: contents do not fit the shape")
        for v, constant in graph.constants.items():
            if v.type != constant.type:
                self.fail(f"a value {v.type} stands for a constant {constant.type}")

    def node(self, node: Node) -> None:
        """Checks one node; what is wrong follows its name."""
        if not self.defined.issuperset(node.operands):
            raise ModelError("reads a value before it is defined")
        op = node.op
        types = [v.type for v in node.results]
        self.symbols.update(op.defined_symbols())
        wanted = op.used_symbols().union(*map(type_symbols, types))
        if not wanted <= self.symbols:
            raise ModelError(f"uses undefined {_listed(wanted - self.symbols)}")
        if types != _rule(node):
            raise ModelError(
                f"has type {_join(types)}, its rule says {_join(_rule(node))}"
            )
        for v in node.results:
            if v in self.defined:
                raise ModelError("defines a value a second time")
            self.defined.add(v)
        if isinstance(op, Read | Write) and op.variable not in self.variables:
            raise ModelError(f"names no variable of the graph: {op.variable!r}")


def _rule(node: Node) -> list[object]:
    """What the op's rule says of its result types."""
    try:
        found = node.op.result_type(*[v.type for v in node.operands])
    except Exception as error:  # in a text written by hand a field may be anything
        raise ModelError(f"has no type: {error}") from error
    return list(found) if isinstance(found, tuple) else [found]


def _fits_contents(type_: object) -> bool:
    if not isinstance(type_, TensorType) or type_.contents is None:
        return True
    size: Dim | None = None if type_.shape is None else type_.size
    return size == len(type_.contents)


def _listed(names: Collection[str]) -> str:
    return "symbols " + ", ".join(sorted(names))


def _join(types: Collection[object]) -> str:
    return ", ".join(map(str, types)) or "none"
