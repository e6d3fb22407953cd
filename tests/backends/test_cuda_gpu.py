"""CUDA on a GPU: every op, random graphs, ONNX's suite, what other libraries hold."""

from typing import Any

import numpy as np
import pytest
from onnx_exports import Suite, by_reason

import graphwright as gw
from graphwright.backends.registry import get_backend
from graphwright.frontends.onnx.backend import GraphwrightBackend
from graphwright.ir.op import OPS
from graphwright.testing import assert_agree, cases, inputs_for, random_graph

WHY = get_backend("cuda").unavailable()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(WHY is not None, reason=f"needs an NVIDIA GPU: {WHY}"),
]

UNREACHABLE = 7
"""Tests of ONNX's suite that the numpy backend fails too."""


@pytest.mark.parametrize(
    "op", [n for n, c in OPS.items() if c.__module__.startswith("graphwright.ir")]
)
def test_ops(op: str) -> None:
    for case in cases(op):
        assert_agree(case.graph, case.inputs, backend="cuda")


@pytest.mark.parametrize("start", range(0, 300, 50))
def test_random_graphs(start: int) -> None:
    for seed in range(start, start + 50):
        graph = random_graph(seed)
        assert_agree(graph, inputs_for(graph, seed), backend="cuda")


def test_the_suite_of_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHWRIGHT_BACKEND", "cuda")
    suite = Suite(GraphwrightBackend)
    found = {n: suite.problem(GraphwrightBackend, n) for n in suite.names()}
    problems = {n: p for n, p in found.items() if p}
    if len(problems) > UNREACHABLE:
        pytest.fail(by_reason(problems), pytrace=False)


def test_arrays_of_other_libraries_are_not_copied() -> None:
    torch: Any = pytest.importorskip("torch", reason="needs torch with CUDA")
    if not torch.cuda.is_available():
        pytest.skip("this build of torch has no CUDA")
    x = torch.arange(4.0, device="cuda")
    y = gw.jit(lambda v: v + 1, backend="cuda")(x)
    assert y.__dlpack_device__() == (2, 0)
    np.testing.assert_array_equal(torch.from_dlpack(y).cpu().numpy(), [1, 2, 3, 4])
