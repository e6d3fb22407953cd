"""Convolutions of ONNX."""

from collections.abc import Sequence
from typing import Any

from graphwright.frontends.onnx.context import Context, NeedsValue
from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.registry import converter, exporter
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
from graphwright.ir.dtype import DType, int32
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


# Export -------------------------------------------------------------------------------


_OCTETS = ("int8", "uint8")


@exporter("conv")
def export_conv(e: Export) -> Exported:
    """``Conv``; what it cannot do is done to the first operand before."""
    op, (x, w) = e.op, e.operands
    if op.batch_groups != 1:
        return _batches_as_groups(e, x, w)
    plain = all(_whole(p) for p in op.padding)
    if any(d != 1 for d in op.lhs_dilation) or not plain:
        return _prepared(e, x, w)
    if op.dtype is not None and op.dtype is not x.dtype:
        if op.dtype is not int32 or x.dtype.name not in _OCTETS:
            wide = [e.b.cast(v, op.dtype) for v in (x, w)]
            return e.b.emit("conv", *wide, **{**op.fields, "dtype": None})
        return e.add("ConvInteger", e[0], e[1], **_fields(op))
    if not x.dtype.is_float:
        return _integral(e, x, w)
    wider = e.lifted("Conv")
    if wider is not None:
        return wider
    return _node(e, op, e[0], e[1])


def _whole(pad: tuple[Dim, Dim]) -> bool:
    return all(isinstance(d, int) and d >= 0 for d in pad)


def _fields(op: Any) -> dict[str, Any]:
    return {
        "strides": list(op.strides),
        "dilations": list(op.rhs_dilation),
        "pads": _pads(op),
        "group": op.groups,
    }


def _pads(op: Any) -> list[Any]:
    return [p[0] for p in op.padding] + [p[1] for p in op.padding]


def _prepared(e: Export, x: Value, w: Value) -> Value:
    """Gaps and borders made before."""
    op, b = e.op, e.b
    low: list[Dim] = [0, 0, *(p[0] for p in op.padding)]
    high: list[Dim] = [0, 0, *(p[1] for p in op.padding)]
    inner = [0, 0, *(d - 1 for d in op.lhs_dilation)]
    n = len(op.strides)
    whole = b.pad(x, low, high, 0, inner)
    plain = {"padding": ((0, 0),) * n, "lhs_dilation": (1,) * n}
    return b.emit("conv", whole, w, **{**op.fields, **plain})


def _batches_as_groups(e: Export, x: Value, w: Value) -> Value:
    """Parts of the batch side by side as channels, each with its own filters."""
    op, b, parts = e.op, e.b, e.op.batch_groups
    batch = floordiv(x.shape[0], parts)
    split = b.reshape(x, (parts, batch, *x.shape[1:]))
    turned = b.transpose(split, (1, 0, *range(2, split.rank)))
    joined = b.reshape(turned, (batch, x.shape[1] * parts, *x.shape[2:]))
    more = {"batch_groups": 1, "groups": op.groups * parts}
    return b.emit("conv", joined, w, **{**op.fields, **more})


def _integral(e: Export, x: Value, w: Value) -> Value:
    """The windows as rows of a matrix product: ``Conv`` takes floats alone."""
    op, b = e.op, e.b
    n, groups = len(op.strides), op.groups
    rows = b.pad(
        x, [0, 0, *(p[0] for p in op.padding)], [0, 0, *(p[1] for p in op.padding)]
    )
    size = e.result.shape[2:]
    taps = [_tap(e, rows, tap, size) for tap in _places(w.shape[2:])]
    columns = b.stack(taps, 2)  # [N, C, taps, *size]
    inner, count = product(w.shape[1:]), product(size)
    columns = b.reshape(columns, (x.shape[0], groups, inner, count))
    filters = b.reshape(w, (groups, floordiv(w.shape[0], groups), inner))
    found = b.matmul(filters, columns)
    return b.reshape(found, (x.shape[0], w.shape[0], *size)) if n else found


def _tap(e: Export, x: Value, tap: Sequence[int], size: Sequence[Dim]) -> Value:
    op = e.op
    start = [0, 0, *(t * d for t, d in zip(tap, op.rhs_dilation, strict=True))]
    return e.b.slice(x, start, (*x.shape[:2], *size), (1, 1, *op.strides))


def _places(kernel: Sequence[Any]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = [()]
    for n in kernel:
        found = [(*tap, i) for tap in found for i in range(n)]
    return found


def biased_conv(e: Export) -> str | None:
    """A convolution to which a number for each channel is added, as one node."""
    for value, other in (e.operands, e.operands[::-1]):
        node = e.made_by(value, "conv", "conv_transpose")
        if node is None or not _says_all(node.op, value) or not e.used_once(value):
            continue
        spread = e.made_by(other, "broadcast_to")
        source = other if spread is None else spread.operands[0]
        channels = value.shape[1]
        column = (channels, *(1,) * (value.rank - 2))
        lead = source.shape[: max(source.rank - value.rank + 1, 0)]
        if source.shape[len(lead) :] == column and all(d == 1 for d in lead):
            names = [e.name(v) for v in node.operands]
            return _node(e, node.op, *names, e.name(e.b.reshape(source, (channels,))))
    return None


def _says_all(op: Any, result: Value) -> bool:
    """Whether one node says what a convolution does."""
    if not all(_whole(p) for p in op.padding) or result.dtype.bits < 16:
        return False
    if op.name == "conv_transpose":
        return True
    plain = op.batch_groups == 1 and all(d == 1 for d in op.lhs_dilation)
    return plain and op.dtype is None


def _node(e: Export, op: Any, *names: str) -> str:
    if op.name == "conv":
        return e.add("Conv", *names, **_fields(op))
    fields = {"dilations": list(op.dilations), "group": op.groups}
    fields |= {"strides": list(op.strides), "pads": _pads(op)}
    return e.add("ConvTranspose", *names, **fields)


@exporter("conv_transpose")
def export_conv_transpose(e: Export) -> Exported:
    """``ConvTranspose``; a border that grows the result is made after."""
    wider = e.lifted("ConvTranspose")
    if wider is not None:
        return wider
    op, b, (x, w) = e.op, e.b, e.operands
    if not all(_whole(p) for p in op.padding):
        bare = b.emit(
            op.name, x, w, **{**op.fields, "padding": ((0, 0),) * len(op.strides)}
        )
        low = [0, 0, *(-p[0] for p in op.padding)]
        return b.pad(bare, low, [0, 0, *(-p[1] for p in op.padding)])
    return _node(e, op, e[0], e[1])
