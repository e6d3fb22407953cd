"""Movement of elements on its way to ONNX."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.kernels import holder
from graphwright.frontends.onnx.registry import exporter
from graphwright.ir.constant import Constant
from graphwright.ir.dim import Dim, Expr, bounds, maximum, minimum
from graphwright.ir.dtype import bool_, int64
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node

_LAST = -(2**63) + 1


@exporter("reshape")
def reshape(e: Export) -> Exported:
    """To sizes that are known, with at most one inferred, or computed."""
    (x,), shape = e.operands, e.op.shape
    if x.shape == shape:
        return x
    before = e.made_by(x, "reshape")
    if before is not None and before.operands[0].shape == shape:
        return before.operands[0]  # type: ignore[no-any-return]
    found = _flat_product(e, x, shape) or _kept_axes(e, x, shape)
    if found is not None:
        return found
    if 0 in shape and all(isinstance(d, int) for d in shape) and e.version < 14:
        return _empty(e, x, shape)
    rest = [_target(e, x, shape)]
    return e.held("Reshape", e[0], rest=rest, **_allow_zero(e, shape))


def _target(e: Export, x: Value, shape: Sequence[Dim]) -> str:
    sizes = [d if isinstance(d, int) else -1 for d in shape]
    if sizes.count(-1) == 1 and all(sizes):
        return e.ints(*sizes)
    return e.dims(shape)


def _allow_zero(e: Export, shape: Sequence[Dim]) -> dict[str, Any]:
    """0 must not mean the operand's own size, where there can be one."""
    inferred = sum(isinstance(d, Expr) for d in shape) == 1
    never = all((bounds(d)[0] or 0) > 0 for d in shape)
    positive = all(d > 0 for d in shape if isinstance(d, int))
    needless = never or (inferred and positive) or e.version < 14
    return {} if needless else {"allowzero": 1}


def _empty(e: Export, x: Value, shape: Sequence[Any]) -> Exported:
    """Opset 13 cannot say a size of 0, but what has one holds nothing."""
    return e.b.constant_of(Constant.of(np.empty(shape, x.dtype.numpy), x.dtype))


def _flat_product(e: Export, x: Value, shape: Sequence[Dim]) -> str | None:
    """Rows folded into one axis for a product, and unfolded again: ``MatMul``."""
    node = e.made_by(x, "dot")
    rows = node and e.made_by(node.operands[0], "reshape")
    if node is None or rows is None or node.op.dtype is not None:
        return None
    given, right = rows.operands[0], node.operands[1]
    fits = right.rank == 2 and given.rank > 2 and node.operands[0].rank == 2
    if not fits or given.shape[-1] != right.shape[0]:
        return None
    if tuple(shape) != (*given.shape[:-1], right.shape[1]):
        return None
    return e.held("MatMul", e.name(given), e.name(right), dtype=right.dtype)


_KEPT = {"reduce": "axes", "arg_reduce": "axis"}


def _kept_axes(e: Export, x: Value, shape: Sequence[Dim]) -> str | None:
    """A reduction whose axes come back with size 1 keeps them."""
    node = e.made_by(x, *_KEPT)
    if node is None:
        return None
    axes = getattr(node.op, _KEPT[node.op.name])
    axes = (axes,) if isinstance(axes, int) else axes
    kept = [1 if i in axes else d for i, d in enumerate(node.operands[0].shape)]
    if tuple(kept) != tuple(shape):
        return None
    return _again(e, node)


def _again(e: Export, node: Node) -> str:
    found: str = REDUCERS[node.op.name](Export(e.writer, node), True)
    return found


REDUCERS: dict[str, Any] = {}
"""What writes a reduction with its axes kept; ``ops_reduce_export`` fills it."""


@exporter("transpose")
def transpose(e: Export) -> Exported:
    """Axes in another order."""
    if not e.op.perm:
        return e.operands[0]
    return e.held("Transpose", e[0], perm=list(e.op.perm))


@exporter("broadcast_to")
def broadcast_to(e: Export) -> Exported:
    """Repeated along axes."""
    (x,) = e.operands
    if x.shape == e.op.shape:
        return x
    return e.held("Expand", e[0], rest=[e.dims(e.op.shape)])


@exporter("sum_to")
def sum_to(e: Export) -> Exported:
    """Sums over the axes whose sizes differ from those asked for."""
    (x,), shape = e.operands, e.op.shape
    lead = x.rank - len(shape)
    padded = (*(1,) * lead, *shape)
    pairs = list(zip(x.shape, padded, strict=True))
    if any(isinstance(d, Expr) and d != n for n, d in pairs):
        return _sum_where(e, x, padded)
    axes = [i for i, (n, d) in enumerate(pairs) if i < lead or n != d]
    total = e.b.sum(x, axes)
    return e.b.reshape(total, shape)


