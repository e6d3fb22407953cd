"""Reductions over axes, along an axis, and over windows.

Sums of floats below 32 bits run in float32 (``accumulate``) and round once.
"""

import math
import operator
from collections.abc import Callable, Sequence
from functools import reduce as fold
from typing import Any, ClassVar

import numpy as np

from graphwright.ir.dim import Dim, floordiv, maximum, minimum, product
from graphwright.ir.dtype import DType, dtype, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.op import Cotangents, Narrowing, Op, Rows, Trait
from graphwright.ir.rules import check_axes, need, need_kind, ranked, typed
from graphwright.ir.types import Contents, TensorType, require

KINDS = ("sum", "prod", "max", "min")
_UFUNC = {"sum": "add", "prod": "multiply", "max": "maximum", "min": "minimum"}
_REDUCTION = frozenset({Trait.REDUCTION})


def least(d: DType) -> Any:
    """Identity of ``max``: minus infinity, or the least value of the dtype."""
    if d.kind == "b":
        return False
    if d.is_int:
        return d.limits[0]
    return -np.inf


def greatest(d: DType) -> Any:
    """Identity of ``min``."""
    if d.kind == "b":
        return True
    if d.is_int:
        return d.limits[1]
    return np.inf


def identity(kind: str, d: DType) -> Any:
    """The element that leaves others unchanged."""
    if kind in ("sum", "prod"):
        return int(kind == "prod")
    return least(d) if kind == "max" else greatest(d)


def _check(name: str, kind: str, x: TensorType) -> None:
    ranked(name, x)
    need(kind in KINDS, f"{name} has no kind {kind}")
    need_kind(f"{name} {kind}", x, "biuf" if kind in ("max", "min") else "iufc")


_ON_DIMS: dict[str, Callable[[Sequence[Dim]], Dim]] = {
    "sum": lambda dims: fold(operator.add, dims, 0),
    "prod": product,
    "max": lambda dims: fold(maximum, dims),
    "min": lambda dims: fold(minimum, dims),
}


class Reduce(Op):
    """``sum``, ``prod``, ``max`` or ``min`` over axes, which disappear.

    Over no elements it gives the identity: 0, 1, the least or the greatest value.
    """

    name = "reduce"
    traits: ClassVar[frozenset[Trait]] = _REDUCTION
    kind: str
    axes: tuple[int, ...]

    def result_type(self, x: TensorType) -> TensorType:
        _check("reduce", self.kind, x)
        check_axes("reduce", self.axes, x.rank)
        shape = [d for i, d in enumerate(x.dims) if i not in self.axes]
        return typed(x.dtype, shape, self._contents(x))

    def narrowing(self) -> Narrowing:
        extreme = self.kind in ("max", "min")
        return Narrowing.FOLLOWS if extreme else Narrowing.KEEPS

    def error_bound(self) -> float:
        return 1.0 if self.kind in ("sum", "prod") else 0.0

    def linear_along(self) -> tuple[tuple[int, int] | None, ...]:
        return (None,) if self.kind == "sum" else ()

    def _contents(self, x: TensorType) -> Contents | None:
        if x.contents is None or x.rank != 1 or None in x.contents:
            return None
        known = [c for c in x.contents if c is not None]
        if not known and self.kind in ("max", "min"):
            return None
        return (_ON_DIMS[self.kind](known),)

    def compute(self, xp: Any, x: Any) -> Any:
        d = dtype(x.dtype)
        wide = x.astype(d.accumulate.numpy, copy=False)
        return _reduced(xp, self.kind, wide, self.axes, d).astype(x.dtype)

    def flops(self, operands: Any, results: Any) -> Dim:
        size: Dim = operands[0].size
        return size

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        return self.again(b, operands, axes=tuple(a + 1 for a in self.axes))

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (x,), (y,), (ct,) = operands, results, cotangents

        def spread(value: Value) -> Value:
            return b.broadcast_to(b.expand_dims(value, self.axes), x.shape)

        if self.kind == "sum":
            return (spread(ct),)
        if self.kind == "prod":
            return (self._prod_vjp(b, x, spread(ct)),)
        chosen = b.cast(b.eq(x, spread(y)), x.dtype)
        share = b.div(ct, b.sum(chosen, self.axes))
        return (b.mul(chosen, spread(share)),)

    def _prod_vjp(self, b: Emitter, x: Value, ct: Value) -> Value:
        """Products of the others by exclusive running products: right at zeros."""
        perm = [i for i in range(x.rank) if i not in self.axes] + list(self.axes)
        moved = b.transpose(x, perm)
        keep = moved.shape[: x.rank - len(self.axes)]
        flat = b.reshape(moved, (*keep, product(moved.shape[len(keep) :])))
        axis = len(keep)
        left = b.cumulative("prod", flat, axis, exclusive=True)
        right = b.cumulative("prod", flat, axis, exclusive=True, reverse=True)
        others = b.reshape(b.mul(left, right), moved.shape)
        inverse = sorted(range(len(perm)), key=perm.__getitem__)
        return b.mul(ct, b.transpose(others, inverse))


