"""What the protos of functions and sub-graphs refer to."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import onnx


def free_names(proto: Any) -> list[str]:
    """Names that a sub-graph reads from outside, in order of first use."""
    found: dict[str, None] = {}
    _collect_free(proto, set(), found)
    return list(found)


def _collect_free(proto: Any, outer: set[str], found: dict[str, None]) -> None:
    bound = outer | {i.name for i in proto.input} | {t.name for t in proto.initializer}
    bound |= {t.values.name for t in proto.sparse_initializer}
    for node in proto.node:
        for name in node.input:
            if name and name not in bound:
                found.setdefault(name)
        for graph in _held(node):
            _collect_free(graph, bound, found)
        bound.update(node.output)
    for output in proto.output:
        if output.name not in bound:
            found.setdefault(output.name)


def _held(node: Any) -> Iterator[Any]:
    return (a.g for a in node.attribute if a.HasField("g"))


def passed_through(proto: Any, index: int, given: int) -> bool:
    """Whether output ``index`` of a sub-graph is its input ``given``, unchanged."""
    source = {
        node.output[0]: node.input[0]
        for node in proto.node
        if node.op_type == "Identity" and not node.domain and node.input and node.output
    }
    name, target = proto.output[index].name, proto.input[given].name
    for _ in range(len(source) + 1):
        if name == target:
            return True
        name = source.get(name, "")
    return False


def needed_functions(
    graphs: Sequence[Any], functions: Mapping[tuple[str, str, str], Any]
) -> list[Any]:
    """The model-local functions that sub-graphs call, directly or not."""
    found: dict[tuple[str, str, str], Any] = {}
    waiting = [node for graph in graphs for node in graph.node]
    while waiting:
        node = waiting.pop()
        key = (node.domain, node.op_type, node.overload)
        if key in functions and key not in found:
            found[key] = functions[key]
            waiting += functions[key].node
        waiting += (inner for graph in _held(node) for inner in graph.node)
    return [found[key] for key in sorted(found)]


def bound_node(
    node: Any, attributes: Mapping[str, Any], left_out: frozenset[str]
) -> Any:
    """A function's node for one call of it.

    References to the caller's attributes are resolved; inputs that the caller left out
    are left out.
    """
    if not (_refers(node) or (left_out and _reads(node, left_out))):
        return node
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    _bind(copy, attributes, left_out)
    return copy


def _refers(node: Any) -> bool:
    return any(
        a.ref_attr_name or (a.HasField("g") and any(map(_refers, a.g.node)))
        for a in node.attribute
    )


def _reads(node: Any, names: frozenset[str]) -> bool:
    if not names.isdisjoint(node.input):
        return True
    return any(_reads(inner, names) for graph in _held(node) for inner in graph.node)


def _bind(node: Any, attributes: Mapping[str, Any], left_out: frozenset[str]) -> None:
    for i, name in enumerate(node.input):
        if name in left_out:
            node.input[i] = ""
    for graph in _held(node):
        for inner in graph.node:
            _bind(inner, attributes, left_out)
    kept = [_resolved(a, attributes) for a in node.attribute]
    del node.attribute[:]
    node.attribute.extend(a for a in kept if a is not None)


def _resolved(attribute: Any, attributes: Mapping[str, Any]) -> Any:
    """An attribute of a node, or that of the call it refers to; None if not given."""
    source = attribute
    if attribute.ref_attr_name:
        source = attributes.get(attribute.ref_attr_name)
        if source is None:
            return None
    copy = onnx.AttributeProto()
    copy.CopyFrom(source)
    copy.name = attribute.name
    return copy
