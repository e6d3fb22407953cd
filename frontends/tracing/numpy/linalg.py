"""Linear algebra on stacks of matrices: ``graphwright.numpy.linalg``."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from graphwright.frontends.tracing.numpy.manipulation import (
    matrix_transpose,
    transposed,
)
from graphwright.frontends.tracing.numpy.products import (
    contract,
    crossed,
    diagonals,
    matmul,
    matvec,
    outer,
    summed_diagonal,
    tensordot,
    vecdot,
    vecmat,
)
from graphwright.frontends.tracing.numpy.support import (
    conjugate,
    inexact,
    need_rank,
    to_end,
)
from graphwright.frontends.tracing.wrap import (
    Operand,
    array_function,
    axes_of,
    axis_of,
    promote,
)
from graphwright.ir.dim import equal, maximum, product
from graphwright.ir.dtype import int32, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ShapeError

__all__ = [
    "LinAlgError",
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "matvec",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vecdot",
    "vecmat",
    "vector_norm",
]

LinAlgError = np.linalg.LinAlgError


class EigResult(NamedTuple):
    """Eigenvalues and right eigenvectors."""

    eigenvalues: Any
    eigenvectors: Any


class EighResult(NamedTuple):
    """Ascending eigenvalues and orthonormal eigenvectors."""

    eigenvalues: Any
    eigenvectors: Any


class QRResult(NamedTuple):
    """Orthonormal ``Q`` and upper triangular ``R``."""

    Q: Any
    R: Any


class SlogdetResult(NamedTuple):
    """Sign and logarithm of the magnitude of a determinant."""

    sign: Any
    logabsdet: Any


class SVDResult(NamedTuple):
    """Left vectors, descending singular values, conjugate transposed right vectors."""

    U: Any
    S: Any
    Vh: Any


def adjoint(b: Emitter, x: Value) -> Value:
    """The conjugate transpose."""
    return conjugate(b, transposed(b, x))


def _square(name: str, x: Value) -> None:
    need_rank(name, x, 2)
    rows, columns = x.shape[-2:]
    if isinstance(rows, int) and isinstance(columns, int) and rows != columns:
        raise ShapeError(f"{name} takes square matrices, got {x.type}")


# Factorisations -----------------------------------------------------------------------


@array_function
def cholesky(b: Emitter, x: Value, /, *, upper: bool = False) -> Value:
    """Lower ``L`` with ``L L^H = x``, or upper ``U`` with ``U^H U = x``."""
    y = inexact(b, x)
    if not upper:
        return b.emit("cholesky", y)
    return adjoint(b, b.emit("cholesky", adjoint(b, y)))


@array_function
def qr(b: Emitter, x: Value, /, mode: str = "reduced") -> Any:
    """Orthonormal ``Q`` and upper triangular ``R`` with ``Q R = x``."""
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f"qr has no mode {mode!r}")
    q, r = b.emit_all("qr", inexact(b, x), complete=mode == "complete")
    return r if mode == "r" else QRResult(q, r)


@array_function
def svd(
    b: Emitter,
    x: Value,
    /,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
) -> Any:
    """``U``, ``S``, ``V^H`` with ``U S V^H = x``."""
    if not compute_uv:
        return b.emit("singular_values", inexact(b, x))
    return SVDResult(*b.emit_all("svd", inexact(b, x), full=full_matrices))


@array_function
def svdvals(b: Emitter, x: Value, /) -> Value:
    """Singular values, descending."""
    return b.emit("singular_values", inexact(b, x))


@array_function
def eigh(b: Emitter, x: Value, /, UPLO: str = "L") -> EighResult:  # noqa: N803
    """Eigenvalues and eigenvectors of Hermitian matrices."""
    return EighResult(*b.emit_all("eigh", inexact(b, x), upper=UPLO.upper() == "U"))


@array_function
def eigvalsh(b: Emitter, x: Value, /, UPLO: str = "L") -> Value:  # noqa: N803
    """Eigenvalues of Hermitian matrices."""
    return b.emit_all("eigh", inexact(b, x), upper=UPLO.upper() == "U")[0]


@array_function
def eig(b: Emitter, x: Value, /) -> EigResult:
    """Complex eigenvalues and right eigenvectors."""
    return EigResult(*b.emit_all("eig", inexact(b, x)))


@array_function
def eigvals(b: Emitter, x: Value, /) -> Value:
    """Complex eigenvalues."""
    return b.emit_all("eig", inexact(b, x))[0]


# Systems ------------------------------------------------------------------------------


@array_function
def det(b: Emitter, x: Value, /) -> Value:
    """Determinants."""
    return b.emit("det", inexact(b, x))


@array_function
def slogdet(b: Emitter, x: Value, /) -> SlogdetResult:
    """Sign and logarithm of the magnitude of determinants."""
    return SlogdetResult(*b.emit_all("slogdet", inexact(b, x)))


@array_function
def inv(b: Emitter, x: Value, /) -> Value:
    """Inverses."""
    return b.emit("inverse", inexact(b, x))


@array_function
def solve(b: Emitter, x1: Operand, x2: Operand, /) -> Value:
    """``x`` of ``x1 x = x2``: a vector if ``x2`` has one axis, else matrices."""
    a, y = (inexact(b, v) for v in promote(b, x1, x2))
    _square("solve", a)
    if y.rank == 1:
        column = b.expand_dims(y, [1])
        found = b.emit(
            "solve", a, b.broadcast_to(column, (*a.shape[:-2], *column.shape))
        )
        return b.squeeze(found, [found.rank - 1])
    lead = b.align(
        b.sum(a, [a.rank - 2, a.rank - 1]), b.sum(y, [y.rank - 2, y.rank - 1])
    )
    shape = lead[0].shape
    a = b.broadcast_to(a, (*shape, *a.shape[-2:]))
    return b.emit("solve", a, b.broadcast_to(y, (*shape, *y.shape[-2:])))


@array_function
def tensorsolve(b: Emitter, x1: Operand, x2: Operand, /, axes: Any = None) -> Value:
    """``x`` of ``tensordot(x1, x, x.ndim) = x2``."""
    a, y = (inexact(b, v) for v in promote(b, x1, x2))
    if axes is not None:
        a = b.transpose(a, to_end(a, axes_of(tuple(axes), a.rank)))
    shape = a.shape[y.rank :]
    n = product(shape)
    if equal(n, product(y.shape)) is False:
        raise ShapeError(f"tensorsolve of {a.type} and {y.type}: not square")
    column = b.reshape(y, (n, 1))
    return b.reshape(b.emit("solve", b.reshape(a, (n, n)), column), shape)


@array_function
def tensorinv(b: Emitter, x: Value, /, ind: int = 2) -> Value:
    """The inverse for ``tensordot`` over the first ``ind`` axes."""
    if ind <= 0:
        raise ValueError("Invalid ind argument.")
    y = inexact(b, x)
    rows, columns = y.shape[:ind], y.shape[ind:]
    matrix = b.reshape(y, (product(columns), product(columns)))
    return b.reshape(b.emit("inverse", matrix), (*columns, *rows))


def _tolerance(b: Emitter, s: Value, rtol: Operand | None, default: Any) -> Value:
    """The singular value below which others count as 0, with axes to compare."""
    largest = b.reduce("max", s, [s.rank - 1], keepdims=True)
    if rtol is None:
        size, eps = default, float(np.finfo(s.dtype.numpy).eps)
        bound = b.mul(b.dim_scalar(size, s.dtype), eps)
    else:
        (bound,) = promote(b, rtol, to=s.dtype)
        if bound.rank:
            bound = b.expand_dims(bound, [bound.rank])
    return b.mul(largest, bound)


@array_function
def matrix_rank(
    b: Emitter,
    x: Value,
    /,
    tol: Operand | None = None,
    hermitian: bool = False,
    *,
    rtol: Operand | None = None,
) -> Value:
    """How many singular values exceed ``rtol`` times the largest (or ``tol``).

    Of a vector or a number 1, or 0 if all is 0, as NumPy has it.
    """
    if x.rank < 2:
        return b.min(b.sum(b.cast(b.ne(x, 0), int64), range(x.rank)), 1)
    s = b.emit("singular_values", inexact(b, x))
    if tol is not None:
        (bound,) = promote(b, tol, to=s.dtype)
        bound = b.expand_dims(bound, [bound.rank]) if bound.rank else bound
    else:
        bound = _tolerance(b, s, rtol, maximum(*x.shape[-2:]))
    return b.sum(b.cast(b.gt(s, bound), int64), [s.rank - 1])


@array_function
def pinv(
    b: Emitter,
    x: Value,
    /,
    rcond: Operand | None = None,
    hermitian: bool = False,
    *,
    rtol: Operand | None = None,
) -> Value:
    """Moore-Penrose inverses: ``V S^-1 U^H``, small singular values left out."""
    y = inexact(b, x)
    u, s, vh = b.emit_all("svd", y)
    bound = _tolerance(b, s, rcond if rtol is None else rtol, maximum(*x.shape[-2:]))
    large = b.broadcast_to(b.gt(s, bound), s.shape)
    inverse = b.where(large, b.div(1, b.where(large, s, 1)), 0)
    scaled = b.mul(
        transposed(b, vh), b.cast(b.expand_dims(inverse, [s.rank - 1]), y.dtype)
    )
    return contract(b, conjugate(b, scaled), adjoint(b, u))


def _cutoff(b: Emitter, s: Value, rcond: Operand) -> Value:
    """What LAPACK's dgelsd takes ``rcond`` for: the unit roundoff unless in (0, 1)."""
    (share,) = promote(b, rcond, to=s.dtype)
    inside = b.and_(b.gt(share, 0), b.lt(share, 1))
    return b.where(inside, share, float(np.finfo(s.dtype.numpy).eps) / 2)