class ArgReduce(Op):
    """Index (int64) of the ``max`` or ``min`` along an axis; the first, or the last.

    NaN counts as the extreme, as in NumPy.
    """

    name = "arg_reduce"
    ulps = 0.0
    kind: str
    axis: int
    last: bool = False

    def result_type(self, x: TensorType) -> TensorType:
        ranked(self.name, x)
        need(self.kind in ("max", "min"), f"arg_reduce has no kind {self.kind}")
        need_kind(self.name, x, "biuf")
        check_axes(self.name, [self.axis], x.rank)
        need(x.dims[self.axis] != 0, f"arg_reduce over an empty axis of {x}")
        require(1, "<=", x.dims[self.axis])
        keep = (d for i, d in enumerate(x.dims) if i != self.axis)
        return TensorType(int64, tuple(keep))

    def compute(self, xp: Any, x: Any) -> Any:
        d = dtype(x.dtype)
        small = np.int8 if d.is_int and d.bits < 8 else d.accumulate.numpy
        x = x.astype(small, copy=False)
        x = xp.flip(x, self.axis) if self.last else x
        found = (xp.argmax if self.kind == "max" else xp.argmin)(x, axis=self.axis)
        return x.shape[self.axis] - 1 - found if self.last else found

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        return (None,)

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        return self.again(b, operands, axis=self.axis + 1)


class Cumulative(Op):
    """Running ``sum``, ``prod``, ``max`` or ``min`` along an axis.

    ``exclusive`` leaves the element itself out; ``reverse`` runs from the end.
    """

    name = "cumulative"
    kind: str
    axis: int
    exclusive: bool = False
    reverse: bool = False

    def result_type(self, x: TensorType) -> TensorType:
        _check(self.name, self.kind, x)
        check_axes(self.name, [self.axis], x.rank)
        return TensorType(x.dtype, x.shape)

    def compute(self, xp: Any, x: Any) -> Any:
        d, axis = dtype(x.dtype), self.axis
        wide = x.astype(d.accumulate.numpy, copy=False)
        wide = xp.flip(wide, axis) if self.reverse else wide
        out = _accumulated(xp, self.kind, wide, axis)
        if self.exclusive:
            out = _shifted(xp, out, axis, identity(self.kind, d))
        out = xp.flip(out, axis) if self.reverse else out
        return out.astype(x.dtype, copy=False)

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (x,), (y,), (ct,) = operands, results, cotangents
        if self.kind == "sum":
            fields = {"exclusive": self.exclusive, "reverse": not self.reverse}
            return (b.cumulative("sum", ct, self.axis, **fields),)
        square = list(x.shape)
        square.insert(self.axis, x.shape[self.axis])
        slopes = self._slopes(b, x, y, square)
        rows = b.mul(slopes, b.expand_dims(ct, [self.axis]))
        return (b.sum(b.where(self._reach(b, square), rows, 0), [self.axis + 1]),)

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        return self.again(b, operands, axis=self.axis + 1)

    def narrowing(self) -> Narrowing:
        extreme = self.kind in ("max", "min")
        return Narrowing.FOLLOWS if extreme else Narrowing.KEEPS

    def error_bound(self) -> float:
        return 1.0 if self.kind in ("sum", "prod") else 0.0

    def linear_along(self) -> tuple[tuple[int, int] | None, ...]:
        return (None,) if self.kind == "sum" else ()

    def _places(self, b: Emitter, square: Sequence[Dim]) -> tuple[Value, Value]:
        i, j = (b.iota(square, self.axis + k, int64) for k in (0, 1))
        return (j, i) if self.reverse else (i, j)

    def _reach(self, b: Emitter, square: Sequence[Dim]) -> Value:
        """Whether element i (on ``axis``) is in result j (on the next one)."""
        i, j = self._places(b, square)
        return b.lt(i, j) if self.exclusive else b.le(i, j)

    def _slopes(self, b: Emitter, x: Value, y: Value, square: Sequence[Dim]) -> Value:
        """Derivatives of results j by elements i, all of them: right at zeros too."""
        i, j = self._places(b, square)
        if self.kind == "prod":
            line = b.broadcast_to(b.expand_dims(x, [self.axis]), square)
            others = b.where(b.eq(i, j), b.scalar(1, x.dtype), line)
            fields = {"exclusive": self.exclusive, "reverse": self.reverse}
            return b.cumulative("prod", others, self.axis + 1, **fields)
        each, best = b.expand_dims(x, [self.axis + 1]), b.expand_dims(y, [self.axis])
        chosen = b.cast(b.and_(b.eq(each, best), self._reach(b, square)), x.dtype)
        return b.div(chosen, b.max(b.sum(chosen, [self.axis], keepdims=True), 1))


