"""Array functions: written once against an emitter, called with anything array-like.

This is the interface that ``graphwright.numpy`` is written against.

    @array_function
    def matmul(b: Emitter, x1: Value, x2: Value, /) -> Value:
        x1, x2 = promote(b, x1, x2)
        return b.matmul(x1, x2)

The wrapped function loses the parameter ``b``: ``matmul(t, [[1, 2]])`` gives a
``Tensor``. Outside a trace ``b`` builds lazy expressions, inside it builds the traced
graph; a body cannot tell which. Arguments are converted by the *annotation* of their
parameter:

``Value``
    A tensor, numpy array or scalar, nested list, Python number or dim, as a value with
    a dtype of its own: a Python float is float64, an int int64.
``Operand``
    The same, but Python numbers and dims stay as they are: they are weak, and
    ``promote``, ``result_dtype`` and ``as_dtype`` know them. Elementwise functions and
    all that mix operands take these.
``Sequence[Value]``, ``Sequence[Operand]``
    A list of such (``concat``, ``stack``); a single array is taken apart along axis 0.
``... | None``
    The same, or None.
anything else
    Static, passed through untouched: axes, shapes, dtypes, flags, strings. Read them
    with ``axis_of``, ``axes_of``, ``shape_of`` and ``ir.dtype.dtype``.

Results: a value becomes a tensor; tuples, lists and named tuples of values keep their
kind; all else passes through. Every array function also takes ``out=``, a tensor (or a
tuple of them) that is written, with ``same_kind`` casts, and returned.

``@array_function(view=True)`` says that NumPy returns a view here (transpose, squeeze,
``broadcast_to``, ``flip``, ``ravel``, ...): where the result was made from the first
argument by ``slice``, ``transpose``, ``reshape`` and ``broadcast_to`` alone, it shares
the argument's storage, so that writing to one is seen in the other. Whether a reshape
can be a view is decided by NumPy's rule for strides; nothing is left to the body. With
``dense=True`` only an argument in C order without gaps gives a view (``ravel``).

Shapes may hold symbolic dims: ``x.shape[i] - 1`` works for both; ``operator.index`` or
comparing them does not. What depends on data (``nonzero``, ``unique``) takes its sizes
from ``b.fresh_symbol()``, outside a trace they are found at once. A body that must know
a value asks ``concrete(b, x, "what for")``.

Functions in terms of other wrapped functions, or that write to their argument
(``copyto``, ``put``, ``fill_diagonal``), are plain Python over ``Tensor``:
``x[index] = value`` and ``x += y`` have NumPy's meaning.

A tensor's operators are in ``arithmetic.py``: array functions with NumPy's meaning, for
the namespace to use as well; indexing is in ``indexing.py``.
``numpy.f(tensor)`` and ufuncs are sent to the namespace's function of the same dotted
name, a ufunc's methods (``numpy.add.reduce``) to its attribute of the method's name.
Functions that are not supported raise ``unsupported(name, cure)``.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from inspect import Parameter, signature
from operator import index
from typing import Any, get_args, get_origin, overload

import numpy as np

from graphwright.frontends.tracing import state
from graphwright.frontends.tracing.promotion import (
    Operand,
    as_dtype,
    promote,
    result_dtype,
    strong,
)
from graphwright.frontends.tracing.small import Recipes
from graphwright.frontends.tracing.spelling import Spelling
from graphwright.frontends.tracing.storage import (
    Handle,
    concrete,
    known_array,
    operand_of,
)
from graphwright.ir.dim import Dim, Expr
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import DTypeError, GraphwrightError, ShapeError, TraceError

__all__ = [
    "Operand",
    "array_function",
    "as_dtype",
    "axes_of",
    "axis_of",
    "concrete",
    "folded_axes",
    "known_array",
    "lane_axis",
    "promote",
    "result_dtype",
    "shape_of",
    "strong",
    "unsupported",
    "write_cast",
]

Convert = Callable[[Emitter, Any], Any]


# Arguments ----------------------------------------------------------------------------


def _value(b: Emitter, x: Any) -> Value:
    return strong(b, operand_of(b, x))


def _each(convert: Convert) -> Convert:
    def run(b: Emitter, xs: Any) -> Any:
        return [convert(b, x) for x in xs]

    return run


def _or_none(convert: Convert) -> Convert:
    def run(b: Emitter, x: Any) -> Any:
        return None if x is None else convert(b, x)

    return run


def _converter(annotation: Any) -> Convert | None:
    """How to convert what a parameter with this annotation gets; None where static."""
    parts = get_args(annotation)
    if get_origin(annotation) is not None and issubclass(_origin(annotation), Sequence):
        element = _converter(parts[0])
        return None if element is None else _each(element)
    members = parts or (annotation,)
    sequences = [m for m in members if get_args(m)]
    convert: Convert | None = None
    if Value in members:
        convert = operand_of if float in members else _value
    elif sequences:
        convert = _converter(sequences[0])
    if convert is not None and type(None) in members:
        return _or_none(convert)
    return convert


def _origin(annotation: Any) -> type:
    found = get_origin(annotation)
    return found if isinstance(found, type) else int


class _Arguments:
    """The conversions of a function's parameters, by position and by name."""

    __slots__ = ("named", "positional", "rest")

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.positional: list[Convert | None] = []
        self.named: dict[str, Convert] = {}
        self.rest: Convert | None = None
        for p in parameters:
            convert = _converter(p.annotation)
            if p.kind is Parameter.VAR_POSITIONAL:
                self.rest = convert
                continue
            if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD):
                self.positional.append(convert)
            if convert is not None:
                self.named[p.name] = convert

    def convert(
        self, b: Emitter, args: tuple[Any, ...], options: dict[str, Any]
    ) -> list[Any]:
        found = list(args)
        converters = self.positional
        for i, x in enumerate(args):
            convert = converters[i] if i < len(converters) else self.rest
            if convert is not None:
                found[i] = convert(b, x)
        for name, x in options.items():
            if name in self.named:
                options[name] = self.named[name](b, x)
        return found


