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


def with_bias(e: Export) -> str | None:
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
def conv_transpose(e: Export) -> Exported:
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
