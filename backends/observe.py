"""Read-out: what a run shows of its intermediate values, with an unchanged plan."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from graphwright.backends.contract import Into, Part
from graphwright.ir.graph import Graph, Node, Origin
from graphwright.ir.record import record


@record(frozen=True, slots=True)
class Reading:
    """One value that a step made.

    Attributes:
        node: The step's node.
        index: Which of its results.
        origins: The values of the original graph that it equals.
        array: It, on the host: a copy unless none was asked for.
        parts: What the device ran in the step and the seconds of each, if that was
            measured.
    """

    node: Node
    index: int
    origins: tuple[Origin, ...]
    array: Any
    parts: tuple[tuple[Part, float], ...] = ()


Callback: TypeAlias = Callable[[Reading], None]


class Observer:
    """Calls back with every value, step after step: a copy, if that is wanted.

    With ``named``, with those alone that equal values of the original graph. With
    ``timed`` each kernel of the device is timed where a step has several.
    """

    def __init__(
        self,
        callback: Callback,
        to_host: Callable[[Any], Any],
        *,
        named: bool = False,
        copy: bool = True,
        timed: bool = False,
    ) -> None:
        self._callback, self._to_host = callback, to_host
        self._named, self._copy, self._timed = named, copy, timed
        self._parts: tuple[tuple[Part, float], ...] = ()

    def looks_into(self, kernel: Into) -> bool:
        """Whether each part of the kernel is timed."""
        return self._timed and kernel.timed is not None

    def running(self, kernel: Into) -> Callable[..., object]:
        """What is called for a step with that kernel."""
        timed = kernel.timed
        if timed is None or not self.looks_into(kernel):
            return kernel.run

        def run(*arrays: Any) -> None:
            self._parts = tuple(zip(kernel.parts, timed(*arrays), strict=True))

        return run

    def after(self, node: Node, results: Sequence[Any], graph: Graph) -> None:
        """Reads the results of a step before anything reuses them."""
        parts, self._parts = self._parts, ()
        for index, (v, r) in enumerate(zip(node.results, results, strict=True)):
            if self._named and v not in graph.origins:
                continue
            host = r if isinstance(r, np.ndarray) else None
            if host is None and hasattr(r, "shape"):
                host = self._to_host(r)
            copied = np.array(host) if host is not None and self._copy else host
            shown = r if host is None else copied
            origins = graph.origins.get(v, ())
            self._callback(Reading(node, index, origins, shown, parts))