# Results ------------------------------------------------------------------------------


def _wrap(result: Any) -> Any:
    """Values as tensors, inside tuples and lists too."""
    if isinstance(result, Value):
        return Handle.make(result)
    if isinstance(result, (tuple, list)):
        items: list[Any] = [_wrap(r) for r in result]
        if hasattr(result, "_fields"):
            return type(result)(*items)
        return type(result)(items)
    return result


def _viewed(args: Sequence[Any], found: Any, dense: bool, array: bool) -> Any:
    """Values as views of the first tensor that they were made from, if of any.

    Of a scalar NumPy's functions give scalars, unless they are said to give arrays.
    """
    if not isinstance(found, Value):
        if not isinstance(found, (tuple, list)):
            return found
        return type(found)([_viewed(args, part, dense, array) for part in found])
    handles = [x for x in args if isinstance(x, Handle)]
    for x in handles:
        view = x.viewed(found, dense=dense)
        if view is not None:
            return view
    made = Handle.make(found)
    scalar = handles and not handles[0]._boxed and not handles[0].read().rank
    return made if scalar and not array else made.boxed()


def _write(out: Any, result: Any) -> Any:
    """Writes results to ``out`` where it is given, as NumPy's ``out=`` does."""
    if isinstance(out, tuple):
        results = result if isinstance(result, tuple) else (result,)
        found = tuple(
            r if o is None else _write(o, r) for o, r in zip(out, results, strict=True)
        )
        return found if isinstance(result, tuple) else found[0]
    if isinstance(out, np.ndarray):
        np.copyto(out, np.asarray(result), casting="same_kind")
        return out
    if not isinstance(out, Handle):
        raise TraceError(f"out takes a tensor, got {type(out).__name__}")
    value = result.read()
    target = out.read()
    if tuple(value.shape) != tuple(target.shape):
        raise ShapeError(f"out has shape {target.shape}, the result {value.shape}")
    write_cast(out, value)
    return out


def write_cast(out: Handle, value: Value, casting: Any = "same_kind") -> None:
    """Writes a value, broadcast, to a tensor, if a rule allows to cast it.

    Raises:
        DTypeError: If the rule does not.
    """
    target = out.read()
    if not np.can_cast(value.dtype.numpy, target.dtype.numpy, casting):
        raise DTypeError(
            f"out has dtype {target.dtype}: {value.dtype} is not cast to it by the rule"
            f" {casting}"
        )
    b = state.emitter("out")
    new = as_dtype(b, strong(b, value), target.dtype)
    out.boxed().write(b.broadcast_to(new, target.shape))


def _is_tensor(x: Any) -> bool:
    if isinstance(x, (tuple, list)):
        return any(map(_is_tensor, x))
    return isinstance(x, (Handle, np.ndarray))


