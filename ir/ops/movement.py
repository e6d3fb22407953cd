"""Ops that move elements without changing them."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from graphwright.ir.dim import Dim, broadcast_dim, equal, maximum, minimum, product
from graphwright.ir.dtype import int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ShapeError, UnsupportedOpError
from graphwright.ir.op import Cotangents, Op, Rows, Tier, Trait
from graphwright.ir.rules import (
    check_axes,
    ints,
    need,
    need_sizes,
    permute_contents,
    ranked,
    same_dtype,
    small_size,
    typed,
)
from graphwright.ir.types import Contents, TensorType, agree, require

_VIEW = frozenset({Trait.VIEW})


class Movement(Op):
    """An op of one operand whose gradient is a movement too."""

    traits: ClassVar[frozenset[Trait]] = _VIEW
    ulps = 0.0

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        return (self.undo(b, operands[0], cotangents[0]),)

    def undo(self, b: Emitter, x: Value, ct: Value) -> Value:
        """The cotangent moved back."""
        raise UnsupportedOpError(f"{self.name} has no gradient rule")


class Reshape(Movement):
    """Another shape of the same elements, in C order."""

    name = "reshape"
    moves = slice(1)
    shape: tuple[Dim, ...]

    def result_type(self, x: TensorType) -> TensorType:
        ranked("reshape", x)
        need_sizes("reshape", self.shape)
        before, after = x.size, product(self.shape)
        verdict = before == after or equal(before, after)
        need(verdict is not False, "reshape of {} ({}) to {}", x, before, [*self.shape])
        if verdict is None:
            require(before, "==", after)
        return typed(x.dtype, self.shape, x.contents)

    def compute(self, xp: Any, x: Any) -> Any:
        return x.reshape(self.shape)

    def undo(self, b: Emitter, x: Value, ct: Value) -> Value:
        return b.reshape(ct, x.shape)

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        return self.again(b, operands, shape=(rows.size, *self.shape))


def _moved(op: Op, x: TensorType) -> Contents | None:
    """What is known of the elements after a movement whose fields hold no symbols."""
    if x.contents is None:
        return None
    places = np.arange(len(x.contents)).reshape(x.dims)  # type: ignore[arg-type]
    return permute_contents(x, op.compute(np, places).ravel().tolist())


class Transpose(Movement):
    """Axes in another order: axis i of the result is the operand's ``perm[i]``."""

    name = "transpose"
    moves = slice(1)
    perm: tuple[int, ...]

    def result_type(self, x: TensorType) -> TensorType:
        ranked("transpose", x)
        fits = sorted(self.perm) == list(range(x.rank))
        need(fits, "transpose: {} is no permutation of {} axes", [*self.perm], x.rank)
        shape = [x.dims[p] for p in self.perm]
        return typed(x.dtype, shape, _moved(self, x))

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.transpose(x, self.perm)

    def undo(self, b: Emitter, x: Value, ct: Value) -> Value:
        inverse = sorted(range(len(self.perm)), key=self.perm.__getitem__)
        return b.transpose(ct, inverse)

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        return self.again(b, operands, perm=(0, *(p + 1 for p in self.perm)))


def _repeats(few: Sequence[Dim], many: Sequence[Dim]) -> bool:
    """Whether sizes repeat to others from the right: each is 1, or the same.

    What is unknown becomes a guard that says so.
    """
    for have, want in zip(reversed(few), reversed(many), strict=False):
        if have in (1, want):
            continue
        if equal(have, want) is False and equal(have, 1) is False:
            return False
        require(broadcast_dim(have, want), "==", want)
    return True


class BroadcastTo(Movement):
    """NumPy's broadcasting to ``shape``: axes of size 1, and missing ones, repeat."""

    name = "broadcast_to"
    moves = slice(1)
    shape: tuple[Dim, ...]

    def result_type(self, x: TensorType) -> TensorType:
        ranked("broadcast_to", x)
        need_sizes("broadcast_to", self.shape)
        rank = len(self.shape)
        need(x.rank <= rank, "broadcast_to of {} to rank {}", x, rank)
        if not _repeats(x.dims, self.shape):
            raise ShapeError(f"broadcast_to of {x} to {list(self.shape)}")
        small = small_size(self.shape) is not None
        return typed(x.dtype, self.shape, _moved(self, x) if small else None)

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.broadcast_to(x, self.shape)

    def undo(self, b: Emitter, x: Value, ct: Value) -> Value:
        return b.sum_to(ct, x.shape)

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        (x,) = operands
        gap: tuple[Dim, ...] = (1,) * (len(self.shape) + 1 - x.rank)
        x = b.reshape(x, (rows.size, *gap, *x.shape[1:]))
        return self.again(b, [x], shape=(rows.size, *self.shape))