def _reduced(xp: Any, kind: str, x: Any, axes: tuple[int, ...], d: DType) -> Any:
    """A reduction of an array of ``d.accumulate``; over nothing, ``d``'s identity."""
    if kind in ("sum", "prod"):
        return getattr(xp, _UFUNC[kind]).reduce(x, axis=axes, dtype=x.dtype)
    if math.prod(x.shape[a] for a in axes):
        return (xp.max if kind == "max" else xp.min)(x, axis=axes)
    gone = {a % x.ndim for a in axes}
    shape = [n for i, n in enumerate(x.shape) if i not in gone]
    return xp.full(shape, identity(kind, d), x.dtype)


def _accumulated(xp: Any, kind: str, x: Any, axis: int) -> Any:
    """Running results; where only sums and products can run, by doubling steps.

    Source: Hillis and Steele, "Data Parallel Algorithms" (1986).
    """
    ufunc = getattr(xp, _UFUNC[kind])
    if xp is np or kind in ("sum", "prod"):
        return ufunc.accumulate(x, axis=axis)
    out, step = xp.moveaxis(x.copy(), axis, 0), 1
    while step < len(out):
        out[step:] = ufunc(out[step:], out[:-step])
        step *= 2
    return xp.moveaxis(out, 0, axis)


def _shifted(xp: Any, x: Any, axis: int, first: Any) -> Any:
    out = xp.empty_like(x)
    head: list[Any] = [slice(None)] * x.ndim
    tail, source = list(head), list(head)
    head[axis], tail[axis], source[axis] = slice(0, 1), slice(1, None), slice(0, -1)
    out[tuple(head)] = first
    out[tuple(tail)] = x[tuple(source)]
    return out


