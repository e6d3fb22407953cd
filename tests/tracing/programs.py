"""Random NumPy programs: statements over a pool of arrays, run by an interpreter.

Each statement is a name and parameters; operands are positions in the pool. The
interpreter is plain NumPy: tensors run it as it is, and ``gw.jit`` through a copy.
"""

import operator
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st

DTYPES = ("bool", "int8", "int32", "int64", "float32", "float64", "complex128")
SHAPES = ((), (1,), (3,), (4,), (2, 3), (3, 1), (1, 4), (3, 4), (2, 1, 3))

AXIS_FUNCTIONS = ("sum", "max", "mean", "cumsum")

Statement = tuple[str, tuple[Any, ...]]


def start(kind: str, shape: tuple[int, ...]) -> Any:
    """The array that a program gets: small numbers, none the same as its neighbour."""
    n = int(np.prod(shape, dtype=int))
    values = (np.arange(n) * 5 + 3) % 7 - 2
    return values.reshape(shape).astype(kind)


def run(statements: Any, *arrays: Any) -> list[Any]:
    """The pool after all statements."""
    pool = list(arrays)
    for name, args in statements:
        step(name, args, pool)
    return pool


def step(  # noqa: PLR0912
    name: str, args: tuple[Any, ...], pool: list[Any]
) -> None:
    """Runs a statement: it appends to the pool, or writes to a member of it."""
    if name == "create":
        kind, shape, dtype, fill = args
        if kind == "full":
            pool.append(np.full(shape, fill, dtype=dtype))
        elif kind == "arange":
            pool.append(np.arange(fill, fill + 5, dtype=dtype))
        else:
            pool.append(np.zeros(shape, dtype=dtype) if kind == "zeros" else np.eye(3))
    elif name == "binary":
        op, i, j = args
        pool.append(binary(op, pool[i], pool[j]))
    elif name == "number":
        op, i, number = args
        pool.append(binary(op, pool[i], number))
    elif name == "unary":
        op, i = args
        pool.append(unary(op, pool[i]))
    elif name == "get":
        i, index = args
        pool.append(pool[i][index])
    elif name == "set":
        i, index, number = args
        pool[i][index] = number
    elif name == "copy_in":
        i, index, j = args
        pool[i][index] = pool[j]
    elif name == "mask":
        i, number, new = args
        pool[i][binary(">=", pool[i], number)] = new
    elif name == "inplace":
        op, i, j = args
        pool[i] = inplace(op, pool[i], pool[j])
    elif name == "inplace_at":
        i, index, number = args
        pool[i][index] += number
    else:
        pool.append(function(name, args, pool))


def function(  # noqa: PLR0912
    name: str, args: tuple[Any, ...], pool: list[Any]
) -> Any:
    i, *rest = args
    x = pool[i]
    if name == "max" and x.dtype.kind == "c":
        raise ValueError("complex numbers have no order but NumPy's own")
    match name:
        case "transpose":
            return x.T
        case "reshape":
            return x.reshape(rest[0])
        case "ravel":
            return x.ravel()
        case "swapaxes":
            return x.swapaxes(0, -1)
        case "broadcast":
            return np.broadcast_to(x, rest[0])
        case "astype":
            return x.astype(rest[0])
        case _ if name in AXIS_FUNCTIONS and not np.ndim(x):
            raise ValueError("an old NumPy takes axis 0 of a 0-d array, none else does")
        case "sum":
            return np.sum(x, axis=rest[0])
        case "max":
            return x.max(axis=rest[0])
        case "mean":
            return np.mean(x, axis=rest[0])
        case "cumsum":
            return np.cumsum(x, axis=rest[0])
        case "where":
            return np.where(x > 0, x, rest[0])
        case "stack":
            return np.stack([x, x])
        case "concatenate":
            return np.concatenate([x, pool[rest[0]]])
        case "array":
            return np.array([x[0], x[-1]])
        case _:
            raise AssertionError(name)


OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "<": operator.lt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "&": operator.and_,
    "|": operator.or_,
    "@": operator.matmul,
}


def binary(op: str, x: Any, y: Any) -> Any:
    if op in ("<", ">=", "minimum") and np.result_type(x, y).kind == "c":
        raise ValueError("complex numbers have no order but NumPy's own")
    return np.minimum(x, y) if op == "minimum" else OPERATORS[op](x, y)


def inplace(op: str, x: Any, y: Any) -> Any:
    match op:
        case "+":
            x += y
        case "-":
            x -= y
        case "*":
            x *= y
        case _:
            x |= y
    return x


