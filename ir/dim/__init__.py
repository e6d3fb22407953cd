"""Exact symbolic dims: plain integers, and integer expressions over named symbols.

An expression is a polynomial with integer coefficients over atoms: symbols, and the
functions `//`, `min`, `max` and `broadcast` of dims. It is brought to a normal form
when built: `(h - 3)//2 + 1` is `(h - 1)//2`, and `x % m` is `x - m*(x//m)`.

`==` compares normal forms, so it may say False of two expressions that always agree;
`equal`, `less` and `less_equal` reason over bounds and answer None where unknown.
Every claim is about values of the symbols for which the expression has a value, that
is, divides by no zero and broadcasts only compatible sizes.
"""

from graphwright.ir.dim.compare import bounds, equal, less, less_equal
from graphwright.ir.dim.expr import Dim, Expr, product, symbol
from graphwright.ir.dim.extremum import broadcast_dim, maximum, minimum
from graphwright.ir.dim.floor import ceildiv, exact_quotient, floordiv, mod
from graphwright.ir.dim.parse import parse_dim, scan_dim
from graphwright.ir.dim.values import (
    UnboundSymbolError,
    evaluate,
    solve,
    substitute,
    symbols,
)

__all__ = [
    "Dim",
    "Expr",
    "UnboundSymbolError",
    "bounds",
    "broadcast_dim",
    "ceildiv",
    "equal",
    "evaluate",
    "exact_quotient",
    "floordiv",
    "less",
    "less_equal",
    "maximum",
    "minimum",
    "mod",
    "parse_dim",
    "product",
    "scan_dim",
    "solve",
    "substitute",
    "symbol",
    "symbols",
]
