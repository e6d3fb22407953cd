"""Graphs made again with something changed, types found anew: steps of a shrinker.

Each function gives a smaller case, or None where no valid graph comes of it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, TypeAlias

import numpy as np

from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.emitter import Value
from graphwright.ir.errors import GraphwrightError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op
from graphwright.ir.types import TensorType, TokenType, Type

Case: TypeAlias = tuple[Graph, list[Any]]
"""A graph and its inputs."""

Choices: TypeAlias = Callable[[Node], Iterable[Op]]
"""The ops that may stand for a node's, the best first."""


class _Copy:
    """A graph copied node by node into a builder."""

    def __init__(self, case: Case) -> None:
        self.graph, inputs = case
        self.b = Builder(self.graph.name)
        self.b.variables.update(self.graph.variables)
        self.names: dict[Value, Value] = {}
        self.feeds: list[Any] = []
        self.given = dict(zip(self.graph.inputs, inputs, strict=False))
        self.titles = dict(zip(self.graph.inputs, self.graph.input_names, strict=True))
        self.taken = set(self.graph.input_names)

    def input(self, v: Value, feed: Any, type_: Type | None = None) -> Value:
        """An input that stands for a value of the old graph."""
        title = self.titles.get(v) or self._fresh()
        new = self.names[v] = self.b.input(title, v.type if type_ is None else type_)
        self.feeds.append(feed)
        return new

    def _fresh(self) -> str:
        title = next(t for i in count() if (t := f"v{i}") not in self.taken)
        self.taken.add(title)
        return title

    def use(self, v: Value, values: Mapping[Value, Any]) -> Value:
        """What stands for a value: made before, a constant, or a new input."""
        if v in self.names:
            return self.names[v]
        if v in self.graph.constants:
            self.names[v] = self.b.constant_of(self.graph.constants[v])
            return self.names[v]
        if v in self.given:
            return self.input(v, self.given[v])
        feed = values[v]
        return self.input(v, feed, _type_of(v.type, feed))

    def add(self, node: Node, op: Op, values: Mapping[Value, Any]) -> None:
        """Adds a node with some op."""
        self.b.source = node.source
        operands = [self.use(v, values) for v in node.operands]
        results = self.b.apply(op, operands)
        self.names.update(zip(node.results, results, strict=True))


def _type_of(type_: Type, feed: Any) -> Type:
    """The type of an input that a value is fed to: sizes as they were."""
    if isinstance(type_, TokenType):
        raise GraphwrightError("tokens are not fed")
    if isinstance(type_, TensorType):
        return TensorType(type_.dtype, np.shape(feed))
    return type_


def _attempt(make: Callable[[], Case | None]) -> Case | None:
    """What a step gives, or None if no graph comes of it."""
    try:
        return make()
    except (GraphwrightError, ArithmeticError, LookupError, ValueError, TypeError):
        return None


def kept(
    case: Case,
    nodes: Sequence[Node],
    values: Mapping[Value, Any],
    outputs: Sequence[Value] = (),
) -> Case | None:
    """These nodes alone; what others gave is fed, what others read is an output."""

    def make() -> Case | None:
        return _kept(case, nodes, values, outputs)

    return _attempt(make)


def _kept(
    case: Case,
    nodes: Sequence[Node],
    values: Mapping[Value, Any],
    outputs: Sequence[Value],
) -> Case | None:
    graph = case[0]
    chosen = set(map(id, nodes))
    made = {v for node in nodes for v in node.results}
    if not outputs:
        inner = {v for n in graph.nodes if id(n) in chosen for v in n.operands}
        lost = [n for n in graph.nodes if id(n) not in chosen]
        read = {v for n in lost for v in n.operands}.union(graph.outputs)
        ends = (v for node in nodes for v in node.results)
        outputs = [v for v in ends if v in read or v not in inner]
    live = set(outputs)
    if not live & made:
        return None
    needed: list[Node] = []
    for node in reversed(nodes):
        if live.isdisjoint(node.results) and not node.op.defined_symbols():
            continue
        needed.append(node)
        live.update(node.operands)
    copy = _Copy(case)
    for v in graph.inputs:
        if v in live:
            copy.input(v, copy.given[v])
    for node in reversed(needed):
        copy.add(node, node.op, values)
    found = [copy.use(v, values) for v in outputs if not _is_token(v)]
    return copy.b.finish(found), copy.feeds


def _is_token(v: Value) -> bool:
    return isinstance(v.type, TokenType)


def _rebuilt(
    case: Case,
    choices: Choices,
    names: Mapping[Value, Value] | None = None,
    *,
    inputs: bool = False,
) -> Case:
    """The graph with other ops, some values read in place of others; all inputs or not.

    What nobody reads then goes.
    """
    copy, swap = _Copy(case), names or {}
    graph = case[0]
    live = _live(graph, swap)
    for v in graph.inputs:
        if inputs or v in live:
            copy.input(v, copy.given.get(v))
    for node in graph.nodes:
        if live.isdisjoint(node.results) and not node.op.defined_symbols():
            continue
        operands = tuple(_followed(v, swap) for v in node.operands)
        _add_first(copy, Node(node.op, operands, node.results, node.source), choices)
    outputs = [copy.use(_followed(v, swap), {}) for v in graph.outputs]
    return copy.b.finish(outputs, graph.output_names), copy.feeds


