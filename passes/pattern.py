"""Patterns of nodes, written the way the expressions they match are written.

``P.add(P.mul("x", "c"), 0)`` matches a sum of a product and of zeros: a string
captures a value (twice the same string: the same value twice), a number is a constant
whose elements all are that number, repeated by ``broadcast_to`` or not. Ops that
commute match in either order. Keywords ask for fields, by value or by a predicate;
``.once`` asks that nobody else reads the value; ``.named("n")`` captures the node;
``|`` means either.
"""

from collections.abc import Callable, Iterable
from functools import reduce
from operator import or_
from typing import Any, TypeAlias

import numpy as np

from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DType
from graphwright.ir.emitter import Value
from graphwright.ir.op import OPS, Trait
from graphwright.passes.rewriter import CONSTANT, Rewriter

Found: TypeAlias = dict[str, Any]
"""What a match captured, by name: values, nodes, numbers, constants."""
Like: TypeAlias = "Pattern | str | int | float"

Orders: TypeAlias = tuple[tuple[int, ...], ...]

_MAX_SPLAT = 1 << 16
_SPREAD = frozenset({CONSTANT, "broadcast_to"})


class Pattern:
    """Something that values match.

    Attributes:
        kinds: What may make a value that matches, as ``Rewriter.kind`` names it; None
            for anything.
    """

    kinds: frozenset[str] | None = None

    def match(self, w: Rewriter, value: Value, found: Found) -> bool:
        """Whether a value matches; captures go to ``found``."""
        raise NotImplementedError

    def __or__(self, other: "Pattern") -> "Pattern":
        return Either(self, other)


class Any_(Pattern):  # noqa: N801
    """Any value, by a name; of dtypes of these kinds only, if some are given."""

    def __init__(self, name: str, dtypes: str = "") -> None:
        self.name, self.dtypes = name, dtypes

    def match(self, w: Rewriter, value: Value, found: Found) -> bool:
        """Whether the value has such a dtype, and is the one captured before."""
        if self.dtypes and value.dtype.kind not in self.dtypes:
            return False
        return found.setdefault(self.name, value) is value


class ConstantPattern(Pattern):
    """A constant, captured as one; what ``broadcast_to`` repeats is not looked at."""

    kinds = frozenset({CONSTANT})

    def __init__(self, name: str) -> None:
        self.name = name

    def match(self, w: Rewriter, value: Value, found: Found) -> bool:
        """Whether the value is a constant."""
        constant = w.constants.get(value)
        if constant is None:
            return False
        return found.setdefault(self.name, constant) is constant


class Repeated(Pattern):
    """What ``broadcast_to`` makes of a constant."""

    kinds = frozenset({"broadcast_to"})

    def __init__(self, name: str) -> None:
        self.name = name

    def match(self, w: Rewriter, value: Value, found: Found) -> bool:
        """Whether the value repeats a constant."""
        held = w.spread(value) in w.constants
        return held and found.setdefault(self.name, value) is value


class Splat(Pattern):
    """A constant of one repeated element: a number, or any, captured by a name.

    ``near`` is the relative error that is still the number; with it the nearest number
    of a narrow dtype is, too.
    """

    kinds = _SPREAD

    def __init__(self, wanted: str | float, near: float = 0.0) -> None:
        self.wanted, self.near = wanted, near

    def match(self, w: Rewriter, value: Value, found: Found) -> bool:
        """Whether the value is a constant of the one element."""
        element = splat_under(w, value)
        if element is None:
            return False
        if isinstance(self.wanted, str):
            return _same(found.setdefault(self.wanted, element), element)
        if self.near:
            close = abs(element - self.wanted) <= self.near * abs(self.wanted)
            return bool(close or element == _nearest(self.wanted, value.dtype))
        return _same(element, self.wanted)


def _nearest(number: float, dtype: DType) -> float | None:
    """The float of a dtype that is nearest to a number."""
    return float(np.asarray(number, dtype.numpy)) if dtype.is_float else None


def _same(a: Any, b: Any) -> bool:
    """Equal numbers, zeros of equal sign."""
    return bool(a == b) and (a != 0 or bool(np.signbit(a) == np.signbit(b)))


def splat_under(w: Rewriter, value: Value) -> Any:
    """The number that a constant repeats, itself repeated or not; else None."""
    source = w.spread(value)
    if source not in w.splats:
        constant = w.constants.get(source)
        w.splats[source] = None if constant is None else splat_of(constant)
    return w.splats[source]


def splat_of(constant: Constant) -> Any:
    """The element that a real constant repeats, as a Python number, or None."""
    if not 0 < constant.size <= _MAX_SPLAT or constant.dtype.kind not in "biuf":
        return None
    array = constant.array()
    first = array.item(0)
    if array.size > 1:
        if array.item(-1) != first or not (array == array.flat[0]).all():
            return None
        if first == 0 and len(set(np.signbit(_wide(array)).flat)) > 1:
            return None
    return first if constant.dtype.bits > 8 or constant.dtype.is_int else _plain(first)


def _plain(first: Any) -> Any:
    """A number of Python from what ``item`` gives of any dtype."""
    return bool(first) if isinstance(first, bool) else float(first)


def _wide(array: Any) -> Any:
    """The same in a dtype that NumPy itself knows."""
    return array.astype(np.float32) if array.dtype.kind == "V" else array


