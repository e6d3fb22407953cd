"""``gw.bisect``: it names the rewrite at fault, and shows it in a small graph."""

from typing import Any

import numpy as np
import pytest
from faulty_rewrites import faulty

import graphwright as gw
from graphwright.backends.contract import Kernel, Request
from graphwright.backends.numpy.backend import NumpyBackend
from graphwright.ir.dtype import float32
from graphwright.ir.graph import Graph, Source
from graphwright.ir.types import TensorType
from graphwright.passes import rules
from graphwright.testing import inputs_for


def swapped(b: Any, x: Any, y: Any) -> Any:
    return b.sub(y, x)


def slightly_off(b: Any, x: Any, y: Any) -> Any:
    return b.sub(x, b.mul(y, 1 + 1e-4))


def raising(b: Any, x: Any, y: Any) -> Any:
    raise RuntimeError("no")


def endless(b: Any, x: Any, y: Any) -> Any:
    return b.add(x, b.neg(y))


def sample() -> Graph:
    b = gw.Builder("sample")
    x, y = (b.input(n, TensorType(float32, (4, 5))) for n in "xy")
    b.source = Source("Sub", "minus")
    z = b.add(b.exp(x), b.neg(b.tanh(y)))
    b.source = None
    z = b.neg(b.neg(b.mul(z, b.constant(np.arange(20).reshape(4, 5), float32))))
    return b.finish([b.neg(b.neg(b.sum(z, [1]))), b.mul(x, 1)])


@pytest.mark.parametrize("function", [swapped, slightly_off, raising])
@pytest.mark.parametrize("backend", [None, "numpy"])
def test_it_names_the_rewrite(function: Any, backend: str | None) -> None:
    graph = sample()
    inputs = inputs_for(graph, 1)
    assert gw.bisect(graph, inputs, backend).ok
    with faulty("add_negative", function):
        report = gw.bisect(graph, inputs, backend)
    assert not report.ok
    assert (report.rewrite, report.pass_name) == ("add_negative", "canonicalize")
    assert report.source == Source("Sub", "minus")
    assert report.error > report.bound
    assert 0 < report.step <= report.steps
    assert report.graph is not None
    assert [n.op.name for n in report.graph.nodes] == ["neg", "add"]
    assert "add_negative in canonicalize, at Sub 'minus'" in str(report)


def test_it_names_a_rewrite_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "_AT_LEAST", 100)
    graph = sample()
    with faulty("add_negative", endless):
        report = gw.bisect(graph, inputs_for(graph, 1), seconds=0)
    assert report.rewrite == "add_negative"
    assert report.source == Source("Sub", "minus")


def test_the_small_graph_shows_the_fault() -> None:
    graph = sample()
    with faulty("add_negative", swapped):
        report = gw.bisect(graph, inputs_for(graph, 1))
        assert report.graph is not None
        again = gw.bisect(report.graph, report.inputs)
        assert again.rewrite == "add_negative"
    assert gw.bisect(report.graph, report.inputs).ok


def test_what_is_right_is_reported_so() -> None:
    graph = sample()
    report = gw.bisect(graph, inputs_for(graph, 1))
    assert report.ok
    assert report.rewrite is None
    assert report.steps > 3
    assert str(report) == f"within bounds after all {report.steps} changes"


class Faulty(NumpyBackend):
    """Its exponential function is wrong."""

    name = "faulty"

    def kernel(self, request: Request) -> Kernel:
        right = super().kernel(request)
        return (lambda x: x) if request.op.name == "exp" else right

    def supports(self, op: Any, types: Any) -> bool:
        return op.name != "fused" and super().supports(op, types)

    def fusable(self) -> frozenset[str]:
        return frozenset()


def test_a_backend_may_be_at_fault() -> None:
    graph = sample()
    report = gw.bisect(graph, inputs_for(graph, 1), Faulty())
    assert not report.ok
    assert report.rewrite is None
    assert report.graph is not None
    assert [n.op.name for n in report.graph.nodes] == ["exp"]
    assert "the backend's own result" in str(report)


def test_a_pass_of_a_user_is_one_change() -> None:
    graph = sample()

    def negate(graph: Graph) -> Graph:
        b = gw.Builder.extending(graph)
        outputs = [b.neg(v) for v in graph.outputs]
        return b.finish(outputs, graph.output_names)

    report = gw.bisect(graph, inputs_for(graph, 1), pipeline=["simplify", negate])
    assert (report.rewrite, report.pass_name) == ("negate", "negate")
    assert report.graph is not None
    assert len(report.graph.nodes) <= 1
