"""Loop-invariant code leaves loops."""

from dataclasses import replace
from typing import Any

from graphwright.ir.builder import Builder
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op, Tier, Trait
from graphwright.ir.ops.control import Scan, WhileLoop
from graphwright.ir.ops.reduce import Reduce
from graphwright.ir.types import collect_guards, type_symbols
from graphwright.passes.steps import exhausted, note

_ONCE = frozenset({Trait.EFFECT, Trait.RANDOM})
_CHEAP = frozenset({Trait.ELEMENTWISE, Trait.VIEW})


def hoist_invariants(graph: Graph) -> Graph:
    """What a loop's body computes of what never changes runs once, before it: exact.

    Where the loop may run no iteration, only ops move that cannot fail and cost little.
    """
    if graph.op_classes.isdisjoint((WhileLoop, Scan)):
        return graph
    b = Builder.extending(graph)
    b.nodes = []
    moved = False
    for node in graph.nodes:
        loop = isinstance(node.op, WhileLoop | Scan) and not exhausted()
        done = _hoisted(b, node) if loop else None
        if done is not None:
            moved = True
            note("hoist_invariants", node)
        b.source = node.source
        b.add_node(*(done or (node.op, node.operands)), node.results)
    return b.finish(graph.outputs, graph.output_names) if moved else graph


def _hoisted(b: Builder, node: Node) -> tuple[Op, tuple[Value, ...]] | None:
    """The loop and its operands after moving what can be moved out, or None."""
    op: Any = node.op
    body: Graph = op.body
    first = 2 + op.carried if isinstance(op, WhileLoop) else op.carried + op.scanned
    inputs, operands = list(body.inputs), list(node.operands)
    outside = dict(zip(inputs[first:], operands[first:], strict=True))
    own, sure = _own_symbols(op, first), _runs(b, node)
    kept: list[Node] = []
    for inner in body.nodes:
        if not _movable(inner, outside, body, own, sure):
            kept.append(inner)
            continue
        b.source = inner.source
        given = [_outer(b, v, outside, body) for v in inner.operands]
        outside.update(zip(inner.results, b.apply(inner.op, given), strict=True))
    if len(kept) == len(body.nodes):
        return None
    read = {v for n in kept for v in n.operands}.union(body.outputs)
    for inner in body.nodes:
        fresh = [v for v in inner.results if v in outside and v in read]
        inputs += fresh
        operands += [outside[v] for v in fresh]
    names = (*body.input_names, *_names(body, len(inputs)))
    slim = replace(body, inputs=tuple(inputs), input_names=names, nodes=tuple(kept))
    return op.replace(body=slim), tuple(operands)


def _runs(b: Builder, node: Node) -> bool:
    """Whether a loop is known to run its body at least once."""
    op: Any = node.op
    if isinstance(op, Scan):
        lines = zip(node.operands[op.carried :], op.in_axes, strict=False)
        sizes = (x.shape[axis] for x, axis in lines)
        return any(isinstance(d, int) and d > 0 for d in sizes)
    trips, going = (b.constants.get(v) for v in node.operands[:2])
    if trips is None or going is None:
        return False
    return bool(going.array().all()) and int(trips.array().reshape(-1)[0]) != 0


def _outer(b: Builder, v: Value, outside: dict[Value, Value], body: Graph) -> Value:
    if v not in outside:
        outside[v] = b.constant_of(body.constants[v])
    return outside[v]


def _names(body: Graph, count: int) -> list[str]:
    """Names of inputs beyond those that the body has."""
    taken, names = set(body.input_names), list[str]()
    number = 0
    while len(body.inputs) + len(names) < count:
        name = f"invariant{number}"
        number += 1
        if name not in taken:
            names.append(name)
    return names


def _own_symbols(op: Any, first: int) -> frozenset[str]:
    """Symbols that mean something inside the body only."""
    body: Graph = op.body
    changing = (type_symbols(v.type) for v in body.inputs[:first])
    defined = (frozenset(n.op.defined_symbols()) for n in body.nodes)
    return frozenset[str]().union(*changing, *defined, op.defined_symbols())


def _movable(
    node: Node,
    outside: dict[Value, Value],
    body: Graph,
    own: frozenset[str],
    sure: bool,
) -> bool:
    op = node.op
    if op.tier in (Tier.CONTROL, Tier.HOST) or op.traits & _ONCE:
        return False
    if not sure and not op.traits & _CHEAP and not isinstance(op, Reduce):
        return False
    if not all(v in outside or v in body.constants for v in node.operands):
        return False
    if not any(v not in body.constants for v in node.operands):
        return False
    used = op.used_symbols().union(*(type_symbols(v.type) for v in node.results))
    return used.isdisjoint(own) and not _guarded(node)


def _guarded(node: Node) -> bool:
    """Whether an op asks for a condition on dims, which might fail."""
    with collect_guards() as guards:
        node.op.result_type(*[v.type for v in node.operands])
    return bool(guards)
