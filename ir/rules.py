"""Type rules that several op families share."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from graphwright.ir.dim import Dim, equal, evaluate, symbols
from graphwright.ir.dtype import DType
from graphwright.ir.errors import DTypeError, ShapeError, UnrankedError
from graphwright.ir.types import (
    ANY,
    MAX_CONTENTS,
    Contents,
    OptionalType,
    SequenceType,
    TensorType,
    Type,
    agree_shapes,
    require,
)


def need(condition: bool, message: str, *parts: object) -> None:
    """Raises ShapeError with the message unless the condition holds.

    ``parts`` are formatted into it only then: to write a type takes as long as to find
    it.
    """
    if not condition:
        raise ShapeError(message.format(*parts) if parts else message)


def same_dtype(name: str, *types: TensorType) -> DType:
    """The dtype that all operands have."""
    first = types[0].dtype
    for t in types[1:]:
        if t.dtype is not first:
            got = ", ".join(t.dtype.name for t in types)
            raise DTypeError(
                f"{name} takes operands of one dtype, got {got}: add a cast"
            )
    return first


def need_kind(name: str, t: TensorType, kinds: str) -> None:
    """Raises DTypeError unless the dtype's kind is among ``kinds``."""
    if t.dtype.kind not in kinds:
        words = {"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex"}
        wanted = ", ".join(words.get(k, "string") for k in kinds)
        raise DTypeError(f"{name} takes {wanted}, got {t.dtype.name}")


def same_shape(name: str, *types: TensorType) -> tuple[Dim, ...]:
    """The shape that all operands have; unknown equalities become guards."""
    shape = types[0].shape
    for t in types[1:]:
        if t.shape is shape:
            continue
        joined = agree_shapes(_ranked(name, shape), _ranked(name, t.shape))
        if joined is None:
            got = ", ".join(map(str, types))
            raise ShapeError(f"{name} takes operands of one shape, got {got}")
        shape = joined
    return _ranked(name, shape)


def _ranked(name: str, shape: tuple[Dim, ...] | None) -> tuple[Dim, ...]:
    if shape is None:
        raise UnrankedError(f"{name} needs operands of known rank")
    return shape


def ranked(name: str, *types: TensorType) -> None:
    """Raises ShapeError if an operand has no known rank."""
    for t in types:
        _ranked(name, t.shape)


def need_sizes(name: str, shape: Sequence[Dim]) -> None:
    """Raises ShapeError if a size is negative; unknown ones become guards."""
    for dim in shape:
        if isinstance(dim, int):
            need(dim >= 0, f"{name}: shape {list(shape)} has a negative size")
        else:
            require(0, "<=", dim)


def check_axes(name: str, axes: Sequence[int], rank: int) -> None:
    """Raises ShapeError unless axes are distinct and in [0, rank)."""
    if len(set(axes)) != len(axes) or not all(0 <= a < rank for a in axes):
        raise ShapeError(f"{name}: axes {list(axes)} do not fit rank {rank}")


def ints(dims: Sequence[Dim]) -> tuple[int, ...]:
    """Dims whose symbols are bound, as the ints they are then."""
    return tuple(evaluate(d, {}) for d in dims)


def small_size(shape: Sequence[Dim]) -> int | None:
    """Element count of a static shape that may carry contents, else None."""
    n = 1
    for dim in shape:
        if not isinstance(dim, int):
            return None
        n *= dim
    return n if n <= MAX_CONTENTS else None


def typed(dtype: DType, shape: Sequence[Dim], contents: Contents | None) -> TensorType:
    """A type whose contents are kept only where something is known and allowed."""
    shape = tuple(shape)
    if contents is not None:
        usable = (
            dtype.kind in "iub" and dtype.bits >= 8 and small_size(shape) is not None
        )
        if usable and dtype.is_int:
            contents = _wrapped(dtype, contents)
        if not usable or (contents and all(c is None for c in contents)):
            contents = None
    return TensorType(dtype, shape, contents)


