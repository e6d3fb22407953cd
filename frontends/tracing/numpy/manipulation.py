"""Shapes, axes and order of elements."""

from collections.abc import Sequence
from typing import Any

from graphwright.frontends.tracing.numpy.support import flat
from graphwright.frontends.tracing.wrap import (
    Operand,
    array_function,
    axes_of,
    axis_of,
    shape_of,
    unsupported,
)
from graphwright.ir.dim import Dim, equal, exact_quotient, maximum, product
from graphwright.ir.dtype import int64
from graphwright.ir.emitter import Emitter, Value, broadcast_shape
from graphwright.ir.errors import DTypeError, ShapeError

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast",
    "broadcast_arrays",
    "broadcast_shapes",
    "broadcast_to",
    "expand_dims",
    "flip",
    "fliplr",
    "flipud",
    "matrix_transpose",
    "moveaxis",
    "permute_dims",
    "ravel",
    "reshape",
    "resize",
    "roll",
    "rollaxis",
    "rot90",
    "squeeze",
    "swapaxes",
    "transpose",
]


def resolved_shape(x: Value, shape: Any) -> tuple[Dim, ...]:
    """A shape in which one size may be -1: what the others leave."""
    dims = list(shape_of(shape))
    unknown = [i for i, d in enumerate(dims) if isinstance(d, int) and d == -1]
    if any(isinstance(d, int) and d < -1 for d in dims) or len(unknown) > 1:
        raise ShapeError(f"reshape of {x.type} to {dims}: one size may be -1")
    if unknown:
        rest = product([d for d in dims if not (isinstance(d, int) and d == -1)])
        dims[unknown[0]] = _quotient(x, product(x.shape), rest)
    return tuple(dims)


def _quotient(x: Value, size: Dim, rest: Dim) -> Dim:
    if isinstance(size, int) and isinstance(rest, int):
        if rest == 0 or size % rest:
            raise ShapeError(f"{x.type} cannot be cut into parts of {rest} elements")
        return size // rest
    exact = exact_quotient(size, rest)
    return size // rest if exact is None else exact


@array_function(view=True, array=True)
def reshape(
    b: Emitter,
    x: Value,
    /,
    shape: Any = None,
    order: str = "C",
    *,
    copy: bool | None = None,
    newshape: Any = None,
) -> Value:
    """Another shape of the same elements; one size may be -1."""
    dims = resolved_shape(x, newshape if shape is None else shape)
    if order == "F":
        turned = b.reshape(b.transpose(x, range(x.rank)[::-1]), dims[::-1])
        return b.transpose(turned, range(len(dims))[::-1])
    return b.reshape(x, dims)


@array_function(view=True, dense=True)
def ravel(b: Emitter, x: Value, /, order: str = "C") -> Value:
    """One axis of all elements."""
    if order == "F":
        x = b.transpose(x, range(x.rank)[::-1])
    return flat(b, x)


