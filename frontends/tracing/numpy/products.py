"""Products of vectors, matrices and tensors."""

from collections.abc import Sequence
from typing import Any

from graphwright.frontends.tracing.arithmetic import matmul
from graphwright.frontends.tracing.numpy.reductions import reduced
from graphwright.frontends.tracing.numpy.support import (
    conjugate,
    flat,
    need_rank,
    optional_dtype,
    to_dtype,
    to_end,
    total_dtype,
)
from graphwright.frontends.tracing.wrap import (
    Operand,
    array_function,
    axis_of,
    promote,
)
from graphwright.ir.dim import Dim, equal, maximum, minimum, product
from graphwright.ir.dtype import bool_, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ShapeError

__all__ = [
    "cross",
    "diag",
    "diagflat",
    "diagonal",
    "dot",
    "inner",
    "kron",
    "matmul",
    "matvec",
    "outer",
    "tensordot",
    "trace",
    "vdot",
    "vecdot",
    "vecmat",
]


def contract(b: Emitter, x: Value, y: Value) -> Value:
    """``numpy.matmul``; of booleans, whether any product holds."""
    found: Value = matmul.__wrapped__(b, x, y)
    return found


def times(b: Emitter, x: Value, y: Value) -> Value:
    """``x * y``; of booleans, whether both hold."""
    return b.and_(x, y) if x.dtype is bool_ else b.mul(x, y)


def _same(x: Dim, y: Dim, what: str) -> None:
    if equal(x, y) is False:
        raise ShapeError(f"{what}: axes of {x} and {y} elements do not fit")


def inner_product(b: Emitter, x: Value, y: Value, axis: int) -> Value:
    """Sum of products along an axis counted from the end, the first conjugated."""
    if not -min(x.rank, y.rank) <= axis < 0:
        raise ShapeError(f"vecdot of {x.type} and {y.type} along axis {axis}")
    _same(x.shape[axis], y.shape[axis], "vecdot")
    if x.dtype is bool_:
        both = b.and_(x, y)
        return reduced(b, "max", both, axis)
    pairs = b.mul(*b.align(conjugate(b, x), y))
    return reduced(b, "sum", pairs, axis)


@array_function
def vecdot(b: Emitter, x1: Operand, x2: Operand, /, axis: int = -1) -> Value:
    """Inner products along an axis, the first operand conjugated."""
    x, y = promote(b, x1, x2)
    place = axis if axis < 0 else axis_of(axis, x.rank) - x.rank
    return inner_product(b, x, y, place)


