"""Loops that were rolled up again, beside the same unrolled, and NumPy.

    python benchmarks/rolled_loops.py [--steps 1000] [--only NAME]

For each program and size: milliseconds of a run by NumPy, of the graph as it was traced
and of the rolled one (the least of several, in blocks by turns); seconds of the
processor to trace, compile and run it the first time; and nodes that are left. Results
are checked.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np

import graphwright as gw
from graphwright.backends.compile import lower
from graphwright.backends.executable import Executable
from graphwright.passes import roll

Program = Callable[[Any, int], Any]


def stencil(a: Any, steps: int) -> Any:
    """Five points, in place."""
    a = a.copy()
    for _ in range(steps):
        a[1:-1, 1:-1] = 0.2 * (
            a[1:-1, 1:-1] + a[:-2, 1:-1] + a[2:, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:]
        )
    return a


def heat(a: Any, steps: int) -> Any:
    """Three points, two arrays by turns."""
    a = a.reshape(-1)
    b = a.copy()
    for _ in range(steps):
        b[1:-1] = 0.33333 * (a[:-2] + a[1:-1] + a[2:])
        a, b = b, a
    return a


def pointwise(a: Any, steps: int) -> Any:
    """No element needs another."""
    z = a
    for _ in range(steps):
        z = z * z * 0.5 + a * 0.25
    return z


def recurrence(a: Any, steps: int) -> Any:
    """Rows of a table, each from the one before."""
    out = np.zeros((steps, a.shape[1]))
    for i in range(1, steps):
        out[i] = 0.5 * out[i - 1] + a[i % 16] * (1.0 + i)
    return out


PROGRAMS: dict[str, Program] = {
    f.__name__: f for f in (stencil, heat, pointwise, recurrence)
}
SIDES = {"2 KB": 16, "32 KB": 64, "1 MB": 362}


def compiled(program: Program, a: Any, steps: int, least: int) -> Any:
    """What runs it, seconds until it did, and nodes as lowered.

    Loops of fewer than ``least`` nodes stay unrolled.
    """
    start, moving = time.process_time(), roll.LEAST_MOVING
    graph = gw.trace(lambda x: program(x.copy(), steps), gw.spec("float64", a.shape))
    with patch.multiple(roll, LEAST=least, LEAST_MOVING=max(least, moving)):
        lowered, options = lower(graph, backend="numpy")
    executable = Executable(graph, lowered, options)
    executable.execute([a])
    return executable, time.process_time() - start, len(lowered.nodes)


def milliseconds(call: Callable[[], object]) -> float:
    """The least of a block of runs."""
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def measure(name: str, size: str, steps: int) -> None:
    """One line of the table."""
    program, side = PROGRAMS[name], SIDES[size]
    a = np.random.default_rng(0).random((side, side))
    want = program(a.copy(), steps)
    runs: list[Callable[[], Any]] = [lambda: program(a.copy(), steps)]
    notes: list[tuple[float, int]] = []
    for least in (sys.maxsize, roll.LEAST):
        executable, seconds, nodes = compiled(program, a, steps, least)
        np.testing.assert_allclose(executable.execute([a])[0], want, rtol=1e-9)
        runs.append(lambda e=executable: e.execute([a]))  # type: ignore[misc]
        notes.append((seconds, nodes))
    best = [float("inf")] * 3
    for _ in range(3):
        for i, run in enumerate(runs):
            best[i] = min(best[i], milliseconds(run))
    print(
        f"{name:10s} {size:>6s} {best[0]:9.2f} {best[1]:9.2f} {best[2]:9.2f}"
        f" {notes[0][0]:7.2f} {notes[1][0]:7.2f} {notes[0][1]:6d} {notes[1][1]:4d}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--only", default="")
    parser.add_argument("--sizes", default=",".join(SIDES))
    options = parser.parse_args()
    print("program      size  NumPy ms unrolled   rolled  first s rolled  nodes  few")
    for name in PROGRAMS:
        for size in options.sizes.split(","):
            if options.only in name:
                measure(name, size, options.steps)


if __name__ == "__main__":
    main()
