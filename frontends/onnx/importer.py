"""ONNX models to graphs."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx

from graphwright.frontends.onnx.context import Context, NeedsValue
from graphwright.frontends.onnx.registry import find_converter
from graphwright.frontends.onnx.schema import infer_result_types, schema_function
from graphwright.frontends.onnx.tensors import constant_of_proto
from graphwright.frontends.onnx.types import type_of_proto
from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.emitter import Value
from graphwright.ir.errors import GraphwrightError, ModelError, UnrankedError, UnsupportedOpError
from graphwright.ir.graph import Graph, Origin, Source
from graphwright.ir.ops.foreign import Foreign
from graphwright.ir.types import Type

MAX_INLINE_DEPTH = 64
MAX_NODES = 5_000_000
_DOMAINS = {"ai.onnx": ""}

ResolveTensor = Callable[[Any], Constant]


class Scope:
    """Names visible in a (sub-)graph; lookups go outwards."""

    def __init__(self, parent: "Scope | None" = None) -> None:
        self.values: dict[str, Value] = {}
        self.parent = parent

    def find(self, name: str) -> Value | None:
        """The value of a name, or None."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.parent
        return None


class ModelImporter:
    """Imports the graph, functions and sub-graphs of one model.

    Args:
        opsets: Opset version by domain ("" for ai.onnx).
        functions: Model-local functions by (domain, name, overload).
        tensor: What makes a constant of an initializer.
    """

    def __init__(
        self,
        opsets: Mapping[str, int],
        functions: Mapping[tuple[str, str, str], Any],
        tensor: ResolveTensor = constant_of_proto,
    ) -> None:
        self.opsets = {_DOMAINS.get(d, d): v for d, v in opsets.items()}
        self.functions, self.tensor = functions, tensor
        self.depth = 0

    def import_graph(self, proto: Any, metadata: Mapping[str, str]) -> Graph:
        """The whole main graph."""
        builder = Builder(proto.name or "graph")
        builder.metadata.update(metadata)
        run = GraphImporter(self, builder, Scope())
        run.add_initializers(proto)
        names = {t.name for t in proto.initializer}
        for info in proto.input:
            if info.name in names:
                continue  # IR versions before 4 list initializers as inputs
            run.define(info.name, builder.input(info.name, type_of_proto(info.type)))
        run.add_nodes(proto.node)
        outputs = [run.lookup(o.name) for o in proto.output]
        return builder.finish(outputs, [o.name for o in proto.output])