@array_function
def matvec(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """Products of matrices and vectors."""
    x, y = promote(b, x1, x2)
    need_rank("matvec", x, 2)
    return _last(b, contract(b, x, b.expand_dims(y, [y.rank])))


def _last(b: Emitter, x: Value) -> Value:
    """Without the last axis, of size 1."""
    return b.squeeze(x, [x.rank - 1])


@array_function
def vecmat(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """Products of vectors, conjugated, and matrices."""
    x, y = promote(b, x1, x2)
    need_rank("vecmat", y, 2)
    found = contract(b, b.expand_dims(conjugate(b, x), [x.rank - 1]), y)
    return b.squeeze(found, [found.rank - 2])


def _contracted(
    b: Emitter, x: Value, y: Value, left: Sequence[int], right: Sequence[int]
) -> Value:
    """Sums of products over pairs of axes, the others in their order."""
    for i, j in zip(left, right, strict=True):
        _same(x.shape[i], y.shape[j], "tensordot")
    rows = [d for i, d in enumerate(x.shape) if i not in left]
    columns = [d for i, d in enumerate(y.shape) if i not in right]
    depth = product([x.shape[i] for i in left])
    turned = [*right, *(i for i in range(y.rank) if i not in right)]
    p = b.reshape(b.transpose(x, to_end(x, left)), (product(rows), depth))
    q = b.reshape(b.transpose(y, turned), (depth, product(columns)))
    return b.reshape(contract(b, p, q), (*rows, *columns))


@array_function(array=True)
def tensordot(b: Emitter, x1: Operand, x2: Operand, /, axes: Any = 2) -> Value:
    """Sums of products over the last and first ``axes``, or over pairs of axes."""
    x, y = promote(b, x1, x2)
    if isinstance(axes, int):
        left = tuple(range(x.rank - axes, x.rank))
        right = tuple(range(axes))
        if axes < 0 or axes > min(x.rank, y.rank):
            raise ShapeError(f"tensordot of {x.type} and {y.type} over {axes} axes")
    else:
        first, second = axes
        left = _axes(first, x.rank)
        right = _axes(second, y.rank)
    if len(left) != len(right):
        raise ShapeError(f"tensordot over {len(left)} and {len(right)} axes")
    return _contracted(b, x, y, left, right)


def _axes(axes: Any, rank: int) -> tuple[int, ...]:
    many = axes if isinstance(axes, (tuple, list)) else (axes,)
    return tuple(axis_of(a, rank) for a in many)


@array_function
def dot(b: Emitter, a: Operand, other: Operand, /) -> Value:
    """NumPy's ``dot``: the last axis with the last but one of the second."""
    x, y = promote(b, a, other)
    if x.rank == 0 or y.rank == 0:
        return times(b, x, y)
    if x.rank <= 2 and y.rank <= 2:
        return contract(b, x, y)
    return _contracted(b, x, y, [x.rank - 1], [max(y.rank - 2, 0)])


@array_function
def inner(b: Emitter, a: Operand, other: Operand, /) -> Value:
    """Sums of products over the last axes."""
    x, y = promote(b, a, other)
    if x.rank == 0 or y.rank == 0:
        return times(b, x, y)
    return _contracted(b, x, y, [x.rank - 1], [y.rank - 1])


@array_function
def vdot(b: Emitter, a: Operand, other: Operand, /) -> Value:
    """Inner product of all elements, the first operand conjugated."""
    x, y = promote(b, a, other)
    return contract(b, flat(b, conjugate(b, x)), flat(b, y))


@array_function
def outer(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """Products of all pairs of elements."""
    x, y = (flat(b, v) for v in promote(b, x1, x2))
    column, row = b.expand_dims(x, [1]), b.expand_dims(y, [0])
    return times(b, column, row)


@array_function
def kron(b: Emitter, a: Operand, other: Operand, /) -> Value:
    """Kronecker product: each element of the first times the second."""
    x, y = promote(b, a, other)
    rank = max(x.rank, y.rank)
    x, y = (b.expand_dims(v, range(rank - v.rank)) for v in (x, y))
    wide = b.expand_dims(x, range(1, 2 * rank, 2))
    small = b.expand_dims(y, range(0, 2 * rank, 2))
    pairs = zip(x.shape, y.shape, strict=True)
    return b.reshape(times(b, wide, small), [m * n for m, n in pairs])


def crossed(b: Emitter, x: Value, y: Value, axis: int) -> Value:
    """Cross products of vectors of 3 elements along an axis."""
    parts = [_components(b, v, axis) for v in b.align(x, y)]
    (x0, x1, x2), (y0, y1, y2) = parts
    rows = ((x1, y2, x2, y1), (x2, y0, x0, y2), (x0, y1, x1, y0))
    found = [b.sub(b.mul(p, q), b.mul(r, s)) for p, q, r, s in rows]
    return b.concat(found, axis)


def _components(b: Emitter, x: Value, axis: int) -> list[Value]:
    return [b.slice_axis(x, axis, i, i + 1) for i in range(3)]


@array_function
def cross(
    b: Emitter,
    x1: Operand,
    x2: Operand,
    /,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> Value:
    """Cross products of vectors of 3 elements (of 2: their third component)."""
    x, y = promote(b, x1, x2)
    first, second, third = (a if axis is None else axis for a in (axisa, axisb, axisc))
    p, q = _vectors(b, x, first), _vectors(b, y, second)
    if p.shape[-1] == 2 and q.shape[-1] == 2:
        return _flat_cross(b, p, q)
    p, q = (_in_space(b, v) for v in (p, q))
    p, q = b.align(p, q)
    found = crossed(b, p, q, p.rank - 1)
    order = list(range(found.rank - 1))
    order.insert(axis_of(third, found.rank), found.rank - 1)
    return b.transpose(found, order)


def _vectors(b: Emitter, x: Value, axis: int) -> Value:
    y = b.transpose(x, to_end(x, [axis_of(axis, x.rank)]))
    if y.shape[-1] not in (2, 3):
        raise ShapeError(f"cross takes vectors of 2 or 3 elements, got {x.type}")
    return y


def _flat_cross(b: Emitter, x: Value, y: Value) -> Value:
    (x0, x1), (y0, y1) = ([_pick(b, v, i) for i in (0, 1)] for v in (x, y))
    return b.sub(b.mul(x0, y1), b.mul(x1, y0))


def _pick(b: Emitter, x: Value, i: int) -> Value:
    return _last(b, b.slice_axis(x, x.rank - 1, i, i + 1))


def _in_space(b: Emitter, x: Value) -> Value:
    if x.shape[-1] == 3:
        return x
    return b.pad(x, [0] * x.rank, [*(0,) * (x.rank - 1), 1])


# Diagonals ----------------------------------------------------------------------------


def diagonals(b: Emitter, x: Value, offset: int) -> Value:
    """A diagonal of the last two axes, as the last axis: a stride of a flat view."""
    need_rank("diagonal", x, 2)
    *lead, rows, columns = x.shape
    down, right = max(-offset, 0), max(offset, 0)
    size = maximum(minimum(rows - down, columns - right), 0)
    if isinstance(size, int) and size == 0:
        return b.full((*lead, 0), 0, x.dtype)
    none = (0,) * len(lead)
    if not isinstance(columns, int):
        part = b.slice(x, (*none, down, right), (*lead, size, size))
        x, columns, down, right = part, size, 0, 0
    line = b.reshape(x, (*lead, x.shape[-2] * columns))
    step = (*(1,) * len(lead), columns + 1)
    return b.slice(line, (*none, down * columns + right), (*lead, size), step)


def _moved(x: Value, axis1: int, axis2: int) -> list[int]:
    return to_end(x, [axis_of(axis1, x.rank), axis_of(axis2, x.rank)])


@array_function(view=True)
def diagonal(
    b: Emitter, x: Value, /, offset: int = 0, axis1: int = 0, axis2: int = 1
) -> Value:
    """A diagonal of two axes, as the last axis."""
    need_rank("diagonal", x, 2)
    return diagonals(b, b.transpose(x, _moved(x, axis1, axis2)), offset)


@array_function
def trace(
    b: Emitter,
    x: Value,
    /,
    offset: int = 0,
    axis1: int = 0,
    axis2: int = 1,
    dtype: Any = None,
) -> Value:
    """Sum of a diagonal of two axes."""
    need_rank("trace", x, 2)
    line = diagonals(b, b.transpose(x, _moved(x, axis1, axis2)), offset)
    return summed_diagonal(b, line, dtype)


def summed_diagonal(b: Emitter, line: Value, dtype: Any) -> Value:
    """The sum over the last axis in a dtype that is wide enough."""
    d = optional_dtype(dtype) or total_dtype(line.dtype)
    return reduced(b, "sum", to_dtype(b, line, d), -1)


def placed_diagonal(b: Emitter, x: Value, k: int) -> Value:
    """A matrix that has a vector on diagonal ``k`` and zeros elsewhere."""
    n = x.shape[0] + abs(k)
    row, column = (b.iota((n, n), i, int64) for i in (0, 1))
    down, right = max(-k, 0), max(k, 0)
    line = b.pad(x, [down], [right])
    spread = b.broadcast_to(b.expand_dims(line, [1]), (n, n))
    return b.where(b.eq(b.sub(column, row), k), spread, b.zeros_like(spread))


@array_function(view=True)
def diag(b: Emitter, v: Value, k: int = 0) -> Value:
    """The diagonal of a matrix, or the matrix of a diagonal."""
    if v.rank == 1:
        return placed_diagonal(b, v, k)
    if v.rank != 2:
        raise ShapeError(f"diag takes a vector or a matrix, got {v.type}")
    return diagonals(b, v, k)


@array_function
def diagflat(b: Emitter, v: Value, k: int = 0) -> Value:
    """A matrix that has all elements on diagonal ``k``."""
    return placed_diagonal(b, flat(b, v), k)