def _sum_where(e: Export, x: Value, padded: Sequence[Dim]) -> Exported:
    """Axes that only the run tells: those where sizes differ."""
    same = e.add("Equal", e.dims(x.shape), e.dims(padded))
    axes = e.squeeze(e.add("NonZero", e.add("Not", same)))
    total = e.add("ReduceSum", e[0], axes, keepdims=1, noop_with_empty_axes=1)
    return e.add("Reshape", total, e.dims(e.op.shape), **_allow_zero(e, e.op.shape))


# Windows ------------------------------------------------------------------------------


@exporter("slice")
def cut(e: Export) -> Exported:
    """``Slice`` along the axes that change."""
    (x,), op = e.operands, e.op
    rows = list(zip(x.shape, op.start, op.size, op.step, strict=True))
    axes = [
        i
        for i, (dim, start, size, step) in enumerate(rows)
        if not (start == 0 and size == dim and step == 1)
    ]
    if not axes:
        return x
    starts = e.dims([op.start[i] for i in axes])
    ends = _ends(e, [rows[i][1:] for i in axes])
    steps = [op.step[i] for i in axes]
    last = [] if all(s == 1 for s in steps) else [e.dims(steps)]
    return e.held("Slice", e[0], rest=[starts, ends, e.ints(*axes), *last])


def _ends(e: Export, rows: Sequence[tuple[Dim, Dim, Dim]]) -> str:
    """Where each axis ends; before its first element, if it is read backwards."""
    ends: list[Dim] = []
    doubtful = False
    for start, size, step in rows:
        end = start + size * step
        low = bounds(end)[0]
        if low is None or low < 0:
            if isinstance(end, int):
                end = _LAST
            elif not (isinstance(step, int) and step > 0):
                doubtful = True
        ends.append(end)
    name = e.dims(ends)
    if not doubtful:
        return name
    below = e.add("Less", name, e.ints(0))
    return e.add("Where", below, e.ints(_LAST), name)


@exporter("pad")
def pad(e: Export) -> Exported:
    """``Pad``; gaps inside are made on an axis of their own."""
    op, (x, value) = e.op, e.operands
    b = e.b
    if any(op.interior):
        spread = _spread(e, x, value)
        return b.emit(
            "pad", spread, value, low=op.low, high=op.high, interior=(0,) * x.rank
        )
    if all(d == 0 for d in (*op.low, *op.high)):
        return x
    wide = holder("Pad", x.dtype, e.version)
    if wide is not x.dtype:
        padded = b.pad(b.cast(x, wide), op.low, op.high, b.cast(value, wide))
        return b.cast(padded, x.dtype)
    return e.add("Pad", e[0], e.dims((*op.low, *op.high)), e[1])


def _spread(e: Export, x: Value, value: Value) -> Value:
    """``gap`` elements after each one along each axis, those after the last cut off."""
    b = e.b
    for axis, gap in enumerate(e.op.interior):
        if not gap:
            continue
        n = x.shape[axis]
        column = b.expand_dims(x, [axis + 1])
        high: list[Dim] = [0] * column.rank
        high[axis + 1] = gap
        grown = b.pad(column, [0] * column.rank, high, value)
        shape = list(x.shape)
        shape[axis] = n * (gap + 1)
        flat = b.reshape(grown, shape)
        x = b.slice_axis(flat, axis, 0, n + maximum(n - 1, 0) * gap)
    return x


@exporter("slice_add")
def slice_add(e: Export) -> Exported:
    """The window, padded to the whole, is added."""
    b, op, (x, y) = e.b, e.op, e.operands
    turned = [i for i, s in enumerate(op.step) if isinstance(s, int) and s < 0]
    start = list(op.start)
    for i in turned:
        start[i] = start[i] + maximum(y.shape[i] - 1, 0) * op.step[i]
    step = [abs(s) for s in op.step]
    reach = [
        maximum(n - 1, 0) * s + minimum(n, 1)
        for n, s in zip(y.shape, step, strict=True)
    ]
    high = [d - s - r for d, s, r in zip(x.shape, start, reach, strict=True)]
    y = b.flip(y, turned) if turned else y
    return b.add(x, b.reshape(b.pad(y, start, high, 0, [s - 1 for s in step]), x.shape))


@exporter("concat")
def concat(e: Export) -> Exported:
    """Tensors one after the other."""
    if len(e.operands) == 1:
        return e.operands[0]
    return e.held("Concat", *e.names(), axis=e.op.axis)


@exporter("dynamic_update_slice")
def dynamic_update_slice(e: Export) -> Exported:
    """The window and a mask of it, padded to the whole from a place the run tells."""
    b, (x, y, *start) = e.b, e.operands
    low: list[Dim] = []
    for i, place in enumerate(start):
        (at,) = b.bind_dims(b.reshape(b.cast(place, int64), (1,)), None)
        low.append(minimum(maximum(at, 0), x.shape[i] - y.shape[i]))
    high = [n - m - at for n, m, at in zip(x.shape, y.shape, low, strict=True)]
    mask = b.pad(b.full(y.shape, True, bool_), low, high, False)
    placed = b.pad(y, low, high, 0)
    return b.where(b.reshape(mask, x.shape), b.reshape(placed, x.shape), x)
