"""Composite ops against what they decompose into."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx_graphs import imported

from graphwright.ir.evaluate import evaluate
from graphwright.ir.op import Op, Tier
from graphwright.ir.verify import verify
from graphwright.passes.decompose import decompose_unsupported


def same_decomposed(
    model: Any, feeds: Mapping[str, Any], rtol: float = 1e-5
) -> list[Any]:
    """Asserts that a model's composites are what they decompose into."""
    graph = imported(model)
    simple = decompose_unsupported(graph, lambda op, types: False)
    verify(simple)
    left = [n.op.name for n in simple.nodes if is_decomposable(n.op)]
    assert not left
    arrays = [feeds[name] for name in graph.input_names]
    want = evaluate(graph, arrays)
    for got, expected in zip(evaluate(simple, arrays), want, strict=True):
        assert got.dtype == expected.dtype
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol)
    return want


def is_decomposable(op: Op) -> bool:
    """Whether an op is a composite that has a decomposition."""
    return op.tier is Tier.COMPOSITE and op.has_parts()
