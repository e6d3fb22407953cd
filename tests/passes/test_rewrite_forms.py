"""Further forms of what rewrites match, beside the example that each of them has."""

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import graphwright as gw
from graphwright.ir.dtype import DType, bfloat16, bool_, float16, float32
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType
from graphwright.passes.manager import PASSES
from graphwright.passes.pattern import Either, OpPattern, Pattern
from graphwright.passes.rules import UNSAFE, RuleSet
from graphwright.testing import inputs_for
from graphwright.testing.choices import Seeded
from graphwright.testing.compare import difference
from graphwright.testing.maker import Maker, Reject
from graphwright.testing.motifs import MOTIFS, grown, is_own_motif
from graphwright.testing.random_graphs import RANDOM, aims

ROOT = math.sqrt(2 / math.pi)


def built(
    count: int, make: Callable[..., Value], *shape: int, dtype: DType = float32
) -> Graph:
    b = gw.Builder("form")
    inputs = [b.input(f"x{i}", TensorType(dtype, shape)) for i in range(count)]
    return b.finish([make(b, *inputs)])


def names(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes]


def check(graph: Graph, after: Graph) -> None:
    rng = np.random.default_rng(0)
    shapes = [v.shape for v in graph.inputs]
    feeds = [rng.standard_normal(s).astype(np.float32) for s in shapes]  # type: ignore[arg-type]
    (got,), (wanted,) = evaluate(after, feeds), evaluate(graph, feeds)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def bent(b: gw.Builder, x: Value, root: float) -> Value:
    """``x * (1 + erf(x / root)) / 2``."""
    return b.mul(b.mul(x, b.add(b.unary("erf", b.div(x, root)), 1.0)), 0.5)


@pytest.mark.parametrize("narrow", [float16, bfloat16], ids=str)
def test_numbers_of_narrow_floats_are_the_nearest_ones(narrow: DType) -> None:
    graph = built(1, lambda b, x: bent(b, x, math.sqrt(2)), 2, 3, dtype=narrow)
    assert names(gw.optimize(graph)) == ["gelu"]
    other = built(1, lambda b, x: bent(b, x, 1.43), 2, 3, dtype=narrow)
    assert "erf" in names(gw.optimize(other))


def test_signs_cancel_in_a_quotient() -> None:
    graph = built(2, lambda b, x, y: b.div(b.neg(x), b.neg(y)), 2, 3)
    after = gw.optimize(graph)
    assert names(after) == ["div"]
    assert after.nodes[0].operands == after.inputs
    check(graph, after)


def factored(b: gw.Builder, x: Value, c: float) -> Value:
    """``x/2 * (1 + tanh(r x (1 + c x^2)))``."""
    inner = b.mul(b.mul(x, ROOT), b.add(b.mul(b.mul(x, c), x), 1.0))
    return b.mul(b.mul(x, 0.5), b.add(b.tanh(inner), 1.0))


def test_gelu_is_found_where_x_is_factored_out() -> None:
    graph = built(1, lambda b, x: factored(b, x, 0.044715), 2, 3)
    after = gw.optimize(graph)
    assert names(after) == ["gelu"]
    check(graph, after)


def test_gelu_is_found_as_programs_write_it() -> None:
    def written(b: gw.Builder, x: Value) -> Value:
        cube = b.mul(b.mul(b.mul(x, 0.044715), x), x)
        bent = b.add(b.tanh(b.mul(b.add(x, cube), ROOT)), 1.0)
        return b.mul(b.mul(x, 0.5), bent)

    graph = built(1, written, 2, 3)
    after = gw.optimize(graph)
    assert names(after) == ["gelu"]
    check(graph, after)


@pytest.mark.parametrize("coefficient", [0.04473, 0.0447])
def test_gelu_has_its_own_coefficient(coefficient: float) -> None:
    graph = built(1, lambda b, x: factored(b, x, coefficient), 2, 3)
    assert "gelu" not in names(gw.optimize(graph))


@pytest.mark.parametrize("low", [-5.0, 0.0, -1e4])
def test_scores_that_still_have_weight_are_no_mask(low: float) -> None:
    allowed = np.random.default_rng(1).random((3, 3)) < 0.5

    def make(b: gw.Builder, q: Value, k: Value, v: Value) -> Value:
        scores = b.mul(b.dot(q, b.transpose(k, (0, 2, 1))), 0.5)
        seen = b.broadcast_to(b.constant(allowed, bool_), scores.shape)
        scores = b.where(seen, scores, b.full(scores.shape, low, float32))
        return b.dot(b.emit("softmax", scores, axis=2), v)

    graph = built(3, make, 2, 3, 4)
    check(graph, gw.optimize(graph))


@pytest.mark.parametrize("low", [-1e31, -3e38])
def test_rows_without_anything_to_attend_to_stay_finite(low: float) -> None:
    allowed = np.array([[True, False, True], [False] * 3, [False, True, True]])

    def make(b: gw.Builder, q: Value, k: Value, v: Value) -> Value:
        scores = b.dot(q, b.transpose(k, (0, 2, 1)))
        seen = b.broadcast_to(b.constant(allowed, bool_), scores.shape)
        scores = b.where(seen, scores, b.full(scores.shape, low, float32))
        return b.dot(b.emit("softmax", scores, axis=2), v)

    graph = built(3, make, 2, 3, 4)
    after = gw.optimize(graph)
    assert "attention" in names(after)
    check(graph, after)


# Every alternative of every pattern ---------------------------------------------------

TRIES, SHOWN = 400, 4
assert aims(), "importing it registers all motifs"


def forms(pattern: Pattern) -> Iterator[Pattern]:
    """A pattern with each choice among its alternatives made."""
    match pattern:
        case Either():
            yield from forms(pattern.left)
            yield from forms(pattern.right)
        case OpPattern():
            for operands in itertools.product(*map(forms, pattern.operands)):
                yield OpPattern(pattern.name, operands, pattern.fields)
        case _:
            yield pattern


RULES = {
    r.name: rules.only([r.name])
    for rules in PASSES.values()
    if isinstance(rules, RuleSet)
    for r in rules.rewrites
    if r.name not in MOTIFS and is_own_motif(r.pattern)
}


def of_form(form: OpPattern, seed: int) -> Graph | None:
    """A graph that a form matches, if these decisions make one."""
    m = Maker(gw.Builder("form"), Seeded(seed), RANDOM)
    m.sure = True
    try:
        with m.attempt():
            results = grown(m, form)
    except Reject:
        return None
    return m.b.finish(list(results))


@pytest.mark.parametrize("name", sorted(RULES))
def test_each_form_applies_and_keeps_what_graphs_mean(name: str) -> None:
    rules = RULES[name].allowing(UNSAFE)
    for rewrite in rules.rewrites:
        for form in forms(rewrite.pattern):
            assert isinstance(form, OpPattern)
            assert count_applied(rules, form) == SHOWN, form


def count_applied(rules: RuleSet, form: OpPattern) -> int:
    """In how many graphs of a form rewrites apply and are right, so many at most."""
    count = 0
    for seed in range(TRIES):
        graph = of_form(form, seed)
        after = rules(graph) if graph else None
        if graph is None or after is None or after is graph:
            continue
        inputs = inputs_for(graph, seed)
        want, got = evaluate(graph, inputs), evaluate(after, inputs)
        assert not difference(graph, inputs, want, got), f"{form}, seed {seed}"
        count += 1
        if count == SHOWN:
            break
    return count
