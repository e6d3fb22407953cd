"""From a graph to what an executable needs: optimised, decomposed for a backend."""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from graphwright.backends.contract import REGION, Backend, GraphBackend
from graphwright.backends.dump import Dump
from graphwright.backends.limits import Limits
from graphwright.backends.options import Options
from graphwright.backends.placement import placed_by_author, placing, within_placed
from graphwright.backends.registry import choose_backends
from graphwright.backends.tuning import Tuning
from graphwright.ir.dtype import int16, int32
from graphwright.ir.graph import Graph, Node
from graphwright.ir.ops.effects import CopyTo
from graphwright.ir.ops.fused import Fused, Placed
from graphwright.ir.ops.linalg import Dot
from graphwright.ir.types import TensorType
from graphwright.passes.attention import NARROW_ATTENTION
from graphwright.passes.decompose import decompose_unsupported
from graphwright.passes.derive import derive_weights
from graphwright.passes.fold import fold_constants
from graphwright.passes.integer import INTEGER
from graphwright.passes.lower import Pass, lowering_passes
from graphwright.passes.pipeline import DEFAULT, in_precision, manager
from graphwright.passes.regions import claim_regions
from graphwright.passes.sink_constants import sink_constants
from graphwright.passes.widen import WIDE_ATTENTION, WIDE_PRODUCTS

_logger = logging.getLogger("graphwright.compile")


Watch: TypeAlias = Callable[[str, Graph], None]
"""Called with the name of each pass and the graph after it."""


def optimized(
    graph: Graph,
    backend: Backend,
    *,
    fast_math: bool = False,
    strict_float: bool = False,
    precision: str | None = None,
) -> Graph:
    """The graph after the passes that every compilation for a backend runs."""
    passes = default_passes(backend, precision)
    return manager(passes, fast_math=fast_math, strict_float=strict_float)(graph)


def default_passes(backend: Backend, precision: str | None = None) -> list[str | Pass]:
    """Those of every compilation, and of a precision.

    Quantised products stay products of reals for a backend without fast integer ones;
    attention of narrow floats is found for one that computes it in float32.
    """
    matrix = TensorType(int16, (1, 1))
    integers = backend.integer_products
    integers = integers and backend.supports(Dot(dtype=int32), [matrix, matrix])
    names = (*DEFAULT, *in_precision(precision))
    asked = {INTEGER.name: integers, NARROW_ATTENTION.name: _is_wide(backend)}
    return [name for name in names if asked.get(name, True)]


def _is_wide(backend: Backend) -> bool:
    """Whether products of narrow floats are to be those of float32."""
    return backend.regions and backend.layout().get("dot") == "float32"


def decomposing(backend: Backend) -> Pass:
    """The pass that decomposes what a backend does not run."""

    def decompose(graph: Graph) -> Graph:
        return decompose_unsupported(graph, backend.supports)

    return decompose


def claiming(backend: Backend) -> Pass:
    """The pass that puts what a backend takes together into regions."""
    asked = backend.claims if isinstance(backend, GraphBackend) else backend.supports

    def claims(node: Node) -> bool:
        if isinstance(node.op, CopyTo | Placed):  # the executor's, between backends
            return False
        return asked(node.op, [v.type for v in node.operands])

    def region(body: Graph) -> Fused:
        return Fused(kind=REGION, body=body)

    def claim(graph: Graph) -> Graph:
        return claim_regions(graph, claims, region)

    return claim


def suiting_passes(backend: Backend, optimize: bool = True) -> list[Pass]:
    """Passes, run inside control flow too, that make a graph suit a backend."""
    wide = optimize and _is_wide(backend)
    passes: list[Pass] = [WIDE_ATTENTION] if wide else []
    passes.append(decomposing(backend))
    if optimize and backend.regions:  # what was decomposed may hang on constants
        passes += [WIDE_PRODUCTS] if wide else []
        passes += [fold_constants, derive_weights, sink_constants]
    if optimize:
        fuses = backend.fuses if backend.fusable() else None
        passes += lowering_passes(backend.layout(), fuses)
    return [*passes, claiming(backend)] if backend.regions else passes