def _add_first(copy: _Copy, node: Node, choices: Choices) -> None:
    """Adds a node with the first op that fits."""
    problem: Exception = GraphwrightError("no op fits")
    for op in choices(node):
        mark = copy.b.mark()
        try:
            copy.add(node, op, {})
        except (GraphwrightError, ValueError, TypeError, IndexError) as error:
            copy.b.undo(mark)
            problem = error
        else:
            return
    raise problem


def _followed(v: Value, swap: Mapping[Value, Value]) -> Value:
    while v in swap:
        v = swap[v]
    return v


def _live(graph: Graph, swap: Mapping[Value, Value]) -> set[Value]:
    """What the outputs need."""
    live = {_followed(v, swap) for v in graph.outputs}
    for node in reversed(graph.nodes):
        if node.op.defined_symbols() or not live.isdisjoint(node.results):
            live.update(_followed(v, swap) for v in node.operands)
    return live


def bypassed(
    case: Case, names: Mapping[Value, Value], *, inputs: bool = False
) -> Case | None:
    """The graph with values read in place of others; all its inputs stay if asked."""
    return _attempt(lambda: _rebuilt(case, lambda n: (n.op,), names, inputs=inputs))


def with_fields(case: Case, node: Node, fields: Mapping[str, Any]) -> Case | None:
    """The graph with other fields of one node's op."""

    def choices(each: Node) -> Iterable[Op]:
        return (each.op.replace(**fields) if each.results == node.results else each.op,)

    return _attempt(lambda: _rebuilt(case, choices))


def folded(case: Case, node: Node, values: Mapping[Value, Any]) -> Case | None:
    """The graph with constants in place of a node."""
    graph, inputs = case
    made = {v: Constant.of(np.asarray(values[v]), v.dtype) for v in node.results}
    nodes = tuple(each for each in graph.nodes if each is not node)
    found = replace(graph, nodes=nodes, constants={**graph.constants, **made})
    return _attempt(lambda: _rebuilt((found, inputs), lambda n: (n.op,)))


def with_number(case: Case, v: Value, array: Any, constant: Constant) -> Case | None:
    """The graph with other numbers in an input or a constant."""
    graph, inputs = case
    if v not in graph.constants:
        pairs = zip(graph.inputs, inputs, strict=True)
        return graph, [array if each is v else x for each, x in pairs]
    found = replace(graph, constants={**graph.constants, v: constant})
    return _attempt(lambda: _rebuilt((found, inputs), lambda n: (n.op,)))


# Sizes --------------------------------------------------------------------------------


def sizes_of(case: Case) -> list[int]:
    """Sizes above 1 of inputs and constants, the largest first."""
    graph = case[0]
    shapes = [v.type.dims for v in graph.inputs if isinstance(v.type, TensorType)]
    dims = {d for shape in shapes for d in shape}
    dims.update(d for c in graph.constants.values() for d in c.shape)
    return sorted((d for d in dims if isinstance(d, int) and d > 1), reverse=True)


def resized(case: Case, size: int, smaller: int) -> Case | None:
    """The graph with another size wherever one stood, in shapes and in fields."""

    def cut(x: Any) -> Any:
        if not isinstance(x, np.ndarray):
            return x
        return x[tuple(slice(smaller if n == size else None) for n in x.shape)]

    def change(v: Value) -> Value:
        type_ = v.type
        if not isinstance(type_, TensorType) or type_.shape is None:
            return v
        shape = tuple(smaller if d == size else d for d in type_.shape)
        return Value(TensorType(type_.dtype, shape))

    def make() -> Case:
        graph, inputs = case
        names = {v: change(v) for v in (*graph.inputs, *graph.constants)}
        nodes = [
            Node(n.op, tuple(names.get(v, v) for v in n.operands), n.results, n.source)
            for n in graph.nodes
        ]
        constants = {
            names[v]: Constant.of(cut(c.array()), c.dtype)
            for v, c in graph.constants.items()
        }
        outputs = tuple(names.get(v, v) for v in graph.outputs)
        ends = tuple(names[v] for v in graph.inputs)
        small = Graph(
            *(graph.name, ends, outputs, tuple(nodes), constants),
            *(graph.input_names, graph.output_names),
        )
        return _rebuilt((small, [cut(x) for x in inputs]), _resizing(size, smaller))

    return _attempt(make)


def _resizing(size: int, smaller: int) -> Choices:
    """Ops whose fields follow a size: products too, equal numbers, or as they are."""

    def product(n: int) -> int:
        return n // size * smaller if n and n % size == 0 else n

    def equal(n: int) -> int:
        return smaller if n == size else n

    def choices(node: Node) -> Iterator[Op]:
        rows = {k: v for k, v in node.op.fields.items() if isinstance(v, tuple)}
        for change in (product, equal):
            yield node.op.replace(**{k: _mapped(v, change) for k, v in rows.items()})
        for name, row in rows.items():
            for i, n in enumerate(row):
                if isinstance(n, int) and n and n * smaller % size == 0:
                    part = n * smaller // size
                    yield node.op.replace(**{name: (*row[:i], part, *row[i + 1 :])})
        yield node.op

    return choices


def _mapped(value: Any, change: Callable[[int], int]) -> Any:
    match value:
        case bool():
            return value
        case int():
            return change(value)
        case tuple():
            return tuple(_mapped(v, change) for v in value)
        case _:
            return value
