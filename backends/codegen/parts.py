"""Kernels as profiles and dumps show them."""

from collections.abc import Sequence
from dataclasses import replace

from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.hazards import nbytes
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.lower import Step
from graphwright.backends.contract import Part
from graphwright.ir.dtype import bool_, int32
from graphwright.ir.graph import Graph


def part_of(step: Step, name: str, text: str, graph: Graph) -> Part:
    """A step of a graph's, whose kernel has that name and source."""
    sources = dict.fromkeys(str(n.source or n.op.name) for n in step.nodes)
    results = (v for node in step.nodes for v in node.results)
    origins = (o for v in results for o in graph.origins.get(v, ()) if not o.path)
    values = dict.fromkeys(o.value for o in origins)
    schedule = _schedule(step.kernel)
    return Part(name, step.node, tuple(sources), tuple(values), text, schedule)


def _schedule(kernel: Kernel) -> dict[str, object]:
    return {
        "items": list(kernel.items),
        "group": list(kernel.group),
        "local_bytes": [*kernel.near, *map(_local_bytes, kernel.local)],
        "sizes": list(kernel.sizes.values),
        "reads": _named(kernel.inputs),
        "writes": _named(kernel.outputs),
    }


def _local_bytes(array: Array) -> int:
    """What an array of a work-group takes, where truth is an ``int``."""
    return nbytes(replace(array, dtype=int32) if array.dtype is bool_ else array)


def _named(arrays: Sequence[Array]) -> list[str]:
    return [f"{a.dtype}{list(a.shape)}" for a in arrays]
