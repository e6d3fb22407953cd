"""Array programs as people write them give what NumPy gives, compiled."""

import copy
from typing import Any

import numpy as np
import pytest
from tracing.array_programs import ARGUMENTS, LAYERS, Program

import graphwright as gw

PROGRAMS = [pytest.param(f, id=f.__name__) for f in ARGUMENTS]


def same(found: Any, want: Any) -> None:
    """Trees of arrays that are equal, up to the last digits of floats."""
    if isinstance(want, dict):
        assert found.keys() == want.keys()
        for key, value in want.items():
            same(found[key], value)
    elif isinstance(want, (tuple, list)):
        assert len(found) == len(want)
        for x, y in zip(found, want, strict=True):
            same(x, y)
    else:
        x, y = np.asarray(found), np.asarray(want)
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-9)


def called(function: Any, program: Program) -> tuple[Any, Any]:
    """The result, and the arguments after the call."""
    arguments = copy.deepcopy(ARGUMENTS[program])
    return function(*arguments), arguments


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("program", PROGRAMS)
def test_compiled(program: Program) -> None:
    want, written = called(program, program)
    compiled = gw.jit(program)
    for _ in range(2):
        found, arguments = called(compiled, program)
        same(found, want)
        same(arguments, written)
    assert "traced 1 times" in compiled.explain()


def test_there_are_enough() -> None:
    assert len(ARGUMENTS) >= 40


def test_what_an_object_holds_is_read_at_each_call() -> None:
    def first(x: Any) -> Any:
        return x @ LAYERS[0].w

    compiled = gw.jit(first)
    x = np.ones((1, 4))
    before = compiled(x).numpy().copy()
    LAYERS[0].w[0] += 1
    try:
        same(compiled(x), before + 1)
    finally:
        LAYERS[0].w[0] -= 1
