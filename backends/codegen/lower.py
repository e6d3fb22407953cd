"""From a graph to kernels: split into stages, each given its schedule."""

from collections.abc import Sequence

from graphwright.backends.codegen import pulled_basic, pulled_more
from graphwright.backends.codegen.cuts import pieces
from graphwright.backends.codegen.device import Cpu, Target
from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.firsts import only_first
from graphwright.backends.codegen.kernels import (
    attention,
    combine,
    contraction,
    convolution,
    cumulative,
    dot,
    fft,
    scan,
    scatter,
    sort,
)
from graphwright.backends.codegen.kernels.table import (
    KERNELS,
    SINGLES,
    Chooser,
    Packed,
    Site,
    first,
)
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.partials import shared
from graphwright.backends.codegen.stages import Single, split
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.record import record

TABLES = (
    *(pulled_basic, pulled_more),
    *(attention, combine, contraction, convolution, cumulative, dot, fft),
    *(scan, scatter, sort),
)
"""Modules whose ops and kernels are registered by importing them."""


@record(frozen=True, eq=False, slots=True)
class Step:
    """A kernel, and the nodes that it computes.

    Attributes:
        kernel: The kernel.
        nodes: What it computes.
        node: The product or convolution among these, else the last one.
    """

    kernel: Kernel
    nodes: tuple[Node, ...]
    node: Node


@record(frozen=True, eq=False, slots=True)
class Lowered:
    """A graph as kernels.

    Attributes:
        steps: Kernels in the order in which they run.
        arrays: Values that lie in memory.
        packed: Arrays that hold constants in another order.
    """

    steps: tuple[Step, ...]
    arrays: dict[Value, Array]
    packed: dict[Array, Packed]


def lowered(graph: Graph, target: Target, choose: Chooser = first) -> Lowered:
    """The kernels of a graph in which all sizes are known.

    Args:
        graph: The graph.
        target: The device.
        choose: Chooses where there are several ways to compute something.
    """
    graph = only_first(graph)
    stages, arrays = split(graph, target.in_place)
    read = (v for node in graph.nodes for v in node.operands)
    wanted = {*read, *graph.outputs}
    steps: list[Step] = []
    packed: dict[Array, Packed] = {}
    for stage in stages:
        if isinstance(stage, Single):
            node = stage.node
            if arrays[node.results[0]].size:
                near = [*node.operands, *(v for v in node.results if v in wanted)]
                given = {v: arrays[v] for v in near if v in arrays}
                made = SINGLES[node.op.name](node, given, target)
                steps += [Step(kernel, (node,), node) for kernel in made]
            continue
        if not arrays[stage.results[0][0]].size:
            continue
        site = Site(stage, arrays, target, choose)
        chief = stage.heavy or stage.nodes[-1]
        steps += [Step(kernel, stage.nodes, chief) for kernel in _kernels(site)]
        packed |= site.packed
    return Lowered(tuple(steps), arrays, packed)


def _kernels(site: Site) -> Sequence[Kernel]:
    """Those that the heavy op of a stage has, else loops."""
    heavy, target = site.stage.heavy, site.target
    maker = KERNELS.get((type(target), heavy.op.name)) if heavy else None
    made = maker(site) if maker is not None else None
    if made is None and isinstance(target, Cpu):
        made = pieces(site.stage, site.arrays, target)
    return made if made is not None else shared(site.stage, site.arrays, target)
