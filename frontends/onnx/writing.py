"""ONNX nodes on their way out: scopes, names, and the protos made of them at the end.

Until then names are placeholders, so that what a value is called can be settled last.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx

from graphwright.frontends.onnx.types import proto_of_type
from graphwright.ir.constant import Constant
from graphwright.ir.dim import Dim, Expr, symbols
from graphwright.ir.types import TensorType, Type

_MARK = "\0"


@dataclass(slots=True)
class Written:
    """One ONNX node.

    Attributes:
        op_type, domain: The operator.
        inputs, outputs: Names; empty where left out.
        attributes: Numbers, strings, tensors, types, lists of these, scopes; None
            where left out.
        name: What the node is called, if anything.
        proto: A node as it was read, whose names are to be replaced.
    """

    op_type: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    domain: str = ""
    name: str = ""
    proto: Any = None

    def bodies(self) -> "list[Scope]":
        """The sub-graphs it holds."""
        return [a for a in self.attributes.values() if isinstance(a, Scope)]


@dataclass(eq=False)
class Scope:
    """A graph or sub-graph as it is written.

    Attributes:
        name: Its name.
        parent: The graph that it lies in.
        nodes: What was written so far.
        initializers: Constants by name.
        inputs, outputs: Names and types.
        dims: Names of int64 vectors of one element that hold a dim.
        known: Names of constants already written, by their value.
    """

    name: str
    parent: "Scope | None" = None
    nodes: list[Written] = field(default_factory=list[Written])
    initializers: dict[str, Constant] = field(default_factory=dict[str, Constant])
    inputs: list[tuple[str, Type]] = field(default_factory=list[tuple[str, Type]])
    outputs: list[tuple[str, Type]] = field(default_factory=list[tuple[str, Type]])
    dims: dict[Dim, str] = field(default_factory=dict[Dim, str])
    known: dict[Any, str] = field(default_factory=dict[Any, str])

    @property
    def depth(self) -> int:
        """How many graphs it lies in."""
        return 0 if self.parent is None else self.parent.depth + 1

    def outwards(self) -> "Iterator[Scope]":
        """It and the graphs that it lies in."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def root(self) -> "Scope":
        """The outermost graph."""
        *_, last = self.outwards()
        return last


class Names:
    """Placeholders, and what they are called in the end.

    Args:
        reserved: Names that belong to inputs and outputs of the model.
    """

    def __init__(self, reserved: Sequence[str]) -> None:
        self._taken = set(reserved)
        self._final: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._count = 0

    def placeholder(self, stem: str) -> str:
        """A name for now; ``stem`` is what the final one begins with."""
        self._count += 1
        return f"{_MARK}{self._count}{_MARK}{stem}"

    def settle(self, name: str, final: str) -> bool:
        """Gives a placeholder a name that is reserved for it; whether it was one."""
        if not name.startswith(_MARK) or name in self._final:
            return False
        self._final[name] = final
        return True

    def prefer(self, name: str, wish: str) -> None:
        """Gives a placeholder this name if nothing else is called so."""
        if wish and wish not in self._taken and self.settle(name, wish):
            self._taken.add(wish)

    def final(self, name: str) -> str:
        """What a name is in the model."""
        if not name.startswith(_MARK):
            return name
        if name not in self._final:
            self._final[name] = self.unique(name.rsplit(_MARK, 1)[1])
        return self._final[name]

    def unique(self, stem: str) -> str:
        """A name that nothing else has."""
        name, count = stem, self._counts.get(stem, 0)
        while not name or name in self._taken:
            count += 1
            name = f"{stem}_{count}"
        self._counts[stem] = count
        self._taken.add(name)
        return name


def drop_unused(scope: Scope) -> set[str]:
    """Removes nodes and initializers that no output needs; returns what is read."""
    needed = {name for name, _ in scope.outputs}
    kept: list[Written] = []
    for node in reversed(scope.nodes):
        if needed.isdisjoint(name for name in node.outputs if name):
            continue
        kept.append(node)
        needed.update(node.inputs)
        for body in node.bodies():
            needed |= drop_unused(body)
    kept.reverse()
    scope.nodes[:] = kept
    for name in scope.initializers.keys() - needed:
        del scope.initializers[name]
    return needed


