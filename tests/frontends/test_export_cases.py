"""Every op, exported and taken back, over the dtypes and sizes that it takes."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from onnx_exports import assert_same, taken_back

import graphwright as gw
import graphwright.ir.ops
from graphwright.ir.evaluate import evaluate
from graphwright.ir.op import OPS
from graphwright.testing import cases

NAMES = sorted(n for n, c in OPS.items() if c.__module__.startswith("graphwright.ir"))

NEVER = {
    **dict.fromkeys(
        ["cholesky", "eig", "eigh", "qr", "singular_values", "slogdet", "solve", "svd"],
        "ONNX factors no matrices",
    ),
    **dict.fromkeys(["read", "token", "write"], "a model keeps no variables"),
    **dict.fromkeys(
        ["complex", "complex_part", "fft"], "ONNX has no complex tensors at the ends"
    ),
    "coupled_probabilities": "part of one operator of ONNX only",
    "foreign": "the cases hold another format's nodes",
    "gcd": "ONNX has no such operator",
}
"""Ops that no case of which can be exported, and why."""


def run(name: str, step: int) -> None:
    outcome: Counter[str] = Counter()
    for case in list(cases(name))[::step]:
        outcome[_outcome(case)] += 1
    assert bool(outcome["same"]) is (name not in NEVER), outcome


def _outcome(case: Any) -> str:
    try:
        _, again = taken_back(case.graph)
    except gw.UnsupportedOpError:
        return "unsupported"
    with np.errstate(all="ignore"):
        try:
            want = evaluate(case.graph, case.inputs)
        except gw.GraphwrightError:
            return "fails"
        assert_same(evaluate(again, case.inputs), want)
    return "same"


@pytest.mark.parametrize("name", NAMES)
def test_cases(name: str) -> None:
    run(name, 8)


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_all_cases(name: str) -> None:
    run(name, 1)
