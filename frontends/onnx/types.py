"""Types of ONNX values, to and from the IR's."""

from typing import Any

import onnx

from graphwright.frontends.onnx.tensors import dtype_of, element_of
from graphwright.ir.dim import Dim, symbol
from graphwright.ir.errors import ModelError
from graphwright.ir.types import (
    ANY,
    MapType,
    OptionalType,
    SequenceType,
    TensorType,
    Type,
)


def dim_of_proto(proto: Any, anonymous: str) -> Dim:
    """A dim: its value, its name as a symbol, or ``anonymous`` as one."""
    kind = proto.WhichOneof("value")
    if kind == "dim_value":
        if proto.dim_value < 0:
            raise ModelError(f"a shape has the negative size {proto.dim_value}")
        return int(proto.dim_value)
    if kind == "dim_param" and proto.dim_param:
        return symbol(proto.dim_param)
    return symbol(anonymous)


def type_of_proto(proto: Any, name: str = "") -> Type:
    """The type of a TypeProto; ``name`` names its anonymous dims.

    Raises:
        ModelError: If it is empty or of a kind that ONNX does not define.
    """
    kind = proto.WhichOneof("value")
    if kind in ("tensor_type", "sparse_tensor_type"):
        inner = getattr(proto, kind)
        dtype = dtype_of(inner.elem_type)
        if not inner.HasField("shape"):
            return TensorType(dtype, None)
        dims = (dim_of_proto(d, f"{name}.{i}") for i, d in enumerate(inner.shape.dim))
        return TensorType(dtype, tuple(dims))
    if kind == "sequence_type":
        return SequenceType(_element(proto.sequence_type.elem_type))
    if kind == "optional_type":
        return OptionalType(_element(proto.optional_type.elem_type))
    if kind == "map_type":
        key = dtype_of(proto.map_type.key_type)
        return MapType(key, type_of_proto(proto.map_type.value_type, name))
    raise ModelError(f"a value has no type that is known ({kind})")


def _element(proto: Any) -> Type:
    """The type of what a sequence or optional holds: its open dims are of each own."""
    type_ = type_of_proto(proto)
    if not isinstance(type_, TensorType) or type_.shape is None:
        return type_
    return type_.with_shape(d if isinstance(d, int) else ANY for d in type_.shape)


def proto_of_type(type_: Type) -> Any:
    """The TypeProto of a type; symbolic dims become names."""
    helper = onnx.helper
    match type_:
        case TensorType(dtype, shape):
            dims = None if shape is None else [_dim_word(d) for d in shape]
            return helper.make_tensor_type_proto(element_of(dtype), dims)
        case SequenceType(element):
            return helper.make_sequence_type_proto(proto_of_type(element))
        case OptionalType(element):
            return helper.make_optional_type_proto(proto_of_type(element))
        case MapType(key, value):
            return helper.make_map_type_proto(element_of(key), proto_of_type(value))
        case _:
            raise ModelError(f"{type_} has no ONNX type")


def _dim_word(dim: Dim) -> int | str | None:
    if isinstance(dim, int) or dim is ANY:
        return dim if isinstance(dim, int) else None
    return str(dim)


def type_word(type_: Type) -> str:
    """A type as ONNX Runtime spells it: ``tensor(float)``, ``seq(tensor(int64))``."""
    match type_:
        case TensorType(dtype):
            return f"tensor({_WORDS.get(dtype.name, dtype.name)})"
        case SequenceType(element):
            return f"seq({type_word(element)})"
        case OptionalType(element):
            return f"optional({type_word(element)})"
        case MapType(key, value):
            inner = type_word(value).removeprefix("tensor(").removesuffix(")")
            return f"map({_WORDS.get(key.name, key.name)},{inner})"
        case _:
            return str(type_)


_WORDS = {"float32": "float", "float64": "double"}
