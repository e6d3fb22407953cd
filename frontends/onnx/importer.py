"""ONNX models to graphs."""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx

from graphwright.frontends.onnx.context import Context, NeedsValue
from graphwright.frontends.onnx.custom import custom_op, import_custom, unknown_cure
from graphwright.frontends.onnx.declared import check_inner, refined
from graphwright.frontends.onnx.functions import (
    bound_node,
    free_names,
    needed_functions,
)
from graphwright.frontends.onnx.order import sorted_nodes
from graphwright.frontends.onnx.registry import Converter, find_converter
from graphwright.frontends.onnx.schema import (
    infer_result_types,
    later_opset,
    schema_function,
)
from graphwright.frontends.onnx.tensors import constant_of_proto
from graphwright.frontends.onnx.types import proto_of_type, type_of_proto
from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.emitter import Value
from graphwright.ir.errors import (
    GraphwrightError,
    ModelError,
    UnrankedError,
    UnsupportedOpError,
)
from graphwright.ir.graph import Graph, Origin, Source
from graphwright.ir.ops.foreign import Foreign
from graphwright.ir.types import Type

MAX_DEPTH = 64
"""How deep functions and sub-graphs may nest, together."""

MAX_NODES = 2_000_000
"""How many ONNX nodes one model may expand to, functions and repeats included."""

_DOMAINS = {"ai.onnx": ""}

_MALFORMED = (
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    onnx.checker.ValidationError,
)
"""What comes of a node with too few operands, strings for numbers, and the like."""

ResolveTensor = Callable[[Any], Constant]
FunctionKey = tuple[str, str, str]
Widened = tuple[frozenset[int] | None, ...]


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


@dataclass
class Progress:
    """What the parts of one import share.

    Attributes:
        nodes: How many ONNX nodes were converted so far.
        widened: For each loop body met (by identity; the body is kept alive), which
            axes of its carried values change, so that it is not found out again.
    """

    nodes: int = 0
    widened: dict[int, tuple[Any, Widened]] = field(
        default_factory=dict[int, tuple[Any, Widened]]
    )

    def count(self) -> None:
        """Notes one more node.

        Raises:
            ModelError: If there are too many.
        """
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise ModelError(f"the model expands to over {MAX_NODES} nodes")


class Operator:
    """What nodes of one operator have in common.

    Attributes:
        kind, domain: Its name and domain ("" for ai.onnx).
        version: The opset version that the model imports for the domain.
        words: Domain and version, for people.
        function: The function of the model that it calls, if it does.
        first: The opset that brings it, if that is a later one.
        convert: Its converter, or None.
    """

    def __init__(
        self, kind: str, domain: str, version: int | None, function: Any
    ) -> None:
        self.kind, self.domain, self.version = kind, domain, version
        self.words = f"{domain or 'ai.onnx'} {version}"
        self.function = function
        self.first: int | None = None
        self.convert: Converter | None = None
        if version is not None:
            self.first = later_opset(kind, domain, version)
            self.convert = find_converter(domain, kind, version)


