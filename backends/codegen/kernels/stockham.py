"""The passes of Fourier transforms, by T. G. Stockham (1966), as text.

A pass reads ``x[q + s (p + m j)]`` and writes ``y[q + s (r p + k)]``: sums over ``j``,
turned by a power of the root of unity. Vectors are along ``q``; in the first pass, of
``s = 1``, along ``p``. Words in capitals are replaced by those of a dtype.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from graphwright.backends.codegen.kernels.text import block
from graphwright.backends.codegen.schedule_cpu import LANES

Part: TypeAlias = tuple[str, str]
"""A complex number: expressions of its parts."""

TABLE = "const __global REAL *restrict table"
"""Cosines and sines of the circle, then those of the first pass."""


def passes(factors: Sequence[int]) -> list[str]:
    """``NAME_passes``: all passes of a row of some factors."""
    lines: list[str] = []
    for radix in sorted(set(factors)):
        lines += _pass(radix)
    if factors:
        lines += [*_last(factors[-1]), *_first(factors[0])]
    return [*lines, *_all(factors)]


class _Lines:
    """Statements that name what they compute."""

    def __init__(self, type_: str) -> None:
        self.type, self.lines = type_, list[str]()

    def let(self, value: str) -> str:
        name = f"t{len(self.lines)}"
        self.lines.append(f"const {self.type} {name} = {value};")
        return name

    def sum(self, x: Part, y: Part, sign: str = "+") -> Part:
        real, imag = (self.let(f"{a} {sign} {b}") for a, b in zip(x, y, strict=True))
        return real, imag

    def turned(self, x: Part, cosine: str, sine: str) -> Part:
        """``x`` times ``cosine - i sine``."""
        real = self.let(f"{x[0]} * {cosine} + {x[1]} * {sine}")
        return real, self.let(f"{x[1]} * {cosine} - {x[0]} * {sine}")


def _butterfly(to: _Lines, xs: Sequence[Part]) -> list[Part]:
    """The transform of a few numbers."""
    n = len(xs)
    if n == 1:
        return list(xs)
    if n % 2 == 0:
        even, odd = _butterfly(to, xs[::2]), _butterfly(to, xs[1::2])
        odd = [_root(to, x, k, n) for k, x in enumerate(odd)]
        pairs = list(zip(even, odd, strict=True))
        return [to.sum(x, y, sign) for sign in "+-" for x, y in pairs]
    return _odd(to, xs)


def _root(to: _Lines, x: Part, k: int, n: int) -> Part:
    """A number times a root of unity: the ``k``-th power of ``exp(-2 pi i / n)``."""
    if k == 0:
        return x
    if 4 * k == n:
        return x[1], to.let(f"-{x[0]}")
    angle = 2 * math.pi * k / n
    return to.turned(x, number(math.cos(angle)), number(math.sin(angle)))


def _odd(to: _Lines, xs: Sequence[Part]) -> list[Part]:
    n, half = len(xs), len(xs) // 2
    sums = [to.sum(xs[j], xs[n - j]) for j in range(1, half + 1)]
    rests = [to.sum(xs[j], xs[n - j], "-") for j in range(1, half + 1)]
    found = [xs[0]] * n
    for x in sums:
        found[0] = to.sum(found[0], x)
    for k in range(1, half + 1):
        near, far = _weighted(to, sums, k, math.cos), _weighted(to, rests, k, math.sin)
        even = to.sum(xs[0], near)
        found[k] = to.sum(even, (far[1], f"-{far[0]}"))
        found[n - k] = to.sum(even, (f"-{far[1]}", far[0]))
    return found


def _weighted(
    to: _Lines, xs: Sequence[Part], k: int, weight: Callable[[float], float]
) -> Part:
    n = 2 * len(xs) + 1
    factors = [
        number(weight(2 * math.pi * (j * k % n) / n)) for j in range(1, len(xs) + 1)
    ]
    parts = (
        to.let(" + ".join(f"{x[i]} * {f}" for x, f in zip(xs, factors, strict=True)))
        for i in (0, 1)
    )
    real, imag = parts
    return real, imag


def number(x: float) -> str:
    """A number in source."""
    return f"(REAL)({x.hex()})"


_ROWS = ("const __global REAL *restrict xr", "const __global REAL *restrict xi")
_ENDS = ("__global REAL *restrict yr", "__global REAL *restrict yi")


def _pass(radix: int) -> list[str]:
    """A pass whose vectors are along ``q``."""
    turns = [
        f"const REAL c{k} = table[p * s * {k}], s{k} = table[n + p * s * {k}];"
        for k in range(1, radix)
    ]
    head = ", ".join([*_ROWS, *_ENDS, TABLE, "INT n", "INT s"])
    lines = [
        f"const INT m = n / (s * {radix});",
        *block("for (INT p = 0; p < m; p++)", [*turns, *_along(radix, turned=True)]),
    ]
    return block(f"static void NAME_pass{radix}({head})", lines)


def _last(radix: int) -> list[str]:
    """The last pass, in which nothing is turned."""
    head = ", ".join([*_ROWS, *_ENDS, "INT s"])
    lines = ["const INT m = 1, p = 0;", *_along(radix, turned=False)]
    return block(f"static void NAME_last({head})", lines)


def _along(radix: int, *, turned: bool) -> list[str]:
    many, one = (_inside(radix, type_, turned) for type_ in ("VECTOR", "REAL"))
    return [
        "INT q = 0;",
        *block(f"for (; q + {LANES} <= s; q += {LANES})", many),
        *block("for (; q < s; q++)", one),
    ]


def _inside(radix: int, type_: str, turned: bool) -> list[str]:
    to = _Lines(type_)
    look, lay = ("LOOK", "LAY") if type_ == "VECTOR" else ("*", "*")
    xs: list[Part] = []
    for j in range(radix):
        at = f"q + s * (p + m * {j})"
        xs.append((to.let(f"{look}(xr + {at})"), to.let(f"{look}(xi + {at})")))
    ys = _butterfly(to, xs)
    for k in range(1, radix if turned else 1):
        ys[k] = to.turned(ys[k], f"c{k}", f"s{k}")
    for k, (real, imag) in enumerate(ys):
        at = f"q + s * ({radix} * p + {k})"
        to.lines += [f"{lay}(yr + {at}) = {real};", f"{lay}(yi + {at}) = {imag};"]
    return to.lines


def _first(radix: int) -> list[str]:
    """The first pass: vectors are along ``p``, and part where they are written."""
    head = ", ".join([*_ROWS, *_ENDS, TABLE, "INT n"])
    lines = [
        f"const INT m = n / {radix};",
        "INT p = 0;",
        *block("for (; p + 8 <= m; p += 8)", _first_inside(radix, 8)),
        *block("for (; p < m; p++)", _first_inside(radix, 1)),
    ]
    return block(f"static void NAME_first({head})", lines)


def _first_inside(radix: int, lanes: int) -> list[str]:
    to = _Lines("VECTOR" if lanes > 1 else "REAL")
    look = "LOOK" if lanes > 1 else "*"
    xs: list[Part] = []
    for j in range(radix):
        xs.append(
            (to.let(f"{look}(xr + p + m * {j})"), to.let(f"{look}(xi + p + m * {j})"))
        )
    ys = _butterfly(to, xs)
    for k in range(1, radix):
        cosine = to.let(f"{look}(table + 2 * n + m * {k - 1} + p)")
        sine = to.let(f"{look}(table + 2 * n + m * {radix + k - 2} + p)")
        ys[k] = to.turned(ys[k], cosine, sine)
    for lane in range(lanes):
        own = f".s{lane}" if lanes > 1 else ""
        for k, (real, imag) in enumerate(ys):
            at = f"{radix} * (p + {lane}) + {k}"
            to.lines += [
                f"yr[{at}] = {_lane(real, own)};",
                f"yi[{at}] = {_lane(imag, own)};",
            ]
    return to.lines


def _lane(x: str, own: str) -> str:
    return f"-{x[1:]}{own}" if x.startswith("-") else f"{x}{own}"


_HALVES = (
    "__global REAL *x = a + {0} % 2 * 2 * wide, *y = a + (1 - {0} % 2) * 2 * wide;"
)


def _all(factors: Sequence[int]) -> list[str]:
    """All passes of a row, from one half of a work-item's memory to the other.

    They tell in which half the result is.
    """
    head = ", ".join(
        [
            *("__global REAL *a", TABLE, "const __global int *restrict factors"),
            *("INT m", "INT passes", "INT wide"),
        ]
    )
    cases = [
        f"case {radix}: NAME_pass{radix}(x, x + wide, y, y + wide, table, m, s); break;"
        for radix in sorted(set(factors))
    ]
    turn = [
        _HALVES.format("t"),
        *block("switch (factors[t])", cases),
        "s *= factors[t];",
    ]
    lines = ["return 0;"]
    if factors:
        halves = "a, a + wide, a + 2 * wide, a + 3 * wide"
        lines = [
            "INT s = passes > 1 ? factors[0] : 1;",
            f"if (passes > 1) NAME_first({halves}, table, m);",
            *block("for (INT t = 1; t < passes - 1; t++)", turn),
            f"{_HALVES.format('(passes - 1)')}",
            "NAME_last(x, x + wide, y, y + wide, s);",
            "return passes % 2;",
        ]
    return block(f"static INT NAME_passes({head})", lines)
