"""The conformance kit as pytest tests; ``--graphwright-backend=NAME`` collects them.

A test fails if a result is wrong, and in the first stage also if the backend leaves an
op to the host; it is skipped if the backend declines all that it checks.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict

import pytest

from graphwright.backends.contract import Backend
from graphwright.backends.registry import choose_backend
from graphwright.pytest_plugin import PROPERTY
from graphwright.testing.conformance import Check
from graphwright.testing.kit_checks import all_checks
from graphwright.testing.report import DECLINED, PASSES, WRONG, Finding


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each check of the stage."""
    if "check" in metafunc.fixturenames:
        found = all_checks(metafunc.config.getoption("graphwright_stage"))
        metafunc.parametrize("check", found, ids=[check.name for check in found])


@pytest.fixture(scope="session")
def backend(pytestconfig: pytest.Config) -> Backend:
    """The backend that the command line names."""
    return choose_backend(pytestconfig.getoption("graphwright_backend") or "numpy")


def test_conformance(
    check: Check,
    backend: Backend,
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    """What the backend gives is what the reference gives."""
    every = max(1, int(pytestconfig.getoption("graphwright_every")))
    findings = list(check.run(backend, every))
    record_property(PROPERTY, [asdict(f) for f in findings])
    bad = [f for f in findings if f.status == WRONG]
    if check.owned:
        bad += [f for f in findings if f.status not in (WRONG, PASSES)]
    if bad:
        pytest.fail(_listed(bad), pytrace=False)
    if findings and all(f.status == DECLINED for f in findings):
        pytest.skip(f"the backend declines {check.subject}")


def _listed(findings: Iterable[Finding]) -> str:
    lines = list(map(str, findings))
    more = [f"and {len(lines) - 5} more"] if len(lines) > 5 else []
    return "\n".join([*lines[:5], *more])
