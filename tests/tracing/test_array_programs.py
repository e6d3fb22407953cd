"""Plain NumPy programs give through ``gw.jit`` what they give without."""

from typing import Any

import numpy as np
import pytest
from array_programs import PROGRAMS
from array_programs.case import Case

import graphwright as gw

SMALL = 6000

RUNS = [(name, dtype) for name, case in PROGRAMS.items() for dtype in case.dtypes]


def copied(arguments: tuple[Any, ...]) -> list[Any]:
    return [x.copy() if isinstance(x, np.ndarray) else x for x in arguments]


def arrays(result: Any, arguments: list[Any]) -> list[Any]:
    """Results, and arguments as the call left them."""
    found = list(result) if isinstance(result, tuple) else [result]
    return [np.asarray(x) for x in (*found, *arguments)]


def check(case: Case, dtype: str, found: list[Any], expected: list[Any]) -> None:
    for have, want in zip(found, expected, strict=True):
        assert have.dtype == want.dtype
        rtol = case.rtol if dtype == "float64" else 2e-4
        scale = np.abs(want[np.isfinite(want)]).max(initial=0)
        np.testing.assert_allclose(have, want, rtol=rtol, atol=rtol * float(scale))


@pytest.mark.parametrize(("name", "dtype"), RUNS)
def test_results_and_written_arguments(name: str, dtype: str) -> None:
    case = PROGRAMS[name]
    arguments = case.make(SMALL, np.dtype(dtype).type)
    theirs, ours = copied(arguments), copied(arguments)
    with np.errstate(all="ignore"):
        expected = arrays(case.function(*theirs), theirs)
    compiled = gw.jit(case.function, backend="numpy")
    check(case, dtype, arrays(compiled(*ours), ours), expected)
    again = copied(arguments)
    check(case, dtype, arrays(compiled(*again), again), expected)
    assert "traced 1 times" in compiled.explain()