class ProtoMaker:
    """Makes protos of scopes.

    Args:
        names: What names are in the end.
        tensor: Makes a TensorProto of a name and a constant.
        unnamed: Symbols that stand for dims which have no name.
    """

    def __init__(self, names: Names, tensor: Any, unnamed: frozenset[str]) -> None:
        self._names, self._tensor, self._unnamed = names, tensor, unnamed
        self._node_names = Names(())

    def graph(self, scope: Scope) -> Any:
        """A GraphProto."""
        final = self._names.final
        proto = onnx.GraphProto(name=final(scope.name) or "graph")
        for row, found in ((proto.input, scope.inputs), (proto.output, scope.outputs)):
            for axis_name, type_ in found:
                info = row.add(name=final(axis_name))
                info.type.CopyFrom(border_type(type_, self._unnamed))
        proto.node.extend(self._node(node) for node in scope.nodes)
        for name, constant in scope.initializers.items():
            proto.initializer.append(self._tensor(final(name), constant))
        return proto

    def _node(self, node: Written) -> Any:
        final = self._names.final
        if node.proto is not None:
            return node.proto(final)
        proto = onnx.NodeProto(op_type=node.op_type, domain=node.domain)
        proto.input.extend(map(final, node.inputs))
        proto.output.extend(map(final, node.outputs))
        if node.name:
            proto.name = self._node_names.unique(node.name)
        for key, value in node.attributes.items():
            if value is None:
                continue
            if isinstance(value, Scope):
                kind = onnx.AttributeProto.GRAPH
                proto.attribute.add(name=key, type=kind, g=self.graph(value))
            else:
                proto.attribute.append(onnx.helper.make_attribute(key, value))
        return proto


def border_type(type_: Type, unnamed: frozenset[str]) -> Any:
    """The TypeProto of an input or output; a dim keeps its name, if it has one."""
    proto = proto_of_type(type_)
    if isinstance(type_, TensorType) and type_.shape is not None:
        for size, dim in zip(type_.shape, proto.tensor_type.shape.dim, strict=True):
            word = dim_name(size, unnamed)
            if word:
                dim.dim_param = word
            elif isinstance(size, Expr):
                dim.ClearField("value")
    return proto


def dim_name(dim: Dim, unnamed: frozenset[str]) -> str:
    """What a dim is called in a model; empty where it has no name.

    None have what stands for sizes that only a run finds out, and what a reader of the
    model calls a dim without a name.
    """
    if isinstance(dim, int):
        return ""
    words = symbols(dim)
    if words & unnamed or any(word.startswith("_") for word in words):
        return ""
    atoms = dim.atoms()
    lone = len(atoms) == 1 and dim.terms == (((atoms[0],), 1),)
    return atoms[0].name if lone else str(dim)


def rename_node(node: Any, change: Mapping[str, str]) -> None:
    """Replaces names in a NodeProto, in what its sub-graphs read from outside too."""
    for i, name in enumerate(node.input):
        node.input[i] = change.get(name, name)
    for i, name in enumerate(node.output):
        node.output[i] = change.get(name, name)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            _rename_graph(attribute.g, change)


def _rename_graph(graph: Any, change: Mapping[str, str]) -> None:
    for node in graph.node:
        rename_node(node, change)
    for info in (*graph.input, *graph.output):
        info.name = change.get(info.name, info.name)
    for tensor in graph.initializer:
        tensor.name = change.get(tensor.name, tensor.name)


def graph_names(graph: Any) -> Iterator[str]:
    """The names that a sub-graph defines, those of its own sub-graphs included."""
    yield from (info.name for info in graph.input)
    yield from (tensor.name for tensor in graph.initializer)
    for node in graph.node:
        yield from (name for name in node.output if name)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graph_names(attribute.g)
