"""Operators that cut or grow axes: Slice, Pad, CenterCropPad."""

from collections.abc import Sequence

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.registry import converter
from graphwright.frontends.onnx.shapes import int_vector, known_elements, window
from graphwright.ir.dim import Dim, equal, floordiv, maximum, minimum
from graphwright.ir.dtype import DType, int64, string
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError, ShapeError, UnsupportedOpError

# Slice --------------------------------------------------------------------------------


@converter("Slice")
def slice_1(c: Context) -> Value:
    """``x[start:end]`` along axes, all attributes."""
    x, starts, ends = c[0], c.integers("starts"), c.integers("ends")
    axes = c.axes(c.integers("axes", list(range(len(starts)))), x.rank)
    rows = [
        window(x.shape[axis], start, end, 1)
        for axis, start, end in zip(axes, starts, ends, strict=True)
    ]
    return _sliced(c, x, axes, rows, [1] * len(axes))


@converter("Slice", since=10)
def slice_(c: Context) -> Value:
    """``x[start:end:step]`` along axes; negative positions count from the end."""
    x, given, by = c[0], c.optional(3), c.optional(4)
    starts, ends = known_elements(c, c[1]), known_elements(c, c[2])
    axes = list(range(len(starts))) if given is None else c.int_list(given)
    axes = c.axes(axes, x.rank)
    steps = [1] * len(axes) if by is None else c.int_list(by)
    if 0 in steps or not len(axes) == len(starts) == len(ends) == len(steps):
        raise ModelError(f"Slice along {axes} with {len(starts)} starts, steps {steps}")
    rows: list[tuple[Dim, Dim]] = []
    unknown: list[tuple[Dim, Dim]] = []
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if start is not None and end is not None:
            rows.append(window(x.shape[axes[i]], start, end, steps[i]))
        else:
            unknown = unknown or _windows_at_run_time(c, x, axes, steps)
            rows.append(unknown[i])
    return _sliced(c, x, axes, rows, steps)


def _sliced(
    c: Context,
    x: Value,
    axes: Sequence[int],
    rows: Sequence[tuple[Dim, Dim]],
    steps: Sequence[int],
) -> Value:
    start: list[Dim] = [0] * x.rank
    size, step = list(x.shape), [1] * x.rank
    for axis, (first, count), by in zip(axes, rows, steps, strict=True):
        start[axis], size[axis], step[axis] = first, count, by
    return c.b.slice(x, start, size, step)


def _windows_at_run_time(
    c: Context, x: Value, axes: Sequence[int], steps: Sequence[int]
) -> list[tuple[Dim, Dim]]:
    """First positions and counts as symbols bound to values computed from operands."""
    b = c.b
    dims = b.size_of(*(x.shape[a] for a in axes))
    forward = b.constant([s > 0 for s in steps])
    shift = b.constant([int(s < 0) for s in steps], int64)
    last = b.sub(dims, shift)

    def position(operand: Value, low: Value | int) -> Value:
        k = int_vector(c, operand)
        k = b.where(b.lt(k, 0), b.add(k, dims), k)
        return b.min(b.max(k, low), last)

    start, end = position(c[1], 0), position(c[2], b.neg(shift))
    length = b.where(forward, b.sub(end, start), b.sub(start, end))
    stride = b.constant([abs(s) for s in steps], int64)
    count = b.div(b.add(b.max(length, 0), b.sub(stride, 1)), stride)
    first = c.dims(b.where(b.eq(count, 0), 0, start), 0)
    return list(zip(first, c.dims(count, 0), strict=True))


# Pad ----------------------------------------------------------------------------------


@converter("Pad")
def pad_1(c: Context) -> Value:
    """A border of ``paddings`` (low ends, then high ends), an attribute."""
    return _padded(
        c, c.integers("paddings"), c.b.scalar(c.real("value", 0.0), c[0].dtype)
    )


@converter("Pad", since=2)
def pad_2(c: Context) -> Value:
    """A border of ``pads`` (low ends, then high ends), an attribute."""
    return _padded(c, c.integers("pads"), c.b.scalar(c.real("value", 0.0), c[0].dtype))


