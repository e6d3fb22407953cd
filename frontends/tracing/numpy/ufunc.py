"""Elementwise functions with the methods of NumPy's ufuncs."""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any

import numpy as np

from graphwright.frontends.tracing.numpy import (
    bits,
    elementwise,
    functions,
    products,
    reductions,
    running,
)
from graphwright.frontends.tracing.numpy.creation import asarray, zeros_like
from graphwright.frontends.tracing.numpy.dtypes import result_type
from graphwright.frontends.tracing.numpy.joining import concat, stack
from graphwright.frontends.tracing.numpy.manipulation import (
    broadcast_to,
    moveaxis,
    reshape,
)
from graphwright.frontends.tracing.numpy.searching import where as choose
from graphwright.frontends.tracing.numpy.support import flat, wrapped
from graphwright.frontends.tracing.storage import Handle
from graphwright.frontends.tracing.wrap import (
    Operand,
    array_function,
    as_dtype,
    axis_of,
    concrete,
    folded_axes,
    lane_axis,
    unsupported,
    write_cast,
)
from graphwright.ir.dim import product
from graphwright.ir.dtype import int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import DTypeError, ShapeError

Function = Callable[..., Any]

_NO_VALUE = object()


class UFunc:
    """An elementwise function: ``f(x, y, out=, where=, dtype=)``, ``f.reduce(x)``, ...

    Attributes:
        nin: Number of operands.
        nout: Number of results.
        identity: What leaves the other operand unchanged, or None.
    """

    def __init__(
        self,
        function: Function,
        *,
        nout: int = 1,
        identity: Any = None,
        reduce: Function | None = None,
        accumulate: Function | None = None,
    ) -> None:
        self._function, self._reduce, self._accumulate = function, reduce, accumulate
        parameters = signature(function).parameters.values()
        self.nin = sum(p.kind is Parameter.POSITIONAL_ONLY for p in parameters)
        self.nout, self.identity = nout, identity
        self.nargs = self.nin + nout
        self.__name__ = function.__name__.rstrip("_")
        self.__doc__ = function.__doc__
        self.__signature__ = signature(function)

    def __repr__(self) -> str:
        return f"<ufunc '{self.__name__}'>"

    def __call__(
        self,
        *operands: Any,
        out: Any = None,
        where: Any = True,
        dtype: Any = None,
        casting: Any = "same_kind",
        order: str = "K",
        subok: bool = True,
        **options: Any,
    ) -> Any:
        """The function of operands, written where a mask holds.

        Without ``out``, elements where the mask does not hold are 0: NumPy says nothing
        about them.
        """
        targets = operands[self.nin :] or out
        operands = operands[: self.nin]
        if dtype is not None and self.__name__ not in _TESTS:
            operands = tuple(_cast(x, dtype, casting) for x in operands)
        found = self._function(*operands, **options)
        if targets is None and where is True:
            return found
        if not isinstance(targets, tuple):
            targets = (targets,) * self.nout if targets is None else (targets,)
        results = found if isinstance(found, tuple) else (found,)
        if self.__name__ == "matmul":
            results = (_fitting(results[0], targets[0]),)
        pairs = zip(results, targets, strict=True)
        written = tuple(_written(r, out, where, casting) for r, out in pairs)
        return written if self.nout > 1 else written[0]

    def reduce(
        self,
        array: Any,
        axis: Any = 0,
        dtype: Any = None,
        out: Any = None,
        keepdims: bool = False,
        initial: Any = _NO_VALUE,
        where: Any = True,
    ) -> Any:
        """The function between all elements along axes, from the first to the last."""
        self._need_pairs("reduce")
        options: dict[str, Any] = {"keepdims": keepdims}
        if initial is not _NO_VALUE and initial is not None:
            options["initial"] = initial
        if where is not True:
            options["where"] = where
        x = asarray(array)
        if self._reduce is None:
            found = self._folded(x, axis, dtype, options)
        else:
            if dtype is not None:
                x = x.astype(dtype)
            found = self._reduce(x, axis=axis, **options)
        return _given(found, out)

    def _need_pairs(self, method: str) -> None:
        if self.nin != 2 or self.nout != 1:
            raise ValueError(f"{method} only supported for binary functions")

    def _folded(self, x: Any, axis: Any, dtype: Any, options: Mapping[str, Any]) -> Any:
        if "where" in options:
            raise unsupported(
                f"{self.__name__}.reduce with where", "use np.where first"
            )
        axes = folded_axes(axis, x.ndim)
        x = x if dtype is None else x.astype(dtype)
        moved = moveaxis(x, axes, tuple(range(len(axes))))
        lead, rest = moved.shape[: len(axes)], moved.shape[len(axes) :]
        lanes = reshape(moved, (product(lead), *rest))
        parts = list(lanes)
        if "initial" in options:
            parts.insert(0, options["initial"])
        if not parts:
            if self.identity is None:
                raise ValueError(f"{self.__name__}.reduce of nothing has no identity")
            return broadcast_to(asarray(self.identity, x.dtype), lanes.shape[1:])
        found = self._first(parts[0])
        for part in parts[1:]:
            found = self._function(found, part)
        if not options["keepdims"]:
            return found
        return reshape(found, [1 if i in axes else n for i, n in enumerate(x.shape)])

    def _first(self, part: Any) -> Any:
        """What a fold begins with: a copy in the dtype that the function gives."""
        x: Any = part if isinstance(part, Handle) else asarray(part)
        return x.astype(self._function(part, part).dtype)

    def accumulate(
        self, array: Any, axis: int = 0, dtype: Any = None, out: Any = None
    ) -> Any:
        """The function between each element along an axis and all before it."""
        self._need_pairs("accumulate")
        x = asarray(array)
        x = x if dtype is None else x.astype(dtype)
        if self._accumulate is not None:
            return _given(self._accumulate(x, axis=axis), out)
        place = axis_of(axis, x.ndim)
        if 0 in x.shape:
            return _given(self._first(x), out)
        found: list[Any] = []
        for part in moveaxis(x, place, 0):
            more = self._function(found[-1], part) if found else self._first(part)
            found.append(more)
        return _given(stack(found, axis=place), out)

    def outer(self, x1: Any, x2: Any, /, **options: Any) -> Any:
        """The function of all pairs of elements."""
        self._need_pairs("outer")
        x, y = asarray(x1), asarray(x2)
        return self(reshape(x, (*x.shape, *(1,) * y.ndim)), y, **options)

    def reduceat(
        self,
        array: Any,
        indices: Any,
        axis: int = 0,
        dtype: Any = None,
        out: Any = None,
    ) -> Any:
        """Reductions of the parts between indices along an axis."""
        x = asarray(array)
        place = axis_of(axis, x.ndim)
        moved = moveaxis(x, place, 0)
        starts = _starts(indices)
        parts = [
            self.reduce(moved[i:j], 0, dtype, keepdims=True)
            if j is None or i < j
            else moved[i : i + 1]
            for i, j in zip(starts, [*starts[1:], None], strict=True)
        ]
        return _given(moveaxis(concat(parts), 0, place).copy(), out)

    def at(self, a: Any, indices: Any, b: Any = None, /) -> None:
        """Applies the function at indices in place, as often as they occur."""
        if self.nin == 1:
            a[indices] = self._function(a[indices])
            return
        common = result_type(a, b)
        if a.dtype.kind == "b":  # cast back after each write
            self._at_each(a, indices, b)
            return
        if not np.can_cast(common, a.dtype, "same_kind"):
            raise DTypeError(f"{self.__name__}.at: {common} is not cast to {a.dtype}")
        mode = _MODES.get(self.__name__)
        if mode is not None and not isinstance(indices, (tuple, slice)):
            spots = asarray(indices)
            if spots.dtype.kind in "iu":
                value = -asarray(b) if self.__name__ == "subtract" else b
                a[...] = _scattered(a, spots, value, mode)
                return
        self._at_each(a, indices, b)

    def _at_each(self, a: Any, indices: Any, b: Any) -> None:
        """One write after the other: the general rule."""
        spots = asarray(_numbered(a))[indices]
        values = broadcast_to(asarray(b), spots.shape)
        line = reshape(a, (-1,)).copy()
        flat_spots, flat_values = reshape(spots, (-1,)), reshape(values, (-1,))
        for i in range(flat_spots.shape[0]):
            at = flat_spots[i]
            line[at] = self._function(line[at], flat_values[i])
        a[...] = reshape(line, a.shape)


