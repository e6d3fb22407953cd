"""Operators on sequences and optionals.

A sequence whose elements are known while importing is taken apart again: what is read
from it is the element itself, so that splitting and indexing leave no sequence behind.
"""

from collections.abc import Sequence
from typing import Any

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.exporting import Export
from graphwright.frontends.onnx.loops import Outer
from graphwright.frontends.onnx.registry import converter, exporter
from graphwright.frontends.onnx.tensors import dtype_of, element_of
from graphwright.frontends.onnx.types import proto_of_type, type_of_proto
from graphwright.ir.dim import Dim
from graphwright.ir.dtype import float32
from graphwright.ir.emitter import Value
from graphwright.ir.errors import DTypeError, ModelError
from graphwright.ir.rules import settle
from graphwright.ir.types import ANY, OptionalType, SequenceType, TensorType, Type

_MAX_PARTS = 256


def known_items(c: Context, s: Value) -> list[Value] | None:
    """The elements of a sequence that this graph builds, or None."""
    node = c.b.producer(s)
    if node is None:
        return None
    if node.op.name == "sequence_construct":
        return list(node.operands)
    return [] if node.op.name == "sequence_empty" else None


def _known_position(
    c: Context, i: int, default: int, size: int, end: int
) -> int | None:
    """Operand ``i`` as a position in ``[0, end)`` where it is known, else None."""
    value = c.optional(i)
    index = default
    if value is not None:
        known = c.b.known(value)
        if known is None:
            return None
        index = int(known.array().reshape(()))
    found = index + size if index < 0 else index
    return found if 0 <= found < end else None


def _element(c: Context, s: Value) -> Type:
    if not isinstance(s.type, SequenceType):
        raise DTypeError(f"{c.op_type} takes a sequence, got {s.type}")
    return s.type.element


def _rebuilt(c: Context, items: Sequence[Value], element: Type) -> Value:
    if items:
        return c.b.emit("sequence_construct", *items)
    return c.b.emit("sequence_empty", element=element)


@converter("SequenceConstruct", since=11)
def sequence_construct(c: Context) -> Value:
    """The operands as a sequence."""
    return c.b.emit("sequence_construct", *c.values())


@converter("SequenceEmpty", since=11)
def sequence_empty(c: Context) -> Value:
    """A sequence without elements, of a dtype (float32 by default)."""
    dtype = dtype_of(c.integer("dtype")) if c.has("dtype") else float32
    return c.b.emit("sequence_empty", element=TensorType(dtype, None))


@converter("SequenceInsert", since=11)
def sequence_insert(c: Context) -> Value:
    """A sequence with one more element."""
    items, x = known_items(c, c[0]), c[1]
    _check_dtype(c, _element(c, c[0]), x.type)
    if items is not None:
        n = len(items)
        at = _known_position(c, 2, n, n, n + 1)
        if at is not None:
            return _rebuilt(c, [*items[:at], x, *items[at:]], x.type)
    position = c.optional(2)
    return c.b.emit(
        "sequence_insert", c[0], x, *([] if position is None else [position])
    )


def _check_dtype(c: Context, element: Type, x: Type) -> None:
    tensors = isinstance(element, TensorType) and isinstance(x, TensorType)
    if not tensors or element.dtype is not x.dtype:  # type: ignore[union-attr]
        raise DTypeError(f"{c.op_type}: a sequence of {element} does not take {x}")


@converter("SequenceErase", since=11)
def sequence_erase(c: Context) -> Value:
    """A sequence without one element, the last by default."""
    items = known_items(c, c[0])
    if items is not None:
        n = len(items)
        at = _known_position(c, 1, -1, n, n)
        if at is not None:
            return _rebuilt(c, [*items[:at], *items[at + 1 :]], _element(c, c[0]))
    position = c.optional(1)
    return c.b.emit("sequence_erase", c[0], *([] if position is None else [position]))


@converter("SequenceAt", since=11)
def sequence_at(c: Context) -> Value:
    """One element of a sequence."""
    element, items = _element(c, c[0]), known_items(c, c[0])
    if items is not None:
        at = _known_position(c, 1, 0, len(items), len(items))
        if at is not None:
            return items[at]
    return _taken(c, "sequence_at", element, c[0], c[1])


def _taken(c: Context, name: str, element: Type, *operands: Value) -> Value:
    outer = Outer(c)
    types = [settle(element, outer.dim)]
    return c.b.emit(name, *operands, **outer.fields(types))


@converter("SequenceLength", since=11)
def sequence_length(c: Context) -> Value:
    """The number of elements."""
    items = known_items(c, c[0])
    return (
        c.b.emit("sequence_length", c[0]) if items is None else c.b.constant(len(items))
    )


@converter("SplitToSequence", since=11)
def split_to_sequence(c: Context) -> Value:
    """Parts of a tensor along an axis: of size 1, of one size, or of given sizes."""
    x, split = c[0], c.optional(1)
    axis = c.axis(c.integer("axis", 0), x.rank)
    keep = split is not None or bool(c.integer("keepdims", 1))
    sizes = _part_sizes(c, x.shape[axis], split)
    if sizes is not None and 0 < len(sizes) <= _MAX_PARTS:
        parts = c.b.split(x, sizes, axis)
        return c.b.emit(
            "sequence_construct",
            *(p if keep else c.b.squeeze(p, [axis]) for p in parts),
        )
    operands = [x] if split is None else [x, split]
    return c.b.emit("split_to_sequence", *operands, axis=axis, keepdims=keep)


