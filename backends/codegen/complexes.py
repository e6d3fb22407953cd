"""Graphs of complex numbers as graphs of their real and imaginary parts.

A value is two values, so that kernels know real numbers alone. Only at the ends of a
graph parts lie side by side in memory, in one more axis of two.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from graphwright.backends.codegen.elements import sizes_of
from graphwright.backends.codegen.spectra import transformed
from graphwright.ir.builder import Builder
from graphwright.ir.dtype import DTYPES, DType, complex64
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op
from graphwright.ir.ops.select import Cast
from graphwright.ir.ops.signal import Fft
from graphwright.ir.ops.transcendental import Hypot
from graphwright.ir.types import TensorType, Type

Parts: TypeAlias = tuple[Value, ...]
"""Real and imaginary part, or a real value alone."""
Rule: TypeAlias = Callable[[Builder, Any, Sequence[Parts]], Parts]


def real_of(dtype: DType) -> DType:
    """The dtype of the parts of a complex one; any other is itself."""
    return DTYPES[f"float{dtype.bits // 2}"] if dtype.kind == "c" else dtype


def takes(op: Op, types: Sequence[Type]) -> bool:
    """Whether an op with complex numbers is one of their parts.

    Complex transforms in single precision are left to NumPy: ONNX's own tests hold
    results to the last bits of it, which ours, computed in float64, do not have.
    """
    if getattr(op, "kind", "sum") != "sum" and not isinstance(op, Fft):
        return False
    if isinstance(op, Fft):
        dtypes = [t.dtype for t in types if isinstance(t, TensorType)]
        single = op.kind in ("fft", "ifft") and complex64 in dtypes
        return not single and all(dtype.bits >= 32 for dtype in dtypes)
    if isinstance(op, Cast):
        return op.dtype.kind == "c"
    return op.name in _RULES or op.name in _EACH


def is_complex(types: Sequence[Type]) -> bool:
    """Whether there is a complex tensor among some types."""
    return any(isinstance(t, TensorType) and t.dtype.kind == "c" for t in types)


def in_parts(graph: Graph) -> Graph:
    """The graph on real numbers; the same one if it has no others.

    Complex inputs and outputs get a last axis of two.
    """
    values = (*graph.inputs, *(v for n in graph.nodes for v in n.results))
    if not is_complex([v.type for v in values]):
        return graph
    return _Apart(graph).graph()


class _Apart:
    def __init__(self, graph: Graph) -> None:
        self.source, self.builder = graph, Builder(graph.name)
        self.parts: dict[Value, Parts] = {}
        for v, name in zip(graph.inputs, graph.input_names, strict=True):
            self.parts[v] = self._input(v, name)
        for v, constant in graph.constants.items():
            self.parts[v] = self._constant(v, constant.array())

    def _input(self, v: Value, name: str) -> Parts:
        b = self.builder
        if v.dtype.kind != "c":
            return (b.input(name, v.type),)
        shape = sizes_of(v.type)
        x = b.input(name, TensorType(real_of(v.dtype), (*shape, 2)))
        ones = (1,) * (len(shape) + 1)
        return tuple(
            b.emit(
                "reshape",
                b.emit(
                    "slice",
                    x,
                    start=(*(0 for _ in shape), part),
                    size=(*shape, 1),
                    step=ones,
                ),
                shape=shape,
            )
            for part in (0, 1)
        )

    def _constant(self, v: Value, array: Any) -> Parts:
        b = self.builder
        if v.dtype.kind != "c":
            return (b.constant_of(self.source.constants[v]),)
        both = (np.ascontiguousarray(array.real), np.ascontiguousarray(array.imag))
        return tuple(b.constant(part.reshape(array.shape)) for part in both)

    def graph(self) -> Graph:
        b, known = self.builder, self.source.origins
        for node in self.source.nodes:
            b.source = node.source
            self._node(node)
            for v in node.results:
                b.origins.update((x, known[v]) for x in self.parts[v] if v in known)
        ends = [self._joined(v) for v in self.source.outputs]
        return b.finish(ends, self.source.output_names)

    def _node(self, node: Node) -> None:
        own = [self.parts[v] for v in node.operands]
        values = (*node.operands, *node.results)
        if not is_complex([v.type for v in values]):
            flat = [x for (x,) in own]
            for v, x in zip(
                node.results, self.builder.apply(node.op, flat), strict=True
            ):
                self.parts[v] = (x,)
            return
        (result,) = node.results
        rule = _RULES.get(node.op.name, _each)
        self.parts[result] = rule(self.builder, node.op, own)

    def _joined(self, v: Value) -> Value:
        """An output as it lies in memory."""
        b, parts = self.builder, self.parts[v]
        if len(parts) == 1:
            return parts[0]
        shape = (*sizes_of(v.type), 1)
        rows = [b.emit("reshape", x, shape=shape) for x in parts]
        return b.emit("concat", *rows, axis=len(shape) - 1)


# Rules -------------------------------------------------------------------------------

_EACH = frozenset(
    {
        *("add", "sub", "neg", "where", "reduce", "sum_to", "cumulative"),
        *("reshape", "transpose", "broadcast_to", "slice", "concat", "pad"),
        *("gather", "dynamic_update_slice", "barrier"),
    }
)
"""Ops that do the same to both parts."""


def _each(b: Builder, op: Any, xs: Sequence[Parts]) -> Parts:
    return tuple(
        b.apply(op, [x[part] if len(x) == 2 else x[0] for x in xs])[0]
        for part in (0, 1)
    )


def _mul(b: Builder, _: Any, xs: Sequence[Parts]) -> Parts:
    (a, c), (d, e) = xs
    real = b.sub(b.mul(a, d), b.mul(c, e))
    return real, b.add(b.mul(a, e), b.mul(c, d))


def _dot(b: Builder, op: Any, xs: Sequence[Parts]) -> Parts:
    (a, c), (d, e) = xs
    dot = op.replace(dtype=None if op.dtype is None else real_of(op.dtype))
    pairs = (a, d), (c, e), (a, e), (c, d)
    ad, ce, ae, cd = (b.apply(dot, pair)[0] for pair in pairs)
    return b.sub(ad, ce), b.add(ae, cd)


def _div(b: Builder, _: Any, xs: Sequence[Parts]) -> Parts:
    """By the larger part of the divisor, as NumPy does; by 0, each part by it.

    Source: R. L. Smith, "Algorithm 116: complex division" (1962).
    """
    (a, c), (d, e) = xs
    turned = b.lt(b.abs(d), b.abs(e))
    large, small = b.where(turned, e, d), b.where(turned, d, e)
    ratio = b.div(small, large)
    scale = b.add(large, b.mul(small, ratio))
    near = b.where(turned, c, a), b.where(turned, b.neg(a), c)
    far = b.where(turned, a, c), b.where(turned, c, b.neg(a))
    whole, nothing = b.abs(large), b.and_(b.eq(d, 0), b.eq(e, 0))
    return tuple(
        b.where(nothing, b.div(x, whole), b.div(b.add(y, b.mul(z, ratio)), scale))
        for x, y, z in zip((a, c), near, far, strict=True)
    )


def _abs(b: Builder, _: Any, xs: Sequence[Parts]) -> Parts:
    return (Hypot().rule(b, *xs[0]),)


def _exp(b: Builder, _: Any, xs: Sequence[Parts]) -> Parts:
    """In two steps where ``e^x`` overflows; infinite ones as in C99, G.6.3.1."""
    ((x, y),) = xs
    half, size = b.exp(b.mul(x, 0.5)), b.exp(x)
    large = b.eq(size, math.inf)
    plain, odd = b.eq(y, 0), b.not_(b.eq(b.sub(y, y), 0))
    real, imag = (
        b.where(large, b.mul(b.mul(half, turn), half), b.mul(size, turn))
        for turn in (b.emit("cos", y), b.emit("sin", y))
    )
    real = b.where(b.and_(odd, b.eq(x, math.inf)), math.inf, real)
    none = b.and_(odd, b.eq(x, -math.inf))
    return b.where(none, 0, real), b.where(none, 0, b.where(plain, y, imag))


def _complex(b: Builder, _: Any, xs: Sequence[Parts]) -> Parts:
    (real,), (imag,) = xs
    return real, imag


def _part(b: Builder, op: Any, xs: Sequence[Parts]) -> Parts:
    return (xs[0][op.part == "imag"],)


def _eq(b: Builder, _: Any, xs: Sequence[Parts]) -> Parts:
    (a, c), (d, e) = xs
    return (b.emit("and", b.emit("eq", a, d), b.emit("eq", c, e)),)


def _cast(b: Builder, op: Any, xs: Sequence[Parts]) -> Parts:
    to, (real, *imag) = real_of(op.dtype), xs[0]
    parts = [b.cast(x, to) for x in (real, *imag)]
    return parts[0], (parts[1] if imag else b.zeros_like(parts[0]))


def _fft(b: Builder, op: Any, xs: Sequence[Parts]) -> Parts:
    return transformed(b, op, xs[0])


_RULES: dict[str, Rule] = {
    "abs": _abs,
    "div": _div,
    "dot": _dot,
    "mul": _mul,
    "complex": _complex,
    "complex_part": _part,
    "eq": _eq,
    "exp": _exp,
    "cast": _cast,
    "fft": _fft,
}

ALONE = frozenset({"complex", "complex_part"})
"""Ops that leave nothing but parts."""
