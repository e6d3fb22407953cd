"""Times of several that take turns on the same inputs."""

import time
from collections.abc import Callable, Mapping
from typing import Any


def timed(
    runs: Mapping[str, Callable[[Any], Any]], inputs: Any, rounds: int
) -> dict[str, float]:
    """Milliseconds of each, the least of some rounds in turns."""
    found = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run(inputs)
            found[name] = min(found[name], 1e3 * (time.perf_counter() - start))
            time.sleep(0.01)
    return found