class SumTo(Movement):
    """Sums over the axes that ``broadcast_to`` would repeat: its transpose."""

    name = "sum_to"
    ulps = 1.0
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.REDUCTION})
    shape: tuple[Dim, ...]

    def result_type(self, x: TensorType) -> TensorType:
        ranked("sum_to", x)
        need(x.rank >= len(self.shape), f"sum_to of {x} to rank {len(self.shape)}")
        if not _repeats(self.shape, x.dims):
            raise ShapeError(f"sum_to of {x} to {list(self.shape)}")
        return x.with_shape(self.shape)

    def linear_along(self) -> tuple[tuple[int, int] | None, ...]:
        return (None,)

    def compute(self, xp: Any, x: Any) -> Any:
        lead = x.ndim - len(self.shape)
        axes = list(range(lead))
        axes += [
            i + lead for i, d in enumerate(self.shape) if d == 1 != x.shape[i + lead]
        ]
        wide = (
            xp.float32
            if x.dtype.itemsize < 4 and x.dtype.kind not in "iub"
            else x.dtype
        )
        total = xp.sum(x, axis=tuple(axes), dtype=wide, keepdims=True)
        return total.reshape(self.shape).astype(x.dtype, copy=False)

    def undo(self, b: Emitter, x: Value, ct: Value) -> Value:
        return b.broadcast_to(ct, x.shape)

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        (x,) = operands
        gap: tuple[Dim, ...] = (1,) * (x.rank - 1 - len(self.shape))
        (y,) = self.again(b, [x], shape=(rows.size, *gap, *self.shape))
        return (b.reshape(y, (rows.size, *self.shape)),)


def _index(start: Any, size: Any, step: Any) -> tuple[slice, ...]:
    """Python slices; a negative step that ends below 0 needs None as its stop."""
    rows: list[slice] = []
    for begin, count, by in zip(start, size, step, strict=True):
        if count == 0:
            rows.append(slice(0, 0, 1))
            continue
        stop = begin + count * by
        end = None if by < 0 and stop < 0 else stop
        rows.append(slice(begin, end, by))
    return tuple(rows)


class Slice(Movement):
    """From each axis ``size`` elements ``start, start + step, ...``, all in range."""

    name = "slice"
    moves = slice(1)
    start: tuple[Dim, ...]
    size: tuple[Dim, ...]
    step: tuple[Dim, ...]

    def result_type(self, x: TensorType) -> TensorType:
        ranked("slice", x)
        lengths = {len(self.start), len(self.size), len(self.step)}
        need(lengths == {x.rank}, "slice of {} with {} starts", x, len(self.start))
        for row in zip(x.dims, self.start, self.size, self.step, strict=True):
            _check_slice(x, *row)
        return typed(x.dtype, self.size, self._contents(x))

    def _contents(self, x: TensorType) -> Contents | None:
        fixed = small_size((*self.size, *self.start, *self.step)) is not None
        return _moved(self, x) if fixed else None

    def compute(self, xp: Any, x: Any) -> Any:
        return x[_index(self.start, self.size, self.step)]

    def apart(self, other: "Slice") -> bool:
        """Whether two windows of one array are known to share no element."""
        rows = zip(
            zip(self.start, self.size, self.step, strict=True),
            zip(other.start, other.size, other.step, strict=True),
            strict=True,
        )
        return any(_apart(*row, *more) for row, more in rows)

    def undo(self, b: Emitter, x: Value, ct: Value) -> Value:
        if all(s == 1 for s in self.step):
            high = [
                d - s - n
                for d, s, n in zip(x.shape, self.start, self.size, strict=True)
            ]
            return b.pad(ct, self.start, high)
        total = b.zeros_like(x)
        return b.emit("slice_add", total, ct, start=self.start, step=self.step)

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        start, step = (0, *self.start), (1, *self.step)
        return self.again(
            b, operands, start=start, size=(rows.size, *self.size), step=step
        )


