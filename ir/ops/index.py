"""Reading and writing at computed positions, and sorting.

Indices must lie in ``[0, size)``: frontends resolve negative ones.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from graphwright.ir.dim import Dim, Expr, symbols
from graphwright.ir.dtype import dtype, int64, ordered
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import IndexBoundsError
from graphwright.ir.op import Cotangents, Op, Rows, Tier, Trait
from graphwright.ir.rules import check_axes, need, need_kind, ranked, same_dtype, typed
from graphwright.ir.types import Contents, TensorType, agree_shapes

MODES = ("set", "add", "mul", "min", "max")


def check_bounds(name: str, indices: Any, size: int) -> None:
    """Raises IndexBoundsError if an index lies outside ``[0, size)``."""
    if indices.size == 0:
        return
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= size:
        bad = low if low < 0 else high
        raise IndexBoundsError(f"{name}: index {bad} is outside an axis of size {size}")


def _take_shape(op: Any, x: TensorType, indices: TensorType) -> tuple[Dim, ...]:
    ranked(op.name, x, indices)
    need_kind(f"{op.name}'s indices", indices, "iu")
    axis, batch = op.axis, op.batch_dims
    check_axes(op.name, [axis], x.rank)
    need(0 <= batch <= min(axis, indices.rank), f"{op.name}: batch_dims {batch}")
    lead = agree_shapes(x.dims[:batch], indices.dims[:batch])
    need(lead is not None, f"{op.name} of {x} at {indices}: batch axes differ")
    return (*x.dims[:axis], *indices.dims[batch:], *x.dims[axis + 1 :])


class Gather(Op):
    """``numpy.take(x, indices, axis)``; the first ``batch_dims`` axes go in step.

    x: ``B + P + [n] + S``, indices: ``B + I`` -> ``B + P + I + S``.
    """

    name = "gather"
    ulps = 0.0
    moves = slice(1)
    axis: int
    batch_dims: int = 0

    def result_type(self, x: TensorType, indices: TensorType) -> TensorType:
        shape = _take_shape(self, x, indices)
        return typed(x.dtype, shape, self._contents(x, indices))

    def _contents(self, x: TensorType, indices: TensorType) -> Contents | None:
        if x.contents is None or indices.contents is None or x.rank != 1:
            return None
        found: list[Dim | None] = []
        for i in indices.contents:
            if not isinstance(i, int) or not 0 <= i < len(x.contents):
                return None
            found.append(x.contents[i])
        return tuple(found)

    def compute(self, xp: Any, x: Any, indices: Any) -> Any:
        check_bounds("gather", indices, x.shape[self.axis])
        if self.batch_dims == 0:
            return xp.take(x, indices, axis=self.axis)
        return x[_batched_index(xp, x, indices, self.axis, self.batch_dims)]

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (x, indices), (ct,) = operands, cotangents
        zeros = b.zeros_like(x)
        return b.scatter(zeros, indices, ct, self.axis, "add", self.batch_dims), None

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        (x, indices), axis = operands, self.axis
        if rows.mapped == (True, False) and not self.batch_dims:
            return self.again(b, operands, axis=axis + 1)
        if rows.mapped == (False, True) and not self.batch_dims:
            (y,) = self.again(b, operands)
            return (b.transpose(y, [axis, *(i for i in range(y.rank) if i != axis)]),)
        fields = {"axis": axis + 1, "batch_dims": self.batch_dims + 1}
        return self.again(b, rows.spread(b, [x, indices]), **fields)


def _batched_index(xp: Any, x: Any, indices: Any, axis: int, batch: int) -> Any:
    """Advanced index of ``gather``'s result into ``x``, all axes explicit."""
    inner = indices.ndim - batch
    rank = x.ndim + inner - 1
    rows: list[Any] = []
    for i, n in enumerate(x.shape):
        at = i if i < axis else i + inner - 1
        if i == axis:
            prefix = (1,) * (axis - batch)
            tail = (1,) * (x.ndim - axis - 1)
            shape = indices.shape[:batch] + prefix + indices.shape[batch:] + tail
            rows.append(indices.reshape(shape))
        else:
            shape = [1] * rank
            shape[at] = n
            rows.append(xp.arange(n).reshape(shape))
    return tuple(rows)


_SCATTER = {"add": "add", "mul": "multiply", "min": "minimum", "max": "maximum"}


def _combined(xp: Any, x: Any, where: Any, updates: Any, mode: str) -> Any:
    """A copy of ``x`` with updates combined in at an advanced index."""
    if mode == "set":
        if xp is not np:
            return _set_in_turn(xp, x, where, updates)
        out = x.copy()
        # NumPy writes in the order of memory, so that "last" needs C order.
        places = tuple(xp.ascontiguousarray(i).reshape(i.shape) for i in where)
        out[places] = xp.ascontiguousarray(updates).reshape(updates.shape)
        return out
    out = x.astype(dtype(x.dtype).accumulate.numpy)
    updates = updates.astype(out.dtype, copy=False)
    try:
        getattr(xp, _SCATTER[mode]).at(out, where, updates)
    except (NotImplementedError, TypeError):  # CuPy: no products, not every dtype
        out = _combined_in_turn(xp, out, where, updates, mode)
    return out.astype(x.dtype, copy=False)


