"""The conditions of rewrites: graphs that each must leave as they are."""

import composite_counterexamples
import pytest
import recognition_counterexamples
from rewrite_counterexamples import COUNTEREXAMPLES
from rewrite_examples import EXAMPLES

from graphwright.ir.graph import Graph
from graphwright.ir.verify import verify
from graphwright.passes import pipeline
from graphwright.passes.manager import PASSES
from graphwright.passes.rules import RuleSet

RULES = [step for step in PASSES.values() if isinstance(step, RuleSet)]
assert pipeline.DEFAULT, "importing it registers rewrites"
assert composite_counterexamples, "importing it adds its own"
assert recognition_counterexamples, "likewise"
CASES = [(n, i) for n, graphs in COUNTEREXAMPLES.items() for i in range(len(graphs))]


def graph_of(name: str, i: int) -> Graph:
    return COUNTEREXAMPLES[name][i]


@pytest.mark.parametrize(("name", "i"), CASES)
def test_a_rewrite_stays_away(name: str, i: int) -> None:
    graph = graph_of(name, i)
    verify(graph)
    own = [found for rules in RULES if (found := rules.only([name])).rewrites]
    assert own
    assert all(rules(graph) is graph for rules in own)


def test_counterexamples_are_of_rewrites() -> None:
    assert COUNTEREXAMPLES.keys() <= EXAMPLES.keys()
