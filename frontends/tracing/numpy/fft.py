"""Discrete Fourier transforms: ``graphwright.numpy.fft``."""

from collections.abc import Callable, Sequence
from typing import Any

from graphwright.frontends.tracing.numpy.manipulation import rolled
from graphwright.frontends.tracing.numpy.support import (
    complex_of,
    conjugate,
    inexact,
    optional_dtype,
    to_dtype,
)
from graphwright.frontends.tracing.wrap import array_function, axes_of, axis_of
from graphwright.ir.dim import Dim, floordiv
from graphwright.ir.dtype import DType, float32, float64, int64
from graphwright.ir.emitter import Emitter, Value

__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]

_SWAPPED = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


def _scaled(b: Emitter, x: Value, n: Dim, norm: str | None, inverse: bool) -> Value:
    """A transform, divided by ``n`` if inverse, in the scale that ``norm`` names."""
    norm = norm or "backward"
    if norm not in _SWAPPED:
        raise ValueError(f"Invalid norm value {norm!r}")
    if norm == "backward":
        return x
    real_dtype = float32 if x.dtype.name in ("complex64", "float32") else float64
    size = b.dim_scalar(n, real_dtype)
    factor = size if norm == "forward" else b.sqrt(size)
    wide = to_dtype(b, factor, x.dtype)
    return b.mul(x, wide) if inverse else b.div(x, wide)


def _complex(b: Emitter, x: Value) -> Value:
    return to_dtype(b, x, complex_of(inexact(b, x).dtype))


def _real(b: Emitter, x: Value) -> Value:
    if x.dtype.kind == "c":
        raise TypeError(f"a real transform does not take {x.dtype.name}")
    y = inexact(b, x)
    return b.cast(y, float32) if y.dtype.bits < 32 else y


def transform(
    b: Emitter, kind: str, x: Value, n: Dim | None, axis: int, norm: str | None
) -> Value:
    """A transform of one kind along one axis."""
    place = axis_of(axis, x.rank)
    size = x.shape[place]
    if n is None:
        n = 2 * (size - 1) if kind == "irfft" else size
    if isinstance(n, int) and n < 1:
        raise ValueError(f"Invalid number of FFT data points ({n}) specified.")
    y = _real(b, x) if kind == "rfft" else _complex(b, x)
    found = b.emit("fft", y, kind=kind, axis=place, n=n)
    return _scaled(b, found, n, norm, kind in ("ifft", "irfft"))


def _swapped(norm: str | None) -> str:
    name = norm or "backward"
    if name not in _SWAPPED:
        raise ValueError(f"Invalid norm value {norm!r}")
    return _SWAPPED[name]


def _hermitian(
    b: Emitter, kind: str, x: Value, n: Dim | None, axis: int, norm: str | None
) -> Value:
    return transform(b, "irfft", conjugate(b, x), n, axis, _swapped(norm))


def _inverse_hermitian(
    b: Emitter, kind: str, x: Value, n: Dim | None, axis: int, norm: str | None
) -> Value:
    return conjugate(b, transform(b, "rfft", x, n, axis, _swapped(norm)))


def _along(kind: str, doc: str, rule: Callable[..., Value] = transform) -> Any:
    """The array function of a transform along one axis."""

    def call(
        b: Emitter,
        x: Value,
        /,
        n: Any = None,
        axis: int = -1,
        norm: str | None = "backward",
    ) -> Value:
        return rule(b, kind, x, n, axis, norm)

    return _named(call, kind, doc)


def _named(call: Callable[..., Any], name: str, doc: str) -> Any:
    call.__name__ = call.__qualname__ = name
    call.__doc__ = doc
    return array_function(call)


fft = _along("fft", "Transform along an axis.")
ifft = _along("ifft", "Inverse of ``fft``.")
rfft = _along("rfft", "The nonnegative frequencies of real numbers.")
irfft = _along("irfft", "Inverse of ``rfft``.")
hfft = _along("hfft", "Real transform of a Hermitian signal.", _hermitian)
ihfft = _along("ihfft", "Inverse of ``hfft``.", _inverse_hermitian)


# Over several axes --------------------------------------------------------------------


def _sizes(x: Value, s: Any, axes: Any, half: bool = False) -> list[tuple[int, Dim]]:
    """Axes and sizes of a transform over several."""
    if axes is None:
        count = x.rank if s is None else len(s)
        places: Sequence[int] = range(x.rank - count, x.rank)
    else:
        places = [axis_of(a, x.rank) for a in axes]
    sizes = [x.shape[p] for p in places] if s is None else list(s)
    if len(sizes) != len(places):
        raise ValueError("Shape and axes have different lengths.")
    if half and s is None and places:
        sizes[-1] = 2 * (x.shape[places[-1]] - 1)
    sizes = [
        x.shape[p] if isinstance(n, int) and n == -1 else n
        for p, n in zip(places, sizes, strict=True)
    ]
    return list(zip(places, sizes, strict=True))


