"""Graphs of complex numbers as graphs of their real and imaginary parts.

A value is two values, so that kernels know real numbers alone. Only at the ends of a
graph parts lie side by side in memory, in one more axis of two.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from graphwright.backends.codegen import complex_functions as functions
from graphwright.backends.codegen.complex_functions import Complex
from graphwright.backends.codegen.complex_products import multiplied, running
from graphwright.backends.codegen.elements import sizes_of
from graphwright.backends.codegen.spectra import transformed
from graphwright.ir.builder import Builder
from graphwright.ir.dtype import DTYPES, DType, complex64
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op
from graphwright.ir.ops.reduce import ReduceWindow
from graphwright.ir.ops.select import Cast
from graphwright.ir.ops.signal import Fft
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
    if isinstance(op, Fft):
        dtypes = [t.dtype for t in types if isinstance(t, TensorType)]
        single = op.kind in ("fft", "ifft") and complex64 in dtypes
        return not single and all(dtype.bits >= 32 for dtype in dtypes)
    if isinstance(op, Cast):
        return op.dtype.kind == "c"
    if isinstance(op, ReduceWindow):
        return op.kind == "sum"
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
        *("add", "sub", "neg", "where", "sum_to", "reshape", "transpose"),
        *("broadcast_to", "slice", "concat", "pad", "gather", "scatter"),
        *("dynamic_update_slice", "barrier", "reduce_window"),
    }
)
"""Ops that do the same to both parts."""


def _each(b: Builder, op: Any, xs: Sequence[Parts]) -> Parts:
    return tuple(
        b.apply(op, [x[part] if len(x) == 2 else x[0] for x in xs])[0]
        for part in (0, 1)
    )


def _dot(b: Builder, op: Any, xs: Sequence[Parts]) -> Parts:
    (a, c), (d, e) = xs
    dot = op.replace(dtype=None if op.dtype is None else real_of(op.dtype))
    pairs = (a, d), (c, e), (a, e), (c, d)
    ad, ce, ae, cd = (b.apply(dot, pair)[0] for pair in pairs)
    return b.sub(ad, ce), b.add(ae, cd)


def _pair(parts: Parts) -> Complex:
    real, imag = parts
    return real, imag


def _function(function: Callable[..., Complex]) -> Rule:
    def apply(b: Builder, _: Any, xs: Sequence[Parts]) -> Parts:
        return function(b, *map(_pair, xs))

    return apply


def _abs(b: Builder, _: Any, xs: Sequence[Parts]) -> Parts:
    return (functions.modulus(b, _pair(xs[0])),)


def _reduce(b: Builder, op: Any, xs: Sequence[Parts]) -> Parts:
    return _each(b, op, xs) if op.kind == "sum" else multiplied(b, op, _pair(xs[0]))


def _cumulative(b: Builder, op: Any, xs: Sequence[Parts]) -> Parts:
    return _each(b, op, xs) if op.kind == "sum" else running(b, op, _pair(xs[0]))


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
    **{
        name: _function(getattr(functions, name))
        for name in (
            *("mul", "div", "exp", "expm1", "log", "log1p", "sqrt"),
            *("sin", "cos", "tanh"),
        )
    },
    "pow": _function(functions.power),
    "abs": _abs,
    "dot": _dot,
    "reduce": _reduce,
    "cumulative": _cumulative,
    "complex": _complex,
    "complex_part": _part,
    "eq": _eq,
    "cast": _cast,
    "fft": _fft,
}

ALONE = frozenset({"complex", "complex_part"})
"""Ops that leave nothing but parts."""
