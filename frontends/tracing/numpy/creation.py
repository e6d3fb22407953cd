"""Arrays from shapes, ranges and data."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphwright.frontends.tracing.numpy.support import (
    float_of,
    need_rank,
    optional_dtype,
    to_dtype,
)
from graphwright.frontends.tracing.storage import known_value
from graphwright.frontends.tracing.tensor import Tensor
from graphwright.frontends.tracing.wrap import (
    Operand,
    array_function,
    as_dtype,
    axis_of,
    promote,
    result_dtype,
    shape_of,
)
from graphwright.ir.dim import Dim, Expr, ceildiv, maximum
from graphwright.ir.dlpack import from_dlpack as from_host
from graphwright.ir.dtype import DType, float64, int64
from graphwright.ir.dtype import dtype as dtype_of
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import DTypeError

__all__ = [
    "arange",
    "array",
    "asanyarray",
    "asarray",
    "ascontiguousarray",
    "astype",
    "copy",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "frombuffer",
    "fromfunction",
    "fromiter",
    "full",
    "full_like",
    "geomspace",
    "identity",
    "linspace",
    "logspace",
    "ones",
    "ones_like",
    "tri",
    "tril",
    "triu",
    "vander",
    "zeros",
    "zeros_like",
]


# From shapes --------------------------------------------------------------------------


@array_function(array=True)
def full(
    b: Emitter,
    shape: Any,
    fill_value: Operand,
    dtype: Any = None,
    order: str = "C",
    *,
    device: Any = None,
) -> Value:
    """A tensor of one repeated element."""
    d = result_dtype(fill_value) if dtype is None else dtype_of(dtype)
    return b.broadcast_to(as_dtype(b, fill_value, d), shape_of(shape))


@array_function
def zeros(
    b: Emitter, shape: Any, dtype: Any = None, order: str = "C", *, device: Any = None
) -> Value:
    """A tensor of zeros."""
    return b.full(shape_of(shape), 0, optional_dtype(dtype) or float64)


@array_function
def ones(
    b: Emitter, shape: Any, dtype: Any = None, order: str = "C", *, device: Any = None
) -> Value:
    """A tensor of ones."""
    return b.full(shape_of(shape), 1, optional_dtype(dtype) or float64)


empty = zeros


def _like(x: Value, dtype: Any, shape: Any) -> tuple[tuple[Dim, ...], DType]:
    return (
        x.shape if shape is None else shape_of(shape),
        optional_dtype(dtype) or x.dtype,
    )


@array_function(array=True)
def full_like(
    b: Emitter,
    x: Value,
    /,
    fill_value: Operand,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Value:
    """One repeated element in the shape and dtype of ``x``."""
    dims, d = _like(x, dtype, shape)
    return b.broadcast_to(as_dtype(b, fill_value, d), dims)


@array_function(array=True)
def zeros_like(
    b: Emitter,
    x: Value,
    /,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Value:
    """Zeros in the shape and dtype of ``x``."""
    dims, d = _like(x, dtype, shape)
    return b.full(dims, 0, d)


@array_function(array=True)
def ones_like(
    b: Emitter,
    x: Value,
    /,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Value:
    """Ones in the shape and dtype of ``x``."""
    dims, d = _like(x, dtype, shape)
    return b.full(dims, 1, d)


empty_like = zeros_like


def below_diagonal(b: Emitter, shape: Sequence[Dim], k: int) -> Value:
    """Whether an element of the last two axes lies on or below diagonal ``k``."""
    rank = len(shape)
    row, column = (b.iota(shape, rank - i, int64) for i in (2, 1))
    return b.le(column, b.add(row, k))


@array_function
def eye(
    b: Emitter,
    n_rows: Any,
    n_cols: Any = None,
    /,
    k: int = 0,
    dtype: Any = None,
    order: str = "C",
    *,
    device: Any = None,
    N: Any = None,  # noqa: N803
    M: Any = None,  # noqa: N803
) -> Value:
    """Ones on diagonal ``k``, zeros elsewhere."""
    columns = M if n_cols is None else n_cols
    shape = (*shape_of(n_rows), *shape_of(n_rows if columns is None else columns))
    row, column = (b.iota(shape, i, int64) for i in (0, 1))
    return b.cast(b.eq(b.sub(column, row), k), optional_dtype(dtype) or float64)


@array_function
def identity(b: Emitter, n: Any, dtype: Any = None) -> Value:
    """The identity matrix."""
    shape = (*shape_of(n), *shape_of(n))
    same = b.eq(b.iota(shape, 0, int64), b.iota(shape, 1, int64))
    return b.cast(same, optional_dtype(dtype) or float64)


@array_function
def tri(b: Emitter, N: Any, M: Any = None, k: int = 0, dtype: Any = None) -> Value:  # noqa: N803
    """Ones on and below diagonal ``k``, zeros above."""
    shape = (*shape_of(N), *shape_of(N if M is None else M))
    return b.cast(below_diagonal(b, shape, k), optional_dtype(dtype) or float64)


@array_function
def tril(b: Emitter, x: Value, /, k: int = 0) -> Value:
    """The lower triangles of the last two axes, zeros above."""
    return b.where(below_diagonal(b, _matrix(x), k), x, b.scalar(0, x.dtype))


@array_function
def triu(b: Emitter, x: Value, /, k: int = 0) -> Value:
    """The upper triangles of the last two axes, zeros below."""
    return b.where(below_diagonal(b, _matrix(x), k - 1), b.scalar(0, x.dtype), x)


def _matrix(x: Value) -> tuple[Dim, ...]:
    """The shape of a matrix or a stack of them; a vector becomes equal rows."""
    need_rank("a triangle", x, 1)
    return x.shape if x.rank > 1 else (*x.shape, *x.shape)


@array_function
def vander(
    b: Emitter,
    x: Value,
    N: int | None = None,  # noqa: N803
    increasing: bool = False,
) -> Value:
    """Powers of a vector's elements, one power a column."""
    wide = b.cast(x, result_dtype(x, int64))
    n = x.shape[0] if N is None else N
    powers = b.cast(b.iota((1, n), 1, int64), wide.dtype)
    found = b.pow(*b.align(b.expand_dims(wide, [1]), powers))
    return found if increasing else b.flip(found, [1])


