"""Constants that a loop's body only reads become its own."""

import numpy as np

from graphwright.ir.builder import Builder
from graphwright.ir.dtype import float32
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType
from graphwright.passes.derive import derive_weights
from graphwright.passes.sink_constants import sink_constants

ROW, ROWS = TensorType(float32, (3,)), TensorType(float32, (4, 3))
RNG = np.random.default_rng(0)
W = RNG.standard_normal((3, 3), np.float32)
FEEDS = [RNG.standard_normal((4, 3), np.float32), RNG.standard_normal(3, np.float32)]


def recurrence(turned: bool, fixed: bool) -> Graph:
    """``h' = h W + x``, with weights that are constant, perhaps turned, or given."""
    b = Builder("recurrence")
    x, h = b.input("x", ROWS), b.input("h", ROW)
    w = b.constant(W) if fixed else b.input("w", TensorType(float32, (3, 3)))
    w = b.transpose(w, (1, 0)) if turned else w
    body = b.subgraph("step")
    state, item = body.input("h", ROW), body.input("x", ROW)
    after = body.add(body.matmul(state, body.input("w", w.type)), item)
    results = b.emit_all(
        "scan",
        *(h, x, w),
        types=(ROW,),
        body=body.finish([after]),
        carried=1,
        scanned=1,
        in_axes=(0,),
        out_axes=(),
        reverse=(False,),
        out_reverse=(),
    )
    return b.finish(results)


def test_constants_sink() -> None:
    for turned in (False, True):
        graph = recurrence(turned, fixed=True)
        found = sink_constants(derive_weights(graph))
        (node,) = found.nodes
        assert len(node.operands) == 2
        (body,) = node.op.subgraphs()
        assert len(body.inputs) == len(body.input_names) == 2
        for got, want in zip(
            evaluate(found, FEEDS), evaluate(graph, FEEDS), strict=True
        ):
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def test_what_is_given_stays() -> None:
    graph = recurrence(turned=False, fixed=False)
    assert sink_constants(derive_weights(graph)) is graph
