"""Operators that move elements: reshape, transpose, concat, split, tile, ..."""

from collections.abc import Sequence

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.registry import converter
from graphwright.frontends.onnx.shapes import (
    infer_size,
    int_vector,
    known_elements,
    need_rank,
)
from graphwright.ir.dim import Dim, ceildiv, equal, floordiv, product
from graphwright.ir.dtype import int64
from graphwright.ir.emitter import Value, broadcast_shape
from graphwright.ir.errors import ModelError, ShapeError, UnrankedError


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
