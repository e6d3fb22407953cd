"""The operations: one class each, one module a family.

Importing this package registers every op of every module in it.
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
