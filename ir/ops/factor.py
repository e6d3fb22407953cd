"""Matrix factorisations and linear systems over the last two axes, on the host."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from graphwright.ir.dim import Dim, minimum
from graphwright.ir.dtype import DTYPES, DType, dtype
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ShapeError
from graphwright.ir.op import Cotangents, Op, Rows, Tier
from graphwright.ir.rules import need, need_kind, ranked, same_dtype
from graphwright.ir.types import TensorType, agree, agree_shapes


class MatrixError(ShapeError, np.linalg.LinAlgError):
    """A matrix for which a factorisation or a solution does not exist."""


def real_of(d: DType) -> DType:
    """The dtype of a number's magnitude."""
    return DTYPES[f"float{d.bits // 2}"] if d.kind == "c" else d


def complex_of(d: DType) -> DType:
    """The complex dtype that holds a dtype's numbers."""
    return d if d.kind == "c" else DTYPES[f"complex{2 * max(d.bits, 32)}"]


class Factor(Op):
    """An op on a stack of matrices that LAPACK computes in at least 32 bits."""

    tier: ClassVar[Tier] = Tier.HOST
    square: ClassVar[bool] = True

    def matrix(self, x: TensorType) -> tuple[tuple[Dim, ...], Dim, Dim]:
        """Leading axes, rows and columns of the operand."""
        ranked(self.name, x)
        need_kind(self.name, x, "fc")
        need(x.rank >= 2, f"{self.name} takes matrices, got {x}")
        *lead, rows, columns = x.dims
        if self.square and agree(rows, columns) is None:
            raise ShapeError(f"{self.name} takes square matrices, got {x}")
        return tuple(lead), rows, columns

    def compute(self, xp: Any, *operands: Any) -> Any:
        first, *_ = operands
        wide = dtype(first.dtype).accumulate.numpy
        try:
            found = self.factor(xp, *(x.astype(wide, copy=False) for x in operands))
        except np.linalg.LinAlgError as error:
            raise MatrixError(f"{self.name}: {error}") from None
        types = self.result_type(*(_type_of(x) for x in operands))
        if isinstance(types, tuple):
            pairs = zip(found, types, strict=True)
            return tuple(xp.asarray(y).astype(t.dtype.numpy) for y, t in pairs)  # type: ignore[union-attr]
        return xp.asarray(found).astype(types.dtype.numpy)  # type: ignore[union-attr]

    def factor(self, xp: Any, *operands: Any) -> Any:
        """The results on arrays of at least 32 bits."""
        raise NotImplementedError

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        return self.again(b, rows.spread(b, operands))


def _type_of(x: Any) -> TensorType:
    return TensorType(dtype(x.dtype), tuple(x.shape))


def _turned(b: Emitter, x: Value) -> Value:
    """The conjugate transpose."""
    y = b.transpose(x, (*range(x.rank - 2), x.rank - 1, x.rank - 2))
    if x.dtype.kind != "c":
        return y
    real, imag = (b.emit("complex_part", y, part=p) for p in ("real", "imag"))
    return b.emit("complex", real, b.neg(imag))


class Cholesky(Factor):
    """Lower triangular ``L`` with ``L L^H = x``, from the lower triangle of ``x``."""

    name = "cholesky"

    def result_type(self, x: TensorType) -> TensorType:
        self.matrix(x)
        return TensorType(x.dtype, x.shape)

    def factor(self, xp: Any, *operands: Any) -> Any:
        return xp.linalg.cholesky(*operands)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        """Murray, "Differentiation of the Cholesky decomposition" (2016), (9)."""
        (low,), (ct,) = results, cotangents
        half = _lower_half(b, b.dot(_turned(b, low), ct))
        inverse = b.emit("inverse", low)
        inner = b.dot(b.dot(_turned(b, inverse), half), inverse)
        return (b.mul(b.add(inner, _turned(b, inner)), 0.5),)


def _lower_half(b: Emitter, x: Value) -> Value:
    """The lower triangle with its diagonal halved."""
    rows, columns = (b.iota(x.shape, x.rank - k, DTYPES["int64"]) for k in (2, 1))
    diagonal = b.where(b.eq(rows, columns), b.mul(x, 0.5), x)
    return b.where(b.lt(rows, columns), b.zeros_like(x), diagonal)


class Solve(Factor):
    """``x`` of ``a x = y``: ``a`` is ``[..., n, n]``, ``y`` is ``[..., n, k]``."""

    name = "solve"

    def result_type(self, a: TensorType, y: TensorType) -> TensorType:
        lead, n, _ = self.matrix(a)
        same_dtype(self.name, a, y)
        fits = y.shape is not None and agree_shapes((*lead, n), y.dims[:-1]) is not None
        need(fits, f"solve of {a} and {y}: sizes do not fit")
        return TensorType(y.dtype, y.shape)

    def factor(self, xp: Any, *operands: Any) -> Any:
        return xp.linalg.solve(*operands)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (a, _), (x,), (ct,) = operands, results, cotangents
        dy = b.emit("solve", _turned(b, a), ct)
        return b.neg(b.dot(dy, _turned(b, x))), dy


