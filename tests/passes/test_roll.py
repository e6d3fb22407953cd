"""Unrolled loops that become loops again give the very bits that they gave."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_loops import SOON, random_loop

import graphwright as gw
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.verify import verify
from graphwright.passes import roll
from graphwright.passes.roll import roll_loops

GOLDEN = Path(__file__).with_name("golden")


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops pay from few nodes on, and a turn is one iteration."""
    for name, value in SOON.items():
        monkeypatch.setattr(roll, name, value)


def traced(function: Callable[..., Any], *arrays: Any) -> Graph:
    return gw.trace(function, *[gw.spec(x.dtype.name, x.shape) for x in arrays])


def check(function: Callable[..., Any], *arrays: Any, rolls: bool | None = True) -> Any:
    """The rolled graph, whose results have the bits of those of the graph."""
    graph = traced(function, *arrays)
    rolled = roll_loops(graph)
    verify(rolled)
    if rolls is not None:
        assert (rolled is not graph) == rolls
    with np.errstate(all="ignore"):
        want, found = evaluate(graph, arrays), evaluate(rolled, arrays)
    for x, y in zip(want, found, strict=True):
        assert x.dtype == y.dtype
        assert x.tobytes() == y.tobytes()
    exe = gw.compile(rolled, backend="numpy")
    for _ in range(2):  # the second run finds what the first one bound
        got = exe.run(None, dict(zip(rolled.input_names, arrays, strict=True)))
        for x, y in zip(want, got, strict=True):
            np.testing.assert_allclose(y, x, rtol=1e-9, atol=1e-12)
    return rolled


def loops(graph: Graph) -> list[Any]:
    return [node.op for node in graph.nodes if node.op.name == "while_loop"]


def heat(a: Any, steps: int) -> Any:
    a = a.copy()
    for _ in range(steps):
        a[1:-1] = 0.25 * (a[:-2] + 2.0 * a[1:-1] + a[2:])
    return a


def recurrence(x: Any, steps: int) -> Any:
    """Rows read and written at the loop's index, each from two before."""
    out = np.zeros((steps, x.shape[1]))
    out[0], out[1] = x[0], x[1]
    for i in range(2, steps):
        out[i] = 0.5 * out[i - 1] - out[i - 2] + x[i] * (i + 1.0)
        if i % 2:
            out[i] += 1
    return out