def suited(
    graph: Graph,
    backend: Backend,
    *,
    optimize: bool = True,
    fast_math: bool = False,
    strict_float: bool = False,
) -> Graph:
    """A graph that came up in a run, as a backend runs it."""
    passes = suiting_passes(backend, optimize)
    run = manager(passes, fast_math=fast_math, strict_float=strict_float, verify=False)
    return run(graph)


def arrange(
    graph: Graph,
    backends: Sequence[Backend],
    *,
    placement: Mapping[str, str] | None = None,
    optimize: bool = True,
    fast_math: bool = False,
    strict_float: bool = False,
    precision: str | None = None,
    watch: Watch | None = None,
) -> tuple[Graph, dict[str, Backend]]:
    """The graph as backends run it, and by name those that run parts of it.

    The first backend runs the rest, and what the others lack too. None of them need
    be able to run here. ``watch`` sees the graph, but not the parts.
    """
    own, *others = backends
    divided, named = placed_by_author(graph, placement or {}, backends)
    devices = {b.name: b for b in (*others, *named)}

    def prepare(part: Graph, home: Backend) -> Graph:
        whole = home is own  # a part's symbols are those of the whole
        passes = default_passes(home, precision) if optimize else []
        if whole and others:
            passes += [decomposing(home), placing(home, others)]
        passes += suiting_passes(home, optimize)
        return manager(
            passes,
            fast_math=fast_math,
            strict_float=strict_float,
            verify=None if whole else False,
            observe=watch if whole else None,
        )(part)

    lowered = prepare(divided, own)
    if devices:
        lowered = within_placed(lowered, lambda g, name: prepare(g, devices[name]))
        devices[own.name] = own
    return lowered, devices


def lower(
    graph: Graph,
    *,
    backend: "str | Backend | Sequence[str | Backend]" = "auto",
    placement: Mapping[str, str] | None = None,
    strict: bool = False,
    optimize: bool = True,
    fast_math: bool = False,
    strict_float: bool = False,
    precision: str | None = None,
    limits: Limits | None = None,
    dump: "str | os.PathLike[str] | None" = None,
    tuning: Tuning | None = None,
    watch: Watch | None = None,
) -> tuple[Graph, Options]:
    """The graph as backends run it, and how.

    Args:
        graph: What to run.
        backend: A name, names in order of preference, ``"auto"``, or a backend. Of
            several names the first runs what it can, the next what that lacks.
        placement: Which backend runs which nodes: see ``placed_by_author``.
        strict: Whether falling back to the host is an error.
        optimize: Whether passes run; without, the graph runs as it is.
        fast_math: Also rewrites that are wrong for some numbers.
        strict_float: Keep to rewrites and kernels that do not change rounding.
        precision: ``float16`` or ``bfloat16``: see ``graphwright.passes.precision``.
        limits: Budgets of each run.
        dump: A folder that shows plans and kernels.
        tuning: How backends choose between ways to compute.
        watch: Called with the name of each pass and the graph after it.

    Raises:
        BackendUnavailable: If no backend of that preference, or one that a placement
            names, can run here.
        UnsupportedOpError: With ``strict``, if the backends lack an op.
        ModelError: If ``dump`` cannot be written to.
    """
    chosen = choose_backends(backend)
    if tuning is not None:
        chosen = [b.tuned(tuning) for b in chosen]
    shown = None if dump is None else Dump(Path(dump))
    start = time.perf_counter()
    lowered, devices = arrange(
        graph,
        chosen,
        placement=placement,
        optimize=optimize,
        fast_math=fast_math,
        strict_float=strict_float,
        precision=precision,
        watch=watch,
    )
    if tuning is not None:
        devices = {n: b if b in chosen else b.tuned(tuning) for n, b in devices.items()}
    before, after = len(graph.nodes), len(lowered.nodes)
    seconds = time.perf_counter() - start
    names = ", ".join(devices or [chosen[0].name])
    _logger.debug(
        "compiled %r for %s: %d nodes became %d, %.3f s",
        *(graph.name, names, before, after, seconds),
    )
    limits = limits or Limits()
    suit = partial(
        suited, optimize=optimize, fast_math=fast_math, strict_float=strict_float
    )
    own = chosen[0]
    return lowered, Options(own, limits, strict, strict_float, devices, shown, suit)
