"""Signal processing: Fourier transforms, windows, the mel scale."""

import math

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.registry import converter
from graphwright.frontends.onnx.tensors import dtype_of
from graphwright.ir.dim import Dim, floordiv
from graphwright.ir.dtype import float64, int64
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError, UnrankedError

# Fourier transforms -------------------------------------------------------------------


@converter("DFT", since=17)
def dft_17(c: Context) -> Value:
    """Discrete Fourier transform along the attribute ``axis``."""
    return _dft(c, c.integer("axis", 1))


@converter("DFT", since=20)
def dft(c: Context) -> Value:
    """Discrete Fourier transform along an axis given by an operand."""
    axis = c.optional(2)
    return _dft(c, -2 if axis is None else c.int_list(axis)[0])


def _dft(c: Context, axis: int) -> Value:
    """Real (one part) or complex (two parts) in the last axis, in and out."""
    x, length = c[0], c.optional(1)
    axis = c.axis(axis, x.rank)
    if axis == x.rank - 1:
        raise ModelError(f"DFT along the axis of real and imaginary parts of {x.type}")
    onesided, inverse = (bool(c.integer(n, 0)) for n in ("onesided", "inverse"))
    if length is not None:
        (n,) = c.dims(length, 1)
    else:
        size = x.shape[axis]
        n = (size - 1) * 2 if onesided and inverse else size
    y = _transform(c, x, axis, n, onesided=onesided, inverse=inverse)
    return c.b.cast(y, x.dtype)


def _parts(c: Context, x: Value) -> list[Value]:
    """The real part, and the imaginary one if there is one, in float32 at least."""
    b, last = c.b, x.rank - 1
    count = x.shape[last]
    if not isinstance(count, int):
        raise UnrankedError(f"whether {x.type} is real or complex is not known")
    if count not in (1, 2):
        raise ModelError(
            f"{c.op_type} takes 1 or 2 parts in the last axis, got {x.type}"
        )
    wide = b.cast(x, x.dtype.accumulate)
    return [b.squeeze(b.slice_axis(wide, last, i, i + 1), [last]) for i in range(count)]


def _transform(
    c: Context, x: Value, axis: int, n: Dim, *, onesided: bool, inverse: bool
) -> Value:
    b, parts = c.b, _parts(c, x)
    if onesided and not inverse and len(parts) == 1:
        return _pair(c, b.emit("fft", parts[0], kind="rfft", axis=axis, n=n))
    real = parts[0]
    z = b.emit("complex", real, parts[1] if len(parts) == 2 else b.zeros_like(real))
    if onesided and inverse:
        y = b.emit("fft", z, kind="irfft", axis=axis, n=n)
        return b.expand_dims(y, [y.rank])
    y = b.emit("fft", z, kind="ifft" if inverse else "fft", axis=axis, n=n)
    if onesided:
        y = b.slice_axis(y, axis, 0, floordiv(n, 2) + 1)
    return _pair(c, y)


def _pair(c: Context, z: Value) -> Value:
    """Real and imaginary parts along a new last axis."""
    parts = [c.b.emit("complex_part", z, part=part) for part in ("real", "imag")]
    return c.b.stack(parts, z.rank)


@converter("STFT", since=17)
def stft(c: Context) -> Value:
    """Transforms of the frames that start every ``frame_step``, times a window."""
    b, x, window, length = c.b, c[0], c.optional(2), c.optional(3)
    (step,) = c.dims(c[1], 1)
    x = x if x.rank > 2 else b.expand_dims(x, [2])
    if length is not None:
        (size,) = c.dims(length, 1)
    else:
        size = x.shape[1] if window is None else window.shape[0]
    count = floordiv(x.shape[1] - size, step) + 1
    starts = b.mul(b.iota((count, 1), 0, int64), b.dim_scalar(step, int64))
    frames = b.gather(x, b.add(starts, b.iota((count, size), 1, int64)), 1)
    if window is not None:
        frames = b.mul(frames, b.reshape(window, (size, 1)))
    onesided = bool(c.integer("onesided", 1))
    y = _transform(c, frames, 2, size, onesided=onesided, inverse=False)
    return b.cast(y, c[0].dtype)


# Windows ------------------------------------------------------------------------------

_COSINES = {
    "HannWindow": (0.5, -0.5),
    "HammingWindow": (25 / 46, -21 / 46),
    "BlackmanWindow": (0.42, -0.5, 0.08),
}


@converter("HannWindow", "HammingWindow", "BlackmanWindow", since=17)
def window(c: Context) -> Value:
    """``sum_k a_k cos(2 pi k n / N)``; N is the size, or one less if not periodic."""
    b = c.b
    (size,) = c.dims(c[0], 0)
    period = size if c.integer("periodic", 1) else size - 1
    turn = b.div(b.iota((size,), 0, float64), b.dim_scalar(period, float64))
    first, *others = _COSINES[c.op_type]
    total = b.full((size,), first, float64)
    for k, a in enumerate(others, 1):
        wave = b.unary("cos", b.mul(turn, 2 * math.pi * k))
        total = b.add(total, b.mul(wave, a))
    return b.cast(total, dtype_of(c.integer("output_datatype", 1)))


@converter("MelWeightMatrix", since=17)
def mel_weight_matrix(c: Context) -> Value:
    """Triangular filters, equidistant on the mel scale, over a spectrum's terms.

    ``mel = 2595 log10(1 + hertz / 700)``. Filter i rises from edge i to 1 at edge i + 1
    and falls to 0 at edge i + 2; edges are rounded down to terms of the spectrum.
    """
    b = c.b
    (bins,), (length,) = c.dims(c[0], 0), c.dims(c[1], 1)
    edges = _mel_edges(c, bins, length)
    left, centre, right = (b.slice_axis(edges, 0, i, bins + i) for i in range(3))
    at = b.iota((floordiv(length, 2) + 1, bins), 0, float64)
    up = b.div(b.sub(at, left), b.sub(centre, left))
    down = b.div(b.sub(right, at), b.sub(right, centre))
    zero = b.zeros_like(at)
    rising = b.where(b.and_(b.ge(at, left), b.lt(at, centre)), up, zero)
    sides = b.where(b.and_(b.gt(at, centre), b.lt(at, right)), down, rising)
    y = b.where(b.eq(*b.align(at, centre)), 1.0, sides)
    return b.cast(y, dtype_of(c.integer("output_datatype", 1)))


def _mel_edges(c: Context, bins: Dim, length: Dim) -> Value:
    """The filters' edges as (whole) numbers of the spectrum's terms."""
    b = c.b
    rate, low, high = (b.cast(b.reshape(c[i], ()), float64) for i in (2, 3, 4))
    slope = 2595 / math.log(10)

    def mel(hertz: Value) -> Value:
        return b.mul(b.unary("log1p", b.div(hertz, 700.0)), slope)

    step = b.div(b.sub(mel(high), mel(low)), b.dim_scalar(bins + 2, float64))
    mels = b.add(b.mul(b.iota((bins + 2,), 0, float64), step), mel(low))
    hertz = b.mul(b.unary("expm1", b.div(mels, slope)), 700.0)
    terms = b.mul(hertz, b.dim_scalar(length + 1, float64))
    return b.floor(b.div(terms, rate))
