"""Channels that are interleaved before a convolution reads them."""

from typing import Any

from graphwright.backends.codegen.elements import sizes_of
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph

_CHAIN = ("reshape", "transpose", "reshape")


def unshuffled(graph: Graph, v: Value) -> Value:
    """What a value shuffles along its last axis; the value itself if it does not.

    ``reshape(swap(reshape(x, [.., g, n])), [.., g * n])`` lies in memory as ``x``: a
    convolution reads its channels from there, or what is copied first is at its end.
    """
    chain, x = list[Any](), v
    for name in _CHAIN:
        node = graph.makers.get(x)
        if node is None or node.op.name != name:
            return v
        chain.append(node)
        (x,) = node.operands
    _, swap, cut = chain
    parts, rank = sizes_of(cut.results[0].type), len(sizes_of(v.type))
    swaps = tuple(swap.op.perm) == (*range(rank - 1), rank, rank - 1)
    same = sizes_of(x.type) == sizes_of(v.type)
    return x if swaps and same and parts[:-2] == sizes_of(v.type)[:-1] else v