def _part_sizes(c: Context, n: Dim, split: Value | None) -> list[int] | None:
    known = None if split is None else c.b.known(split)
    if not isinstance(n, int) or (split is not None and known is None):
        return None
    if known is not None and known.shape != ():
        sizes = [int(v) for v in known.array().ravel()]
        if sum(sizes) != n or min(sizes, default=0) < 0:
            raise ModelError(f"SplitToSequence of size {n} into {sizes[:8]}")
        return sizes
    step = 1 if known is None else int(known.array())
    if step <= 0:
        raise ModelError(f"SplitToSequence into parts of {step}")
    return [min(step, n - i) for i in range(0, n, step)]


@converter("ConcatFromSequence", since=11)
def concat_from_sequence(c: Context) -> Value:
    """The elements along an axis, or along a new one."""
    axis, new_axis = c.integer("axis"), bool(c.integer("new_axis", 0))
    items, element = known_items(c, c[0]), _element(c, c[0])
    if items and all(v.tensor.shape is not None for v in items):
        axis = c.axis(axis, items[0].rank + new_axis)
        return c.b.stack(items, axis) if new_axis else c.b.concat(items, axis)
    outer = Outer(c)
    types = [_joined_type(c, element, axis, new_axis, outer)]
    fields = {"axis": axis, "new_axis": new_axis, **outer.fields(types)}
    return c.b.emit("concat_from_sequence", c[0], **fields)


def _joined_type(
    c: Context, element: Type, axis: int, new_axis: bool, outer: Outer
) -> Type:
    if not isinstance(element, TensorType):
        raise DTypeError(f"ConcatFromSequence joins tensors, not {element}")
    if element.shape is None:
        return element
    shape = list(element.shape)
    axis = c.axis(axis, len(shape) + new_axis)
    if new_axis:
        shape.insert(axis, ANY)
    else:
        shape[axis] = ANY
    return settle(element.with_shape(shape), outer.dim)


# Optionals ----------------------------------------------------------------------------


@converter("Optional", since=15)
def optional(c: Context) -> Value:
    """An optional of a value, or of nothing of a type."""
    value = c.optional(0)
    if value is None:
        return c.b.emit("optional", element=_declared(c))
    return c.b.emit("optional", value, element=_open(value.type))


def _declared(c: Context) -> Type:
    attribute = c.attributes.get("type")
    if attribute is None:
        raise ModelError("Optional has neither a value nor a type")
    type_ = type_of_proto(attribute.tp)
    if isinstance(type_, TensorType) and type_.shape is not None:
        return type_.with_shape(d if isinstance(d, int) else ANY for d in type_.shape)
    return type_


def _open(type_: Type) -> Type:
    return type_.with_dtype(type_.dtype) if isinstance(type_, TensorType) else type_


@converter("OptionalHasElement", since=15)
def optional_has_element(c: Context) -> Value:
    """Whether an optional holds a value; tensors and sequences always do."""
    value = c.optional(0)
    if value is not None and isinstance(value.type, OptionalType):
        node = c.b.producer(value)
        if node is None or node.op.name != "optional":
            return c.b.emit("optional_has", value)
        return c.b.constant(bool(node.operands))
    return c.b.constant(value is not None)


@converter("OptionalGetElement", since=15)
def optional_get_element(c: Context) -> Value:
    """The value of an optional; a tensor or sequence is its own."""
    value = c[0]
    if not isinstance(value.type, OptionalType):
        return value
    node = c.b.producer(value)
    if node is not None and node.op.name == "optional" and node.operands:
        (held,) = node.operands
        assert isinstance(held, Value)
        return held
    return _taken(c, "optional_get", value.type.element, value)


# Export -------------------------------------------------------------------------------


_SEQUENCE = {
    "sequence_construct": "SequenceConstruct",
    "sequence_insert": "SequenceInsert",
    "sequence_erase": "SequenceErase",
    "sequence_at": "SequenceAt",
    "sequence_length": "SequenceLength",
    "optional_has": "OptionalHasElement",
    "optional_get": "OptionalGetElement",
}


@exporter(*_SEQUENCE)
def sequence(e: Export) -> str:
    """An operator of the same meaning."""
    e.takes(_SEQUENCE[e.op.name], e.operands[0].type)
    return e.add(_SEQUENCE[e.op.name], *e.names())


@exporter("sequence_empty")
def export_sequence_empty(e: Export) -> str:
    """A sequence of one element with that element taken out, where none is a tensor."""
    element = e.op.element
    if not isinstance(element, TensorType):
        raise e.unsupported(f"an empty sequence of {element}")
    e.takes("SequenceConstruct", element)
    return e.add("SequenceEmpty", dtype=element_of(element.dtype))


@exporter("split_to_sequence")
def export_split_to_sequence(e: Export) -> str:
    """``SplitToSequence``."""
    e.takes("SplitToSequence", e.operands[0].type)
    return e.add(
        "SplitToSequence", *e.names(), axis=e.op.axis, keepdims=int(e.op.keepdims)
    )


@exporter("concat_from_sequence")
def export_concat_from_sequence(e: Export) -> str:
    """``ConcatFromSequence``."""
    fields: dict[str, Any] = {"axis": e.op.axis, "new_axis": int(e.op.new_axis)}
    return e.add("ConcatFromSequence", e[0], **fields)


@exporter("optional")
def export_optional(e: Export) -> str:
    """``Optional``."""
    e.takes("Optional", e.op.element)
    if e.operands:
        return e.add("Optional", e[0])
    return e.add("Optional", type=proto_of_type(e.op.element))
