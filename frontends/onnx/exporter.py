"""Graphs to ONNX models.

Nodes are exported one after the other. An exporter may say what a node means in simpler
ops: the builder that it says so to exports each of them at once, as part of the graph.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import onnx

from graphwright.frontends.onnx.custom import export_custom
from graphwright.frontends.onnx.export_dims import DimWriter, Place
from graphwright.frontends.onnx.exporting import Export, Exported, NeedsOpset
from graphwright.frontends.onnx.kernels import since_opset
from graphwright.frontends.onnx.registry import EXPORTERS
from graphwright.frontends.onnx.writing import (
    Names,
    ProtoMaker,
    Scope,
    Written,
    drop_unused,
)
from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.dim import Dim
from graphwright.ir.dtype import DType
from graphwright.ir.emitter import Value
from graphwright.ir.errors import GraphwrightError, ModelError, UnsupportedOpError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op, Tier
from graphwright.ir.types import OptionalType, SequenceType, TensorType, Type

DEFAULT_OPSET = 23
OLDEST_OPSET = 13
"""Before it, operators that every model needs took attributes where now are inputs."""

ML_OPSET = 5
_SMALL = 256
"""Constants of at most this many bytes are shared by value, and in one graph only.

Where they stand in a sub-graph itself, shape inference sees them.
"""

Pair = tuple[Value, Value]


class ExportBuilder(Builder):
    """A builder whose nodes are exported as they are added."""

    def __init__(self, writer: "ModelExporter") -> None:
        super().__init__("export")
        self._writer = writer

    def add_node(
        self, op: Op, operands: Sequence[Value], results: tuple[Value, ...]
    ) -> tuple[Value, ...]:
        """Adds an op and exports it."""
        super().add_node(op, operands, results)
        self.add_exported(self.nodes.pop())
        return results

    def add_exported(self, node: Node) -> None:
        """A node that is a part of the graph."""
        for v in node.results:
            self._producers[v] = node
        self._writer.export_node(node)

    def same(self, value: Value, other: Value) -> None:
        """Says that one value is another."""
        node = self._producers.get(other)
        if node is not None and len(node.results) == 1:
            self._producers[value] = Node(node.op, node.operands, (value,), node.source)


class ModelExporter:
    """Exports one graph as one model.

    Args:
        graph: The graph.
        opset: Version of ai.onnx.
        others: Versions of other domains that are needed.
    """

    def __init__(
        self, graph: Graph, opset: int, others: Mapping[str, int] | None = None
    ) -> None:
        self.graph, self.opset = graph, opset
        self.opsets: dict[str, int] = dict(others or {})
        self.functions: list[Any] = []
        self.names = Names((*graph.input_names, *graph.output_names))
        self.scope = Scope(graph.name)
        self.b = ExportBuilder(self)
        self.b.number_symbols_from(_last_symbol(graph))
        self.uses: dict[Value, int] = {}
        self.pairs: dict[Value, Pair] = {}
        self._sizes = DimWriter(self.names, opset)
        self._values: dict[Value, str] = {}

    # The whole model ------------------------------------------------------------------

    def model(self, tensor: Any) -> Any:
        """The ModelProto; ``tensor`` makes TensorProtos of names and constants."""
        graph, scope = self.graph, self.scope
        for name, v in zip(graph.input_names, graph.inputs, strict=True):
            self._values[v] = name
            scope.inputs.append((name, v.type))
        for _ in range(2):  # a size such as n*m waits for the others
            for name, v in zip(graph.input_names, graph.inputs, strict=True):
                self._sizes.define_sizes(scope, name, v.type)
        self._add_graph(graph)
        for name, v in zip(graph.output_names, graph.outputs, strict=True):
            scope.outputs.append((self._output(v, name), v.type))
        drop_unused(scope)
        maker = ProtoMaker(self.names, tensor, _unnamed(graph))
        return self._proto(maker.graph(scope))

    def _output(self, v: Value, name: str) -> str:
        """The value under the name of an output."""
        found = self.name(v)
        if found == name and found in self.graph.input_names:
            return found
        if found in self.scope.initializers or not self.names.settle(found, name):
            copy = self.placeholder("Identity")
            self._check_identity(v.type)
            self.scope.nodes.append(Written("Identity", [found], [copy], {}))
            self.names.settle(copy, name)
            return copy
        return found

    def _check_identity(self, type_: Type) -> None:
        since = {SequenceType: 14, OptionalType: 16}.get(type(type_), 1)
        if self.opset < since:
            raise NeedsOpset("", since, f"Identity of {type_}")

    def _proto(self, graph: Any) -> Any:
        opsets = {"": self.opset, **self.opsets}
        imports = [onnx.helper.make_opsetid(d, v) for d, v in opsets.items()]
        model = onnx.helper.make_model(graph, opset_imports=imports)
        standard = [i for i in imports if i.domain in _STANDARD]
        model.ir_version = onnx.helper.find_min_ir_version_for(standard, True)
        if self.functions:
            model.ir_version = max(model.ir_version, 10)
        model.producer_name = "graphwright"
        model.functions.extend(self.functions)
        for key, value in self.graph.metadata.items():
            model.metadata_props.add(key=key, value=value)
        return model

    # Graphs ---------------------------------------------------------------------------

    def _add_graph(self, graph: Graph) -> None:
        self.b.constants.update(graph.constants)
        self.uses.update(graph.use_counts())
        for node in graph.nodes:
            self.b.source = node.source
            self.b.add_exported(node)
            self._keep_names(graph, node)

    def _keep_names(self, graph: Graph, node: Node) -> None:
        """Values are called as in the model that the graph came from."""
        for v in node.results:
            if v in self._values and v in graph.origins:
                self.names.prefer(self._values[v], self._origin(v))

    def _origin(self, value: Value | None) -> str:
        """What a value is called in the model that the graph came from, if anything."""
        for origin in self.graph.origins.get(value, ()) if value else ():
            if not origin.path and origin.view == "identity":
                return origin.value
        return ""

    def body(
        self,
        graph: Graph,
        inputs: Sequence[Value],
        given: Sequence[tuple[Value, Value]],
        outputs: Sequence[Value] | None = None,
    ) -> Scope:
        """A sub-graph; ``given`` says for which values outside inputs stand."""
        scope = Scope(self.placeholder(graph.name or "body"), self.scope)
        for v in inputs:
            self._values[v] = self.placeholder("input")
            scope.inputs.append((self._values[v], v.type))
            self._sizes.define_sizes(scope, self._values[v], v.type)
        for inner, outer in given:
            self._stand_for(inner, outer)
        before, self.scope = self.scope, scope
        source = self.b.source
        self._add_graph(graph)
        local = {name for node in scope.nodes for name in node.outputs}
        for v in graph.outputs if outputs is None else outputs:
            name = self.name(v)
            taken = {n for n, _ in scope.outputs}
            if name not in local or name in taken:
                copy = self.placeholder("output")
                self._check_identity(v.type)
                scope.nodes.append(Written("Identity", [name], [copy], {}))
                name = copy
            scope.outputs.append((name, v.type))
        self.scope, self.b.source = before, source
        return scope

    def _stand_for(self, inner: Value, outer: Value) -> None:
        if outer in self.pairs:
            self.pairs[inner] = self.pairs[outer]
            return
        self._values[inner] = self.name(outer)
        known = self.b.constants.get(outer)
        if known is not None:
            self.b.constants[inner] = known
        self._sizes.define_sizes(self._scope_of(), self._values[inner], inner.type)

    def _scope_of(self) -> Scope:
        return self.scope

    def inline(self, graph: Graph, operands: Sequence[Value]) -> list[Value]:
        """The nodes of a sub-graph in the place of the node that holds it."""
        for inner, outer in zip(graph.inputs, operands, strict=True):
            self._stand_for(inner, outer)
            self.b.same(inner, outer)
        source = self.b.source
        self._add_graph(graph)
        self.b.source = source
        return list(graph.outputs)

    # Nodes ----------------------------------------------------------------------------

    def export_node(self, node: Node) -> None:
        """Writes a node and notes the names of its results.

        Raises:
            UnsupportedOpError: If ONNX cannot express it.
        """
        try:
            found = self._exported(node)
        except GraphwrightError as error:
            if node.source is None or str(node.source) in str(error):
                raise
            raise type(error)(f"{node.source}: {error}") from error
        for v, result in zip(node.results, _listed(found), strict=True):
            self._bind(v, result)
        fresh = frozenset(node.op.defined_symbols())
        if fresh:
            for v in node.results:
                if v in self._values:
                    self._sizes.define_sizes(self.scope, self._values[v], v.type, fresh)

    def _exported(self, node: Node) -> Exported:
        if any(_is_complex(v.type) for v in (*node.operands, *node.results)):
            return EXPORTERS["complex"](self, node)  # type: ignore[no-any-return]
        self._check_dtypes(node)
        function = EXPORTERS.get(node.op.name)
        if function is not None:
            found: Exported = function(Export(self, node))
            return found
        if node.op.domain:
            return export_custom(Export(self, node))
        if node.op.tier is Tier.COMPOSITE:
            return node.op.decompose(self.b, *node.operands)
        raise UnsupportedOpError(f"ONNX has no operator for {node.op.name}")

    def _check_dtypes(self, node: Node) -> None:
        for v in node.results:
            if isinstance(v.type, TensorType) and v.type.dtype.bits <= 8:
                since = since_opset(v.type.dtype)
                if since > self.opset:
                    raise NeedsOpset("", since, f"{node.op.name} of {v.type.dtype}")

    def _bind(self, v: Value, result: "str | Value | Pair") -> None:
        if isinstance(result, str):
            self._values[v] = result
        elif isinstance(result, tuple):
            self.pairs[v] = result
        elif result in self.pairs:
            self.pairs[v] = self.pairs[result]
        else:
            self._values[v] = self.name(result)
            self.b.same(v, result)
            known = self.b.constants.get(result)
            if known is not None:
                self.b.constants[v] = known

    # Names ----------------------------------------------------------------------------

    def placeholder(self, stem: str) -> str:
        """A name for now."""
        return self.names.placeholder(stem)

    def name(self, value: Value) -> str:
        """The name of a value; constants are written where they are first read."""
        constant = self.b.constants.get(value)
        if constant is not None:
            return self.constant(constant, value)
        found = self._values.get(value)
        if found is None and value in self.pairs:
            raise UnsupportedOpError(
                f"ONNX cannot make a complex tensor: {value.type} leaves the graph or"
                " goes to an operator"
            )
        if found is None:
            raise ModelError(f"export: a value of type {value.type} is not there")
        return found

    def wrap(self, name: str, type_: Type) -> Value:
        """A value of this type that has a name already."""
        value = Value(type_)
        self._values[value] = name
        return value

    def constant(self, constant: Constant, value: Value | None = None) -> str:
        """The name of a constant; large ones lie in the outermost graph."""
        small = constant.nbytes <= _SMALL
        key: Any = _content(constant) if small else value or id(constant)
        home = self.scope if small else self.scope.root()
        if key in home.known:
            return home.known[key]
        name = home.known[key] = self.placeholder("constant")
        home.initializers[name] = constant
        self.names.prefer(name, self._origin(value) if home.parent is None else "")
        return name

    # Dims -----------------------------------------------------------------------------

    def dims(self, dims: Sequence[Dim]) -> str:
        """An int64 vector of dims."""
        return self._sizes.vector(self.scope, dims)

    def define_from(self, symbol: str, vector: str, index: int) -> None:
        """Says that a symbol is an element of a vector."""
        self._sizes.define(symbol, Place(self.scope, vector, index, False, 0))


_STANDARD = ("", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training")


def _listed(found: Any) -> Sequence[Any]:
    return found if isinstance(found, list | tuple) else (found,)


def _is_complex(type_: Type) -> bool:
    return isinstance(type_, TensorType) and _kind(type_.dtype) == "c"


def _kind(dtype: DType) -> str:
    return dtype.kind


def _content(constant: Constant) -> tuple[str, tuple[int, ...], str]:
    return constant.dtype.name, constant.shape, constant.digest


def _unnamed(graph: Graph) -> frozenset[str]:
    """The symbols that a reader of a model makes for dims without a name."""
    words: set[str] = set()
    for name, v in zip(graph.input_names, graph.inputs, strict=True):
        if isinstance(v.type, TensorType):
            words |= {f"{name}.{i}" for i in range(len(v.type.shape or ()))}
    return frozenset(words)


def _last_symbol(graph: Graph) -> int:
    numbers = (n[1:] for n in graph.symbols() if n.startswith("_"))
    return max((int(n) for n in numbers if n.isdigit()), default=0)


def export_graph(graph: Graph, opset: int | None, tensor: Any) -> Any:
    """A ModelProto of a graph.

    Raises:
        UnsupportedOpError: If ONNX, at the opset asked for, cannot express it.
    """
    wanted, others = opset or DEFAULT_OPSET, dict[str, int]()
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= wanted <= newest:
        raise UnsupportedOpError(
            f"opset {wanted} cannot be written: {OLDEST_OPSET} to {newest} can"
        )
    tried: set[int] = set()
    while True:
        tried.add(wanted)
        try:
            return ModelExporter(graph, wanted, others).model(tensor)
        except NeedsOpset as need:
            if need.domain:
                others[need.domain] = need.version
                continue
            if (
                opset is not None
                or need.version in tried
                or need.version < OLDEST_OPSET
            ):
                raise UnsupportedOpError(
                    f"{need.what} cannot be written in opset {wanted}:"
                    f" it needs opset {need.version}"
                ) from None
            wanted = need.version
