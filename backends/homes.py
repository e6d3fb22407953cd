"""Where the values of a divided graph lie, and how they get elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphwright.backends.contract import Backend
from graphwright.backends.host import fetched, placed
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.ops.effects import CopyTo
from graphwright.ir.ops.fused import Placed


class Homes:
    """The backends on which values lie.

    Args:
        graph: The divided graph.
        own: The backend that runs what no ``placed`` node holds.
        devices: All backends by name; none if the graph is not divided.
    """

    def __init__(
        self, graph: Graph, own: Backend, devices: Mapping[str, Backend]
    ) -> None:
        self._own, self._devices = own, devices
        self._away: dict[Value, Backend] = {}
        for node in graph.nodes if devices else ():
            if isinstance(node.op, Placed | CopyTo):
                home = devices.get(node.op.device, own)
                self._away.update(dict.fromkeys(node.results, home))

    def of(self, v: Value) -> Backend:
        """The backend on which a value lies."""
        return self._away.get(v, self._own)

    def copy(self, node: Node) -> Callable[..., Sequence[Any]]:
        """The step of a ``copy_to``."""
        type_, here = node.operands[0].type, self.of(node.operands[0])
        there = self.of(node.results[0])

        def step(operands: list[Any], env: Any, run: Any) -> Sequence[Any]:
            if here is there:
                return operands
            return (placed(fetched(operands[0], type_, here), type_, there),)

        return step

    def shown(self, node: Node, results: Sequence[Any]) -> Sequence[Any]:
        """Results of a step, those that lie elsewhere on the host."""
        if not self._away:
            return results
        return [
            fetched(x, v.type, self._away[v]) if v in self._away else x
            for v, x in zip(node.results, results, strict=True)
        ]
