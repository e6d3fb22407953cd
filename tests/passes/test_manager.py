"""Pass managers: names, order, reports, verification, pipelines, passes of users."""

from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pytest

import graphwright as gw
from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.dim import symbol
from graphwright.ir.errors import GraphwrightError, ModelError
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph, Node, Origin
from graphwright.ir.types import TensorType
from graphwright.passes import manager as managers
from graphwright.passes.manager import PASSES, PassManager, register_pass
from graphwright.passes.pattern import P
from graphwright.passes.pipeline import PIPELINES, manager, optimize
from graphwright.passes.rules import EXACT, ROUNDING, UNSAFE, RuleSet


def sample(*, inverse: bool = False) -> Graph:
    """``(x * 1) ** 2 * 0``."""
    b = Builder("sample")
    x = b.input("x", TensorType(dt.float32, (2, 3)))
    y = b.mul(b.pow(b.mul(x, 1), 2.0), 0)
    return b.finish([b.neg(y) if inverse else y], ["y"])


def ops(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes]


def test_pipelines_differ_in_how_far_they_go() -> None:
    graph = sample()
    assert optimize(graph, "none") is graph
    power, zeros = ["broadcast_to", "pow"], ["broadcast_to", "mul"]
    assert ops(optimize(graph, "strict_float")) == power + zeros
    assert ops(optimize(graph)) == ["mul", *zeros]
    assert ops(optimize(graph, "fast_math")) == ["broadcast_to"]
    assert ops(optimize(graph, fast_math=True)) == ["broadcast_to"]
    assert optimize(graph, strict_float=True) == optimize(graph, "strict_float")
    assert optimize(graph, ["algebra"], strict_float=True) != graph


def test_what_nothing_changes_is_the_same_object() -> None:
    for name in PIPELINES:
        found = optimize(sample(), name)
        assert optimize(found, name) is found


def test_reports_say_what_each_pass_did() -> None:
    found, report = PassManager(["simplify", "remove_dead", "remove_dead"]).run(
        sample()
    )
    first, second, third = report.changes
    assert first.rewrites == {"times_one": 1, "square": 1}
    assert (first.before, first.changed, first.after) == (6, True, second.before)
    assert not third.changed
    assert report.rewrites == first.rewrites
    assert report.seconds >= first.seconds > 0
    assert "times_one 1, square 1" in str(report)
    assert len(found.nodes) == second.after


def test_observers_see_the_graph_after_each_pass() -> None:
    seen: list[tuple[str, int]] = []

    def observe(name: str, graph: Graph) -> None:
        seen.append((name, len(graph.nodes)))

    PassManager(["algebra", "remove_dead"], observe=observe)(sample())
    assert [name for name, _ in seen] == ["algebra", "remove_dead"]


def test_passes_of_users_run_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managers, "PASSES", dict(PASSES))
    called: list[str] = []

    def mine(graph: Graph) -> Graph:
        called.append(graph.name)
        return graph

    assert register_pass("mine", mine) is mine
    graph = sample()
    assert gw.optimize(graph, ["mine", mine]) is graph
    assert called == ["sample"], "the second time nothing is left to do"
    assert PassManager([mine]).names == ("mine",)
    with pytest.raises(ModelError, match="there is a pass 'mine' already"):
        register_pass("mine", lambda g: g)


def test_passes_are_found_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managers, "PASSES", dict(PASSES))
    entry = EntryPoint("far", "graphwright.passes.cleanup:remove_dead", managers.GROUP)

    def found(**wanted: str) -> list[EntryPoint]:
        return [entry] if wanted == {"group": managers.GROUP, "name": "far"} else []

    monkeypatch.setattr(managers, "entry_points", found)
    assert PassManager(["far"]).names == ("far",)
    with pytest.raises(ModelError, match="no pass 'near'; there are algebra, "):
        PassManager(["near"])


def test_unknown_pipelines_and_contradictions_are_errors() -> None:
    with pytest.raises(ModelError, match="no pipeline 'fast'; there are none, default"):
        manager("fast")
    with pytest.raises(ModelError, match="exclude each other"):
        manager(fast_math=True, strict_float=True)


def broken(graph: Graph) -> Graph:
    """Drops the first node."""
    return replace(graph, nodes=graph.nodes[1:])


def test_verification_names_the_pass_and_those_before() -> None:
    run = PassManager(["merge_common", broken], verify=True)
    with pytest.raises(ModelError, match="pass 'broken' after merge_common broke"):
        run(sample())
    assert len(PassManager([broken], verify=False)(sample()).nodes) == 5


def test_rules_that_undo_each_other_are_stopped() -> None:
    rules = RuleSet("endless")

    @rules.rewrite(P.neg("x"), EXACT)
    def there(b: Any, x: Any) -> Any:
        """``-x = 0 - x``."""
        return b.sub(0, x)

    @rules.rewrite(P.sub(0.0, "x"), EXACT)
    def back(b: Any, x: Any) -> Any:
        """``0 - x = -x``."""
        return b.neg(x)

    with pytest.raises(GraphwrightError, match=r"endless: .* rewrites without end"):
        rules(sample(inverse=True))


