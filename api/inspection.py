"""``inspect``: what a graph or a model is made of."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphwright.display import (
    Shown,
    beside,
    bytes_text,
    count_text,
    facts,
    stacked,
    table,
)
from graphwright.frontends.onnx.header import Header
from graphwright.frontends.onnx.load import load, read_header
from graphwright.ir.arguments import checked
from graphwright.ir.constant import Constant
from graphwright.ir.dim import Dim, substitute
from graphwright.ir.errors import FeedError, UnrankedError
from graphwright.ir.graph import Graph
from graphwright.ir.types import Type


@dataclass(frozen=True, slots=True, repr=False)
class Inspection(Shown):
    """What a graph is made of.

    Attributes:
        graph: The graph; ``str(graph)`` is its text form.
        header: Who made the model and for which opsets; None for a graph of no file.
        inputs, outputs: Types by name.
        dims: Names of the inputs' symbolic dims.
        opsets: Operator sets that the nodes come from, with versions.
        nodes: Number of ops, those of sub-graphs included.
        ops: How often each IR op occurs, sub-graphs included, most frequent first.
        operators: The same of the operators as their author wrote them.
        parameters: Elements of the model's constants; one used twice counts once.
        parameter_bytes: Their bytes in memory.
        flops: Floating-point operations of a run, each sub-graph once: a number, or an
            expression in the dims.
    """

    graph: Graph
    header: Header | None
    inputs: Mapping[str, Type]
    outputs: Mapping[str, Type]
    dims: tuple[str, ...]
    opsets: tuple[str, ...]
    nodes: int
    ops: Mapping[str, int]
    operators: Mapping[str, int]
    parameters: int
    parameter_bytes: int
    flops: Dim

    def to_dict(self) -> dict[str, Any]:
        """The same as plain dictionaries and lists, without the text form."""
        return {
            "name": self.graph.name,
            "producer": " ".join(filter(None, self.header.producer))
            if self.header
            else "",
            "opsets": list(self.opsets),
            "inputs": {name: str(type_) for name, type_ in self.inputs.items()},
            "outputs": {name: str(type_) for name, type_ in self.outputs.items()},
            "dims": list(self.dims),
            "nodes": self.nodes,
            "ops": dict(self.ops),
            "operators": dict(self.operators),
            "parameters": self.parameters,
            "parameter_bytes": self.parameter_bytes,
            "flops": self.flops if isinstance(self.flops, int) else str(self.flops),
            "metadata": dict(self.graph.metadata),
        }

    def to_json(self) -> str:
        """The same as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def __repr__(self) -> str:
        return f"<inspection of {self.graph.name!r}: {self.nodes} ops>"

    def __rich__(self) -> Any:
        signature = [("input", n, t) for n, t in self.inputs.items()]
        signature += [("output", n, t) for n, t in self.outputs.items()]
        ops, operators = self.ops.items(), self.operators.items()
        return stacked(
            facts(self._facts()),
            "",
            table("Signature", ("", "name", "type"), signature),
            beside(
                table("Operators as written", ("operator", "count"), operators, (1,)),
                table("Ops of the graph", ("op", "count"), ops, (1,)),
            ),
        )

    def _facts(self) -> list[tuple[str, object]]:
        flops = count_text(self.flops) if isinstance(self.flops, int) else self.flops
        size = bytes_text(self.parameter_bytes)
        rows: list[tuple[str, object]] = [("graph", self.graph.name)]
        if self.header and any(self.header.producer):
            rows.append(("producer", " ".join(filter(None, self.header.producer))))
        rows += [
            ("opsets", ", ".join(self.opsets) or "none"),
            ("dims", ", ".join(self.dims) or "all known"),
            ("ops", self.nodes),
            ("parameters", f"{count_text(self.parameters)} ({size})"),
            ("FLOPs", flops),
        ]
        rows += [(key, _clipped(text)) for key, text in self.graph.metadata.items()]
        return rows


@checked
def inspect(
    model: "Graph | str | os.PathLike[str] | bytes | Any",
    *,
    dims: Mapping[str, int] | None = None,
) -> Inspection:
    """What a graph, or what ``load`` takes, is made of.

    Args:
        model: A graph, a path, the bytes of an ONNX model, or a ModelProto.
        dims: Sizes of named dims, for FLOPs as a number.

    Raises:
        ModelError: If the model is not valid.
        FeedError: If there is no such dim.
    """
    graph = model if isinstance(model, Graph) else load(model)
    sizes = dict(dims or {})
    symbols = sorted(graph.input_symbols())
    unknown = [name for name in sizes if name not in symbols]
    if unknown:
        known = ", ".join(symbols) or "none"
        raise FeedError(f"no dim is called {unknown[0]!r}; the named dims are {known}")
    nodes = list(graph.walk())
    constants = {id(c): c for c in _parameters(graph)}.values()
    sources = {id(n.source): n.source for n in nodes if n.source}.values()
    return Inspection(
        graph=graph,
        header=None if isinstance(model, Graph) else read_header(model),
        inputs=dict(zip(graph.input_names, graph.input_types, strict=True)),
        outputs=dict(zip(graph.output_names, graph.output_types, strict=True)),
        dims=tuple(symbols),
        opsets=tuple(sorted({s.domain for s in sources if s.domain})),
        nodes=len(nodes),
        ops=dict(Counter(n.op.name for n in nodes).most_common()),
        operators=dict(Counter(s.kind for s in sources).most_common()),
        parameters=sum(c.size for c in constants),
        parameter_bytes=sum(c.nbytes for c in constants),
        flops=substitute(_flops(graph), sizes),
    )


def _parameters(graph: Graph) -> Iterator[Constant]:
    """Constants that the model names; in a graph without provenance, all of them."""
    for part in (graph, *(g for node in graph.walk() for g in node.op.subgraphs())):
        for value, constant in part.constants.items():
            if value in part.origins or not part.origins:
                yield constant
        yield from part.variables.values()


def _flops(graph: Graph) -> Dim:
    """All ops' operations added up; nothing for one whose shapes are not known."""
    total: Dim = 0
    for node in graph.walk():
        types, results = ([v.type for v in vs] for vs in (node.operands, node.results))
        try:
            total = total + node.op.flops(types, results)
        except UnrankedError:
            continue
    return total


def _clipped(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
