"""Weights that are computed of constants alone, such as dequantised ones: made once."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

import numpy as np

from graphwright.ir.constant import Constant, Factors
from graphwright.ir.dtype import float32
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import Evaluator
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Tier, Trait
from graphwright.ir.ops.control import Scan, WhileLoop
from graphwright.ir.types import TensorType
from graphwright.passes.casts import held_in
from graphwright.passes.sink_constants import first_invariant

_WEIGHTED = frozenset({"dot", "conv"})
"""Ops that pack a constant operand in an order of their own."""


def derive_weights(graph: Graph) -> Graph:
    """The graph with weights that hang on constants alone as constants.

    They are computed when they are packed; what was only needed for them is dropped.
    """
    fixed = _fixed(graph)
    read = (v for node in graph.nodes for v in _weights(node))
    wanted = [v for v in dict.fromkeys(read) if v in fixed and _is_sized(v)]
    if not wanted:
        return graph
    made = {v: _derived(graph, v, fixed, _factors(graph, v, fixed)) for v in wanted}
    needed, nodes = {*graph.outputs}, list[Node]()
    for node in reversed(graph.nodes):
        pure = not node.op.defined_symbols() and Trait.EFFECT not in node.op.traits
        if pure and not any(v in needed and v not in made for v in node.results):
            continue
        needed.update(node.operands)
        nodes.append(node)
    constants = {**graph.constants, **made}
    return replace(graph, nodes=tuple(nodes[::-1]), constants=constants)


def _weights(node: Node) -> tuple[Value, ...]:
    """Operands that pay to be constants."""
    if isinstance(node.op, Scan | WhileLoop):
        return node.operands[first_invariant(node.op) :]
    return node.operands[1:] if node.op.name in _WEIGHTED else ()


def _is_sized(v: Value) -> bool:
    return all(isinstance(d, int) for d in v.shape)


def _fixed(graph: Graph) -> dict[Value, Node]:
    """What nodes compute of constants alone, with the node."""
    found: dict[Value, Node] = {}
    for node in graph.nodes:
        pure = node.op.tier is Tier.PRIMITIVE and Trait.RANDOM not in node.op.traits
        known = all(v in found or v in graph.constants for v in node.operands)
        if pure and known and node.operands and len(node.results) == 1:
            found[node.results[0]] = node
    return found


def _factors(graph: Graph, v: Value, fixed: dict[Value, Node]) -> Factors | None:
    """Two factors of a weight, of which the second one repeats fewer numbers."""
    views, node = list[Node](), fixed.get(v)
    while node is not None and _keeps_numbers(node):
        views.append(node)
        node = fixed.get(node.operands[0])
    if node is None or node.op.name != "mul" or node.results[0].dtype is not float32:
        return None
    counts = {x: _count(x, fixed) for x in node.operands}
    codes, scales = sorted(node.operands, key=lambda x: -counts[x])
    if counts[codes] < 2 * counts[scales]:
        return None
    return Factors(*(_viewed(graph, x, views, fixed) for x in (codes, scales)))


def _keeps_numbers(node: Node) -> bool:
    """Whether elements are those of the operand elsewhere."""
    same = node.results[0].dtype is node.operands[0].dtype
    return same and (Trait.VIEW in node.op.traits or node.op.name == "cast")


def _count(v: Value, fixed: dict[Value, Node]) -> int:
    """Elements of what a value is a view of, or repeats."""
    while (node := fixed.get(v)) is not None and (
        Trait.VIEW in node.op.traits or node.op.name == "cast"
    ):
        (v,) = node.operands
    return prod(d for d in v.shape if isinstance(d, int))


def _viewed(
    graph: Graph, v: Value, views: Sequence[Node], fixed: dict[Value, Node]
) -> Constant:
    """Views, the last one first, of a value, as a constant."""
    more, found = dict[Value, Node](), v
    for node in reversed(views):
        type_ = node.op.result_type(found.type)
        assert isinstance(type_, TensorType)
        node = Node(node.op, (found,), (Value(type_),), node.source)  # noqa: PLW2901
        (found,) = node.results
        more[found] = node
    whole = replace(graph, nodes=(*graph.nodes, *more.values()))
    return _derived(whole, found, {**fixed, **more}, dense=False)


def _derived(
    graph: Graph,
    v: Value,
    fixed: dict[Value, Node],
    factors: Factors | None = None,
    dense: bool = True,
) -> Constant:
    """A value as a constant that is computed each time it is read.

    If not ``dense``, its elements may lie in any order.
    """
    inside, wanted = dict[Value, Node](), [v]
    while wanted:
        node = fixed.get(wanted.pop())
        if node is not None and node.results[0] not in inside:
            inside[node.results[0]] = node
            wanted += node.operands
    nodes = tuple(n for n in graph.nodes if n.results and n.results[0] in inside)
    own = Graph("weights", (), (v,), nodes, graph.constants)
    assert isinstance(v.type, TensorType)
    shape = tuple(d for d in v.type.dims if isinstance(d, int))
    compute = partial(_computed, own, dense)
    held, source = held_in(v, fixed), _largest(own)
    return Constant.derived(v.type.dtype, shape, compute, source, factors, held_in=held)


def _largest(graph: Graph) -> Constant | None:
    """The largest of the constants from which all is computed."""
    read = {v for node in graph.nodes for v in node.operands} & graph.constants.keys()
    found = (graph.constants[v] for v in read)
    return max(found, key=lambda constant: constant.nbytes, default=None)


def _computed(graph: Graph, dense: bool) -> Any:
    feeds: Sequence[Any] = ()
    with np.errstate(all="ignore"):
        (found,) = Evaluator(np).run(graph, feeds)
    return np.ascontiguousarray(found) if dense else found.view()
