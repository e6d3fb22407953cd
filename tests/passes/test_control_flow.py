"""Passes inside control flow, and passes over control flow itself."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rewrite_examples import EXAMPLES

import graphwright as gw
from graphwright.ir.builder import Builder
from graphwright.ir.dtype import bool_, float32, int64
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType
from graphwright.ir.verify import verify
from graphwright.passes.manager import PASSES, PassManager
from graphwright.passes.pipeline import manager
from graphwright.passes.rules import UNSAFE, RuleSet
from graphwright.testing import inputs_for

X = TensorType(float32, (3, 3))

SETS = {
    r.name: rules.name
    for rules in reversed([p for p in PASSES.values() if isinstance(p, RuleSet)])
    for r in rules.rewrites
}

# Each rewrite in each kind of body ---------------------------------------------------


def in_cond(b: Builder, inner: Graph, xs: list[Value]) -> list[Value]:
    taken = b.input("taken", TensorType(bool_, ()))
    fields: dict[str, Any] = {"then_graph": inner, "else_graph": inner}
    return list(b.emit_all("cond", taken, *xs, types=inner.output_types, **fields))


def in_call(b: Builder, inner: Graph, xs: list[Value]) -> list[Value]:
    return list(b.emit_all("call", *xs, graph=inner, types=inner.output_types))


def rows_of(inner: Graph, dim: Any) -> tuple[TensorType, ...]:
    types = (t for t in inner.output_types if isinstance(t, TensorType))
    return tuple(TensorType(t.dtype, (dim, *t.dims)) for t in types)


def in_while(b: Builder, inner: Graph, xs: list[Value]) -> list[Value]:
    return in_while_of(b, inner, b.input("trips", TensorType(int64, ())), *xs)


def in_while_of(b: Builder, inner: Graph, trips: Value, *xs: Value) -> list[Value]:
    body = b.subgraph("body")
    body.input("i", TensorType(int64, ()))
    going = body.input("going", TensorType(bool_, ()))
    values = [body.input(n, v.type) for n, v in zip(inner.input_names, xs, strict=True)]
    found = body.emit_all("call", *values, graph=inner, types=inner.output_types)
    loop = body.finish([going, *found])
    types = rows_of(inner, b.fresh_symbol())
    fresh = tuple(str(t.dims[0]) for t in types[:1])
    always = b.scalar(True, bool_)
    fields: dict[str, Any] = {"body": loop, "carried": 0, "types": types}
    return list(b.emit_all("while_loop", trips, always, *xs, fresh=fresh, **fields))


def in_scan(b: Builder, inner: Graph, xs: list[Value]) -> list[Value]:
    body = b.subgraph("body")
    body.input("row", TensorType(float32, ()))
    values = [body.input(n, v.type) for n, v in zip(inner.input_names, xs, strict=True)]
    found = body.emit_all("call", *values, graph=inner, types=inner.output_types)
    rows = b.input("rows", TensorType(float32, (2,)))
    count = len(found)
    return list(
        b.emit_all(
            "scan",
            rows,
            *xs,
            body=body.finish(found),
            carried=0,
            scanned=1,
            in_axes=(0,),
            reverse=(False,),
            out_axes=(0,) * count,
            out_reverse=(False,) * count,
            types=rows_of(inner, 2),
        )
    )


HOLDERS = {"cond": in_cond, "call": in_call, "while": in_while, "scan": in_scan}


def held(kind: str, inner: Graph) -> Graph:
    """A graph that does nothing but run another inside control flow."""
    b = Builder(kind)
    xs = [
        b.input(n, v.type) for n, v in zip(inner.input_names, inner.inputs, strict=True)
    ]
    graph = b.finish(HOLDERS[kind](b, inner, xs))
    verify(graph)
    return graph


@pytest.mark.parametrize("kind", HOLDERS)
def test_every_rewrite_applies_inside(kind: str) -> None:
    left: list[str] = []
    for name, inner in EXAMPLES.items():
        rules = PASSES[SETS[name]]
        assert isinstance(rules, RuleSet)
        alone = rules.only([name])
        after, report = PassManager([alone], UNSAFE, verify=True).run(held(kind, inner))
        if not report.rewrites[name] or after is None:
            left.append(name)
    assert not left


@pytest.mark.parametrize("kind", ["cond", "scan"])
@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_what_is_inside_means_the_same(kind: str, name: str) -> None:
    graph = held(kind, EXAMPLES[name])
    inputs = inputs_for(graph, 0)
    after = manager("default", verify=True)(graph)
    for want, got in zip(evaluate(graph, inputs), evaluate(after, inputs), strict=True):
        assert want.dtype == got.dtype
        size = float(np.nanmax(np.abs(want.astype(np.float64)), initial=1))
        unit = (
            max(1e-6, float(np.finfo(want.dtype).eps)) if want.dtype.kind == "f" else 0
        )
        np.testing.assert_allclose(got, want, rtol=10 * unit, atol=4 * unit * size)


# Known branches, short loops ---------------------------------------------------------


def loop(
    make: Callable[[Builder, list[Value]], list[Value]],
    trips: int | None,
    state: int = 1,
    wanted: tuple[int, ...] = (0,),
    going: bool = True,
) -> Graph:
    """A loop over ``state`` carried matrices and one invariant."""
    b = Builder("loop")
    xs = [b.input(f"x{i}", X) for i in range(state + 1)]
    body = b.subgraph("body")
    body.input("i", TensorType(int64, ()))
    again = body.input("going", TensorType(bool_, ()))
    values = [body.input(f"v{i}", X) for i in range(state + 1)]
    inner = body.finish([again, *make(body, values)])
    limit = (
        b.input("trips", TensorType(int64, ()))
        if trips is None
        else b.scalar(trips, int64)
    )
    count = len(inner.outputs) - 1 - state
    rows = (TensorType(float32, (trips or 0, 3, 3)),) * count
    found = b.emit_all(
        "while_loop",
        *(limit, b.scalar(going, bool_), *xs),
        body=inner,
        carried=state,
        types=((X,) * state + rows),
    )
    return b.finish([found[k] for k in wanted])


def same(graph: Graph, after: Graph, **feeds: Any) -> None:
    inputs = inputs_for(graph, 1)
    names = list(graph.input_names)
    for name, value in feeds.items():
        inputs[names.index(name)] = np.asarray(value)
    rows = zip(evaluate(graph, inputs), evaluate(after, inputs), strict=True)
    for want, got in rows:
        np.testing.assert_array_equal(got, want)


def ops(graph: Graph) -> list[str]:
    return [n.op.name for n in graph.nodes]


def simplified(graph: Graph) -> Graph:
    return manager(["simplify_control", "remove_dead"], verify=True)(graph)


@pytest.mark.parametrize("taken", [True, False])
def test_a_known_branch_is_written_out(taken: bool) -> None:
    b = Builder("known")
    x = b.input("x", X)
    graphs = {}
    for name, op in (("then_graph", "neg"), ("else_graph", "abs")):
        inner = b.subgraph(name)
        graphs[name] = inner.finish([inner.unary(op, inner.input("x", X))])
    y = b.emit("cond", b.scalar(taken, bool_), x, types=(X,), **graphs)
    graph = b.finish([y])
    after = simplified(graph)
    assert ops(after) == ["neg" if taken else "abs"]
    same(graph, after)


def step(b: Builder, v: list[Value]) -> list[Value]:
    y = b.add(b.mul(v[0], 0.5), v[1])
    return [y, b.neg(y)]


@pytest.mark.parametrize("wanted", [(0,), (0, 1), (1,)])
def test_a_short_loop_is_written_out(wanted: tuple[int, ...]) -> None:
    graph = loop(step, 3, wanted=wanted)
    after = simplified(graph)
    assert "while_loop" not in ops(after)
    assert ops(after).count("add") == 3
    same(graph, after)


def test_a_long_loop_stays() -> None:
    graph = loop(step, 9)
    after = simplified(graph)
    assert ops(after) == ["while_loop"]
    same(graph, after)


@pytest.mark.parametrize(("trips", "going"), [(0, True), (5, False)])
def test_a_loop_that_never_runs_is_what_it_carries(trips: int, going: bool) -> None:
    graph = loop(lambda b, v: step(b, v)[:1], trips, going=going)
    after = simplified(graph)
    assert ops(after) == []
    assert after.outputs[0] is graph.inputs[0]


def body_of(graph: Graph) -> Graph:
    (node,) = [n for n in graph.nodes if n.op.name in ("while_loop", "scan")]
    found: Graph = node.op.subgraphs()[0]
    return found


def test_what_nobody_reads_is_not_carried() -> None:
    def three(b: Builder, v: list[Value]) -> list[Value]:
        return [b.add(v[0], v[3]), b.mul(v[1], v[1]), b.sub(v[2], v[1]), b.exp(v[2])]

    graph = loop(three, None, state=3)
    after = simplified(graph)
    assert ops(body_of(after)) == ["add"]
    assert len(body_of(after).outputs) == 2
    same(graph, after, trips=4)
    whole = loop(three, None, state=3, wanted=(2,))
    after = simplified(whole)
    assert ops(body_of(after)) == ["mul", "sub"], "one carried value needs another"
    same(whole, after, trips=4)


def test_what_never_changes_is_an_invariant_and_leaves() -> None:
    def unchanged(b: Builder, v: list[Value]) -> list[Value]:
        return [b.add(v[0], b.exp(v[1])), v[1]]

    graph = loop(unchanged, None, state=2, wanted=(0, 1))
    after = manager(["simplify_control", "hoist_invariants", "remove_dead"])(graph)
    verify(after)
    assert ops(after) == ["exp", "while_loop"]
    assert after.outputs[1] is graph.inputs[1]
    for trips in (0, 3):
        same(graph, after, trips=trips)


def test_items_that_nobody_reads_are_not_stacked() -> None:
    def running(x: Any) -> Any:
        return gw.scan(lambda c, s: (c + s, c * s), x[0], x)[0]

    graph = gw.trace(running, gw.spec("float32", (3, 3)))
    after = simplified(graph)
    assert len(body_of(after).outputs) == 1
    same(graph, after)


# Invariants --------------------------------------------------------------------------


def product(b: Builder, v: list[Value]) -> list[Value]:
    return [b.add(v[0], b.dot(v[1], v[1]))]


def test_products_leave_only_loops_that_surely_run() -> None:
    surely, perhaps = loop(product, 20), loop(product, None)
    run = manager(["hoist_invariants"], verify=True)
    assert ops(run(surely)) == ["dot", "while_loop"]
    assert ops(run(perhaps)) == ["while_loop"]
    assert ops(run(loop(product, 20, going=False))) == ["while_loop"]
    same(surely, run(surely))


def counted(trips: int) -> Graph:
    """A loop that counts, and adds what it counted."""

    def run(x: Any) -> Any:
        def more(state: Any) -> Any:
            count, y = state
            return count + 2, y * count

        return gw.fori_loop(0, trips, lambda i, s: more(s), (1, x))

    return gw.trace(run, gw.spec("float32", (3,)))


def test_numbers_that_a_loop_counts_are_known_once_it_is_written_out() -> None:
    graph = counted(3)
    after = manager("default", verify=True)(graph)
    assert "while_loop" not in ops(after)
    same(graph, after)
    assert "while_loop" in ops(gw.optimize(counted(50)))


def test_rows_that_only_say_how_many_they_are_stay() -> None:
    b = Builder("counted")
    x, trips = b.input("x", X), b.input("trips", TensorType(int64, ()))
    inner = Builder("inner")
    y = inner.input("y", X)
    (rows,) = in_while_of(b, inner.finish([inner.neg(y)]), trips, x)
    count = rows.shape[0]
    graph = b.finish([b.broadcast_to(b.scalar(2.0, float32), (count,))])
    feeds = [np.ones((3, 3), np.float32), np.array(4)]
    after = gw.optimize(graph)
    np.testing.assert_array_equal(evaluate(after, feeds)[0], evaluate(graph, feeds)[0])
