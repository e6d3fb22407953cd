"""Contractions: matrix product and convolution.

Products accumulate in ``dtype.accumulate`` (float32 for floats below 32 bits) and
round once; integers are exact modulo their width.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from graphwright.ir.dim import Dim, evaluate, floordiv, product
from graphwright.ir.dtype import DType, dtype
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ShapeError
from graphwright.ir.op import Cotangents, Narrowing, Op, Rows, Tier, Trait
from graphwright.ir.rules import need, need_kind, ranked, same_dtype
from graphwright.ir.types import TensorType, agree, agree_shapes, require

_REDUCTION = frozenset({Trait.REDUCTION})


def _result(accumulate: "DType | None", x: TensorType) -> DType:
    return x.dtype if accumulate is None else accumulate


class Dot(Op):
    """Matrix product of ``[..., m, k]`` and ``[..., k, n]`` with equal leading axes.

    ``dtype`` is that of the result and the sums where it is wider than the operands'
    (int8 products in int32); None means the operands' own.
    """

    name = "dot"
    narrow = Narrowing.GAINS
    traits: ClassVar[frozenset[Trait]] = _REDUCTION
    dtype: DType | None = None

    def result_type(self, x: TensorType, y: TensorType) -> TensorType:
        ranked("dot", x, y)
        if self.dtype is None:
            same_dtype("dot", x, y)
        need_kind("dot", x, "iufc")
        lead = None
        if x.rank == y.rank >= 2:
            lead = agree_shapes(x.dims[:-2], y.dims[:-2])
        if lead is None or agree(x.dims[-1], y.dims[-2]) is None:
            raise ShapeError(f"dot of {x} and {y}: sizes do not fit")
        return TensorType(_result(self.dtype, x), (*lead, x.dims[-2], y.dims[-1]))

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        wide, out = self._wide(x)
        return xp.matmul(x.astype(wide, copy=False), y.astype(wide, copy=False)).astype(
            out, copy=False
        )

    def _wide(self, x: Any) -> tuple[Any, Any]:
        own = dtype(x.dtype)
        if self.dtype is not None:
            return self.dtype.accumulate.numpy, self.dtype.numpy
        return own.accumulate.numpy, own.numpy

    def linear_along(self) -> tuple[tuple[int, int] | None, ...]:
        return (-2, -2), (-1, -1)

    def flops(self, operands: Any, results: Any) -> Dim:
        return product((2, results[0].size, operands[0].dims[-1]))

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (x, y), (ct,) = operands, cotangents
        return b.dot(ct, _swap(b, y)), b.dot(_swap(b, x), ct)

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        (x, y), n = operands, rows.size
        if rows.mapped == (True, False) and y.rank == 2:  # one product of all rows
            flat = b.reshape(x, (n * x.shape[1], x.shape[2]))
            (z,) = self.again(b, [flat, y])
            return (b.reshape(z, (n, x.shape[1], y.shape[1])),)
        return self.again(b, rows.spread(b, operands))


def _swap(b: Emitter, x: Value) -> Value:
    perm = list(range(x.rank))
    perm[-2:] = perm[-1], perm[-2]
    return b.transpose(x, perm)


class Conv(Op):
    """Cross-correlation of ``[N, C, *spatial]`` and ``[M, C / groups, *kernel]``.

    ``padding`` has (low, high) for each spatial axis, negative ones cut.
    ``lhs_dilation`` puts gaps into the first operand, ``rhs_dilation`` into the kernel.
    n elements with gaps reach over ``(n - 1) * gap + 1``, of n = 0 too: so it is the
    transpose of its gradient at all sizes.
    ``batch_groups`` splits N as the gradient of a grouped convolution needs it.
    ``dtype`` as in ``dot``.
    """

    name = "conv"
    narrow = Narrowing.GAINS
    traits: ClassVar[frozenset[Trait]] = _REDUCTION
    growth = 6.0  # Winograd's F(4x4, 3x3)
    strides: tuple[int, ...]
    padding: tuple[tuple[Dim, Dim], ...]
    lhs_dilation: tuple[int, ...]
    rhs_dilation: tuple[int, ...]
    groups: int = 1
    batch_groups: int = 1
    dtype: DType | None = None

    def result_type(self, x: TensorType, w: TensorType) -> TensorType:
        ranked("conv", x, w)
        if self.dtype is None:
            same_dtype("conv", x, w)
        n = len(self.strides)
        need(x.rank == w.rank == n + 2, f"conv of {x} with {w} over {n} axes")
        n_in = agree(x.dims[1], w.dims[1] * self.groups)
        if n_in is None:
            raise ShapeError(f"conv of {x} with {w} in {self.groups} groups: channels")
        for m, parts in ((w.dims[0], self.groups), (w.dims[0], self.batch_groups)):
            need(parts > 0, f"conv: {parts} groups")
            if isinstance(m, int):
                need(m % parts == 0, f"conv: {m} filters do not split into {parts}")
        sizes = [self._size(x.dims[i + 2], w.dims[i + 2], i) for i in range(n)]
        batch = floordiv(x.dims[0], self.batch_groups)
        return TensorType(_result(self.dtype, x), (batch, w.dims[0], *sizes))

    def _size(self, dim: Dim, kernel: Dim, i: int) -> Dim:
        low, high = self.padding[i]
        spread = (dim - 1) * self.lhs_dilation[i] + 1
        reach = (kernel - 1) * self.rhs_dilation[i] + 1
        size = floordiv(spread + low + high - reach, self.strides[i]) + 1
        if isinstance(size, int):
            need(size >= 0, f"conv: a kernel of {reach} leaves an axis of {dim}")
        else:
            require(0, "<=", size)
        return size

    def compute(self, xp: Any, x: Any, w: Any) -> Any:
        own = dtype(x.dtype)
        out = self.dtype or own
        wide = out.accumulate.numpy
        x = x.astype(wide, copy=False)
        w = w.astype(wide, copy=False)
        parts = np.split(x, self.batch_groups, axis=0)
        filters = np.split(w, self.batch_groups, axis=0)
        done = [self._grouped(xp, a, k) for a, k in zip(parts, filters, strict=True)]
        return xp.concatenate(done, axis=1).astype(out.numpy, copy=False)

    def _grouped(self, xp: Any, x: Any, w: Any) -> Any:
        view = conv_windows(xp, x, w.shape[2:], self)  # [N, C, *out, *kernel]
        n, g = len(self.strides), self.groups
        if g == x.shape[1] and w.shape[1] == 1:
            return _depthwise(xp, view, w, g)
        batch, out = x.shape[0], view.shape[2 : n + 2]
        parts = view.reshape(batch, g, w.shape[1], *view.shape[2:])
        order = (0, 1, 2, *range(n + 3, 2 * n + 3), *range(3, n + 3))
        rows, size = math.prod(w.shape[1:]), math.prod(out)
        columns = parts.transpose(order).reshape(batch, g, rows, size)
        y = xp.matmul(w.reshape(g, w.shape[0] // g, rows), columns)
        return y.reshape(batch, w.shape[0], *out)

    def linear_along(self) -> tuple[tuple[int, int] | None, ...]:
        plain = self.batch_groups == 1
        return (0, 0) if plain else None, (0, 1) if plain and self.groups == 1 else None

    def flops(self, operands: Any, results: Any) -> Dim:
        return product((2, results[0].size, *operands[1].dims[1:]))

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        if self.batch_groups != 1:
            return super().vjp(b, operands, results, cotangents)
        (x, w), (ct,) = operands, cotangents
        return self._vjp_x(b, x, w, ct), self._vjp_w(b, x, w, ct)

    def _ends(self, x: Value, w: Value, ct: Value) -> list[tuple[Dim, Dim]]:
        """Padding of the gradient with respect to the first operand."""
        rows: list[tuple[Dim, Dim]] = []
        for i, (low, _) in enumerate(self.padding):
            reach = (w.shape[i + 2] - 1) * self.rhs_dilation[i] + 1
            spread = (x.shape[i + 2] - 1) * self.lhs_dilation[i] + 1
            grown = (ct.shape[i + 2] - 1) * self.strides[i] + 1
            begin = reach - 1 - low
            rows.append((begin, spread + reach - 1 - begin - grown))
        return rows

    def _vjp_x(self, b: Emitter, x: Value, w: Value, ct: Value) -> Value:
        g, n = self.groups, len(self.strides)
        m, c = w.shape[0], w.shape[1]
        split = b.reshape(w, (g, floordiv(m, g), c, *w.shape[2:]))
        swapped = b.transpose(split, (0, 2, 1, *range(3, n + 3)))
        turned = b.reshape(swapped, (c * g, floordiv(m, g), *w.shape[2:]))
        turned = b.flip(turned, range(2, n + 2))
        return b.emit(
            "conv",
            ct,
            turned,
            strides=self.lhs_dilation,
            padding=tuple(self._ends(x, w, ct)),
            lhs_dilation=self.strides,
            rhs_dilation=self.rhs_dilation,
            groups=g,
        )

    def _vjp_w(self, b: Emitter, x: Value, w: Value, ct: Value) -> Value:
        """A convolution in which batch and channels change places."""
        g, n = self.groups, len(self.strides)
        swap = (1, 0, *range(2, n + 2))
        left = b.transpose(x, swap)  # [C, N, *]: g groups of C / g along the batch axis
        right = b.transpose(ct, swap)  # [M, N, *]
        padding: list[tuple[Dim, Dim]] = []
        for i, (low, _) in enumerate(self.padding):
            spread = (x.shape[i + 2] - 1) * self.lhs_dilation[i] + 1
            reach = (w.shape[i + 2] - 1) * self.rhs_dilation[i] + 1
            grown = (ct.shape[i + 2] - 1) * self.strides[i] + 1
            padding.append((low, reach - 1 + grown - low - spread))
        y = b.emit(
            "conv",
            left,
            right,
            strides=self.rhs_dilation,
            padding=tuple(padding),
            lhs_dilation=self.lhs_dilation,
            rhs_dilation=self.strides,
            batch_groups=g,
        )
        return b.transpose(y, swap)

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        """Rows go to the batch, or the filters of each become groups of their own."""
        n = rows.size
        if self.batch_groups != 1:
            return None
        if not rows.mapped[1]:
            (x, w) = operands
            flat = b.reshape(x, (n * x.shape[1], *x.shape[2:]))
            (y,) = self.again(b, [flat, w])
            return (b.reshape(y, (n, x.shape[1], *y.shape[1:])),)
        if not isinstance(n, int):
            return None
        x, w = rows.spread(b, operands)
        side = b.transpose(x, (1, 0, *range(2, x.rank)))
        side = b.reshape(side, (x.shape[1], n * x.shape[2], *x.shape[3:]))
        filters = b.reshape(w, (n * w.shape[1], *w.shape[2:]))
        (y,) = self.again(b, [side, filters], groups=self.groups * n)
        y = b.reshape(y, (x.shape[1], n, w.shape[1], *y.shape[2:]))
        return (b.transpose(y, (1, 0, *range(2, y.rank))),)


def _depthwise(xp: Any, view: Any, w: Any, groups: int) -> Any:
    """One multiply-add of the whole result for each element of the kernel."""
    out = view.shape[2 : w.ndim]
    y = xp.zeros((view.shape[0], groups, w.shape[0] // groups, *out), w.dtype)
    for tap in np.ndindex(*w.shape[2:]):
        factor = w[(slice(None), 0, *tap)].reshape(
            groups, w.shape[0] // groups, *(1,) * len(out)
        )
        y += view[(..., *tap)][:, :, None] * factor
    return y.reshape(view.shape[0], w.shape[0], *out)


class ConvTranspose(Op):
    """The transpose of ``conv``: ``[N, C, *spatial]`` and ``[C, M / groups, *kernel]``.

    Each element adds the kernel, scaled, to the result, ``strides`` apart; then
    ``padding`` (low, high) of each axis is cut, negative ones grow with zeros.
    """

    name = "conv_transpose"
    narrow = Narrowing.GAINS
    tier = Tier.COMPOSITE
    traits: ClassVar[frozenset[Trait]] = _REDUCTION
    strides: tuple[int, ...]
    padding: tuple[tuple[Dim, Dim], ...]
    dilations: tuple[int, ...]
    groups: int = 1

    def result_type(self, x: TensorType, w: TensorType) -> TensorType:
        ranked(self.name, x, w)
        same_dtype(self.name, x, w)
        n = len(self.strides)
        need(x.rank == w.rank == n + 2, f"{self.name} of {x} with {w} over {n} axes")
        need(agree(x.dims[1], w.dims[0]) is not None, f"{self.name} of {x} with {w}")
        if isinstance(w.dims[0], int):
            need(
                w.dims[0] % self.groups == 0, f"{self.name}: {w}, {self.groups} groups"
            )
        sizes = [self._size(x.dims[i + 2], w.dims[i + 2], i) for i in range(n)]
        return TensorType(x.dtype, (x.dims[0], w.dims[1] * self.groups, *sizes))

    def _size(self, dim: Dim, kernel: Dim, i: int) -> Dim:
        low, high = self.padding[i]
        size = self._whole(dim, kernel, i) - low - high
        if isinstance(size, int):
            need(size >= 0, f"{self.name} cuts ({low}, {high}) off an axis of {dim}")
        else:
            require(0, "<=", size)
        return size

    def _whole(self, dim: Dim, kernel: Dim, i: int) -> Dim:
        """Size of an axis before it is cut."""
        return (dim - 1) * self.strides[i] + (kernel - 1) * self.dilations[i] + 1

    def compute(self, xp: Any, x: Any, w: Any) -> Any:
        own, g = dtype(x.dtype), self.groups
        wide = own.accumulate.numpy
        batch, sizes, kernel = x.shape[0], x.shape[2:], w.shape[2:]
        rows, taps = w.shape[0] // g, math.prod(w.shape[1:])
        filters = w.astype(wide, copy=False).reshape(g, rows, taps)
        image = x.astype(wide, copy=False).reshape(batch, g, rows, math.prod(sizes))
        columns = xp.matmul(xp.swapaxes(filters, 1, 2), image)
        columns = columns.reshape(batch, g * w.shape[1], *kernel, *sizes)
        rows = enumerate(zip(sizes, kernel, strict=True))
        whole = [max(evaluate(self._whole(n, k, i), {}), 0) for i, (n, k) in rows]
        y = xp.zeros((*columns.shape[:2], *whole), wide)
        for tap in np.ndindex(*kernel):
            y[(..., *self._spots(tap, sizes))] += columns[
                (slice(None), slice(None), *tap)
            ]
        return self._cut(xp, y).astype(own.numpy, copy=False)

    def _spots(self, tap: tuple[int, ...], sizes: tuple[int, ...]) -> list[slice]:
        rows = zip(tap, sizes, self.strides, self.dilations, strict=True)
        return [slice(t * d, t * d + (n - 1) * s + 1, s) for t, n, s, d in rows]

    def _cut(self, xp: Any, y: Any) -> Any:
        pads: list[tuple[int, int]] = [(0, 0), (0, 0), *self.padding]  # type: ignore[list-item]
        grown = [(max(0, -lo), max(0, -hi)) for lo, hi in pads]
        if any(lo or hi for lo, hi in grown):
            y = xp.pad(y, grown)
        ends = zip(pads, y.shape, strict=True)
        return y[tuple(slice(max(0, lo), n - max(0, hi)) for (lo, hi), n in ends)]

    def flops(self, operands: Any, results: Any) -> Dim:
        return product((2, operands[0].size, *operands[1].dims[1:]))

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        x, w = operands
        n, g, m = len(self.strides), self.groups, w.shape[1]
        split = b.reshape(w, (g, floordiv(w.shape[0], g), m, *w.shape[2:]))
        swapped = b.transpose(split, (0, 2, 1, *range(3, n + 3)))
        turned = b.reshape(swapped, (m * g, floordiv(w.shape[0], g), *w.shape[2:]))
        reach = [(k - 1) * d for k, d in zip(w.shape[2:], self.dilations, strict=True)]
        rows = zip(reach, self.padding, strict=True)
        return b.emit(
            "conv",
            x,
            b.flip(turned, range(2, n + 2)),
            strides=(1,) * n,
            padding=tuple((r - lo, r - hi) for r, (lo, hi) in rows),
            lhs_dilation=self.strides,
            rhs_dilation=self.dilations,
            groups=g,
        )


def conv_windows(xp: Any, x: Any, kernel: Any, op: Conv) -> Any:
    """View ``[N, C, *out, *kernel]`` of the padded and dilated first operand."""
    n, every = len(kernel), slice(None)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, op.rhs_dilation, strict=True)]
    gaps = zip(x.shape[2:], op.lhs_dilation, strict=True)
    spread = [(s - 1) * d + 1 for s, d in gaps]
    whole = [s + sum(ends) for s, ends in zip(spread, op.padding, strict=True)]
    short = any(r > s for r, s in zip(reach, whole, strict=True))
    if short or 0 in (*x.shape, *kernel):
        lines = zip(whole, reach, op.strides, strict=True)
        sizes = [max((size - r) // s + 1, 0) for size, r, s in lines]
        return xp.zeros((*x.shape[:2], *sizes, *kernel), x.dtype)
    if any(d != 1 for d in op.lhs_dilation):
        places = (slice(None, None, d) for d in op.lhs_dilation)
        image, x = x, xp.zeros((*x.shape[:2], *spread), x.dtype)
        x[(every, every, *places)] = image
    x = _padded(xp, x, op.padding)
    view = xp.lib.stride_tricks.sliding_window_view(
        x, reach, axis=tuple(range(2, n + 2))
    )
    steps = [slice(None, None, s) for s in (*op.strides, *op.rhs_dilation)]
    return view[(every, every, *steps)]


def _padded(xp: Any, x: Any, padding: Any) -> Any:
    """Zeros at the ends of the spatial axes; negative padding cuts."""
    rows = zip(padding, x.shape[2:], strict=True)
    keep = [slice(max(0, -lo), s - max(0, -hi)) for (lo, hi), s in rows]
    x = x[(slice(None), slice(None), *keep)]
    pads = [(max(0, lo), max(0, hi)) for lo, hi in padding]
    if any(lo or hi for lo, hi in pads):
        x = xp.pad(x, [(0, 0), (0, 0), *pads])
    return x
