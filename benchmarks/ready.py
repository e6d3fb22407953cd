"""Time until a model gives its first result, in processes of their own.

    python benchmarks/ready.py MODEL [--backend opencl] [--runs 5]

The first process finds no kernels on disk, neither ours nor the driver's; the others
find what it built. Python's bytecode is there for all, as after an installation.
Seconds of ``imports`` (numpy, onnx and the backend's library, which graphwright leaves
for later), of ``load``, ``compile`` and the ``first`` run, in which a plan is made and
weights are packed; ``ready`` is the sum without the imports.
"""

import argparse
import compileall
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import graphwright as gw

PARTS = ("imports", "load", "compile", "first", "ready")

LIBRARIES = ("numpy", "onnx", "pyopencl", "graphwright", "graphwright.feeds")


def once(model: Path, backend: str) -> dict[str, float]:
    """Seconds of each part, in this process."""
    start = time.perf_counter()
    for name in LIBRARIES:
        if name != "pyopencl" or (backend == "opencl" and find_spec(name)):
            importlib.import_module(name)
    feeds_of = importlib.import_module("graphwright.feeds").random_feeds
    begin = time.perf_counter()
    graph = gw.load(model)
    loaded = time.perf_counter()
    exe = gw.compile(graph, backend=backend)
    compiled = time.perf_counter()
    feeds = exe.positional(feeds_of(exe.graph, {}, 0, {}))
    drawn = time.perf_counter()
    exe(*feeds)
    end = time.perf_counter()
    seconds = (begin - start, loaded - begin, compiled - loaded, end - drawn)
    return dict(zip(PARTS, (*seconds, sum(seconds[1:])), strict=True))


def apart(model: Path, backend: str, variables: Mapping[str, str]) -> dict[str, float]:
    """The same, in a new process."""
    command = [sys.executable, __file__, str(model), "--backend", backend, "--once"]
    done = subprocess.run(
        command, env={**os.environ, **variables}, check=True, capture_output=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def row(name: str, seconds: Mapping[str, float]) -> str:
    """A line of the table."""
    return f"{name:<12}" + "".join(f"{seconds[part]:>10.3f}" for part in PARTS)


def main() -> None:
    """Read the command line, measure, print."""
    cli = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cli.add_argument("model", type=Path)
    cli.add_argument("--backend", default="opencl")
    cli.add_argument("--runs", type=int, default=5)
    cli.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    given = cli.parse_args()
    if given.once:
        print(json.dumps(once(given.model, given.backend)))
        return
    compileall.compile_dir(str(Path(gw.__file__).parent), quiet=2)
    with tempfile.TemporaryDirectory() as folder:
        names = ("GRAPHWRIGHT_CACHE_DIR", "POCL_CACHE_DIR")
        variables = {name: str(Path(folder) / name) for name in names}
        print(" " * 12 + "".join(f"{part:>10}" for part in PARTS))
        print(row("first time", apart(given.model, given.backend, variables)))
        runs = [apart(given.model, given.backend, variables) for _ in range(given.runs)]
    for name, choose in (("least", min), ("median", statistics.median)):
        print(row(name, {part: choose(run[part] for run in runs) for part in PARTS}))


if __name__ == "__main__":
    main()
