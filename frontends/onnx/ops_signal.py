"""Signal processing: Fourier transforms, windows, the mel scale."""

import math
from typing import Any, TypeAlias

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.exporting import Export
from graphwright.frontends.onnx.registry import EXPORTERS, converter, exporter
from graphwright.frontends.onnx.tensors import dtype_of
from graphwright.ir.dim import Dim, ceildiv, floordiv
from graphwright.ir.dtype import DTYPES, float64, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ModelError, UnrankedError, UnsupportedOpError
from graphwright.ir.graph import Node

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


# Export -------------------------------------------------------------------------------


Pair: TypeAlias = tuple[Value, Value]

_LINEAR = frozenset(
    {
        "reshape",
        "transpose",
        "broadcast_to",
        "slice",
        "pad",
        "concat",
        "gather",
        "take_along_axis",
        "where",
        "sum_to",
        "add",
        "sub",
        "neg",
        "barrier",
        "copy_to",
    }
)
"""Ops that do the same to both parts."""


_NATIVE = frozenset(
    {
        "reshape",
        "transpose",
        "broadcast_to",
        "slice",
        "concat",
        "gather",
        "where",
        "pad",
    }
    | {"take_along_axis", "barrier", "copy_to", "cond", "while_loop", "scan", "call"}
    | {"fused", "foreign", "refine_shape", "pad"}
)
"""Ops whose operators take complex tensors as they are."""


@exporter("complex")
def complex_op(writer: Any, node: Node) -> Any:
    """Any op that takes or gives complex numbers."""
    makes = node.op.name in ("complex", "fft") or (
        node.op.name == "cast" and node.operands[0].dtype.kind != "c"
    )
    paired = makes or any(v in writer.pairs for v in node.operands)
    if paired:
        return _Complex(writer, node).results()
    if node.op.name not in _NATIVE:
        raise UnsupportedOpError(
            f"ONNX cannot express {node.op.name} of complex numbers"
        )
    return EXPORTERS[node.op.name](Export(writer, node))


