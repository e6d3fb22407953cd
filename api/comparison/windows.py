"""A piece of a graph, fed with what a backend gave before it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphwright.comparison.labels import Labelled
from graphwright.comparison.runners import Outcome
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import Env, bind_inputs
from graphwright.ir.graph import Graph, Node

Case = tuple[Graph, list[Any]]
"""A graph and its inputs."""


def concrete(graph: Graph, feeds: Mapping[str, Any]) -> Graph:
    """The graph with the sizes that its inputs have, provenance kept."""
    env: Env = {}
    bind_inputs(graph, [feeds[n] for n in graph.input_names], env)
    if not env:
        return graph
    bound = graph.bind(env)
    pairs = [*zip(graph.inputs, bound.inputs, strict=True)]
    for old, new in zip(graph.nodes, bound.nodes, strict=True):
        pairs += zip(old.results, new.results, strict=True)
    origins = {new: graph.origins[old] for old, new in pairs if old in graph.origins}
    return replace(bound, origins=origins)


def window(
    original: Labelled, label: str, feeds: Mapping[str, Any], outcome: Outcome
) -> Case | None:
    """The nodes from what a backend is known to have given up to one value.

    None where that value is not outside sub-graphs, or depends on sizes that only a run
    finds out.
    """
    graph = original.graph
    if any(node.op.defined_symbols() for node in graph.nodes):
        return None
    flat = concrete(graph, feeds)
    places = {v: i for i, v in enumerate(_values(graph))}
    values = _values(flat)
    names = {
        values[places[v]]: name for v, name in original.values.items() if v in places
    }
    wanted = [v for v, name in names.items() if name == label]
    if not wanted:
        return None
    known = {v: outcome.values[n] for v, n in names.items() if n in outcome.values}
    rows = zip(flat.inputs, flat.input_names, strict=True)
    known.update((v, feeds[n]) for v, n in rows)
    return cut(flat, wanted[0], known)


def _values(graph: Graph) -> list[Value]:
    return [*graph.inputs, *(v for node in graph.nodes for v in node.results)]


def cut(graph: Graph, value: Value, known: Mapping[Value, Any]) -> Case:
    """The graph of one value, from those that are known."""
    makers = graph.producers()
    needed: list[Node] = []
    inputs: dict[Value, Any] = {}
    seen: set[Value] = set()
    work = [value]
    chosen: set[int] = set()
    while work:
        v = work.pop()
        if v in seen:
            continue
        seen.add(v)
        if v in known and v is not value:
            inputs[v] = known[v]
        elif v in makers and id(makers[v]) not in chosen:
            chosen.add(id(makers[v]))
            work += makers[v].operands
    needed = [n for n in graph.nodes if id(n) in chosen]
    used = {v for n in needed for v in n.operands}
    order = [v for v in _values(graph) if v in inputs]
    piece = replace(
        graph,
        inputs=tuple(order),
        input_names=tuple(f"in{i}" for i in range(len(order))),
        outputs=(value,),
        output_names=("out",),
        nodes=tuple(needed),
        constants={v: c for v, c in graph.constants.items() if v in used},
        guards=(),
    )
    return piece, [inputs[v] for v in order]


def feeds_of(graph: Graph, inputs: Sequence[Any]) -> dict[str, Any]:
    """Inputs by name."""
    return dict(zip(graph.input_names, inputs, strict=True))
