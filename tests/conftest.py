"""`--full`: the counts that only a run by hand makes, resumable."""

import json
import os
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("GRAPHWRIGHT_VERIFY_PASSES", "1")

DONE = ROOT / ".pytest_cache" / "full.json"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full",
        action="store_true",
        help="run what is marked `full` too, but for what passed at this commit",
    )
    parser.addoption(
        "--golden", action="store_true", help="write golden texts anew: look at them"
    )


def commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip()


def passed_before() -> dict[str, list[str]]:
    try:
        found: dict[str, list[str]] = json.loads(DONE.read_text())
    except (OSError, ValueError):
        return {}
    return found


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    full = config.getoption("--full")
    done = set(passed_before().get(commit(), ())) if full else set[str]()
    marked = [i for i in items if i.get_closest_marker("full")]
    leave = [i for i in marked if not full or i.nodeid in done]
    if leave:
        config.hook.pytest_deselected(items=leave)
        gone = set(map(id, leave))
        items[:] = [i for i in items if id(i) not in gone]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if item.get_closest_marker("full") and report.when == "call" and report.passed:
        head, before = commit(), passed_before()
        names = sorted({*before.get(head, ()), item.nodeid})
        DONE.parent.mkdir(exist_ok=True)
        DONE.write_text(json.dumps({head: names}))
    return report
