"""Names for every value of a graph, which compilation carries along as provenance."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node, Origin, Source
from graphwright.ir.types import Type


@dataclass(frozen=True, slots=True)
class Label:
    """A value of the graph that is compared.

    Attributes:
        name: What it is called: as in the model if it has a name there, else ``%7`` as
            in the graph's text.
        type: Its type.
        node: The number of its node among those of the graph; -1 for an input.
        op: Name of the op that makes it; ``input`` for an input.
        source: Where that node comes from, as text.
        path: The sub-graphs that lead to it.
    """

    name: str
    type: Type
    node: int
    op: str
    source: str
    path: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Where it is made, for people."""
        inside = f" in {'/'.join(self.path)}" if self.path else ""
        return f"{self.source or f'{self.op} {self.name!r}'}{inside}"


@dataclass(frozen=True)
class Labelled:
    """A graph whose every value has a name of its own.

    Attributes:
        graph: The graph; its ``origins`` are these names.
        labels: By name, in the graph's order; those of sub-graphs after their node.
        values: Names of the values outside sub-graphs.
        aliases: Other names that the model has for a value, with its name here.
    """

    graph: Graph
    labels: Mapping[str, Label]
    values: Mapping[Value, str]
    aliases: Mapping[str, str]

    def inner(self) -> list[str]:
        """Names of what nodes make, inputs aside."""
        return [n for n, label in self.labels.items() if label.node >= 0]


@dataclass
class _Namer:
    """Hands out names, each once."""

    labels: dict[str, Label] = field(default_factory=dict[str, Label])
    values: dict[Value, str] = field(default_factory=dict[Value, str])
    aliases: dict[str, str] = field(default_factory=dict[str, str])

    def name(
        self, origins: tuple[Origin, ...], number: str, path: tuple[str, ...]
    ) -> str:
        """The first of a value's names in the model that is free, else its number."""
        known = [o.value for o in origins if o.view == "identity" and o.value]
        wanted = known[0] if known else "/".join((*path, number))
        found = wanted
        while found in self.labels:
            found += "'"
        if not path:
            self.aliases.update((n, found) for n in known if n != found)
        return found


def labelled(graph: Graph) -> Labelled:
    """The same graph with a name for every value, as provenance.

    Names are no part of what passes and backends see: the plan is the same.
    """
    namer = _Namer()
    made = _named(graph, namer, (), -1)
    return Labelled(made, namer.labels, namer.values, namer.aliases)


def _named(graph: Graph, namer: _Namer, path: tuple[str, ...], outer: int) -> Graph:
    numbers = dict(_numbers(graph))
    origins = dict[Value, tuple[Origin, ...]]()

    def name(v: Value, node: int, op: str, source: Source | None) -> None:
        found = namer.name(graph.origins.get(v, ()), numbers[v], path)
        namer.labels[found] = Label(found, v.type, node, op, str(source or ""), path)
        if not path:
            namer.values[v] = found
        origins[v] = (Origin(graph.name, found, path),)

    for v, known in zip(graph.inputs, graph.input_names, strict=True):
        if path:
            continue  # what a sub-graph takes is a value of the graph around it
        found = namer.name((Origin(graph.name, known),), numbers[v], path)
        namer.labels[found] = Label(found, v.type, -1, "input", "")
        namer.values[v] = found
        origins[v] = (Origin(graph.name, found),)
    nodes: list[Node] = []
    for index, node in enumerate(graph.nodes):
        place = outer if path else index
        for v in node.results:
            name(v, place, node.op.name, node.source)
        nodes.append(_with_named_parts(node, namer, (*path, _step(node, index)), place))
    return replace(graph, nodes=tuple(nodes), origins=origins)


def _step(node: Node, index: int) -> str:
    name = node.source.name if node.source else ""
    return f"{name or node.op.name}#{index}"


def _with_named_parts(
    node: Node, namer: _Namer, path: tuple[str, ...], outer: int
) -> Node:
    fields: dict[str, Any] = node.op.fields if node.op.subgraphs() else {}
    parts = {
        name: _named(part, namer, (*path, name), outer)
        for name, part in fields.items()
        if isinstance(part, Graph)
    }
    if not parts:
        return node
    return Node(node.op.replace(**parts), node.operands, node.results, node.source)


def _numbers(graph: Graph) -> Iterator[tuple[Value, str]]:
    """The names that values have in the graph's text."""
    seen: dict[Value, str] = {}

    def number(v: Value) -> Iterator[tuple[Value, str]]:
        if v not in seen:
            seen[v] = f"%{len(seen)}"
            yield v, seen[v]

    for v in graph.inputs:
        yield from number(v)
    for node in graph.nodes:
        for v in (*node.operands, *node.results):
            yield from number(v)
    for v in graph.outputs:
        yield from number(v)
