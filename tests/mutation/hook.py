"""Imports a pass with a change, where the environment names one; a pytest plugin too.

The file on disk stays as it is: the module is compiled from its changed syntax tree.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from types import CodeType, ModuleType

from mutation.operators import mutated, path_of

VARIABLE = "GRAPHWRIGHT_TESTED_MUTANT"
"""``module:number`` of the change."""


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


def install() -> None:
    """Lets the module be imported with its change."""
    said = os.environ.get(VARIABLE)
    if said:
        module, number = said.split(":")
        assert f"graphwright.passes.{module}" not in sys.modules
        sys.meta_path.insert(0, _Finder(module, int(number)))


install()