class ModelImporter:
    """Imports the graph, functions and sub-graphs of one model.

    Args:
        opsets: Opset version by domain ("" for ai.onnx).
        functions: Model-local functions by (domain, name, overload).
        tensor: What makes a constant of an initializer.
        depth: How many functions and sub-graphs this is nested in.
        progress: What is shared with the importer of the enclosing function.
    """

    def __init__(
        self,
        opsets: Mapping[str, int],
        functions: Mapping[FunctionKey, Any],
        tensor: ResolveTensor = constant_of_proto,
        *,
        depth: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self.opsets = {_DOMAINS.get(d, d): v for d, v in opsets.items()}
        self.functions = {
            (_DOMAINS.get(d, d), name, overload): f
            for (d, name, overload), f in functions.items()
        }
        self._operators: dict[FunctionKey, Operator] = {}
        self.tensor, self.depth = tensor, depth
        self.progress = progress or Progress()

    def operator(self, domain: str, kind: str, overload: str) -> Operator:
        """How the nodes of an operator are imported."""
        key = (domain, kind, overload)
        found = self._operators.get(key)
        if found is None:
            domain = _DOMAINS.get(domain, domain)
            version = self.opsets.get(domain)
            function = self.functions.get((domain, kind, overload))
            found = Operator(kind, domain, version, function)
            self._operators[key] = found
        return found

    def nested(self, opsets: Mapping[str, int] | None = None) -> "ModelImporter":
        """An importer of a function's body or a sub-graph.

        Raises:
            ModelError: If they nest too deep.
        """
        if self.depth >= MAX_DEPTH:
            raise ModelError(
                f"functions and sub-graphs nest deeper than {MAX_DEPTH}:"
                " is one recursive?"
            )
        return ModelImporter(
            {**self.opsets, **(opsets or {})},
            self.functions,
            self.tensor,
            depth=self.depth + 1,
            progress=self.progress,
        )

    def import_graph(self, proto: Any, metadata: Mapping[str, str]) -> Graph:
        """The whole main graph."""
        builder = Builder(proto.name or "graph")
        builder.metadata.update(metadata)
        run = GraphImporter(self, builder, Scope())
        run.add_initializers(proto)
        stored = run.scope.values.keys() & {info.name for info in proto.input}
        for info in proto.input:
            if info.name in stored:
                continue  # IR versions before 4 list initializers as inputs
            type_ = type_of_proto(info.type, info.name)
            run.define(info.name, builder.input(info.name, type_))
        run.add_nodes(proto.node)
        run.check_declared(proto.value_info)
        outputs = [run.output(o) for o in proto.output]
        return builder.finish(outputs, [o.name for o in proto.output])


class UndefinedValueError(ModelError):
    """A name that nothing defines, or only a later node."""


def _reads(node: Any) -> list[str]:
    held = [a.g for a in node.attribute if a.HasField("g")]
    return [*node.input, *(name for graph in held for name in free_names(graph))]


class GraphImporter:
    """Adds the nodes of one graph to a builder.

    Args:
        model: What it is part of.
        builder: Where nodes go.
        scope: The names that nodes may read.
        path: Names of the function calls and sub-graphs that lead here.
        expanding: Whether a value that a converter asks for is the caller's to give;
            else the node is kept as it is and converted in the run.
    """

    def __init__(
        self,
        model: ModelImporter,
        builder: Builder,
        scope: Scope,
        path: tuple[str, ...] = (),
        *,
        expanding: bool = False,
    ) -> None:
        self.model, self.b, self.scope, self.path = model, builder, scope, path
        self.expanding = expanding

    def define(self, name: str, value: Value) -> None:
        """Gives a name its value.

        Raises:
            ModelError: If it has one.
        """
        names = self.scope.values
        if name in names:
            raise ModelError(f"value {name!r} is defined twice")
        names[name] = value
        origin, origins = Origin(self.b.name, name, self.path), self.b.origins
        before = origins.get(value)
        origins[value] = (origin,) if before is None else (*before, origin)

    def lookup(self, name: str) -> Value:
        """The value of a name.

        Raises:
            ModelError: If no node before defines it.
        """
        value = self.scope.find(name)
        if value is None:
            raise UndefinedValueError(
                f"value {name!r} is read, but no input, initializer or node defines it"
            )
        return value

    def output(self, info: Any) -> Value:
        """The value of a graph's output, with what is declared of it."""
        value = self.lookup(info.name)
        if not info.type.WhichOneof("value"):
            return value
        declared = type_of_proto(info.type, info.name)
        self.b.source = None
        found = refined(self.b, value, declared, info.name, self.b.input_symbols())
        if found is not value:
            self.b.origins[found] = self.b.origins.get(value, ())
        return found

    def check_declared(self, infos: Iterable[Any]) -> None:
        """Holds values against what the model declares of them.

        Raises:
            ModelError: If they contradict each other.
        """
        for info in infos:
            value = self.scope.values.get(info.name)
            if value is not None:
                check_inner(value, info)

    def add_initializers(self, proto: Any) -> None:
        """Stored tensors, sparse ones included, as constants."""
        for t in proto.initializer:
            self.define(t.name, self.b.constant_of(self.model.tensor(t)))
        for t in proto.sparse_initializer:
            self.define(t.values.name, self.b.constant_of(self.model.tensor(t)))

    def add_nodes(self, nodes: Iterable[Any]) -> None:
        """Nodes, in their order if that is possible."""
        rest = iter(nodes)
        for node in rest:
            try:
                inputs = self._inputs(node)
            except UndefinedValueError:
                self._add_sorted([node, *rest])
                return
            self._add_node(node, inputs)

    def _add_sorted(self, nodes: Sequence[Any]) -> None:
        for node in sorted_nodes(nodes, _reads):
            self._add_node(node, self._inputs(node))

    def _inputs(self, node: Any) -> list[Value | None]:
        known = self.scope.values
        return [
            (known.get(name) or self.lookup(name)) if name else None
            for name in node.input
        ]

    def _add_node(self, node: Any, inputs: list[Value | None]) -> None:
        self.model.progress.count()
        operator = self.model.operator(node.domain, node.op_type, node.overload)
        source = self.b.source = Source(operator.kind, node.name, operator.words)
        results = self._convert(node, operator, inputs)
        for i, name in enumerate(node.output):
            if not name:
                continue
            value = results[i] if i < len(results) else None
            if value is None:
                raise ModelError(f"{source} has no result {i}, named {name!r}")
            self.define(name, value)

    def _convert(
        self, node: Any, operator: Operator, inputs: list[Value | None]
    ) -> Sequence[Value | None]:
        if operator.function is not None:
            return self._inline(operator.function, node, inputs)
        version = operator.version
        if version is None:
            raise ModelError(
                f"{self.b.source}: the model imports no opset of domain"
                f" {operator.domain or 'ai.onnx'!r}"
            )
        source, mark = self.b.source, self.b.mark()
        try:
            return self._by_converter(node, operator, version, inputs)
        except (NeedsValue, UnrankedError) as reason:
            if self.expanding:
                raise
            self.b.undo(mark)
            self.b.source = source
            return self._foreign(node, version, inputs, reason)
        except GraphwrightError as error:
            if str(source) in str(error):
                raise
            raise type(error)(f"{source}: {error}") from error
        except _MALFORMED as error:
            kind = type(error).__name__
            raise ModelError(f"{source} is malformed: {kind}: {error}") from error

    def _by_converter(
        self,
        node: Any,
        operator: Operator,
        version: int,
        inputs: list[Value | None],
    ) -> Sequence[Value | None]:
        domain, first = operator.domain, operator.first
        if first is not None:
            raise UnsupportedOpError(
                f"operator {domain or 'ai.onnx'}.{node.op_type} came with opset"
                f" {first}, the model imports opset {version}: export it for {first}"
            )
        if operator.convert is not None:
            found = operator.convert(Context(self.b, node, version, inputs, self))
            return (found,) if isinstance(found, Value) else found
        own = custom_op(domain, node.op_type)
        if own is not None:
            return import_custom(own, Context(self.b, node, version, inputs, self))
        types = [None if v is None else v.type for v in inputs]
        body = schema_function(node, domain, version, types)
        if body is None:
            raise UnsupportedOpError(
                f"operator {domain or 'ai.onnx'}.{node.op_type} of opset {version}"
                f" is not known: {unknown_cure(domain)}"
            )
        return self._inline(body, node, inputs)

    def _inline(
        self, function: Any, node: Any, inputs: list[Value | None]
    ) -> Sequence[Value | None]:
        """The body of a function in the place of a call."""
        opsets = {
            _DOMAINS.get(o.domain, o.domain): o.version for o in function.opset_import
        }
        path = (*self.path, node.name or node.op_type)
        run = GraphImporter(self.model.nested(opsets), self.b, Scope(), path)
        source = self.b.source
        given = dict(zip(function.input, inputs, strict=False))
        run.scope.values.update((n, v) for n, v in given.items() if v is not None)
        left_out = frozenset(n for n in function.input if given.get(n) is None)
        attributes = {a.name: a for a in function.attribute_proto}
        attributes.update({a.name: a for a in node.attribute})
        run.add_nodes(bound_node(item, attributes, left_out) for item in function.node)
        self.b.source = source
        return [run.scope.find(name) for name in function.output]

    def _foreign(
        self, node: Any, version: int, inputs: list[Value | None], reason: Exception
    ) -> Sequence[Value | None]:
        """The node kept as it is, to be converted when its operands are known.

        The names that its sub-graphs capture are operands too.
        """
        holds = [a.g for a in node.attribute if a.HasField("g")]
        operands = dict(zip(node.input, inputs, strict=True))
        operands.update(self.captured(*holds))
        model = onnx.ModelProto()
        model.graph.node.append(node)
        for name, v in operands.items():
            if v is not None:
                model.graph.input.add(name=name, type=proto_of_type(v.type))
        for domain, number in self.model.opsets.items():
            model.opset_import.append(onnx.helper.make_opsetid(domain, number))
        for function in needed_functions(holds, self.model.functions):
            model.functions.append(function)
        types = infer_result_types(
            node, version, [None if v is None else v.type for v in inputs], reason
        )
        op = Foreign(
            format="onnx",
            kind=node.op_type,
            payload=base64.b64encode(
                model.SerializeToString(deterministic=True)
            ).decode(),
            types=tuple(types),
        )
        results = iter(
            self.b.apply(op, [v for v in operands.values() if v is not None])
        )
        return [next(results) if name else None for name in node.output]

    # Sub-graphs -----------------------------------------------------------------------

    def captured(self, *protos: Any) -> dict[str, Value]:
        """What sub-graphs read from outside, by name, in order of first use."""
        found: dict[str, Value] = {}
        for name in dict.fromkeys(n for proto in protos for n in free_names(proto)):
            value = self.scope.find(name)
            if value is not None:
                found[name] = value
        return found

    def capture_operands(self, captured: Mapping[str, Value]) -> list[Value]:
        """The captured values that become operands: constants are repeated inside."""
        return [v for v in captured.values() if self.b.known(v) is None]

    def open_subgraph(
        self, name: str, types: Mapping[str, Type], captured: Mapping[str, Value]
    ) -> "GraphImporter":
        """The importer of a sub-graph with inputs of these types, then the captured."""
        builder = self.b.subgraph(name)
        run = GraphImporter(self.model.nested(), builder, Scope(), (*self.path, name))
        for word, type_ in types.items():
            run.define(word, builder.input(word, type_))
        for word, outer in captured.items():
            known = self.b.known(outer)
            run.scope.values[word] = (
                builder.input(word, outer.type)
                if known is None
                else builder.constant_of(known)
            )
        return run

    def import_subgraph(
        self, proto: Any, types: Sequence[Type], captured: Mapping[str, Value]
    ) -> Graph:
        """A sub-graph whose inputs have these types, then those it captures.

        Raises:
            ModelError: If it takes another number of inputs.
        """
        names = [info.name for info in proto.input]
        if len(set(names)) != len(types) or len(names) != len(types):
            raise ModelError(
                f"sub-graph {proto.name!r} takes {len(names)} inputs, not {len(types)}"
            )
        given = dict(zip(names, types, strict=True))
        run = self.open_subgraph(proto.name or "body", given, captured)
        return run.finish(proto)

    def with_declared_axis(self, info: Any) -> None:
        """Gives a 0-d input the axis of size 1 with which some models declare it."""
        shape = info.type.tensor_type.shape
        if len(shape.dim) == 1:
            value = self.b.reshape(self.lookup(info.name), (1,))
            self.scope.values[info.name] = value

    def finish(self, proto: Any) -> Graph:
        """The graph of a sub-graph whose inputs are defined already."""
        self.add_body(proto)
        outputs = [self.lookup(o.name) for o in proto.output]
        return self.b.finish(outputs, [o.name for o in proto.output])

    def add_body(self, proto: Any) -> None:
        """Initializers and nodes of a graph."""
        self.add_initializers(proto)
        self.add_nodes(proto.node)

    def inline_subgraph(self, proto: Any) -> list[Value]:
        """A sub-graph without inputs in the place of the node that holds it."""
        path = (*self.path, proto.name or "body")
        run = GraphImporter(self.model.nested(), self.b, Scope(self.scope), path)
        source = self.b.source
        run.add_body(proto)
        self.b.source = source
        return [run.lookup(o.name) for o in proto.output]
