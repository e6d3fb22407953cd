"""From a graph to what an executable needs: optimised, decomposed for a backend."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from graphwright.backends.contract import REGION, Backend, GraphBackend
from graphwright.backends.limits import Limits
from graphwright.backends.plan import Options
from graphwright.backends.registry import choose_backend
from graphwright.ir.graph import Graph
from graphwright.passes.decompose import decompose_unsupported
from graphwright.passes.lower import Pass, lowering_passes
from graphwright.passes.pipeline import DEFAULT, manager
from graphwright.passes.regions import claim_regions

_logger = logging.getLogger("graphwright.compile")


Watch: TypeAlias = Callable[[str, Graph], None]
"""Called with the name of each pass and the graph after it."""


def optimized(
    graph: Graph,
    *,
    optimize: bool = True,
    strict_float: bool = False,
    watch: Watch | None = None,
) -> Graph:
    """The graph after the passes that every compilation runs."""
    if not optimize:
        return graph
    return manager(DEFAULT, strict_float=strict_float, observe=watch)(graph)


def _suiting(backend: Backend, optimize: bool) -> list[Pass]:
    """Passes, run inside control flow too, that make a graph suit a backend."""

    def decompose(graph: Graph) -> Graph:
        return decompose_unsupported(graph, backend.supports)

    claims = backend.claims if isinstance(backend, GraphBackend) else backend.supports

    def claim(graph: Graph) -> Graph:
        return claim_regions(graph, claims, REGION)

    passes: list[Pass] = [decompose]
    if optimize:
        fuses = backend.fuses if backend.fusable() else None
        passes += lowering_passes(backend.layout(), fuses)
    return [*passes, claim] if backend.regions else passes


def lower(
    graph: Graph,
    *,
    backend: "str | Backend | Sequence[str]" = "auto",
    strict: bool = False,
    optimize: bool = True,
    strict_float: bool = False,
    limits: Limits | None = None,
    watch: Watch | None = None,
) -> tuple[Graph, Options]:
    """The graph as a backend runs it, and how.

    Args:
        graph: What to run.
        backend: A name, names in order of preference, ``"auto"``, or a backend.
        strict: Whether falling back to the host is an error.
        optimize: Whether passes run; without, the graph runs as it is.
        strict_float: Keep to rewrites that do not change rounding.
        limits: Budgets of each run.
        watch: Called with the name of each pass and the graph after it.

    Raises:
        BackendUnavailable: If no backend of that preference can run here.
        UnsupportedOpError: With ``strict``, if the backend lacks an op.
    """
    chosen = choose_backend(backend)
    start = time.perf_counter()
    lowered = optimized(
        graph, optimize=optimize, strict_float=strict_float, watch=watch
    )
    passes = _suiting(chosen, optimize)
    lowered = manager(passes, strict_float=strict_float, observe=watch)(lowered)
    before, after = len(graph.nodes), len(lowered.nodes)
    seconds = time.perf_counter() - start
    _logger.debug(
        "compiled %r for %s: %d nodes became %d, %.3f s",
        *(graph.name, chosen.name, before, after, seconds),
    )
    return lowered, Options(chosen, limits or Limits(), strict)