@array_function
def lstsq(b: Emitter, a: Value, y: Value, /, rcond: Operand | None = None) -> Any:
    """Least squares: solution, sums of squared residuals, rank, singular values."""
    left, right = promote(b, inexact(b, a), inexact(b, y))
    columns = b.expand_dims(right, [1]) if right.rank == 1 else right
    u, s, vh = b.emit_all("svd", left)
    share = None if rcond is None else _cutoff(b, s, rcond)
    bound = _tolerance(b, s, share, maximum(*left.shape))
    large = b.gt(s, bound)
    inverse = b.where(large, b.div(1, b.where(large, s, 1)), 0)
    spread = b.cast(b.expand_dims(inverse, [1]), left.dtype)
    found = contract(
        b, adjoint(b, vh), b.mul(spread, contract(b, adjoint(b, u), columns))
    )
    off = b.abs(b.sub(columns, contract(b, left, found)))
    residuals = b.sum(b.mul(off, off), [0])
    rank = b.sum(b.cast(large, int32), [0])
    (full,) = b.bind_dims(b.reshape(rank, (1,)))
    m, n = left.shape
    if full != n or (isinstance(m, int) and isinstance(n, int) and m <= n):
        residuals = b.full((0,), 0, residuals.dtype)
    answer = b.squeeze(found, [1]) if right.rank == 1 else found
    return answer, residuals, rank, s


