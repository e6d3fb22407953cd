"""Constant folding and common sub-expressions."""

import math
from typing import Any

import numpy as np

from graphwright.ir.constant import Constant
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op, Tier, Trait
from graphwright.ir.types import TensorType
from graphwright.passes.rewriter import Rewriter

MAX_GROWN_BYTES = 1 << 16
"""An op that makes its operands bigger is folded up to this many bytes of results."""
MAX_FLOPS = 1 << 28
_ONCE = frozenset({Trait.EFFECT, Trait.RANDOM})


def fold_constants(graph: Graph) -> Graph:
    """``op(constants) = constant``: exact; bytes and FLOPs are checked before."""
    writer = Rewriter(graph)
    every = {node.op.name for node in graph.nodes}
    return writer.rebuild(dict.fromkeys(every, [_fold]))


def _fold(w: Rewriter, node: Node) -> list[Value] | None:
    if node.op.tier in (Tier.CONTROL, Tier.HOST) or node.op.traits & _ONCE:
        return None
    if node.op.has_symbols() or node.op.defined_symbols():
        return None
    constants = [w.constants.get(v) for v in node.operands]
    if any(c is None for c in constants) or not _worthwhile(node):
        return None
    arrays = [c.array() for c in constants if c is not None]
    with np.errstate(all="ignore"):
        found: Any = node.op.compute(np, *arrays)
    results = found if isinstance(found, tuple) else (found,)
    folded: list[Value] = []
    for value, array in zip(node.results, results, strict=True):
        folded.append(w.constant_of(Constant.of(np.asarray(array), value.dtype)))
    return folded


def _worthwhile(node: Node) -> bool:
    before = sum(_nbytes(v) for v in node.operands)
    after = sum(_nbytes(v) for v in node.results)
    flops = node.op.flops([v.type for v in node.operands], [v.type for v in node.results])
    cheap = isinstance(flops, int) and flops <= MAX_FLOPS
    return cheap and (after <= before or after <= MAX_GROWN_BYTES)


def _nbytes(value: Value) -> float:
    type_ = value.type
    if not isinstance(type_, TensorType) or type_.shape is None:
        return math.inf
    size = type_.size
    return size * type_.dtype.itemsize if isinstance(size, int) else math.inf


def merge_common(graph: Graph) -> Graph:
    """Equal ops on equal operands become one: exact."""
    seen: dict[tuple[Op, tuple[Value, ...]], tuple[Value, ...]] = {}

    def merge(w: Rewriter, node: Node) -> tuple[Value, ...] | None:
        if node.op.traits & _ONCE or node.op.defined_symbols() or node.op.subgraphs():
            return None
        key = (node.op, node.operands)
        if key in seen:
            return seen[key]
        seen[key] = node.results
        return None

    writer = Rewriter(graph)
    every = {node.op.name for node in graph.nodes}
    return writer.rebuild(dict.fromkeys(every, [merge]))
