"""What holds of every graph: it verifies, prints, reads back, runs, as declared."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphwright.backends.numpy.backend import NumpyBackend
from graphwright.ir.dim import evaluate as evaluate_dim
from graphwright.ir.dim import symbols
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.op import Op, Tier
from graphwright.ir.parser import parse
from graphwright.ir.types import TensorType, Type
from graphwright.ir.verify import verify


class Primitives(NumpyBackend):
    """Runs nothing that can be decomposed."""

    name = "primitives"

    def supports(self, op: Op, types: Sequence[Type]) -> bool:
        return op.tier in (Tier.PRIMITIVE, Tier.HOST)


PRIMITIVES = Primitives()


def check_text(graph: Graph) -> None:
    """It verifies, and its text is read back as the same graph."""
    verify(graph)
    again = parse(str(graph), constants=list(graph.all_constants()))
    assert again == graph
    assert str(again) == str(graph)


def check_results(graph: Graph, inputs: Sequence[Any]) -> list[Any]:
    """The reference's results, which have the types that the graph declares."""
    results = evaluate(graph, inputs)
    sizes: dict[str, int] = {}
    for v, x in zip(graph.inputs, inputs, strict=True):
        if isinstance(v.type, TensorType):
            pairs = zip(v.shape, np.shape(x), strict=True)
            sizes |= {str(d): n for d, n in pairs if str(d).isidentifier()}
    for v, x in zip(graph.outputs, results, strict=True):
        if not isinstance(v.type, TensorType):
            continue
        assert x.dtype == v.dtype.numpy
        assert x.ndim == v.rank
        for dim, size in zip(v.shape, x.shape, strict=True):
            if symbols(dim) <= sizes.keys():
                assert evaluate_dim(dim, sizes) == size
    return results