@array_function
def cond(b: Emitter, x: Value, p: Any = None) -> Value:
    """Condition number: the largest over the smallest singular value, or by norms."""
    y = inexact(b, x)
    if p in (None, 2, -2):
        s = b.emit("singular_values", y)
        last = s.shape[-1] - 1
        ends = (b.slice_axis(s, s.rank - 1, i, i + 1) for i in (0, last))
        first, final = (b.squeeze(end, [s.rank - 1]) for end in ends)
        return b.div(final, first) if p == -2 else b.div(first, final)
    return b.mul(matrix_size(b, y, p), matrix_size(b, b.emit("inverse", y), p))


@array_function
def matrix_power(b: Emitter, x: Value, n: int, /) -> Value:
    """The product of ``n`` copies, by squaring; of the inverse if ``n`` is negative."""
    _square("matrix_power", x)
    y = b.emit("inverse", inexact(b, x)) if n < 0 else x
    if n == 0:
        shape = y.shape
        row, column = (b.iota(shape, y.rank - k, int64) for k in (2, 1))
        return b.cast(b.eq(row, column), y.dtype)
    found: Value | None = None
    bits = abs(n)
    while bits:
        if bits & 1:
            found = y if found is None else contract(b, found, y)
        bits >>= 1
        y = contract(b, y, y) if bits else y
    assert found is not None
    return found


@array_function
def multi_dot(b: Emitter, arrays: Sequence[Operand]) -> Value:
    """The product of several matrices, from left to right."""
    first, *rest = promote(b, *arrays)
    for other in rest:
        first = contract(b, first, other)
    return first