@array_function
def resize(b: Emitter, x: Value, /, new_shape: Any) -> Value:
    """Another shape, the elements repeated as often as it takes."""
    dims = shape_of(new_shape)
    size, total = product(x.shape), product(dims)
    if not isinstance(size, int) or not isinstance(total, int):
        raise ShapeError("resize takes known sizes")
    if size == 0:
        return b.full(dims, 0, x.dtype)
    copies = -(-total // size)
    line = b.concat([flat(b, x)] * max(copies, 1), 0)
    return b.reshape(b.slice_axis(line, 0, 0, total), dims)


@array_function(view=True)
def expand_dims(b: Emitter, x: Value, /, axis: Any) -> Value:
    """New axes of size 1 at these places of the result."""
    places = axis if isinstance(axis, (tuple, list)) else (axis,)
    return b.expand_dims(x, axes_of(tuple(places), x.rank + len(places)))


@array_function(view=True)
def squeeze(b: Emitter, x: Value, /, axis: Any = None) -> Value:
    """Without axes of size 1: those named, or all."""
    if axis is None:
        axes = tuple(i for i, d in enumerate(x.shape) if _is_one(x, d))
    else:
        axes = axes_of(axis, x.rank)
    for i in axes:
        if isinstance(x.shape[i], int) and x.shape[i] != 1:
            raise ShapeError(f"squeeze of axis {i} of {x.type}: its size is not 1")
    return b.squeeze(x, axes)


def _is_one(x: Value, size: Dim) -> bool:
    """Whether an axis has one element.

    Raises:
        ShapeError: If only a run knows.
    """
    one = equal(size, 1)
    if one is None:
        raise ShapeError(
            f"squeeze of {x.type}: only a run tells whether {size} is 1: give axis="
        )
    return one


@array_function(view=True)
def permute_dims(b: Emitter, x: Value, /, axes: Any) -> Value:
    """Axes in another order."""
    return b.transpose(x, axes_of(tuple(axes), x.rank))


@array_function(view=True)
def transpose(b: Emitter, x: Value, /, axes: Any = None) -> Value:
    """Axes in another order; by default the reverse."""
    order = range(x.rank)[::-1] if axes is None else axes_of(tuple(axes), x.rank)
    return b.transpose(x, order)


@array_function(view=True)
def matrix_transpose(b: Emitter, x: Value, /) -> Value:
    """The last two axes swapped."""
    return transposed(b, x)


def transposed(b: Emitter, x: Value) -> Value:
    """The last two axes swapped."""
    if x.rank < 2:
        raise ShapeError(f"matrix_transpose takes matrices, got {x.type}")
    return b.transpose(x, (*range(x.rank - 2), x.rank - 1, x.rank - 2))


def move(b: Emitter, x: Value, source: Sequence[int], target: Sequence[int]) -> Value:
    """Axes ``source`` at the places ``target``, the others in order."""
    if len(source) != len(target):
        raise ShapeError(f"moveaxis of {len(source)} axes to {len(target)} places")
    order = [i for i in range(x.rank) if i not in source]
    for place, axis in sorted(zip(target, source, strict=True)):
        order.insert(place, axis)
    return b.transpose(x, order)


@array_function(view=True)
def moveaxis(b: Emitter, x: Value, source: Any, destination: Any, /) -> Value:
    """Axes moved to other places, the others in order."""
    return move(b, x, axes_of(source, x.rank), axes_of(destination, x.rank))


@array_function(view=True)
def swapaxes(b: Emitter, x: Value, axis1: int, axis2: int, /) -> Value:
    """Two axes swapped."""
    i, j = axis_of(axis1, x.rank), axis_of(axis2, x.rank)
    order = list(range(x.rank))
    order[i], order[j] = j, i
    return b.transpose(x, order)


@array_function(view=True)
def rollaxis(b: Emitter, x: Value, /, axis: int, start: int = 0) -> Value:
    """An axis moved before another."""
    source = axis_of(axis, x.rank)
    target = start + x.rank if start < 0 else start
    return move(b, x, [source], [target - (source < target)])


@array_function(view=True)
def _flipped(b: Emitter, x: Value, axis: Any) -> Value:
    return b.flip(x, axes_of(axis, x.rank))


def flip(m: Any, /, axis: Any = None) -> Any:
    """Elements in the opposite order along axes, by default all."""
    found = _flipped(m, axis)
    return found if found.ndim else type(found).make(found.read())  # a scalar


@array_function(view=True)
def flipud(b: Emitter, x: Value, /) -> Value:
    """Rows in the opposite order."""
    return b.flip(x, axes_of((0,), x.rank))


@array_function(view=True)
def fliplr(b: Emitter, x: Value, /) -> Value:
    """Columns in the opposite order."""
    return b.flip(x, axes_of((1,), x.rank))


@array_function(view=True)
def rot90(b: Emitter, x: Value, /, k: int = 1, axes: Any = (0, 1)) -> Value:
    """Turned by ``k`` right angles from the first axis towards the second."""
    i, j = axes_of(tuple(axes), x.rank)
    order = list(range(x.rank))
    order[i], order[j] = j, i
    match k % 4:
        case 0:
            return x
        case 1:
            return b.transpose(b.flip(x, [j]), order)
        case 2:
            return b.flip(x, [i, j])
        case _:
            return b.flip(b.transpose(x, order), [j])


def _sources(b: Emitter, n: Dim, shift: Value) -> Value:
    """Where each element comes from if the shift is known in a run only."""
    if shift.dtype.kind not in "iu":
        raise DTypeError(f"roll takes integers as shifts, got {shift.dtype.name}")
    if shift.rank:
        raise ShapeError(f"roll takes one number as a shift, got {shift.type}")
    size = b.dim_scalar(n, int64)
    start = b.sub(size, b.rem(b.cast(shift, int64), size))
    return b.rem(b.add(b.iota((n,), 0, int64), start), size)


def rolled(b: Emitter, x: Value, shift: Any, axis: int) -> Value:
    """Elements moved along one axis, what leaves at the end entering at the front."""
    n = x.shape[axis]
    if isinstance(n, int) and n == 0:
        return x
    if isinstance(shift, Value):
        return b.gather(x, _sources(b, n, shift), axis)
    cut = (-shift) % maximum(n, 1)
    if isinstance(cut, int) and cut == 0:
        return x
    parts = [b.slice_axis(x, axis, cut, n), b.slice_axis(x, axis, 0, cut)]
    return b.concat(parts, axis)


@array_function(array=True)
def _roll(b: Emitter, x: Value, shifts: Sequence[Operand], places: Any) -> Value:
    if places is None:
        line = flat(b, x)
        for n in shifts:
            line = rolled(b, line, n, 0)
        return b.reshape(line, x.shape)
    many = max(len(shifts), len(places))
    if any(len(v) not in (1, many) for v in (shifts, places)):
        raise ShapeError(f"roll by {len(shifts)} shifts along {len(places)} axes")
    for i in range(many):
        n, place = (v[i % len(v)] for v in (shifts, places))
        x = rolled(b, x, n, axis_of(place, x.rank))
    return x


def roll(x: Any, /, shift: Any, axis: Any = None) -> Any:
    """Elements moved along axes, what leaves at the end entering at the front.

    Args:
        x: The array.
        shift: How far: an integer, known or traced, or one for each axis.
        axis: An axis or several; None to move through the flattened array.

    Raises:
        ShapeError: If there are neither as many shifts as axes nor one of either.
    """
    many = isinstance(shift, (tuple, list)) or getattr(shift, "ndim", 0) == 1
    places = list(axis) if isinstance(axis, (tuple, list)) else [axis]
    return _roll(x, list(shift) if many else [shift], None if axis is None else places)


# Broadcasting -------------------------------------------------------------------------


@array_function(view=True, array=True)
def broadcast_to(b: Emitter, x: Value, /, shape: Any, subok: bool = False) -> Value:
    """Repeated to a shape."""
    return b.broadcast_to(x, shape_of(shape))


def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Any, ...]:
    """Arrays repeated to their common shape."""
    shape = broadcast_shape(*map(_sizes, args))
    return tuple(broadcast_to(x, shape) for x in args)


