"""The matrices of Winograd's minimal filtering, and sums written with few operations.

``F(m, r)`` gives ``m`` outputs of a filter of ``r`` taps by ``m + r - 1`` products:
``A' [(G g) * (B' d)]``. They come from polynomials known at as many points (Toom and
Cook; Lavin and Gray, "Fast algorithms for convolutional neural networks", 2015).
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from math import lcm
from typing import TypeAlias

from graphwright.backends.codegen.kernels.text import number
from graphwright.ir.record import record

Matrix: TypeAlias = list[list[Fraction]]

_POINTS = tuple(map(Fraction, ("0", "1", "-1", "2", "-2", "1/2", "-1/2")))
"""Small, in pairs of both signs: these round least and share their sums."""


@record(frozen=True, slots=True)
class Toom:
    """``A'``, ``G`` and ``B'`` of ``F(outputs, taps)``."""

    up: Matrix
    filter: Matrix
    down: Matrix


@cache
def toom(outputs: int, taps: int = 3) -> Toom:
    """The matrices for so many outputs: with the taps, at most 9."""
    points = _POINTS[: outputs + taps - 2]
    up: Matrix = [
        [*(p**i for p in points), Fraction(i == outputs - 1)] for i in range(outputs)
    ]
    filters, down = list[list[Fraction]](), list[list[Fraction]]()
    for p in points:
        row = _product([q for q in points if q != p])
        scale = Fraction(lcm(*(c.denominator for c in row)))
        norm = _value(row, p) * scale
        down.append([*(c * scale for c in row), Fraction(0)])
        filters.append([p**i / norm for i in range(taps)])
    down.append(_product(points))
    filters.append([Fraction(i == taps - 1) for i in range(taps)])
    return Toom(up, filters, down)


def _product(roots: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients of a polynomial with some roots, the constant one first."""
    found = [Fraction(1)]
    for root in roots:
        padded = [Fraction(0), *found, Fraction(0)]
        found = [padded[i] - root * padded[i + 1] for i in range(len(found) + 1)]
    return found


def _value(coefficients: Sequence[Fraction], x: Fraction) -> Fraction:
    return sum((c * x**i for i, c in enumerate(coefficients)), Fraction(0))


# Sums -------------------------------------------------------------------------------

Numbers: TypeAlias = Sequence[Sequence[float]]


def in_floats(matrix: Matrix) -> Numbers:
    """A matrix as it is written: fractions are slow to look at."""
    return [[float(c) for c in row] for row in matrix]


Put: TypeAlias = Callable[[int, str], str]
"""The statement that does something with a row's number and its value."""


def rows_of(matrix: Numbers, xs: Sequence[str], put: Put) -> list[str]:
    """Rows times ``xs``: rows that differ in the signs of odd columns share sums."""
    lines: list[str] = []
    left = list(range(len(matrix)))
    while left:
        i = left.pop(0)
        other = next((k for k in left if _mirrored(matrix[i], matrix[k])), None)
        if other is None:
            lines.append(put(i, _sum(matrix[i], xs)))
            continue
        left.remove(other)
        even = _sum([c * (j % 2 == 0) for j, c in enumerate(matrix[i])], xs)
        odd = _sum([c * (j % 2) for j, c in enumerate(matrix[i])], xs)
        lines.append(f"e = {even}; o = {odd};")
        difference = "e - o" if _even(matrix[i]) == _even(matrix[other]) else "o - e"
        lines += [put(i, "e + o"), put(other, difference)]
    return ["{", "  vec e, o;", *(f"  {line}" for line in lines), "}"]


def _even(row: Sequence[float]) -> list[float]:
    return [c for j, c in enumerate(row) if j % 2 == 0]


def _mirrored(x: Sequence[float], y: Sequence[float]) -> bool:
    """Whether rows have both kinds of columns, and differ in the signs of one."""
    both = any(_even(x)) and any(x[1::2])
    signs = [c * (-1) ** j for j, c in enumerate(x)]
    return both and list(y) in (signs, [-c for c in signs])


def columns_of(matrix: Numbers, xs: Sequence[str], put: Put) -> list[str]:
    """Rows times ``xs``: columns that differ in the signs of odd rows are paired."""
    columns = list(zip(*matrix, strict=True))
    terms: list[tuple[Sequence[float], tuple[str, str]]] = []
    lines: list[str] = []
    left = list(range(len(columns)))
    while left:
        j = left.pop(0)
        signs = tuple(c * (-1) ** i for i, c in enumerate(columns[j]))
        other = next((k for k in left if columns[k] == signs != columns[j]), None)
        if other is None:
            terms.append((columns[j], (xs[j], xs[j])))
            continue
        left.remove(other)
        lines.append(f"vec s{j} = {xs[j]} + {xs[other]}, d{j} = {xs[j]} - {xs[other]};")
        terms.append((columns[j], (f"s{j}", f"d{j}")))
    for i in range(len(matrix)):
        names = [pair[i % 2] for _, pair in terms]
        lines.append(put(i, _sum([column[i] for column, _ in terms], names)))
    return ["{", *(f"  {line}" for line in lines), "}"]


def _sum(row: Sequence[float], xs: Sequence[str]) -> str:
    text = ""
    for c, x in zip(row, xs, strict=True):
        if not c:
            continue
        part = x if abs(c) == 1 else f"{number(abs(c))} * {x}"
        sign = "-" if c < 0 else "+"
        text = f"{text} {sign} {part}" if text else f"-{part}" if c < 0 else part
    return text or "SPLAT(0.0f)"
