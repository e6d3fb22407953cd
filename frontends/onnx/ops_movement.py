"""Operators that move elements: reshape, transpose, concat, split, tile, ..."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.kernels import holder
from graphwright.frontends.onnx.registry import converter, exporter
from graphwright.frontends.onnx.shapes import (
    infer_size,
    int_vector,
    known_elements,
    need_rank,
)
from graphwright.ir.constant import Constant
from graphwright.ir.dim import (
    Dim,
    Expr,
    bounds,
    ceildiv,
    equal,
    floordiv,
    maximum,
    minimum,
    product,
)
from graphwright.ir.dtype import bool_, int64
from graphwright.ir.emitter import Value, broadcast_shape
from graphwright.ir.errors import ModelError, ShapeError, UnrankedError
from graphwright.ir.graph import Node


@converter("Identity")
def identity(c: Context) -> Value:
    """The operand itself, of any type."""
    return c[0]


# Reshape ------------------------------------------------------------------------------


@converter("Reshape")
def reshape_1(c: Context) -> Value:
    """Reshape to the attribute ``shape``, where 0 keeps a size and -1 is inferred."""
    return c.b.reshape(c[0], _target(c[0].shape, c.integers("shape"), keep_zero=False))


@converter("Reshape", since=5)
def reshape(c: Context) -> Value:
    """Reshape to an operand's elements: 0 keeps a size (or is 0), -1 is inferred."""
    x, shape, keep_zero = c[0], c[1], bool(c.integer("allowzero", 0))
    wanted = [k for k in known_elements(c, shape) if k is not None]
    if shape.tensor.size != len(wanted):
        wanted = list(c.dims(_resolved(c, x, shape, keep_zero), 0))
    return c.b.reshape(x, _target(x.shape, wanted, keep_zero=keep_zero))


def _target(
    shape: Sequence[Dim], wanted: Sequence[Dim], *, keep_zero: bool
) -> list[Dim]:
    """The shape that known elements of a Reshape ask for."""
    target: list[Dim] = []
    unknown: list[int] = []
    for i, dim in enumerate(wanted):
        target.append(dim)
        if dim == 0 and not keep_zero:
            if i >= len(shape):
                raise ShapeError(f"Reshape of {list(shape)}: no axis {i} to copy")
            target[i] = shape[i]
        elif dim == -1:
            unknown.append(i)
    if len(unknown) > 1:
        raise ShapeError(f"Reshape to {list(wanted)}: only one size can be -1")
    for i in unknown:
        target[i] = infer_size(shape, target[:i] + target[i + 1 :])
    return target


def _resolved(c: Context, x: Value, shape: Value, keep_zero: bool) -> Value:
    """A shape operand with 0 and -1 replaced at run time, where it must be."""
    b, wanted = c.b, int_vector(c, shape)
    (count,) = wanted.shape
    if not keep_zero and isinstance(count, int):
        own = [*x.shape[:count], *[0] * (count - x.rank)]
        wanted = b.where(b.eq(wanted, 0), b.size_of(*own), wanted)
    minus = b.eq(wanted, -1)
    others = b.reduce("prod", b.where(minus, 1, wanted), [0])
    inferred = b.div(b.dim_scalar(x.tensor.size, int64), others)
    return b.where(minus, inferred, wanted)


@converter("Flatten")
def flatten(c: Context) -> Value:
    """Two axes: those before ``axis``, and the others."""
    x, axis = c[0], c.integer("axis", 1)
    axis = axis + x.rank if axis < 0 else axis
    if not 0 <= axis <= x.rank:
        raise ModelError(f"Flatten: axis {axis} does not fit rank {x.rank}")
    return c.b.reshape(x, (product(x.shape[:axis]), product(x.shape[axis:])))


def _given_axes(c: Context) -> list[int] | None:
    """Axes from the second operand, which replaced the attribute in opset 13."""
    if len(c.inputs) < 2:
        return c.integers("axes", None)
    axes = c.optional(1)
    return None if axes is None else c.int_list(axes)


@converter("Squeeze")
def squeeze(c: Context) -> Value:
    """Without the given axes of size 1, or without all such axes."""
    x, axes = c[0], _given_axes(c)
    if axes is None:
        if any(equal(d, 1) is None for d in x.shape):
            raise UnrankedError("which axes have size 1 is not known")
        return c.b.squeeze(x, [i for i, d in enumerate(x.shape) if d == 1])
    axes = c.axes(axes, x.rank)
    if any(equal(x.shape[a], 1) is False for a in axes):
        raise ShapeError(f"Squeeze of axes {axes} of {x.type}: sizes are not 1")
    return c.b.squeeze(x, axes)


@converter("Unsqueeze")
def unsqueeze(c: Context) -> Value:
    """New axes of size 1 at the given positions of the result."""
    x, axes = c[0], _given_axes(c)
    if axes is None:
        raise ModelError("Unsqueeze lacks axes")
    places = c.axes(axes, x.rank + len(axes))
    if len(set(places)) != len(places):
        raise ModelError(f"Unsqueeze: axes {axes} repeat one")
    return c.b.expand_dims(x, places)


@converter("Transpose")
def transpose(c: Context) -> Value:
    """Axes in the order ``perm``, reversed by default."""
    x = c[0]
    perm = c.integers("perm", None)
    return c.b.transpose(x, perm if perm is not None else range(x.rank)[::-1])