class Window(Op):
    """A reduction over sliding windows of the last axes.

    ``padding`` has (low, high) for each window axis, with the identity as its value.
    """

    window: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: tuple[tuple[Dim, Dim], ...]

    def window_shape(self, x: TensorType) -> tuple[Dim, ...]:
        """Shape of the result."""
        ranked(self.name, x)
        n = len(self.window)
        fits = n == len(self.strides) == len(self.dilations) == len(self.padding)
        need(fits and n <= x.rank, f"{self.name} of {x} over {n} axes")
        lead = x.rank - n
        sizes = [self._size(x.dims[lead + i], i) for i in range(n)]
        return (*x.dims[:lead], *sizes)

    def _size(self, dim: Dim, i: int) -> Dim:
        low, high = self.padding[i]
        reach = (self.window[i] - 1) * self.dilations[i] + 1
        size = floordiv(dim + low + high - reach, self.strides[i]) + 1
        if isinstance(size, int):
            need(size >= 0, f"{self.name}: a window of {reach} leaves an axis of {dim}")
        else:
            require(0, "<=", size)
        return size

    def windows(self, xp: Any, x: Any, fill: Any) -> Any:
        """A view (of a padded copy) with the window's axes last."""
        n = len(self.window)
        if any(low or high for low, high in self.padding):
            pads = [(0, 0)] * (x.ndim - n) + list(self.padding)
            x = _padded(xp, x, pads, fill)
        reach = [
            (w - 1) * d + 1 for w, d in zip(self.window, self.dilations, strict=True)
        ]
        axes = tuple(range(x.ndim - n, x.ndim))
        if any(r > x.shape[a] for r, a in zip(reach, axes, strict=True)):
            lines = zip(x.shape[x.ndim - n :], reach, self.strides, strict=True)
            sizes = [max((size - r) // s + 1, 0) for size, r, s in lines]
            return xp.zeros((*x.shape[: x.ndim - n], *sizes, *self.window), x.dtype)
        view = xp.lib.stride_tricks.sliding_window_view(x, reach, axis=axes)
        steps: list[Any] = [slice(None)] * (x.ndim - n)
        steps += [slice(None, None, s) for s in self.strides]
        steps += [slice(None, None, d) for d in self.dilations]
        return view[tuple(steps)]

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        return self.again(b, operands)

    def _no_windows(self, xp: Any, x: Any, reach: list[int]) -> Any:
        """What ``windows`` gives where one reaches beyond its whole axis."""
        n = len(self.window)
        rows = zip(x.shape[x.ndim - n :], reach, self.strides, strict=True)
        sizes = [max((size - r) // step + 1, 0) for size, r, step in rows]
        return xp.zeros((*x.shape[: x.ndim - n], *sizes, *self.window), x.dtype)


def _padded(xp: Any, x: Any, pads: Any, fill: Any) -> Any:
    keep = tuple(
        slice(max(0, -low), n - max(0, -high))
        for (low, high), n in zip(pads, x.shape, strict=True)
    )
    x = x[keep]
    grown = [(max(0, low), max(0, high)) for low, high in pads]
    shape = [n + low + high for n, (low, high) in zip(x.shape, grown, strict=True)]
    out = xp.full(shape, fill, x.dtype)
    inner = (slice(low, low + n) for (low, _), n in zip(grown, x.shape, strict=True))
    out[tuple(inner)] = x
    return out


class ReduceWindow(Window):
    """``sum``, ``prod``, ``max`` or ``min`` over sliding windows of the last axes."""

    name = "reduce_window"
    traits: ClassVar[frozenset[Trait]] = _REDUCTION
    kind: str

    def result_type(self, x: TensorType) -> TensorType:
        _check(self.name, self.kind, x)
        return x.with_shape(self.window_shape(x))

    def compute(self, xp: Any, x: Any) -> Any:
        d = dtype(x.dtype)
        wide = x.astype(d.accumulate.numpy, copy=False)
        view = self.windows(xp, wide, identity(self.kind, d))
        axes = tuple(range(-len(self.window), 0))
        return _reduced(xp, self.kind, view, axes, d).astype(x.dtype, copy=False)

    def narrowing(self) -> Narrowing:
        extreme = self.kind in ("max", "min")
        return Narrowing.FOLLOWS if extreme else Narrowing.KEEPS

    def error_bound(self) -> float:
        return 1.0 if self.kind in ("sum", "prod") else 0.0

    def linear_along(self) -> tuple[tuple[int, int] | None, ...]:
        return (None,) if self.kind == "sum" else ()

    def flops(self, operands: Any, results: Any) -> Dim:
        return product((results[0].size, *self.window))


class WindowArgmax(Window):
    """Position of each window's maximum in its flattened window axes (int64).

    The first of several; padding is never chosen unless a window holds nothing else.
    Positions count in the unpadded axes, C order.
    """

    name = "window_argmax"
    ulps = 0.0

    def result_type(self, x: TensorType) -> TensorType:
        _check(self.name, "max", x)
        return TensorType(int64, self.window_shape(x))

    def compute(self, xp: Any, x: Any) -> Any:
        n = len(self.window)
        wide = x.astype(dtype(x.dtype).accumulate.numpy, copy=False)
        view = self.windows(xp, wide, least(dtype(x.dtype)))
        shape = x.shape[x.ndim - n :]
        at = xp.arange(math.prod(shape), dtype=np.int64).reshape(shape)
        places = self.windows(xp, at, -1)
        taps = math.prod(self.window)
        flat = view.reshape(*view.shape[: x.ndim], taps)
        inside = places.reshape(*places.shape[:n], taps) >= 0
        lowest = flat == least(dtype(x.dtype))
        best = xp.argmax(flat, axis=-1)
        only = xp.argmax(xp.broadcast_to(inside, flat.shape) & lowest, axis=-1)
        best = xp.where(lowest.all(axis=-1), only, best)
        spots = xp.broadcast_to(places.reshape(*places.shape[:n], taps), flat.shape)
        return xp.take_along_axis(spots, best[..., None], -1)[..., 0]
