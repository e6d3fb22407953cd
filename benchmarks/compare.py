"""What a comparison costs beside the plain runs: time and memory.

    python benchmarks/compare.py MODEL --backends numpy,onnxruntime

Prints the time of a plain run of each, that of all runs with everything read and
measured, and their ratio, and the greatest memory of both in processes of their own.
Compilation, the float64 run and timing rounds are left out.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import graphwright as gw
from graphwright.comparison.labels import labelled
from graphwright.comparison.peers import OnnxRuntimeRunner, OpenVinoRunner
from graphwright.comparison.runners import GraphwrightRunner, Runner
from graphwright.feeds import random_feeds

PEERS: dict[str, Any] = {"onnxruntime": OnnxRuntimeRunner, "openvino": OpenVinoRunner}
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


def apart(what: str, given: argparse.Namespace) -> tuple[float, float]:
    """A part in a process of its own: its time and memory."""
    words = [given.model, "--backends", given.backends, "--part", what]
    words += ["--runs", str(given.runs)]
    done = subprocess.run(
        [sys.executable, __file__, *words], capture_output=True, text=True, check=True
    )
    milliseconds, size = map(float, done.stdout.split())
    return milliseconds, size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--backends", default="numpy,onnxruntime")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--part", choices=("plain", "compared"))
    given = parser.parse_args()
    if given.part:
        run = plain if given.part == "plain" else compared
        spent = run(given.model, given.backends.split(","), given.runs)
        sys.stdout.write(f"{spent} {megabytes()}\n")
        return
    rows = {what: apart(what, given) for what in ("plain", "compared")}
    for what, (spent, size) in rows.items():
        sys.stdout.write(f"{what:9} {spent:8.1f} ms {size:8.0f} MB\n")
    ratios = [b / a for a, b in zip(rows["plain"], rows["compared"], strict=True)]
    sys.stdout.write(f"ratio     {ratios[0]:8.2f}    {ratios[1]:8.2f}\n")


if __name__ == "__main__":
    main()
