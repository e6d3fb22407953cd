"""Expressions: what one element of a kernel's result is computed from.

Nodes are machine operations on the dtypes that devices compute in: bool, integers of 8
to 64 bits, float32 and float64. What is narrower is bits, taken apart in `narrow.py`.
Logical expressions, of one element, become scheduled ones, of ``lanes`` elements.
"""

from typing import Any

from graphwright.ir.dtype import DTYPES, DType, bool_, int64
from graphwright.ir.record import record


@record(frozen=True, eq=False, slots=True)
class Expr:
    """An operation on expressions, or a leaf; the same object is computed once.

    Attributes:
        op: What it is. Leaves: ``const`` and ``param`` with their value, ``var`` with
            its name. Logical only: ``read`` of an array at an index, ``index`` (an
            index as a number), ``within`` (whether one is within bounds), ``reduce``.
            ``rounded`` to a narrow float, ``decoded`` from its bits: both are taken
            apart before they are scheduled. ``rare`` is a ``select`` whose second
            operand few elements need.
            Scheduled leaves: ``item`` (which work-item runs) of ``items``, ``member``
            (which of its work-group), ``group`` (which work-group) of ``groups``.
            Scheduled only: ``load`` of an array at an offset, ``line`` (whether a line
            of memory begins there), ``splat`` and ``pack`` of scalars, ``lane`` of a
            vector, ``half`` of one.
        dtype: Element type.
        args: Operands.
        value: What else the operation says.
        lanes: Elements computed at once.
    """

    op: str
    dtype: DType
    args: tuple["Expr", ...] = ()
    value: Any = None
    lanes: int = 1

    def __repr__(self) -> str:
        words = [repr(self.value)] if self.value is not None else []
        return f"{self.op}({', '.join(words + list(map(repr, self.args)))})"

    def _with(self, op: str, other: "Expr | float", swap: bool = False) -> "Expr":
        right = other if isinstance(other, Expr) else const(other, self.dtype)
        pair = (right, self) if swap else (self, right)
        return Expr(op, self.dtype, pair, lanes=self.lanes)

    def __add__(self, other: "Expr | float") -> "Expr":
        return self._with("add", other)

    def __sub__(self, other: "Expr | float") -> "Expr":
        return self._with("sub", other)

    def __rsub__(self, other: "Expr | float") -> "Expr":
        return self._with("sub", other, swap=True)

    def __mul__(self, other: "Expr | float") -> "Expr":
        return self._with("mul", other)

    def __truediv__(self, other: "Expr | float") -> "Expr":
        return self._with("div", other)

    def __mod__(self, other: "Expr | float") -> "Expr":
        return self._with("rem", other)

    def __and__(self, other: "Expr | float") -> "Expr":
        return self._with("and", other)

    def __or__(self, other: "Expr | float") -> "Expr":
        return self._with("or", other)

    def __xor__(self, other: "Expr | float") -> "Expr":
        return self._with("xor", other)

    def __lshift__(self, other: "Expr | float") -> "Expr":
        return self._with("shl", other)

    def __rshift__(self, other: "Expr | float") -> "Expr":
        return self._with("shr", other)

    def _than(self, op: str, other: "Expr | float", swap: bool = False) -> "Expr":
        right = other if isinstance(other, Expr) else const(other, self.dtype)
        pair = (right, self) if swap else (self, right)
        return Expr(op, bool_, pair, lanes=self.lanes)

    def __lt__(self, other: "Expr | float") -> "Expr":
        return self._than("lt", other)

    def __gt__(self, other: "Expr | float") -> "Expr":
        return self._than("lt", other, swap=True)

    def __le__(self, other: "Expr | float") -> "Expr":
        return self._than("le", other)

    def __ge__(self, other: "Expr | float") -> "Expr":
        return self._than("le", other, swap=True)

    def same(self, other: "Expr | float") -> "Expr":
        """Whether both are equal."""
        return self._than("eq", other)

    def differs(self, other: "Expr | float") -> "Expr":
        """Whether they are not; of NaN always."""
        return self._than("ne", other)

    def __invert__(self) -> "Expr":
        return Expr("not", self.dtype, (self,), lanes=self.lanes)

    def __neg__(self) -> "Expr":
        return Expr("neg", self.dtype, (self,), lanes=self.lanes)

    def to(self, dtype: DType) -> "Expr":
        """The number in another dtype, as C converts it; not for bools as results."""
        if dtype is self.dtype:
            return self
        return Expr("cast", dtype, (self,), lanes=self.lanes)

    def bits(self, dtype: DType) -> "Expr":
        """The same bits as another dtype of that width."""
        if dtype is self.dtype:
            return self
        return Expr("bitcast", dtype, (self,), lanes=self.lanes)


def const(value: Any, dtype: DType) -> Expr:
    """A number."""
    if dtype is bool_:
        return Expr("const", dtype, value=bool(value))
    if dtype.is_float:
        return Expr("const", dtype, value=float(value))
    return Expr("const", dtype, value=int(value))


def choose(condition: Expr, x: Expr, y: "Expr | float") -> Expr:
    """``x`` where a condition holds, else ``y``."""
    other = y if isinstance(y, Expr) else const(y, x.dtype)
    return Expr("select", x.dtype, (condition, x, other), lanes=x.lanes)


def choose_rarely(condition: Expr, x: Expr, y: Expr) -> Expr:
    """The same, where ``x`` is only computed if the condition holds in some lane."""
    return Expr("rare", x.dtype, (condition, x, y), lanes=x.lanes)


def call(name: str, *args: Expr) -> Expr:
    """A function of the dialect's library, on floats."""
    return Expr("call", args[0].dtype, args, name, args[0].lanes)


def unsigned(dtype: DType) -> DType:
    """The unsigned integers of a dtype's width."""
    return DTYPES[f"uint{dtype.bits}"]


def signed(dtype: DType) -> DType:
    """The signed integers of a dtype's width."""
    return DTYPES[f"int{dtype.bits}"]


def wrapping(op: str, x: Expr, y: Expr) -> Expr:
    """Arithmetic of integers modulo their range, which C leaves open if signed."""
    free = unsigned(x.dtype)
    return Expr(op, free, (x.bits(free), y.bits(free)), lanes=x.lanes).bits(x.dtype)


def least(x: Expr, y: Expr) -> Expr:
    """The smaller of two positions."""
    return choose(x < y, x, y)


def share(item: Expr, total: Expr, many: Expr) -> Expr:
    """Where the share of one of many begins."""
    return (item.to(int64) * total.to(int64) / many.to(int64)).to(item.dtype)
