"""Extremes of large windows, axis by axis."""

from typing import Any

import numpy as np
import pytest

from graphwright.ir.builder import Builder
from graphwright.ir.dtype import float32
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType
from graphwright.passes.windows_apart import windows_apart


def graph_of(kind: str, window: tuple[int, ...], **more: Any) -> Graph:
    n = len(window)
    fields: dict[str, Any] = {
        "strides": (1,) * n,
        "dilations": (1,) * n,
        "padding": tuple((w // 2, w // 2) for w in window),
    }
    b = Builder("windows")
    x = b.input("x", TensorType(float32, (2, 9, 11, 12)))
    y = b.emit("reduce_window", x, kind=kind, window=window, **{**fields, **more})
    return b.finish([y], ["y"])


@pytest.mark.parametrize("kind", ["max", "min"])
@pytest.mark.parametrize(
    "more",
    [
        {"window": (5, 7)},
        {"window": (3, 3, 3)},
        {"window": (1, 5, 5)},
        {"window": (5, 5), "strides": (2, 3), "dilations": (1, 2)},
        {"window": (6, 5), "padding": ((0, 2), (1, 4))},
    ],
)
def test_large_windows_become_one_of_each_axis(kind: str, more: dict[str, Any]) -> None:
    graph = graph_of(kind, **more)
    changed = windows_apart(graph)
    wide = [size for size in more["window"] if size > 1]
    assert len(changed.nodes) == len(wide)
    x = np.random.default_rng(0).standard_normal((2, 9, 11, 12), np.float32)
    x[0, 3, 4, 5] = np.nan
    (want,), (got,) = evaluate(graph, [x]), evaluate(changed, [x])
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("kind", "window"), [("max", (3, 3)), ("sum", (5, 5)), ("max", (1, 25))]
)
def test_others_stay(kind: str, window: tuple[int, ...]) -> None:
    graph = graph_of(kind, window)
    assert windows_apart(graph) is graph
