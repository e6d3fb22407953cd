"""Kernels that differ in sizes alone are scheduled once: the others have a model.

Programs with loops whose turns shrink or move have thousands of steps and few kernels.
A *form* is all of a nest that decides its source: expressions, the order of arrays,
whether results are large, divisors, and of other numbers whether they are 0 or 1. What
a schedule has taken from a nest as the size of an argument is found at the same place
of any nest of that form.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeAlias

from graphwright.backends.codegen.elements import Array, Read, Reduction, Within
from graphwright.backends.codegen.expr import Expr
from graphwright.backends.codegen.index import Axis, Index, Item, Quotient, Remainder
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.nest import Nest
from graphwright.backends.codegen.runs import is_large
from graphwright.backends.codegen.walk import children_of, ordered
from graphwright.ir.record import record

_MOST = 512

Found: TypeAlias = tuple[str, Any]
"""What kind of number an argument is, and of which of these."""


class Form:
    """What a nest has in common with others, and where its own numbers are.

    Args:
        nest: The nest.
        outputs: Arrays of its results.
        kind: What decides source of an axis' extent.

    Attributes:
        key: Equal for nests whose kernels have the same source.
    """

    def __init__(
        self, nest: Nest, outputs: Sequence[Array], kind: Callable[[Axis], int]
    ) -> None:
        self._kind = kind
        self.axes: dict[Axis, int] = {}
        self.indices: dict[Index, int] = {}
        self.guards: dict[Within, int] = {}
        self._arrays: dict[Array, int] = {}
        self._exprs: dict[Expr, int] = {}
        for array in outputs:
            self._arrays[array] = len(self._arrays)
        rows: list[Hashable] = [len(outputs)]
        rows += ((array.dtype, is_large(array)) for array in outputs)
        rows += map(self._axis, nest.axes)
        for expr in ordered(nest.exprs):
            rows.append(self._expr(expr))
            self._exprs[expr] = len(self._exprs)
        rows += (self._exprs[expr] for expr in nest.exprs)
        rows += map(self._index, nest.places)
        self.key = tuple(rows)

    def _axis(self, axis: Axis) -> Hashable:
        number = self.axes.setdefault(axis, len(self.axes))
        return number, self._kind(axis)

    def _expr(self, expr: Expr) -> Hashable:
        args = tuple(self._exprs[child] for child in children_of(expr))
        own = self._value(expr.value) if expr.op != "const" else repr(expr.value)
        return expr.op, expr.dtype, args, expr.lanes, own

    def _value(self, value: Any) -> Hashable:
        match value:
            case Read(array, index, guards):
                number = self._arrays.setdefault(array, len(self._arrays))
                return (
                    number,
                    array.dtype,
                    self._index(index),
                    *map(self._guard, guards),
                )
            case Reduction(kind, axes, part, parts):
                own = None if part is None else (self._index(part), _longest(axes))
                return kind, own, parts, *map(self._axis, axes)
            case Index():
                return self._index(value)
            case Within():
                return self._guard(value)
            case _:
                hashable: Hashable = value
                return hashable

    def _guard(self, guard: Within) -> Hashable:
        number = self.guards.setdefault(guard, len(self.guards))
        low, high = _kind(guard.low), _kind(guard.high)
        return number, self._index(guard.index, exact=True), low, high

    def _index(self, index: Index, *, exact: bool = False) -> Hashable:
        """An index; source has what guarded ones grow by from lane to lane."""
        terms = tuple(
            (self._term(term), factor if exact or factor in (-1, 2) else _kind(factor))
            for term, factor in index.terms
        )
        number = self.indices.setdefault(index, len(self.indices))
        return number, terms, _kind(index.start)

    def _term(self, term: object) -> Hashable:
        match term:
            case Axis():
                return self._axis(term)
            case Item(value, _):
                return "item", self._exprs[value]
            case Quotient(index, divisor):
                return "over", self._index(index), divisor
            case Remainder(index, divisor):
                return "rest", self._index(index), divisor
            case _:
                raise AssertionError(term)

    # Numbers ------------------------------------------------------------------------

    def place(self, key: object, value: int) -> Found:
        """Where a size that a schedule has asked for under a key comes from."""
        match key:
            case Axis():
                return "extent", self.axes[key]
            case (Index() as index, "start"):
                return "start", self.indices[index]
            case (Index() as index, int(term)):
                return "factor", (self.indices[index], term)
            case (Index(), Within() as guard, str() as end):
                return end, self.guards[guard]
            case str():
                return "named", key
            case _:  # divisors and counts are in the form
                return "same", value

    def numbers(self, places: Sequence[Found], named: Mapping[str, int]) -> list[int]:
        """The sizes at these places of this nest."""
        axes, indices, guards = list(self.axes), list(self.indices), list(self.guards)
        found: list[int] = []
        for kind, which in places:
            match kind:
                case "extent":
                    found.append(axes[which].extent)
                case "start":
                    found.append(indices[which].start)
                case "factor":
                    index, term = which
                    found.append(indices[index].terms[term][1])
                case "low" | "high":
                    found.append(getattr(guards[which], kind))
                case "named":
                    found.append(named[which])
                case _:
                    found.append(which)
        return found


def _longest(axes: Sequence[Axis]) -> int:
    """The number of the axis of which a part is taken."""
    return max(range(len(axes)), key=lambda i: axes[i].extent)


def _kind(number: int) -> int | None:
    """What source says of a number: 0 and 1 are written out."""
    return number if number in (0, 1) else None


@record(frozen=True, eq=False, slots=True)
class Model:
    """A kernel, and where its sizes come from."""

    kernel: Kernel
    places: tuple[Found, ...]


MODELS: dict[Hashable, Model] = {}
"""The last ones, by form and by what else decides a schedule."""


def noted(key: Hashable, model: Model) -> None:
    """Remembers a model for nests of its form."""
    if len(MODELS) >= _MOST:
        MODELS.pop(next(iter(MODELS)), None)
    MODELS[key] = model
