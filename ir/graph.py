"""Graphs: frozen, in static single assignment, topologically ordered."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

from graphwright.ir.constant import Constant
from graphwright.ir.dim import Dim
from graphwright.ir.emitter import Value
from graphwright.ir.op import Op
from graphwright.ir.printer import graph_html, print_graph
from graphwright.ir.types import Guard, Type, bind_type, type_symbols


class Source(NamedTuple):
    """Where a node comes from.

    Attributes:
        kind: The operation as its author wrote it, such as ``Conv`` or ``np.add``.
        name: The name of an ONNX node, or file and line of a Python statement.
        domain: ONNX operator domain and version, such as ``ai.onnx 17``.
    """

    kind: str
    name: str = ""
    domain: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}" if self.name else self.kind


class Origin(NamedTuple):
    """Which value of an original graph a value equals.

    Attributes:
        graph: Name of the original graph.
        value: Name of the value there.
        path: Names of the sub-graphs that lead to it.
        view: How it equals it: ``identity``, a permutation, a slice or a cast.
        rounding: Whether a rewrite of the rounding class lies between.
    """

    graph: str
    value: str
    path: tuple[str, ...] = ()
    view: str = "identity"
    rounding: bool = False


class Node:
    """One operation applied to values; immutable."""

    __slots__ = ("op", "operands", "results", "source")

    def __init__(
        self,
        op: Op,
        operands: tuple[Value, ...],
        results: tuple[Value, ...],
        source: Source | None = None,
    ) -> None:
        self.op, self.operands = op, operands
        self.results, self.source = results, source

    def __repr__(self) -> str:
        return f"<node {self.op!r}>"


Origins = Mapping[Value, tuple[Origin, ...]]
_EMPTY: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True, eq=False, repr=False)
class Graph:
    """A function from tensors to tensors.

    Attributes:
        name: Its name.
        inputs, outputs: Values, with ``input_names`` and ``output_names`` beside them.
        nodes: Operations in an order in which each operand is defined before use.
        constants: Values that stand for constants.
        guards: Conditions on dims, checked when symbols are bound.
        origins: What values of an original graph values are equal to.
        variables: Types and initial contents of state, by name.
        metadata: Strings that came with the model.
    """

    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[Value, Constant] = field(default_factory=lambda: _EMPTY)
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    guards: tuple[Guard, ...] = ()
    origins: Origins = field(default_factory=lambda: _EMPTY)
    variables: Mapping[str, Constant] = field(default_factory=lambda: _EMPTY)
    metadata: Mapping[str, str] = field(default_factory=lambda: _EMPTY)

    @property
    def input_types(self) -> tuple[Type, ...]:
        """Types of the inputs."""
        return tuple(v.type for v in self.inputs)

    @property
    def output_types(self) -> tuple[Type, ...]:
        """Types of the outputs."""
        return tuple(v.type for v in self.outputs)

    def input_symbols(self) -> frozenset[str]:
        """Names of the symbols that the inputs' types mention."""
        return frozenset[str]().union(*(type_symbols(t) for t in self.input_types))

    def symbols(self) -> frozenset[str]:
        """Names of all symbols in types and fields, sub-graphs included."""
        names = set(self.input_symbols())
        types = {id(v.type): v.type for node in self.nodes for v in node.results}
        for type_ in types.values():
            names |= type_symbols(type_)
        for op in {id(node.op): node.op for node in self.nodes}.values():
            names |= op.used_symbols()
            for sub in op.subgraphs():
                names |= sub.symbols()
        return frozenset(names)

    def bind(self, env: Mapping[str, Dim]) -> "Graph":
        """The graph with symbols in types and fields replaced, without provenance."""
        names: dict[Value, Value] = {}

        def fresh(v: Value) -> Value:
            return names.setdefault(v, Value(bind_type(v.type, env)))

        inputs = tuple(map(fresh, self.inputs))
        nodes = tuple(
            Node(
                n.op.bind(env),
                tuple(map(fresh, n.operands)),
                tuple(map(fresh, n.results)),
                n.source,
            )
            for n in self.nodes
        )
        return replace(
            self,
            inputs=inputs,
            outputs=tuple(map(fresh, self.outputs)),
            nodes=nodes,
            constants={fresh(v): c for v, c in self.constants.items()},
            guards=(),
            origins=_EMPTY,
        )

    def ops(self) -> Iterator[Op]:
        """All ops, those of sub-graphs too; one that nodes share comes once."""
        graphs = [self]
        while graphs:
            nodes = graphs.pop().nodes
            for op in {id(node.op): node.op for node in nodes}.values():
                yield op
                graphs += op.subgraphs()

    @cached_property
    def op_classes(self) -> frozenset[type[Op]]:
        """The classes of the nodes' ops, those of sub-graphs left out."""
        return frozenset({type(node.op) for node in self.nodes})

    def use_counts(self) -> dict[Value, int]:
        """How often each value is read, by nodes or as an output."""
        counts: dict[Value, int] = {}
        for node in self.nodes:
            for v in node.operands:
                counts[v] = counts.get(v, 0) + 1
        for v in self.outputs:
            counts[v] = counts.get(v, 0) + 1
        return counts

    @cached_property
    def makers(self) -> Mapping[Value, Node]:
        """What `producers` gives, kept, and not to be changed."""
        return self.producers()

    def producers(self) -> dict[Value, Node]:
        """The node that defines each value that a node defines."""
        return {v: node for node in self.nodes for v in node.results}

    def all_constants(self) -> Iterator[Constant]:
        """All constants, contents of variables and what sub-graphs hold included."""
        held = [self, *(g for node in self.walk() for g in node.op.subgraphs())]
        for graph in held:
            yield from graph.constants.values()
            yield from graph.variables.values()

    def walk(self) -> Iterator[Node]:
        """All nodes, those of sub-graphs after the node that holds them."""
        stack: list[Iterator[Node]] = [iter(self.nodes)]
        while stack:
            node = next(stack[-1], None)
            if node is None:
                stack.pop()
                continue
            yield node
            inner = node.op.subgraphs()
            if inner:
                stack.extend(iter(g.nodes) for g in reversed(inner))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Graph):
            return NotImplemented
        return isomorphic(self, other)

    def __hash__(self) -> int:
        return hash((self.name, self.input_names, self.output_names, len(self.nodes)))

    def __repr__(self) -> str:
        ends = f"{len(self.inputs)} inputs, {len(self.outputs)} outputs"
        return f"<graph {self.name!r}: {len(self.nodes)} nodes, {ends}>"

    def __str__(self) -> str:
        return print_graph(self)

    def _repr_html_(self) -> str:
        return graph_html(self)