_MODES = {
    "add": "add",
    "subtract": "add",
    "multiply": "mul",
    "maximum": "max",
    "minimum": "min",
}


@array_function
def _scattered(b: Emitter, x: Value, spots: Value, values: Operand, mode: str) -> Value:
    """Values combined into slices along the first axis."""
    shape = (*spots.shape, *x.shape[1:])
    new = as_dtype(b, values, x.dtype)
    index = wrapped(b, spots, x.shape[0])
    return b.scatter(x, index, b.broadcast_to(new, shape), 0, mode)


@array_function
def _starts(b: Emitter, indices: Value) -> Any:
    """Indices that must be known now."""
    return concrete(b, indices, "reduceat").tolist()


@array_function
def _numbered(b: Emitter, x: Value) -> Value:
    """The position of each element in C order."""
    line = b.iota((x.tensor.size,), 0, int64)
    return b.reshape(line, x.shape)


_TESTS = (
    *("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"),
    *("logical_and", "logical_or", "logical_xor", "logical_not"),
    *("isnan", "isinf", "isfinite", "signbit"),
)
"""Those whose ``dtype`` is that of the result, bool, and not the operands'."""


def _cast(x: Any, dtype: Any, casting: Any) -> Any:
    y = asarray(x)
    weak = isinstance(x, (int, float, complex)) and not isinstance(x, np.generic)
    if not weak and not np.can_cast(y.dtype, dtype, casting):
        raise DTypeError(f"{y.dtype} is not cast to {dtype} by the rule {casting}")
    return y.astype(dtype)


