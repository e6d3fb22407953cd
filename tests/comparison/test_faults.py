"""Thirty faults drawn by seed: all are found, and what is at fault is named first."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from faults import Drawn, draw
from rewrite_examples import EXAMPLES

import graphwright as gw
from graphwright.feeds import random_feeds
from graphwright.ir.evaluate import evaluate
from graphwright.passes.steps import limited
from graphwright.testing import shrink

QUICK = (1, 2, 3, 18)
"""Seeds of the plain run; ``pytest --full`` takes all."""

SEEDS = [
    seed if seed in QUICK else pytest.param(seed, marks=pytest.mark.full)
    for seed in range(30)
]


def named(drawn: Drawn) -> str:
    """What the first line has to say."""
    if drawn.kind == "rewrite":
        return f"guilty: the rewrite {drawn.name} in"
    return f"guilty: the kernel of faulty for {drawn.name}("


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fault_is_found_and_named_first(seed: int) -> None:
    drawn = draw(seed)
    assert (drawn.change < 1e-3) is (seed % 3 == 0)
    with drawn.active() as backend:
        report = gw.compare(drawn.graph, [backend, "reference"])
    assert not report.ok, f"{drawn.kind} {drawn.name}: {drawn.what}"
    assert named(drawn) in report.verdict


def least(name: str) -> int:
    """Nodes of the smallest graph in which a rewrite applies at all."""
    graph = EXAMPLES[name]

    def applies(tried: gw.Graph, feeds: Sequence[Any]) -> bool:
        evaluate(tried, feeds)
        with limited(None) as steps:
            gw.optimize(tried)
        return any(step.rewrite == name for step in steps.taken)

    inputs = list(random_feeds(graph, {}, 0).values())
    assert applies(graph, inputs)
    return len(shrink(graph, inputs, applies)[0].nodes)


def test_rewrites_whose_patterns_are_larger_than_five_nodes() -> None:
    assert least("gelu_erf") == 5
    assert least("norm_multiplied") == 9  # square, sum, shape, mean, ..., product


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fault_is_shrunk_to_five_nodes(seed: int, tmp_path: Path) -> None:
    """Or to the pattern of the rewrite at fault, where that is larger."""
    drawn = draw(seed)
    pattern = len(drawn.graph.nodes) if drawn.kind == "rewrite" else 0
    with drawn.active() as backend:
        report = gw.compare(drawn.graph, [backend], bisect=str(tmp_path))
    assert report.reproducer is not None
    assert len(report.reproducer.graph.nodes) <= max(5, pattern)
    assert report.seconds["bisect"] < 120
