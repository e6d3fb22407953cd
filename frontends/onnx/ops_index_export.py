"""Reading and writing at computed positions on its way to ONNX."""

from typing import Any

from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.kernels import holder
from graphwright.frontends.onnx.registry import exporter
from graphwright.ir.dim import Dim
from graphwright.ir.dtype import bool_, int32, int64
from graphwright.ir.emitter import Value


def _index(e: Export, indices: Value) -> Value:
    """Indices in a dtype that ONNX takes."""
    return indices if indices.dtype in (int32, int64) else e.b.cast(indices, int64)


@exporter("gather")
def gather(e: Export) -> Exported:
    """``Gather``; in step with leading axes, ``GatherND``."""
    (x, indices), op = e.operands, e.op
    if not op.batch_dims:
        rest = [e.name(_index(e, indices))]
        return e.held("Gather", e[0], rest=rest, axis=op.axis)
    batch, axis = op.batch_dims, op.axis
    order = [*range(batch), axis, *range(batch, axis), *range(axis + 1, x.rank)]
    moved = e.b.transpose(x, order)
    column = e.b.expand_dims(e.b.cast(indices, int64), [indices.rank])
    shape = (*indices.shape, *moved.shape[batch + 1 :])
    rest = [e.name(column)]
    name = e.held("GatherND", e.name(moved), rest=rest, batch_dims=batch)
    taken = e.wrap(name, x.tensor.with_shape(shape))
    return _between(e, taken, batch, indices.rank, axis)


def _between(e: Export, y: Value, batch: int, end: int, axis: int) -> Value:
    """The axes ``[batch, end)`` behind the next ``axis - batch``."""
    middle = range(end, end + axis - batch)
    rest = range(end + axis - batch, y.rank)
    return e.b.transpose(y, [*range(batch), *middle, *range(batch, end), *rest])


_SINCE = {"set": 13, "add": 16, "mul": 16, "min": 18, "max": 18}


def _reduction(e: Export) -> dict[str, str]:
    mode = e.op.mode
    e.needs(_SINCE[mode])
    return {} if mode == "set" else {"reduction": mode}


@exporter("scatter")
def scatter(e: Export) -> Exported:
    """``ScatterND`` at the axis moved to the front, and moved back."""
    (x, indices, updates), op, b = e.operands, e.op, e.b
    batch, axis = op.batch_dims, op.axis
    order = [*range(batch), axis, *range(batch, axis), *range(axis + 1, x.rank)]
    moved = b.transpose(x, order)
    inner = indices.rank - batch
    between = range(batch, axis)
    places = range(axis, axis + inner)
    behind = range(axis + inner, updates.rank)
    turned = b.transpose(updates, [*range(batch), *places, *between, *behind])
    spots = _spots(e, indices, batch)
    fields = _reduction(e)
    wide = holder("ScatterND", x.dtype, e.version)
    data, new = (e.name(b.cast(v, wide)) for v in (moved, turned))
    name = e.add("ScatterND", data, e.name(spots), new, **fields)
    found = e.wrap(name, moved.tensor.with_dtype(wide))
    back = sorted(range(x.rank), key=order.__getitem__)
    return b.cast(b.transpose(found, back), x.dtype)


def _spots(e: Export, indices: Value, batch: int) -> Value:
    """For each index its whole position: those of the leading axes before it."""
    b = e.b
    rows = [b.iota(indices.shape, i, int64) for i in range(batch)]
    return b.stack([*rows, b.cast(indices, int64)], indices.rank)


@exporter("take_along_axis")
def take_along_axis(e: Export) -> str:
    """``GatherElements``."""
    indices = e.name(_index(e, e.operands[1]))
    return e.held("GatherElements", e[0], rest=[indices], axis=e.op.axis)


@exporter("scatter_along_axis")
def scatter_along_axis(e: Export) -> Exported:
    """``ScatterElements``."""
    wider = e.lifted("ScatterElements")
    if wider is not None:
        return wider
    indices, fields = e.name(_index(e, e.operands[1])), _reduction(e)
    return e.add("ScatterElements", e[0], indices, e[2], axis=e.op.axis, **fields)


@exporter("nonzero")
def nonzero(e: Export) -> str:
    """``NonZero``; of dtypes without a kernel, of whether they are not zero."""
    (x,) = e.operands
    named = (
        e[0]
        if holder("NonZero", x.dtype, e.version) is x.dtype
        else e.cast(e[0], bool_)
    )
    return e.add("NonZero", named)


@exporter("sort")
def sort(e: Export) -> Exported:
    """``TopK`` of all elements, whose ties come in order."""
    (x,), op = e.operands, e.op
    if x.rank == 0:
        return [x, e.b.scalar(0, int64)]
    wide = holder("TopK", x.dtype, e.version)
    given = e.b.cast(x, wide)
    count: Dim = x.shape[op.axis]
    fields: dict[str, Any] = {
        "axis": op.axis,
        "largest": int(op.descending),
        "sorted": 1,
    }
    values, order = e.all("TopK", e.name(given), e.dims([count]), outputs=2, **fields)
    return [values if wide is x.dtype else e.cast(values, x.dtype), order]
