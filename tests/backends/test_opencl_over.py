"""Results written over operands, and pieces of one array that wait for no other."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphwright as gw
import graphwright.numpy as gnp
from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.hazards import waits
from graphwright.backends.codegen.lower import lowered
from graphwright.backends.codegen.over import operands_under
from graphwright.backends.compile import arrange
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.ir.ops.fused import Fused

MISSING = OpenCLBackend().unavailable()
device = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


def region(function: Callable[..., Any], *shapes: tuple[int, ...]) -> Any:
    specs = [gw.spec("float64", shape) for shape in shapes]
    made, _ = arrange(gw.trace(function, *specs), [OpenCLBackend()])
    (body,) = [n.op.body for n in made.nodes if isinstance(n.op, Fused)]
    return body


def offered(function: Callable[..., Any], *shapes: tuple[int, ...]) -> Any:
    graph = region(function, *shapes)
    found = lowered(graph, Cpu(2))
    ends = [[found.arrays[v] for v in row] for row in (graph.outputs, graph.inputs)]
    return operands_under([step.kernel for step in found.steps], *ends)


N = (500,)


def test_what_is_read_where_it_is_written_may_be_written_over() -> None:
    assert offered(lambda x, y: gnp.exp(x) * y, N, N) == [(0, 1)]
    assert offered(lambda x: gnp.flip(x) + 1, N) == [()]
    assert offered(lambda x: x[1:] + x[:-1], N) == [()]
    assert offered(lambda x, y: (y + 1, x + 1), N, N) == [(0, 1), (0, 1)]


def test_what_nobody_reads_any_more_may_be_written_over() -> None:
    def run(x: Any, y: Any) -> Any:
        total = gnp.sum(x * gnp.flip(x))
        return gnp.flip(y) / total

    assert offered(run, (50_000,), (50_000,)) == [(0,)]


def test_what_a_later_kernel_reads_elsewhere_stays() -> None:
    def run(x: Any, y: Any) -> Any:
        first = x + y
        return first, gnp.flip(x) * gnp.sum(first)

    assert offered(run, N, N)[0] == (1,)


def test_an_operand_of_another_kind_stays() -> None:
    assert offered(lambda x, y: x[:, None] + y, N, (500, 500)) == [(1,)]
    graph = region(lambda x: gnp.astype(x, gnp.float32) * 2, N)
    found = lowered(graph, Cpu(2))
    ends = [[found.arrays[v] for v in row] for row in (graph.outputs, graph.inputs)]
    assert operands_under([step.kernel for step in found.steps], *ends) == [()]


def heat(u: Any) -> Any:
    for _ in range(3):
        u[1:-1] = u[1:-1] + 0.25 * (u[2:] - 2.0 * u[1:-1] + u[:-2])
    return u


def test_pieces_wait_for_what_they_read_but_not_for_one_another() -> None:
    graph = region(lambda x: heat(x.copy()), (50_000,))
    kernels = [step.kernel for step in lowered(graph, Cpu(2)).steps]
    wholes = [kernel.whole for kernel in kernels]
    assert len(set(wholes)) == 3
    found = waits(kernels, {})
    rows = zip(found, wholes, strict=True)
    assert all(wholes[wait - 1] is not whole for wait, whole in rows if wait)
    assert max(found) > len(kernels) // 2


def adam(weights: Any, gradient: Any, mean: Any, square: Any) -> Any:
    mean[:] = 0.9 * mean + 0.1 * gradient
    square[:] = 0.999 * square + 0.001 * gradient * gradient
    weights -= 0.001 * mean / (np.sqrt(square) + 1e-8)
    return weights


def exchanged(x: Any, y: Any) -> Any:
    old = x.copy()
    x[:] = y + 1.0
    y[:] = old * 2.0
    return x.sum()


def shifted(x: Any, y: Any) -> Any:
    x[:] = np.roll(x, 1) + y
    y[:] = x[::-1] - y
    return x


def shortest(dist: Any) -> Any:
    for k in range(5):
        dist[:] = np.minimum(dist, dist[:, k : k + 1] + dist[k : k + 1, :])
    return dist


def scaled(x: Any, y: Any) -> Any:
    y[:] = x / x.sum(axis=1, keepdims=True)
    x[:] = x - y.max(axis=0)
    return y


@device
@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (adam, [(33_000,)] * 4),
        (exchanged, [(70_001,)] * 2),
        (shifted, [(70_001,)] * 2),
        (heat, [(70_001,)]),
        (shortest, [(200, 201)]),
        (scaled, [(300, 200)] * 2),
    ],
)
def test_arguments_written_over_are_what_numpy_makes_of_them(
    function: Callable[..., Any], shapes: list[tuple[int, ...]]
) -> None:
    draw = np.random.default_rng(0)
    fresh = [draw.random(shape) + 0.1 for shape in shapes]
    jitted = gw.jit(function, backend="opencl")
    theirs, ours = ([x.copy() for x in fresh] for _ in range(2))
    for _ in range(4):  # the same arrays again: the run is bound to them
        want, got = function(*theirs), np.asarray(jitted(*ours))
        for x, y in zip([want, *theirs], [got, *ours], strict=True):
            np.testing.assert_allclose(y, x, 1e-12)