def unary(op: str, x: Any) -> Any:
    match op:
        case "-":
            return -x
        case "+":
            return +x
        case "~":
            return ~x
        case "abs":
            return abs(x)
        case "sqrt":
            return np.sqrt(x)
        case _:
            return np.exp(x)


# What is drawn ------------------------------------------------------------------------

SLICES = st.one_of(
    st.just(slice(None)),
    st.builds(
        slice,
        st.none() | st.integers(-3, 3),
        st.none() | st.integers(-3, 5),
        st.sampled_from([None, 1, 2, -1, -2]),
    ),
)
ITEMS = st.one_of(
    SLICES,
    SLICES,
    st.integers(-2, 2),
    st.sampled_from([None, Ellipsis]),
    st.sampled_from([[0, 1], [1, -1, 0], [[0], [1]], [True, False, True]]),
)
INDICES = st.one_of(ITEMS, st.lists(ITEMS, min_size=1, max_size=3).map(tuple))
NUMBERS = st.sampled_from([0, 1, 2, -1, 3, 0.5, -1.5, True, 1j])
SMALL = st.sampled_from([0, 1, 2, -1])
AXES = st.sampled_from([None, 0, -1, (0,)])
BINARY = (*OPERATORS, "minimum")
UNARY = ("-", "+", "~", "abs", "sqrt", "exp")


@cache
def statements(count: int) -> Any:
    """One statement over a pool of ``count`` arrays."""
    at = st.integers(0, count - 1)
    dtypes, shapes = st.sampled_from(DTYPES), st.sampled_from(SHAPES)
    kinds = st.sampled_from(["full", "zeros", "arange", "eye"])

    def row(name: str, *parts: Any) -> Any:
        return st.tuples(st.just(name), st.tuples(*parts))

    return st.one_of(
        row("create", kinds, shapes, dtypes, SMALL),
        row("binary", st.sampled_from(BINARY), at, at),
        row("binary", st.sampled_from(BINARY), at, at),
        row("number", st.sampled_from(BINARY[:10]), at, NUMBERS),
        row("unary", st.sampled_from(UNARY), at),
        row("get", at, INDICES),
        row("get", at, INDICES),
        row("set", at, INDICES, NUMBERS),
        row("set", at, INDICES, NUMBERS),
        row("copy_in", at, INDICES, at),
        row("mask", at, SMALL, NUMBERS),
        row("inplace", st.sampled_from(["+", "-", "*", "|"]), at, at),
        row("inplace_at", at, INDICES, SMALL),
        row("transpose", at),
        row("reshape", at, st.sampled_from([(-1,), (2, -1), (-1, 3), (1, -1)])),
        row("ravel", at),
        row("swapaxes", at),
        row("broadcast", at, shapes),
        row("astype", at, dtypes),
        row("sum", at, AXES),
        row("max", at, AXES),
        row("mean", at, AXES),
        row("cumsum", at, AXES),
        row("where", at, NUMBERS),
        row("stack", at),
        row("concatenate", at, at),
        row("array", at),
    )


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings: what NumPy says about values is no concern here."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


class Program:
    """Starting arrays, statements that NumPy can run, and what it makes of them."""

    def __init__(self, inputs: list[tuple[str, tuple[int, ...]]]) -> None:
        self.inputs = inputs
        self.statements: list[Statement] = []
        self.arguments = self.arrays()
        self.pool: list[Any] = list(self.arguments)

    def arrays(self) -> list[Any]:
        """The starting arrays, fresh."""
        return [start(*row) for row in self.inputs]

    def add(self, statement: Statement) -> None:
        """Runs a statement in NumPy; one that fails there is left out."""
        name, args = statement
        try:
            with quiet():
                step(name, args, self.pool)
        except (ValueError, TypeError, IndexError, OverflowError, AttributeError):
            self._again()
            return
        if any(np.size(x) > 4096 for x in self.pool[-1:]):
            self._again()
            return
        self.statements.append(statement)

    def _again(self) -> None:
        """Back to before a statement that failed halfway."""
        self.arguments = self.arrays()
        self.pool = list(self.arguments)
        with quiet():
            for name, args in self.statements:
                step(name, args, self.pool)

    def __repr__(self) -> str:
        return f"Program({self.inputs}, {self.statements})"


@st.composite
def programs(draw: Any, size: int) -> Program:
    """A program of up to ``size`` statements."""
    rows = st.tuples(st.sampled_from(DTYPES), st.sampled_from(SHAPES))
    program = Program(draw(st.lists(rows, min_size=1, max_size=3)))
    for _ in range(draw(st.integers(1, size))):
        program.add(draw(statements(len(program.pool))))
    return program
