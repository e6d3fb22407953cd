"""Primitives suffice: a backend of them alone runs all composites, and all models."""

import runpy
from pathlib import Path

import pytest

from graphwright.frontends.onnx.suite import CANNOT_PASS, Suite
from graphwright.ir.op import OPS, Tier
from graphwright.testing import RecordingBackend, cases
from graphwright.testing.conformance import examine, ops_of
from graphwright.testing.onnx_checks import onnx_check
from graphwright.testing.report import PASSES, WRONG

DOCS = Path(__file__).resolve().parents[2] / "docs"
BACKEND = RecordingBackend()

WHOLE = ("complex64", "complex128", "float8_e4m3fn")
"""Dtypes at which some composites cannot be taken apart: branch cuts, few bits."""


def test_there_are_at_most_64() -> None:
    assert 40 < len(ops_of(Tier.PRIMITIVE)) <= 64


@pytest.mark.parametrize("name", ops_of(Tier.COMPOSITE))
def test_composites_run_on_primitives(name: str) -> None:
    ran = 0
    for case in list(cases(name))[::3]:
        finding = examine("composite", name, case, BACKEND, optimize=False)
        assert finding.status != WRONG, finding
        dtype = case.name.split("-")[2]
        assert finding.status == PASSES or dtype in WHOLE, finding
        ran += finding.status == PASSES
    assert ran


@pytest.fixture(scope="module")
def suite() -> Suite:
    return Suite(BACKEND)


@pytest.mark.parametrize("block", range(4))
def test_models_run_on_primitives(block: int, suite: Suite) -> None:
    names = [name for name in suite.names if name not in CANNOT_PASS]
    for name in names[5 * block :: 80]:
        finding = onnx_check(suite, name, BACKEND)
        assert finding.status != WRONG, finding


@pytest.mark.full
@pytest.mark.parametrize("block", range(20))
def test_all_models_run_on_primitives(block: int, suite: Suite) -> None:
    names = [name for name in suite.names if name not in CANNOT_PASS]
    for name in names[block::20]:
        finding = onnx_check(suite, name, BACKEND)
        assert finding.status != WRONG, finding


def test_the_page_of_primitives_is_up_to_date() -> None:
    made = runpy.run_path(str(DOCS / "generate_primitives.py"))["page"]()
    page = (DOCS / "primitives.md").read_text(encoding="utf-8")
    assert made == page, "run python docs/generate_primitives.py"


def test_primitives_say_no_decomposition() -> None:
    for name in ops_of(Tier.PRIMITIVE):
        assert "decompose" not in vars(OPS[name]), name
