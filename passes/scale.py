"""Per-channel factors and shifts move into the weights before them."""

from typing import Any

import numpy as np

from graphwright.ir.constant import Constant
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.passes.rewriter import Rewriter


def fold_scales(graph: Graph) -> Graph:
    """Batch normalisation after a convolution becomes its weights (rounding)."""
    rules = {"mul": [_scale_conv, _scale_shift]}
    return Rewriter(graph).rebuild(rules, rounding=True)


def channel_constant(w: Rewriter, value: Value, rank: int) -> "np.ndarray[Any, Any] | None":
    """The vector [C] that a value repeats over all axes but axis 1, or None."""
    node = w.made_by(value, "broadcast_to")
    constant = w.constants.get(node.operands[0] if node else value)
    if constant is None or node is None:
        return None
    shape = (1,) * (rank - len(constant.shape)) + constant.shape
    if len(shape) != rank or any(d != 1 for i, d in enumerate(shape) if i != 1):
        return None
    return constant.array().reshape(-1)


def _sides(node: Node) -> list[tuple[Value, Value]]:
    x, y = node.operands
    return [(x, y), (y, x)]


def _scale_conv(w: Rewriter, node: Node) -> list[Value] | None:
    """``conv(x, k) * c = conv(x, k * c)`` for a factor a channel."""
    for x, y in _sides(node):
        conv = w.made_by(x, "conv")
        factor = None if conv is None else channel_constant(w, y, x.rank)
        if conv is None or factor is None or not w.only_use(x):
            continue
        kernel = w.constants.get(conv.operands[1])
        if kernel is None or not kernel.dtype.is_float or factor.size not in (1, kernel.shape[0]):
            continue
        column = factor.reshape(-1, *[1] * (len(kernel.shape) - 1))
        scaled = w.constant_of(Constant.of(kernel.array() * column, kernel.dtype))
        return list(w.apply(conv.op, (conv.operands[0], scaled)))
    return None


def _scale_shift(w: Rewriter, node: Node) -> list[Value] | None:
    """``(conv(x, k) + b) * c = conv(x, k) * c + b * c``: the factor meets the weights."""
    for x, y in _sides(node):
        add = w.made_by(x, "add")
        factor = None if add is None else channel_constant(w, y, x.rank)
        if add is None or factor is None or not w.only_use(x):
            continue
        for inner, bias in _sides(add):
            conv = w.made_by(inner, "conv")
            shift = channel_constant(w, bias, x.rank)
            if conv is None or shift is None or not w.only_use(inner):
                continue
            probe = Node(node.op, (inner, y), node.results, node.source)
            scaled = _scale_conv(w, probe)
            if scaled is None:
                continue
            column = (shift * factor).reshape(-1, *[1] * (x.rank - 2))
            return [w.add(scaled[0], w.constant(column, x.dtype))]
    return None
