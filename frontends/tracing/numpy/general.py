"""Questions about arrays, and functions of functions."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphwright.frontends.einsum import einsum as contracted
from graphwright.frontends.einsum import sums
from graphwright.frontends.tracing.numpy.creation import asarray
from graphwright.frontends.tracing.numpy.joining import stack
from graphwright.frontends.tracing.numpy.manipulation import moveaxis, reshape
from graphwright.frontends.tracing.numpy.searching import select
from graphwright.frontends.tracing.tensor import Tensor
from graphwright.frontends.tracing.wrap import (
    Operand,
    array_function,
    axes_of,
    axis_of,
    promote,
    unsupported,
)
from graphwright.ir.dim import equal as equal_dims
from graphwright.ir.dim import minimum, product
from graphwright.ir.dtype import DTYPES, bool_, int64
from graphwright.ir.dtype import dtype as dtype_of
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ShapeError

__all__ = [
    "apply_along_axis",
    "apply_over_axes",
    "array_equal",
    "array_equiv",
    "einsum",
    "einsum_path",
    "iscomplexobj",
    "isrealobj",
    "isscalar",
    "iterable",
    "may_share_memory",
    "ndenumerate",
    "ndim",
    "piecewise",
    "require",
    "shape",
    "shares_memory",
    "size",
    "vectorize",
    "view",
]


# Questions ----------------------------------------------------------------------------


def shape(a: Any) -> Any:
    """The sizes of an array's axes."""
    return asarray(a).shape


def ndim(a: Any) -> Any:
    """The number of an array's axes."""
    return asarray(a).ndim


def size(a: Any, axis: int | tuple[int, ...] | None = None) -> Any:
    """The number of elements, or that along an axis or axes."""
    x = asarray(a)
    if axis is None:
        return x.size
    return product([x.shape[i] for i in axes_of(axis, x.ndim)])


def ndenumerate(arr: Any) -> Any:
    """Indices and elements, of an array of known sizes."""
    x = asarray(arr)
    return ((index, x[index]) for index in np.ndindex(*x.shape))


def isscalar(element: Any) -> bool:
    """Whether this is a Python or NumPy number or string, no array."""
    return bool(np.isscalar(element))


def iterable(y: Any) -> bool:
    """Whether ``iter(y)`` works."""
    return bool(np.iterable(y))


def iscomplexobj(x: Any) -> bool:
    """Whether an array's dtype is complex."""
    return bool(asarray(x).dtype.kind == "c")


def isrealobj(x: Any) -> bool:
    """Whether an array's dtype is not complex."""
    return not iscomplexobj(x)


