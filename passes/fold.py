"""Constant folding: what can be computed before any run, is."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op, Tier, Trait, is_table
from graphwright.ir.types import TensorType, Type
from graphwright.passes.steps import exhausted, note

MAX_GROWN_BYTES = 1 << 16
"""An op that makes its operands bigger is folded up to this many bytes of results."""
MAX_FLOPS = 1 << 28
_ONCE = frozenset({Trait.EFFECT, Trait.RANDOM})


def fold_constants(graph: Graph) -> Graph:
    """``op(constants) = constant``: exact; bytes and FLOPs are checked before.

    Where a constant tells more of its elements than the type of the value that it
    replaces, the types of what reads it are found anew.
    """
    fold = _Fold(graph)
    for node in graph.nodes:
        fold.visit(node)
    return fold.result()


class _Fold:
    """One walk over a graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.constants = dict(graph.constants)
        self.repeated: dict[Value, Value] = {}  # kept as views, they fold in readers
        self.nodes: list[Node] = []
        self.names: dict[Value, Value] = {}
        self.types = Builder()  # infers types and gathers their guards

    def visit(self, node: Node) -> None:
        """Folds a node, or keeps it."""
        if self.names and not self.names.keys().isdisjoint(node.operands):
            node = self._renamed(node)
        values = None if exhausted() else self._values(node)
        if values is None:
            self.nodes.append(node)
            repeats = node.op.name == "broadcast_to" and not node.op.has_symbols()
            if repeats and node.operands[0] in self.constants:
                self.repeated[node.results[0]] = node.operands[0]
            return
        note("fold_constants", node)
        for old, constant in zip(node.results, values, strict=True):
            new = old if old.type == constant.type else Value(constant.type)
            self.constants[new] = constant
            if new is not old:
                self.names[old] = new

    def _now(self, value: Value) -> Value:
        """What stands for a value: typed anew, and then perhaps folded."""
        while value in self.names:
            value = self.names[value]
        return value

    def _renamed(self, node: Node) -> Node:
        """A node that reads what stands for its operands now."""
        operands = tuple(map(self._now, node.operands))
        types: Sequence[Type] = [v.type for v in node.results]
        if [v.type for v in operands] != [v.type for v in node.operands]:
            self.types.source = node.source
            types = self.types.infer(node.op, [v.type for v in operands])
        results = tuple(
            v if v.type == t else self.names.setdefault(v, Value(t))
            for v, t in zip(node.results, types, strict=True)
        )
        return Node(node.op, operands, results, node.source)

    def _values(self, node: Node) -> list[Constant] | None:
        """Constants that stand for the results, if they can be known."""
        if all(v in self.constants or v in self.repeated for v in node.operands):
            return self._computed(node)
        known = [_known(v.type) for v in node.results]
        if not _pure(node.op) or node.op.defined_symbols():
            return None
        return None if None in known else [c for c in known if c is not None]

    def _computed(self, node: Node) -> list[Constant] | None:
        op = node.op
        if op.has_symbols() or op.defined_symbols():
            return None
        if not _pure(op) and not _is_table(node):
            return None
        if not self._worthwhile(node):
            return None
        try:
            arrays = list(map(self._array, node.operands))
        except ModelError:  # of a graph read from text, only digests are known
            return None
        with np.errstate(all="ignore"):
            found: Any = op.compute(np, *arrays)
        results = found if isinstance(found, tuple) else (found,)
        pairs = zip(node.results, results, strict=True)
        return [Constant.of(np.asarray(x), v.dtype) for v, x in pairs]

    def _array(self, v: Value) -> Any:
        source = self.repeated.get(v)
        if source is None:
            return self.constants[v].array()
        shape: Any = v.shape
        return np.broadcast_to(self.constants[source].array(), shape)

    def _worthwhile(self, node: Node) -> bool:
        after = sum(_nbytes(v) for v in node.results)
        if after > MAX_GROWN_BYTES:
            before = sum(_nbytes(self.repeated.get(v, v)) for v in node.operands)
            if after > before:
                return False
        elif node.op.name == "broadcast_to" and after > _nbytes(node.operands[0]):
            return _known(node.results[0].type) is not None
        types = [v.type for v in node.operands], [v.type for v in node.results]
        flops = node.op.flops(*types)
        return isinstance(flops, int) and flops <= MAX_FLOPS

    def result(self) -> Graph:
        """The graph after the walk."""
        graph = self.graph
        if len(self.nodes) == len(graph.nodes) and not self.names:
            return graph
        origins = dict(graph.origins)
        for old, new in self.names.items():
            if old in origins:
                origins[new] = (*origins.get(new, ()), *origins.pop(old))
        guards = self.types.finish(()).guards
        return replace(
            graph,
            nodes=tuple(self.nodes),
            outputs=tuple(map(self._now, graph.outputs)),
            constants=self.constants,
            guards=tuple(dict.fromkeys((*graph.guards, *guards))),
            origins=origins,
        )


def _pure(op: Op) -> bool:
    return op.tier not in (Tier.CONTROL, Tier.HOST) and not op.traits & _ONCE


def _is_table(node: Node) -> bool:
    types = [v.type for v in node.operands], [v.type for v in node.results]
    return is_table(node.op, *types) and not node.op.traits & _ONCE


def _known(type_: Type) -> Constant | None:
    """The constant that a type's contents spell out."""
    if not isinstance(type_, TensorType) or type_.contents is None:
        return None
    if not all(isinstance(c, int) for c in type_.contents):
        return None
    array = np.array(type_.contents, object).astype(type_.dtype.numpy)
    return Constant.of(array.reshape(type_.dims), type_.dtype)


def _nbytes(value: Value) -> float:
    type_ = value.type
    if not isinstance(type_, TensorType) or type_.shape is None:
        return math.inf
    size = type_.size
    return size * type_.dtype.itemsize if isinstance(size, int) else math.inf
