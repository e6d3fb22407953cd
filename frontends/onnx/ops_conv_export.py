"""Convolutions on their way to ONNX."""

from collections.abc import Sequence
from typing import Any

from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.registry import exporter
from graphwright.ir.dim import Dim, floordiv, product
from graphwright.ir.dtype import int32
from graphwright.ir.emitter import Value

_OCTETS = ("int8", "uint8")


@exporter("conv")
def conv(e: Export) -> Exported:
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
    return e.add("Conv", e[0], e[1], **_fields(op))


def _whole(pad: tuple[Dim, Dim]) -> bool:
    return all(isinstance(d, int) and d >= 0 for d in pad)


def _fields(op: Any) -> dict[str, Any]:
    return {
        "strides": list(op.strides),
        "dilations": list(op.rhs_dilation),
        "pads": [p[0] for p in op.padding] + [p[1] for p in op.padding],
        "group": op.groups,
    }


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
    rows = b.pad(x, [0, 0, *(p[0] for p in op.padding)], [0, 0, *(p[1] for p in op.padding)])
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


@exporter("conv_transpose")
def conv_transpose(e: Export) -> Exported:
    """``ConvTranspose``; a border that grows the result is made after."""
    op, b, (x, w) = e.op, e.b, e.operands
    if not all(_whole(p) for p in op.padding):
        bare = b.emit(
            op.name, x, w, **{**op.fields, "padding": ((0, 0),) * len(op.strides)}
        )
        low = [0, 0, *(-p[0] for p in op.padding)]
        return b.pad(bare, low, [0, 0, *(-p[1] for p in op.padding)])
    return e.add(
        "ConvTranspose",
        e[0],
        e[1],
        strides=list(op.strides),
        dilations=list(op.dilations),
        pads=[p[0] for p in op.padding] + [p[1] for p in op.padding],
        group=op.groups,
    )