# Joining, cutting, repeating ----------------------------------------------------------


@converter("Concat")
def concat_1(c: Context) -> Value:
    """Tensors one after the other; along axis 1 by default, as first defined."""
    return _concat(c, c.integer("axis", 1))


@converter("Concat", since=4)
def concat(c: Context) -> Value:
    """Tensors one after the other along ``axis``."""
    return _concat(c, c.integer("axis"))


def _concat(c: Context, axis: int) -> Value:
    xs = c.values()
    return c.b.concat(xs, c.axis(axis, xs[0].rank))


@converter("Split")
def split(c: Context) -> list[Value]:
    """Parts of the given sizes, by attribute or operand, else equal ones."""
    x = c[0]
    axis = c.axis(c.integer("axis", 0), x.rank)
    sizes, given = c.optional(1), c.integers("split", None)
    if sizes is not None:
        parts: Sequence[Dim] = c.dims(sizes, 0)
    else:
        parts = given if given is not None else _equal_parts(c, x.shape[axis])
    if equal(sum_of(parts), x.shape[axis]) is False:
        raise ShapeError(f"Split of axis {axis} of {x.type} into {list(parts)}")
    return c.b.split(x, parts, axis)


def _equal_parts(c: Context, dim: Dim) -> list[Dim]:
    """Equal parts, of which only the last may be smaller (since opset 18)."""
    count = c.integer("num_outputs", len(c.outputs))
    if count < 1:
        raise ModelError(f"Split into {count} parts")
    if c.version < 18:
        return [floordiv(dim, count)] * count
    part = ceildiv(dim, count)
    return [part] * (count - 1) + [dim - part * (count - 1)]


def sum_of(dims: Sequence[Dim]) -> Dim:
    """The sum of dims."""
    total: Dim = 0
    for dim in dims:
        total = total + dim
    return total


@converter("Expand", since=8)
def expand(c: Context) -> Value:
    """Broadcasting with a shape, in both directions."""
    x, shape = c[0], c.dims(c[1], 0)
    return c.b.broadcast_to(x, broadcast_shape(x.shape, shape))


@converter("Tile")
def tile_1(c: Context) -> Value:
    """``tiles`` copies along ``axis``, both operands."""
    x = c[0]
    (count,), axis = c.dims(c[1], 0), c.axis(c.int_list(c[2])[0], x.rank)
    repeats: list[Dim] = [1] * x.rank
    repeats[axis] = count
    return _tile(c, x, repeats)


@converter("Tile", since=6)
def tile(c: Context) -> Value:
    """``numpy.tile``: one count an axis."""
    x, repeats = c[0], c.dims(c[1], 0)
    if len(repeats) != x.rank:
        raise ShapeError(f"Tile of {x.type} with {len(repeats)} counts")
    return _tile(c, x, repeats)


def _tile(c: Context, x: Value, repeats: Sequence[Dim]) -> Value:
    apart: list[Dim] = []
    wide: list[Dim] = []
    for dim, count in zip(x.shape, repeats, strict=True):
        if count != 1:
            apart.append(1)
            wide.append(count)
        apart.append(dim)
        wide.append(dim)
    shape = [d * n for d, n in zip(x.shape, repeats, strict=True)]
    return c.b.reshape(c.b.broadcast_to(c.b.reshape(x, apart), wide), shape)


# Space and depth ----------------------------------------------------------------------


@converter("SpaceToDepth")
def space_to_depth(c: Context) -> Value:
    """Blocks of an image become channels; ``mode`` as in ``DepthToSpace``."""
    b, x, k = c.b, c[0], c.integer("blocksize")
    n, depth, h, w = need_rank(c, x, 4)
    h, w = floordiv(h, k), floordiv(w, k)
    parts = b.reshape(x, (n, depth, h, k, w, k))
    first = c.string("mode", "DCR") == "DCR"
    moved = b.transpose(parts, (0, 3, 5, 1, 2, 4) if first else (0, 1, 3, 5, 2, 4))
    return b.reshape(moved, (n, depth * k * k, h, w))


@converter("DepthToSpace")
def depth_to_space(c: Context) -> Value:
    """Channels become blocks of an image.

    Mode ``DCR`` (default) takes the block position slowest in a channel, ``CRD``
    fastest.
    """
    b, x, k = c.b, c[0], c.integer("blocksize")
    n, channels, h, w = need_rank(c, x, 4)
    depth = floordiv(channels, k * k)
    if c.string("mode", "DCR") == "DCR":
        parts = b.reshape(x, (n, k, k, depth, h, w))
        moved = b.transpose(parts, (0, 3, 4, 1, 5, 2))
    else:
        parts = b.reshape(x, (n, depth, k, k, h, w))
        moved = b.transpose(parts, (0, 1, 4, 2, 5, 3))
    return b.reshape(moved, (n, depth, h * k, w * k))


# Export -------------------------------------------------------------------------------


_LAST = -(2**63) + 1


@exporter("reshape")
def export_reshape(e: Export) -> Exported:
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
    rest = [_target_shape(e, x, shape)]
    return e.held("Reshape", e[0], rest=rest, **_allow_zero(e, shape))


def _target_shape(e: Export, x: Value, shape: Sequence[Dim]) -> str:
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
def export_transpose(e: Export) -> Exported:
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
def export_concat(e: Export) -> Exported:
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
