"""What a comparison costs beside the plain runs: time and memory.

    python benchmarks/compare.py MODEL --backends numpy,onnxruntime

Prints the time of a plain run of each, that of all runs with everything read and
measured, and their ratio, and the greatest memory of both in processes of their own.
Compilation, the float64 run and timing rounds are left out; memory is shown with the
float64 run and without.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any
from unittest.mock import patch

import graphwright as gw
import graphwright.comparison.compare
from graphwright.comparison.judge import Judge, Verdicts
from graphwright.comparison.labels import labelled
from graphwright.comparison.peers import PEERS
from graphwright.comparison.runners import GraphwrightRunner, Runner
from graphwright.feeds import random_feeds

WORK = ("run", "measure", "picture")
"""The parts of a comparison that count."""


def runners(path: str, names: Sequence[str]) -> list[Runner]:
    """One for each name, compiled."""
    original = labelled(gw.load(path))
    made: list[Runner] = []
    for name in names:
        if name in PEERS:
            made.append(PEERS[name](original, path))
        else:
            made.append(GraphwrightRunner(name, original, name))
    return made


def plain(path: str, names: Sequence[str], runs: int) -> float:
    """Milliseconds of a plain run of all: the sum of medians."""
    graph = gw.load(path)
    feeds = random_feeds(graph, {}, 0)
    total = 0.0
    for runner in runners(path, names):
        times: list[float] = []
        for i in range(runs + 2):
            start = time.perf_counter()
            runner.plain(feeds)
            if i >= 2:
                times.append(time.perf_counter() - start)
        total += statistics.median(times)
    return 1e3 * total


def compared(path: str, names: Sequence[str], runs: int) -> float:
    """Milliseconds of a comparison on one sample more: the first makes plans."""
    first = gw.compare(path, names, samples=1)
    more = gw.compare(path, names, samples=1 + runs)
    assert first.ok, first.verdict
    assert more.ok, more.verdict
    spent = [sum(r.seconds[part] for part in WORK) for r in (first, more)]
    return 1e3 * (spent[1] - spent[0]) / runs


def megabytes() -> float:
    """The most that was resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def held(path: str, names: Sequence[str]) -> Iterator[float]:
    """Megabytes of a comparison: resident before the float64 run, values, and after."""
    sizes: list[float] = []

    class Watched(Judge):
        def __call__(self, feeds: Any, outcomes: Any, accounts: Any) -> Verdicts:
            arrays = (x for o in outcomes.values() for x in o.values.values())
            values = sum(getattr(x, "nbytes", 0) for x in arrays)
            sizes.extend((megabytes(), values / 2**20))
            return super().__call__(feeds, outcomes, accounts)

    with patch.object(graphwright.comparison.compare, "Judge", Watched):
        gw.compare(path, names, samples=1)
    yield from (*sizes, megabytes())


def apart(what: str, given: argparse.Namespace) -> list[float]:
    """What a part prints, in a process of its own."""
    words = [given.model, "--backends", given.backends, "--part", what]
    words += ["--runs", str(given.runs)]
    done = subprocess.run(
        [sys.executable, __file__, *words], capture_output=True, text=True, check=True
    )
    return list(map(float, done.stdout.split()))


def part(given: argparse.Namespace) -> list[float]:
    """What is measured in a process of its own."""
    names = given.backends.split(",")
    if given.part == "held":
        return list(held(given.model, names))
    run = plain if given.part == "plain" else compared
    return [run(given.model, names, given.runs), megabytes()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--backends", default="numpy,onnxruntime")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--part", choices=("plain", "compared", "held"))
    given = parser.parse_args()
    if given.part:
        sys.stdout.write(" ".join(map(str, part(given))))
        return
    (spent, size), (more, _) = apart("plain", given), apart("compared", given)
    before, values, after = apart("held", given)
    sys.stdout.write(
        f"plain      {spent:8.1f} ms {size:8.0f} MB\n"
        f"compared   {more:8.1f} ms {before:8.0f} MB, {values:.0f} MB of it values,"
        f" {after:.0f} MB with the float64 run\n"
        f"ratio      {more / spent:8.2f}    {(before - values) / size:8.2f}, beside"
        f" the values; {after / size:.2f} with the float64 run\n"
    )


if __name__ == "__main__":
    main()
