"""Random graphs aimed at rewrites: each pass alone, in order, in random order."""

import json
from collections import Counter

import pytest
from faulty_rewrites import faulty

import graphwright as gw
from graphwright.ir.dtype import DType, float32, int32
from graphwright.ir.types import TensorType
from graphwright.passes.manager import PASSES
from graphwright.passes.pipeline import DEFAULT
from graphwright.passes.precision import PRECISIONS
from graphwright.passes.rules import ROUNDING, UNSAFE, RewriteClass, RuleSet
from graphwright.testing import inputs_for
from graphwright.testing.passcheck import (
    DIFFERENCES,
    Checked,
    Schedule,
    check_passes,
    check_schedule,
    lowering,
    schedules,
)
from graphwright.testing.random_graphs import aimed_graph, aims

COUNT, BLOCK, ALL, OWN = 200, 100, 10_000, 20
LARGE = frozenset({"roll_loops"})
"""Passes that look at graphs of hundreds of nodes: ``test_roll.py`` holds them."""


def check_block(start: int, stop: int, note: pytest.FixtureRequest) -> Checked:
    """Checks the graphs of these seeds; what fired goes into the report."""
    checked = Checked()
    for seed in range(start, stop):
        graph = aimed_graph(seed)
        try:
            check_passes(graph, inputs_for(graph, seed), seed, checked)
        except Exception as error:
            error.add_note(f"aimed_graph({seed})")
            raise
        found = [f"{s.label}: {d}" for s, d in checked.faults]
        assert not found, f"aimed_graph({seed}): {found}"
    note.node.user_properties.append(("fired", json.dumps(checked.fired)))
    note.node.user_properties.append(("known", json.dumps(checked.known)))
    return checked


def rewrites() -> set[str]:
    rules = (step for step in PASSES.values() if isinstance(step, RuleSet))
    return {r.name for each in rules for r in each.rewrites}


def applies(name: str) -> bool:
    """Whether a rewrite applies in one of a few graphs that are all about it."""
    for seed in range(30):
        graph = aimed_graph(seed, max_nodes=1, rewrites=[name])
        if check_passes(graph, inputs_for(graph, seed), seed).fired[name]:
            return True
    return False


def test_every_rewrite_and_pass_has_a_motif() -> None:
    assert rewrites() <= set(aims())


def test_passes_keep_what_graphs_mean(request: pytest.FixtureRequest) -> None:
    checked = check_block(0, COUNT, request)
    assert checked.graphs == COUNT
    asked = rewrites() | PASSES.keys() - PRECISIONS.keys() - LARGE
    asked |= {step.__name__ for step in lowering() if hasattr(step, "__name__")}
    never = asked - checked.fired.keys()
    assert len(never) < 10
    left = [name for name in never if not applies(name)]
    assert not left, f"never applied: {sorted(left)}"
    assert checked.known.keys() <= DIFFERENCES.keys()
    assert len(DIFFERENCES) <= 10


def passes_with(name: str) -> list[Schedule]:
    """What runs a rewrite, or a pass: the smallest set that has it, and all passes."""
    if name in PASSES:
        return [Schedule(name, (name,)), Schedule("default", DEFAULT)]
    sets = {n: s for n, s in PASSES.items() if isinstance(s, RuleSet)}
    having = {n: s for n, s in sets.items() if name in {r.name for r in s.rewrites}}
    if not having:
        return [s for s in schedules(0) if s.label == "lowered"]
    least = min(having, key=lambda n: len(having[n].rewrites))
    kinds = {r.kind for r in having[least].rewrites if r.name == name}
    alone = [Schedule(least, (least,), kind) for kind in kinds]
    return [*alone, Schedule("default", DEFAULT)]


def check_own(name: str, seeds: range) -> None:
    """Checks one rewrite or pass on graphs that are about it."""
    for seed in seeds:
        graph = aimed_graph(seed, max_nodes=2, rewrites=[name])
        for each in passes_with(name):
            found = check_schedule(graph, inputs_for(graph, seed), each)
            assert found is None, f"{name}, {seed}, {each.label}: {found}"


@pytest.mark.parametrize("name", aims())
def test_each_keeps_what_graphs_of_its_own_mean(name: str) -> None:
    check_own(name, range(OWN))


@pytest.mark.full
@pytest.mark.parametrize("name", aims())
def test_each_keeps_what_many_graphs_of_its_own_mean(name: str) -> None:
    check_own(name, range(OWN, 40 * OWN))


@pytest.mark.full
@pytest.mark.parametrize("start", range(COUNT, ALL, BLOCK))
def test_passes_keep_what_many_graphs_mean(
    start: int, request: pytest.FixtureRequest
) -> None:
    check_block(start, start + BLOCK, request)


def test_random_graphs_aim_where_they_are_told_to() -> None:
    fired: Counter[str] = Counter()
    for seed in range(20):
        graph = aimed_graph(seed, max_nodes=1, rewrites=["slice_twice"])
        fired += check_passes(graph, inputs_for(graph, seed), seed).fired
    assert fired["slice_twice"] >= 20


@pytest.mark.parametrize("dtype", [int32, float32])
@pytest.mark.parametrize("allowed", [ROUNDING, UNSAFE])
def test_wrong_numbers_are_faults(dtype: DType, allowed: RewriteClass) -> None:
    b = gw.Builder("wrong")
    x = b.input("x", TensorType(dtype, (4,)))
    graph = b.finish([b.mul(x, 1)])
    simplify = Schedule("simplify", ("simplify",), allowed)
    assert check_schedule(graph, inputs_for(graph, 0), simplify) is None
    with faulty("times_one", lambda b, x: b.add(x, 1)):
        assert check_schedule(graph, inputs_for(graph, 0), simplify) is not None
