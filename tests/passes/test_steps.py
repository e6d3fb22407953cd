"""Changes are counted, and stop where they are told to, in every pass."""

import pytest
from rewrite_examples import EXAMPLES

from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.verify import verify
from graphwright.passes.manager import PASSES, PassManager
from graphwright.passes.pipeline import DEFAULT, optimize
from graphwright.passes.steps import Step, exhausted, limited, note
from graphwright.testing import inputs_for, random_graph
from graphwright.testing.compare import assert_within


def steps_of(graph: Graph, limit: int | None = None) -> tuple[Graph, list[Step]]:
    with limited(limit) as steps:
        return optimize(graph, [*DEFAULT, "fuse_epilogues"]), steps.taken


@pytest.mark.parametrize("seed", range(12))
def test_a_limit_makes_the_same_first_changes(seed: int) -> None:
    graph = random_graph(seed, max_nodes=30)
    whole, every = steps_of(graph)
    assert steps_of(graph, len(every))[0] == whole
    inputs = inputs_for(graph, seed)
    want = evaluate(graph, inputs)
    for limit in range(len(every)):
        after, taken = steps_of(graph, limit)
        verify(after)
        assert taken == every[:limit]
        assert_within(graph, inputs, want, evaluate(after, inputs))


def test_no_changes_are_the_same_object() -> None:
    for seed in range(20):
        graph = random_graph(seed)
        assert steps_of(graph, 0) == (graph, [])
        assert steps_of(graph, 0)[0] is graph


@pytest.mark.parametrize("name", sorted(PASSES))
def test_every_pass_counts_what_it_does(name: str) -> None:
    for graph in EXAMPLES.values():
        with limited() as steps:
            after, report = PassManager([name]).run(graph)
        assert (after is not graph) == bool(steps.taken)
        assert {step.pass_name for step in steps.taken} <= {name}
        if report.rewrites:
            assert report.rewrites.total() == len(steps.taken)


def test_outside_of_a_limit_nothing_is_counted() -> None:
    note("nothing")
    assert not exhausted()
    with limited(1) as steps:
        note("one")
        assert exhausted()
        with limited() as inner:
            note("two")
        assert exhausted()
    assert [str(s) for s in (*steps.taken, *inner.taken)] == ["one", "two"]