# Ranges -------------------------------------------------------------------------------


def _count(start: Any, stop: Any, step: Any) -> Dim:
    """How many numbers a range has."""
    if any(isinstance(v, Expr) for v in (start, stop, step)):
        span = stop - start
        count = ceildiv(span, step) if step > 0 else ceildiv(-span, -step)
        return maximum(count, 0)
    return max(int(np.ceil((stop - start) / step)), 0)


@array_function
def arange(
    b: Emitter,
    start: Any,
    /,
    stop: Any = None,
    step: Any = 1,
    dtype: Any = None,
    *,
    device: Any = None,
) -> Value:
    """``start, start + step, ...`` below ``stop``."""
    first, last, by = (0, start, step) if stop is None else (start, stop, step)
    parts = [_number(v) for v in (first, last, by)]
    d = optional_dtype(dtype) or result_dtype(*parts)
    if not any(isinstance(v, Expr) for v in parts):
        return b.constant(np.arange(*parts, dtype=d.numpy), d)
    count = _count(*parts)
    line = b.iota((count,), 0, int64)
    begin, step_value = promote(b, parts[0], parts[2], to=int64)
    return b.cast(b.add(b.mul(line, step_value), begin), d)


def _number(x: Any) -> Any:
    """A bound of a range as a Python or NumPy number, or a dim."""
    if isinstance(x, (Expr, int, float, complex, np.generic)):
        return x
    return (x.data("a shape") if isinstance(x, Tensor) else np.asarray(x))[()]


def _spaced(b: Emitter, start: Value, stop: Value, num: int, endpoint: bool) -> Value:
    """``num`` numbers along a new first axis; the last is ``stop`` exactly."""
    start, stop = b.align(start, stop)
    parts = num - 1 if endpoint else num
    shape = (num, *start.shape)
    line = to_dtype(b, b.iota(shape, 0, float64), start.dtype)
    span = b.sub(stop, start)
    if parts <= 0:
        return b.add(b.mul(line, span), start)
    step = b.div(span, parts)
    by_step = b.mul(line, step)
    found = b.where(b.eq(step, 0), b.mul(b.div(line, parts), span), by_step)
    found = b.add(found, start)
    if not endpoint or num < 2:
        return found
    last = b.eq(b.iota(shape, 0, int64), num - 1)
    return b.where(last, stop, found)


def _between(
    b: Emitter, start: Operand, stop: Operand, num: Any, endpoint: bool
) -> Value:
    common = result_dtype(start, stop, float64) if _plain(start, stop) else None
    common = common or result_dtype(*(float_of(x.dtype) for x in (start, stop)))  # type: ignore[union-attr]
    x, y = promote(b, start, stop, to=common)
    return _spaced(b, x, y, int(num), endpoint)


def _plain(*operands: Operand) -> bool:
    return not all(isinstance(x, Value) and x.dtype.kind in "fc" for x in operands)


def _placed(b: Emitter, x: Value, axis: int) -> Value:
    """The first axis moved to ``axis``."""
    order = list(range(1, x.rank))
    order.insert(axis_of(axis, x.rank), 0)
    return b.transpose(x, order)


def _finished(b: Emitter, x: Value, axis: int, dtype: Any) -> Value:
    d = optional_dtype(dtype) or x.dtype
    if d.is_int and x.dtype.is_float:
        x = b.floor(x)
    return _placed(b, to_dtype(b, x, d), axis)


