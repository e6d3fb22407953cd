"""Imports a pass with a change; a pytest plugin, which begins with tests about it.

The file on disk stays as it is: the module is compiled from its changed syntax tree.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import signal
import sys
from collections.abc import Generator, Sequence
from types import CodeType, ModuleType
from typing import Any

import pytest

from mutation.operators import Mutant, guilty, mutants, mutated, path_of

VARIABLE = "GRAPHWRIGHT_TESTED_MUTANT"
"""``module:number`` of the change."""

TEST_SECONDS = 30.0
"""Processor time after which a test counts as one that does not end."""


class _Loader(importlib.machinery.SourceFileLoader):
    number = 0

    def get_code(self, fullname: str) -> CodeType:
        module = fullname.rsplit(".", 1)[-1]
        source = path_of(module).read_text(encoding="utf-8")
        tree = mutated(source, self.number)
        return compile(tree, self.path, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, module: str, number: int) -> None:
        self.name, self.number = f"graphwright.passes.{module}", number

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        file = str(path_of(fullname.rsplit(".", 1)[-1]))
        loader = _Loader(fullname, file)
        loader.number = self.number
        return importlib.util.spec_from_file_location(fullname, file, loader=loader)


def install(module: str, number: int) -> None:
    """Lets a module be imported with a change."""
    assert f"graphwright.passes.{module}" not in sys.modules
    sys.meta_path.insert(0, _Finder(module, number))


def _asked() -> Mutant | None:
    """The change that the environment names."""
    said = os.environ.get(VARIABLE)
    if not said:
        return None
    module, number = said.split(":")
    install(module, int(number))
    return mutants(module)[int(number)]


CHANGE = _asked()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of what the change may move come first, in the order of the files."""
    if CHANGE is not None:
        names = guilty(CHANGE)
        own = f"test_{CHANGE.module}"
        items.sort(key=lambda item: not _is_about(item, names, own))


def _is_about(item: Any, names: set[str], own: str) -> bool:
    """Whether a test is of the changed module, or of a rewrite that it may move."""
    if item.path.stem == own:
        return True
    about = getattr(item, "callspec", None)
    values = about.params.values() if about is not None else ()
    return any(isinstance(v, str) and v in names for v in values)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """A test that does not end fails."""
    signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, TEST_SECONDS)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _stop(*_: object) -> None:
    pytest.fail(f"more than {TEST_SECONDS:.0f} s of processor time")