def _flat(xp: Any, x: Any, where: Any, updates: Any) -> tuple[Any, Any, Any]:
    """A copy of ``x``, the positions of an advanced index and the updates, all 1-d."""
    places = xp.zeros((), np.int64)
    for index, n in zip(where, x.shape, strict=True):
        places = places * n + index
    places = xp.broadcast_to(places, updates.shape).ravel()
    return x.copy().ravel(), places, updates.ravel()


def _set_in_turn(xp: Any, x: Any, where: Any, updates: Any) -> Any:
    """The last of several updates wins, where CuPy promises no order."""
    flat, places, updates = _flat(xp, x, where, updates)
    _, last = xp.unique(xp.flip(places), return_index=True)
    last = places.size - 1 - last
    flat[places[last]] = updates[last]
    return flat.reshape(x.shape)


def _combined_in_turn(xp: Any, x: Any, where: Any, updates: Any, mode: str) -> Any:
    """``ufunc.at`` by rounds, in each of which no two updates meet."""
    combine = getattr(xp, _SCATTER[mode])
    flat, places, updates = _flat(xp, x, where, updates)
    while places.size:
        _, first = xp.unique(places, return_index=True)
        now = places[first]
        flat[now] = combine(flat[now], updates[first])
        rest = xp.ones(places.shape, np.bool_)
        rest[first] = False
        places, updates = places[rest], updates[rest]
    return flat.reshape(x.shape)


class Scatter(Op):
    """``x`` with updates combined in at the positions that ``gather`` would read.

    With ``set`` the last of several updates of one element wins.
    """

    name = "scatter"
    axis: int
    mode: str = "set"
    batch_dims: int = 0

    def result_type(
        self, x: TensorType, indices: TensorType, updates: TensorType
    ) -> TensorType:
        need(self.mode in MODES, f"scatter has no mode {self.mode}")
        same_dtype("scatter", x, updates)
        shape = _take_shape(self, x, indices)
        fits = updates.shape is not None and agree_shapes(shape, updates.shape)
        need(fits is not None and fits is not False, f"scatter of {updates} into {x}")
        return typed(x.dtype, x.dims, self._contents(x, indices, updates))

    def _contents(
        self, x: TensorType, indices: TensorType, updates: TensorType
    ) -> Contents | None:
        if x.contents is None or indices.contents is None or self.mode != "set":
            return None
        if x.rank != 1 or updates.contents is None:
            return None
        found = list(x.contents)
        for i, item in zip(indices.contents, updates.contents, strict=True):
            if not isinstance(i, int) or not 0 <= i < len(found):
                return None
            found[i] = item
        return tuple(found)

    def compute(self, xp: Any, x: Any, indices: Any, updates: Any) -> Any:
        check_bounds("scatter", indices, x.shape[self.axis])
        where = _batched_index(xp, x, indices, self.axis, self.batch_dims)
        return _combined(xp, x, where, updates, self.mode)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (_, indices, updates), (ct,) = operands, cotangents
        taken = b.gather(ct, indices, self.axis, self.batch_dims)
        if self.mode == "add":
            return ct, None, taken
        if self.mode == "set":
            zeros, at = b.zeros_like(updates), self.axis
            hole = b.scatter(ct, indices, zeros, at, batch_dims=self.batch_dims)
            return hole, None, taken
        return super().vjp(b, operands, results, cotangents)

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        fields = {"axis": self.axis + 1, "batch_dims": self.batch_dims + 1}
        return self.again(b, rows.spread(b, operands), **fields)


class TakeAlongAxis(Op):
    """``numpy.take_along_axis``: indices have the operand's rank."""

    name = "take_along_axis"
    ulps = 0.0
    tier = Tier.COMPOSITE
    axis: int

    def result_type(self, x: TensorType, indices: TensorType) -> TensorType:
        ranked(self.name, x, indices)
        need_kind(f"{self.name}'s indices", indices, "iu")
        check_axes(self.name, [self.axis], x.rank)
        need(x.rank == indices.rank, f"{self.name} of {x} at {indices}")
        return x.with_shape(indices.dims)

    def compute(self, xp: Any, x: Any, indices: Any) -> Any:
        check_bounds(self.name, indices, x.shape[self.axis])
        grid = list(xp.ix_(*(xp.arange(n) for n in indices.shape)))
        grid[self.axis] = indices
        return x[tuple(grid)]

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        x, indices = operands
        flat = flat_positions(b, x, indices, self.axis)
        return b.gather(b.reshape(x, (x.tensor.size,)), flat, 0)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (x, indices), (ct,) = operands, cotangents
        flat = flat_positions(b, x, indices, self.axis)
        zeros = b.full((x.tensor.size,), 0, x.dtype)
        return b.reshape(b.scatter(zeros, flat, ct, 0, "add"), x.shape), None

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        return self.again(b, rows.spread(b, operands), axis=self.axis + 1)


