"""Gradient rules of arithmetic, choice and reductions against central differences."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DTYPES
from graphwright.ir.evaluate import evaluate
from graphwright.ir.types import TensorType
from graphwright.passes.gradients import gradient

SHAPE = (3, 4)
RNG = np.random.default_rng(0)


def check(name: str, arrays: Sequence[Any], **fields: Any) -> None:
    """Compares gradients of a weighted sum of the op's result, by every operand."""
    b = Builder()
    names = [f"x{i}" for i in range(len(arrays))]
    inputs = [
        b.input(n, TensorType(DTYPES["float64"], x.shape))
        for n, x in zip(names, arrays, strict=True)
    ]
    y = b.emit(name, *inputs, **fields)
    sizes = [int(d) for d in y.shape if isinstance(d, int)]
    weights = b.constant_of(Constant.of(RNG.standard_normal(sizes)))
    total = b.sum(b.mul(y, weights), range(y.rank))
    graph = b.finish([total])
    found = evaluate(gradient(graph, wrt=names), arrays)[-len(arrays) :]
    for i, got in enumerate(found):
        want = np.empty_like(arrays[i])
        for index in np.ndindex(want.shape):
            up, down = ([x.copy() for x in arrays] for _ in range(2))
            up[i][index] += 1e-6
            down[i][index] -= 1e-6
            (high,), (low,) = evaluate(graph, up), evaluate(graph, down)
            want[index] = (high - low) / 2e-6
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)


UNARY = ["neg", "abs", "sqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "tanh"]
UNARY += ["erf", "floor", "ceil", "round", "trunc"]
BINARY = ["add", "sub", "mul", "div", "rem", "pow", "max", "min", "atan2"]
KINDS = ["sum", "prod", "max", "min"]


@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str) -> None:
    check(name, [RNG.uniform(0.1, 0.4, SHAPE)])


@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str) -> None:
    check(name, [RNG.uniform(1.1, 4.4, SHAPE), RNG.uniform(0.5, 1, SHAPE)])
    if name != "pow":
        check(name, [RNG.uniform(-4.4, -1.1, SHAPE), RNG.uniform(0.5, 1, SHAPE)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_reduce(kind: str, axes: tuple[int, ...]) -> None:
    check("reduce", [RNG.standard_normal(SHAPE)], kind=kind, axes=axes)


def test_products_with_zeros() -> None:
    x = RNG.standard_normal(SHAPE)
    x[0, 1] = x[2, 0] = x[2, 3] = 0
    check("reduce", [x], kind="prod", axes=(1,))
    check("cumulative", [x], kind="prod", axis=1)


RUNNING = [(kind, False) for kind in KINDS] + [("sum", True), ("prod", True)]


@pytest.mark.parametrize(("kind", "exclusive"), RUNNING)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("reverse", [False, True])
def test_cumulative(kind: str, axis: int, exclusive: bool, reverse: bool) -> None:
    how = {"axis": axis, "exclusive": exclusive, "reverse": reverse}
    check("cumulative", [RNG.standard_normal(SHAPE)], kind=kind, **how)


def test_where_and_cast() -> None:
    check("cast", [RNG.standard_normal(SHAPE)], dtype=DTYPES["float64"])
    b = Builder()
    kinds = [TensorType(DTYPES[n], SHAPE) for n in ("bool", "float64", "float64")]
    c, x, y = (b.input(n, t) for n, t in zip("cxy", kinds, strict=True))
    graph = b.finish([b.sum(b.where(c, b.mul(x, 2), b.mul(y, 3)), [0, 1])])
    flags = RNG.standard_normal(SHAPE) > 0
    zeros = np.zeros(SHAPE)
    by_x, by_y = evaluate(gradient(graph, wrt=["x", "y"]), [flags, zeros, zeros])[-2:]
    np.testing.assert_array_equal(by_x, np.where(flags, 2, 0))
    np.testing.assert_array_equal(by_y, np.where(flags, 0, 3))