class OpPattern(Pattern):
    """The result of an op whose operands match."""

    def __init__(
        self,
        name: str,
        operands: tuple[Pattern, ...],
        fields: dict[str, Any],
        label: str = "",
        sole: bool = False,
        makers: frozenset[str] = frozenset(),
    ) -> None:
        self.name, self.operands, self.fields = name, operands, fields
        self.label, self.sole, self.makers = label, sole, makers
        self.kinds = frozenset({name})
        cls = OPS.get(name)
        commutes = cls is not None and Trait.COMMUTATIVE in cls.traits
        self.orders: tuple[tuple[int, ...], ...] = (tuple(range(len(operands))),)
        if commutes and len(operands) == 2:
            self.orders = ((0, 1), (1, 0))

    def named(self, label: str) -> "OpPattern":
        """The same, its node captured."""
        return OpPattern(
            self.name, self.operands, self.fields, label, self.sole, self.makers
        )

    @property
    def once(self) -> "OpPattern":
        """The same, of a value that is read once."""
        return OpPattern(
            self.name, self.operands, self.fields, self.label, True, self.makers
        )

    def after(self, *makers: str) -> "OpPattern":
        """The same, where an op of one of these names makes an operand."""
        return OpPattern(
            self.name,
            self.operands,
            self.fields,
            self.label,
            self.sole,
            frozenset(makers),
        )

    def match(self, w: Rewriter, value: Value, found: Found) -> bool:
        """Whether such a node makes the value."""
        if self.sole and w.counts.get(value) != 1:
            return False
        node = w.producer(value)
        return (
            node is not None
            and node.op.name == self.name
            and self.match_node(w, node, found)
        )

    def match_node(
        self, w: Rewriter, node: Any, found: Found, orders: Orders | None = None
    ) -> bool:
        """Whether a node of this op matches, its operands in one of some orders."""
        for name, wanted in self.fields.items():
            if not _holds(wanted, getattr(node.op, name)):
                return False
        if self.operands and len(node.operands) != len(self.operands):
            return False
        if self.label:
            found[self.label] = node
        orders = self.orders if orders is None else orders
        if len(orders) == 1:
            return self._match_operands(w, node.operands, orders[0], found)
        before = dict(found)
        for order in orders:
            if self._match_operands(w, node.operands, order, found):
                return True
            found.clear()
            found.update(before)
        return False

    def _match_operands(
        self, w: Rewriter, values: Any, order: tuple[int, ...], found: Found
    ) -> bool:
        for i, j in enumerate(order):
            if not self.operands[j].match(w, values[i], found):
                return False
        return True

    def fitting(self, kinds: tuple[str, ...]) -> Orders:
        """The orders in which what these ops make may match: an early sieve."""
        if self.operands and len(kinds) != len(self.operands):
            return ()
        if self.makers and self.makers.isdisjoint(kinds):
            return ()
        return tuple(order for order in self.orders if self._fits(kinds, order))

    def _fits(self, kinds: tuple[str, ...], order: tuple[int, ...]) -> bool:
        wanted = (self.operands[j].kinds for j in order)
        pairs = zip(wanted, kinds, strict=False)
        return all(names is None or kind in names for names, kind in pairs)


def _holds(wanted: Any, got: Any) -> bool:
    return bool(wanted(got)) if callable(wanted) else bool(wanted == got)


class Either(Pattern):
    """What one of two patterns matches, the first one tried first."""

    def __init__(self, left: Pattern, right: Pattern) -> None:
        self.left, self.right = left, right
        known = left.kinds is not None and right.kinds is not None
        self.kinds = (left.kinds or frozenset()) | (right.kinds or frozenset())
        if not known:
            self.kinds = None

    def match(self, w: Rewriter, value: Value, found: Found) -> bool:
        """Whether one of the two matches."""
        before = dict(found)
        if self.left.match(w, value, found):
            return True
        found.clear()
        found.update(before)
        return self.right.match(w, value, found)


def as_pattern(like: Like) -> Pattern:
    """A pattern from its short form."""
    if isinstance(like, Pattern):
        return like
    return Any_(like) if isinstance(like, str) else Splat(like)


class _Patterns:
    """Spells patterns: ``P.<op>(operand, ..., field=...)``, and what is no op."""

    def __getattr__(self, name: str) -> Callable[..., OpPattern]:
        op = name.rstrip("_")

        def make(*operands: Like, **fields: Any) -> OpPattern:
            return OpPattern(op, tuple(map(as_pattern, operands)), fields)

        return make

    def value(self, name: str, dtypes: str) -> Pattern:
        """A value whose dtype is of one of these kinds: ``"f"``, ``"iu"``, ..."""
        return Any_(name, dtypes)

    def constant(self, name: str) -> Pattern:
        """A constant."""
        return ConstantPattern(name)

    def repeated(self, name: str) -> Pattern:
        """A constant that ``broadcast_to`` repeats, captured as a value."""
        return Repeated(name)

    def splat(self, wanted: str | float, near: float = 0.0) -> Pattern:
        """A constant of one repeated element."""
        return Splat(wanted, near)

    def scaled(self, x: Like, factor: float, near: float = 1e-6) -> Pattern:
        """``x * factor``, or ``x / (1 / factor)``."""
        return P.mul(x, Splat(factor, near)) | P.div(x, Splat(1 / factor, near))

    def each(self, names: Iterable[str]) -> Callable[..., Pattern]:
        """The same pattern for several ops: ``P.each(["add", "sub"])(x, y)``."""

        def make(*operands: Like, **fields: Any) -> Pattern:
            made = [self.__getattr__(name)(*operands, **fields) for name in names]
            return reduce(or_, made)

        return make

    def square(self, x: str) -> Pattern:
        """``x * x`` or ``x ** 2``."""
        return P.mul(x, x) | P.pow(x, 2)


P = _Patterns()
