"""Load, optimise and run long chains: time, memory, and how each pass grows.

    python benchmarks/scale.py [--nodes 10000 30000 100000] [--rounds 3] [--rival]

Chains are of Add and Mul, each with a constant of its own, and every tenth node is
Tanh, so that nothing folds. Each measurement is a process of its own, which first does
everything with a small chain. Printed for each chain: seconds by the clock to load,
optimise, compile and run it once, and the peak of resident memory of the process; with
``--rival`` what ONNX Runtime takes for the same. Then for each pass of the pipeline and
of the numpy backend how long it takes, the least of the rounds, and the log-log slope
between the shortest and the longest chain, where 1 is linear. ``roll_loops`` makes a
short loop of the chain; the others are given the whole chain all the same.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from load import save_chain

OURS = """
import json, resource, sys, time
import numpy as np
import graphwright as gw
from graphwright.backends.compile import suiting_passes
from graphwright.backends.registry import choose_backend
from graphwright.passes.pipeline import DEFAULT, manager

def passes(path):
    graph = gw.load(path)
    changes = list(manager(["roll_loops"]).run(graph)[1].changes)
    flat = [name for name in DEFAULT if name != "roll_loops"]
    for run in manager(flat), manager(suiting_passes(choose_backend("numpy"))):
        graph, report = run.run(graph)
        changes += report.changes
    return [(change.name, change.seconds) for change in changes]

def whole(path):
    marks = [time.perf_counter()]
    graph = gw.load(path)
    marks.append(time.perf_counter())
    exe = gw.compile(graph, backend="numpy")
    marks.append(time.perf_counter())
    exe.run(None, {"x": np.linspace(0, 1, 8, dtype=np.float32)})
    marks.append(time.perf_counter())
    return [b - a for a, b in zip(marks, marks[1:])]

small, path, what = sys.argv[1:]
whole(small)
found = whole(path) if what == "whole" else passes(path)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([found, peak]))
"""

RIVAL = """
import json, resource, sys, time
import numpy as np
import onnxruntime as ort

def whole(path):
    start = time.perf_counter()
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 2, 4
    run = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run
    run(None, {"x": np.linspace(0, 1, 8, dtype=np.float32)})
    return [time.perf_counter() - start]

small, path, what = sys.argv[1:]
whole(small)
found = whole(path)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([found, peak]))
"""


def child(code: str, small: Path, path: Path, what: str) -> Any:
    """What a process prints."""
    command = [sys.executable, "-c", code, str(small), str(path), what]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(run.stdout)


def save(path: Path, count: int) -> None:
    """Saves a chain; in another process, whose peak of memory no child takes over."""
    with get_context("spawn").Pool(1) as pool:
        pool.apply(save_chain, (path, count))


def show_whole(code: str, name: str, small: Path, path: Path, rounds: int) -> None:
    """A row of the table of whole runs."""
    found = [child(code, small, path, "whole") for _ in range(rounds)]
    times, peak = min(found, key=lambda row: sum(row[0]))
    words = " ".join(f"{1e3 * t:9.0f}" for t in times)
    print(f"{name:<18} {sum(times):8.2f} {peak:9.0f}  {words}", flush=True)


def show_passes(paths: dict[int, Path], small: Path, rounds: int) -> None:
    """The table of passes, repeated ones numbered, and their slopes."""
    least: dict[str, dict[int, float]] = {}
    for count, path in paths.items():
        for _ in range(rounds):
            rows, _ = child(OURS, small, path, "passes")
            seen: dict[str, int] = {}
            for name, seconds in rows:
                seen[name] = seen.get(name, 0) + 1
                row = least.setdefault(f"{name} {seen[name]}", {})
                row[count] = min(row.get(count, np.inf), seconds)
    print("pass, ms          ", *(f"{count:>9}" for count in paths), "    slope")
    for name, row in least.items():
        (first, low), (last, high) = min(row.items()), max(row.items())
        slope = np.log(high / low) / np.log(last / first) if first < last else np.nan
        cells = " ".join(f"{1e3 * row[count]:9.2f}" for count in paths)
        print(f"{name:<19} {cells} {slope:9.2f}")


def main() -> None:
    """Read the command line, measure, print."""
    cli = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cli.add_argument("--nodes", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    cli.add_argument("--rounds", type=int, default=3)
    cli.add_argument("--rival", action="store_true")
    given = cli.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.onnx"
        save(small, 100)
        paths = {n: Path(folder) / f"chain-{n}.onnx" for n in given.nodes}
        print(f"{'chain':<18} {'s in all':>8} {'peak MiB':>9}  ms: load, compile, run")
        for count, path in paths.items():
            save(path, count)
            show_whole(OURS, f"{count}", small, path, given.rounds)
            if given.rival:
                show_whole(RIVAL, "  ONNX Runtime", small, path, 1)
        show_passes(paths, small, given.rounds)


if __name__ == "__main__":
    main()
