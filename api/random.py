"""``import graphwright.random``: random numbers from explicit keys."""

from graphwright.frontends.tracing import random as _functions
from graphwright.frontends.tracing.random import *  # noqa: F403

__doc__ = _functions.__doc__
__all__ = _functions.__all__  # pyright: ignore
