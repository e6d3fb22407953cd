"""Checks that a graph keeps the rules of the IR."""

from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.types import Guard, collect_guards, type_symbols


def verify(graph: Graph, *, outer: frozenset[str] = frozenset()) -> None:
    """Checks single assignment, order, types, symbols' scopes and sub-graphs.

    Args:
        graph: The graph.
        outer: Symbols of enclosing graphs.

    Raises:
        ModelError: Naming the first node that breaks a rule.
    """
    if len(graph.inputs) != len(graph.input_names):
        raise ModelError(f"graph {graph.name!r}: inputs and their names differ in number")
    if len(graph.outputs) != len(graph.output_names):
        raise ModelError(f"graph {graph.name!r}: outputs and their names differ in number")
    defined: set[Value] = set()
    for value in (*graph.inputs, *graph.constants):
        _define(value, defined, graph, "an input or constant")
    known = set(outer | graph.input_symbols())
    for index, node in enumerate(graph.nodes):
        _verify_node(graph, index, node, defined, known)
    for name, value in zip(graph.output_names, graph.outputs, strict=True):
        if value not in defined:
            raise ModelError(f"output {name!r} of graph {graph.name!r} is never defined")


def _define(value: Value, defined: set[Value], graph: Graph, what: str) -> None:
    if value in defined:
        raise ModelError(f"graph {graph.name!r}: {what} defines a value a second time")
    defined.add(value)


def _verify_node(
    graph: Graph, index: int, node: Node, defined: set[Value], known: set[str]
) -> None:
    place = f"node {index} ({node.op.name}) of graph {graph.name!r}"
    if not all(v in defined for v in node.operands):
        raise ModelError(f"{place} reads a value before it is defined")
    known.update(node.op.defined_symbols())
    wanted = node.op.used_symbols()
    for v in node.results:
        wanted |= type_symbols(v.type)
        _define(v, defined, graph, place)
    if wanted - known:
        raise ModelError(f"{place} uses undefined symbols {sorted(wanted - known)}")
    _verify_types(place, node)
    for sub in node.op.subgraphs():
        verify(sub, outer=frozenset(known))


def _verify_types(place: str, node: Node) -> None:
    with collect_guards() as _guards:
        found = node.op.result_type(*(v.type for v in node.operands))
    types = found if isinstance(found, tuple) else (found,)
    if types != tuple(v.type for v in node.results):
        have = ", ".join(str(v.type) for v in node.results)
        want = ", ".join(map(str, types))
        raise ModelError(f"{place} has type {have}, its rule says {want}")


def check_guard(guard: Guard, left: int, right: int) -> str | None:
    """What to say if a guard does not hold for the values of its sides, else None."""
    if guard.holds(left, right):
        return None
    place = f"{guard.place}: " if guard.place else ""
    return f"{place}{guard.left} = {left} and {guard.right} = {right} break {guard}"
