"""Channel shuffles move down to the pointwise convolution that reads them.

There they cost nothing: it reads its channels one by one, in whatever order. What lies
between works on each channel by itself.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graphwright.ir.constant import Constant
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Trait
from graphwright.ir.ops.fused import Fused
from graphwright.ir.ops.linalg import Conv
from graphwright.passes.fuse_shuffle import shuffle
from graphwright.passes.walk import Rule, Walk

Shuffle = tuple[Value, int]
"""What is shuffled, channels last, and in how many groups."""


def sink_shuffles(graph: Graph) -> Graph:
    """Shuffles pass depthwise convolutions and elementwise ops: exact."""
    if not any(node.op.name == "fused" for node in graph.nodes):
        return graph
    names = {c.name for c in graph.op_classes if Trait.ELEMENTWISE in c.traits}
    rules: dict[str, Sequence[Rule]] = {name: [_elementwise] for name in names}
    return Walk(graph).rebuild({**rules, "fused": [_depthwise]})


def _depthwise(w: Walk, node: Node) -> list[Value] | None:
    """``depthwise(shuffle(x), k) = shuffle(depthwise(x, k'))``."""
    found, weights = _source(w, node.operands[0]), w.constants.get(node.operands[-1])
    if found is None or weights is None or not _is_depthwise(node):
        return None
    x, groups = found
    array = _sorted(weights.array(), groups, axis=0)
    (y,) = w.apply(node.op, (x, w.constant_of(Constant.of(array, weights.dtype))))
    return [_shuffled(w, y, groups)]


def _is_depthwise(node: Node) -> bool:
    """Whether a region is a convolution of each channel, and nothing else."""
    assert isinstance(node.op, Fused)
    nodes = node.op.body.nodes
    if node.op.kind != "conv" or len(nodes) != 3 or len(node.operands) != 2:
        return False
    x, weights = node.operands
    conv = nodes[1].op
    return isinstance(conv, Conv) and conv.groups == x.shape[-1] == weights.shape[0]


def _elementwise(w: Walk, node: Node) -> list[Value] | None:
    """``f(shuffle(x), y) = shuffle(f(x, y'))``."""
    sources = [_source(w, v) for v in node.operands]
    groups = {source[1] for source in sources if source is not None}
    shape = node.results[0].shape
    if len(groups) != 1 or any(v.shape != shape for v in node.operands):
        return None
    operands: list[Value] = []
    for v, source in zip(node.operands, sources, strict=True):
        found = _sorted_constant(w, v, *groups) if source is None else source[0]
        if found is None:
            return None
        operands.append(found)
    (y,) = w.apply(node.op, operands)
    return [_shuffled(w, y, *groups)]


def _source(w: Walk, value: Value) -> Shuffle | None:
    """What a value shuffles, if nothing else reads it."""
    node = w.made_by(value, "reshape")
    found = shuffle(w, node) if node is not None and w.only_use(value) else None
    if found is None:
        return None
    cut, _ = found
    channels, groups = value.shape[-1], cut.results[0].shape[-2]
    if not isinstance(channels, int) or not isinstance(groups, int):
        return None
    return cut.operands[0], groups


def _shuffled(w: Walk, value: Value, groups: int) -> Value:
    *lead, channels = value.shape
    assert isinstance(channels, int)
    cut = w.reshape(value, (*lead, groups, channels // groups))
    axes = range(len(lead))
    swapped = w.transpose(cut, (*axes, len(lead) + 1, len(lead)))
    for v in (cut, swapped):
        w.uses[v] = 1
    return w.reshape(swapped, value.shape)


def _sorted_constant(w: Walk, value: Value, groups: int) -> Value | None:
    """A constant for each channel, or one for all, as it was before a shuffle."""
    node = w.made_by(value, "broadcast_to")
    inner = value if node is None else node.operands[0]
    constant = w.constants.get(inner)
    if constant is None:
        return None
    if inner.rank and inner.shape[-1] != 1:
        array = _sorted(constant.array(), groups, axis=-1)
        inner = w.constant_of(Constant.of(array, constant.dtype))
    return inner if node is None else w.broadcast_to(inner, value.shape)


def _sorted(array: NDArray[np.generic], groups: int, axis: int) -> NDArray[np.generic]:
    """What a shuffle makes an array of, along an axis."""
    order = np.arange(array.shape[axis]).reshape(groups, -1).T.reshape(-1)
    return np.ascontiguousarray(np.take(array, np.argsort(order), axis))
