"""How a program runs: on what, within which limits, how strictly."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import TypeAlias

from graphwright.backends.contract import Backend
from graphwright.backends.dump import Dump
from graphwright.backends.limits import Limits
from graphwright.backends.steps import Step
from graphwright.ir.graph import Graph
from graphwright.ir.record import record

Suit: TypeAlias = Callable[[Graph, Backend], Graph]


def _as_it_is(graph: Graph, _: Backend) -> Graph:
    return graph


@record(frozen=True, slots=True)
class Options:
    """How a program runs.

    Attributes:
        backend: What runs its ops.
        limits: Budgets.
        strict: Whether an op that the backend does not support is an error.
        strict_float: Whether kernels must compute each op as it is written.
        devices: The other backends that run parts of it, by name.
        dump: Where plans and kernels are shown.
        suit: Makes a graph that comes up in a run suit a backend.
    """

    backend: Backend
    limits: Limits = field(default_factory=Limits)
    strict: bool = False
    strict_float: bool = False
    devices: Mapping[str, Backend] = field(default_factory=dict[str, Backend])
    dump: Dump | None = None
    suit: Suit = _as_it_is

    def show(self, graph: Graph, env: Mapping[str, int], steps: Sequence[Step]) -> None:
        """Dumps the plan of a graph for some sizes, if that is asked for."""
        if self.dump is not None:
            self.dump.plan(graph, env, steps)
