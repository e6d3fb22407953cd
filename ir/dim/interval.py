"""Ranges of integers, with infinite ends, and what each function makes of them."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

Range: TypeAlias = tuple[float, float]  # ints, or infinities: never another float
INF: Final = math.inf


def plus(x: Range, y: Range) -> Range:
    """The range of the sum of two numbers from these ranges."""
    return add_ends(x[0], y[0]), add_ends(x[1], y[1])


def add_ends(x: float, y: float) -> float:
    """`x + y`, of which at most one is infinite, or both the same way."""
    # Not simply x + y: an int too large for a float plus an infinity would raise.
    return (x + y) if isinstance(x, int) and isinstance(y, int) else _infinite(x, y)


def _infinite(x: float, y: float) -> float:
    return y if isinstance(x, int) else x


def times(x: Range, y: Range) -> Range:
    """The range of the product of two numbers from these ranges."""
    if x[0] >= 0 and y[0] >= 0:
        return _multiply_ends(x[0], y[0]), _multiply_ends(x[1], y[1])
    corners = [_multiply_ends(p, q) for p in x for q in y]
    return min(corners), max(corners)


def _multiply_ends(x: float, y: float) -> float:
    if x == 0 or y == 0:
        return 0
    if isinstance(x, int) and isinstance(y, int):
        return x * y
    return INF if (x > 0) == (y > 0) else -INF


def both(x: Range, y: Range) -> Range:
    """What lies in both ranges."""
    return max(x[0], y[0]), min(x[1], y[1])


def floor_end(x: float, by: float) -> float:
    """The quotient rounded down, for `by` of at least 1."""
    if not isinstance(x, int):
        return x
    return x // by if isinstance(by, int) else -1 if x < 0 else 0


def _floor_range(args: Sequence[Range]) -> Range:
    (low, high), (least, most) = args
    if least < 0:
        far = max(-low, high)
        return -far, far
    least = max(least, 1)  # no value at 0
    most = max(least, most)
    return (
        min(floor_end(low, least), floor_end(low, most)),
        max(floor_end(high, least), floor_end(high, most)),
    )


def _min_range(args: Sequence[Range]) -> Range:
    lows, highs = zip(*args, strict=True)
    return min(lows), min(highs)


def _max_range(args: Sequence[Range]) -> Range:
    lows, highs = zip(*args, strict=True)
    return max(lows), max(highs)


def _broadcast_range(args: Sequence[Range]) -> Range:
    total = min(low for low, _ in args), max(high for _, high in args)
    for low, high in args:
        if low > 1 or high < 1:  # it is not 1, so it is the result
            total = both(total, (low, high))
    return total


CALL_RANGES: Final[Mapping[str, Callable[[Sequence[Range]], Range]]] = {
    "//": _floor_range,
    "min": _min_range,
    "max": _max_range,
    "broadcast": _broadcast_range,
}