def _wrapped(dtype: DType, contents: Contents) -> Contents:
    """Integers modulo the dtype's width; dims are below 2^31."""
    low, high = dtype.limits
    if all(c is None or (isinstance(c, int) and low <= c <= high) for c in contents):
        return contents
    span, wide = high - low + 1, dtype.bits >= 32
    return tuple(
        (c - low) % span + low if isinstance(c, int) else c if wide else None
        for c in contents
    )


def map_contents(
    rule: Callable[..., Dim | None], *operands: TensorType
) -> Contents | None:
    """Contents of an elementwise result, element by element; None if none is known."""
    columns = [t.contents for t in operands]
    known = [c for c in columns if c is not None]
    if not known:
        return None
    n = len(known[0])
    rows = zip(*(c if c is not None else (None,) * n for c in columns), strict=True)
    return tuple(rule(*row) for row in rows)


def permute_contents(t: TensorType, order: Sequence[int]) -> Contents | None:
    """Contents picked by flat position."""
    return None if t.contents is None else tuple(t.contents[i] for i in order)


# Types that meet ---------------------------------------------------------------------

Fresh: TypeAlias = Callable[[], Dim]


def join_types(a: Type, b: Type, fresh: Fresh) -> Type:
    """A type of every value that has one of two types.

    Where dims differ, ``fresh`` gives one; where ranks differ, none is known.

    Raises:
        DTypeError: If kinds or element types differ.
    """
    match a, b:
        case TensorType(), TensorType() if a.dtype is b.dtype:
            return _join_tensors(a, b, fresh)
        case SequenceType(x), SequenceType(y):
            return SequenceType(join_types(x, y, _any))
        case OptionalType(x), OptionalType(y):
            return OptionalType(join_types(x, y, _any))
        case (OptionalType(x), y) | (y, OptionalType(x)):
            return OptionalType(join_types(x, y, _any))
        case _ if a == b:
            return a
        case _:
            raise DTypeError(f"one value would be both {a} and {b}")


def _any() -> Dim:
    return ANY


def _join_tensors(a: TensorType, b: TensorType, fresh: Fresh) -> TensorType:
    if a.shape is None or b.shape is None or len(a.shape) != len(b.shape):
        return TensorType(a.dtype, None)
    pairs = zip(a.shape, b.shape, strict=True)
    shape = [x if _same(x, y) else fresh() for x, y in pairs]
    if a.contents is None or b.contents is None or len(a.contents) != len(b.contents):
        return TensorType(a.dtype, tuple(shape))
    both = zip(a.contents, b.contents, strict=True)
    return typed(a.dtype, shape, tuple(x if _same(x, y) else None for x, y in both))


def _same(x: Dim | None, y: Dim | None) -> bool:
    if x is None or y is None or ANY in (x, y):
        return False
    return x is y or equal(x, y) is True


def replace_dims(type_: Type, change: Callable[[Dim], Dim]) -> Type:
    """A type with each dim changed, those of elements to ``ANY`` where they change."""
    match type_:
        case TensorType(d, shape, contents) if shape is not None:
            dims = tuple(map(change, shape))
            kept = contents and tuple(
                c if c is None or change(c) is c else None for c in contents
            )
            return typed(d, dims, kept)
        case SequenceType(element):
            return SequenceType(_open_dims(element, change))
        case OptionalType(element):
            return OptionalType(_open_dims(element, change))
        case _:
            return type_


def _open_dims(element: Type, change: Callable[[Dim], Dim]) -> Type:
    return replace_dims(element, lambda d: d if d is ANY or change(d) is d else ANY)


def forget(type_: Type, names: frozenset[str], fresh: Fresh) -> Type:
    """A type without these symbols: each dim that needs one becomes ``fresh``."""

    def change(dim: Dim) -> Dim:
        return fresh() if names and symbols(dim) & names else dim

    return replace_dims(type_, change)


def plain(type_: Type) -> Type:
    """A type without known contents."""
    return type_.with_dtype(type_.dtype) if isinstance(type_, TensorType) else type_


def settle(element: Type, fresh: Fresh) -> Type:
    """The type of a value taken out of a sequence or an optional."""
    if not isinstance(element, TensorType) or element.shape is None:
        return element
    return element.with_shape(fresh() if d is ANY else d for d in element.shape)
