"""``import graphwright.numpy as np``: the array functions under their public name."""

from typing import Any

from graphwright.frontends.tracing import numpy as _functions

__array_api_version__ = _functions.__array_api_version__
__array_namespace_info__ = _functions.__array_namespace_info__
__all__ = _functions.__all__

globals().update({name: getattr(_functions, name) for name in __all__})


def __getattr__(name: str) -> Any:
    return getattr(_functions, name)
