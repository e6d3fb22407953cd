"""Every node that runs says which of the user's lines it comes from."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphwright as gw
from graphwright.backends.compile import lower
from graphwright.ir.graph import Graph, Node
from graphwright.passes.pipeline import PIPELINES, optimize

WEIGHTS = np.linspace(0, 1, 3)


def lines_of_functions() -> frozenset[int]:
    """The lines of this file's programs."""
    tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    found: set[int] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in PROGRAMS_AND_HELPERS:
            found.update(range(node.lineno, (node.end_lineno or 0) + 1))
    return frozenset(found)


def helper(x: Any, n: int) -> Any:
    out = np.zeros(n)
    out[1:-1] = x * WEIGHTS
    return out


def stencil(u: Any, k: float) -> Any:
    v = u.copy()
    for _ in range(5):
        v[1:-1, 1:-1] += k * (v[2:, 1:-1] + v[:-2, 1:-1] - 2 * v[1:-1, 1:-1])
    return v.T[::-1]


def attention(q: Any, k: Any, v: Any) -> Any:
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return (e / e.sum(axis=-1, keepdims=True)) @ v


def normalised(x: Any, w: Any) -> Any:
    centred = x - x.mean(axis=-1, keepdims=True)
    y = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    return np.maximum(y @ w + 1, 0), x[:, 0] * 1 + 0


def indexed(x: Any) -> Any:
    order = np.argsort(x)
    y = x[order]
    y[y > 1] = 0
    top = np.where(y == y.max(), y, -1)
    return np.concatenate([top, helper(x, 5)]), np.median(x), y[np.array([0, 2])]


def controlled(x: Any) -> Any:
    y = gw.fori_loop(0, 3, lambda i, c: c * 2 + i, x)
    z = gw.cond(y.sum() > 0, lambda: np.log1p(abs(y)), lambda: y - 1)
    total, rows = gw.scan(lambda c, r: (c + r, c * r), 0.0, z)
    return gw.while_loop(lambda s: s < 9, lambda s: s + abs(total) + 1, 0.0), rows


def mapped(a: Any, x: Any) -> Any:
    def solve(m: Any, r: Any) -> Any:
        return np.linalg.solve(m @ m.T + np.eye(3), r), helper(r, 5)

    return gw.vmap(solve)(a, x)


def random_walk(key: Any) -> Any:
    steps = gw.random.normal(key, (10, 2))
    start = gw.random.randint(gw.random.fold_in(key, 1), (2,), -5, 5)
    return np.cumsum(steps, axis=0) + start


def spectrum(x: Any) -> Any:
    window = np.hanning(x.shape[0])
    power = np.abs(np.fft.rfft(x * window)) ** 2
    return power / power.sum(), np.convolve(x, WEIGHTS, "same")


A3, V3 = np.random.default_rng(0).normal(size=(2, 3, 3)), np.ones(3)
PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "stencil": (stencil, (np.ones((6, 7)), 0.5)),
    "attention": (attention, (A3, A3 + 1, A3 - 1)),
    "normalised": (normalised, (A3[0], A3[1])),
    "indexed": (indexed, (V3 * WEIGHTS,)),
    "controlled": (controlled, (V3,)),
    "mapped": (mapped, (A3, A3[0, :2])),
    "random_walk": (random_walk, (np.array([1, 2], np.uint32),)),
    "spectrum": (spectrum, (np.ones(16),)),
}
PROGRAMS_AND_HELPERS = {*PROGRAMS, "helper"}


def strangers(graph: Graph) -> list[Node]:
    """Nodes, inside of sub-graphs and fused regions too, without a line of ours."""
    lines = lines_of_functions()
    found: list[Node] = []
    for node in graph.walk():
        file, _, line = (node.source.name if node.source else "").rpartition(":")
        if file != __file__ or int(line) not in lines:
            found.append(node)
    return found


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_lines_survive_all_passes(name: str, pipeline: str) -> None:
    function, args = PROGRAMS[name]
    graph = gw.jit(function).lower(*args).graph
    assert graph.nodes
    assert [(n, n.source) for n in strangers(graph)] == []
    optimised = optimize(graph, pipeline)
    assert [(n, n.source) for n in strangers(optimised)] == []
    lowered, _ = lower(optimised, strict_float=pipeline == "strict_float")
    assert [(n, n.source) for n in strangers(lowered)] == []
    assert {n.op.name for n in lowered.walk()}


def test_one_program_spans_its_lines() -> None:
    """Different statements keep different lines, in the plan too."""
    function, args = PROGRAMS["normalised"]
    lowered = gw.jit(function).lower(*args).compile().executable.program.graph
    lines = {n.source.name.rpartition(":")[2] for n in lowered.walk() if n.source}
    assert len(lines) >= 2


def test_profiles_speak_of_lines() -> None:
    function, args = PROGRAMS["attention"]
    exe = gw.jit(function).lower(*args).compile().executable
    for row in exe.profile(list(args)):
        assert f"{__file__}:" in row.source
