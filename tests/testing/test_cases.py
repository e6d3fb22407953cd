"""Cases of every op."""

from typing import Any

import numpy as np
import pytest
from laws import PRIMITIVES, check_results, check_text

import graphwright.ir.ops  # noqa: F401  (registers all ops)
from graphwright.ir.dtype import DTYPES
from graphwright.ir.errors import UnsupportedOpError
from graphwright.ir.op import OPS, Op
from graphwright.testing import assert_accurate, assert_agree, cases
from graphwright.testing.cases import special_values

NAMES = sorted(n for n, c in OPS.items() if c.__module__.startswith("graphwright.ir"))


@pytest.mark.parametrize("name", NAMES)
def test_cases(name: str) -> None:
    found = list(cases(name))
    assert len({case.name for case in found}) == len(found)
    assert any(name == n.op.name for case in found for n in case.graph.walk())
    for case in found[::8]:
        check_text(case.graph)
        check_results(case.graph, case.inputs)
        assert_agree(case.graph, case.inputs)


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_all_cases(name: str) -> None:
    for case in cases(name):
        check_text(case.graph)
        check_results(case.graph, case.inputs)
        assert_agree(case.graph, case.inputs)
        assert_agree(case.graph, case.inputs, optimize=False)
        assert_agree(case.graph, case.inputs, backend=PRIMITIVES)
        assert_accurate(case.graph, case.inputs)


def test_cases_cover_what_kernels_get_wrong() -> None:
    labels = {case.name.split("-", 1)[1] for case in cases("add")}
    kinds = {label.split("-")[0] for label in labels}
    assert kinds >= {"static", "zero", "one", "dynamic", "flip", "turn", "spread"}
    assert kinds >= {"alias", "special"}
    dtypes = {label.split("-")[1] for label in labels}
    assert dtypes >= {"float32", "bfloat16", "int4", "int8", "uint64", "complex64"}


@pytest.mark.parametrize("name", ["mul", "div", "dot", "where", "scatter"])
def test_an_alias_is_one_value_taken_twice(name: str) -> None:
    found = [case for case in cases(name) if "-alias-" in case.name]
    assert len(found) > 8
    for case in found:
        assert any(len({*n.operands}) < len(n.operands) for n in case.graph.nodes)


@pytest.mark.parametrize("name", ["div", "neg", "dot", "sort"])
def test_cases_that_run_twice_have_several_elements(name: str) -> None:
    most: dict[str, int] = {}
    for case in cases(name):
        if case.more and "-static-" in case.name:
            dtype = case.name.split("-")[2]
            sizes = [np.size(x) for x in case.inputs]
            most[dtype] = max(most.get(dtype, 0), *sizes)
    assert len(most) > 10
    assert min(most.values()) > 1


def values(name: str, *feeds: Any) -> Any:
    """Results of the special case of an op, at these operands."""
    case = next(c for c in cases(name) if c.name == f"{name}-special-int8")
    (y,) = check_results(case.graph, case.inputs)
    at = np.logical_and.reduce(
        [x == f for x, f in zip(case.inputs, feeds, strict=True)]
    )
    return int(y[at][0])


def test_special_cases_of_integers() -> None:
    assert values("div", -128, -1) == -128
    assert values("div", 5, 0) == 0
    assert values("rem", 5, 0) == 0
    assert values("shl", 1, 8) == 0
    assert values("shr", -128, 8) == -1
    assert values("neg", -128) == -128


def test_special_values_of_floats() -> None:
    x = special_values(DTYPES["float32"])
    assert np.isnan(x).any()
    assert {np.inf, -np.inf} <= set(x.tolist())
    assert np.signbit(x[x == 0]).tolist() == [False, True]


def test_an_op_without_a_recipe_has_no_cases() -> None:
    class Lonely(Op):
        name = "test_lonely"

    try:
        with pytest.raises(UnsupportedOpError, match="recipe"):
            list(cases("test_lonely"))
    finally:
        del OPS["test_lonely"], Lonely
