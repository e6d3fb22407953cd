"""Dims as int64 vectors that a model computes."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from graphwright.frontends.onnx.writing import Names, Scope, Written
from graphwright.ir.constant import Constant
from graphwright.ir.dim import Dim, Expr, bounds, symbols
from graphwright.ir.dim.atom import Atom, terms_of
from graphwright.ir.dtype import int64
from graphwright.ir.errors import ModelError
from graphwright.ir.record import record
from graphwright.ir.types import TensorType, Type


@record(frozen=True)
class Place:
    """Where a run finds the value of a dim: an element of a vector.

    Attributes:
        scope: The graph in which that is.
        name: A tensor.
        axis: Which of its sizes it is, or which of its elements.
        sized: Whether it is a size.
        dim: The dim that this size is.
    """

    scope: Scope
    name: str
    axis: int
    sized: bool
    dim: Dim


class DimWriter:
    """Writes dims, each once in the graph where its symbols are known.

    Args:
        names: Makes placeholders.
        opset: Version of ai.onnx.
    """

    def __init__(self, names: Names, opset: int) -> None:
        self._names, self._opset = names, opset
        self._places: dict[str, Place] = {}
        self._whole: dict[tuple[Dim, ...], tuple[Scope, str]] = {}

    # Where symbols come from ----------------------------------------------------------

    def define(self, symbol: str, place: Place) -> None:
        """Says where the value of a symbol is found."""
        self._places[symbol] = place

    def define_sizes(
        self, scope: Scope, name: str, type_: Type, own: Any = None
    ) -> None:
        """Notes the symbols that the sizes of a tensor tell.

        ``own`` names those that it defines anew; None for those not known yet.
        """
        if not isinstance(type_, TensorType) or type_.shape is None:
            return
        if any(isinstance(d, Expr) for d in type_.shape):
            self._whole.setdefault(type_.shape, (scope, name))
        for axis, dim in enumerate(type_.shape):
            for word in symbols(dim):
                fresh = word not in self._places if own is None else word in own
                if fresh and _linear(dim, word, self._places):
                    self.define(word, Place(scope, name, axis, True, dim))

    # Writing --------------------------------------------------------------------------

    def vector(self, scope: Scope, dims: Sequence[Dim]) -> str:
        """An int64 vector of dims."""
        if all(isinstance(d, int) for d in dims):
            return self._constant(scope, dims)
        whole = self._whole.get(tuple(dims))
        if whole is not None and whole[0] in scope.outwards():
            return self._shape_of(*whole)
        pieces: list[str] = []
        fixed: list[Dim] = []
        for dim in dims:
            if isinstance(dim, int):
                fixed.append(dim)
                continue
            if fixed:
                pieces.append(self._constant(scope, fixed))
                fixed = []
            pieces.append(self.one(scope, dim))
        if fixed:
            pieces.append(self._constant(scope, fixed))
        return (
            pieces[0]
            if len(pieces) == 1
            else self._add(scope, "Concat", *pieces, axis=0)
        )

    def one(self, scope: Scope, dim: Dim) -> str:
        """A dim as an int64 vector of one element."""
        if isinstance(dim, int):
            return self._constant(scope, [dim])
        home = self._home(scope, dim)
        found = home.dims.get(dim)
        if found is None:
            found = home.dims[dim] = self._polynomial(home, dim)
        return found

    def _home(self, scope: Scope, dim: Expr) -> Scope:
        """The innermost of the graphs that its symbols come from."""
        deepest = scope.root()
        for word in symbols(dim):
            place = self._places.get(word)
            if place is None or place.scope not in scope.outwards():
                raise ModelError(
                    f"export: nothing tells the value of {word!r} in {dim}"
                )
            if place.scope.depth > deepest.depth:
                deepest = place.scope
        return deepest

    def _polynomial(self, scope: Scope, dim: Expr) -> str:
        total: str | None = None
        for monomial, factor in sorted(dim.terms, key=lambda t: t[1] < 0):
            names = [self._atom(scope, atom) for atom in monomial]
            total = self._plus(scope, total, names, factor)
        assert total is not None
        return total

    def _plus(self, scope: Scope, total: str | None, names: list[str], by: int) -> str:
        """``total + by * product(names)``."""
        sign = "Sub" if total is not None and by < 0 else "Add"
        size = abs(by) if sign == "Sub" else by
        if size != 1 or not names:
            names = [*names, self._constant(scope, [size])]
        part = reduce(lambda x, y: self._add(scope, "Mul", x, y), names)
        return part if total is None else self._add(scope, sign, total, part)

    def _atom(self, scope: Scope, atom: Atom) -> str:
        dim = Expr((((atom,), 1),))
        home = self._home(scope, dim)
        found = home.dims.get(dim)
        if found is None:
            make = self._call if atom.args else self._symbol
            found = home.dims[dim] = make(home, atom)
        return found

    def _call(self, scope: Scope, atom: Atom) -> str:
        args = [self.one(scope, arg) for arg in atom.args]
        if atom.kind == "//":
            return self._floor(scope, atom, *args)
        if atom.kind in ("min", "max"):
            return self._add(scope, atom.kind.capitalize(), *args)
        return reduce(lambda x, y: self._broadcast(scope, x, y), args)

    def _floor(self, scope: Scope, atom: Atom, a: str, b: str) -> str:
        """ONNX truncates: what the floor leaves is taken off first."""
        low, divisor = bounds(atom.args[0])[0], bounds(atom.args[1])[0]
        if low is None or low < 0 or divisor is None or divisor < 1:
            a = self._add(scope, "Sub", a, self._add(scope, "Mod", a, b))
        return self._add(scope, "Div", a, b)

    def _broadcast(self, scope: Scope, a: str, b: str) -> str:
        one = self._add(scope, "Equal", a, self._constant(scope, [1]))
        return self._add(scope, "Where", one, b, a)

    def _symbol(self, scope: Scope, atom: Atom) -> str:
        place = self._places[atom.name]
        if not place.sized:
            return self._element(scope, place.name, place.axis)
        size = self._size(scope, place)
        if place.dim == Expr((((atom,), 1),)):
            return size
        slope = _slope(place.dim, atom.name)
        rest = place.dim - slope * Expr((((atom,), 1),))
        if rest != 0:
            size = self._add(scope, "Sub", size, self.one(scope, rest))
        return (
            size
            if slope == 1
            else self._add(scope, "Div", size, self.one(scope, slope))
        )

    def _size(self, scope: Scope, place: Place) -> str:
        if self._opset >= 15:
            axis = place.axis
            return self._add(scope, "Shape", place.name, start=axis, end=axis + 1)
        return self._element(scope, self._shape_of(scope, place.name), place.axis)

    def _shape_of(self, scope: Scope, name: str) -> str:
        key = ("shape", name)
        if key not in scope.known:
            scope.known[key] = self._add(scope, "Shape", name)
        return scope.known[key]

    def _element(self, scope: Scope, name: str, index: int) -> str:
        return self._add(scope, "Gather", name, self._constant(scope, [index]), axis=0)

    def _constant(self, scope: Scope, values: Sequence[Any]) -> str:
        key = ("dims", tuple(values))
        if key in scope.known:
            return scope.known[key]
        name = scope.known[key] = self._names.placeholder("shape")
        scope.initializers[name] = Constant.of(np.array(values, np.int64), int64)
        return name

    def _add(self, scope: Scope, op_type: str, *inputs: str, **attributes: Any) -> str:
        name = self._names.placeholder(op_type)
        scope.nodes.append(Written(op_type, list(inputs), [name], attributes))
        return name


def _slope(dim: Dim, word: str) -> int:
    """The factor of a symbol in which a dim is linear."""
    return sum(c for m, c in terms_of(dim) if len(m) == 1 and m[0].name == word)


def _linear(dim: Dim, word: str, known: Any) -> bool:
    """Whether the dim tells the symbol, given others that are known."""
    alone = nested = 0
    for monomial, _ in terms_of(dim):
        inside = [a for a in monomial if _mentions(a, word)]
        alone += len(monomial) == 1 and inside == [monomial[0]] and not monomial[0].args
        nested += len(inside)
    others = symbols(dim) - {word}
    return alone == 1 and nested == 1 and all(o in known for o in others)


def _mentions(atom: Atom, word: str) -> bool:
    return (
        atom.name == word
        if not atom.args
        else any(word in symbols(a) for a in atom.args)
    )
