"""What a model says of itself: who made it, for which opsets; and its free dims."""

from collections.abc import Iterator, Mapping
from typing import Any

from graphwright.frontends.onnx.registry import find_converter
from graphwright.frontends.onnx.schema import find_schema
from graphwright.ir.errors import FeedError, ModelError
from graphwright.ir.record import record


@record(frozen=True, slots=True)
class Header:
    """A model without its graph's contents.

    Attributes:
        graph: Name of the graph.
        producer: Name and version of the program that wrote it.
        ir_version: Version of the file format.
        opsets: Imported opset version by domain.
        domain, version: The model's own.
        description, graph_description: Its doc strings.
        metadata: Its other properties.
        dims: Names of the inputs' free dims.
    """

    graph: str
    producer: tuple[str, str]
    ir_version: int
    opsets: Mapping[str, int]
    domain: str
    version: int
    description: str
    graph_description: str
    metadata: Mapping[str, str]
    dims: frozenset[str]


def header_of(model: Any) -> Header:
    """The header of a ModelProto."""
    return Header(
        graph=model.graph.name,
        producer=(model.producer_name, model.producer_version),
        ir_version=model.ir_version,
        opsets={o.domain or "ai.onnx": o.version for o in model.opset_import},
        domain=model.domain,
        version=model.model_version,
        description=model.doc_string,
        graph_description=model.graph.doc_string,
        metadata={p.key: p.value for p in model.metadata_props},
        dims=frozenset(d.dim_param for d in _input_dims(model) if d.dim_param),
    )


def _input_dims(model: Any) -> Iterator[Any]:
    for info in model.graph.input:
        yield from info.type.tensor_type.shape.dim


@record(frozen=True, slots=True)
class UnknownOperator:
    """An operator that a model uses and that is known neither here nor to ``onnx``."""

    operator: str
    domain: str
    opset: int
    node: str

    def __str__(self) -> str:
        return f"{self.domain or 'ai.onnx'}.{self.operator} of opset {self.opset}"


def unknown_operators(model: Any) -> list[UnknownOperator]:
    """All uses of operators that cannot be imported, in order."""
    opsets = {o.domain: o.version for o in model.opset_import}
    own = {(f.domain, f.name) for f in model.functions}
    found: list[UnknownOperator] = []
    for node in _nodes(model):
        domain = "" if node.domain == "ai.onnx" else node.domain
        opset = opsets.get(node.domain, opsets.get(domain, 0))
        if (node.domain, node.op_type) in own:
            continue
        if find_converter(domain, node.op_type, opset) is None:
            schema = find_schema(node.op_type, domain, opset)
            if schema is None or not (
                schema.has_function or schema.has_context_dependent_function
            ):
                found.append(UnknownOperator(node.op_type, domain, opset, node.name))
    return found


def _nodes(model: Any) -> Iterator[Any]:
    """All nodes of a model: of its functions, its graph and their sub-graphs."""
    stack = [iter(model.graph.node), *(iter(f.node) for f in model.functions)]
    while stack:
        node = next(stack[-1], None)
        if node is None:
            stack.pop()
            continue
        yield node
        stack.extend(iter(a.g.node) for a in node.attribute if a.HasField("g"))


def fix_dims(model: Any, dims: Mapping[str, int]) -> None:
    """Gives named dims of a ModelProto's inputs their sizes, in place.

    Raises:
        FeedError: If no input has a dim of that name, or a size is negative.
    """
    known = header_of(model).dims
    for name, size in dims.items():
        if name not in known:
            words = ", ".join(sorted(map(repr, known))) or "none"
            raise FeedError(f"no dim is called {name!r}; the named dims are {words}")
        if size < 0:
            raise FeedError(f"dim {name!r} cannot have the size {size}")
    graph = model.graph
    for info in (*graph.input, *graph.output, *graph.value_info):
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_param in dims:
                dim.dim_value = dims[dim.dim_param]


def find_bad_text(model: Any) -> bytes | None:
    """A string of a model that is not UTF-8, which protobuf gives as bytes; or None."""
    stack = [model]
    while stack:
        for field, value in stack.pop().ListFields():
            single = isinstance(value, str | bytes) or hasattr(value, "ListFields")
            items = [value] if single else value
            if field.type == field.TYPE_MESSAGE:
                stack.extend(items)
            if field.type == field.TYPE_STRING:
                bad = [text for text in items if isinstance(text, bytes)]
                if bad:
                    return bytes(bad[0][:40])
    return None


def check_opsets(model: Any, newest: Mapping[str, int]) -> None:
    """Checks that every standard opset is one that exists.

    Raises:
        ModelError: If a model asks for a newer one than is known here.
    """
    for entry in model.opset_import:
        domain = entry.domain or "ai.onnx"
        known = newest.get(domain)
        if known is not None and not 0 < entry.version <= known:
            raise ModelError(
                f"the model imports opset {entry.version} of {domain}, known are 1 to"
                f" {known}: upgrade onnx, or write the model for opset {known}"
            )