def _apart(
    start: Dim, size: Dim, step: Dim, other: Dim, count: Dim, stride: Dim
) -> bool:
    """Whether two ranges of an axis are known to share no element."""
    known = [d for d in (start, size, step, other, count, stride) if isinstance(d, int)]
    if len(known) < 6:
        return False
    a, n, s, b, m, t = known
    first, second = sorted((a, a + (n - 1) * s)), sorted((b, b + (m - 1) * t))
    between = first[1] < second[0] or second[1] < first[0]
    return between or (abs(s) == abs(t) > 1 and (a - b) % s != 0)


def _check_slice(x: TensorType, dim: Dim, start: Dim, size: Dim, step: Dim) -> None:
    if not all(isinstance(d, int) for d in (dim, start, size, step)):
        require(0, "<=", size)
        if step == 1 and start == 0:
            require(size, "<=", dim)
        elif size not in (0, dim):
            _require_inside(dim, start, size, step)
        return
    last = start + (size - 1) * step
    inside = size == 0 or (0 <= start < dim and 0 <= last < dim)  # type: ignore[operator]
    fits = size >= 0 and step != 0 and inside  # type: ignore[operator]
    words = "slice of {}: {} elements from {} by {} leave the axis"
    need(fits, words, x, size, start, step)


def _require_inside(dim: Dim, start: Dim, size: Dim, step: Dim) -> None:
    """Both ends lie in the axis, or nothing is taken."""
    some = minimum(size, 1)
    for at in (start, start + (size - 1) * step):
        require(0, "<=", some * at)
        require(some * (at + 1), "<=", some * dim)


class SliceAdd(Op):
    """``x`` with ``y`` added to the strided window that ``slice`` would read."""

    name = "slice_add"
    tier: ClassVar[Tier] = Tier.COMPOSITE
    ulps = 1.0
    start: tuple[Dim, ...]
    step: tuple[Dim, ...]

    def result_type(self, x: TensorType, y: TensorType) -> TensorType:
        same_dtype("slice_add", x, y)
        need(x.rank == y.rank, f"slice_add of {y} into {x}")
        return TensorType(x.dtype, x.shape)

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        out = x.copy()
        out[_index(self.start, y.shape, self.step)] += y
        return out

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        x, y = operands
        low, high, gaps = list[Dim](), list[Dim](), list[int]()
        for axis, (start, step) in enumerate(zip(self.start, self.step, strict=True)):
            if not isinstance(step, int):
                raise UnsupportedOpError(f"{self.name} by {step} is not decomposable")
            n, gap = y.shape[axis], abs(step) - 1
            if step < 0:  # read from the other end
                y = b.flip(y, [axis])
                start = start + maximum(n - 1, 0) * step  # noqa: PLW2901
            low.append(start)
            high.append(x.shape[axis] - start - n - maximum(n - 1, 0) * gap)
            gaps.append(gap)
        return b.add(x, b.pad(y, low, high, interior=gaps))

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (ct,), y = cotangents, operands[1]
        return ct, b.slice(ct, self.start, y.shape, self.step)

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        start, step = (0, *self.start), (1, *self.step)
        return self.again(b, rows.spread(b, operands), start=start, step=step)


class Pad(Op):
    """A border of a constant (the 0-d second operand), and gaps inside.

    Negative ``low`` or ``high`` cut. ``interior`` elements go between neighbours.
    """

    name = "pad"
    ulps = 0.0
    moves = slice(2)
    low: tuple[Dim, ...]
    high: tuple[Dim, ...]
    interior: tuple[int, ...]

    def result_type(self, x: TensorType, value: TensorType) -> TensorType:
        ranked("pad", x)
        same_dtype("pad", x, value)
        need(value.shape == (), f"pad takes a 0-d value, got {value}")
        fits = len(self.low) == len(self.high) == len(self.interior) == x.rank
        need(
            fits, f"pad of {x} with {len(self.low)} low and {len(self.high)} high ends"
        )
        shape = [self._size(x.dims[i], i) for i in range(x.rank)]
        for dim in shape:
            if not isinstance(dim, int):
                require(0, "<=", dim)
            elif dim < 0:
                raise ShapeError(
                    f"pad of {x} by {self.low}, {self.high}: nothing is left"
                )
        return x.with_shape(shape)

    def _size(self, dim: Dim, i: int) -> Dim:
        inner = self.interior[i]
        gaps = maximum(dim - 1, 0) * inner if inner else 0
        return dim + gaps + self.low[i] + self.high[i]

    def compute(self, xp: Any, x: Any, value: Any) -> Any:
        if any(self.interior):
            x = _spread(xp, x, value, self.interior)
        low, high = ints(self.low), ints(self.high)
        rows = zip(x.shape, low, high, strict=True)
        sizes = [n + lo + hi for n, lo, hi in rows]
        out = xp.full(sizes, value, x.dtype)
        inner, outer = [], []
        for n, lo, size in zip(x.shape, low, sizes, strict=True):
            first = max(0, -lo)
            last = max(first, min(n, size - lo))
            inner.append(slice(first, last))
            outer.append(slice(first + lo, last + lo))
        out[tuple(outer)] = x[tuple(inner)]
        return out

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (x, value), (ct,) = operands, cotangents
        low = [-d for d in self.low]
        high = [-d for d in self.high]
        inside = b.pad(ct, low, high)
        if any(self.interior):
            step = [i + 1 for i in self.interior]
            inside = b.slice(inside, [0] * x.rank, x.shape, step)
        border = b.sub(b.sum(ct, range(ct.rank)), b.sum(inside, range(x.rank)))
        return inside, b.reshape(border, value.shape)

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        x, value = operands
        if rows.mapped[1]:
            return None
        (x,) = rows.spread(b, [x], rows.mapped[:1])
        low, high = (0, *self.low), (0, *self.high)
        interior = (0, *self.interior)
        return self.again(b, [x, value], low=low, high=high, interior=interior)


