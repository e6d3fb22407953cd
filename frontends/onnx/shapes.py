"""Shape arithmetic that converters share: inferred sizes, clamped windows, indices."""

from collections.abc import Sequence

from graphwright.frontends.onnx.context import Context, NeedsValue
from graphwright.ir.constant import Constant
from graphwright.ir.dim import (
    Dim,
    bounds,
    ceildiv,
    exact_quotient,
    floordiv,
    less_equal,
    maximum,
    minimum,
    product,
)
from graphwright.ir.dtype import int64
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ShapeError
from graphwright.ir.types import Contents

UNBOUNDED = 2**31 - 1
"""Ends from here on mean "to the end": exporters write the greatest int32 or int64."""


def known_elements(c: Context, x: Value) -> Contents:
    """What is known of each element of an integer vector, or a 0-d tensor.

    Raises:
        NeedsValue: If not even their number is known.
    """
    if x.tensor.contents is not None:
        return x.tensor.contents
    constant = c.b.known(x)
    if constant is not None:
        return tuple(int(v) for v in constant.array().ravel())
    count = x.tensor.size
    if not isinstance(count, int):
        raise NeedsValue(x)
    return (None,) * count


def need_rank(c: Context, x: Value, rank: int) -> tuple[Dim, ...]:
    """The shape of an operand that must have this rank."""
    if x.rank != rank:
        raise ShapeError(f"{c.op_type} takes an operand of rank {rank}, got {x.type}")
    return x.shape


def int_vector(c: Context, x: Value) -> Value:
    """An integer tensor of rank 0 or 1 as an int64 vector."""
    return c.b.cast(c.b.reshape(x, (x.tensor.size,)), int64)


def infer_size(shape: Sequence[Dim], others: Sequence[Dim]) -> Dim:
    """The size that makes ``others`` and it hold as many elements as ``shape``."""
    have, rest = list(shape), list(others)
    for dim in others:
        if dim in have:
            have.remove(dim)
            rest.remove(dim)
    total, given = product(have), product(rest)
    if given == 0:
        return 0
    exact = exact_quotient(total, given)
    return floordiv(total, given) if exact is None else exact


def from_end(k: Dim, dim: Dim) -> Dim:
    """A position in an axis, where negative ones count from its end."""
    low, high = bounds(k)
    if low is not None and low >= 0:
        return k
    if high is not None and high < 0:
        return k + dim
    if k == dim - 1:  # -1 only if the axis is empty: clamped to 0 either way
        return k
    negative = maximum(0, minimum(1, -k))
    return k + dim * negative


def clamp(k: Dim, low: Dim, high: Dim) -> Dim:
    """``k`` moved into ``[low, high]``; ``high`` wins if they cross."""
    if (isinstance(k, int) and k >= UNBOUNDED) or less_equal(high, k):
        return high
    if less_equal(k, high) and less_equal(low, high):
        return maximum(k, low)
    return minimum(maximum(k, low), high)


def window(dim: Dim, start: Dim, end: Dim, step: int) -> tuple[Dim, Dim]:
    """First position and count of ``start:end:step`` in an axis, as ONNX clamps."""
    if step > 0:
        first = from_end(start, dim)
        stop = clamp(from_end(end, dim), 0, dim)
        length = maximum(minimum(stop - first, stop), 0)
        return clamp(first, 0, dim), ceildiv(length, step)
    first = clamp(from_end(start, dim), 0, dim - 1)
    stop = _stop_below(end, dim)
    return first, maximum(ceildiv(first - stop, -step), 0)


def _stop_below(end: Dim, dim: Dim) -> Dim:
    if isinstance(end, int) and end <= -UNBOUNDED:
        return -1
    return clamp(from_end(end, dim), -1, dim - 1)


def nonnegative_indices(c: Context, indices: Value, size: Dim) -> Value:
    """Indices with negative ones counted from the end of an axis of ``size``."""
    b = c.b
    if indices.dtype.kind == "u":
        return indices
    constant = b.known(indices)
    if constant is not None and isinstance(size, int):
        array = constant.array()
        if array.size == 0 or array.min() >= 0:
            return indices
        resolved = array + (array < 0) * array.dtype.type(size)
        return b.constant_of(Constant.of(resolved, indices.dtype))
    contents = indices.tensor.contents
    if contents is not None and all(_never_negative(k) for k in contents):
        return indices
    moved = b.add(indices, b.dim_scalar(size, indices.dtype))
    return b.where(b.lt(indices, 0), moved, indices)


def _never_negative(k: Dim | None) -> bool:
    return k is not None and (bounds(k)[0] or 0) >= 0 and bounds(k)[0] is not None
