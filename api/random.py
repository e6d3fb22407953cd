"""``import graphwright.random``: random numbers from explicit keys."""

from graphwright.frontends.tracing import random as _functions

__doc__ = _functions.__doc__
__all__ = _functions.__all__  # pyright: ignore

globals().update({name: getattr(_functions, name) for name in __all__})
