"""Reverse-mode differentiation: nodes that compute gradients, appended to a graph.

Every op states how the cotangents of its results become those of its operands
(``vjp``); an op that does not, but is composite, is taken apart. Values that are no
floats carry no cotangent.
"""

from collections.abc import Mapping, Sequence

from graphwright.ir.builder import Builder
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError, ShapeError, UnsupportedOpError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Cotangents
from graphwright.ir.types import TensorType


def differentiable(value: Value) -> bool:
    """Whether a value can have a cotangent: a tensor of floats or complex numbers."""
    return isinstance(value.type, TensorType) and value.type.dtype.kind in "fc"


def active_values(nodes: Sequence[Node], wrt: Sequence[Value]) -> set[Value]:
    """Values that depend differentiably on ``wrt``, themselves included."""
    found = {v for v in wrt if differentiable(v)}
    for node in nodes:
        if not found.isdisjoint(node.operands):
            found.update(v for v in node.results if differentiable(v))
    return found


def append_gradients(
    b: Builder,
    nodes: Sequence[Node],
    seeds: Mapping[Value, Value],
    wrt: Sequence[Value],
) -> list[Value | None]:
    """Adds what computes the cotangents of values from those of others.

    Args:
        b: Where nodes are added; ``nodes`` lie in it already.
        nodes: The forward computation, in order.
        seeds: The cotangents of some values.
        wrt: The values whose cotangents are wanted.

    Returns:
        A cotangent for each of ``wrt``; None where it is zero.

    Raises:
        UnsupportedOpError: Naming the op on the way that has no gradient.
    """
    active = active_values(nodes, wrt)
    sums: dict[Value, Value] = {v: ct for v, ct in seeds.items() if v in active}
    stop = set(wrt)
    source = b.source
    for node in reversed(nodes):
        if active.isdisjoint(node.operands) or sums.keys().isdisjoint(node.results):
            continue
        if stop.issuperset(v for v in node.results if v in sums):
            continue
        b.source = node.source
        found = _operand_cotangents(b, node, sums)
        for v, ct in zip(node.operands, found, strict=True):
            if ct is not None and v in active:
                sums[v] = b.add(sums[v], ct) if v in sums else ct
    b.source = source
    return [sums.get(v) for v in wrt]


def _operand_cotangents(
    b: Builder, node: Node, sums: Mapping[Value, Value]
) -> Cotangents:
    given = [sums[v] if v in sums else _zeros(b, node, v) for v in node.results]
    try:
        return node.op.vjp(b, node.operands, node.results, given)
    except UnsupportedOpError as error:
        mark = len(b.nodes)
        try:
            parts = node.op.decompose(b, *node.operands)
        except UnsupportedOpError:
            place = f"{node.source}: " if node.source else ""
            raise UnsupportedOpError(
                f"{place}{node.op.name} has no gradient: {error}"
            ) from None
    results = parts if isinstance(parts, tuple) else (parts,)
    inner = {v: ct for v, ct in zip(results, given, strict=True) if differentiable(v)}
    return append_gradients(b, b.nodes[mark:], inner, node.operands)


def _zeros(b: Builder, node: Node, v: Value) -> Value:
    if not isinstance(v.type, TensorType):
        raise UnsupportedOpError(f"{node.op.name} has no gradient: it gives {v.type}")
    return b.zeros_like(v)


def gradient(graph: Graph, wrt: Sequence[str], of: str | None = None) -> Graph:
    """The graph with gradients of one output as further outputs.

    Args:
        graph: The graph.
        wrt: Names of inputs.
        of: Name of the output to differentiate, by default the only or first one. Where
            it has more than one element, the gradient is that of their sum.

    Returns:
        A graph whose outputs are the graph's own, then ``d(of)/d(name)`` for each name.

    Raises:
        ModelError: If there is no such input or output.
        UnsupportedOpError: Naming an op that has no gradient.
    """
    target = _named(of or graph.output_names[0], graph.output_names, graph.outputs)
    wanted = [_named(name, graph.input_names, graph.inputs) for name in wrt]
    for v in (target, *wanted):
        if not differentiable(v):
            raise ShapeError(f"a gradient needs tensors of floats, got {v.type}")
    b = Builder.extending(graph)
    found = _from_ones(b, graph.nodes, target, wanted)
    names = [f"d({of or graph.output_names[0]})/d({name})" for name in wrt]
    return b.finish([*graph.outputs, *found], [*graph.output_names, *names])


def _named(name: str, names: Sequence[str], values: Sequence[Value]) -> Value:
    if name not in names:
        raise ModelError(f"{name!r} is none of {', '.join(map(repr, names))}")
    return values[names.index(name)]


def _from_ones(
    b: Builder, nodes: Sequence[Node], target: Value, wrt: Sequence[Value]
) -> list[Value]:
    ones = b.full(target.shape, 1, target.dtype)
    found = append_gradients(b, nodes, {target: ones}, wrt)
    return [
        b.zeros_like(v) if ct is None else ct for v, ct in zip(wrt, found, strict=True)
    ]


def gradient_at(
    b: Builder, target: Value, points: Mapping[Value, Value], wrt: Sequence[Value]
) -> list[Value]:
    """Gradients of a value of the graph under construction, perhaps at other points.

    Args:
        b: The builder that holds what computes ``target``.
        target: The value to differentiate; of more than one element, their sum.
        points: For each independent value, what stands in its place.
        wrt: Those independent values whose gradients are wanted.
    """
    if all(old is new for old, new in points.items()):
        return _from_ones(b, tuple(b.nodes), target, wrt)
    mark, names = len(b.nodes), dict(points)
    for node in _needed(b.nodes, target, points):
        operands = [names.get(v, v) for v in node.operands]
        names.update(zip(node.results, b.apply(node.op, operands), strict=True))
    moved = [names[v] for v in wrt]
    return _from_ones(b, tuple(b.nodes[mark:]), names.get(target, target), moved)


def _needed(
    nodes: Sequence[Node], target: Value, given: Mapping[Value, Value]
) -> list[Node]:
    """The nodes between given values and a target that depend on the given ones."""
    live: set[Value] = {target}
    kept: list[Node] = []
    for node in reversed(nodes):
        if any(v in live and v not in given for v in node.results):
            kept.append(node)
            live.update(node.operands)
    changed: set[Value] = set(given)
    found: list[Node] = []
    for node in reversed(kept):
        if not changed.isdisjoint(node.operands):
            found.append(node)
            changed.update(node.results)
    return found
