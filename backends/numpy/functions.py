"""NumPy's functions for elementwise ops, written to where they are told."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from graphwright.backends.numpy.kernels import elementwise
from graphwright.backends.numpy.kernels.program import (
    Function,
    Instruction,
    Operand,
)
from graphwright.ir.dtype import (
    DTYPES,
    bool_,
    complex64,
    complex128,
    float32,
    float64,
)
from graphwright.ir.op import Op
from graphwright.ir.ops.activation import Gelu, Swish
from graphwright.ir.ops.select import Cast
from graphwright.ir.types import TensorType, Type

DTypes: TypeAlias = "Sequence[np.dtype[Any]]"


def _cast(x: Any, out: Any) -> None:
    np.copyto(out, x, casting="unsafe")


def _choose(condition: Any, x: Any, y: Any, out: Any) -> None:
    """``numpy.where``; ``out`` may be the memory of an operand."""
    np.copyto(out, np.where(condition, x, y))


_FLOAT: dict[str, tuple[Function, float]] = {
    "abs": (np.abs, 0.3),
    "add": (np.add, 0.3),
    "atan2": (np.arctan2, 15),
    "ceil": (np.ceil, 0.3),
    "cos": (np.cos, 6),
    "div": (np.divide, 0.7),
    "erf": (elementwise.erf_block, 8),
    "exp": (np.exp, 2),
    "expm1": (np.expm1, 8),
    "floor": (np.floor, 0.3),
    "gelu": (elementwise.gelu_block, 9),
    "log": (np.log, 3),
    "log1p": (np.log1p, 8),
    "max": (np.maximum, 0.4),
    "min": (np.minimum, 0.4),
    "mul": (np.multiply, 0.3),
    "neg": (np.negative, 0.3),
    "pow": (np.power, 10),
    "sigmoid": (elementwise.sigmoid, 4),  # spelled out: see `_sigmoid`
    "sin": (np.sin, 6),
    "sqrt": (np.sqrt, 1.5),
    "sub": (np.subtract, 0.3),
    "swish": (np.divide, 4),  # spelled out: see `_swish`
    "tanh": (np.tanh, 3),
}
_INTEGER: dict[str, tuple[Function, float]] = {
    "abs": (np.abs, 0.3),
    "add": (np.add, 0.3),
    "and": (np.bitwise_and, 0.3),
    "max": (np.maximum, 0.4),
    "min": (np.minimum, 0.4),
    "mul": (np.multiply, 0.4),
    "neg": (np.negative, 0.3),
    "or": (np.bitwise_or, 0.3),
    "sub": (np.subtract, 0.3),
    "xor": (np.bitwise_xor, 0.3),
}
_BOOL: dict[str, tuple[Function, float]] = {
    "and": (np.logical_and, 0.1),
    "or": (np.logical_or, 0.1),
    "xor": (np.logical_xor, 0.1),
}
_COMPLEX: dict[str, tuple[Function, float]] = {
    "abs": (np.abs, 3),
    "add": (np.add, 0.6),
    "div": (np.divide, 5),
    "mul": (np.multiply, 1),
    "neg": (np.negative, 0.6),
    "sub": (np.subtract, 0.6),
}
_BY_KIND = {"f": _FLOAT, "i": _INTEGER, "u": _INTEGER, "b": _BOOL, "c": _COMPLEX}
_COMPARE: dict[str, Function] = {"eq": np.equal, "lt": np.less}
_PLAIN = frozenset(
    (
        *(bool_, float32, float64, complex64, complex128),
        *(DTYPES[f"{sign}int{bits}"] for sign in ("", "u") for bits in (8, 16, 32, 64)),
    )
)

FUSABLE = frozenset({*_FLOAT, *_INTEGER, *_COMPARE, "where", "cast"})
"""Names of the ops that elementwise regions may hold."""


def plain_dtypes(types: Sequence[Type]) -> "list[np.dtype[Any]] | None":
    """NumPy's dtypes of tensor types, None if one is not numpy's own."""
    found: list[np.dtype[Any]] = []
    for t in types:
        if not isinstance(t, TensorType) or t.shape is None or t.dtype not in _PLAIN:
            return None
        found.append(t.dtype.numpy)
    return found


def is_known(op: Op, operands: DTypes, result: "np.dtype[Any]") -> bool:
    """Whether `lower` knows what to do."""
    if op.name == "where":
        return True
    if isinstance(op, Cast):
        return _casts(op, operands[0], result)
    if len(set(operands)) != 1:
        return False
    if op.name in _COMPARE:
        return op.name == "eq" or operands[0].kind != "c"
    return op.name in _BY_KIND[operands[0].kind]


def _casts(op: Cast, source: "np.dtype[Any]", to: "np.dtype[Any]") -> bool:
    if op.saturate or source.kind == "c" != to.kind:
        return False
    return source.kind != "f" or to.kind in "fbc" or to.itemsize >= 4


class Assembler:
    """Instructions of a program, as ops are added to it."""

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self._masks: dict[tuple[Any, int], Operand] = {}

    def emit(
        self,
        function: Function,
        operands: Sequence[Operand],
        dtype: "np.dtype[Any]",
        cost: float = 0.3,
        *,
        bits: bool = False,
    ) -> Operand:
        """Adds an instruction; its value."""
        self.instructions.append(
            Instruction(function, tuple(operands), dtype, cost, bits)
        )
        return Operand(-len(self.instructions), dtype)

    def lower(
        self, op: Op, operands: Sequence[Operand], dtype: "np.dtype[Any]"
    ) -> Operand:
        """The value of an op that `is_known`, of a dtype."""
        name = op.name
        if name == "where":
            return self._where(*operands)
        if name == "cast":
            return self._cast(operands[0], dtype)
        if name in _COMPARE:
            return self.emit(_COMPARE[name], operands, dtype)
        if name in ("max", "min"):
            operands = [replace(x, spread=True) for x in operands]
        if name == "sigmoid":
            return self._sigmoid(operands[0])
        if isinstance(op, Swish):
            return self._swish(operands[0], op.alpha)
        function, cost = _BY_KIND[operands[0].dtype.kind][name]
        if isinstance(op, Gelu) and op.tanh:
            function = elementwise.gelu_tanh_block
        return self.emit(function, operands, dtype, cost)

    def _sigmoid(self, x: Operand) -> Operand:
        """`1 / (1 + exp(-x))`; `np.reciprocal` takes twice as long as a division."""
        one = Operand(np.ones((), x.dtype), x.dtype)
        return self.emit(np.divide, [one, self._bell(x, 1.0)], x.dtype, 0.7)

    def _swish(self, x: Operand, alpha: float) -> Operand:
        """`x / (1 + exp(-alpha * x))`."""
        return self.emit(np.divide, [x, self._bell(x, alpha)], x.dtype, 0.7)

    def _bell(self, x: Operand, alpha: float) -> Operand:
        """`1 + exp(-alpha * x)`."""
        one, factor = (Operand(np.full((), n, x.dtype), x.dtype) for n in (1.0, -alpha))
        if alpha == 1:
            found = self.emit(np.negative, [x], x.dtype)
        else:
            found = self.emit(np.multiply, [x, factor], x.dtype)
        found = self.emit(np.exp, [found], x.dtype, 2)
        return self.emit(np.add, [found, one], x.dtype)

    def _cast(self, x: Operand, to: "np.dtype[Any]") -> Operand:
        if to.kind == "b" and x.dtype.kind != "b":
            zero = Operand(np.zeros((), x.dtype), x.dtype)
            return self.emit(np.not_equal, [x, zero], to)
        return self.emit(_cast, [x], to, 0.4)

    def _mask(self, condition: Operand, size: int) -> Operand:
        """All bits set where a condition holds, none elsewhere."""
        key = (condition.key if isinstance(condition.source, int) else None, size)
        found = self._masks.get(key) if key[0] is not None else None
        if found is None:
            to = np.dtype(f"int{8 * size}")
            found = self.emit(_cast, [condition.as_bits], to)
            found = self.emit(np.negative, [found], to)
            self._masks[key] = found
        return found

    def _where(self, condition: Operand, x: Operand, y: Operand) -> Operand:
        """`y ^ ((x ^ y) & mask)` on bits: far faster than a branch on each element."""
        between = _between(x.source, y.source)
        if between is not None:
            return self._one_of_two(condition, between, y)
        dtype = x.dtype
        if dtype.kind == "c":
            return self.emit(_choose, [condition, x, y], dtype, 3)
        mask = self._mask(condition, dtype.itemsize)
        if _is_zero(y):
            return self.emit(np.bitwise_and, [x.as_bits, mask], dtype, bits=True)
        differ = self.emit(np.bitwise_xor, [x.as_bits, y.as_bits], dtype, bits=True)
        chosen = self.emit(np.bitwise_and, [differ.as_bits, mask], dtype, bits=True)
        return self.emit(np.bitwise_xor, [chosen.as_bits, y.as_bits], dtype, bits=True)

    def _one_of_two(self, condition: Operand, between: Any, y: Operand) -> Operand:
        """`condition * (x - y) + y` for two numbers."""
        found = self._cast(condition, y.dtype)
        if between != 1:
            factor = Operand(np.asarray(between), y.dtype)
            found = self.emit(np.multiply, [found, factor], y.dtype)
        return found if _is_zero(y) else self.emit(np.add, [found, y], y.dtype)


def _between(x: Any, y: Any) -> Any:
    """`x - y` of two numbers that gives `x` if added to `y`; None if there is none."""
    if isinstance(x, int) or isinstance(y, int) or x.dtype.kind not in "fiu":
        return None
    with np.errstate(all="ignore"):
        between = np.subtract(x, y)
        ends = (between + y, between * x.dtype.type(0) + y)
    exact = ends[0].tobytes() == x.tobytes() and ends[1].tobytes() == y.tobytes()
    return between if exact else None


def _is_zero(x: Operand) -> bool:
    return not isinstance(x.source, int) and not any(x.source.tobytes())
