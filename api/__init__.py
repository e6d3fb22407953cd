"""graphwright: a pure-Python tensor graph compiler."""

__version__ = "0.1.0"
