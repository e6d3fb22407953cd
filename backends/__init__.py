"""What runs graphs; called, it lists the backends: ``graphwright.backends()``."""

import importlib
import sys
from types import ModuleType


class _Package(ModuleType):
    """This package, which is also the function of its name in the public face."""

    def __call__(self) -> list[str]:
        """Names of all backends known here, whether they can run or not."""
        registry = importlib.import_module(f"{self.__name__}.registry")
        names: list[str] = registry.backend_names()
        return names


sys.modules[__name__].__class__ = _Package