class ScatterAlongAxis(Op):
    """``x`` with updates combined in at what ``take_along_axis`` would read.

    With ``set`` the last of several updates of one element wins.
    """

    name = "scatter_along_axis"
    tier = Tier.COMPOSITE
    axis: int
    mode: str = "set"

    def result_type(
        self, x: TensorType, indices: TensorType, updates: TensorType
    ) -> TensorType:
        ranked(self.name, x, indices, updates)
        same_dtype(self.name, x, updates)
        need_kind(f"{self.name}'s indices", indices, "iu")
        need(self.mode in MODES, f"{self.name} has no mode {self.mode}")
        check_axes(self.name, [self.axis], x.rank)
        fits = agree_shapes(indices.dims, updates.dims) is not None
        need(fits and x.rank == indices.rank, f"{self.name} of {updates} at {indices}")
        return TensorType(x.dtype, x.shape)

    def compute(self, xp: Any, x: Any, indices: Any, updates: Any) -> Any:
        check_bounds(self.name, indices, x.shape[self.axis])
        grid = list(xp.ix_(*(xp.arange(n) for n in indices.shape)))
        grid[self.axis] = indices
        return _combined(xp, x, tuple(grid), updates, self.mode)

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        x, indices, updates = operands
        flat = flat_positions(b, x, indices, self.axis)
        line = b.reshape(x, (x.tensor.size,))
        return b.reshape(b.scatter(line, flat, updates, 0, self.mode), x.shape)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (_, indices, updates), (ct,) = operands, cotangents
        if self.mode not in ("set", "add"):
            return super().vjp(b, operands, results, cotangents)
        taken = b.take_along_axis(ct, indices, self.axis)
        if self.mode == "set":
            zeros = b.zeros_like(updates)
            ct = b.emit(self.name, ct, indices, zeros, axis=self.axis, mode="set")
        return ct, None, taken

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        return self.again(b, rows.spread(b, operands), axis=self.axis + 1)


def flat_positions(b: Emitter, x: Value, indices: Value, axis: int) -> Value:
    """Positions in ``x`` flattened that ``take_along_axis`` reads."""
    stride: Dim = 1
    total = b.full(indices.shape, 0, int64)
    for i in reversed(range(x.rank)):
        along = b.cast(indices, int64) if i == axis else b.iota(indices.shape, i, int64)
        total = b.add(total, b.mul(along, b.dim_scalar(stride, int64)))
        stride = stride * x.shape[i]
    return total


class NonZero(Op):
    """Positions of the elements that are not zero: int64[rank, count], in C order.

    ``count`` is the symbol that the op defines.
    """

    name = "nonzero"
    ulps = 0.0
    count: Dim

    def result_type(self, x: TensorType) -> TensorType:
        ranked("nonzero", x)
        return TensorType(int64, (x.rank, self.count))

    def defined_symbols(self) -> tuple[str, ...]:
        return tuple(symbols(self.count)) if isinstance(self.count, Expr) else ()

    def compute(self, xp: Any, x: Any) -> Any:
        if x.ndim == 0:
            return xp.zeros((0, int(x != 0)), np.int64)
        at = xp.flatnonzero(x.astype(bool, copy=False)).astype(np.int64, copy=False)
        if x.ndim == 1:
            return at.reshape(1, -1)
        rows = xp.empty((x.ndim, at.size), np.int64)
        for axis in range(x.ndim - 1, 0, -1):  # in half the time of `nonzero`
            rest = at // x.shape[axis]
            xp.subtract(at, rest * x.shape[axis], out=rows[axis])
            at = rest
        rows[0] = at
        return rows

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        return (None,)


class Sort(Op):
    """Stable sort along ``axis`` and its permutation (int64); NaN counts as largest."""

    name = "sort"
    ulps = 0.0
    axis: int
    descending: bool = False
    traits: ClassVar[frozenset[Trait]] = frozenset()

    def result_type(self, x: TensorType) -> tuple[TensorType, TensorType]:
        ranked("sort", x)
        check_axes("sort", [self.axis], x.rank)
        return TensorType(x.dtype, x.shape), TensorType(int64, x.shape)

    def compute(self, xp: Any, x: Any) -> Any:
        key = ordered(x)
        if self.descending:  # stable descending: sort the mirror image, mirror back
            key = xp.flip(key, self.axis)
        order = xp.argsort(key, axis=self.axis, kind="stable")
        if self.descending:
            order = x.shape[self.axis] - 1 - xp.flip(order, self.axis)
        order = order.astype(np.int64, copy=False)
        return xp.take_along_axis(x, order, self.axis), order

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (x,), (_, order), (ct, _none) = operands, results, cotangents
        flat = flat_positions(b, x, order, self.axis)
        zeros = b.full((x.tensor.size,), 0, x.dtype)
        return (b.reshape(b.scatter(zeros, flat, ct, 0, "add"), x.shape),)

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        return self.again(b, operands, axis=self.axis + 1)
