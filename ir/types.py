"""Types of values, and the guards that type rules ask for."""

from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from graphwright.ir.dim import (
    Dim,
    Expr,
    equal,
    less_equal,
    product,
    substitute,
    symbol,
    symbols,
)
from graphwright.ir.dtype import DType
from graphwright.ir.errors import UnrankedError

MAX_CONTENTS = 64
"""Integer tensors of at most this many elements carry what is known of them."""

Contents: TypeAlias = tuple[Dim | None, ...]

ANY = symbol("_any")
"""A size that differs from element to element of a sequence, or is not known at all.

It stands only in the types of what sequences and optionals hold; two of them are not
equal. What is taken out has a symbol of its own instead.
"""
_ANY = frozenset({"_any"})


@dataclass(frozen=True, slots=True)
class TensorType:
    """A tensor.

    Attributes:
        dtype: Element type.
        shape: Sizes; None where the rank is unknown.
        contents: For small integer tensors, what is known of the elements, in C
            order; None for an element of which nothing is known.
    """

    dtype: DType
    shape: tuple[Dim, ...] | None
    contents: Contents | None = None

    def __str__(self) -> str:
        dims = "*" if self.shape is None else ", ".join(map(str, self.shape))
        known = ""
        if self.contents is not None:
            words = ("?" if c is None else str(c) for c in self.contents)
            known = "{" + ", ".join(words) + "}"
        return f"{self.dtype.name}[{dims}]{known}"

    @property
    def rank(self) -> int:
        """Number of axes; the type must be ranked."""
        return len(self.dims)

    @property
    def dims(self) -> tuple[Dim, ...]:
        """The shape of a ranked type."""
        if self.shape is None:
            raise UnrankedError("the rank of an operand is not known")
        return self.shape

    @property
    def size(self) -> Dim:
        """Number of elements of a ranked type."""
        return product(self.dims)

    def with_shape(self, shape: Iterable[Dim]) -> "TensorType":
        """This element type with another shape and no known contents."""
        return TensorType(self.dtype, tuple(shape))

    def with_dtype(self, dtype: DType) -> "TensorType":
        """This shape with another element type and no known contents."""
        return TensorType(dtype, self.shape)


@lru_cache(maxsize=4096)
def plain_type(dtype: DType, shape: tuple[Dim, ...]) -> TensorType:
    """The type of tensors without known contents: one object, where many are asked."""
    return TensorType(dtype, shape)


@dataclass(frozen=True, slots=True)
class SequenceType:
    """A list of values of one type, on the host."""

    element: "Type"

    def __str__(self) -> str:
        return f"seq<{self.element}>"


@dataclass(frozen=True, slots=True)
class OptionalType:
    """A value of a type, or nothing, on the host."""

    element: "Type"

    def __str__(self) -> str:
        return f"optional<{self.element}>"


@dataclass(frozen=True, slots=True)
class MapType:
    """A dictionary from integers or strings to values, on the host."""

    key: DType
    value: "Type"

    def __str__(self) -> str:
        return f"map<{self.key.name}, {self.value}>"


@dataclass(frozen=True, slots=True)
class TokenType:
    """The order of effects; it has no data."""

    def __str__(self) -> str:
        return "token"


Type: TypeAlias = TensorType | SequenceType | OptionalType | MapType | TokenType


@dataclass(frozen=True, slots=True)
class Guard:
    """A condition on dims that could not be decided yet; checked once they are bound.

    Attributes:
        left: A dim.
        relation: ``==``, ``<=`` or ``divides`` (left divides right).
        right: A dim.
        place: Who asked.
    """

    left: Dim
    relation: str
    right: Dim
    place: str = ""

    def __str__(self) -> str:
        return f"{self.left} {self.relation} {self.right}"

    def holds(self, left: int, right: int) -> bool:
        """Whether it holds for these values of its two sides."""
        if self.relation == "divides":
            return left != 0 and right % left == 0
        return left == right if self.relation == "==" else left <= right


_guards: ContextVar[list[Guard] | None] = ContextVar("guards", default=None)


class GuardCollector:
    """A ``with`` block that gathers the guards which type rules ask for inside it."""

    __slots__ = ("_token",)

    def __enter__(self) -> list[Guard]:
        found: list[Guard] = []
        self._token = _guards.set(found)
        return found

    def __exit__(self, *_: object) -> None:
        _guards.reset(self._token)


collect_guards = GuardCollector


def require(left: Dim, relation: str, right: Dim) -> None:
    """Asks for a guard unless it holds for all values of its symbols.

    It goes to the innermost ``collect_guards``.
    """
    sink = _guards.get()
    if sink is not None and not _always(left, relation, right):
        sink.append(Guard(left, relation, right))


def _always(left: Dim, relation: str, right: Dim) -> bool:
    if relation == "<=":
        return bool(less_equal(left, right))
    return relation == "==" and bool(equal(left, right))


def agree(a: Dim, b: Dim) -> Dim | None:
    """The dim that ``a`` and ``b`` must both be, or None if they differ.

    Unknown equality is guarded, and the more precise of the two is returned.
    """
    if a is b or a == b:
        return a
    verdict = equal(a, b)
    if verdict is False:
        return None
    if verdict is None:
        require(a, "==", b)
    return b if isinstance(b, int) else a


def agree_shapes(a: Sequence[Dim], b: Sequence[Dim]) -> tuple[Dim, ...] | None:
    """``agree`` over two shapes; None if ranks or sizes differ."""
    if len(a) != len(b):
        return None
    dims: list[Dim] = []
    for x, y in zip(a, b, strict=True):
        dim = agree(x, y)
        if dim is None:
            return None
        dims.append(dim)
    return tuple(dims)


def bind_type(type_: Type, env: Mapping[str, Dim]) -> Type:
    """A type with symbols replaced by what is known of them."""

    def known(dim: Dim) -> Dim:
        return substitute(dim, env) if isinstance(dim, Expr) else dim

    match type_:
        case TensorType(dtype, shape, contents):
            if not _has_expr(type_):
                return type_
            dims = None if shape is None else tuple(map(known, shape))
            if contents is not None:
                contents = tuple(None if c is None else known(c) for c in contents)
            return TensorType(dtype, dims, contents)
        case SequenceType(element):
            return SequenceType(bind_type(element, env))
        case OptionalType(element):
            return OptionalType(bind_type(element, env))
        case _:
            return type_


def type_symbols(type_: Type) -> frozenset[str]:
    """Names of the symbols in a type."""
    match type_:
        case TensorType(_, shape, contents):
            if not _has_expr(type_):
                return frozenset()
            dims = [*(shape or ()), *(c for c in contents or () if c is not None)]
            return frozenset[str]().union(*map(symbols, dims))
        case SequenceType(element) | OptionalType(element):
            return type_symbols(element) - _ANY
        case MapType(_, value):
            return type_symbols(value)
        case TokenType():
            return frozenset()


def _has_expr(type_: TensorType) -> bool:
    """Whether a size, or a known element, is no number."""
    for dim in type_.shape or ():
        if isinstance(dim, Expr):
            return True
    return any(isinstance(c, Expr) for c in type_.contents or ())
