"""Nodes in an order in which each value is defined before it is read."""

from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from graphwright.ir.errors import ModelError


def sorted_nodes(
    nodes: Sequence[Any], reads: Callable[[Any], Iterable[str]]
) -> list[Any]:
    """Nodes in topological order, as near to the given one as can be.

    The standard asks for it, but tools exist that write models without.

    Args:
        nodes: NodeProtos of one graph.
        reads: Names that a node reads, those that its sub-graphs capture included.

    Raises:
        ModelError: If they form a cycle, naming one node of it.
    """
    maker = {name: i for i, n in enumerate(nodes) for name in n.output if name}
    waits = [{maker[name] for name in reads(n) if name in maker} for n in nodes]
    readers: list[list[int]] = [[] for _ in nodes]
    for i, sources in enumerate(waits):
        for source in sources:
            readers[source].append(i)
    missing = [len(sources) for sources in waits]
    ready = [i for i, count in enumerate(missing) if count == 0]
    heapify(ready)
    order: list[int] = []
    while ready:
        i = heappop(ready)
        order.append(i)
        for reader in readers[i]:
            missing[reader] -= 1
            if missing[reader] == 0:
                heappush(ready, reader)
    if len(order) < len(nodes):
        stuck = nodes[next(i for i, count in enumerate(missing) if count)]
        raise ModelError(
            f"nodes form a cycle: {stuck.op_type} {stuck.name!r} needs its own result"
            f" {list(stuck.output)}"
        )
    return [nodes[i] for i in order]
