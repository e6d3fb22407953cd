"""pytest's ``--graphwright-backend=NAME``: the conformance kit, run on a backend.

pytest loads this in every run, so it imports nothing else of graphwright: without the
option it does nothing.
"""

import importlib
from pathlib import Path
from typing import Any

import pytest

KIT = Path(__file__).resolve().parent / "testing" / "kit.py"
PROPERTY = "graphwright_findings"
"""Name of the property by which tests hand findings on, across processes too."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the kit's options."""
    group = parser.getgroup("graphwright", "graphwright's conformance kit for backends")
    group.addoption(
        "--graphwright-backend",
        metavar="NAME",
        help="run the conformance kit on this backend",
    )
    group.addoption(
        "--graphwright-stage",
        choices=("first", "primitives", "all"),
        default="all",
        help="how much of the kit: a handful of ops, all primitives, or (default) all",
    )
    group.addoption(
        "--graphwright-every",
        metavar="N",
        type=int,
        default=8,
        help="run one in N cases; 1 runs all of them (default 8)",
    )
    group.addoption(
        "--graphwright-report", metavar="FILE", help="write the kit's report as JSON"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Collects the kit beside what else is asked for, if a backend is named."""
    if config.getoption("graphwright_backend") is None:
        return
    config.pluginmanager.register(_Reporter(config), "graphwright-report")
    if not hasattr(config, "workerinput") and str(KIT) not in config.args:
        if config.args_source != pytest.Config.ArgsSource.ARGS:
            config.args[:] = []  # the kit alone, unless files are named too
        config.args.append(str(KIT))


class _Reporter:
    """Gathers findings from the reports of tests."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._rows: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Takes the findings of a test that ran, here or in another process."""
        if report.when == "call":
            for name, rows in report.user_properties:
                if name == PROPERTY:
                    self._rows += rows  # type: ignore[arg-type]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Shows the table, and writes JSON where asked."""
        if not self._rows:
            return
        made: Any = importlib.import_module("graphwright.testing.report")
        name = str(self._config.getoption("graphwright_backend"))
        report = made.KitReport(name, tuple(made.Finding(**r) for r in self._rows))
        terminalreporter.section(f"conformance of {name}")
        terminalreporter.write_line(str(report))
        path = self._config.getoption("graphwright_report")
        if path:
            Path(path).write_text(report.to_json(), encoding="utf-8")
            terminalreporter.write_line(f"report written to {path}")