def may_share_memory(a: Any, b: Any, max_work: int | None = None) -> bool:
    """Whether two tensors are handles on one storage."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return bool(a._cell is b._cell)
    return a is b


shares_memory = may_share_memory


def _all_equal(b: Emitter, x: Value, y: Value, equal_nan: bool) -> Value:
    x, y = b.align(*promote(b, x, y))
    same = b.eq(x, y)
    if equal_nan and x.dtype.kind in "fc":
        same = b.or_(same, b.and_(b.is_nan(x), b.is_nan(y)))
    return b.reduce("min", same, range(same.rank))


@array_function
def array_equal(b: Emitter, a1: Value, a2: Value, equal_nan: bool = False) -> Value:
    """Whether shapes and all elements are equal; a run may tell of the shapes."""
    pairs = list(zip(a1.shape, a2.shape, strict=False))
    if a1.rank != a2.rank or any(equal_dims(m, n) is False for m, n in pairs):
        return b.full((), False, bool_)
    common, start = [minimum(m, n) for m, n in pairs], [0] * a1.rank
    a1, a2 = b.slice(a1, start, common), b.slice(a2, start, common)
    found = _all_equal(b, a1, a2, equal_nan)
    for m, n in pairs:
        if equal_dims(m, n) is None:
            found = b.and_(found, b.eq(b.dim_scalar(m, int64), b.dim_scalar(n, int64)))
    return found


@array_function
def array_equiv(b: Emitter, a1: Value, a2: Value) -> Value:
    """Whether arrays broadcast to each other and are equal then."""
    try:
        return _all_equal(b, a1, a2, False)
    except ShapeError:
        return b.full((), False, bool_)


# Sums of products ---------------------------------------------------------------------


def _with_letters(args: Sequence[Any]) -> tuple[Any, ...]:
    """``einsum(a, [0, 1], b, [1, 2], [0, 2])`` with letters for numbers."""

    def word(labels: Any) -> str:
        return "".join("..." if n is Ellipsis else _LETTERS[n] for n in labels)

    pairs = len(args) // 2
    terms = ",".join(word(args[2 * i + 1]) for i in range(pairs))
    arrow = f"->{word(args[-1])}" if len(args) % 2 else ""
    return (terms + arrow, *args[: 2 * pairs : 2])


_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def einsum(
    *operands: Any, optimize: Any = False, dtype: Any = None, **options: Any
) -> Any:
    """Products of elements with equal labels, summed over labels not in the output."""
    if not isinstance(operands[0], str):
        operands = _with_letters(operands)
    return _einsum(operands[0], list(operands[1:]), dtype, out=options.get("out"))


@array_function
def _einsum(
    b: Emitter, equation: str, operands: Sequence[Operand], dtype: Any
) -> Value:
    values = promote(b, *operands, to=None if dtype is None else dtype_of(dtype))
    if values[0].dtype is not bool_:
        found = contracted(b, equation, values)
        whole = found.dtype.kind in "iu" or len(values) == 1 or sums(equation)
        return found if whole else b.add(found, 0)  # NumPy adds to 0: there is no -0
    counts = [b.cast(v, DTYPES["float32"]) for v in values]
    return b.cast(contracted(b, equation, counts), bool_)


def einsum_path(*operands: Any, optimize: Any = "greedy", **options: Any) -> Any:
    """The order of contraction that NumPy would choose for operands of these shapes."""

    def form(x: Any) -> Any:
        return np.broadcast_to(0.0, x.shape) if hasattr(x, "shape") else x

    empty = list(map(form, operands))
    return np.einsum_path(*empty, optimize=optimize)


# Functions of functions ---------------------------------------------------------------


def apply_along_axis(
    function: Any, axis: int, arr: Any, *args: Any, **options: Any
) -> Any:
    """What a function of vectors gives for each lane along an axis."""
    x = asarray(arr)
    place = axis_of(axis, x.ndim)
    moved = moveaxis(x, place, -1)
    lead = moved.shape[:-1]
    lanes = reshape(moved, (product(lead), moved.shape[-1]))
    if not len(lanes):
        raise ShapeError("apply_along_axis of no lanes: nothing says what they give")
    rows = [asarray(function(lane, *args, **options)) for lane in lanes]
    found = reshape(stack(rows), (*lead, *rows[0].shape))
    sources = range(len(lead), found.ndim)
    return moveaxis(
        found, tuple(sources), tuple(place + i for i in range(len(sources)))
    )


def apply_over_axes(func: Any, a: Any, axes: Any) -> Any:
    """A reduction over one axis after the other, all axes kept."""
    x = asarray(a)
    for axis in axes if isinstance(axes, (tuple, list)) else (axes,):
        found = func(x, axis)
        x = found if found.ndim == x.ndim else reshape(found, _kept(x, axis))
    return x


def _kept(x: Any, axis: int) -> tuple[Any, ...]:
    place = axis_of(axis, x.ndim)
    return tuple(1 if i == place else n for i, n in enumerate(x.shape))


def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **options: Any) -> Any:
    """Of several functions or numbers, for each element that of the last condition."""
    values = asarray(x)
    single = not isinstance(condlist, (list, tuple))
    conditions = [condlist] if single else list(condlist)
    found = [f(values, *args, **options) if callable(f) else f for f in funclist]
    default = 0
    if len(found) == len(conditions) + 1:
        default = found.pop()
    chosen = select(conditions[::-1], found[::-1], default)
    return chosen.astype(values.dtype)


class vectorize:  # noqa: N801
    """A function of arrays from one of numbers, called with whole arrays.

    The function must consist of operations that broadcast.
    """

    def __init__(
        self,
        pyfunc: Callable[..., Any] | None = None,
        otypes: Any = None,
        doc: str | None = None,
        excluded: Any = None,
        cache: bool = False,
        signature: str | None = None,
    ) -> None:
        if signature is not None:
            raise unsupported("vectorize with a signature", "use gw.vmap")
        self.pyfunc = pyfunc

    def __call__(self, *args: Any, **options: Any) -> Any:
        """What the function gives for whole arrays; first, the function itself."""
        if self.pyfunc is None:
            return vectorize(args[0])
        return self.pyfunc(*(asarray(x) for x in args), **options)


@array_function(view=True)
def view(b: Emitter, x: Value, dtype: Any) -> Value:
    """The same bits as a dtype of the same width."""
    return b.emit("bitcast", x, dtype=dtype_of(dtype))


def require(a: Any, dtype: Any = None, requirements: Any = None) -> Any:
    """``asarray``: memory layouts do not show."""
    return asarray(a, dtype)
