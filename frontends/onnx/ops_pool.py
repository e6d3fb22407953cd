"""Pooling of ONNX, over windows and over whole images."""

from collections.abc import Sequence

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.registry import converter
from graphwright.frontends.onnx.windows import (
    Windows,
    explicit_pads,
    per_axis,
    steps,
    windows_of,
)
from graphwright.ir.dim import Dim, product
from graphwright.ir.dtype import DType, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ModelError


def _windows(c: Context, x: Value) -> Windows:
    kernel = c.integers("kernel_shape")
    ceil = c.integer("ceil_mode", 0) != 0
    return windows_of(c, x.shape[2:], kernel, ceil=ceil)


def _fields(windows: Windows) -> dict[str, object]:
    return {
        "window": windows.kernel,
        "strides": windows.strides,
        "dilations": windows.dilations,
        "padding": windows.padding,
    }


def _spatial(x: Value) -> list[int]:
    return list(range(2, x.rank))


def _widened(b: Emitter, x: Value) -> Value:
    """``x`` in the dtype that sums of it are taken in."""
    return b.cast(x, x.dtype.accumulate)


@converter("MaxPool")
def max_pool(c: Context) -> tuple[Value, ...]:
    """Largest element of each window and, if asked for, where it lies."""
    b, x = c.b, c[0]
    fields = _fields(_windows(c, x))
    y = b.emit("reduce_window", x, kind="max", **fields)
    if not c.wants(1):
        return (y,)
    place = b.emit("window_argmax", x, **fields)
    if c.integer("storage_order", 0):
        place = _column_major(b, place, x.shape[2:])
    images = b.mul(b.dim_scalar(product(x.shape[2:]), int64), _image_number(b, y, x))
    return y, b.add(place, images)


def _image_number(b: Emitter, y: Value, x: Value) -> Value:
    """``n * C + c`` for each element ``[n, c, ...]``."""
    shape = (*x.shape[:2], *(1,) * (x.rank - 2))
    return b.reshape(b.iota((product(x.shape[:2]),), 0, int64), shape)


def _column_major(b: Emitter, place: Value, sizes: Sequence[Dim]) -> Value:
    """Flat positions in C order as positions with the first axis fastest."""
    total = b.zeros_like(place)
    strides = [product(sizes[:i]) for i in range(len(sizes))]
    for size, stride in zip(reversed(sizes), reversed(strides), strict=True):
        count = b.dim_scalar(size, int64)
        along = b.rem(place, count)
        total = b.add(total, b.mul(along, b.dim_scalar(stride, int64)))
        place = b.div(place, count)
    return total


@converter("AveragePool")
def average_pool(c: Context) -> Value:
    """Mean of each window; padding counts as zeros, or not at all."""
    b, x = c.b, c[0]
    windows = _windows(c, x)
    total = b.emit("reduce_window", _widened(b, x), kind="sum", **_fields(windows))
    include = c.integer("count_include_pad", 0) != 0
    counts = [
        _counts(b, windows, i, size, total.dtype, include)
        for i, size in enumerate(x.shape[2:])
    ]
    whole = b.scalar(1, total.dtype)
    for count in counts:
        whole = b.mul(whole, count)
    return b.cast(b.div(total, whole), x.dtype)


def _counts(
    b: Emitter, windows: Windows, i: int, size: Dim, dtype: DType, include: bool
) -> Value:
    """How many elements of an axis each window has, shaped to broadcast."""
    (low, high), given = windows.padding[i], windows.given[i]
    if include:
        size, low, high = size + given[0] + given[1], 0, high - given[1]
    rank = len(windows.kernel)
    if low == 0 and _never_over(windows, i, high):
        return b.dim_scalar(windows.kernel[i], dtype)
    ones = b.full((size,), 1, dtype)
    counts = b.emit(
        "reduce_window",
        ones,
        kind="sum",
        window=(windows.kernel[i],),
        strides=(windows.strides[i],),
        dilations=(windows.dilations[i],),
        padding=((low, high),),
    )
    known = b.known(counts)
    counts = counts if known is None else b.constant_of(known)
    return b.reshape(counts, (counts.shape[0], *(1,) * (rank - 1 - i)))


