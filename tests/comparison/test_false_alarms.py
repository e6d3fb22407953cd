"""Backends that are right are not said to be wrong, in any dtype."""

from typing import Any

import numpy as np
import pytest
from exporter_models import FOLDER, MODELS, case_feeds

import graphwright as gw
from graphwright.comparison.precision import with_float

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
