"""Convolutions of ONNX."""

from graphwright.frontends.onnx.context import Context, NeedsValue
from graphwright.frontends.onnx.registry import converter
from graphwright.frontends.onnx.sampling import interpolate
from graphwright.frontends.onnx.windows import (
    Pads,
    Windows,
    auto_pad,
    explicit_pads,
    per_axis,
    split_pad,
    steps,
    windows_of,
)
from graphwright.ir.dim import Dim, floordiv, maximum, product
from graphwright.ir.dtype import DType
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ModelError


def with_bias(b: Emitter, y: Value, bias: Value | None) -> Value:
    """``y`` with one number added for each channel."""
    if bias is None:
        return y
    return b.add(y, b.reshape(bias, (y.shape[1], *(1,) * (y.rank - 2))))


def _kernel(c: Context, w: Value) -> tuple[Dim, ...]:
    given = c.integers("kernel_shape", None)
    kernel = w.shape[2:]
    known = all(isinstance(d, int) for d in kernel)
    if known and given is not None and tuple(given) != kernel:
        raise ModelError(f"{c.op_type}: kernel_shape {given}, weights {w.type}")
    return kernel


@converter("Conv")
def conv(c: Context) -> Value:
    """Cross-correlation with a bias for each filter."""
    x, w = c[0], c[1]
    windows = windows_of(c, x.shape[2:], _kernel(c, w))
    y = c.b.emit(
        "conv",
        x,
        w,
        strides=windows.strides,
        padding=windows.padding,
        lhs_dilation=(1,) * len(windows.strides),
        rhs_dilation=windows.dilations,
        groups=c.integer("group", 1),
    )
    return with_bias(c.b, y, c.optional(2))


@converter("ConvTranspose")
def conv_transpose(c: Context) -> Value:
    """The transpose of a convolution, with a bias for each filter."""
    x, w = c[0], c[1]
    sizes, kernel = x.shape[2:], _kernel(c, w)
    strides, dilations = steps(c, len(sizes))
    rows = zip(sizes, kernel, strides, dilations, strict=True)
    whole = [(n - 1) * s + (k - 1) * d + 1 for n, k, s, d in rows]
    y = c.b.emit(
        "conv_transpose",
        x,
        w,
        strides=strides,
        padding=_cut(c, sizes, whole, strides),
        dilations=dilations,
        groups=c.integer("group", 1),
    )
    return with_bias(c.b, y, c.optional(2))


def _cut(
    c: Context, sizes: tuple[Dim, ...], whole: list[Dim], strides: tuple[int, ...]
) -> Pads:
    """What is cut off the low and the high end of each axis of the whole result."""
    rank = len(sizes)
    extra = per_axis(c, "output_padding", rank, 0)
    kind = auto_pad(c)
    wanted: list[Dim] | None = None
    if c.has("output_shape"):
        wanted = [*c.integers("output_shape")[-rank:]]
    elif kind.startswith("SAME"):
        wanted = [n * s for n, s in zip(sizes, strides, strict=True)]
    if wanted is None:
        pads = ((0, 0),) * rank if kind == "VALID" else explicit_pads(c, rank)
        return tuple((lo, hi - e) for (lo, hi), e in zip(pads, extra, strict=True))
    rows: list[tuple[Dim, Dim]] = []
    for have, want, e in zip(whole, wanted, extra, strict=True):
        total = maximum(have + e - want, 0)
        low, _ = split_pad(total, upper=kind == "SAME_UPPER")
        rows.append((low, have - low - want))
    return tuple(rows)


@converter("CausalConvWithState")
def causal_conv(c: Context) -> tuple[Value, Value]:
    """Depthwise convolution over the past; results are it and the state it leaves."""
    b, x, w = c.b, c[0], c[1]
    past = c.optional(3)
    width = w.shape[2] - 1
    if past is None:
        past = b.full((*x.shape[:2], width), 0, x.dtype)
    line = b.concat([past, x], 2)
    y = b.emit(
        "conv",
        line,
        w,
        strides=(1,),
        padding=((0, 0),),
        lhs_dilation=(1,),
        rhs_dilation=(1,),
        groups=_channels(w),
    )
    y = with_bias(b, y, c.optional(2))
    activation = c.string("activation", "none")
    if activation in ("silu", "swish"):
        wide = b.cast(y, y.dtype.accumulate)
        y = b.cast(b.div(wide, b.add(b.exp(b.neg(wide)), 1)), y.dtype)
    elif activation != "none":
        raise ModelError(f"{c.op_type} has no activation {activation!r}")
    return y, b.slice_axis(line, 2, line.shape[2] - width, line.shape[2])


def _channels(w: Value) -> int:
    count = w.shape[0]
    if not isinstance(count, int):
        raise NeedsValue(w)
    return count


@converter("DeformConv")
def deform_conv(c: Context) -> Value:
    """Convolution whose kernel elements are displaced, each by its own offset.

    Dai et al., "Deformable Convolutional Networks" (2017); with a mask, Zhu et al.,
    "Deformable ConvNets v2" (2019).
    """
    b, x, w, offset = c.b, c[0], c[1], c[2]
    if x.rank != 4:
        raise ModelError(f"DeformConv takes 2 spatial axes, got {x.type}")
    parts, groups = c.integer("offset_group", 1), c.integer("group", 1)
    windows = windows_of(c, x.shape[2:], _kernel(c, w))
    n, channels = x.shape[:2]
    taps, out = product(windows.kernel), offset.shape[2:]
    moved = b.reshape(offset, (n * parts, taps, 2, *out))
    places: list[Value] = []
    for axis in range(2):
        own = b.squeeze(b.slice_axis(moved, 2, axis, axis + 1), [2])
        place = b.add(own, _tap_positions(b, windows, axis, out, own.dtype))
        places.append(b.reshape(place, (n * parts, taps * product(out))))
    image = b.reshape(x, (n * parts, floordiv(channels, parts), *x.shape[2:]))
    columns = interpolate(b, image, places)
    mask = c.optional(4)
    if mask is not None:
        shares = b.reshape(mask, (n * parts, 1, taps * product(out)))
        columns = b.mul(columns, shares)
    rows = floordiv(channels, groups) * taps
    flat = b.reshape(columns, (n, groups, rows, product(out)))
    filters = b.reshape(w, (1, groups, floordiv(w.shape[0], groups), rows))
    y = b.reshape(b.matmul(filters, flat), (n, w.shape[0], *out))
    return with_bias(b, y, c.optional(3))


def _tap_positions(
    b: Emitter, windows: Windows, axis: int, out: tuple[Dim, ...], dtype: DType
) -> Value:
    """``[taps, *out]``: where each kernel element lies along an axis, not displaced."""
    shape = (*windows.kernel, *out)
    tap = b.mul(b.iota(shape, axis, dtype), windows.dilations[axis])
    step = b.mul(b.iota(shape, axis + 2, dtype), windows.strides[axis])
    low = b.dim_scalar(windows.padding[axis][0], dtype)
    return b.reshape(b.sub(b.add(tap, step), low), (product(windows.kernel), *out))
