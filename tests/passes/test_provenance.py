"""Provenance: what values of an optimised graph say they equal, they do."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph, Origin
from graphwright.ir.types import TensorType
from graphwright.passes.pipeline import DEFAULT, manager
from graphwright.testing import bounds_of, inputs_for
from graphwright.testing.compare import difference
from graphwright.testing.random_graphs import aimed_graph

LOWERED = (*DEFAULT, "channels_last", "remove_dead", "sink_reshapes", "fuse_epilogues")


def values_of(graph: Graph) -> list[Value]:
    """Tensors that nodes give."""
    found = [v for node in graph.nodes for v in node.results]
    return [v for v in found if isinstance(v.type, TensorType)]


def with_names(graph: Graph) -> Graph:
    """The graph, each value known by a name."""
    values = values_of(graph)
    return replace(
        graph, origins={v: (Origin("model", str(i)),) for i, v in enumerate(values)}
    )


def giving(graph: Graph, values: list[Value]) -> Graph:
    """The graph with these values as its outputs."""
    names = tuple(f"v{i}" for i in range(len(values)))
    return replace(graph, outputs=tuple(values), output_names=names)


def unseen(x: Any, view: str, shape: tuple[int, ...]) -> Any:
    """The value of which an array is the view that an origin names."""
    kind, _, words = view.partition(" ")
    if kind == "transpose":
        perm = [int(word) for word in words.strip("[]").split(",")]
        return x.transpose(np.argsort(perm))
    return x.reshape(shape) if kind == "reshape" else x


@pytest.mark.parametrize("part", range(4))
def test_values_equal_what_they_say(part: int) -> None:
    found = gone = 0
    for seed in range(part * 30, part * 30 + 30):
        graph = with_names(aimed_graph(seed))
        inputs = inputs_for(graph, seed)
        after = manager(LOWERED)(graph)
        before = values_of(graph)
        whole = giving(graph, before)
        want, bounds = evaluate(whole, inputs), bounds_of(whole, inputs)
        left = [v for v in values_of(after) if v in after.origins]
        got = evaluate(giving(after, left), inputs)
        known = set[str]()
        for v, x in zip(left, got, strict=True):
            for origin in after.origins[v]:
                i = int(origin.value)
                known.add(origin.value)
                alone = giving(graph, [before[i]])
                back = unseen(x, origin.view, want[i].shape)
                problem = difference(alone, inputs, [want[i]], [back], [bounds[i]])
                assert problem is None, (seed, origin, str(problem))
        found += len(known)
        gone += len(before) - len(known)
    assert found > 50
    assert gone > 0, "rewrites that remove values are part of it"