def _over(
    b: Emitter, kind: str, x: Value, pairs: Sequence[tuple[int, Dim]], norm: str | None
) -> Value:
    for axis, n in reversed(pairs):
        x = transform(b, kind, x, n, axis, norm)
    return x


def _fftn(b: Emitter, x: Value, s: Any, axes: Any, norm: str | None) -> Value:
    return _over(b, "fft", _complex(b, x), _sizes(x, s, axes), norm)


def _ifftn(b: Emitter, x: Value, s: Any, axes: Any, norm: str | None) -> Value:
    return _over(b, "ifft", _complex(b, x), _sizes(x, s, axes), norm)


def _rfftn(b: Emitter, x: Value, s: Any, axes: Any, norm: str | None) -> Value:
    *rest, (axis, n) = _sizes(x, s, axes)
    return _over(b, "fft", transform(b, "rfft", x, n, axis, norm), rest, norm)


def _irfftn(b: Emitter, x: Value, s: Any, axes: Any, norm: str | None) -> Value:
    *rest, (axis, n) = _sizes(x, s, axes, half=True)
    for place, size in rest:
        x = transform(b, "ifft", x, size, place, norm)
    return transform(b, "irfft", x, n, axis, norm)


def _over_axes(
    name: str, doc: str, rule: Callable[..., Value], places: Any = None
) -> Any:
    """The array function of a transform over several axes, by default ``places``."""

    def call(
        b: Emitter,
        x: Value,
        /,
        s: Any = None,
        axes: Any = places,
        norm: str | None = "backward",
    ) -> Value:
        return rule(b, x, s, axes, norm)

    return _named(call, name, doc)


_LAST = (-2, -1)

fftn = _over_axes("fftn", "Transform over several axes.", _fftn)
ifftn = _over_axes("ifftn", "Inverse of ``fftn``.", _ifftn)
rfftn = _over_axes("rfftn", "Of real numbers, half of the last axis.", _rfftn)
irfftn = _over_axes("irfftn", "Inverse of ``rfftn``.", _irfftn)
fft2 = _over_axes("fft2", "Transform over two axes.", _fftn, _LAST)
ifft2 = _over_axes("ifft2", "Inverse of ``fft2``.", _ifftn, _LAST)
rfft2 = _over_axes("rfft2", "``rfftn`` over two axes.", _rfftn, _LAST)
irfft2 = _over_axes("irfft2", "Inverse of ``rfft2``.", _irfftn, _LAST)


# Frequencies --------------------------------------------------------------------------


def _frequencies(b: Emitter, index: Value, n: Dim, d: float, dtype: DType) -> Value:
    width = b.mul(b.dim_scalar(n, dtype), float(d))
    return b.div(b.cast(index, dtype), width)


@array_function
def fftfreq(
    b: Emitter, n: Any, /, d: float = 1.0, *, dtype: Any = None, device: Any = None
) -> Value:
    """Frequencies of ``fft``: 0, 1, ..., then the negative ones, over ``n d``."""
    line = b.iota((n,), 0, int64)
    size = b.dim_scalar(n, int64)
    late = b.lt(b.div(b.sub(size, 1), 2), line)
    index = b.where(late, b.sub(line, size), line)
    return _frequencies(b, index, n, d, optional_dtype(dtype) or float64)


@array_function
def rfftfreq(
    b: Emitter, n: Any, /, d: float = 1.0, *, dtype: Any = None, device: Any = None
) -> Value:
    """Frequencies of ``rfft``: 0, 1, ..., ``n // 2``, over ``n d``."""
    line = b.iota((floordiv(n, 2) + 1,), 0, int64)
    return _frequencies(b, line, n, d, optional_dtype(dtype) or float64)


def _shifted(b: Emitter, x: Value, axes: Any, inverse: bool) -> Value:
    for axis in axes_of(axes, x.rank):
        half = floordiv(x.shape[axis], 2)
        x = rolled(b, x, -half if inverse else half, axis)
    return x


@array_function
def fftshift(b: Emitter, x: Value, /, axes: Any = None) -> Value:
    """The zero frequency moved to the middle of axes."""
    return _shifted(b, x, axes, False)


@array_function
def ifftshift(b: Emitter, x: Value, /, axes: Any = None) -> Value:
    """Inverse of ``fftshift``."""
    return _shifted(b, x, axes, True)