class SignLogDet(Factor):
    """Sign and natural logarithm of the magnitude of the determinant."""

    name = "slogdet"

    def result_type(self, x: TensorType) -> tuple[TensorType, ...]:
        lead, _, _ = self.matrix(x)
        return TensorType(x.dtype, lead), TensorType(real_of(x.dtype), lead)

    def factor(self, xp: Any, *operands: Any) -> Any:
        return tuple(xp.linalg.slogdet(*operands))

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (x,), ct = operands, cotangents[1]
        scale = b.expand_dims(b.cast(ct, x.dtype), [x.rank - 2, x.rank - 1])
        return (b.mul(_turned(b, b.emit("inverse", x)), scale),)


class Qr(Factor):
    """Orthonormal ``Q`` and upper triangular ``R`` with ``Q R = x``.

    ``complete`` makes ``Q`` square; else it has ``min(rows, columns)`` columns.
    """

    name = "qr"
    square = False
    complete: bool = False

    def result_type(self, x: TensorType) -> tuple[TensorType, ...]:
        lead, rows, columns = self.matrix(x)
        k = rows if self.complete else minimum(rows, columns)
        return x.with_shape((*lead, rows, k)), x.with_shape((*lead, k, columns))

    def factor(self, xp: Any, *operands: Any) -> Any:
        mode = "complete" if self.complete else "reduced"
        return tuple(xp.linalg.qr(*operands, mode=mode))


class Svd(Factor):
    """``U``, singular values in descending order, ``V^H`` with ``U S V^H = x``.

    ``full`` makes ``U`` and ``V^H`` square.
    """

    name = "svd"
    square = False
    full: bool = False

    def result_type(self, x: TensorType) -> tuple[TensorType, ...]:
        lead, rows, columns = self.matrix(x)
        k = minimum(rows, columns)
        m, n = (rows, columns) if self.full else (k, k)
        values = TensorType(real_of(x.dtype), (*lead, k))
        return x.with_shape((*lead, rows, m)), values, x.with_shape((*lead, n, columns))

    def factor(self, xp: Any, *operands: Any) -> Any:
        return tuple(xp.linalg.svd(*operands, full_matrices=self.full))


class SingularValues(Factor):
    """Singular values in descending order."""

    name = "singular_values"
    square = False

    def result_type(self, x: TensorType) -> TensorType:
        lead, rows, columns = self.matrix(x)
        return TensorType(real_of(x.dtype), (*lead, minimum(rows, columns)))

    def factor(self, xp: Any, *operands: Any) -> Any:
        return xp.linalg.svd(*operands, compute_uv=False)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (x,), (ct,) = operands, cotangents
        u, _, vh = b.emit_all("svd", x)
        scaled = b.mul(u, b.cast(b.expand_dims(ct, [ct.rank - 1]), x.dtype))
        return (b.dot(scaled, vh),)


class Eigh(Factor):
    """Ascending eigenvalues and orthonormal eigenvectors of Hermitian matrices.

    Only one triangle is read: the upper one with ``upper``.
    """

    name = "eigh"
    upper: bool = False

    def result_type(self, x: TensorType) -> tuple[TensorType, ...]:
        lead, n, _ = self.matrix(x)
        values = TensorType(real_of(x.dtype), (*lead, n))
        return values, TensorType(x.dtype, x.shape)

    def factor(self, xp: Any, *operands: Any) -> Any:
        return tuple(xp.linalg.eigh(*operands, UPLO="U" if self.upper else "L"))

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        """Giles, "Collected matrix derivative results" (2008), section 3.1."""
        (values, vectors), (ct_values, ct_vectors) = results, cotangents
        last = vectors.rank - 1
        down = b.expand_dims(values, [last])
        across = b.expand_dims(values, [last - 1])
        gap = b.sub(across, down)
        same = b.eq(gap, 0)
        inverse = b.where(same, 0, b.div(1, b.where(same, 1, gap)))
        turned = _turned(b, vectors)
        inner = b.mul(b.cast(inverse, vectors.dtype), b.dot(turned, ct_vectors))
        rows, columns = (
            b.iota(vectors.shape, last - k, DTYPES["int64"]) for k in (1, 0)
        )
        spread = b.broadcast_to(b.expand_dims(ct_values, [last]), vectors.shape)
        inner = b.where(b.eq(rows, columns), b.cast(spread, vectors.dtype), inner)
        return (b.dot(b.dot(vectors, inner), turned),)


class Eig(Factor):
    """Eigenvalues and right eigenvectors of square matrices; complex."""

    name = "eig"

    def result_type(self, x: TensorType) -> tuple[TensorType, ...]:
        lead, n, _ = self.matrix(x)
        found = complex_of(x.dtype)
        return TensorType(found, (*lead, n)), TensorType(found, x.shape)

    def factor(self, xp: Any, *operands: Any) -> Any:
        return tuple(xp.linalg.eig(*operands))
