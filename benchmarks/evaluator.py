"""Latency of the numpy backend beside onnx's reference evaluator, results checked.

    evaluator.py FOLDER [--only RE] [--runs N]

FOLDER holds ``*.onnx``. The evaluator runs once, this after a first run: the median of
``--runs``, every result compared with ONNX Runtime's, for the evaluator's own is wrong
for ShuffleNet in onnx 1.23. The exit status is 1 where a result differs, or where a
network that takes the evaluator more than a second is not run 20 times as fast.
"""

import argparse
import re
import statistics
import sys
import time
from pathlib import Path

import onnx
import onnxruntime as ort
from latency import TOLERANCE, error, feeds_of
from onnx.reference import ReferenceEvaluator

import graphwright as gw

FACTOR = 20


def measure(path: Path, runs: int) -> tuple[float, float, float]:
    """Seconds of the evaluator and of the numpy backend, and its largest error."""
    feeds = feeds_of(path, 0)
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    providers = ["CPUExecutionProvider"]
    want = ort.InferenceSession(path, settings, providers=providers).run(None, feeds)
    evaluator = ReferenceEvaluator(onnx.load(path))
    start = time.perf_counter()
    evaluator.run(None, feeds)
    theirs = time.perf_counter() - start
    del evaluator
    executable = gw.compile(path, backend="numpy", strict=True)
    worst = error(executable.run(None, feeds), want)
    times: list[float] = []
    for _ in range(runs):
        start = time.perf_counter()
        got = executable.run(None, feeds)
        times.append(time.perf_counter() - start)
        worst = max(worst, error(got, want))
    return theirs, statistics.median(times), worst


def main() -> int:
    """Measure all networks; 1 where one is wrong or slow."""
    cli = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cli.add_argument("folder", type=Path)
    cli.add_argument("--only", default="")
    cli.add_argument("--runs", type=int, default=5)
    given = cli.parse_args()
    failed = False
    for path in sorted(given.folder.glob("*.onnx")):
        if not re.search(given.only, path.stem):
            continue
        theirs, ours, worst = measure(path, given.runs)
        slow = theirs > 1 and theirs < FACTOR * ours
        failed |= slow or not worst <= TOLERANCE
        print(
            f"{path.stem:16s} onnx {theirs:8.2f} s  numpy {1e3 * ours:8.1f} ms"
            f"  {theirs / ours:7.0f} times  error {worst:.0e}",
            flush=True,
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
