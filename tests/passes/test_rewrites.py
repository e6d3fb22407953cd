"""Every rewrite: what it does to an example, word for word, and what to its results."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewrite_examples import EXAMPLES, WIDE

from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.verify import verify
from graphwright.passes.attention import ATTENTION, NARROW_ATTENTION
from graphwright.passes.integer import INTEGER
from graphwright.passes.pipeline import RECOGNIZE, SIMPLIFY
from graphwright.passes.rules import EXACT, ROUNDING, UNSAFE, RewriteClass, RuleSet
from graphwright.passes.scale import SCALES

SETS = (SIMPLIFY, RECOGNIZE, ATTENTION, NARROW_ATTENTION, SCALES, INTEGER)
OF = {r.name: (rules, r.kind) for rules in SETS for r in rules.rewrites}
GOLDEN = Path(__file__).with_name("golden")

SPECIAL = [0.0, -0.0, 1.0, -1.5, 3e38, 1e-40, np.inf, -np.inf, np.nan]


def rules_of(name: str) -> tuple[RuleSet, RewriteClass]:
    rules, kind = OF[name]
    return rules.only([name]), kind


def golden(name: str, before: Graph, after: Graph, kind: RewriteClass, law: str) -> str:
    head = f"# {name} ({kind.name.lower()}): {law}\n"
    return f"{head}\n# before\n{before}\n# after\n{after}"


def test_every_rewrite_has_an_example_and_an_equation() -> None:
    assert set(EXAMPLES) == set(OF)
    for rules in SETS:
        assert all(r.equation.endswith((".", ";", ":")) for r in rules.rewrites)


@pytest.mark.parametrize("name", sorted(OF))
def test_golden(name: str, request: pytest.FixtureRequest) -> None:
    rules, kind = rules_of(name)
    before = EXAMPLES[name]
    verify(before)
    after = rules(before)
    assert after is not before
    verify(after)
    assert rules(after) is after, "a second run finds nothing"
    text = golden(name, before, after, kind, rules.rewrites[0].equation)
    path = GOLDEN / f"{name}.txt"
    if request.config.getoption("--golden"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", sorted(OF))
def test_classes_are_kept_apart(name: str) -> None:
    rules, kind = rules_of(name)
    before = EXAMPLES[name]
    for allowed in RewriteClass:
        assert (rules.allowing(allowed)(before) is before) == (allowed < kind)


def feeds(graph: Graph, draw: Any, special: bool) -> list[Any]:
    return [feed(v, draw, special) for v in graph.inputs]


def feed(v: Value, draw: Any, special: bool) -> Any:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = tuple(int(str(d)) for d in v.shape)
    if v.dtype.is_int:
        return rng.integers(-(2**31), 2**31, shape).astype(v.dtype.numpy)
    found = rng.uniform(-3, 3, shape).astype(v.dtype.numpy)
    if special:
        mask = rng.random(shape) < 0.5
        found[mask] = rng.choice(SPECIAL, shape)[mask]
    return found


@pytest.mark.parametrize("name", sorted(n for n, (_, k) in OF.items() if k is EXACT))
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_exact_rewrites_keep_every_bit(name: str, data: st.DataObject) -> None:
    before = EXAMPLES[name]
    after = rules_of(name)[0](before)
    xs = feeds(before, data.draw, special=True)
    for want, got in zip(evaluate(before, xs), evaluate(after, xs), strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)
        if want.dtype.kind == "f":
            real = ~np.isnan(want)
            np.testing.assert_array_equal(np.signbit(got)[real], np.signbit(want)[real])


@pytest.mark.parametrize("name", sorted(n for n, (_, k) in OF.items() if k is ROUNDING))
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_rounding_rewrites_are_near(name: str, data: st.DataObject) -> None:
    before = EXAMPLES[name]
    after = rules_of(name)[0](before)
    xs = feeds(before, data.draw, special=False)
    for want, got in zip(evaluate(before, xs), evaluate(after, xs), strict=True):
        assert got.dtype == want.dtype
        if name not in WIDE:
            size = float(np.nanmax(np.abs(want), initial=1))
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=2e-6 * size)


@pytest.mark.parametrize("name", sorted(WIDE))
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_rewrites_of_narrow_floats_are_near_the_exact_result(
    name: str, data: st.DataObject
) -> None:
    """Scores of 8 to 16 are rounded by 2**-8, so weights, and three times as much."""
    before = EXAMPLES[name]
    xs = feeds(before, data.draw, special=False)
    after = evaluate(rules_of(name)[0](before), xs)
    exact = evaluate(WIDE[name], [x.astype(np.float32) for x in xs])
    for want, got in zip(exact, after, strict=True):
        assert got.dtype == np.float16
        np.testing.assert_allclose(got, want, rtol=0, atol=3 * 2**-8)


@pytest.mark.parametrize("name", sorted(n for n, (_, k) in OF.items() if k is UNSAFE))
def test_unsafe_rewrites_hold_for_small_numbers(name: str) -> None:
    before = EXAMPLES[name]
    xs = [np.array([[1, 2, 3], [-4, 5, 6]], np.float32) for _ in before.inputs]
    after = rules_of(name)[0](before)
    np.testing.assert_allclose(
        evaluate(after, xs)[0], evaluate(before, xs)[0], rtol=1e-6
    )
