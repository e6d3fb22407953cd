"""Reductions that leave NaN out."""

from collections.abc import Callable
from typing import Any

from graphwright.frontends.tracing.numpy.reductions import (
    averaged,
    in_dtype,
    out_dtype,
    reduced,
    summed,
    variance,
)
from graphwright.frontends.tracing.numpy.running import running
from graphwright.frontends.tracing.numpy.statistics import middle, quantiles
from graphwright.frontends.tracing.numpy.support import flat, inexact, truth
from graphwright.frontends.tracing.wrap import (
    Operand,
    array_function,
    axis_of,
    promote,
    result_dtype,
)
from graphwright.ir.emitter import Emitter, Value

__all__ = [
    "nanargmax",
    "nanargmin",
    "nancumprod",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmedian",
    "nanmin",
    "nanpercentile",
    "nanprod",
    "nanquantile",
    "nanstd",
    "nansum",
    "nanvar",
]


def _numbers(b: Emitter, x: Value) -> Value | None:
    """Where there is no NaN; None if there can be none."""
    return b.eq(x, x) if x.dtype.kind in "fc" else None


def _filled(b: Emitter, x: Value, number: float) -> Value:
    mask = _numbers(b, x)
    return x if mask is None else b.where(mask, x, b.full((), number, x.dtype))


@array_function
def nansum(
    b: Emitter,
    x: Value,
    /,
    axis: Any = None,
    dtype: Any = None,
    *,
    keepdims: bool = False,
    initial: Operand | None = None,
    where: Value | None = None,
) -> Value:
    """Sum over axes, NaN as 0."""
    return summed(b, "sum", _filled(b, x, 0), axis, dtype, keepdims, initial, where)


@array_function
def nanprod(
    b: Emitter,
    x: Value,
    /,
    axis: Any = None,
    dtype: Any = None,
    *,
    keepdims: bool = False,
    initial: Operand | None = None,
    where: Value | None = None,
) -> Value:
    """Product over axes, NaN as 1."""
    return summed(b, "prod", _filled(b, x, 1), axis, dtype, keepdims, initial, where)


def _extreme(
    b: Emitter,
    kind: str,
    x: Value,
    axis: Any,
    keepdims: bool,
    initial: Operand | None,
    where: Value | None,
) -> Value:
    mask = _both(b, _numbers(b, x), where)
    if mask is None:
        return reduced(b, kind, x, axis, keepdims, initial)
    best = reduced(b, kind, x, axis, keepdims, initial, mask)
    if initial is not None or x.dtype.kind not in "fc":
        return best
    some = reduced(b, "max", b.broadcast_to(mask, x.shape), axis, keepdims)
    return b.where(some, best, b.full((), float("nan"), x.dtype))


def _both(b: Emitter, mask: Value | None, where: Value | None) -> Value | None:
    """Where both masks hold; None is everywhere."""
    if where is None:
        return mask
    held = truth(b, where)
    return held if mask is None else b.and_(mask, held)


def _extreme_of(kind: str, doc: str) -> Any:
    def call(
        b: Emitter,
        x: Value,
        /,
        axis: Any = None,
        *,
        keepdims: bool = False,
        initial: Operand | None = None,
        where: Value | None = None,
    ) -> Value:
        return _extreme(b, kind, x, axis, keepdims, initial, where)

    call.__name__ = call.__qualname__ = f"nan{kind}"
    call.__doc__ = doc
    return array_function(call)


nanmax = _extreme_of("max", "Greatest number over axes; NaN if there is none.")
nanmin = _extreme_of("min", "Least number over axes; NaN if there is none.")


def _argument(b: Emitter, kind: str, x: Value, axis: Any, keepdims: bool) -> Value:
    y = _filled(b, x, float("-inf") if kind == "max" else float("inf"))
    y, place = (flat(b, y), 0) if axis is None else (y, axis_of(axis, y.rank))
    found = b.arg_reduce(kind, y, place)
    if not keepdims:
        return found
    return b.reshape(
        found, [1 if axis is None or i == place else d for i, d in enumerate(x.shape)]
    )


@array_function
def nanargmax(
    b: Emitter, x: Value, /, axis: int | None = None, *, keepdims: bool = False
) -> Value:
    """Index of the greatest number."""
    return _argument(b, "max", x, axis, keepdims)


@array_function
def nanargmin(
    b: Emitter, x: Value, /, axis: int | None = None, *, keepdims: bool = False
) -> Value:
    """Index of the least number."""
    return _argument(b, "min", x, axis, keepdims)


@array_function
def nanmean(
    b: Emitter,
    x: Value,
    /,
    axis: Any = None,
    dtype: Any = None,
    *,
    keepdims: bool = False,
    where: Value | None = None,
) -> Value:
    """Mean of the numbers over axes."""
    y = in_dtype(b, x, dtype)
    mask = _both(b, _numbers(b, y), where)
    found = averaged(b, _filled(b, y, 0), axis, keepdims, mask)
    return out_dtype(b, found, dtype)


def _spread_of(name: str, doc: str, last: Callable[[Emitter, Value], Value]) -> Any:
    def call(
        b: Emitter,
        x: Value,
        /,
        axis: Any = None,
        dtype: Any = None,
        *,
        ddof: float = 0,
        correction: float = 0.0,
        keepdims: bool = False,
        where: Value | None = None,
        mean: Operand | None = None,
    ) -> Value:
        y = in_dtype(b, x, dtype)
        mask = _both(b, _numbers(b, y), where)
        off = ddof or correction
        found = variance(b, _filled(b, y, 0), axis, off, keepdims, mask, mean)
        return out_dtype(b, last(b, found), dtype)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = doc
    return array_function(call)


nanvar = _spread_of("nanvar", "Variance of the numbers over axes.", lambda b, v: v)
nanstd = _spread_of(
    "nanstd", "Standard deviation of the numbers over axes.", lambda b, v: b.sqrt(v)
)


@array_function
def nanmedian(
    b: Emitter, x: Value, /, axis: Any = None, *, keepdims: bool = False
) -> Value:
    """Median of the numbers over axes."""
    return middle(b, x, axis, keepdims, True)


@array_function
def nanquantile(
    b: Emitter,
    x: Value,
    q: Operand,
    /,
    axis: Any = None,
    *,
    method: str = "linear",
    weights: Value | None = None,
    keepdims: bool = False,
) -> Value:
    """Quantiles of the numbers over axes."""
    return quantiles(b, x, q, axis, keepdims, method, True, weights)


@array_function
def nanpercentile(
    b: Emitter,
    x: Value,
    q: Operand,
    /,
    axis: Any = None,
    *,
    method: str = "linear",
    weights: Value | None = None,
    keepdims: bool = False,
) -> Value:
    """Quantiles of the numbers over axes, for shares in hundredths."""
    (share,) = promote(b, q, to=result_dtype(inexact(b, x), q))
    return quantiles(b, x, b.div(share, 100), axis, keepdims, method, True, weights)


@array_function
def nancumsum(b: Emitter, x: Value, /, axis: Any = None, dtype: Any = None) -> Value:
    """Running sum, NaN as 0."""
    return running(b, "sum", _filled(b, x, 0), axis, dtype)


@array_function
def nancumprod(b: Emitter, x: Value, /, axis: Any = None, dtype: Any = None) -> Value:
    """Running product, NaN as 1."""
    return running(b, "prod", _filled(b, x, 1), axis, dtype)