def _spread(xp: Any, x: Any, value: Any, interior: tuple[int, ...]) -> Any:
    shape = tuple(n + max(n - 1, 0) * g for n, g in zip(x.shape, interior, strict=True))
    out = xp.full(shape, value, x.dtype)
    out[tuple(slice(None, None, g + 1) for g in interior)] = x
    return out


class Concat(Op):
    """Tensors one after the other along ``axis``."""

    name = "concat"
    ulps = 0.0
    moves = slice(None)
    axis: int

    def result_type(self, *xs: TensorType) -> TensorType:
        ranked("concat", *xs)
        dtype = same_dtype("concat", *xs)
        check_axes("concat", [self.axis], xs[0].rank)
        shape = list(xs[0].dims)
        for t in xs[1:]:
            need(t.rank == len(shape), "concat of {} and {}", xs[0], t)
            for i, dim in enumerate(t.dims):
                joined = shape[i] + dim if i == self.axis else agree(shape[i], dim)
                if joined is None:
                    raise ShapeError(f"concat along {self.axis} of {xs[0]} and {t}")
                shape[i] = joined
        return typed(dtype, shape, self._contents(xs))

    def _contents(self, xs: tuple[TensorType, ...]) -> Any:
        if all(t.contents is None for t in xs):
            return None
        parts: list[Any] = []
        for t in xs:
            size = small_size(t.dims)
            if size is None:
                return None
            known = np.empty(size, object)
            known[:] = (None,) * size if t.contents is None else t.contents
            parts.append(known.reshape(t.dims))
        return tuple(np.concatenate(parts, axis=self.axis).ravel().tolist())

    def compute(self, xp: Any, *xs: Any) -> Any:
        return xp.concatenate(xs, axis=self.axis)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        sizes = [x.shape[self.axis] for x in operands]
        return b.split(cotangents[0], sizes, self.axis)

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        return self.again(b, rows.spread(b, operands), axis=self.axis + 1)


class DynamicUpdateSlice(Op):
    """``x`` with ``y`` written at ``start``, one 0-d integer operand an axis.

    Starts are clamped so that the window lies inside.
    """

    name = "dynamic_update_slice"
    ulps = 0.0
    moves = slice(2)

    def result_type(
        self, x: TensorType, y: TensorType, *start: TensorType
    ) -> TensorType:
        ranked(self.name, x, y)
        same_dtype(self.name, x, y)
        need(x.rank == y.rank == len(start), f"{self.name} of {y} into {x}")
        return TensorType(x.dtype, x.shape)

    def compute(self, xp: Any, x: Any, y: Any, *start: Any) -> Any:
        out = x.copy()
        begin = [
            min(max(int(s), 0), n - m)
            for s, n, m in zip(start, x.shape, y.shape, strict=True)
        ]
        window = (slice(s, s + m) for s, m in zip(begin, y.shape, strict=True))
        out[tuple(window)] = y
        return out

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        if any(rows.mapped[2:]):
            return None
        x, y = rows.spread(b, operands[:2], rows.mapped[:2])
        first = b.scalar(0, operands[2].dtype if operands[2:] else int64)
        return self.again(b, [x, y, first, *operands[2:]])
