"""graphwright in C: whole graphs, compiled by the system's compiler."""

from graphwright_c.backend import CBackend as CBackend

__all__ = ["CBackend"]
