"""Random NumPy programs give what NumPy gives: at once, lazy, compiled and traced.

Each is the text of a module, which is imported from a real file: ``import numpy as np``
at its top, a function of arrays, helpers, and nothing that was written for tensors.
"""

import re
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from tracing.differences import CLASSES, reason
from tracing.found import FOUND
from tracing.programs import Program, module, programs, quiet

import graphwright as gw
from graphwright.frontends.tracing import parts, small, storage

ROOT = Path(__file__).resolve().parents[2]
MODES = ("lazy", "functions", "jit", "trace")
COUNT, SIZE, FULL_COUNT, FULL_SIZE, PARTS = 60, 15, 5000, 40, 10

LIMITS: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "phases": [Phase.generate],  # shrinking would take minutes
    "suppress_health_check": list(HealthCheck),
}


# Comparing ----------------------------------------------------------------------------


def check(found: Any, expected: Any, what: str, rtol: float | None = None) -> None:
    if isinstance(expected, (tuple, list)):
        assert len(found) == len(expected), what
        for x, y in zip(found, expected, strict=True):
            check(x, y, what, rtol)
        return
    have, want = np.asarray(found), np.asarray(expected)
    assert have.dtype == want.dtype, what
    assert have.shape == want.shape, what
    single = want.dtype in (np.float32, np.complex64)
    close = 0 if want.dtype.kind in "biu" else rtol or (2e-4 if single else 1e-7)
    np.testing.assert_allclose(have, want, rtol=close, atol=close, err_msg=what)


def leaves(found: Any) -> list[Any]:
    """The arrays of a result, as a graph gives them: one after the other."""
    if isinstance(found, (tuple, list)):
        return [leaf for x in found for leaf in leaves(x)]
    return [found]


def outcome(mode: str, program: Program, folder: Path) -> tuple[Any, Any]:
    """What a program returns, and its arguments after it."""
    arrays = program.arrays()
    lazy = mode in ("lazy", "functions")
    namespace = "graphwright.numpy" if mode == "lazy" else "numpy"
    most = storage.SMALL if mode == "lazy" else -1  # the other defers all it does
    with (
        module(program.text(namespace), folder) as made,
        patch.object(storage, "SMALL", most),
        patch.object(small, "SMALL", most),
        patch.object(parts, "SMALL", most),
    ):
        if lazy:
            arrays = [gw.asarray(x) for x in arrays]
            return made.program(*arrays), arrays
        if mode == "jit":
            return gw.jit(made.program)(*arrays), arrays
        specs = [gw.spec(x.dtype.name, x.shape) for x in arrays]
        found = gw.compile(gw.trace(made.pure, *specs))(*arrays)
        return list(found) if isinstance(found, tuple) else [found], None


def compare(mode: str, program: Program, folder: Path, *, strict: bool = False) -> None:
    half = "float16" in program.text() or any(d == "float16" for d, _ in program.inputs)
    rtol = 3e-2 if half else None
    with quiet():
        try:
            found, arguments = outcome(mode, program, folder)
        except gw.GraphwrightError as error:
            if strict or mode not in ("jit", "trace") or not depends_on_data(error):
                raise
            return
        expected: Any = program.results()
        if mode == "trace":
            expected, arguments = leaves(expected), program.arguments
        check(found, expected, f"results of {program}", rtol)
        check(arguments, program.arguments, f"arguments of {program}", rtol)


def depends_on_data(error: Exception) -> bool:
    """Whether an error is of the class of shapes that depend on data."""
    words = "gives anew|unknown size|needs a known|known size"
    return bool(re.search(rf"{words}|\b_\d", str(error)))


# Programs -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=COUNT, **LIMITS)
@given(program=programs(SIZE))
def test_programs(tmp_path_factory: Any, mode: str, program: Program) -> None:
    compare(mode, _eager(mode, program), tmp_path_factory.getbasetemp())


@pytest.mark.full
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("mode", MODES)
def test_many_programs(tmp_path: Path, mode: str, part: int) -> None:
    @seed(part)
    @settings(max_examples=FULL_COUNT // PARTS, **LIMITS | {"derandomize": False})
    @given(program=programs(FULL_SIZE))
    def run(program: Program) -> None:
        compare(mode, _eager(mode, program), tmp_path)

    run()


def _eager(mode: str, program: Program) -> Program:
    """For NumPy's own functions on tensors: without arrays made of tensors."""
    return program.without("asarray", "ascontig") if mode == "functions" else program


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", FOUND, ids=lambda case: case[-1][-1][:40])
def test_programs_that_once_differed(tmp_path: Path, mode: str, case: Any) -> None:
    inputs, *lines = case
    program = Program(inputs)
    for line in lines[-1]:
        assert program.add(line), line
    compare(mode, _eager(mode, program), tmp_path)


# Classes of differences ---------------------------------------------------------------

SHOWN = [(name, c) for name, c in CLASSES.items() if c.shown_by]


@pytest.mark.parametrize(("name", "difference"), SHOWN, ids=[n for n, _ in SHOWN])
def test_each_class_of_differences_is_one(
    tmp_path: Path, name: str, difference: Any
) -> None:
    program = Program([("float64", (3,))])
    program.trusting = True
    for line in difference.shown_by:
        program.add(line)
    with pytest.raises((AssertionError, gw.GraphwrightError, AttributeError)):
        compare("jit", program, tmp_path, strict=True)


def test_docs_name_all_classes() -> None:
    text = (ROOT / "docs" / "numpy.md").read_text()
    assert len(CLASSES) <= 10
    for name, difference in CLASSES.items():
        assert f"**{name}**" in text
        assert difference.source


def test_programs_leave_out_what_belongs_to_a_class() -> None:
    x = np.ones(3)
    assert reason("v0 = np.sort(a0)", {"a0": x + 1j}, None, []) == "complex order"
    assert reason("v0 = np.sort(a0)", {"a0": x}, None, []) is None
    assert reason("v0 = np.floor(a0)", {"a0": x / 3}, None, []) == "rounding"
