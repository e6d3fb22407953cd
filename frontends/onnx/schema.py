"""What the installed onnx package says of operators: function bodies, result types."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import onnx
from onnx import defs

from graphwright.frontends.onnx.types import proto_of_type, type_of_proto
from graphwright.ir.errors import UnsupportedOpError
from graphwright.ir.types import OptionalType, SequenceType, TensorType, Type


def find_schema(op_type: str, domain: str, version: int) -> Any:
    """The schema of an operator at an opset version, or None."""
    try:
        return defs.get_schema(op_type, version, domain)
    except defs.SchemaError:
        return None


@lru_cache(maxsize=1024)
def later_opset(op_type: str, domain: str, version: int) -> int | None:
    """The opset that brings an operator, if that is a later one than ``version``."""
    known = find_schema(op_type, domain, version) is not None
    if known or not defs.has(op_type, domain):
        return None
    return min(
        schema.since_version
        for schema in defs.get_all_schemas_with_history()
        if (schema.name, schema.domain) == (op_type, domain)
    )


def schema_function(
    node: Any, domain: str, version: int, types: Sequence[Type | None]
) -> Any:
    """The function body by which the standard defines an operator, or None."""
    schema = find_schema(node.op_type, domain, version)
    if schema is None:
        return None
    if schema.has_context_dependent_function:
        protos = [
            b"" if t is None else proto_of_type(t).SerializeToString() for t in types
        ]
        blob = schema.get_context_dependent_function(node.SerializeToString(), protos)
        return _with_defaults(onnx.FunctionProto.FromString(blob), schema)
    return _with_defaults(schema.function_body, schema) if schema.has_function else None


def _with_defaults(body: Any, schema: Any) -> Any:
    """A function body that carries the defaults of its operator's attributes."""
    copy = onnx.FunctionProto()
    copy.CopyFrom(body)
    for attribute in schema.attributes.values():
        if attribute.default_value.name:
            copy.attribute_proto.append(attribute.default_value)
    return copy


def infer_result_types(
    node: Any, version: int, types: Sequence[Type | None], reason: Exception
) -> list[Type]:
    """Element types of the results, ranks left open.

    Raises:
        UnsupportedOpError: With the reason why the node is not converted now, if the
            standard does not say what types it gives.
    """
    schema = find_schema(node.op_type, _STANDARD.get(node.domain, node.domain), version)
    known = {
        name: proto_of_type(_open(t))
        for name, t in zip(node.input, types, strict=True)
        if t is not None
    }
    errors = (onnx.shape_inference.InferenceError, onnx.checker.ValidationError)
    try:
        found = onnx.shape_inference.infer_node_outputs(schema, node, known)
        return [_open(type_of_proto(found[name])) for name in node.output if name]
    except (AttributeError, KeyError, *errors):
        raise UnsupportedOpError(
            f"{node.op_type}: {reason}, and what types it gives is not known before"
        ) from None


_STANDARD = {"ai.onnx": ""}


def _open(type_: Type) -> Type:
    match type_:
        case TensorType(dtype):
            return TensorType(dtype, None)
        case SequenceType(element):
            return SequenceType(_open(element))
        case OptionalType(element):
            return OptionalType(_open(element))
        case _:
            return type_