@converter("Pad", since=11)
def pad(c: Context) -> Value:
    """A border by operands: sizes (negative ones cut), a value, and axes."""
    x, value, given = c[0], c.optional(2), c.optional(3)
    fill = _zero(c, x.dtype) if value is None else c.b.reshape(value, ())
    sizes = c.dims(c[1], None)
    if given is None:
        return _padded(c, sizes, fill)
    axes = c.axes(c.int_list(given), x.rank)
    every: list[Dim] = [0] * (2 * x.rank)
    if len(sizes) != 2 * len(axes):
        raise ShapeError(f"Pad: {len(sizes)} sizes for axes {axes}")
    for i, axis in enumerate(axes):
        every[axis], every[axis + x.rank] = sizes[i], sizes[i + len(axes)]
    return _padded(c, every, fill)


def _zero(c: Context, dtype: DType) -> Value:
    return c.b.constant("", string) if dtype is string else c.b.scalar(0, dtype)


def _padded(c: Context, sizes: Sequence[Dim], fill: Value) -> Value:
    x, mode = c[0], c.string("mode", "constant")
    if len(sizes) != 2 * x.rank:
        raise ShapeError(f"Pad of {x.type} with {len(sizes)} sizes")
    low, high = sizes[: x.rank], sizes[x.rank :]
    if mode == "constant":
        return c.b.pad(x, low, high, fill)
    if mode not in ("reflect", "edge", "wrap"):
        raise UnsupportedOpError(f"Pad has no mode {mode!r}")
    for axis in range(x.rank):
        if low[axis] != 0 or high[axis] != 0:
            x = _bordered(c, x, axis, low[axis], high[axis], mode)
    return x


def _bordered(c: Context, x: Value, axis: int, low: Dim, high: Dim, mode: str) -> Value:
    """One axis grown by elements of its own, or cut where sizes are negative."""
    b, dim = c.b, x.shape[axis]
    size = dim + low + high
    if equal(dim, 0) is True and equal(size, 0) is not True:
        raise ShapeError(f"Pad with mode {mode!r} of an empty axis of {x.type}")
    at = b.sub(b.iota((size,), 0, int64), b.dim_scalar(low, int64))
    n, last = b.dim_scalar(dim, int64), b.dim_scalar(dim - 1, int64)
    if mode == "edge":
        index = b.min(b.max(at, 0), last)
    elif mode == "wrap":
        index = _modulo(c, at, n)
    else:
        period = b.mul(last, 2)
        turned = _modulo(c, at, period)
        index = b.where(b.gt(turned, last), b.sub(period, turned), turned)
    return b.gather(x, index, axis)


def _modulo(c: Context, x: Value, n: Value) -> Value:
    """The remainder that is not negative; 0 where ``n`` is 0."""
    rest = c.b.rem(x, n)
    return c.b.where(c.b.lt(rest, 0), c.b.add(rest, n), rest)


@converter("CenterCropPad", since=18)
def center_crop_pad(c: Context) -> Value:
    """Axes cut or zero-padded around their centre to a shape.

    Of an odd difference, the smaller half goes to the low end.
    """
    x, sizes = c[0], c.dims(c[1], 0)
    axes = c.axes(c.integers("axes", list(range(x.rank))), x.rank)
    if len(sizes) != len(axes):
        raise ShapeError(f"CenterCropPad: {len(sizes)} sizes for axes {axes}")
    start: list[Dim] = [0] * x.rank
    low: list[Dim] = [0] * x.rank
    high: list[Dim] = [0] * x.rank
    kept = list(x.shape)
    for axis, size in zip(axes, sizes, strict=True):
        dim = x.shape[axis]
        kept[axis] = minimum(dim, size)
        start[axis] = floordiv(dim - kept[axis], 2)
        missing = maximum(size - dim, 0)
        low[axis] = floordiv(missing, 2)
        high[axis] = missing - low[axis]
    cut = c.b.slice(x, start, kept)
    return c.b.pad(cut, low, high, _zero(c, x.dtype))