class GraphImporter:
    """Adds the nodes of one graph to a builder."""

    def __init__(self, model: ModelImporter, builder: Builder, scope: Scope) -> None:
        self.model, self.b, self.scope = model, builder, scope

    def define(self, name: str, value: Value) -> None:
        """Gives a name its value.

        Raises:
            ModelError: If it has one.
        """
        if name in self.scope.values:
            raise ModelError(f"value {name!r} is defined twice")
        self.scope.values[name] = value
        origin = Origin(self.b.name, name)
        self.b.origins[value] = (*self.b.origins.get(value, ()), origin)

    def lookup(self, name: str) -> Value:
        """The value of a name.

        Raises:
            ModelError: If no node before defines it.
        """
        value = self.scope.find(name)
        if value is None:
            raise ModelError(
                f"value {name!r} is read but no node before it defines it:"
                " a node is missing, or nodes are not in order (a cycle?)"
            )
        return value

    def add_initializers(self, proto: Any) -> None:
        """Stored tensors, sparse ones included, as constants."""
        for t in (*proto.initializer, *proto.sparse_initializer):
            name = t.name if hasattr(t, "name") else t.values.name
            self.define(name, self.b.constant_of(self.model.tensor(t)))

    def add_nodes(self, nodes: Sequence[Any]) -> None:
        """Nodes in order."""
        for node in nodes:
            if len(self.b.nodes) > MAX_NODES:
                raise ModelError(f"the model expands to over {MAX_NODES} nodes")
            self._add_node(node)

    def _add_node(self, node: Any) -> None:
        inputs = [self.lookup(name) if name else None for name in node.input]
        domain = _DOMAINS.get(node.domain, node.domain)
        version = self.model.opsets.get(domain)
        self.b.source = Source(node.op_type, node.name, f"{domain or 'ai.onnx'} {version}")
        results = self._convert(node, domain, version, inputs)
        if len(results) < len([n for n in node.output if n]):
            raise ModelError(f"{self.b.source} has {len(results)} results, not {len(node.output)}")
        for name, value in zip(node.output, results, strict=False):
            if name:
                self.define(name, value)

    def _convert(
        self, node: Any, domain: str, version: int | None, inputs: list[Value | None]
    ) -> Sequence[Value]:
        function = self.model.functions.get((domain, node.op_type, node.overload))
        if function is not None:
            return self._inline(function, node, inputs)
        if version is None:
            raise ModelError(
                f"{self.b.source}: the model imports no opset of domain {domain or 'ai.onnx'!r}"
            )
        convert = find_converter(domain, node.op_type, version)
        mark = len(self.b.nodes)
        try:
            if convert is not None:
                found = convert(Context(self.b, node, version, inputs, self))
                return (found,) if isinstance(found, Value) else found
            return self._by_schema(node, domain, version, inputs)
        except (NeedsValue, UnrankedError) as reason:
            if self.model.depth < 0:
                raise
            del self.b.nodes[mark:]
            return self._foreign(node, version, inputs, reason)
        except GraphwrightError as error:
            if str(self.b.source) in str(error):
                raise
            raise type(error)(f"{self.b.source}: {error}") from error

    def _by_schema(
        self, node: Any, domain: str, version: int, inputs: list[Value | None]
    ) -> Sequence[Value]:
        """An operator that the standard defines by a function of others."""
        types = [None if v is None else v.type for v in inputs]
        body = schema_function(node, domain, version, types)
        if body is None:
            raise UnsupportedOpError(
                f"operator {domain or 'ai.onnx'}.{node.op_type} of opset {version}"
                " is not known: see docs/operators.md for the list"
            )
        return self._inline(body, node, inputs)

    def _inline(
        self, function: Any, node: Any, inputs: list[Value | None]
    ) -> Sequence[Value]:
        """The body of a function in the place of a call."""
        model = self.model
        if model.depth >= MAX_INLINE_DEPTH:
            raise ModelError(f"functions nest deeper than {MAX_INLINE_DEPTH} at {node.op_type}")
        opsets = {_DOMAINS.get(o.domain, o.domain): o.version for o in function.opset_import}
        inner = ModelImporter({**model.opsets, **opsets}, model.functions, model.tensor)
        inner.depth = model.depth + 1
        run = GraphImporter(inner, self.b, Scope())
        source = self.b.source
        for name, value in zip(function.input, inputs, strict=False):
            if value is not None:
                run.scope.values[name] = value
        given = {a.name: a for a in function.attribute_proto}
        given.update({a.name: a for a in node.attribute})
        for item in function.node:
            run._add_node(_bound(item, given, run.scope))  # noqa: SLF001
        self.b.source = source
        return [run.lookup(name) for name in function.output if run.scope.find(name)]

    def _foreign(
        self, node: Any, version: int, inputs: list[Value | None], reason: Exception
    ) -> Sequence[Value]:
        """The node kept as it is, to be converted when its operands are known."""
        if any(a.HasField("g") for a in node.attribute):
            raise UnsupportedOpError(f"{self.b.source}: {reason}, and it holds a sub-graph")
        proto = onnx.NodeProto()
        proto.CopyFrom(node)
        model = onnx.ModelProto()
        model.graph.node.append(proto)
        for domain, number in self.model.opsets.items():
            model.opset_import.append(onnx.helper.make_opsetid(domain, number))
        operands = [v for v in inputs if v is not None]
        types = infer_result_types(node, version, [None if v is None else v.type for v in inputs])
        op = Foreign(
            format="onnx",
            kind=node.op_type,
            payload=base64.b64encode(model.SerializeToString(deterministic=True)).decode(),
            types=tuple(types),
        )
        return self.b.apply(op, operands)

    # Sub-graphs -----------------------------------------------------------------------

    def free_names(self, proto: Any) -> list[str]:
        """Names that a sub-graph reads from outside, in order of first use."""
        found: dict[str, None] = {}
        _collect_free(proto, set(), found)
        return [name for name in found if self.scope.find(name) is not None]

    def import_subgraph(
        self, proto: Any, types: Sequence[Type], *, captured: Sequence[str]
    ) -> Graph:
        """A sub-graph whose inputs have these types, then those it captures."""
        builder = self.b.subgraph(proto.name or "body")
        run = GraphImporter(self.model, builder, Scope())
        for info, type_ in zip(proto.input, types, strict=True):
            run.define(info.name, builder.input(info.name, type_))
        for name in captured:
            outer = self.lookup(name)
            value = builder.input(name, outer.type)
            known = self.b.constants.get(outer)
            run.scope.values[name] = builder.constant_of(known) if known else value
        run.add_initializers(proto)
        run.add_nodes(proto.node)
        outputs = [run.lookup(o.name) for o in proto.output]
        return builder.finish(outputs, [o.name for o in proto.output])


def _collect_free(proto: Any, bound: set[str], found: dict[str, None]) -> None:
    bound = bound | {i.name for i in proto.input} | {t.name for t in proto.initializer}
    bound |= {t.values.name for t in proto.sparse_initializer}
    for node in proto.node:
        for name in node.input:
            if name and name not in bound:
                found.setdefault(name)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _collect_free(attribute.g, bound, found)
        bound |= set(node.output)
    for output in proto.output:
        if output.name not in bound:
            found.setdefault(output.name)


def _bound(node: Any, given: Mapping[str, Any], scope: Scope) -> Any:
    """A function's node with references to the caller's attributes resolved."""
    missing = [n for n in node.input if n and scope.find(n) is None]
    if not missing and not _has_reference(node):
        return node
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    for i, name in enumerate(copy.input):
        if name in missing:
            copy.input[i] = ""  # an optional input that the caller left out
    _resolve(copy, given)
    return copy


def _has_reference(node: Any) -> bool:
    return any(
        a.ref_attr_name or (a.HasField("g") and any(map(_has_reference, a.g.node)))
        for a in node.attribute
    )


def _resolve(node: Any, given: Mapping[str, Any]) -> None:
    kept: list[Any] = []
    for a in node.attribute:
        if a.ref_attr_name:
            source = given.get(a.ref_attr_name)
            if source is None:
                continue
            filled = onnx.AttributeProto()
            filled.CopyFrom(source)
            filled.name = a.name
            kept.append(filled)
            continue
        if a.HasField("g"):
            for inner in a.g.node:
                _resolve(inner, given)
        kept.append(a)
    copies = [onnx.AttributeProto.FromString(a.SerializeToString()) for a in kept]
    del node.attribute[:]
    node.attribute.extend(copies)
