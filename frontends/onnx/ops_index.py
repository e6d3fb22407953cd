"""Operators that read and write at computed positions, and those that sort."""

from typing import Any

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.kernels import holder
from graphwright.frontends.onnx.registry import converter, exporter
from graphwright.frontends.onnx.shapes import need_rank, nonnegative_indices
from graphwright.ir.dim import Dim, equal, product
from graphwright.ir.dtype import bool_, int32, int64
from graphwright.ir.emitter import Value
from graphwright.ir.errors import (
    ModelError,
    ShapeError,
    UnrankedError,
    UnsupportedOpError,
)

# Gather and scatter -------------------------------------------------------------------


@converter("Gather")
def gather(c: Context) -> Value:
    """``numpy.take`` along an axis."""
    x = c[0]
    axis = c.axis(c.integer("axis", 0), x.rank)
    return c.b.gather(x, nonnegative_indices(c, c[1], x.shape[axis]), axis)


@converter("GatherElements", since=11)
def gather_elements(c: Context) -> Value:
    """``numpy.take_along_axis``."""
    x = c[0]
    axis = c.axis(c.integer("axis", 0), x.rank)
    indices = nonnegative_indices(c, c[1], x.shape[axis])
    return c.b.take_along_axis(x, indices, axis)


@converter("Scatter", since=9)
@converter("ScatterElements", since=11)
def scatter_elements(c: Context) -> Value:
    """Updates replace, or combine with, what ``GatherElements`` would read."""
    x, updates = c[0], c[2]
    axis = c.axis(c.integer("axis", 0), x.rank)
    indices = nonnegative_indices(c, c[1], x.shape[axis])
    fields = {"axis": axis, "mode": _mode(c)}
    return c.b.emit("scatter_along_axis", x, indices, updates, **fields)


def _mode(c: Context) -> str:
    """How updates combine."""
    mode = c.string("reduction", "none")
    if mode not in ("none", "add", "mul", "min", "max"):
        raise UnsupportedOpError(f"{c.op_type} has no reduction {mode!r}")
    return "set" if mode == "none" else mode


def _flat_rows(c: Context, x: Value, indices: Value, batch: int) -> tuple[Value, int]:
    """Index vectors (the last axis) as positions in their axes of ``x`` flattened."""
    b = c.b
    depth = indices.shape[-1] if indices.rank else 0
    if not isinstance(depth, int):
        raise UnrankedError("the length of index vectors is not known")
    if indices.rank == 0 or batch + depth > x.rank:
        raise ShapeError(f"{c.op_type} of {x.type} at {indices.type}")
    last = indices.rank - 1
    rows = b.full(indices.shape[:-1], 0, int64)
    for i in range(depth):
        dim = x.shape[batch + i]
        column = b.squeeze(b.slice_axis(indices, last, i, i + 1), [last])
        at = nonnegative_indices(c, b.cast(column, int64), dim)
        rows = b.add(b.mul(rows, b.dim_scalar(dim, int64)), at)
    return rows, depth


@converter("GatherND", since=11)
def gather_nd(c: Context) -> Value:
    """Slices at the index vectors along the last axis of the second operand.

    The first ``batch_dims`` axes of both go in step.
    """
    b, x, batch = c.b, c[0], c.integer("batch_dims", 0)
    rows, depth = _flat_rows(c, x, c[1], batch)
    inner = x.shape[batch : batch + depth]
    tail = x.shape[batch + depth :]
    if batch == 0:
        return b.gather(b.reshape(x, (product(inner), *tail)), rows, 0)
    lead = product(x.shape[:batch])
    flat = b.reshape(x, (lead, product(inner), *tail))
    places = b.reshape(rows, (lead, *rows.shape[batch:]))
    taken = b.gather(flat, places, 1, 1)
    return b.reshape(taken, (*x.shape[:batch], *rows.shape[batch:], *tail))


@converter("ScatterND", since=11)
def scatter_nd(c: Context) -> Value:
    """Updates replace, or combine with, the slices that ``GatherND`` would read."""
    b, x = c.b, c[0]
    rows, depth = _flat_rows(c, x, c[1], 0)
    flat = b.reshape(x, (product(x.shape[:depth]), *x.shape[depth:]))
    return b.reshape(b.scatter(flat, rows, c[2], 0, _mode(c)), x.shape)


@converter("TensorScatter", since=24)
def tensor_scatter(c: Context) -> Value:
    """A cache with an update written along ``axis``, from a position for each sample.

    Mode ``circular`` wraps around at the end of the axis.
    """
    b, cache, update, start = c.b, c[0], c[1], c.optional(2)
    axis = c.axis(c.integer("axis", -2), cache.rank)
    mode, lead = c.string("mode", "linear"), update.shape[0]
    if axis == 0 or mode not in ("linear", "circular"):
        raise ModelError(f"TensorScatter along axis {axis} with mode {mode!r}")
    at = b.iota((lead, update.shape[axis]), 1, int64)
    if start is not None:
        at = b.add(at, b.expand_dims(b.cast(start, int64), [1]))
    if mode == "circular":
        at = b.rem(at, b.dim_scalar(cache.shape[axis], int64))
    return b.scatter(cache, at, update, axis, batch_dims=1)


