"""Backends that are right are not said to be wrong, in any dtype."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from exporter_models import FOLDER, MODELS, case_feeds

import graphwright as gw
import graphwright.numpy as gnp
from graphwright.comparison.ensemble import Ensemble
from graphwright.comparison.members import Wobbly
from graphwright.comparison.precision import with_float
from graphwright.comparison.running import Running
from graphwright.testing.shadow import Bound

DTYPES = ("float32", "float16", "bfloat16")
ONE_IN = 40
"""Of how many cases the plain run takes one; ``pytest --full`` takes all."""

CASES = [
    pytest.param(
        *(row, dtype),
        id=f"{row['file'].removesuffix('.onnx')}-{dtype}",
        marks=() if i % ONE_IN == 0 else pytest.mark.full,
    )
    for i, (row, dtype) in enumerate((r, d) for r in MODELS for d in DTYPES)
]


def converted(feeds: dict[str, Any], graph: gw.Graph) -> dict[str, Any]:
    """Inputs in the dtypes of a graph."""
    types = dict(zip(graph.input_names, graph.input_types, strict=True))
    return {
        name: x.astype(types[name].dtype.numpy)  # type: ignore[union-attr]
        if isinstance(x, np.ndarray) and x.dtype.kind in "fV"
        else x
        for name, x in feeds.items()
    }


@pytest.mark.parametrize(("row", "dtype"), CASES)
def test_none_over_models_of_exporters(row: dict[str, Any], dtype: str) -> None:
    graph = gw.load(FOLDER / row["file"])
    try:
        other = with_float(graph, dtype)
    except gw.GraphwrightError as error:
        pytest.skip(f"an op does not take {dtype}: {error}")
    feeds = converted(case_feeds(row, 0, graph), other)
    try:
        report = gw.compare(other, ["numpy", "reference"], feeds)
    except gw.FeedError as error:  # such as a loop whose count a narrow dtype rounds
        pytest.skip(f"the graph itself fails in {dtype}: {error}")
    assert report.ok, report.verdict


def bounds(graph: gw.Graph, feeds: Sequence[Any]) -> Bound:
    """The bound of the output where no value inside is shown."""
    running = Running(graph)
    running.begin(feeds)
    held = {v: constant.array() for v, constant in graph.constants.items()}
    for node in graph.nodes:
        assert running.step(node, held, held)
    return running.bound(graph.outputs[0])


def test_a_whole_number_at_its_border_may_be_either_and_so_what_hangs_on_it() -> None:
    def pick(x: Any, table: Any) -> Any:
        return gnp.take(table, (x * np.float32(0.1)).astype(np.int32)) + 1

    x, table = np.array([10, 15], np.float32), np.array([5, 7], np.float32)
    graph = gw.trace(pick, gw.spec("float32", (2,)), gw.spec("float32", (2,)))
    bound = bounds(graph, [x, table])
    np.testing.assert_array_equal(bound.value, [8, 8])
    at_border, inside = bound.tolerance
    assert at_border >= 2
    assert inside < 1e-4


def test_errors_that_cancel_by_chance_leave_those_of_the_node() -> None:
    def shifted(x: Any, w: Any) -> Any:
        return x @ w + np.float64(-0.65)

    graph = gw.trace(shifted, gw.spec("float64", (64, 5)), gw.spec("float64", (5, 1)))
    rng = np.random.default_rng(0)
    feeds = [rng.standard_normal((64, 5)), rng.standard_normal((5, 1))]
    held = {v: constant.array() for v, constant in graph.constants.items()}
    for seed in range(20):
        runs = Ensemble(graph, seed)
        runs.begin(feeds)
        for node in graph.nodes:
            assert runs.step(node, held, held)
        bound = runs.bound(graph.outputs[0])
        assert (bound.tolerance >= 5 * np.finfo(np.float64).eps).all()


def test_both_parts_of_complex_numbers_are_off() -> None:
    runner = Wobbly(0, 1)
    moved = runner.off_by(np.zeros(1000, np.complex128), np.ones(1000))
    np.testing.assert_array_equal(np.abs(moved.real), 1)
    np.testing.assert_array_equal(np.abs(moved.imag), 1)


def test_what_overflows_unseen_may_be_anything() -> None:
    def summed(x: Any, w: Any) -> Any:
        return (x * np.float16(8)) @ w

    specs = gw.spec("float16", (2, 3)), gw.spec("float16", (3, 2))
    x, w = np.ones((2, 3), np.float16), np.eye(3, 2, dtype=np.float16)
    x[0, 0] = 60000
    tolerance = bounds(gw.trace(summed, *specs), [x, w]).tolerance
    assert np.isinf(tolerance[0]).all()
    assert (tolerance[1] < 1).all()


def test_what_is_compared_with_itself_is_equal_though_off() -> None:
    def kept(x: Any) -> Any:
        y = x * np.float32(0.3)
        return gnp.where(gnp.equal(y, y), y, np.float32(0))

    graph = gw.trace(kept, gw.spec("float32", (50,)))
    x = np.random.default_rng(0).standard_normal(50).astype(np.float32)
    assert bounds(graph, [x]).tolerance.max() < 1e-5
