"""Array functions: written once against an emitter, called with anything array-like.

This is the interface that ``graphwright.numpy`` is written against.

    @array_function
    def matmul(b: Emitter, x1: Value, x2: Value, /) -> Value:
        x1, x2 = promote(b, x1, x2)
        return b.matmul(x1, x2)

The wrapped function loses the parameter ``b``: ``matmul(t, [[1, 2]])`` gives a ``Tensor``.
Outside a trace ``b`` builds lazy expressions, inside it builds the traced graph; a body
cannot tell which. Arguments are converted by the *annotation* of their parameter:

``Value``
    A tensor, numpy array or scalar, nested list, Python number or dim, as a value with a
    dtype of its own: a Python float is float64, an int int64.
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
can be a view is decided by NumPy's rule for strides; nothing is left to the body.

Shapes may hold symbolic dims: ``x.shape[i] - 1`` works for both; ``operator.index`` or
comparing them does not. What depends on data (``nonzero``, ``unique``) takes its sizes
from ``b.fresh_symbol()``, outside a trace they are found at once. A body that must know
a value asks ``concrete(b, x, "what for")``.

Functions in terms of other wrapped functions, or that write to their argument
(``copyto``, ``put``, ``fill_diagonal``), are plain Python over ``Tensor``:
``x[index] = value`` and ``x += y`` have NumPy's meaning.

``Tensor``'s operators are in ``arithmetic.py``, indexing in ``indexing.py``; both export
array functions (``add``, ``less``, ``take_index``, ...) for the namespace to use.
``numpy.f(tensor)`` and ufuncs are sent to the namespace's function of the same dotted
name; for a ufunc's methods (``numpy.add.reduce``) to its attribute of the method's name.
Functions that are not supported raise ``unsupported(name, cure)``.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from inspect import Parameter, signature
from typing import Any, NoReturn, ParamSpec, overload

import numpy as np

from graphwright.frontends.tracing import state
from graphwright.frontends.tracing.promotion import (
    Operand,
    as_dtype,
    promote,
    result_dtype,
    same_kind,
    strong,
)
from graphwright.frontends.tracing.storage import Handle, operand_of
from graphwright.ir.dim import Dim, Expr
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import DTypeError, ShapeError, TraceError

__all__ = [
    "Operand",
    "array_function",
    "as_dtype",
    "axes_of",
    "axis_of",
    "concrete",
    "promote",
    "result_dtype",
    "shape_of",
    "strong",
    "unsupported",
]

P = ParamSpec("P")
Convert = Callable[[Emitter, Any], Any]


def _value(b: Emitter, x: Any) -> Value:
    return strong(b, operand_of(b, x))


def _parts(x: Any) -> Sequence[Any]:
    return x if isinstance(x, (list, tuple)) else list(x)


def _values(b: Emitter, xs: Any) -> list[Value]:
    return [_value(b, x) for x in _parts(xs)]


def _operands(b: Emitter, xs: Any) -> list[Operand]:
    return [operand_of(b, x) for x in _parts(xs)]


_CONVERT: dict[str, Convert] = {
    "Value": _value,
    "Operand": operand_of,
    "Sequence[Value]": _values,
    "Sequence[Operand]": _operands,
}


def _converter(parameter: Parameter) -> Convert | None:
    note = parameter.annotation
    words = note if isinstance(note, str) else getattr(note, "__name__", str(note))
    if "Operand" in str(note) or note == Operand:
        words = "Sequence[Operand]" if "Sequence" in str(note) else "Operand"
    elif "Sequence" in str(note) and "Value" in str(note):
        words = "Sequence[Value]"
    elif "Value" in str(note):
        words = "Value"
    return _CONVERT.get(words)