@converter("ReverseSequence", since=10)
def reverse_sequence(c: Context) -> Value:
    """The first ``sequence_lens[i]`` elements of sequence i in opposite order."""
    b, x = c.b, c[0]
    time, batch = c.integer("time_axis", 0), c.integer("batch_axis", 1)
    if sorted((time, batch)) != [0, 1]:
        raise ModelError(f"ReverseSequence: time axis {time}, batch axis {batch}")
    swap = [batch, time, *range(2, x.rank)]
    rows = b.transpose(x, swap)
    at = b.iota(rows.shape[:2], 1, int64)
    if equal(need_rank(c, c[1], 1)[0], rows.shape[0]) is False:
        raise ShapeError(f"ReverseSequence of {x.type} with {c[1].type} lengths")
    lengths = b.expand_dims(b.cast(c[1], int64), [1])
    mirrored = b.sub(b.sub(lengths, 1), at)
    places = b.where(b.lt(at, lengths), mirrored, at)
    return b.transpose(b.gather(rows, places, 1, 1), swap)


@converter("Compress", since=9)
def compress(c: Context) -> Value:
    """The slices along ``axis`` (elements, without it) whose condition holds."""
    b, x, axis = c.b, c[0], c.integer("axis", None)
    if axis is None:
        x, axis = b.reshape(x, (x.tensor.size,)), 0
    axis = c.axis(axis, x.rank)
    return b.gather(x, b.squeeze(_nonzero(c, c[1]), [0]), axis)


def _nonzero(c: Context, x: Value) -> Value:
    return c.b.emit("nonzero", x, count=c.b.fresh_symbol())


@converter("NonZero", since=9)
def nonzero(c: Context) -> Value:
    """Positions of the elements that are not zero, one row an axis."""
    return _nonzero(c, c[0])


# Sorting ------------------------------------------------------------------------------


@converter("TopK")
def top_k_1(c: Context) -> tuple[Value, Value]:
    """The ``k`` largest along an axis, and where they are; ``k`` is an attribute."""
    return _top_k(c, c.integer("k"))


@converter("TopK", since=10)
def top_k(c: Context) -> tuple[Value, Value]:
    """The ``k`` largest (or smallest) along an axis, in order, and where they are."""
    (k,) = c.dims(c.b.reshape(c[1], (1,)), 0)
    return _top_k(c, k)


def _top_k(c: Context, k: Dim) -> tuple[Value, Value]:
    b, x = c.b, c[0]
    axis = c.axis(c.integer("axis", -1), x.rank)
    largest = bool(c.integer("largest", 1))
    values, order = b.sort(x, axis, descending=largest)
    return b.slice_axis(values, axis, 0, k), b.slice_axis(order, axis, 0, k)


# Columns to images --------------------------------------------------------------------


@converter("Col2Im", since=18)
def col2im(c: Context) -> Value:
    """Sums of the blocks of an image at the places that a convolution reads them.

    Operand ``[N, C * prod(block), L]``, blocks in C order of their places.
    """
    b, x = c.b, c[0]
    image, block = c.dims(c[1], 0), c.dims(c[2], 1)
    n = len(image)
    strides = c.integers("strides", [1] * n)
    dilations = c.integers("dilations", [1] * n)
    pads = c.integers("pads", [0] * (2 * n))
    grown = [d + pads[i] + pads[i + n] for i, d in enumerate(image)]
    places: list[Value] = []
    for i in range(n):
        reach = (block[i] - 1) * dilations[i] + 1
        count = (grown[i] - reach) // strides[i] + 1
        inner = b.mul(b.iota((block[i],), 0, int64), dilations[i])
        outer = b.mul(b.iota((count,), 0, int64), strides[i])
        places.append(b.add(b.expand_dims(inner, [1]), outer))
    return _sum_blocks(c, x, places, grown, pads, image)


def _sum_blocks(
    c: Context,
    x: Value,
    places: list[Value],
    grown: list[Dim],
    pads: list[int],
    image: tuple[Dim, ...],
) -> Value:
    """Blocks added at ``places`` (block offset x block, for each axis) of an image."""
    b, n = c.b, len(places)
    block = [p.shape[0] for p in places]
    counts = [p.shape[1] for p in places]
    flat = b.full((*block, *counts), 0, int64)
    for i, place in enumerate(places):
        shape: list[Dim] = [1] * (2 * n)
        shape[i], shape[n + i] = place.shape
        scaled = b.mul(flat, b.dim_scalar(grown[i], int64))
        flat = b.add(scaled, b.reshape(place, shape))
    batch, rows, _ = x.shape
    channels = rows // product(block)
    updates = b.reshape(x, (batch, channels, *block, *counts))
    zeros = b.full((batch, channels, product(grown)), 0, x.dtype)
    total = b.reshape(
        b.scatter(zeros, flat, updates, 2, "add"), (batch, channels, *grown)
    )
    return b.slice(total, [0, 0, *pads[:n]], [batch, channels, *image])


# Export -------------------------------------------------------------------------------


def _index(e: Export, indices: Value) -> Value:
    """Indices in a dtype that ONNX takes."""
    return indices if indices.dtype in (int32, int64) else e.b.cast(indices, int64)


@exporter("gather")
def export_gather(e: Export) -> Exported:
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
def export_nonzero(e: Export) -> str:
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