def _never_over(windows: Windows, i: int, high: Dim) -> bool:
    return isinstance(high, int) and high <= 0


@converter("LpPool")
def lp_pool(c: Context) -> Value:
    """``(sum |x|^p)^(1/p)`` of each window."""
    b, x = c.b, c[0]
    p = c.real("p", 2.0) if c.version < 2 else float(c.integer("p", 2))
    powers = _power(b, _widened(b, x), p)
    total = b.emit("reduce_window", powers, kind="sum", **_fields(_windows(c, x)))
    return b.cast(_root(b, total, p), x.dtype)


def _power(b: Emitter, x: Value, p: float) -> Value:
    if p == 2:
        return b.mul(x, x)
    return b.abs(x) if p == 1 else b.pow(b.abs(x), p)


def _root(b: Emitter, x: Value, p: float) -> Value:
    if p == 2:
        return b.sqrt(x)
    return x if p == 1 else b.pow(x, 1 / p)


@converter("GlobalAveragePool")
def global_average_pool(c: Context) -> Value:
    """Mean of each image."""
    x = c[0]
    mean = c.b.mean(_widened(c.b, x), _spatial(x), keepdims=True)
    return c.b.cast(mean, x.dtype)


@converter("GlobalMaxPool")
def global_max_pool(c: Context) -> Value:
    """Largest element of each image."""
    return c.b.reduce("max", c[0], _spatial(c[0]), keepdims=True)


@converter("GlobalLpPool")
def global_lp_pool(c: Context) -> Value:
    """``(sum |x|^p)^(1/p)`` of each image."""
    b, x = c.b, c[0]
    p = c.real("p", 2.0) if c.version < 2 else float(c.integer("p", 2))
    total = b.sum(_power(b, _widened(b, x), p), _spatial(x), keepdims=True)
    return b.cast(_root(b, total, p), x.dtype)


@converter("MaxUnpool")
def max_unpool(c: Context) -> Value:
    """Elements put back where ``MaxPool`` found them, zeros elsewhere."""
    b, x, indices = c.b, c[0], c[1]
    kernel = c.integers("kernel_shape")
    rank = len(kernel)
    strides, _ = steps(c, rank)
    pads = explicit_pads(c, rank)
    sizes: list[Dim] = [*x.shape[:2]]
    for n, k, s, (low, high) in zip(x.shape[2:], kernel, strides, pads, strict=True):
        sizes.append((n - 1) * s - low - high + k)
    zeros = b.full((product(sizes),), 0, x.dtype)
    count = (x.tensor.size,)
    flat = b.scatter(zeros, b.reshape(indices, count), b.reshape(x, count), 0)
    y = b.reshape(flat, sizes)
    wanted = c.optional(2)
    if wanted is None:
        return y
    shape = c.dims(wanted, 0)
    grown = [want - have for want, have in zip(shape, sizes, strict=True)]
    return b.pad(y, [0] * y.rank, grown)


@converter("LRN")
def local_response(c: Context) -> Value:
    """``x / (bias + alpha / size * sum x^2)^beta``, the sum over near channels."""
    b, x = c.b, c[0]
    size = c.integer("size")
    if size < 1:
        raise ModelError(f"LRN over {size} channels")
    wide = _widened(b, x)
    inner = (1,) * (x.rank - 2)
    squares = b.emit(
        "reduce_window",
        b.mul(wide, wide),
        kind="sum",
        window=(size, *inner),
        strides=(1, *inner),
        dilations=(1, *inner),
        padding=(((size - 1) // 2, size // 2), *((0, 0) for _ in inner)),
    )
    scaled = b.mul(squares, c.real("alpha", 1e-4) / size)
    base = b.add(scaled, c.real("bias", 1.0))
    return b.cast(b.div(wide, b.pow(base, c.real("beta", 0.75))), x.dtype)


@converter("MaxRoiPool")
def max_roi_pool(c: Context) -> Value:
    """Largest element of each cell of a grid laid over each region."""
    shape = tuple(per_axis(c, "pooled_shape", 2, 1))
    scale = c.real("spatial_scale", 1.0)
    return c.b.emit("max_roi_pool", c[0], c[1], shape=shape, scale=scale)
