"""Ops over rows: every op gives for all rows what it gives for each."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from graphwright.ir.builder import Builder
from graphwright.ir.errors import GraphwrightError, UnsupportedOpError
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.op import OPS
from graphwright.ir.types import TensorType
from graphwright.ir.verify import verify
from graphwright.passes.batching import batch_graph
from graphwright.testing import cases
from graphwright.testing.cases import Case

NAMES = sorted(n for n, c in OPS.items() if c.__module__.startswith("graphwright.ir"))
LOOSE = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 1e-5, "complex64": 1e-5}


def over_rows(graph: Graph, mapped: Sequence[bool], size: int) -> Graph:
    """The graph over rows of some inputs; every output has them."""
    b = Builder(graph.name)
    inputs = [
        b.input(n, t.with_shape((size, *t.dims)) if m else t)  # type: ignore[union-attr]
        for n, t, m in zip(graph.input_names, graph.input_types, mapped, strict=True)
    ]
    found, _ = batch_graph(b, graph, inputs, mapped, size)
    batched = b.finish(found)
    verify(batched)
    return batched


def row_of(x: Any, turn: int) -> Any:
    """Another row: the same elements in the opposite order."""
    return np.flip(x).copy() if turn else x


def same(got: Any, want: Any) -> None:
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    if got.dtype.kind in "fcV" and got.size:
        name = got.dtype.name
        got, want = (x.astype(np.complex128) for x in (got, want))
        rtol = LOOSE.get(name, 1e-10)
        if name.startswith("float8"):
            rtol = 0.2
        np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol)
    else:
        np.testing.assert_array_equal(got, want)


def choices(case: Case) -> Iterator[tuple[bool, ...]]:
    """Which inputs have rows: each alone, and all."""
    n = len(case.inputs)
    chosen = {tuple(i == j for i in range(n)) for j in range(n)} | {(True,) * n}
    yield from sorted(chosen)


def check(case: Case, mapped: Sequence[bool]) -> bool:
    """Whether the case runs row by row at all; then that it does so at once."""
    rows = [
        [row_of(x, turn) if m else x for x, m in zip(case.inputs, mapped, strict=True)]
        for turn in (0, 1)
    ]
    try:
        want = [evaluate(case.graph, row) for row in rows]
    except GraphwrightError:
        return False
    batched = over_rows(case.graph, mapped, 2)
    pairs = zip(rows[0], rows[1], mapped, strict=True)
    feeds = [np.stack([x, y]) if m else x for x, y, m in pairs]
    for k, found in enumerate(evaluate(batched, feeds)):
        reached = found.ndim > want[0][k].ndim
        for i in (0, 1):
            same(found[i] if reached else found, want[i][k])
    return True


def plain(case: Case) -> bool:
    return all(
        isinstance(t, TensorType) and t.shape is not None and t.dtype.name != "string"
        for t in (*case.graph.input_types, *case.graph.output_types)
    )


REFUSED = {"bind_dims", "nonzero", "non_max_suppression", "unique", "write"}
"""Ops whose rows may differ in size, or that have an effect."""


def check_cases(name: str, step: int) -> None:
    found = [c for c in cases(name) if plain(c) and c.inputs]
    for case in found[::step]:
        names = {node.op.name for node in case.graph.nodes}
        fresh = any(node.op.defined_symbols() for node in case.graph.nodes)
        lists = any("sequence" in n or "optional" in n for n in names)
        for mapped in choices(case):
            if fresh or lists or names & REFUSED:
                with pytest.raises(UnsupportedOpError, match="cannot run on rows"):
                    over_rows(case.graph, mapped, 2)
            else:
                check(case, mapped)


@pytest.mark.parametrize("name", NAMES)
def test_ops_over_rows(name: str) -> None:
    check_cases(name, 7)


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_ops_over_rows_in_all_cases(name: str) -> None:
    check_cases(name, 1)