def _numbered(graph: Graph) -> dict[Value, int]:
    """A number for each value in order of appearance; unused constants have none."""
    numbers: dict[Value, int] = {}
    for v in graph.inputs:
        numbers.setdefault(v, len(numbers))
    for node in graph.nodes:
        for v in (*node.operands, *node.results):
            numbers.setdefault(v, len(numbers))
    for v in graph.outputs:
        numbers.setdefault(v, len(numbers))
    return numbers


def isomorphic(a: Graph, b: Graph) -> bool:
    """Whether two graphs are the same but for names of values inside and provenance.

    Node order counts; types, ops, attributes, wiring, constants and the names of inputs
    and outputs are compared.
    """
    same_ends = (
        a.input_names == b.input_names
        and a.output_names == b.output_names
        and a.input_types == b.input_types
        and a.output_types == b.output_types
        and len(a.nodes) == len(b.nodes)
        and dict(a.variables) == dict(b.variables)
        and _conditions(a) == _conditions(b)
    )
    if not same_ends:
        return False
    left, right = _numbered(a), _numbered(b)

    def wiring(numbers: dict[Value, int], values: Iterable[Value]) -> list[int]:
        return [numbers[v] for v in values]

    for m, n in zip(a.nodes, b.nodes, strict=True):
        if wiring(left, m.operands) != wiring(right, n.operands) or m.op != n.op:
            return False
        if [v.type for v in m.results] != [v.type for v in n.results]:
            return False
        if wiring(left, m.results) != wiring(right, n.results):
            return False
    if wiring(left, a.outputs) != wiring(right, b.outputs):
        return False
    return _used_constants(a, left) == _used_constants(b, right)


def _conditions(graph: Graph) -> frozenset[tuple[Dim, str, Dim]]:
    return frozenset((g.left, g.relation, g.right) for g in graph.guards)


def _used_constants(graph: Graph, numbers: dict[Value, int]) -> dict[int, Constant]:
    return {numbers[v]: c for v, c in graph.constants.items() if v in numbers}


def names_or_default(names: Sequence[str], count: int, stem: str) -> tuple[str, ...]:
    """Given names, or ``stem0``, ``stem1``, ..."""
    return tuple(names) if names else tuple(f"{stem}{i}" for i in range(count))
