"""Mixed precision: what becomes narrow, what stays, and how near the result is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphwright as gw
from graphwright.cli import main
from graphwright.ir.builder import Builder
from graphwright.ir.dtype import DTYPES, float32, int64
from graphwright.ir.errors import DTypeError
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType
from graphwright.ir.verify import verify
from graphwright.passes.precision import narrow_floats
from graphwright.testing import inputs_for
from graphwright.testing.random_graphs import aimed_graph

DIGITS = Path(str(gw.__file__)).parent / "data" / "digits.onnx"
COARSE = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


def weights(b: Builder, *shape: int) -> Any:
    rng = np.random.default_rng(len(shape))
    return b.constant(rng.uniform(-1, 1, shape).astype(np.float32))


def network(b: Builder, x: Any) -> Any:
    """A product, what may follow it, and a softmax written out."""
    y = b.add(b.dot(x, weights(b, 8, 6)), weights(b, 6))
    y = b.max(b.mul(y, 0.5), 0)
    e = b.exp(b.sub(y, b.reduce("max", y, [1], keepdims=True)))
    return b.dot(b.div(e, b.sum(e, [1], keepdims=True)), weights(b, 6, 3))


def built(make: Any, *shapes: tuple[int, ...]) -> Graph:
    b = gw.Builder("sample")
    xs = [b.input(f"x{i}", TensorType(float32, s)) for i, s in enumerate(shapes)]
    return b.finish([make(b, *xs)], ["y"])


def kinds(graph: Graph, name: str) -> set[str]:
    """Dtypes of the first results of an op."""
    return {n.results[0].dtype.name for n in graph.nodes if n.op.name == name}


@pytest.mark.parametrize("to", COARSE)
def test_products_and_what_follows_them_are_narrow(to: str) -> None:
    graph = built(network, (4, 8))
    after = gw.optimize(graph, ["composites", to, "simplify", "remove_dead"])
    assert after.input_types == graph.input_types
    assert after.output_types == graph.output_types
    for name in ("dot", "add", "mul", "max", "softmax"):
        assert kinds(after, name) == {to}, name
    x = inputs_for(graph, 0)
    want, got = evaluate(graph, x)[0], evaluate(after, x)[0]
    np.testing.assert_allclose(got, want, atol=4 * COARSE[to], rtol=4 * COARSE[to])


def test_what_loses_too_much_stays() -> None:
    graph = built(network, (4, 8))
    after = gw.optimize(graph, ["float16", "simplify", "remove_dead"])
    assert kinds(after, "dot") == {"float16"}
    for name in ("exp", "div"):
        assert kinds(after, name) == {"float32"}, name
    sums = [n for n in after.nodes if getattr(n.op, "kind", "") == "sum"]
    assert [n.results[0].dtype for n in sums] == [float32]


def test_ops_may_be_kept_by_name() -> None:
    graph = built(network, (4, 8))
    after = narrow_floats(graph, DTYPES["float16"], keep=["max"])
    verify(after)
    assert kinds(after, "max") == {"float32"}
    assert kinds(after, "mul") == {"float16"}


def test_a_product_sums_in_float32() -> None:
    graph = built(lambda b, x: b.dot(x, b.full((4096, 1), 1.0, float32)), (1, 4096))
    after = gw.optimize(graph, "bfloat16")
    (got,) = evaluate(after, [np.ones((1, 4096), np.float32)])
    assert got.item() == 4096


def positions(b: Builder, x: Any) -> Any:
    """Angles of positions beyond what float16 counts, beside a product."""
    place = b.cast(b.iota((3000,), 0, int64), float32)
    angles = b.unary("cos", b.mul(place, 0.01))
    return b.add(b.dot(x, weights(b, 8, 3000)), angles)


def test_what_is_made_of_integers_keeps_its_digits() -> None:
    graph = built(positions, (2, 8))
    after = gw.optimize(graph, ["float16", "simplify", "remove_dead"])
    assert kinds(after, "cos") == {"float32"}
    assert kinds(after, "add") == {"float32"}
    x = [np.zeros((2, 8), np.float32)]
    np.testing.assert_array_equal(evaluate(after, x)[0], evaluate(graph, x)[0])


def test_integers_and_what_they_are_made_of_stay() -> None:
    b = gw.Builder("rows")
    x = b.input("x", TensorType(float32, (3, 1)))
    y = b.dot(x, b.full((1, 1), 1.0, float32))
    graph = b.finish([b.cast(b.floor(b.mul(y, 3.0)), int64)], ["y"])
    after = gw.optimize(graph, ["float16", "remove_dead"])
    assert kinds(after, "dot") == {"float16"}
    assert kinds(after, "mul") == kinds(after, "floor") == {"float32"}
    x_ = [np.array([[683], [1001], [2048]], np.float32)]
    np.testing.assert_array_equal(evaluate(after, x_)[0], evaluate(graph, x_)[0])


def test_large_masks_stay_finite_and_infinite_ones_infinite() -> None:
    low = np.array([0, -3e38, -np.inf], np.float32)

    def masked(b: Builder, x: Any) -> Any:
        return b.add(b.dot(x, weights(b, 8, 3)), b.constant(low))

    after = gw.optimize(built(masked, (2, 8)), "float16")
    (got,) = evaluate(after, [np.zeros((2, 8), np.float32)])
    np.testing.assert_array_equal(got, np.tile([0, -65504, -np.inf], (2, 1)))


def test_nothing_to_gain_changes_nothing() -> None:
    graph = built(lambda b, x: b.add(x, 1.0), (2, 3))
    assert gw.optimize(graph, ["float16"]) is graph
    b = gw.Builder("doubles")
    x = b.input("x", TensorType(DTYPES["float64"], (2, 2)))
    doubles = b.finish([b.dot(x, x)])
    assert gw.optimize(doubles, ["float16"]) is doubles


@pytest.mark.parametrize("to", COARSE)
def test_a_network_compiled_narrow(to: str) -> None:
    rng = np.random.default_rng(0)
    feeds = {"image": rng.random((2, 1, 32, 32), np.float32)}
    (want,) = gw.compile(DIGITS, backend="numpy").run(None, feeds)
    exe = gw.compile(DIGITS, backend="numpy", precision=to)
    (got,) = exe.run(None, feeds)
    assert got.dtype == np.float32
    size = np.abs(want).max()
    assert 0 < np.abs(got - want).max() < 4 * COARSE[to] * size
    held = {c.dtype.name for c in exe.program.graph.constants.values() if c.size > 10}
    assert held == {to}


def test_sub_graphs_become_narrow_too() -> None:
    def repeated(x: Any) -> Any:
        def step(state: Any) -> Any:
            return state[0] + 1, gw.numpy.tanh(state[1] @ state[1])

        return gw.while_loop(lambda state: state[0] < 3, step, (0, x))[1]

    graph = gw.trace(repeated, gw.spec("float32", (4, 4)))
    after = gw.optimize(graph, ["float16"])
    verify(after)
    (loop,) = [n for n in after.nodes if n.op.name == "while_loop"]
    bodies = [kinds(g, "dot") for g in loop.op.subgraphs()]
    assert {"float16"} in bodies
    inputs = inputs_for(graph, 0)
    want, got = evaluate(graph, inputs)[0], evaluate(after, inputs)[0]
    np.testing.assert_allclose(got, want, atol=2e-2)


@pytest.mark.parametrize("to", COARSE)
def test_random_graphs_stay_valid(to: str) -> None:
    changed = 0
    for seed in range(40):
        graph = aimed_graph(seed, rewrites=["attend", "scale_conv", "factor_into_dot"])
        after = gw.optimize(graph, [to])
        if after is not graph:
            changed += 1
            verify(after)
            inputs = inputs_for(graph, seed)
            rows = zip(evaluate(graph, inputs), evaluate(after, inputs), strict=True)
            for want, got in rows:
                same = getattr(want, "dtype", None) == getattr(got, "dtype", None)
                assert same
                assert np.shape(want) == np.shape(got)
    assert changed > 2


def test_refusals(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(DTypeError, match="no precision 'float8'"):
        gw.compile(DIGITS, precision="float8")
    out = tmp_path / "narrow.onnx"
    assert main(["optimize", str(DIGITS), str(out), "--pipeline", "float16"]) == 0
    assert out.stat().st_size < 0.6 * DIGITS.stat().st_size
