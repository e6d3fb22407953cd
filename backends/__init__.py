"""What runs graphs; called, it lists the backends: ``graphwright.backends()``."""

import importlib
import sys
from types import ModuleType


class _Package(ModuleType):
    """This package, which is also the function of its name in the public face."""

    def __call__(self) -> list[str]:
        """Names of all backends known here, whether they can run or not."""
        names: list[str] = self.registry.backend_names()
        return names

    def __getattr__(self, name: str) -> object:
        if name == "registry":
            return importlib.import_module(f"{self.__name__}.registry")
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


sys.modules[__name__].__class__ = _Package