def _fitting(found: Any, out: Any) -> Any:
    """A product without its axis of one row, which ``out`` may lack."""
    lacks = out is not None and found.ndim == out.ndim + 1 and found.shape[0] == 1
    return found.reshape(found.shape[1:]) if lacks and out.ndim else found


def _written(found: Any, out: Any, where: Any, casting: Any) -> Any:
    """A result where a mask holds, in a tensor or array given or in a new one."""
    if out is None:
        return choose(where, found, zeros_like(found))
    if isinstance(out, np.ndarray):
        np.copyto(out, np.asarray(found), casting, np.asarray(where))
        return out
    if not isinstance(out, Handle):
        raise TypeError(f"return arrays must be of ArrayType, got {type(out).__name__}")
    if where is not True:
        found = choose(where, _as(found, out, casting), out)
    write_cast(out, found.read(), casting)
    return out


def _as(found: Any, out: Any, casting: Any) -> Any:
    """A result in the dtype of ``out``, if a rule allows that."""
    if not np.can_cast(found.dtype, out.dtype, casting):
        raise DTypeError(f"{found.dtype} is not cast to {out.dtype} by {casting!r}")
    return found.astype(out.dtype)


def _given(found: Any, out: Any) -> Any:
    target = out[0] if isinstance(out, tuple) else out
    if target is None:
        return found
    if isinstance(target, np.ndarray):
        np.copyto(target, np.asarray(found))
        return target
    if tuple(found.shape) != tuple(target.shape):
        raise ShapeError(f"out has shape {target.shape}, the result {found.shape}")
    write_cast(target, found.read())
    return target


_PLAIN = {
    elementwise: "divide floor_divide fmod float_power power remainder subtract"
    " equal not_equal less less_equal greater greater_equal heaviside"
    " left_shift right_shift square reciprocal negative positive absolute invert"
    " logical_not",
    functions: "acos acosh asin asinh atan atan2 atanh cbrt ceil conj cos cosh deg2rad"
    " exp exp2 expm1 fabs floor isfinite isinf isnan log log1p log2 log10 rad2deg"
    " sign sin sinh sqrt tan tanh trunc",
    bits: "bitwise_count copysign gcd lcm ldexp nextafter signbit spacing",
}


@array_function
def _running(b: Emitter, x: Value, kind: str, axis: int) -> Value:
    place = lane_axis(axis, x.rank)
    return b.cumulative(kind, x if x.rank else flat(b, x), place)


def _cumulative(kind: str) -> Function:
    def run(x: Any, *, axis: int) -> Any:
        return _running(x, kind, axis)

    return run


def _combining() -> dict[str, UFunc]:
    """Those whose reduction is one operation."""
    e, r = elementwise, reductions
    rows: dict[str, tuple[Function, Any, Function | None, Function | None]] = {
        "add": (e.add, 0, r.sum, running.cumsum),
        "multiply": (e.multiply, 1, r.prod, running.cumprod),
        "maximum": (e.maximum, None, r.max, _cumulative("max")),
        "minimum": (e.minimum, None, r.min, _cumulative("min")),
        "logical_and": (e.logical_and, True, r.all, None),
        "logical_or": (e.logical_or, False, r.any, None),
        "logical_xor": (e.logical_xor, False, None, None),
        "bitwise_and": (e.bitwise_and, -1, None, None),
        "bitwise_or": (e.bitwise_or, 0, None, None),
        "bitwise_xor": (e.bitwise_xor, 0, None, None),
        "fmax": (e.fmax, None, None, None),
        "fmin": (e.fmin, None, None, None),
        "hypot": (functions.hypot, 0, None, None),
        "logaddexp": (functions.logaddexp, float("-inf"), None, None),
        "logaddexp2": (functions.logaddexp2, float("-inf"), None, None),
    }
    return {
        name: UFunc(f, identity=i, reduce=fold, accumulate=run)
        for name, (f, i, fold, run) in rows.items()
    }


def ufuncs() -> dict[str, UFunc]:
    """All elementwise functions of the namespace, by NumPy's or the standard's name."""
    found = _combining()
    for module, names in _PLAIN.items():
        found.update({name: UFunc(getattr(module, name)) for name in names.split()})
    for name in ("matmul", "matvec", "vecdot", "vecmat"):
        found[name] = UFunc(getattr(products, name))
    found["rint"] = UFunc(functions.rint)
    found["divmod"] = UFunc(elementwise.divmod, nout=2)
    found["frexp"] = UFunc(bits.frexp, nout=2)
    found["modf"] = UFunc(functions.modf, nout=2)
    return found