@array_function
def linspace(
    b: Emitter,
    start: Operand,
    stop: Operand,
    /,
    num: Any = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """``num`` evenly spaced numbers from ``start`` to ``stop``."""
    num = _number(num)
    if int(num) < 0:
        raise ValueError(f"number of samples, {num}, must be non-negative")
    x = _between(b, start, stop, num, endpoint)
    found = _finished(b, x, axis, dtype)
    if not retstep:
        return found
    first, last = promote(b, start, stop, to=x.dtype)
    parts = int(num) - 1 if endpoint else int(num)
    return found, b.div(b.sub(last, first), parts if parts > 0 else float("nan"))


@array_function
def logspace(
    b: Emitter,
    start: Operand,
    stop: Operand,
    /,
    num: int = 50,
    endpoint: bool = True,
    base: Operand = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Value:
    """Powers of ``base`` whose exponents are evenly spaced."""
    line = _between(b, start, stop, num, endpoint)
    radix, line = promote(b, base, line)
    return _finished(b, b.pow(*b.align(radix, line)), axis, dtype)


@array_function
def geomspace(
    b: Emitter,
    start: Operand,
    stop: Operand,
    /,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> Value:
    """``num`` numbers of a geometric progression from ``start`` to ``stop``."""
    common = result_dtype(start, stop, float64)
    first, last = b.align(*promote(b, start, stop, to=common))
    if common.kind == "c":
        raise DTypeError("geomspace takes real numbers")
    exponent = b.unary("log10", b.div(last, first))
    line = _spaced(b, b.zeros_like(exponent), exponent, num, endpoint)
    found = b.mul(b.pow(b.full(line.shape, 10, common), line), first)
    place = b.iota(found.shape, 0, int64)
    found = b.where(b.eq(place, 0), first, found)
    if endpoint and num > 1:
        found = b.where(b.eq(place, num - 1), last, found)
    return _finished(b, found, axis, dtype)


# From data ----------------------------------------------------------------------------


@array_function(view=True)
def _viewed(b: Emitter, x: Value, d: DType | None) -> Value:
    return x if d is None else to_dtype(b, x, d)


@array_function
def _copied(b: Emitter, x: Value, d: DType | None) -> Value:
    return x if d is None else to_dtype(b, x, d)


def _has_tensor(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(map(_has_tensor, x))
    return isinstance(x, (Tensor, Expr))


def asarray(
    obj: Any,
    /,
    dtype: Any = None,
    order: str | None = None,
    *,
    device: Any = None,
    copy: bool | None = None,
) -> Any:
    """A tensor of anything array-like; a tensor itself, unless it must change."""
    d = optional_dtype(dtype)
    if isinstance(obj, Tensor):
        same = d is None or obj.dtype == d.numpy
        if not same and copy is False:
            raise ValueError(f"{obj.dtype} as {d} needs a copy")
        if same and not copy and (obj._boxed or obj.ndim):
            return obj
        return _copied(obj, d).boxed()
    if copy is False and not isinstance(obj, np.ndarray):
        raise ValueError(f"{type(obj).__name__} needs a copy")
    if not _has_tensor(obj) and d is not None:
        same = isinstance(obj, np.ndarray)
        return _copied(obj if same else known_value(np.asarray(obj, d.numpy)), d)
    return _copied(obj, d)


asanyarray = asarray


def ascontiguousarray(a: Any, dtype: Any = None) -> Any:
    """A tensor in C order, of at least one axis: a copy of a view with gaps."""
    x = asarray(a, dtype)
    if not x.ndim:
        return x.reshape(1)
    return x if x.is_dense() else x.copy()


def array(
    obj: Any,
    /,
    dtype: Any = None,
    *,
    copy: bool | None = True,
    order: str = "K",
    subok: bool = False,
    ndmin: int = 0,
) -> Any:
    """A new tensor of anything array-like, of at least ``ndmin`` axes."""
    found = asarray(obj, dtype, copy=copy or None).boxed()
    missing = ndmin - found.ndim
    return found.reshape((*(1,) * missing, *found.shape)) if missing > 0 else found


def copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    """A copy that shares no storage."""
    return asarray(a, copy=True).boxed()


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """A cast; ``x`` itself if it has the dtype and ``copy`` is False."""
    d = dtype_of(dtype)
    if not copy and isinstance(x, Tensor) and x.dtype == d.numpy:
        return x
    return _copied(x, d)


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Any:
    """A tensor of the data of any object that speaks DLPack."""
    if isinstance(x, Tensor):
        return asarray(x, copy=copy)
    return asarray(from_host(x), copy=True)


def fromfunction(
    function: Any, shape: Any, *, dtype: Any = float, **options: Any
) -> Any:
    """What a function of the coordinates gives, called once with all of them."""
    dims = shape_of(shape)
    grids = [_coordinate(dims, i, dtype_of(dtype)) for i in range(len(dims))]
    return function(*grids, **options)


@array_function
def _coordinate(b: Emitter, shape: Any, axis: int, d: DType) -> Value:
    return b.iota(shape, axis, d)


def fromiter(iter: Any, dtype: Any, count: int = -1) -> Any:
    """A vector of what an iterable yields."""
    return asarray(np.fromiter(iter, dtype_of(dtype).numpy, count))


def frombuffer(
    buffer: Any, dtype: Any = float, count: int = -1, offset: int = 0
) -> Any:
    """A vector of the numbers in a buffer."""
    return asarray(np.frombuffer(buffer, dtype_of(dtype).numpy, count, offset))
