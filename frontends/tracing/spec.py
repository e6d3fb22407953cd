"""``spec``: a type with named dims, for tracing without an array."""

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

from graphwright.ir.dim import Dim, Expr, parse_dim
from graphwright.ir.dtype import DType, dtype
from graphwright.ir.errors import ShapeError
from graphwright.ir.types import TensorType


class Spec:
    """What an argument will be: its element type, and a shape that may name dims.

    Attributes:
        type: The type; named dims are symbols.
    """

    __slots__ = ("type",)

    def __init__(self, type_: TensorType) -> None:
        self.type = type_

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spec) and self.type == other.type

    def __hash__(self) -> int:
        return hash(self.type)

    @property
    def dtype(self) -> DType:
        """Element type."""
        return self.type.dtype

    @property
    def shape(self) -> tuple[Dim, ...]:
        """Sizes and symbols."""
        return self.type.dims

    def __repr__(self) -> str:
        return f"spec({self.type})"

    def check(self, name: str, other: TensorType) -> None:
        """Raises ShapeError unless an array of a type may be given for this.

        Named dims are compared when the graph runs.
        """
        same = other.dtype is self.dtype and len(other.dims) == len(self.shape)
        for want, have in zip(self.shape, other.dims, strict=False):
            same = same and (isinstance(want, Expr) or want == have)
        if not same:
            raise ShapeError(f"argument {name} is declared as {self.type}, got {other}")


def spec(dtype_: Any, shape: "Sequence[str | Dim] | str | Dim" = ()) -> Spec:
    """The type of an argument: ``spec("float32", ("batch", 784))``.

    A string names a dim, or is an expression of such (``"2*n"``). One graph serves all
    sizes of a named dim, 0 and 1 included; the same name is the same size everywhere.

    Raises:
        ShapeError: If a size is negative, or no dim.
    """
    given: Any = shape
    several = isinstance(given, Iterable) and not isinstance(given, str)
    sizes: Iterable[Any] = given if several else (given,)
    return Spec(TensorType(dtype(dtype_), tuple(map(_dim, sizes))))


def _dim(size: Any) -> Dim:
    if isinstance(size, str):
        return parse_dim(size)
    if isinstance(size, Expr):
        return size
    if not isinstance(size, Integral) or size < 0:
        raise ShapeError(f"{size!r} is no size: give a number of 0 or more, or a name")
    return int(size)