GRID = np.linspace(-1, 1, 9)
ROWS = np.random.default_rng(0).normal(size=(40, 3))


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("name", ["heat", "recurrence"])
def test_golden(name: str, request: pytest.FixtureRequest) -> None:
    chosen: Any = {"heat": (heat, GRID), "recurrence": (recurrence, ROWS)}
    function, array = chosen[name]
    graph = check(lambda x: function(x, 12), array)
    lines = [line for line in str(graph).splitlines() if "constant" not in line]
    path = GOLDEN / f"roll_{name}.txt"
    text = "\n".join(lines) + "\n"
    if request.config.getoption("--golden"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


def test_a_thousand_steps_stay_a_small_graph() -> None:
    graph = check(lambda a: heat(a, 1000), GRID)
    assert len(graph.nodes) < 100
    (loop,) = loops(graph)
    assert len(loop.body.nodes) < 100


@pytest.mark.usefixtures("soon")
def test_lines_of_the_source_stay() -> None:
    graph = check(lambda a: heat(a, 12), GRID)
    (loop,) = loops(graph)
    line = heat.__code__.co_firstlineno + 3
    sources = {str(node.source) for node in loop.body.nodes}
    assert all(f"test_roll.py:{line}" in s for s in sources), sources


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("steps", [5, 6, 7, 8, 33])
def test_values_of_several_iterations_before(steps: int) -> None:
    def program(x: Any) -> Any:
        past = [x, x + 1, x * 2, x - 3]
        for _ in range(steps):
            past.append(np.maximum(past[-1] * 0.5, past[-4]) + past[-2])
        return past[-1], past[-2], past[-5]

    check(program, GRID, rolls=None if steps < 9 else True)


@pytest.mark.usefixtures("soon")
def test_results_of_every_iteration() -> None:
    def program(x: Any) -> Any:
        rows = []
        for i in range(20):
            x = np.sin(x) + i
            rows.append(x)
        return np.stack(rows[:3]), rows[7], rows[11] + rows[-1]

    check(program, GRID)


@pytest.mark.usefixtures("soon")
def test_loops_in_loops() -> None:
    def program(x: Any) -> Any:
        for i in range(12):
            for j in range(9):
                x = x * 0.5 + j
            x = np.cos(x) - i
        return x

    graph = check(program, GRID)
    assert any(loops(outer.body) for outer in loops(graph))


@pytest.mark.usefixtures("soon")
def test_what_the_first_iteration_computes_for_all() -> None:
    def program(x: Any, y: Any) -> Any:
        half = None
        for i in range(14):
            if i == 0:
                half = y * 0.5
            x = x * half + y
        return x

    check(program, GRID, GRID + 2)


@pytest.mark.usefixtures("soon")
def test_windows_that_move_on_two_axes() -> None:
    def program(x: Any) -> Any:
        x = x.copy()
        for i in range(10):
            x[i, i] = x[9 - i, i] * 2 + x[i, (3 * i) % 7]
            x[i, 2:8:3] += x[i, :2]
            x[i] = x[i, ::-1]
        return x

    check(program, np.random.default_rng(1).normal(size=(10, 10)))


@pytest.mark.usefixtures("soon")
def test_shapes_that_change_stay_unrolled() -> None:
    def program(x: Any) -> Any:
        for i in range(7):
            x = x[1:] * 2.0 + x[:-1] * float(i)
        return x

    check(program, np.arange(20.0), rolls=False)


def test_short_loops_and_layers_with_weights_stay_unrolled() -> None:
    weights = np.random.default_rng(2).normal(size=(12, 64, 64))

    def layers(x: Any) -> Any:
        for w in weights:
            for _ in range(10):
                x = np.tanh(x @ w + x) * 0.5
        return x

    check(lambda a: heat(a, 8), GRID, rolls=False)
    graph = traced(layers, np.ones((1, 64)))
    assert not loops(roll_loops(graph))


# Random loops -------------------------------------------------------------------------


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("part", range(4))
def test_random_loops(part: int) -> None:
    check_random(range(8 * part, 8 * part + 8))


@pytest.mark.full
@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("part", range(10))
def test_many_random_loops(part: int) -> None:
    check_random(range(1000 + 50 * part, 1050 + 50 * part))


def check_random(seeds: range) -> None:
    rolled = 0
    for seed in seeds:
        text, program = random_loop(seed)
        rng = np.random.default_rng(seed)
        arrays = rng.normal(size=7), rng.normal(size=7)
        try:
            graph = check(program, *arrays, rolls=None)
        except Exception as error:
            error.add_note(f"seed {seed}:\n{text}")
            raise
        rolled += bool(loops(graph))
    assert rolled, "no loop of these was rolled"


# Where they come from -----------------------------------------------------------------


def test_compiled_functions_write_their_arguments() -> None:
    def program(a: Any) -> Any:
        for i in range(1000):
            a[1:-1] = 0.25 * (a[:-2] + 2.0 * a[1:-1] + a[2:])
            a[0] = i
        return a.sum()

    want, found = GRID.copy(), GRID.copy()
    total = program(want)
    np.testing.assert_allclose(gw.jit(program)(found), total, rtol=1e-12)
    np.testing.assert_allclose(found, want, rtol=1e-12)


def test_lazy_tensors_of_a_thousand_steps() -> None:
    size = 8192  # too many to run at once
    want = np.linspace(0, 1, size)
    for _ in range(2):
        t = gw.asarray(want)
        for _ in range(1000):
            t[1:-1] = 0.25 * (t[:-2] + 2.0 * t[1:-1] + t[2:])
        found = np.asarray(t)
    np.testing.assert_allclose(found, heat(want, 1000), rtol=1e-12)