# Norms --------------------------------------------------------------------------------


def vector_size(
    b: Emitter, x: Value, ord: Any, axes: Sequence[int], keepdims: bool
) -> Value:
    """``(sum |x|^p)^(1/p)`` over axes, and its limits."""
    size = b.abs(x)
    if ord == math.inf:  # of nothing it is 0
        return b.max(b.reduce("max", size, axes, keepdims=keepdims), 0)
    if ord == -math.inf:
        return b.reduce("min", size, axes, keepdims=keepdims)
    if ord == 0:
        return b.sum(b.cast(b.ne(size, 0), size.dtype), axes, keepdims=keepdims)
    if ord == 1:
        return b.sum(size, axes, keepdims=keepdims)
    if ord == 2:
        return b.sqrt(b.sum(b.mul(size, size), axes, keepdims=keepdims))
    total = b.sum(b.pow(size, float(ord)), axes, keepdims=keepdims)
    return b.pow(total, 1 / float(ord))


@array_function
def vector_norm(
    b: Emitter,
    x: Value,
    /,
    axis: Any = None,
    keepdims: bool = False,
    ord: Any = 2,
) -> Value:
    """Norms of vectors along axes, by default of all elements."""
    return vector_size(b, inexact(b, x), ord, axes_of(axis, x.rank), keepdims)


def matrix_size(b: Emitter, x: Value, ord: Any) -> Value:
    """Norms of the matrices in the last two axes."""
    rows, columns = x.rank - 2, x.rank - 1
    if ord in (None, "fro"):
        return vector_size(b, x, 2, [rows, columns], False)
    if ord in (1, -1, math.inf, -math.inf):
        kind = "max" if ord > 0 else "min"
        across = rows if abs(ord) == 1 else columns
        totals = b.sum(b.abs(x), [across])
        found = b.reduce(kind, totals, [totals.rank - 1])
        return b.max(found, 0) if ord > 0 else found
    if ord not in (2, -2, "nuc"):
        raise ValueError(f"matrix_norm has no order {ord!r}")
    s = b.emit("singular_values", x)
    kind = {2: "max", -2: "min"}.get(ord, "sum")
    found = b.reduce(kind, s, [s.rank - 1])
    return b.max(found, 0) if ord == 2 else found


@array_function
def matrix_norm(
    b: Emitter, x: Value, /, keepdims: bool = False, ord: Any = "fro"
) -> Value:
    """Norms of matrices: Frobenius, nuclear, by rows, columns or singular values."""
    need_rank("matrix_norm", x, 2)
    found = matrix_size(b, inexact(b, x), ord)
    return b.expand_dims(found, [x.rank - 2, x.rank - 1]) if keepdims else found


@array_function
def norm(
    b: Emitter, x: Value, ord: Any = None, axis: Any = None, keepdims: bool = False
) -> Value:
    """NumPy's norm: of vectors along one axis, of matrices along two."""
    y = inexact(b, x)
    if ord is None:
        return vector_size(b, y, 2, axes_of(axis, y.rank), keepdims)
    axes = axes_of(axis, y.rank)
    if len(axes) == 1:
        return vector_size(b, y, ord, axes, keepdims)
    if len(axes) != 2:
        raise ValueError("Improper number of dimensions to norm.")
    found = matrix_size(b, b.transpose(y, to_end(y, axes)), ord)
    return b.expand_dims(found, axes) if keepdims else found


# The standard's meaning of names that NumPy has too -----------------------------------


@array_function
def cross(b: Emitter, x1: Operand, x2: Operand, /, *, axis: int = -1) -> Value:
    """Cross products of vectors of 3 elements."""
    x, y = b.align(*promote(b, x1, x2))
    place = axis_of(axis, x.rank)
    if x.shape[place] != 3:
        raise ShapeError(f"cross takes vectors of 3 elements, got {x.type}")
    return crossed(b, x, y, place)


@array_function(view=True)
def diagonal(b: Emitter, x: Value, /, *, offset: int = 0) -> Value:
    """A diagonal of the last two axes, as the last axis."""
    return diagonals(b, x, offset)


@array_function
def trace(b: Emitter, x: Value, /, *, offset: int = 0, dtype: Any = None) -> Value:
    """Sum of a diagonal of the last two axes."""
    return summed_diagonal(b, diagonals(b, x, offset), dtype)
