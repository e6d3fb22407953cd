"""Pictures as SVG text: errors along a graph, times as bars, histograms."""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 960, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 28
_LOWEST, _HIGHEST = -4.0, 4.0
_SERIES = 6
"""How many colours there are; see ``page.css``."""


def error_chart(series: Mapping[str, Sequence[float | None]], count: int) -> str:
    """Errors over their bounds, node after node, on a logarithmic scale.

    Each column of the picture shows the worst of the nodes that fall into it.
    """
    parts = [_open(HEIGHT, "Error over bound along the graph")]
    for power in range(int(_LOWEST), int(_HIGHEST) + 1, 2):
        y = _level(10.0**power)
        text = "1" if power == 0 else f"1e{power}"
        kind = "limit" if power == 0 else "grid"
        parts.append(
            f'<line class="{kind}" x1="{_LEFT}" x2="{WIDTH - _RIGHT}"'
            f' y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
        )
    for number, (name, values) in enumerate(series.items()):
        points = _columns(values, count)
        marks = "".join(
            f'<circle cx="{x:.1f}" cy="{_level(v):.1f}" r="{3.5 if v > 1 else 2}"'
            f' class="{"over" if v > 1 else ""}"/>'
            for x, v in points
        )
        parts.append(
            f'<g class="s{number % _SERIES}"><title>{escape(name)}</title>{marks}</g>'
        )
    base = HEIGHT - 8
    parts.append(
        f'<text x="{_LEFT}" y="{base}">first node</text>'
        f'<text x="{WIDTH - _RIGHT}" y="{base}" text-anchor="end">last node</text>'
        "</svg>"
    )
    return "".join(parts)


def _open(height: int, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img"'
        f' aria-label="{escape(title, quote=True)}">'
    )


def _level(value: float) -> float:
    power = _LOWEST if value <= 0 else math.log10(min(value, 1e300))
    share = (min(max(power, _LOWEST), _HIGHEST) - _LOWEST) / (_HIGHEST - _LOWEST)
    return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)


def _columns(values: Sequence[float | None], count: int) -> list[tuple[float, float]]:
    """One point for each column of pixels: its place, and the worst value."""
    span = WIDTH - _LEFT - _RIGHT
    worst: dict[int, float] = {}
    for i, v in enumerate(values):
        if v is not None:
            column = int(span * (i + 0.5) / max(count, 1))
            worst[column] = max(worst.get(column, 0.0), v)
    return [(_LEFT + column, v) for column, v in sorted(worst.items())]


def bar_chart(rows: Sequence[tuple[str, float, float, float]], unit: str = "ms") -> str:
    """Bars of medians with lines from the lower to the upper quartile.

    Args:
        rows: Name, median, lower and upper quartile of each.
        unit: Of the numbers.
    """
    name_width, step = 190, 30
    height = step * len(rows) + 8
    most = max((row[3] for row in rows), default=0.0) or 1.0
    scale = (WIDTH - name_width - 130) / most
    parts = [_open(height, "Time of a run")]
    for number, (name, median, low, high) in enumerate(rows):
        y = 4 + step * number
        middle = y + step / 2 - 2
        end = name_width + high * scale + 8
        parts.append(
            f'<text x="{name_width - 8}" y="{middle + 4}" text-anchor="end">'
            f"{escape(name)}</text>"
            f'<rect class="s{number % _SERIES}" x="{name_width}" y="{y}"'
            f' width="{max(median * scale, 1):.1f}" height="{step - 8}" rx="3"/>'
            f'<line class="whisker" x1="{name_width + low * scale:.1f}"'
            f' x2="{name_width + high * scale:.1f}" y1="{middle}" y2="{middle}"/>'
            f'<text x="{end:.1f}" y="{middle + 4}">{median:.3g} {unit}</text>'
        )
    return "".join(parts) + "</svg>"


def histogram(have: Sequence[int], want: Sequence[int], low: str, high: str) -> str:
    """Two histograms over the same range, one filled, one as a line."""
    width, height = 300, 110
    most = max(*have, *want, 1)
    step = width / max(len(have), 1)
    bars = "".join(
        f'<rect x="{i * step:.1f}" y="{height - 16 - 88 * n / most:.1f}"'
        f' width="{step:.1f}" height="{88 * n / most:.1f}"/>'
        for i, n in enumerate(have)
    )
    line = " ".join(
        f"{i * step:.1f},{height - 16 - 88 * n / most:.1f}"
        f" {(i + 1) * step:.1f},{height - 16 - 88 * n / most:.1f}"
        for i, n in enumerate(want)
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Histogram">'
        f'<g class="s0 soft">{bars}</g><polyline class="outline" points="{line}"/>'
        f'<text x="0" y="{height - 3}">{escape(low)}</text>'
        f'<text x="{width}" y="{height - 3}" text-anchor="end">{escape(high)}</text>'
        "</svg>"
    )
