"""Types of values, and the guards that type rules ask for."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeAlias

from graphwright.ir.dim import Dim, Expr, equal, product, symbols
from graphwright.ir.dtype import DType
from graphwright.ir.errors import UnrankedError

MAX_CONTENTS = 64
"""Integer tensors of at most this many elements carry what is known of them."""

Contents: TypeAlias = tuple[Dim | None, ...]


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


@contextmanager
def collect_guards() -> Iterator[list[Guard]]:
    """Gathers the guards that type rules ask for inside the ``with`` block."""
    found: list[Guard] = []
    token = _guards.set(found)
    try:
        yield found
    finally:
        _guards.reset(token)


def require(left: Dim, relation: str, right: Dim) -> None:
    """Asks for a guard; it goes to the innermost ``collect_guards``."""
    sink = _guards.get()
    if sink is not None:
        sink.append(Guard(left, relation, right))


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


def type_symbols(type_: Type) -> frozenset[str]:
    """Names of the symbols in a type."""
    match type_:
        case TensorType(_, shape, contents):
            if not any(isinstance(d, Expr) for d in (*(shape or ()), *(contents or ()))):
                return frozenset()
            dims = [*(shape or ()), *(c for c in contents or () if c is not None)]
            return frozenset[str]().union(*map(symbols, dims))
        case SequenceType(element) | OptionalType(element):
            return type_symbols(element)
        case MapType(_, value):
            return type_symbols(value)
        case TokenType():
            return frozenset()
