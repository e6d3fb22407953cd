"""Random NumPy programs give what NumPy gives: lazily, and compiled."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from tracing.programs import Program, programs, quiet, run

import graphwright as gw

COUNT, SIZE = 200, 12

LIMITS: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "phases": [Phase.generate],  # shrinking would take minutes
    "suppress_health_check": list(HealthCheck),
}


def check(found: Any, expected: Any, what: str) -> None:
    have, want = np.asarray(found), np.asarray(expected)
    assert have.dtype == want.dtype, what
    assert have.shape == want.shape, what
    exact = want.dtype.kind in "biu"
    rtol = 0 if exact else 2e-4 if want.dtype.itemsize == 4 else 1e-9
    np.testing.assert_allclose(have, want, rtol=rtol, atol=rtol, err_msg=what)


def compare(program: Program, found: list[Any], arguments: list[Any]) -> None:
    for i, (x, y) in enumerate(zip(found, program.pool, strict=True)):
        check(x, y, f"{i} of {program}")
    for i, (x, y) in enumerate(zip(arguments, program.arguments, strict=True)):
        check(x, y, f"argument {i} of {program}")


@pytest.mark.parametrize("mode", ["lazy", "jit"])
@settings(max_examples=COUNT, **LIMITS)
@given(program=programs(SIZE))
def test_programs(mode: str, program: Program) -> None:
    _check_program(mode, program)


@pytest.mark.full
@pytest.mark.parametrize("mode", ["lazy", "jit"])
@settings(max_examples=5000, **LIMITS)
@given(program=programs(40))
def test_many_programs(mode: str, program: Program) -> None:
    _check_program(mode, program)


def _check_program(mode: str, program: Program) -> None:
    arrays = program.arrays()
    with quiet():
        if mode == "lazy":
            arrays = [gw.asarray(x) for x in arrays]
            found = run(program.statements, *arrays)
        else:
            found = gw.jit(partial(run, program.statements))(*arrays)
        compare(program, found, arrays)