# What rewriting keeps ----------------------------------------------------------------


def with_origins(graph: Graph) -> Graph:
    values = [v for node in graph.nodes for v in node.results]
    origins = {v: (Origin("model", f"v{i}"),) for i, v in enumerate(values)}
    return replace(graph, origins=origins)


def names_of(graph: Graph, node: Node) -> list[tuple[str, bool]]:
    return [(o.value, o.rounding) for o in graph.origins.get(node.results[0], ())]


def test_a_new_node_takes_over_handle_and_provenance() -> None:
    b = Builder("g")
    x = b.input("x", TensorType(dt.float32, (4,)))
    y = b.mul(x, -1)
    graph = with_origins(b.finish([b.exp(y)]))
    after = optimize(graph)
    first, last = after.nodes
    assert (first.op.name, last.op.name) == ("neg", "exp")
    assert first.results == (y,)
    assert last is graph.nodes[-1]
    assert names_of(after, first) == [("v1", False)]


def test_provenance_says_what_rounding_reaches() -> None:
    b = Builder("g")
    x = b.input("x", TensorType(dt.float32, (4,)))
    graph = with_origins(b.finish([b.exp(b.pow(x, 2)), b.neg(x)]))
    after = optimize(graph)
    assert [(n.op.name, names_of(after, n)) for n in after.nodes] == [
        ("mul", [("v1", True)]),
        ("exp", [("v2", True)]),
        ("neg", [("v3", False)]),
    ]


def test_merged_values_keep_both_origins() -> None:
    b = Builder("g")
    x = b.input("x", TensorType(dt.float32, (4,)))
    graph = with_origins(b.finish([b.exp(x), b.exp(x)]))
    after = optimize(graph)
    assert after.outputs[0] is after.outputs[1]
    assert names_of(after, after.nodes[0]) == [("v0", False), ("v1", False)]


def test_names_of_ends_stay_where_an_output_is_an_input() -> None:
    b = Builder("g")
    x = b.input("x", TensorType(dt.float32, (2,)))
    graph = b.finish([b.neg(b.neg(x)), b.mul(x, 1)], ["a", "b"])
    after = optimize(graph)
    assert after.nodes == ()
    assert after.outputs == (x, x)
    assert after.output_names == ("a", "b")


def test_types_follow_what_folding_finds_out() -> None:
    b = Builder("g")
    x = b.input("x", TensorType(dt.float32, (2, 3)))
    size = b.pad(b.constant(np.array([3], np.int64)), [1], [0], b.scalar(2, dt.int64))
    graph = b.finish([b.mul(size, 5), b.neg(x)])
    assert graph.outputs[0].type == TensorType(dt.int64, (2,))
    after = optimize(graph, ["fold_constants"])
    assert ops(after) == ["neg"]
    assert after.constants[after.outputs[0]].array().tolist() == [10, 15]


def test_reshapes_of_nothing_are_not_exchanged_without_end() -> None:
    b = Builder("g")
    x = b.input("x", TensorType(dt.float32, (symbol("n"), 0)))
    line = b.reshape(x, (0,))
    big = b.lt(b.full((0,), 2, dt.float32), line)
    graph = b.finish([b.where(big, b.add(line, 1), line), b.reshape(big, x.shape)])
    assert [v.shape for v in optimize(graph).outputs] == [(0,), (symbol("n"), 0)]


def test_allowed_classes() -> None:
    rules = PASSES["algebra"]
    assert isinstance(rules, RuleSet)
    sizes = [len(rules.allowing(kind).rewrites) for kind in (EXACT, ROUNDING, UNSAFE)]
    assert sizes == sorted(set(sizes))


def test_folding_does_not_grow_constants() -> None:
    b = Builder("g")
    big = b.broadcast_to(b.constant(np.array([1, 2], np.float32)), (1 << 16, 2))
    graph = b.finish([b.exp(big)])
    assert optimize(graph, ["fold_constants"]) is graph
    small = b.finish(
        [b.exp(b.broadcast_to(b.constant(np.array([1, 2], np.float32)), (3, 2)))]
    )
    after = optimize(small, ["fold_constants", "remove_dead"])
    assert after.nodes == ()
    np.testing.assert_array_equal(evaluate(after, []), evaluate(small, []))


def test_passes_that_fail_are_named() -> None:
    def number(_: Graph) -> Any:
        return 3

    def failing(_: Graph) -> Graph:
        raise ValueError("lost")

    with pytest.raises(ModelError, match="pass 'number' gave int, not a graph"):
        optimize(sample(), [number])
    with pytest.raises(ValueError, match="lost") as caught:
        optimize(sample(), [failing])
    assert caught.value.__notes__ == ["in pass 'failing'"]
