"""Complex numbers and Fourier transforms on their way to ONNX.

ONNX's operators compute with real numbers: a complex value is a pair of tensors, its
real and its imaginary part.
"""

from typing import Any, TypeAlias

from graphwright.frontends.onnx.exporting import Export
from graphwright.frontends.onnx.registry import EXPORTERS, exporter
from graphwright.ir.dim import ceildiv, floordiv
from graphwright.ir.dtype import DTYPES, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import UnsupportedOpError
from graphwright.ir.graph import Node

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
    {"reshape", "transpose", "broadcast_to", "slice", "concat", "gather", "where", "pad"}
    | {"take_along_axis", "barrier", "copy_to", "cond", "while_loop", "scan", "call"}
    | {"fused", "foreign", "refine_shape"}
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