def broadcast_shapes(*shapes: Any) -> tuple[Dim, ...]:
    """The shape to which shapes broadcast."""
    return broadcast_shape(*(shape_of(s) for s in shapes))


class broadcast:  # noqa: N801
    """The shape to which arrays broadcast, as ``numpy.broadcast`` tells it."""

    def __init__(self, *arrays: Any) -> None:
        self.shape = broadcast_shape(*map(_sizes, arrays))
        self.numiter = len(arrays)

    ndim = nd = property(lambda self: len(self.shape))
    size = property(lambda self: product(self.shape))

    def __iter__(self) -> Any:
        raise unsupported("iterating over np.broadcast", "use np.broadcast_arrays")


@array_function
def _sizes(b: Emitter, x: Value) -> Any:
    return x.shape


def _at_least(b: Emitter, x: Value, rank: int) -> Value:
    if rank == 3 and x.rank in (1, 2):
        return b.expand_dims(x, [2] if x.rank == 2 else [0, 2])
    return b.expand_dims(x, range(max(rank - x.rank, 0)))


def _atleast(b: Emitter, arrays: Sequence[Value], rank: int) -> Any:
    found = tuple(_at_least(b, x, rank) for x in arrays)
    return found[0] if len(found) == 1 else found


@array_function(view=True)
def atleast_1d(b: Emitter, *arrays: Value) -> Any:
    """Numbers as vectors; the rest as they are."""
    return _atleast(b, arrays, 1)


@array_function(view=True)
def atleast_2d(b: Emitter, *arrays: Value) -> Any:
    """Vectors as rows of a matrix; the rest as they are."""
    return _atleast(b, arrays, 2)


@array_function(view=True)
def atleast_3d(b: Emitter, *arrays: Value) -> Any:
    """Matrices with a last axis of size 1; the rest as they are."""
    return _atleast(b, arrays, 3)
