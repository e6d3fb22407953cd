"""Floats of 16 bits where they pay: mixed precision.

Products, convolutions and attention take 16-bit operands and sum in float32; what
follows them stays narrow as long as each op says so (``Op.narrowing``). Ops that lose
too much or leave the range, such as sums and exponential functions, stay in float32,
and so does what integers are made of or from: positions, sizes, counts. Inputs and
outputs keep their types. (Micikevicius et al., "Mixed Precision Training", 2018.)
"""

from collections.abc import Collection, Sequence

import numpy as np

from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DType, bfloat16, float16, float32
from graphwright.ir.emitter import Value
from graphwright.ir.errors import GraphwrightError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Narrowing
from graphwright.ir.ops.select import Cast
from graphwright.ir.types import TensorType, Type
from graphwright.passes.steps import exhausted, note

GAINS, FOLLOWS, KEEPS = Narrowing


def narrow_floats(graph: Graph, to: DType, keep: Collection[str] = ()) -> Graph:
    """The graph with floats of 16 bits in the place of float32, where they pay.

    Args:
        graph: A graph; its inputs and outputs keep their types.
        to: ``float16`` or ``bfloat16``.
        keep: Names of ops that stay in float32 besides those that say so themselves.
    """
    if exhausted() or not any(_how(node, keep) is GAINS for node in graph.nodes):
        return graph
    return _Narrower(graph, to, keep).run()


def to_float16(graph: Graph) -> Graph:
    """Products of float16, summed in float32, and what follows them."""
    return narrow_floats(graph, float16)


def to_bfloat16(graph: Graph) -> Graph:
    """Products of bfloat16, summed in float32, and what follows them."""
    return narrow_floats(graph, bfloat16)


PRECISIONS = {"float16": to_float16, "bfloat16": to_bfloat16}
"""Passes by the precision that they give: results move as far as it is coarse."""


def _how(node: Node, keep: Collection[str]) -> Narrowing:
    if node.op.name in keep or not any(map(_is_wide, node.operands)):
        return KEEPS
    return node.op.narrowing()


def _is_wide(v: Value) -> bool:
    return isinstance(v.type, TensorType) and v.dtype is float32


class _Narrower:
    """One walk: each value is wide, narrow or both; a free one may become narrow."""

    def __init__(self, graph: Graph, to: DType, keep: Collection[str]) -> None:
        self.graph, self.to, self.keep = graph, to, keep
        self.b = Builder.extending(graph)
        self.b.nodes = []
        self.narrow: dict[Value, Value] = {}
        self.casts: dict[Value, Value] = {}
        self.known = {*graph.inputs, *graph.constants}
        self.free = set(filter(_is_wide, self.known))
        self.makers = graph.producers()
        self.exact = _for_integers(graph)

    def run(self) -> Graph:
        """The graph; the same one if nothing is narrow."""
        for node in self.graph.nodes:
            self.b.source = node.source
            if not self._narrowed(node):
                self._as_it_is(node)
        if not self.narrow:
            return self.graph
        note("narrow_floats")
        outputs = [self._wide(v) for v in self.graph.outputs]
        for v, narrow in self.narrow.items():
            if v in self.graph.origins:
                rounded = (o._replace(rounding=True) for o in self.graph.origins[v])
                self.b.origins[narrow] = tuple(rounded)
            if v not in self.known:
                self.b.origins.pop(v, None)
        return self.b.finish(outputs, self.graph.output_names)

    def _as_it_is(self, node: Node) -> None:
        operands = [self._wide(v) for v in node.operands]
        self._add(node, operands, node.results)
        wide = [v for v in node.operands if _is_wide(v)]
        if wide and node.op.narrowing() is FOLLOWS and self.free.issuperset(wide):
            self.free.update(filter(_is_wide, node.results))

    def _narrowed(self, node: Node) -> bool:
        """Adds a node on narrow operands, if that is how it is to be."""
        how = _how(node, self.keep)
        wide = [v for v in node.operands if _is_wide(v)]
        if how is FOLLOWS:
            some = any(v in self.narrow for v in wide)
            fits = some and all(v in self.narrow or v in self.free for v in wide)
            how = GAINS if fits and self.exact.isdisjoint(node.results) else KEEPS
        if how is KEEPS or isinstance(node.op, Cast):
            return False
        types = [self._narrow_type(v) for v in node.operands]
        try:
            found = self.b.infer(node.op, types)
        except GraphwrightError:
            return False  # it takes no such operands
        operands = [self._slim(v) if _is_wide(v) else v for v in node.operands]
        results = tuple(
            v if _same(v.type, t) else Value(t)
            for v, t in zip(node.results, found, strict=True)
        )
        self._add(node, operands, results)
        pairs = zip(node.results, results, strict=True)
        self.narrow.update({old: new for old, new in pairs if new is not old})
        return True

    def _narrow_type(self, v: Value) -> Type:
        if not _is_wide(v):
            return v.type
        return TensorType(self.to, v.tensor.shape)

    def _add(
        self, node: Node, operands: Sequence[Value], results: tuple[Value, ...]
    ) -> None:
        self.b.add_node(node.op, operands, results)
        self.known.update(results)

    def _wide(self, v: Value) -> Value:
        """A value as it was."""
        if v not in self.known:
            self.b.add_node(Cast(dtype=float32), [self.narrow[v]], (v,))
            self.known.add(v)
        return v

    def _slim(self, v: Value) -> Value:
        """A value in 16 bits; finite numbers of a constant, a mask's, stay finite."""
        if v in self.narrow:
            return self.narrow[v]
        if v in self.free and (moved := self._moved(v)) is not None:
            return moved
        if v not in self.casts:
            constant = self.graph.constants.get(v)
            if constant is None:
                self.casts[v] = self.b.cast(v, self.to)
            else:
                self.casts[v] = self.b.constant_of(_slim_constant(constant, self.to))
        if v in self.free:
            self.narrow[v] = self.casts[v]
        return self.casts[v]

    def _moved(self, v: Value) -> Value | None:
        """What moves free values, narrow ones instead."""
        node = self.makers.get(v)
        if node is None or node.op.moves is None:
            return None
        operands = [self._slim(x) if _is_wide(x) else x for x in node.operands]
        self.narrow[v] = Value(self._narrow_type(v))
        self.b.add_node(node.op, operands, (self.narrow[v],))
        return self.narrow[v]


def _same(a: Type, b: Type) -> bool:
    """Whether types differ in nothing but what is known of elements."""
    if isinstance(a, TensorType) and isinstance(b, TensorType):
        return a.dtype is b.dtype
    return a == b


def _slim_constant(constant: Constant, to: DType) -> Constant:
    array = constant.array()
    low, high = to.limits
    within = np.where(np.isinf(array), array, np.clip(array, low, high))
    return Constant.of(Cast(dtype=to).compute(np, within), to)


def _for_integers(graph: Graph) -> set[Value]:
    """Floats of which integers are made, but for what products give."""
    found: set[Value] = set()
    for node in reversed(graph.nodes):
        made = any(v in found for v in node.results)
        to_integer = isinstance(node.op, Cast) and node.op.dtype.is_int
        if to_integer or (made and node.op.narrowing() is not GAINS):
            found.update(filter(_is_wide, node.operands))
    return found
