"""Gradients against central differences, and what has none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphwright.ir.builder import Builder
from graphwright.ir.dim import symbol
from graphwright.ir.dtype import bool_, float32, float64, int64
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError, ShapeError, UnsupportedOpError
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType
from graphwright.ir.verify import verify
from graphwright.passes.gradients import gradient

Rule = Callable[[Builder, Value, Value], Value]
RNG = np.random.default_rng(0)


def graph_of(rule: Rule, *shapes: tuple[Any, ...]) -> Graph:
    b = Builder("f")
    x, y = (
        b.input(n, TensorType(float64, s)) for n, s in zip("xy", shapes, strict=True)
    )
    return b.finish([rule(b, x, y)], ["z"])


def differences(graph: Graph, feeds: list[Any], which: int) -> Any:
    """Central differences of the sum of the first output."""
    x, step = feeds[which], 1e-6
    out = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        ends: list[float] = []
        for sign in (1, -1):
            moved = [f.copy() for f in feeds]
            moved[which][i] += sign * step
            ends.append(float(evaluate(graph, moved)[0].sum()))
        out[i] = (ends[0] - ends[1]) / (2 * step)
    return out


def check(rule: Rule, *shapes: tuple[int, ...], low: float = 0.3) -> None:
    graph = graph_of(rule, *shapes)
    grown = gradient(graph, ["x", "y"])
    verify(grown)
    feeds = [RNG.uniform(low, 2, s) for s in shapes]
    _, *found = evaluate(grown, feeds)
    for which, got in enumerate(found):
        want = differences(graph, feeds, which)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


RULES: dict[str, Rule] = {
    "modulus": lambda b, x, y: b.abs(b.emit("complex", x, y)),
    "add": lambda b, x, y: b.add(x, y),
    "sub": lambda b, x, y: b.sub(x, y),
    "mul": lambda b, x, y: b.mul(x, y),
    "div": lambda b, x, y: b.div(x, y),
    "pow": lambda b, x, y: b.pow(x, y),
    "max": lambda b, x, y: b.max(x, y),
    "atan2": lambda b, x, y: b.atan2(x, y),
    "used twice": lambda b, x, y: b.mul(b.mul(x, x), b.add(x, y)),
    "functions": lambda b, x, y: b.tanh(b.exp(b.mul(b.log(x), b.sqrt(y)))),
    "where": lambda b, x, y: b.where(b.lt(x, y), b.mul(x, y), b.mul(x, 3.0)),
    "sum": lambda b, x, y: b.mul(b.sum(x, [0]), b.mean(y, [0])),
    "prod": lambda b, x, y: b.mul(b.reduce("prod", x, [0]), b.reduce("max", y, [0])),
    "movement": lambda b, x, y: b.mul(
        b.concat([b.transpose(x, (1, 0)), b.flip(b.transpose(y, (1, 0)), [1])], 0),
        b.pad(b.transpose(x, (1, 0)), (1, 0), (2, 0), 2.0),
    ),
    "softmax": lambda b, x, y: b.mul(b.emit("softmax", x, axis=1), y),
    "sigmoid": lambda b, x, y: b.mul(b.emit("sigmoid", x), y),
    "integers between": lambda b, x, y: b.mul(
        x, b.cast(b.cast(b.mul(y, 2.0), int64), float64)
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_gradient(name: str) -> None:
    rows = 3
    check(RULES[name], (rows, 3), (rows, 3))


def test_broadcasting() -> None:
    check(lambda b, x, y: b.mul(x, y), (2, 3), (3,))
    check(lambda b, x, y: b.div(x, y), (2, 1), (1, 3))


def test_matrix_product() -> None:
    check(lambda b, x, y: b.tanh(b.matmul(x, y)), (2, 3), (3, 4))
    check(lambda b, x, y: b.matmul(x, y), (2, 2, 3), (3, 4))


def test_second_derivative() -> None:
    graph = graph_of(lambda b, x, y: b.mul(b.mul(x, x), b.mul(x, y)), (2,), (2,))
    first = gradient(graph, ["x"])
    second = gradient(first, ["x", "y"], of="d(z)/d(x)")
    assert second.output_names == (
        "z",
        "d(z)/d(x)",
        "d(d(z)/d(x))/d(x)",
        "d(d(z)/d(x))/d(y)",
    )
    x, y = np.array([1.0, 2.0]), np.array([3.0, 5.0])
    _, one, two, mixed = evaluate(second, [x, y])
    np.testing.assert_allclose(one, 3 * x**2 * y)
    np.testing.assert_allclose(two, 6 * x * y)
    np.testing.assert_allclose(mixed, 3 * x**2)


def test_symbolic_sizes() -> None:
    n = symbol("n")
    graph = graph_of(lambda b, x, y: b.mul(b.sum(x, [0]), y), (n, 3), (3,))
    grown = gradient(graph, ["x", "y"])
    assert [str(t) for t in grown.output_types[1:]] == ["float64[n, 3]", "float64[3]"]
    x, y = RNG.normal(size=(4, 3)), RNG.normal(size=3)
    _, dx, dy = evaluate(grown, [x, y])
    np.testing.assert_allclose(dx, np.broadcast_to(y, (4, 3)))
    np.testing.assert_allclose(dy, x.sum(0))


def test_what_does_not_count_has_gradient_zero() -> None:
    grown = gradient(graph_of(lambda b, x, y: b.exp(x), (2,), (3,)), ["y"])
    assert evaluate(grown, [np.ones(2), np.ones(3)])[1].tolist() == [0, 0, 0]


def test_narrow_floats_keep_their_dtype() -> None:
    b = Builder("f")
    x = b.input("x", TensorType(float32, (2,)))
    grown = gradient(b.finish([b.cast(b.mul(x, x), float64)], ["z"]), ["x"])
    assert str(grown.output_types[1]) == "float32[2]"
    (_, dx) = evaluate(grown, [np.array([1, 3], np.float32)])
    assert dx.tolist() == [2, 6]


def test_no_gradient_of_integers() -> None:
    b = Builder("f")
    x = b.input("x", TensorType(int64, (2,)))
    with pytest.raises(ShapeError, match="tensors of floats"):
        gradient(b.finish([b.add(x, 1)], ["z"]), ["x"])


def test_unknown_names() -> None:
    graph = graph_of(RULES["add"], (2,), (2,))
    with pytest.raises(ModelError, match="'w' is none of 'x', 'y'"):
        gradient(graph, ["w"])
    with pytest.raises(ModelError, match="'w' is none of 'z'"):
        gradient(graph, ["x"], of="w")


def test_an_op_without_gradient_is_named() -> None:
    def branches(b: Builder, x: Value, y: Value) -> Value:
        graphs: list[Graph] = []
        for name in ("neg", "abs"):
            inner = b.subgraph(name)
            v = inner.input("v", x.type)
            graphs.append(inner.finish([inner.unary(name, v)]))
        fields = {"then_graph": graphs[0], "else_graph": graphs[1], "types": (x.type,)}
        return b.add(b.emit("cond", b.scalar(True, bool_), x, **fields), y)

    graph = graph_of(branches, (2,), (2,))
    with pytest.raises(UnsupportedOpError, match="cond has no gradient"):
        gradient(graph, ["x"])
    _, dy = evaluate(gradient(graph, ["y"]), [np.ones(2), np.ones(2)])
    assert dy.tolist() == [1, 1]


def test_a_long_chain() -> None:
    def chain(b: Builder, x: Value, y: Value) -> Value:
        for _ in range(3000):
            x = b.add(x, y)
        return x

    _, dx, dy = evaluate(
        gradient(graph_of(chain, (), ()), ["x", "y"]), [np.ones(())] * 2
    )
    assert (dx.item(), dy.item()) == (1, 3000)


def test_convolution_of_less_than_a_kernel() -> None:
    """Its result has no element: sizes fit, and all gradients are zeros."""
    b = Builder("narrow")
    x = b.input("x", TensorType(float64, (1, 2, symbol("h"))))
    w = b.input("w", TensorType(float64, (3, 2, 2)))
    one, two = (1,), (2,)
    how: dict[str, Any] = {"lhs_dilation": one, "rhs_dilation": one, "groups": 1}
    y = b.emit("conv", x, w, strides=two, padding=((0, 0),), **how)
    graph = gradient(b.finish([y]), ["x", "w"])
    values = evaluate(graph, [np.ones((1, 2, 1)), np.ones((3, 2, 2))])
    assert [v.shape for v in values] == [(1, 3, 0), (1, 2, 1), (3, 2, 2)]
    assert not any(v.any() for v in values)
