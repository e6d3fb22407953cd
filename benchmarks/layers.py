"""Show where a network's time on OpenCL goes, beside the limits of the machine.

    python benchmarks/layers.py MODEL [--runs N] [--least SHARE]

A line is the kernels that compute the same values of the model, with those before them
whose results have no name in it: their milliseconds (the least of some runs, each
kernel waited for by itself), GFLOP/s by the operations of the direct algorithm, bytes
read and written, weights among them, and the limit: the longer of the operations at the
arithmetic peak and the bytes at the bandwidth of a copy. Both are measured first.
A kernel runs some times in a row, so what it reads lies in caches where it fits there:
a run takes longer than the sum (ResNet-50 on two cores of Zen 4: 32.6 ms, not 29.0).
Winograd's and Strassen's algorithms do fewer operations, and what lies in a cache may
be read faster: then a layer stays below the limit. Lines come by the time over the
limit; those of less than ``--least`` of the whole are summed up.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from opencl_kernels import Bench

import graphwright as gw
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.types import TensorType

_COPIED = 64 << 20


@dataclass(slots=True)
class Layer:
    """Kernels that compute the same values.

    Attributes:
        source: The node of the model.
        kinds: What the kernels are, each once.
        seconds: Of all of them.
        flops: Operations of the direct algorithm.
        nbytes: What has to be read and written.
    """

    source: str
    kinds: dict[str, None] = field(default_factory=dict)
    seconds: float = 0.0
    flops: float = 0.0
    nbytes: float = 0.0

    def limit(self, peak: float, bandwidth: float) -> float:
        """Seconds that it takes at least, by the direct algorithm."""
        return max(self.flops / peak, self.nbytes / bandwidth)


class Costs:
    """Operations and bytes of the values of a graph, each node's in one layer."""

    def __init__(self, graph: Graph, computed: Set[str]) -> None:
        """Keep a graph, and the names of its values that kernels write."""
        self._graph, self._makers = graph, graph.producers()
        self._named: dict[str, Value] = {}
        for v, origins in graph.origins.items():
            self._named |= {o.value: v for o in origins if o.value in computed}
        self._edges = {*self._named.values(), *graph.inputs}
        self._taken: set[Node] = set()

    def fill(self, layer: Layer, names: Sequence[str]) -> None:
        """Notes those of the nodes that make these values of values kernels wrote."""
        made = [self._named[n] for n in names if n in self._named]
        inside: dict[Node, None] = {}
        read: dict[Value, None] = {}
        waiting = [*made]
        while waiting:
            v = waiting.pop()
            node = self._makers.get(v)
            if (
                node is None
                or (v in self._edges and v not in made)
                or node in self._taken
            ):
                read[v] = None
            elif node not in inside:
                inside[node] = None
                waiting += node.operands
        self._taken.update(inside)
        own = {v for node in inside for v in node.operands}
        written = [v for v in made if v not in own or v in self._graph.outputs]
        layer.nbytes = sum(map(_nbytes, (*read, *written)))
        layer.flops = float(sum(map(_flops, inside)))
        shapes = {"x".join(map(str, v.shape)): None for v in written}
        layer.source += f" [{', '.join(shapes)}]"


def _nbytes(v: Value) -> float:
    t = v.type
    assert isinstance(t, TensorType)
    return float(np.prod([float(str(d)) for d in t.dims]) * t.dtype.numpy.itemsize)


def _flops(node: Node) -> float:
    types = [v.type for v in node.operands]
    return float(str(node.op.flops(types, [v.type for v in node.results])))


def bandwidth() -> float:
    """Bytes a second that a kernel reads and writes, each once."""
    x = np.zeros(_COPIED // 4, np.float32)
    exe = gw.compile(_negated(x.size), backend="opencl", strict=True)
    return 2 * x.nbytes / min(exe.profile([x])[0].seconds for _ in range(10))


def _negated(size: int) -> Graph:
    return gw.trace(lambda x: -x, gw.spec("float32", (size,)))


def layers(exe: Any, feeds: Sequence[Any], runs: int) -> list[Layer]:
    """The layers in the order in which they run."""
    least: dict[tuple[Any, ...], float] = {}
    for _ in range(runs):
        seen: dict[Any, int] = defaultdict(int)
        for row in exe.profile(feeds):
            key = (row.values, row.source, row.kernel.rsplit("_", 1)[0])
            seen[key] += 1
            place = (*key, seen[key])
            least[place] = min(least.get(place, row.seconds), row.seconds)
        time.sleep(0.05)
    found: dict[Any, Layer] = {}
    costs = Costs(exe.graph, {name for values, *_ in least for name in values})
    before = Layer("")
    for (values, source, kind, _), seconds in least.items():
        layer = found.get(values, before)
        if values and layer is before:
            layer = found[values] = before
            layer.source, before = source, Layer("")
            costs.fill(layer, values)
        layer.kinds[kind.split("_")[0]] = None
        layer.seconds += seconds
    return list(found.values())


def drawn(exe: Any) -> list[Any]:
    """Inputs for a graph: numbers drawn at random, dims without a size 1."""
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for v in exe.graph.inputs:
        shape = [d if isinstance(d, int) else 1 for d in v.type.dims]
        whole = v.type.dtype.kind in "iub"
        x = np.ones(shape) if whole else rng.standard_normal(shape)
        found.append(x.astype(v.type.dtype.numpy))
    return found


def shown(rows: Sequence[Layer], limits: Mapping[str, float], least: float) -> None:
    """Prints the table."""
    whole = sum(layer.seconds for layer in rows)
    peak, copy = limits["peak"], limits["copy"]
    order = sorted(rows, key=lambda r: r.limit(peak, copy) - r.seconds)
    print("      ms GFLOP/s      MB  limit   of it  kernels")
    rest = [r for r in order if r.seconds < least * whole]
    for r in order:
        if r in rest:
            continue
        limit = r.limit(peak, copy)
        cells = (
            *(f"{r.seconds * 1e3:8.3f}", f"{r.flops / r.seconds / 1e9:7.0f}"),
            *(f"{r.nbytes / 1e6:7.1f}", f"{limit * 1e3:6.3f}"),
            f"{r.seconds / limit if limit else 0.0:6.2f}x",
        )
        print(*cells, f" {'+'.join(r.kinds)}  {r.source}")
    for some, words in ((rest, f"{len(rest)} smaller ones"), (rows, "all")):
        taken = sum(r.seconds for r in some)
        bound = sum(r.limit(peak, copy) for r in some)
        share = taken / bound if bound else 0.0
        ends = (f"{taken * 1e3:8.3f}", " " * 15, f"{bound * 1e3:6.3f}")
        print(*ends, f"{share:6.2f}x  {words}")


def main() -> None:
    """Reads the command line, measures, prints."""
    cli = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cli.add_argument("model", type=Path)
    cli.add_argument("--runs", type=int, default=10)
    cli.add_argument("--least", type=float, default=0.01)
    given = cli.parse_args()
    limits = {"peak": Bench(given.runs, cpu=False).peak(), "copy": bandwidth()}
    print(f"{limits['peak'] / 1e9:.0f} GFLOP/s, {limits['copy'] / 1e9:.1f} GB/s")
    exe = gw.compile(given.model, backend="opencl", strict=True)
    shown(layers(exe, drawn(exe), given.runs), limits, given.least)


if __name__ == "__main__":
    main()
