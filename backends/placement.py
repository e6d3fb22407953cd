"""Which backend runs what: by name, by the author's copies, by what each one lacks."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from graphwright.backends.contract import Backend
from graphwright.backends.registry import choose_backend
from graphwright.ir.errors import ModelError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Tier
from graphwright.ir.ops.effects import CopyTo
from graphwright.ir.ops.fused import Placed
from graphwright.passes.lower import Pass
from graphwright.passes.manager import run_inside
from graphwright.passes.partition import annotated, partition


def placed_by_author(
    graph: Graph, placement: Mapping[str, str], known: Sequence[Backend]
) -> tuple[Graph, list[Backend]]:
    """The graph divided as its author says, and the other backends that it needs.

    Args:
        graph: What is divided.
        placement: Names of backends by what they run: the name of an ONNX node, of a
            value of the model, a Python file's ``name.py:line``, or an operation's
            name such as ``Conv`` or ``dot``; the first that fits counts.
            Nodes that read what a ``copy_to`` gives run where it was copied to.
        known: Backends by name, before those that are registered; the first runs the
            rest.

    Raises:
        ModelError: If a name fits nothing.
        BackendUnavailable: If a backend cannot run here.
    """
    noted_ops = [op for op in graph.ops() if isinstance(op, CopyTo | Placed)]
    if not (placement or noted_ops):
        return graph, []
    _need_known(graph, placement)
    own, held = known[0], {b.name: b for b in known}

    def backend_of(device: str) -> Backend:
        if device not in held:
            held[device] = choose_backend(device)
        return held[device]

    def divide(part: Graph) -> Graph:
        noted = annotated(part)

        def where(node: Node) -> str | None:
            names = _names(part, node)
            chosen = next((d for n, d in placement.items() if n in names), None)
            device = chosen or noted(node)
            return None if device is None else backend_of(device).name

        return partition(part, where, own.name)

    for op in noted_ops:
        backend_of(op.device)
    divided = run_inside(graph, divide, Counter())
    others = {b.name: b for b in held.values() if b is not own}
    return divided, list(others.values())


def _names(graph: Graph, node: Node) -> set[str]:
    """What a placement may call a node."""
    found = {node.op.name}
    if node.source is not None:
        place = node.source.name
        found |= {node.source.kind, place, place.replace("\\", "/").rpartition("/")[2]}
    for v in node.results:
        found.update(origin.value for origin in graph.origins.get(v, ()))
    ends = zip(graph.outputs, graph.output_names, strict=True)
    found.update(name for v, name in ends if v in node.results)
    return found


def _need_known(graph: Graph, placement: Mapping[str, str]) -> None:
    nodes = [n for n in graph.walk() if n.op.tier is not Tier.CONTROL]
    known = set[str]().union(*(_names(graph, node) for node in nodes))
    unknown = [name for name in placement if name not in known]
    if unknown:
        raise ModelError(
            f"placement names {unknown[0]!r}, which {graph.name} does not have: name a"
            " node, a value, an operation or file.py:line"
        )


def placing(own: Backend, others: Sequence[Backend]) -> Pass:
    """The pass that gives what a backend lacks to the first other that has it."""

    def place(graph: Graph) -> Graph:
        return partition(graph, where, own.name)

    def where(node: Node) -> str | None:
        types = [v.type for v in node.operands]
        if own.supports(node.op, types):
            return None
        return next((b.name for b in others if b.supports(node.op, types)), None)

    return place


def within_placed(graph: Graph, change: Callable[[Graph, str], Graph]) -> Graph:
    """The graph with the bodies of its ``placed`` nodes changed, in loops too."""

    def bodies(part: Graph) -> Graph:
        nodes = [_changed(node, change) for node in part.nodes]
        return replace(part, nodes=tuple(nodes))

    return run_inside(graph, bodies, Counter())


def _changed(node: Node, change: Callable[[Graph, str], Graph]) -> Node:
    if not isinstance(node.op, Placed):
        return node
    body = change(node.op.body, node.op.device)
    return Node(node.op.replace(body=body), node.operands, node.results, node.source)