# The decorator ------------------------------------------------------------------------


@overload
def array_function(
    function: Callable[..., Any],
    *,
    view: bool = ...,
    dense: bool = ...,
    array: bool = ...,
) -> Any: ...
@overload
def array_function(
    *, view: bool = ..., dense: bool = ..., array: bool = ...
) -> Callable[[Callable[..., Any]], Any]: ...
def array_function(
    function: Callable[..., Any] | None = None,
    *,
    view: bool = False,
    dense: bool = False,
    array: bool = False,
) -> Any:
    """Makes an array function of one over an emitter and values; see the module's top.

    Args:
        function: Takes the emitter first.
        view: Whether NumPy returns a view of the first argument.
        dense: Whether it does so only if the argument's elements lie side by side.
        array: Whether it gives an array, which can be written to, where others give a
            scalar: of 0-d results.
    """
    if function is None:
        return lambda f: array_function(f, view=view, dense=dense, array=array)
    inner = function
    parameters = list(signature(inner).parameters.values())[1:]
    arguments = _Arguments(parameters)
    name = inner.__name__.strip("_")
    takes_out = any(p.name == "out" for p in parameters)
    spelling = Spelling(inner, parameters)
    recipes = None if view else Recipes(inner, arguments.convert, array=array)

    @wraps(inner)
    def call(*args: Any, **options: Any) -> Any:
        if recipes is not None and state.current.get() is None:
            quick = recipes.run(args, options)
            if quick is not None:
                return quick
        if not spelling.fits(args, options):
            args, options = spelling.respelled(args, options)
        out = None if takes_out else options.pop("out", None)
        b = state.emitter(name)
        try:
            found = inner(b, *arguments.convert(b, args, options), **options)
        except GraphwrightError as error:
            place = state.where()
            if place in str(error):
                raise
            raise type(error)(f"{place}: {name}: {error}") from error
        if view:
            found = _viewed(args, found, dense, array)
        else:
            found = _wrap(found)
            if type(found) is Handle.concrete and (
                array or not any(map(_is_tensor, args))
            ):
                found.boxed()  # a creation function makes arrays, 0-d ones too
        return found if out is None else _write(out, found)

    shown = signature(inner).replace(parameters=parameters)
    vars(call)["__signature__"] = shown
    return call


# Static arguments ---------------------------------------------------------------------


def axis_of(axis: Any, rank: int) -> int:
    """An axis, counted from the end where negative, as its nonnegative number.

    Raises:
        ShapeError: If there is no such axis (NumPy's ``AxisError``).
    """
    number = index(axis)
    if not -rank <= number < rank:
        raise np.exceptions.AxisError(number, rank)
    return number % rank


def lane_axis(axis: Any, rank: int) -> int:
    """The same, where a 0-d array counts as a vector of one element, as in NumPy."""
    return axis_of(axis, max(rank, 1))


def folded_axes(axis: Any, rank: int) -> tuple[int, ...]:
    """``axes_of`` a reduction: NumPy's take axis 0 of a 0-d array for none."""
    if rank == 0 and isinstance(axis, int) and axis in (0, -1):
        return ()
    return axes_of(axis, rank)


def axes_of(axis: Any, rank: int) -> tuple[int, ...]:
    """An axis, a tuple of distinct ones, or None for all, in the order given.

    Raises:
        AxisError: If there is no such axis.
        ValueError: If one is there twice.
    """
    if axis is None:
        return tuple(range(rank))
    if not isinstance(axis, (tuple, list)):
        return (axis_of(axis, rank),)
    found = tuple(axis_of(a, rank) for a in axis)
    if len(set(found)) != len(found):
        raise ValueError("duplicate value in 'axis'")
    return found


def shape_of(shape: Any) -> tuple[Dim, ...]:
    """A shape given as an integer, a dim, a tuple, or a known tensor of integers."""
    if isinstance(shape, Expr):
        return (shape,)
    if isinstance(shape, Handle):
        shape = shape.data("a shape")
    if isinstance(shape, np.ndarray):
        shape = shape.tolist()
    if not isinstance(shape, (tuple, list)):
        return (index(shape),)
    return tuple(d if isinstance(d, Expr) else index(d) for d in shape)


def unsupported(name: str, cure: str = "") -> TraceError:
    """The error for a function that cannot be traced, with what to write instead."""
    words = f": {cure}" if cure else ""
    return TraceError(f"{state.where()}: {name} is not supported on tensors{words}")
