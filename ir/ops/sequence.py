"""Sequences (lists) and optionals (a value or nothing), on the host."""

from typing import Any, ClassVar

import numpy as np

from graphwright.ir.dtype import bool_, int64
from graphwright.ir.errors import DTypeError, IndexBoundsError, ShapeError
from graphwright.ir.op import Declared, Op, Tier
from graphwright.ir.rules import join_types, need, need_kind, plain
from graphwright.ir.types import ANY, OptionalType, SequenceType, TensorType, Type


def _element(name: str, type_: Type) -> Type:
    """What a sequence holds."""
    if not isinstance(type_, SequenceType):
        raise DTypeError(f"{name} takes a sequence, got {type_}")
    return type_.element


def _held(*types: Type) -> Type:
    """A type of all elements of a sequence."""
    found = plain(types[0])
    for other in types[1:]:
        found = join_types(found, plain(other), lambda: ANY)
    return found


def _position(name: str, position: Any, size: int, end: int) -> int:
    """A position, negative ones from the end, checked to lie in ``[0, end)``."""
    index = int(np.asarray(position).reshape(()))
    found = index + size if index < 0 else index
    if not 0 <= found < end:
        raise IndexBoundsError(f"{name}: position {index} of a sequence of {size}")
    return found


class SequenceConstruct(Op):
    """The operands, in order, as a sequence."""

    name = "sequence_construct"
    tier: ClassVar[Tier] = Tier.HOST

    def result_type(self, *xs: Type) -> SequenceType:
        need(bool(xs), "sequence_construct takes at least one value")
        return SequenceType(_held(*xs))

    def compute(self, xp: Any, *xs: Any) -> Any:
        return list(xs)


class SequenceEmpty(Op):
    """A sequence without elements."""

    name = "sequence_empty"
    tier: ClassVar[Tier] = Tier.HOST
    element: Type

    def result_type(self) -> SequenceType:
        return SequenceType(self.element)

    def compute(self, xp: Any) -> Any:
        return []


class SequenceInsert(Op):
    """A sequence with one more element, at a position or at the end."""

    name = "sequence_insert"
    tier: ClassVar[Tier] = Tier.HOST

    def result_type(self, s: Type, x: Type, *position: TensorType) -> SequenceType:
        return SequenceType(_held(_element(self.name, s), x))

    def compute(self, xp: Any, s: Any, x: Any, *position: Any) -> Any:
        n = len(s)
        at = _position(self.name, position[0], n, n + 1) if position else n
        return [*s[:at], x, *s[at:]]


class SequenceErase(Op):
    """A sequence without the element at a position, or without the last."""

    name = "sequence_erase"
    tier: ClassVar[Tier] = Tier.HOST

    def result_type(self, s: Type, *position: TensorType) -> Type:
        _element(self.name, s)
        return s

    def compute(self, xp: Any, s: Any, *position: Any) -> Any:
        n = len(s)
        at = _position(self.name, position[0] if position else -1, n, n)
        return [*s[:at], *s[at + 1 :]]


class SequenceAt(Declared):
    """The element at a position; its sizes are found out by the run."""

    name = "sequence_at"
    tier: ClassVar[Tier] = Tier.HOST

    def compute(self, xp: Any, s: Any, position: Any) -> Any:
        return s[_position(self.name, position, len(s), len(s))]


class SequenceLength(Op):
    """The number of elements, as a 0-d int64."""

    name = "sequence_length"
    tier: ClassVar[Tier] = Tier.HOST

    def result_type(self, s: Type) -> TensorType:
        _element(self.name, s)
        return TensorType(int64, ())

    def compute(self, xp: Any, s: Any) -> Any:
        return np.asarray(len(s), np.int64)


class SplitToSequence(Op):
    """Parts of a tensor along an axis.

    The second operand holds the size of all parts but the last (0-d) or of each (1-d);
    without it parts have size 1, and lose the axis unless ``keepdims``.
    """

    name = "split_to_sequence"
    tier: ClassVar[Tier] = Tier.HOST
    axis: int
    keepdims: bool = True

    def result_type(self, x: TensorType, *sizes: TensorType) -> SequenceType:
        for t in sizes:
            need_kind(self.name, t, "i")
        if x.shape is None:
            return SequenceType(TensorType(x.dtype, None))
        shape = list(x.dims)
        shape[self.axis] = ANY if sizes else 1
        if not sizes and not self.keepdims:
            del shape[self.axis]
        return SequenceType(x.with_shape(shape))

    def compute(self, xp: Any, x: Any, *sizes: Any) -> Any:
        if not sizes and not self.keepdims:
            return list(np.moveaxis(x, self.axis, 0))
        ends = np.cumsum(self._sizes(x.shape[self.axis], *sizes))
        return np.split(x, ends[:-1], self.axis) if len(ends) else []

    def _sizes(self, n: int, size: Any = 1) -> list[int]:
        given = np.asarray(size)
        if given.ndim == 0:
            step = int(given)
            need(step > 0, f"split_to_sequence into parts of {step}")
            return [min(step, n - start) for start in range(0, n, step)]
        parts: list[int] = given.tolist()
        fits = sum(parts) == n and min(parts, default=0) >= 0
        need(fits, f"split_to_sequence of size {n} into {parts[:8]}")
        return parts


class ConcatFromSequence(Declared):
    """The elements of a sequence along an axis, or along a new one."""

    name = "concat_from_sequence"
    tier: ClassVar[Tier] = Tier.HOST
    axis: int
    new_axis: bool = False

    def compute(self, xp: Any, s: Any) -> Any:
        if not s:
            raise ShapeError("concat_from_sequence of an empty sequence")
        axis = self.axis
        try:
            return xp.stack(s, axis) if self.new_axis else xp.concatenate(s, axis)
        except ValueError as error:
            raise ShapeError(f"concat_from_sequence: {error}") from None


class OptionalOf(Op):
    """An optional: of the operand, or of nothing."""

    name = "optional"
    tier: ClassVar[Tier] = Tier.HOST
    element: Type

    def result_type(self, *x: Type) -> OptionalType:
        return OptionalType(self.element)

    def compute(self, xp: Any, *x: Any) -> Any:
        return x[0] if x else None


class OptionalHas(Op):
    """Whether an optional holds a value, as a 0-d bool."""

    name = "optional_has"
    tier: ClassVar[Tier] = Tier.HOST

    def result_type(self, x: Type) -> TensorType:
        return TensorType(bool_, ())

    def compute(self, xp: Any, x: Any) -> Any:
        return np.asarray(x is not None)


class OptionalGet(Declared):
    """The value that an optional holds; it must hold one."""

    name = "optional_get"
    tier: ClassVar[Tier] = Tier.HOST

    def compute(self, xp: Any, x: Any) -> Any:
        if x is None:
            raise ShapeError("optional_get of an optional that holds nothing")
        return x
