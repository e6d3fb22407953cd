"""Ops that run on the host: distinct elements, dense linear algebra."""

import math
from typing import Any, ClassVar

import numpy as np

from graphwright.ir.dim import Dim, Expr, symbols
from graphwright.ir.dtype import dtype, int64, ordered
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ShapeError
from graphwright.ir.op import Cotangents, Op, Rows, Tier
from graphwright.ir.rules import check_axes, need_kind, ranked
from graphwright.ir.types import TensorType, agree


class Unique(Op):
    """The distinct elements, or slices along ``axis``, sorted or as they appear.

    Results: them, the first position of each, for each element the position of its
    equal among them, and how often each occurs. ``count`` is the symbol of how many
    there are.
    """

    name = "unique"
    tier: ClassVar[Tier] = Tier.HOST
    axis: int | None
    sorted: bool
    count: Dim

    def result_type(self, x: TensorType) -> tuple[TensorType, ...]:
        ranked(self.name, x)
        size, shape = x.size, [self.count]
        if self.axis is not None:
            check_axes(self.name, [self.axis], x.rank)
            size, shape = x.dims[self.axis], list(x.dims)
            shape[self.axis] = self.count
        found = TensorType(int64, (self.count,))
        return x.with_shape(shape), found, TensorType(int64, (size,)), found

    def defined_symbols(self) -> tuple[str, ...]:
        return tuple(symbols(self.count)) if isinstance(self.count, Expr) else ()

    def compute(self, xp: Any, x: Any) -> Any:
        x, axis = (x.reshape(-1), 0) if self.axis is None else (x, self.axis)
        moved = np.moveaxis(x, axis, 0)
        rows = moved.reshape(len(moved), math.prod(moved.shape[1:]))
        first, inverse = _distinct(rows)
        if not self.sorted:
            order = np.argsort(first, kind="stable")
            inverse = np.argsort(order, kind="stable")[inverse]
            first = first[order]
        counts = np.bincount(inverse, minlength=len(first))
        columns = (first, inverse, counts)
        kept = np.take(x, first, axis)
        return kept, *(np.asarray(v, np.int64) for v in columns)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        axis = 0 if self.axis is None else self.axis
        (x,), first, ct = operands, results[1], cotangents[0]
        flat = b.reshape(x, (x.tensor.size,)) if self.axis is None else x
        return (b.reshape(b.scatter(b.zeros_like(flat), first, ct, axis), x.shape),)


def _distinct(rows: "np.ndarray[Any, Any]") -> "tuple[Any, Any]":
    """First positions of the distinct rows, sorted, and each row's among them."""
    if len(rows) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    order = np.arange(len(rows))
    for column in rows.T[::-1]:
        order = order[np.argsort(ordered(column)[order], kind="stable")]
    line = rows[order]
    new = np.ones(len(rows), bool)
    new[1:] = (line[1:] != line[:-1]).any(axis=1)
    inverse = np.empty(len(rows), np.int64)
    inverse[order] = np.cumsum(new) - 1
    return order[new], inverse


def _square(op: Op, x: TensorType) -> None:
    ranked(op.name, x)
    need_kind(op.name, x, "fc")
    if x.rank < 2 or agree(x.dims[-1], x.dims[-2]) is None:
        raise ShapeError(f"{op.name} takes square matrices, got {x}")


class Det(Op):
    """Determinants of the matrices in the last two axes."""

    name = "det"
    tier: ClassVar[Tier] = Tier.HOST

    def result_type(self, x: TensorType) -> TensorType:
        _square(self, x)
        return x.with_shape(x.dims[:-2])

    def compute(self, xp: Any, x: Any) -> Any:
        wide = x.astype(dtype(x.dtype).accumulate.numpy, copy=False)
        return xp.asarray(xp.linalg.det(wide)).astype(x.dtype, copy=False)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (x,), (y,), (ct,) = operands, results, cotangents
        scale = b.expand_dims(b.mul(ct, y), [x.rank - 2, x.rank - 1])
        return (b.mul(_transposed(b, b.emit("inverse", x)), scale),)

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Any:
        return self.again(b, operands)


def _transposed(b: Emitter, x: Value) -> Value:
    return b.transpose(x, (*range(x.rank - 2), x.rank - 1, x.rank - 2))


class Inverse(Op):
    """Inverses of the matrices in the last two axes."""

    name = "inverse"
    tier: ClassVar[Tier] = Tier.HOST

    def result_type(self, x: TensorType) -> TensorType:
        _square(self, x)
        return TensorType(x.dtype, x.shape)

    def compute(self, xp: Any, x: Any) -> Any:
        wide = x.astype(dtype(x.dtype).accumulate.numpy, copy=False)
        try:
            return xp.linalg.inv(wide).astype(x.dtype, copy=False)
        except np.linalg.LinAlgError:
            raise ShapeError("inverse of a singular matrix") from None

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (y,), (ct,) = results, cotangents
        turned = _transposed(b, y)
        return (b.neg(b.dot(b.dot(turned, ct), turned)),)

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Any:
        return self.again(b, operands)
