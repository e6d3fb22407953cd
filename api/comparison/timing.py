"""Times of plain runs, taken in turns, and the size of the process."""

import gc
import time
from collections.abc import Sequence
from typing import Any

from graphwright.comparison.report import Times
from graphwright.comparison.runners import Feeds, Runner


def timed(
    runners: Sequence[Runner], feeds: Feeds, rounds: int
) -> dict[str, tuple[Times, list[Any]]]:
    """Times and last outputs of each runner: a warm-up, then rounds in turns."""
    first: dict[str, float] = {}
    seconds: dict[str, list[float]] = {r.name: [] for r in runners}
    outputs: dict[str, list[Any]] = {}
    for runner in runners:
        first[runner.name], outputs[runner.name] = _run(runner, feeds)
    gc.collect()
    for _ in range(rounds):
        for runner in runners:
            passed, outputs[runner.name] = _run(runner, feeds)
            seconds[runner.name].append(passed)
    return {
        name: (summary(first[name], rows), outputs[name])
        for name, rows in seconds.items()
    }


def _run(runner: Runner, feeds: Feeds) -> tuple[float, list[Any]]:
    start = time.perf_counter()
    found = runner.plain(feeds)
    return time.perf_counter() - start, found


def summary(warm_up: float, rows: Sequence[float]) -> Times:
    """Median and quartiles."""
    ordered = sorted(rows) or [warm_up]
    low, middle, high = (percentile(ordered, p) for p in (25, 50, 75))
    return Times(warm_up, middle, low, high, len(rows))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """A percentile of sorted numbers, interpolated."""
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def resident_bytes() -> int:
    """Memory that the process holds now; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096
    except (OSError, ValueError, IndexError):
        return 0