class _Complex:
    """One node on complex numbers."""

    def __init__(self, writer: Any, node: Node) -> None:
        self.e = Export(writer, node)
        self.b: Emitter = writer.b
        self.node, self.writer = node, writer

    def parts(self, i: int) -> Pair:
        """The two parts of an operand."""
        v = self.node.operands[i]
        if v in self.writer.pairs:
            found: Pair = self.writer.pairs[v]
            return found
        if v.dtype.kind != "c":
            return v, self.b.zeros_like(v)
        known = self.b.known(v)
        if known is None:
            raise UnsupportedOpError("ONNX cannot take a complex tensor apart")
        real = DTYPES[f"float{v.dtype.bits // 2}"]
        array = known.array()
        return self.b.constant(array.real, real), self.b.constant(array.imag, real)

    def results(self) -> list[Any]:
        """Pairs of values, or the values of real results."""
        name = self.node.op.name
        if name in _LINEAR:
            return self._linear()
        rule = getattr(self, f"do_{name}", None)
        if rule is None:
            raise UnsupportedOpError(f"ONNX cannot express {name} of complex numbers")
        return [rule()]

    def _linear(self) -> list[Any]:
        op, operands = self.node.op, self.node.operands
        sides: list[list[Value]] = [[], []]
        for i, v in enumerate(operands):
            pair = self.parts(i) if v.dtype.kind == "c" else (v, v)
            sides[0].append(pair[0])
            sides[1].append(pair[1])
        real, imag = (self.b.emit_all(op.name, *side, **op.fields) for side in sides)
        return list(zip(real, imag, strict=True))

    def do_complex(self) -> Pair:
        """From its parts."""
        real, imag = self.node.operands
        return real, imag

    def do_complex_part(self) -> Value:
        """One of its parts."""
        return self.parts(0)[self.node.op.fields["part"] == "imag"]

    def do_cast(self) -> Pair:
        """Both parts in another dtype."""
        to = DTYPES[f"float{self.node.op.fields['dtype'].bits // 2}"]
        real, imag = self.parts(0)
        return self.b.cast(real, to), self.b.cast(imag, to)

    def do_mul(self) -> Pair:
        """``(a + bi)(c + di)``."""
        m, (a, b), (c, d) = self.b, self.parts(0), self.parts(1)
        return m.sub(m.mul(a, c), m.mul(b, d)), m.add(m.mul(a, d), m.mul(b, c))

    def do_div(self) -> Pair:
        """``(a + bi)(c - di) / (c^2 + d^2)``."""
        m, (a, b), (c, d) = self.b, self.parts(0), self.parts(1)
        size = m.add(m.mul(c, c), m.mul(d, d))
        real = m.add(m.mul(a, c), m.mul(b, d))
        imag = m.sub(m.mul(b, c), m.mul(a, d))
        return m.div(real, size), m.div(imag, size)

    def do_dot(self) -> Pair:
        """Four real products."""
        m, (a, b), (c, d) = self.b, self.parts(0), self.parts(1)
        return m.sub(m.dot(a, c), m.dot(b, d)), m.add(m.dot(a, d), m.dot(b, c))

    def do_abs(self) -> Value:
        """``sqrt(a^2 + b^2)``."""
        m, (a, b) = self.b, self.parts(0)
        return m.sqrt(m.add(m.mul(a, a), m.mul(b, b)))

    def do_eq(self) -> Value:
        """Both parts are equal."""
        m, (a, b), (c, d) = self.b, self.parts(0), self.parts(1)
        return m.and_(m.eq(a, c), m.eq(b, d))

    def do_reduce(self) -> Pair:
        """The sum of both parts."""
        fields = self.node.op.fields
        if fields["kind"] != "sum":
            raise UnsupportedOpError(
                f"ONNX cannot take the {fields['kind']} of complex numbers"
            )
        real, imag = (self.b.sum(v, fields["axes"]) for v in self.parts(0))
        return real, imag

    def do_exp(self) -> Pair:
        """``e^a (cos b + i sin b)``."""
        m, (a, b) = self.b, self.parts(0)
        size = m.exp(a)
        return m.mul(size, m.unary("cos", b)), m.mul(size, m.unary("sin", b))

    def do_fft(self) -> Any:
        """``DFT``; its inverse for a real result on the mirrored other half."""
        op: Any = self.node.op
        if op.kind == "rfft":
            return self._dft(self.node.operands, onesided=1)
        if op.kind == "irfft":
            return self._dft(self._mirrored(*self.parts(0)), inverse=1)[0]
        return self._dft(self.parts(0), inverse=int(op.kind == "ifft"))

    def _mirrored(self, *parts: Value) -> Pair:
        """All ``n`` terms of a real signal's transform, of those up to ``n / 2``."""
        b, op = self.b, self.node.op.fields
        axis, n = op["axis"], op["n"]
        kept = floordiv(n, 2) + 1
        grown: list[Value] = []
        for sign, part in zip((1, -1), parts, strict=True):
            high: list[Any] = [0] * part.rank
            high[axis] = kept - part.shape[axis]
            head = b.pad(part, [0] * part.rank, high)
            tail = b.flip(b.slice_axis(head, axis, 1, ceildiv(n, 2)), [axis])
            grown.append(b.concat([head, tail if sign > 0 else b.neg(tail)], axis))
        return grown[0], grown[1]

    def _dft(self, parts: Any, **fields: Any) -> Pair:
        e, b, op = self.e, self.b, self.node.op.fields
        e.needs(17)
        wide = DTYPES["float32"] if parts[0].dtype.bits < 32 else parts[0].dtype
        signal = b.stack([b.cast(v, wide) for v in parts], parts[0].rank)
        lone = signal.rank == 2  # the first axis counts signals
        signal = b.expand_dims(signal, [0]) if lone else signal
        axis = op["axis"] + lone
        length = e.dim(op["n"])
        fields = {k: v for k, v in fields.items() if v}
        if e.version >= 20:
            at = e.constant(axis, int64)
            name = e.add("DFT", e.name(signal), length, at, **fields)
        else:
            name = e.add("DFT", e.name(signal), length, axis=axis, **fields)
        shape = list(signal.shape)
        shape[axis] = floordiv(op["n"], 2) + 1 if "onesided" in fields else op["n"]
        shape[-1] = 2
        y = e.wrap(name, signal.tensor.with_shape(shape))
        y = b.squeeze(y, [0]) if lone else y
        last = y.rank - 1
        real, imag = (
            b.squeeze(b.slice_axis(y, last, i, i + 1), [last]) for i in (0, 1)
        )
        return real, imag
